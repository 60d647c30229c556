//! The epsilon-insensitive loss.

use serde::{Deserialize, Deserializer, Serialize};

use super::{Labels, Loss};
use crate::error::MachineError;

/// `l(z, y) = max(0, |y - z| - epsilon)`, the loss of support vector regression: errors up to `epsilon` are free.
///
/// At the kinks the subgradient is 0 (`1[|y - z| > epsilon]`). It is 1-Lipschitz, not smooth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpsilonInsensitive {
    #[serde(default = "default_epsilon", deserialize_with = "checked")]
    epsilon: f64,
}

impl EpsilonInsensitive {
    /// The loss that ignores errors up to `epsilon >= 0`.
    ///
    /// # Errors
    ///
    /// When `epsilon` is negative or not finite.
    pub fn new(epsilon: f64) -> Result<Self, MachineError> {
        if !(epsilon.is_finite() && epsilon >= 0.0) {
            return Err(MachineError::Epsilon(epsilon));
        }
        Ok(Self { epsilon })
    }

    /// The error that is free.
    pub fn epsilon(&self) -> f64 {
        self.epsilon
    }
}

impl Default for EpsilonInsensitive {
    fn default() -> Self {
        Self { epsilon: default_epsilon() }
    }
}

/// As LIBSVM's.
fn default_epsilon() -> f64 {
    0.1
}

fn checked<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let loss = EpsilonInsensitive::new(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)?;
    Ok(loss.epsilon)
}

impl Loss for EpsilonInsensitive {
    fn value(&self, z: f64, y: f64) -> f64 {
        let excess = (y - z).abs() - self.epsilon;
        if excess <= 0.0 { 0.0 } else { excess }
    }

    fn derivative(&self, z: f64, y: f64) -> f64 {
        if (y - z).abs() > self.epsilon { (z - y).signum() } else { 0.0 }
    }

    /// `u y + epsilon |u|` for `|u| <= 1`.
    fn conjugate(&self, u: f64, y: f64) -> f64 {
        if u.abs() <= 1.0 { u * y + self.epsilon * u.abs() } else { f64::INFINITY }
    }

    fn lipschitz(&self) -> Option<f64> {
        Some(1.0)
    }

    fn smoothness(&self) -> Option<f64> {
        None
    }

    fn labels(&self) -> Labels {
        Labels::Values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        let loss = EpsilonInsensitive::new(0.25).unwrap();
        assert_eq!(loss.value(1.0, 3.0), 1.75);
        assert_eq!(loss.value(3.0, 3.25), 0.0);
        assert_eq!(loss.derivative(1.0, 3.0), -1.0);
        assert_eq!(loss.derivative(4.0, 3.0), 1.0);
        assert_eq!(loss.derivative(3.25, 3.0), 0.0, "no push at the kink");
        assert_eq!(loss.conjugate(-0.5, 2.0), -0.875);
        assert_eq!(loss.conjugate(-1.5, 2.0), f64::INFINITY);
    }

    #[test]
    fn epsilon_is_checked() {
        assert_eq!(EpsilonInsensitive::default().epsilon(), 0.1);
        assert_eq!(EpsilonInsensitive::new(-1.0), Err(MachineError::Epsilon(-1.0)));
        assert!(EpsilonInsensitive::new(f64::NAN).is_err());
    }
}
