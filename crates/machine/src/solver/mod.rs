//! Exact solvers: the optimum of a machine's objective, with a bound on how far from it the result is.

mod active_set;
mod box_dual;
mod cholesky;
mod conjugate_gradients;
mod dual_coordinate_descent;
mod interior_point;
mod newton;
mod pivoted_cholesky;
mod ridge;
mod rounding;
mod sequential_minimal_optimisation;
mod solution;
mod working_set;

pub(crate) use cholesky::Cholesky;
pub use conjugate_gradients::{KernelRows, conjugate_gradients};
pub use ridge::Ridge;
pub(crate) use rounding::output_terms;
pub use solution::{Solution, Stop};

use ndarray::{ArrayView1, ArrayView2, Axis};

use crate::check::{check_kernel, check_labels_for};
use crate::error::MachineError;
use crate::loss::LossConfig;
use crate::objective::Objective;
use box_dual::BoxDual;

/// What a solver is asked for beside the objective.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether outputs have an intercept, which is not regularised.
    pub intercept: bool,
    /// The relative duality gap at which to stop.
    pub tolerance: f64,
    /// Steps after which to stop, in the solver's own unit, where its own limit is not lower: see [`solve`].
    pub max_iterations: usize,
    /// Who is told now and then how far a solver is.
    pub watch: Option<fn(&Progress)>,
    /// Who is asked whether there are so many bytes more, before a solver takes four times the kernel's memory in addition
    /// to it (see [`solve`]); without an answer it does. Where there are not, it stops without.
    pub spare: Option<fn(u64) -> bool>,
}

/// How far a solver is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What it counts.
    pub unit: &'static str,
    /// How many there were.
    pub iterations: usize,
    /// The relative duality gap as last known; infinite before the first look.
    pub relative_gap: f64,
}

impl Default for Options {
    /// No intercept (the paper's footnote 1), a relative gap of 1e-8, at most 10^8 steps, nobody told or asked.
    fn default() -> Self {
        Self { intercept: false, tolerance: 1e-8, max_iterations: 100_000_000, watch: None, spare: None }
    }
}

impl Options {
    /// Whether a solver may take so many numbers more.
    fn has(&self, numbers: u64) -> bool {
        self.spare.is_none_or(|spare| spare(numbers.saturating_mul(8)))
    }

    /// Tells who watches.
    fn tell(&self, unit: &'static str, iterations: usize, relative_gap: f64) {
        if let Some(watch) = self.watch {
            watch(&Progress { unit, iterations, relative_gap });
        }
    }
}

/// The machine that minimises an objective exactly, for a Gram matrix `[n, n]` and labels `[n]`.
///
/// | loss | machine (Table 1 of the paper) | solver | at `lambda = 0` |
/// |---|---|---|---|
/// | hinge | soft-margin SVM | dual coordinate descent, or SMO with an intercept | hard-margin SVM |
/// | squared hinge | 2-norm soft-margin SVM | the same | hard-margin SVM |
/// | epsilon-insensitive | support vector regression | the same | refused |
/// | squared | kernel ridge regression | Cholesky, or [`conjugate_gradients`] beyond memory | kernel regression |
/// | logistic | logistic regression | Newton | refused |
///
/// Every solver ends. Steps on single coefficients (`O(n)` each) end after `100 000 + n^2 / 4`; where they have not
/// converged then, or no longer get nearer, and there are at most 10 000 samples, an interior point method goes on from
/// the start (at most 100 iterations) and Newton steps over the coefficients inside their bounds finish (at most 60),
/// each `O(n^3)` and with up to `4 n^2` numbers beside the kernel; both twice with an intercept. Newton's method for the logistic loss ends after 200 iterations,
/// `O(n^3)` each. [`Solution::stop`] tells why a solver stopped, [`Solution::relative_gap`] how far it is, and
/// [`Options::watch`] hears of it on the way.
///
/// That the kernel is positive semidefinite is taken for granted where it costs more than the solution to know: see
/// [`check_positive`](crate::check_positive).
///
/// ```
/// use ndarray::array;
/// use widenet_machine::{LossConfig, Objective, Options, solve};
///
/// // Two points at -1 and 2 on a line, C = 10: the widest gap without an intercept is g(x) = x.
/// let x = array![[-1.0], [2.0]];
/// let gram = x.dot(&x.t());
/// let labels = array![-1.0, 1.0];
/// let machine = solve(gram.view(), labels.view(), LossConfig::Hinge, Objective::new(0.05, 2)?, &Options::default())?;
/// assert!((machine.outputs[0] + 1.0).abs() < 1e-6 && machine.support() == [0]);
/// assert!(machine.relative_gap() < 1e-8);
/// # Ok::<(), widenet_machine::MachineError>(())
/// ```
///
/// # Errors
///
/// When labels or kernel are not what the loss needs, or no optimum exists.
pub fn solve(
    gram: ArrayView2<f64>,
    labels: ArrayView1<f64>,
    loss: LossConfig,
    objective: Objective,
    options: &Options,
) -> Result<Solution, MachineError> {
    let targets = labels.insert_axis(Axis(1));
    check(gram, targets, loss, objective)?;
    Ok(solve_checked(gram, targets, loss, objective, options)?.remove(0))
}

