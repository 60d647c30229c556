//! Kernel ridge regression, and kernel regression without regularisation.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use super::cholesky::Cholesky;
use super::{Options, Solution, Stop, rounding};
use crate::check::{check_kernel, check_labels_for, check_outputs, rounding as kernel_rounding};
use crate::duality::Objectives;
use crate::error::MachineError;
use crate::loss::Squared;
use crate::objective::Objective;

/// Ridge regression with `k` outputs at once: `(K + lambda/2 I) alpha + 1 b^T = Y`, and `1^T alpha = 0` with an
/// intercept (the `1/2` because the loss is `(y - z)^2` without one).
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    /// `alpha`, `[n, k]`.
    pub coefficients: Array2<f64>,
    /// `b`, `[k]`; 0 without an intercept.
    pub intercepts: Array1<f64>,
}

/// Without regularisation, the largest `|K alpha - y| / |y|` that counts as an interpolation.
const INTERPOLATES: f64 = 1e-6;

/// With regularisation, the largest residual that coefficients of a large kernel may have for their own rounding: the
/// duality gap, which goes with its square, tells more.
const ROUNDED: f64 = 1e-3;

/// The residual, of the labels, from which on a solution is refined with twice the digits, and how often at most.
const FINE: f64 = 1e-10;
const REFINEMENTS: usize = 4;

impl Ridge {
    /// Solves for targets `Y: [n, k]` by a Cholesky factorisation with one step of refinement,
    /// and some more where regularisation is small beside the kernel. `lambda = 0` is kernel
    /// regression: the interpolation of smallest norm.
    ///
    /// # Errors
    ///
    /// When the shapes do not fit, a target is not finite, or the matrix is not what a kernel's must be; without
    /// regularisation when it is singular to rounding. Nothing is added to the diagonal behind the caller's back.
    pub fn solve(
        gram: ArrayView2<f64>,
        targets: ArrayView2<f64>,
        objective: Objective,
        intercept: bool,
    ) -> Result<Self, MachineError> {
        let (rows, columns) = gram.dim();
        let n = targets.nrows();
        if rows != n || columns != n {
            return Err(MachineError::Shape { rows, columns, samples: n });
        }
        targets.columns().into_iter().try_for_each(|column| check_labels_for(&Squared, column))?;
        check_kernel(gram)?;
        Self::of_checked(gram, targets, objective, intercept)
    }

    fn of_checked(
        gram: ArrayView2<f64>,
        targets: ArrayView2<f64>,
        objective: Objective,
        intercept: bool,
    ) -> Result<Self, MachineError> {
        let n = targets.nrows();
        let added = objective.lambda() / 2.0;
        let mut matrix = gram.to_owned();
        matrix.diag_mut().mapv_inplace(|value| value + added);
        let jitter = 1e-12 * gram.diag().sum();
        let rounding = kernel_rounding(gram.diag());
        let failed = |residual: Option<f64>| match (added, residual) {
            (0.0, _) => MachineError::Singular { residual: residual.unwrap_or(f64::INFINITY), jitter },
            (added, _) if added <= rounding => MachineError::BelowRounding { added, rounding },
            (_, Some(residual)) => MachineError::Residual { residual, added, rounding },
            (added, None) => MachineError::NoFactor { added },
        };
        let factor = Cholesky::new(matrix).ok_or_else(|| failed(None))?;
        let apply = |alpha: &Array2<f64>| gram.dot(alpha) + &(alpha * added);

        let mut alpha = factor.solve(targets);
        alpha = &alpha + &factor.solve((&targets - &apply(&alpha)).view());
        let mut intercepts = Array1::zeros(targets.ncols());
        let ones = intercept.then(|| {
            let ones = factor.solve(Array2::ones((n, 1)).view());
            &ones + &factor.solve((1.0 - apply(&ones)).view())
        });
        if let Some(ones) = &ones {
            intercepts = alpha.sum_axis(Axis(0)) / ones.sum();
            alpha = &alpha - &(ones * &intercepts);
        }
        // In units of the largest target, whose square may be beyond numbers.
        let largest = targets.iter().fold(f64::MIN_POSITIVE, |most: f64, y| most.max(y.abs()));
        let norm = |matrix: ArrayView2<f64>| matrix.iter().map(|value| (value / largest).powi(2)).sum::<f64>().sqrt();
        let size = norm(targets).max(f64::MIN_POSITIVE);
        let mut left = &targets - &apply(&alpha) - &intercepts;
        for _ in 0..REFINEMENTS {
            if added == 0.0 || norm(left.view()) <= FINE * size {
                break;
            }
            alpha = &alpha + &factor.solve(left.view());
            if let Some(ones) = &ones {
                let shift = alpha.sum_axis(Axis(0)) / ones.sum();
                alpha = &alpha - &(ones * &shift);
                intercepts += &shift;
            }
            left = &targets - &rounding::products(gram, alpha.view()) - &(&alpha * added) - &intercepts;
        }
        let residual = norm(left.view()) / size;
        // With regularisation the matrix is well conditioned unless lambda is rounding noise beside the kernel.
        if residual.is_nan() || residual > if added > 0.0 { ROUNDED } else { INTERPOLATES } {
            check_outputs(alpha.view())?;
            return Err(failed(Some(residual)));
        }
        if intercept {
            // Labels that are all the same want nothing but the intercept: what was found instead is rounding.
            for (j, labels) in targets.columns().into_iter().enumerate() {
                if labels.iter().all(|&y| y == labels[0]) {
                    alpha.column_mut(j).fill(0.0);
                    intercepts[j] = labels[0];
                }
            }
        }
        check_outputs(alpha.view())?;
        Ok(Self { coefficients: alpha, intercepts })
    }
}

