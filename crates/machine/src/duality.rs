//! The dual objective, and the gap that tells how far from the optimum a machine is.

use ndarray::ArrayView1;

use crate::loss::Loss;
use crate::objective::Objective;

/// The two objectives of a machine, in the C form (in the lambda form they are `lambda` times these).
///
/// For coefficients `alpha`, outputs `g = K alpha` and the intercept `b`, with `l*` the loss's convex conjugate:
///
/// - primal: `1/2 alpha^T K alpha + C sum_i l(g_i + b, y_i)`
/// - dual: `-1/2 alpha^T K alpha - C sum_i l*(-alpha_i / C, y_i) - b sum_i alpha_i`
///
/// No machine's primal is below any machine's dual (with an intercept: any whose coefficients sum to 0, where the last
/// term is 0; else it is what their sum is worth), and the optimum has both equal. Their difference therefore bounds the
/// distance to the optimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objectives {
    /// What is minimised.
    pub primal: f64,
    /// The bound on it from below.
    pub dual: f64,
}

impl Objectives {
    /// The objectives at coefficients `alpha: [n]` with `outputs = K alpha: [n]` and an intercept, for `lambda > 0`.
    pub fn at(
        alpha: ArrayView1<f64>,
        outputs: ArrayView1<f64>,
        intercept: f64,
        labels: ArrayView1<f64>,
        loss: &dyn Loss,
        objective: Objective,
    ) -> Self {
        let (c, half_norm) = (objective.c(), alpha.dot(&outputs) / 2.0);
        let sum = |term: &dyn Fn(usize) -> f64| (0..alpha.len()).map(term).sum::<f64>();
        let losses = sum(&|i| loss.value(outputs[i] + intercept, labels[i]));
        let conjugates = sum(&|i| loss.conjugate(-alpha[i] / c, labels[i]));
        Self { primal: half_norm + c * losses, dual: -half_norm - c * conjugates - intercept * alpha.sum() }
    }

    /// `(primal - dual) / |primal|`; 0 when both are 0.
    pub fn relative_gap(&self) -> f64 {
        let gap = self.primal - self.dual;
        if gap == 0.0 { 0.0 } else { gap / self.primal.abs() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Hinge, Squared};
    use ndarray::array;

    #[test]
    fn objectives_by_hand() {
        // K = 2, alpha = 1/4, so g = 1/2 and beta^2 = 1/8; C = 1/lambda = 2.
        let objective = Objective::new(0.5, 1).unwrap();
        let at = |loss: &dyn Loss| {
            Objectives::at(array![0.25].view(), array![0.5].view(), 0.0, array![1.0].view(), loss, objective)
        };
        // Hinge: 1/16 + 2 * 1/2, and -1/16 + 2 * 1/8.
        assert_eq!(at(&Hinge), Objectives { primal: 1.0625, dual: 0.1875 });
        // Squared: 1/16 + 2 * 1/4, and -1/16 + 2 (1/8 - 1/256).
        assert_eq!(at(&Squared), Objectives { primal: 0.5625, dual: 0.1796875 });
        assert_eq!(at(&Hinge).relative_gap(), 0.875 / 1.0625);
    }

    #[test]
    fn what_the_dual_does_not_allow_has_an_infinite_gap() {
        let objective = Objective::new(1.0, 1).unwrap();
        let (alpha, outputs) = (array![1.5], array![1.5]);
        let both = Objectives::at(alpha.view(), outputs.view(), 0.0, array![1.0].view(), &Hinge, objective);
        assert_eq!(both.dual, f64::NEG_INFINITY);
        assert_eq!(both.relative_gap(), f64::INFINITY);
    }
}