/// A machine per column of targets `[n, k]`, over one kernel: vector-valued regression, or several classes each against
/// the rest. The squared loss takes one factorisation for all.
///
/// # Errors
///
/// As for [`solve`].
pub fn solve_columns(
    gram: ArrayView2<f64>,
    targets: ArrayView2<f64>,
    loss: LossConfig,
    objective: Objective,
    options: &Options,
) -> Result<Vec<Solution>, MachineError> {
    check(gram, targets, loss, objective)?;
    solve_checked(gram, targets, loss, objective, options)
}

fn check(
    gram: ArrayView2<f64>,
    targets: ArrayView2<f64>,
    loss: LossConfig,
    objective: Objective,
) -> Result<(), MachineError> {
    check_but_labels(gram, targets.nrows(), loss, objective)?;
    targets.columns().into_iter().try_for_each(|labels| check_labels_for(loss.loss(), labels))
}

/// Checks everything but labels for a problem with `n` samples.
pub(crate) fn check_but_labels(
    gram: ArrayView2<f64>,
    n: usize,
    loss: LossConfig,
    objective: Objective,
) -> Result<(), MachineError> {
    if gram.dim() != (n, n) {
        return Err(MachineError::Shape { rows: gram.nrows(), columns: gram.ncols(), samples: n });
    }
    if objective.samples() != n {
        return Err(MachineError::Count { what: "label", found: n, samples: objective.samples() });
    }
    check_kernel(gram)?;
    match loss {
        LossConfig::EpsilonInsensitive(_) | LossConfig::Logistic if objective.lambda() == 0.0 => {
            Err(MachineError::NeedsRegularisation { loss: loss.name(), lambda_mean: 0.0 })
        }
        _ => Ok(()),
    }
}

/// The same without a look at kernel and labels.
pub(crate) fn solve_checked(
    gram: ArrayView2<f64>,
    targets: ArrayView2<f64>,
    loss: LossConfig,
    objective: Objective,
    options: &Options,
) -> Result<Vec<Solution>, MachineError> {
    let each = |one: &dyn Fn(ArrayView1<f64>) -> Result<Solution, MachineError>| {
        targets.columns().into_iter().map(one).collect()
    };
    let bounds = |labels: ArrayView1<f64>, problem: BoxDual| {
        working_set::solve(gram, labels, &problem, loss.loss(), objective, options)
    };
    let found: Vec<Solution> = match loss {
        LossConfig::Hinge => each(&|labels| bounds(labels, BoxDual::hinge(objective, labels))),
        LossConfig::SquaredHinge => each(&|labels| bounds(labels, BoxDual::squared_hinge(objective, labels))),
        LossConfig::EpsilonInsensitive(loss) => {
            each(&|labels| bounds(labels, BoxDual::epsilon_insensitive(objective, labels.len(), loss)))
        }
        LossConfig::Squared => ridge::solve(gram, targets, objective, options),
        LossConfig::Logistic => each(&|labels| newton::solve(gram, labels, objective, options)),
    }?;
    found.iter().try_for_each(Solution::check)?;
    Ok(found)
}
