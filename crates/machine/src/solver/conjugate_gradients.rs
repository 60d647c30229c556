//! Kernel ridge regression beyond memory: preconditioned conjugate gradients.

use std::ops::Range;

use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate, s};

use super::pivoted_cholesky::Preconditioner;
use super::{Options, Solution, Stop};
use crate::check::{check_labels_for, rounding};
use crate::duality::Objectives;
use crate::error::MachineError;
use crate::loss::Squared;
use crate::objective::Objective;

/// A Gram matrix `[n, n]` whose rows are made when they are asked for.
pub trait KernelRows {
    /// Why there are no rows.
    type Error: From<MachineError>;

    /// The diagonal, `[n]`.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    fn diagonal(&self) -> Result<Array1<f64>, Self::Error>;

    /// Some rows, `[rows, n]`.
    ///
    /// # Errors
    ///
    /// When they cannot be made.
    fn rows(&self, rows: Range<usize>) -> Result<Array2<f64>, Self::Error>;
}

impl KernelRows for ArrayView2<'_, f64> {
    type Error = MachineError;

    fn diagonal(&self) -> Result<Array1<f64>, MachineError> {
        Ok(self.diag().to_owned())
    }

    fn rows(&self, rows: Range<usize>) -> Result<Array2<f64>, MachineError> {
        Ok(self.slice(s![rows, ..]).to_owned())
    }
}

/// Numbers of the kernel that are in memory at a time: 64 MB.
const TILE: usize = 1 << 23;