/// The solutions for targets `[n, k]`, from one factorisation.
pub(super) fn solve(
    gram: ArrayView2<f64>,
    targets: ArrayView2<f64>,
    objective: Objective,
    options: &Options,
) -> Result<Vec<Solution>, MachineError> {
    let ridge = Ridge::of_checked(gram, targets, objective, options.intercept)?;
    let products = gram.dot(&ridge.coefficients);
    let columns = ridge.coefficients.columns().into_iter().zip(products.columns()).zip(&ridge.intercepts);
    let solution = |(((alpha, product), &intercept), labels): (((ArrayView1<f64>, ArrayView1<f64>), _), _)| {
        let mut outputs = &product + intercept;
        let objectives = if objective.lambda() > 0.0 {
            let found = Objectives::at(alpha, product, intercept, labels, &Squared, objective);
            let errors = rounding::output_errors(gram, alpha, intercept);
            if rounding::doubtful(&errors, alpha, found.primal, &Squared, objective, options.tolerance) {
                let (precise, found) = rounding::assess(gram, alpha, intercept, labels, &Squared, objective);
                outputs = precise;
                found
            } else {
                found
            }
        } else {
            // The smallest norm that interpolates, and its dual y^T alpha - 1/2 |beta|^2.
            let half_norm = alpha.dot(&product) / 2.0;
            Objectives { primal: half_norm, dual: labels.dot(&alpha) - half_norm }
        };
        let stop = if objectives.relative_gap().abs() <= options.tolerance { Stop::Converged } else { Stop::Rounding };
        let coefficients = alpha.to_owned();
        Solution { coefficients, intercept, outputs, objectives, iterations: 1, stop }
    };
    Ok(columns.zip(targets.columns()).map(solution).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn by_hand() {
        // (K + 1) alpha = y with K = [[2, 1], [1, 2]]: alpha = [[3, -1], [-1, 3]]/8 y.
        let gram = array![[2.0, 1.0], [1.0, 2.0]];
        let objective = Objective::new(1.0, 2).unwrap();
        let ridge = Ridge::solve(gram.view(), array![[8.0, 0.0], [0.0, 16.0]].view(), objective, false).unwrap();
        let error = &ridge.coefficients - &array![[3.0, -2.0], [-1.0, 6.0]];
        assert!(error.iter().all(|error| error.abs() < 1e-14));
        // With an intercept a constant costs nothing.
        let ridge = Ridge::solve(gram.view(), array![[5.0], [5.0]].view(), objective, true).unwrap();
        assert!((ridge.intercepts[0] - 5.0).abs() < 1e-14 && ridge.coefficients[[0, 0]].abs() < 1e-14);
    }

    #[test]
    fn a_singular_kernel_is_told() {
        let gram = array![[1.0, 1.0], [1.0, 1.0]];
        let free = Objective::new(0.0, 2).unwrap();
        let error = Ridge::solve(gram.view(), array![[1.0], [-1.0]].view(), free, false).unwrap_err();
        assert!(error.to_string().starts_with("the kernel is singular to rounding"), "{error}");
        assert!(
            Ridge::solve(gram.view(), array![[1.0], [-1.0]].view(), Objective::new(0.1, 2).unwrap(), false).is_ok()
        );
        let indefinite = array![[1.0, 3.0], [3.0, 1.0]];
        let error =
            Ridge::solve(indefinite.view(), array![[1.0], [-1.0]].view(), Objective::new(0.5, 2).unwrap(), false);
        assert_eq!(error, Err(MachineError::NoFactor { added: 0.5 }));
        // Features of very unlike scales: rounding made it indefinite, and is larger than what is added.
        let large = array![[1e18, 1e18 + 256.0], [1e18 + 256.0, 1e18]];
        let little = Objective::new(1e-6, 2).unwrap();
        let error = Ridge::solve(large.view(), array![[1.0], [-1.0]].view(), little, false).unwrap_err();
        assert!(error.to_string().contains("bring the features to one scale"), "{error}");
    }

    #[test]
    fn labels_have_any_size() {
        let gram = array![[2.0, 1.0], [1.0, 2.0]];
        let objective = Objective::new(1.0, 2).unwrap();
        let solve = |y: f64| Ridge::solve(gram.view(), array![[y], [-y]].view(), objective, false);
        // (K + 1) alpha = y: alpha = y / 2.
        for y in [1e-300, 1e200, 1e300] {
            assert!((solve(y).unwrap().coefficients[[0, 0]] / y - 0.5).abs() < 1e-14, "{y:e}");
        }
    }
}
