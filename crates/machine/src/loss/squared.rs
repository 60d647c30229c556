//! The squared loss.

use super::{Labels, Loss};

/// `l(z, y) = (y - z)^2`, the loss of kernel regression and kernel ridge regression.
///
/// `l'(z, y) = 2 (z - y)`: 2-smooth, not Lipschitz. There is no factor 1/2, so that ridge regression solves
/// `(K + lambda/2 I) alpha = y`. scikit-learn's `KernelRidge(alpha)` is this with `alpha = lambda/2`, that is
/// `lambda_mean = 2 alpha / n` and `C = 1 / (2 alpha)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Squared;

impl Loss for Squared {
    fn value(&self, z: f64, y: f64) -> f64 {
        (y - z).powi(2)
    }

    fn derivative(&self, z: f64, y: f64) -> f64 {
        2.0 * (z - y)
    }

    /// `u y + u^2/4`.
    fn conjugate(&self, u: f64, y: f64) -> f64 {
        u * y + u * u / 4.0
    }

    fn lipschitz(&self) -> Option<f64> {
        None
    }

    fn smoothness(&self) -> Option<f64> {
        Some(2.0)
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
        assert_eq!(Squared.value(0.5, 2.0), 2.25);
        assert_eq!(Squared.derivative(0.5, 2.0), -3.0);
        assert_eq!(Squared.derivative(2.0, 2.0), 0.0);
        assert_eq!(Squared.conjugate(-2.0, 3.0), -5.0);
    }
}