/// Kernel ridge regression of targets `[n, k]` without the Gram matrix in memory: `(K + lambda/2 I) alpha = y` by conjugate
/// gradients, all columns side by side so that they share each pass over the kernel.
///
/// The preconditioner is made of at most `rank` rows of the kernel. Memory is `n (rank + 7 k)` numbers and a tile of rows.
/// An iteration is one pass over the kernel, and there are at most `1000 + 20 n`. It stops when the relative duality gap of every column is at most the
/// tolerance, with outputs computed anew by a last pass.
///
/// ```
/// use ndarray::{Array1, Array2, array, s};
/// use std::ops::Range;
/// use widenet_machine::{KernelRows, MachineError, Objective, Options, conjugate_gradients};
///
/// /// The kernel exp(-|x - x'|) of points on a line.
/// struct Line(Array1<f64>);
///
/// impl KernelRows for Line {
///     type Error = MachineError;
///
///     fn diagonal(&self) -> Result<Array1<f64>, MachineError> {
///         Ok(Array1::ones(self.0.len()))
///     }
///
///     fn rows(&self, rows: Range<usize>) -> Result<Array2<f64>, MachineError> {
///         let part = self.0.slice(s![rows]);
///         Ok(Array2::from_shape_fn((part.len(), self.0.len()), |(i, j)| (-(part[i] - self.0[j]).abs()).exp()))
///     }
/// }
///
/// let kernel = Line(Array1::linspace(0.0, 3.0, 200));
/// let targets = kernel.0.mapv(f64::sin).insert_axis(ndarray::Axis(1));
/// let objective = Objective::new(1e-4, 200)?;
/// let machine = conjugate_gradients(&kernel, targets.view(), objective, &Options::default(), 20)?.remove(0);
/// assert!(machine.relative_gap() < 1e-8 && (&machine.outputs - &targets.column(0)).iter().all(|off| off.abs() < 0.05));
/// # Ok::<(), MachineError>(())
/// ```
///
/// # Errors
///
/// When targets or kernel are not what they must be, without regularisation, and when rows cannot be made.
pub fn conjugate_gradients<K: KernelRows>(
    kernel: &K,
    targets: ArrayView2<f64>,
    objective: Objective,
    options: &Options,
    rank: usize,
) -> Result<Vec<Solution>, K::Error> {
    let (n, k) = targets.dim();
    targets.columns().into_iter().try_for_each(|column| check_labels_for(&Squared, column))?;
    if objective.samples() != n {
        return Err(MachineError::Count { what: "label", found: n, samples: objective.samples() }.into());
    }
    if objective.lambda() == 0.0 {
        return Err(MachineError::Unregularised.into());
    }
    let added = objective.lambda() / 2.0;
    let preconditioner = Preconditioner::new(kernel, rank, added)?;
    // With an intercept (K + lambda/2 I) x = 1 is solved beside: alpha is what keeps 1^T alpha = 0.
    let right = match options.intercept {
        true => concatenate(Axis(1), &[targets, Array2::ones((n, 1)).view()]).expect("n rows each"),
        false => targets.to_owned(),
    };
    let solutions = |x: &Array2<f64>, residual: &Array2<f64>, iterations| -> Vec<Solution> {
        // K x, as the residual knows it.
        let product = &right - residual - &(x * added);
        let column = |j: usize| {
            let intercept = if options.intercept { x.column(j).sum() / x.column(k).sum() } else { 0.0 };
            let combined = |all: &Array2<f64>| match options.intercept {
                true => &all.column(j) - &(&all.column(k) * intercept),
                false => all.column(j).to_owned(),
            };
            let (alpha, outputs) = (combined(x), combined(&product));
            let objectives =
                Objectives::at(alpha.view(), outputs.view(), intercept, targets.column(j), &Squared, objective);
            let outputs = outputs + intercept;
            Solution { coefficients: alpha, intercept, outputs, objectives, iterations, stop: Stop::Converged }
        };
        (0..k).map(column).collect()
    };
    let largest_gap = |found: &[Solution]| found.iter().map(|one| one.relative_gap().abs()).fold(0.0, f64::max);
    let stopped = |mut found: Vec<Solution>, stop: Stop| {
        found.iter().try_for_each(|one| one.check())?;
        found.iter_mut().for_each(|one| one.stop = stop);
        Ok(found)
    };

    let mut x = Array2::<f64>::zeros(right.dim());
    let mut residual = right.clone();
    let mut direction = preconditioner.solve(&residual);
    let mut size = dots(&residual, &direction);
    let mut best = f64::INFINITY;
    let mut iterations = 0;
    loop {
        let image = times(kernel, &direction)? + &(&direction * added);
        let curvature = dots(&direction, &image);
        if let Some(j) =
            (0..curvature.len()).find(|&j| size[j] != 0.0 && (curvature[j] <= 0.0 || curvature[j].is_nan()))
        {
            let column = direction.column(j);
            let bend = curvature[j] / column.dot(&column);
            return Err(match rounding(kernel.diagonal()?.view()) {
                rounding if bend.abs() <= rounding => MachineError::BelowRounding { added, rounding },
                _ => MachineError::Curvature(bend),
            }
            .into());
        }
        let step = share(&size, &curvature);
        x = x + &direction * &step;
        residual = residual - &image * &step;
        iterations += 1;
        let near = largest_gap(&solutions(&x, &residual, iterations)) <= options.tolerance.max(f64::EPSILON);
        let last = iterations >= options.max_iterations.min(1_000 + 20 * n);
        if near || last {
            // Updated again and again, the residual is no longer quite that of x.
            residual = &right - &times(kernel, &x)? - &(&x * added);
            let found = solutions(&x, &residual, iterations);
            let gap = largest_gap(&found);
            match () {
                () if gap <= options.tolerance => return stopped(found, Stop::Converged),
                () if last => return stopped(found, Stop::IterationLimit),
                () if gap > 0.5 * best => return stopped(found, Stop::Rounding),
                () => best = gap,
            }
        }
        let conditioned = preconditioner.solve(&residual);
        let next = dots(&residual, &conditioned);
        // From a residual made anew it starts afresh.
        let keep = if near { Array1::zeros(next.len()) } else { share(&next, &size) };
        direction = conditioned + &(&direction * &keep);
        size = next;
    }
}

