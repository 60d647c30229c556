//! The hinge loss.

use super::{Labels, Loss};

/// `l(z, y) = max(0, 1 - y z)` for labels -1/+1, the loss of the soft-margin support vector machine.
///
/// At the kink `y z = 1` the subgradient is 0, as in the paper (`1[y z < 1]`, Eq. 3). It is 1-Lipschitz, not smooth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hinge;

impl Loss for Hinge {
    fn value(&self, z: f64, y: f64) -> f64 {
        // Not f64::max, which would turn NaN into 0 and hide a divergence.
        let slack = 1.0 - y * z;
        if slack <= 0.0 { 0.0 } else { slack }
    }

    fn derivative(&self, z: f64, y: f64) -> f64 {
        if y * z < 1.0 { -y } else { 0.0 }
    }

    /// `y u` for `-1 <= y u <= 0`.
    fn conjugate(&self, u: f64, y: f64) -> f64 {
        let v = y * u;
        if (-1.0..=0.0).contains(&v) { v } else { f64::INFINITY }
    }

    fn lipschitz(&self) -> Option<f64> {
        Some(1.0)
    }

    fn smoothness(&self) -> Option<f64> {
        None
    }

    fn labels(&self) -> Labels {
        Labels::Classes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_hand() {
        assert_eq!(Hinge.value(0.25, 1.0), 0.75);
        assert_eq!(Hinge.value(0.25, -1.0), 1.25);
        assert_eq!(Hinge.value(3.0, 1.0), 0.0);
        assert_eq!(Hinge.derivative(0.25, 1.0), -1.0);
        assert_eq!(Hinge.derivative(0.25, -1.0), 1.0);
        assert_eq!(Hinge.derivative(3.0, 1.0), 0.0);
        assert_eq!(Hinge.derivative(1.0, 1.0), 0.0, "no push at the kink");
        assert_eq!(Hinge.conjugate(0.5, -1.0), -0.5);
        assert_eq!(Hinge.conjugate(0.5, 1.0), f64::INFINITY);
        assert_eq!(Hinge.mean(&[0.25, 3.0], &[1.0, 1.0]), 0.375);
    }
}
