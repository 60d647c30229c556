//! The logistic loss.

use super::{Labels, Loss};

/// `l(z, y) = log(1 + exp(-y z))` for labels -1/+1, the loss of logistic regression.
///
/// `l'(z, y) = -y / (1 + exp(y z))`: 1-Lipschitz and 1/4-smooth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logistic;

impl Loss for Logistic {
    fn value(&self, z: f64, y: f64) -> f64 {
        let margin = y * z;
        // The exponential of a number <= 0 does not overflow.
        let hinge = if margin < 0.0 { -margin } else { 0.0 };
        hinge + (-margin.abs()).exp().ln_1p()
    }

    fn derivative(&self, z: f64, y: f64) -> f64 {
        -y / (1.0 + (y * z).exp())
    }

    /// `p log p + (1 - p) log(1 - p)` for `p = -y u` in `[0, 1]`: minus the entropy.
    fn conjugate(&self, u: f64, y: f64) -> f64 {
        let p = -y * u;
        let term = |p: f64| if p == 0.0 { 0.0 } else { p * p.ln() };
        // Of a small p the logarithm of 1 - p would lose the digits.
        let other = if p == 1.0 { 0.0 } else { (1.0 - p) * (-p).ln_1p() };
        if (0.0..=1.0).contains(&p) { term(p) + other } else { f64::INFINITY }
    }

    fn lipschitz(&self) -> Option<f64> {
        Some(1.0)
    }

    fn smoothness(&self) -> Option<f64> {
        Some(0.25)
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
        let ln2 = std::f64::consts::LN_2;
        assert_eq!(Logistic.value(0.0, 1.0), ln2);
        assert_eq!(Logistic.derivative(0.0, -1.0), 0.5);
        // log(1 + 3) at z = -log 3, and the derivative -1/(1 + 1/3).
        assert!((Logistic.value(-3.0_f64.ln(), 1.0) - 2.0 * ln2).abs() < 1e-15);
        assert!((Logistic.derivative(-3.0_f64.ln(), 1.0) + 0.75).abs() < 1e-15);
        assert_eq!(Logistic.conjugate(-0.5, 1.0), -ln2);
        assert_eq!(Logistic.conjugate(0.0, 1.0), 0.0);
        assert_eq!(Logistic.conjugate(0.1, 1.0), f64::INFINITY);
        // p log p - p for a small p.
        assert_eq!(Logistic.conjugate(-1e-20, 1.0), 1e-20 * 1e-20_f64.ln() - 1e-20);
    }

    #[test]
    fn far_margins_do_not_overflow() {
        assert_eq!(Logistic.value(-1e4, 1.0), 1e4);
        assert_eq!(Logistic.value(1e4, 1.0), 0.0);
        assert_eq!(Logistic.derivative(1e4, 1.0), 0.0);
        assert_eq!(Logistic.derivative(-1e4, 1.0), -1.0);
    }
}
