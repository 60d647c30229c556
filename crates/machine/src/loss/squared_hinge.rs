//! The squared hinge loss.

use super::{Hinge, Labels, Loss};

/// `l(z, y) = max(0, 1 - y z)^2` for labels -1/+1, the loss of the 2-norm soft-margin support vector machine.
///
/// `l'(z, y) = -2 y max(0, 1 - y z)`: 2-smooth, not Lipschitz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SquaredHinge;

impl Loss for SquaredHinge {
    fn value(&self, z: f64, y: f64) -> f64 {
        Hinge.value(z, y).powi(2)
    }

    fn derivative(&self, z: f64, y: f64) -> f64 {
        -2.0 * y * Hinge.value(z, y)
    }

    /// `v + v^2/4` for `v = y u <= 0`.
    fn conjugate(&self, u: f64, y: f64) -> f64 {
        let v = y * u;
        if v <= 0.0 { v + v * v / 4.0 } else { f64::INFINITY }
    }

    fn lipschitz(&self) -> Option<f64> {
        None
    }

    fn smoothness(&self) -> Option<f64> {
        Some(2.0)
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
        assert_eq!(SquaredHinge.value(0.5, 1.0), 0.25);
        assert_eq!(SquaredHinge.value(0.5, -1.0), 2.25);
        assert_eq!(SquaredHinge.value(1.5, 1.0), 0.0);
        assert_eq!(SquaredHinge.derivative(0.5, 1.0), -1.0);
        assert_eq!(SquaredHinge.derivative(0.5, -1.0), 3.0);
        assert_eq!(SquaredHinge.derivative(1.5, 1.0), 0.0);
        assert_eq!(SquaredHinge.conjugate(-2.0, 1.0), -1.0);
        assert_eq!(SquaredHinge.conjugate(1.0, 1.0), f64::INFINITY);
    }
}
