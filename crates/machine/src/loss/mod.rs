//! Losses `l(z, y)` of an output `z` and a label `y`.

mod hinge;

pub use hinge::Hinge;

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

/// A convex loss `l(z, y)`. One value trains both the network and the kernel machine.
pub trait Loss: Debug + Send + Sync {
    /// `l(z, y)`.
    fn value(&self, z: f64, y: f64) -> f64;

    /// `l'(z, y)`, the derivative in `z`, or the subgradient that the paper uses where there is none.
    fn derivative(&self, z: f64, y: f64) -> f64;

    /// The mean loss over samples with outputs `z: [n]` and labels `y: [n]`.
    fn mean(&self, z: &[f64], y: &[f64]) -> f64 {
        z.iter().zip(y).map(|(&z, &y)| self.value(z, y)).sum::<f64>() / z.len() as f64
    }
}

/// The losses by name, as a configuration gives them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossName {
    /// [`Hinge`]: the soft-margin support vector machine.
    #[default]
    Hinge,
}

impl LossName {
    /// The loss of this name.
    pub fn loss(self) -> &'static dyn Loss {
        match self {
            LossName::Hinge => &Hinge,
        }
    }

    /// The name in configurations and captions.
    pub fn name(self) -> &'static str {
        match self {
            LossName::Hinge => "hinge",
        }
    }
}