/// `K v` for `v: [n, k]`, tile by tile.
fn times<K: KernelRows>(kernel: &K, v: &Array2<f64>) -> Result<Array2<f64>, K::Error> {
    let n = v.nrows();
    let height = (TILE / n).clamp(1, n);
    let mut product = Array2::zeros(v.dim());
    for start in (0..n).step_by(height) {
        let rows = start..n.min(start + height);
        product.slice_mut(s![rows.clone(), ..]).assign(&kernel.rows(rows)?.dot(v));
    }
    Ok(product)
}

/// The scalar products of columns.
fn dots(a: &Array2<f64>, b: &Array2<f64>) -> Array1<f64> {
    (a * b).sum_axis(Axis(0))
}

/// `a / b`, and 0 where there is nothing left.
fn share(a: &Array1<f64>, b: &Array1<f64>) -> Array1<f64> {
    a.iter().zip(b).map(|(&a, &b)| if a == 0.0 { 0.0 } else { a / b }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::LossConfig;
    use crate::solver::solve_columns;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn what_does_not_fit_is_told() {
        let attempt = |gram: Array2<f64>, targets: Array2<f64>, lambda_mean| {
            let objective = Objective::new(lambda_mean, 2).unwrap();
            conjugate_gradients(&gram.view(), targets.view(), objective, &Options::default(), 0)
                .unwrap_err()
                .to_string()
        };
        let y = array![[1.0], [-1.0]];
        assert!(attempt(Array2::eye(2), y.clone(), 0.0).contains("conjugate gradients need a regularisation > 0"));
        assert!(attempt(array![[1.0, 3.0], [3.0, 1.0]], y, 0.5).ends_with("direction of curvature -1.500e0"));
        assert!(attempt(Array2::eye(2), array![[1.0], [f64::NAN]], 0.5).contains("label 1 is NaN"));
    }

    #[test]
    fn the_limit_of_iterations_is_kept() {
        let gram = Array2::from_shape_fn((30, 30), |(i, j)| (-(i as f64 - j as f64).abs() / 5.0).exp());
        let targets = Array2::from_shape_fn((30, 1), |(i, _)| (i as f64).cos());
        let options = Options { max_iterations: 3, ..Options::default() };
        let objective = Objective::new(1e-3, 30).unwrap();
        let found = &conjugate_gradients(&gram.view(), targets.view(), objective, &options, 0).unwrap()[0];
        assert_eq!((found.stop, found.iterations), (Stop::IterationLimit, 3));
        assert!(found.relative_gap() > 1e-8);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// What Cholesky finds, whatever the rank of the preconditioner.
        #[test]
        fn it_agrees_with_cholesky(
            features in proptest::collection::vec(-1.0..1.0f64, 40 * 5),
            targets in proptest::collection::vec(-1.0..1.0f64, 40 * 2),
            lambda_mean in 1e-4..1.0f64,
            intercept: bool,
        ) {
            let features = Array2::from_shape_vec((40, 5), features).unwrap();
            let gram = features.dot(&features.t()).mapv(|u| (1.0 + u).powi(3));
            let targets = Array2::from_shape_vec((40, 2), targets).unwrap();
            let objective = Objective::new(lambda_mean, 40).unwrap();
            let options = Options { intercept, tolerance: 1e-14, ..Options::default() };
            let exact = solve_columns(gram.view(), targets.view(), LossConfig::Squared, objective, &options).unwrap();
            for rank in [0, 5, 40] {
                let found = conjugate_gradients(&gram.view(), targets.view(), objective, &options, rank).unwrap();
                for (found, exact) in found.iter().zip(&exact) {
                    prop_assert!(found.relative_gap().abs() < 1e-12, "{rank}: {found:?}");
                    let off = (&found.outputs - &exact.outputs).iter().fold(0.0, |most: f64, off| most.max(off.abs()));
                    prop_assert!(off < 1e-6 && (found.intercept - exact.intercept).abs() < 1e-6, "{rank}: {off}");
                }
            }
        }
    }
}
