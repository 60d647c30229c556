//! Losses `l(z, y)` of an output `z` and a label `y`.

mod epsilon_insensitive;
mod hinge;
mod logistic;
mod squared;
mod squared_hinge;

pub use epsilon_insensitive::EpsilonInsensitive;
pub use hinge::Hinge;
pub use logistic::Logistic;
pub use squared::Squared;
pub use squared_hinge::SquaredHinge;

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

/// What a loss expects of labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// Two classes, -1 and +1.
    Classes,
    /// Any finite number.
    Values,
}

/// A convex loss `l(z, y)`. One value trains both the network and the kernel machine.
pub trait Loss: Debug + Send + Sync {
    /// `l(z, y)`.
    fn value(&self, z: f64, y: f64) -> f64;

    /// `l'(z, y)`, the derivative in `z`, or the subgradient that the paper uses where there is none.
    fn derivative(&self, z: f64, y: f64) -> f64;

    /// The convex conjugate `l*(u, y) = sup_z (u z - l(z, y))`, infinite where the supremum is. It makes the dual
    /// objective, and with it the duality gap that tells how far from the optimum a machine is.
    fn conjugate(&self, u: f64, y: f64) -> f64;

    /// The largest `|l'|`, for labels -1/+1 where the loss wants those; `None` where it grows without bound.
    fn lipschitz(&self) -> Option<f64>;

    /// The Lipschitz constant of `l'` in `z`; `None` where `l'` jumps.
    fn smoothness(&self) -> Option<f64>;

    /// What labels may be.
    fn labels(&self) -> Labels;

    /// The mean loss over samples with outputs `z: [n]` and labels `y: [n]`.
    fn mean(&self, z: &[f64], y: &[f64]) -> f64 {
        z.iter().zip(y).map(|(&z, &y)| self.value(z, y)).sum::<f64>() / z.len() as f64
    }
}

/// A loss as a configuration gives it: by name, with its parameter where it has one.
///
/// In TOML: `loss = "hinge"`, or `loss = { epsilon_insensitive = { epsilon = 0.05 } }`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossConfig {
    /// [`Hinge`]: the soft-margin support vector machine.
    #[default]
    Hinge,
    /// [`SquaredHinge`]: the 2-norm soft-margin support vector machine.
    SquaredHinge,
    /// [`EpsilonInsensitive`]: support vector regression.
    EpsilonInsensitive(EpsilonInsensitive),
    /// [`Squared`]: kernel (ridge) regression.
    Squared,
    /// [`Logistic`]: logistic regression.
    Logistic,
}

impl LossConfig {
    /// The loss itself.
    pub fn loss(&self) -> &dyn Loss {
        match self {
            LossConfig::Hinge => &Hinge,
            LossConfig::SquaredHinge => &SquaredHinge,
            LossConfig::EpsilonInsensitive(loss) => loss,
            LossConfig::Squared => &Squared,
            LossConfig::Logistic => &Logistic,
        }
    }

    /// The name in captions and results.
    pub fn name(self) -> &'static str {
        match self {
            LossConfig::Hinge => "hinge",
            LossConfig::SquaredHinge => "squared hinge",
            LossConfig::EpsilonInsensitive(_) => "epsilon-insensitive",
            LossConfig::Squared => "squared",
            LossConfig::Logistic => "logistic",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn every_loss() -> [LossConfig; 5] {
        [
            LossConfig::Hinge,
            LossConfig::SquaredHinge,
            LossConfig::EpsilonInsensitive(EpsilonInsensitive::new(0.25).unwrap()),
            LossConfig::Squared,
            LossConfig::Logistic,
        ]
    }

    proptest! {
        /// `l(z) + l*(u) >= u z`, and equal at `u = l'(z)`: the conjugate is the conjugate.
        #[test]
        fn fenchel_and_young(z in -3.0..3.0f64, u in -2.0..2.0f64, positive: bool) {
            let y = if positive { 1.0 } else { -1.0 };
            for config in every_loss() {
                let loss = config.loss();
                prop_assert!(loss.value(z, y) + loss.conjugate(u, y) >= u * z - 1e-12, "{config:?}");
                let slope = loss.derivative(z, y);
                let defect = loss.value(z, y) + loss.conjugate(slope, y) - slope * z;
                prop_assert!(defect.abs() < 1e-12, "{config:?}: {defect}");
            }
        }

        /// The derivative is a subgradient, and it and its slope keep within the constants given.
        #[test]
        fn constants_hold(z in -3.0..3.0f64, other in -3.0..3.0f64, positive: bool) {
            let y = if positive { 1.0 } else { -1.0 };
            for config in every_loss() {
                let loss = config.loss();
                let (slope, there) = (loss.derivative(z, y), loss.derivative(other, y));
                prop_assert!(loss.value(other, y) >= loss.value(z, y) + slope * (other - z) - 1e-12, "{config:?}");
                prop_assert!(slope.abs() <= loss.lipschitz().unwrap_or(f64::INFINITY), "{config:?}");
                let jump = loss.smoothness().map_or(f64::INFINITY, |constant| constant * (z - other).abs());
                prop_assert!((slope - there).abs() <= jump + 1e-12, "{config:?}");
            }
        }
    }

    #[test]
    fn the_derivative_is_the_slope() {
        for config in every_loss() {
            let loss = config.loss();
            // None at a kink.
            for (y, z) in [-1.0, 1.0].into_iter().flat_map(|y| [-2.0, -0.7, 0.0, 0.4, 2.5].map(|z| (y, z))) {
                let slope = (loss.value(z + 1e-6, y) - loss.value(z - 1e-6, y)) / 2e-6;
                assert!((slope - loss.derivative(z, y)).abs() < 1e-8, "{config:?}: z = {z}, y = {y}");
            }
        }
    }

    #[test]
    fn divergence_shows() {
        for config in every_loss() {
            assert!(config.loss().value(f64::NAN, 1.0).is_nan(), "{config:?}");
        }
    }
}
