//! Shrinking: solving on the samples that can still move, and coming back to all of them.

use std::borrow::Cow;

use ndarray::{Array1, ArrayView1, ArrayView2};
use rayon::prelude::*;

use super::box_dual::{BoxDual, Working, slope_down, slope_up};
use super::{Options, Solution, Stop, dual_coordinate_descent, sequential_minimal_optimisation};
use crate::duality::Objectives;
use crate::error::MachineError;
use crate::loss::Loss;
use crate::objective::Objective;

/// Between two looks at all samples the violation falls by about this factor.
const REDUCTION: f64 = 0.1;

/// Solves the dual in rounds. Each takes the samples that are inside their bounds or near to leaving them, copies
/// their part of the kernel together, improves them by the factor [`REDUCTION`], and then computes the gradient of all
/// samples anew, which also takes rounding errors away.
pub(super) fn solve(
    gram: ArrayView2<f64>,
    labels: ArrayView1<f64>,
    problem: &BoxDual,
    loss: &dyn Loss,
    objective: Objective,
    options: &Options,
) -> Result<Solution, MachineError> {
    let n = labels.len();
    let gram = gram.as_standard_layout();
    let rows = gram.as_slice().expect("the standard layout is contiguous");
    let diagonal: Vec<f64> = gram.diag().to_vec();
    let mut alpha = Array1::<f64>::zeros(n);
    let mut outputs = Array1::<f64>::zeros(n);
    let mut active: Vec<usize> = (0..n).collect();
    let mut iterations = 0;
    let mut best_gap = f64::INFINITY;
    let mut stalled = 0;
    loop {
        let gradient = &outputs + &alpha * problem.ridge - labels;
        let pick = |values: &[f64]| active.iter().map(|&i| values[i]).collect::<Vec<f64>>();
        let part = if active.len() == n { Cow::Borrowed(rows) } else { Cow::Owned(submatrix(rows, n, &active)) };
        let mut working = Working {
            gram: &part,
            alpha: pick(alpha.as_slice().expect("made contiguous")),
            gradient: pick(gradient.as_slice().expect("made contiguous")),
            lower: pick(&problem.lower),
            upper: pick(&problem.upper),
            curvature: active.iter().map(|&i| diagonal[i] + problem.ridge).collect(),
            epsilon: problem.epsilon,
            ridge: problem.ridge,
        };
        let limit = options.max_iterations - iterations;
        iterations += if options.intercept {
            sequential_minimal_optimisation::descend(&mut working, REDUCTION, limit)
        } else {
            // The gain of a step goes with the square of the violation.
            dual_coordinate_descent::descend(&mut working, REDUCTION * REDUCTION, limit)
        };
        for (&i, &value) in active.iter().zip(&working.alpha) {
            alpha[i] = value;
        }
        outputs = product(rows, alpha.as_slice().expect("made contiguous"));

        let slopes = Slopes::new(problem, &alpha, &outputs, labels, options.intercept);
        let intercept = if options.intercept { -slopes.centre(&alpha) } else { 0.0 };
        let objectives = objectives(&alpha, &outputs, intercept, labels, loss, objective);
        let gap = objectives.relative_gap();
        stalled = if gap < 0.5 * best_gap { 0 } else { stalled + 1 };
        best_gap = best_gap.min(gap);
        let stop = match () {
            () if gap <= options.tolerance => Some(Stop::Converged),
            () if iterations >= options.max_iterations => Some(Stop::IterationLimit),
            () if stalled >= STALLED => Some(Stop::Rounding),
            () => None,
        };
        if let Some(stop) = stop {
            outputs += intercept;
            let margin = labels.iter().zip(&outputs).map(|(y, g)| y * g).fold(f64::INFINITY, f64::min);
            if objective.lambda() == 0.0 && margin <= 0.0 {
                return Err(MachineError::NotSeparable { margin, iterations });
            }
            return Ok(Solution { coefficients: alpha, intercept, outputs, objectives, iterations, stop });
        }
        active = slopes.movable();
        // A copy of most of the matrix saves nothing.
        if active.len() > n / 2 {
            active = (0..n).collect();
        }
    }
}

/// Rounds without halving the gap after which it is taken to be rounding.
const STALLED: usize = 6;

/// The objectives, also of the hard margin (`lambda = 0`), where the primal is that of the machine scaled to meet every
/// margin.
fn objectives(
    alpha: &Array1<f64>,
    outputs: &Array1<f64>,
    intercept: f64,
    labels: ArrayView1<f64>,
    loss: &dyn Loss,
    objective: Objective,
) -> Objectives {
    if objective.lambda() > 0.0 {
        return Objectives::at(alpha.view(), outputs.view(), intercept, labels, loss, objective);
    }
    let half_norm = alpha.dot(outputs) / 2.0;
    let margin = labels.iter().zip(outputs).map(|(y, g)| y * (g + intercept)).fold(f64::INFINITY, f64::min);
    let primal = if margin > 0.0 { half_norm / (margin * margin) } else { f64::INFINITY };
    Objectives { primal, dual: labels.dot(alpha) - half_norm }
}

/// The slopes of the dual objective in both directions, and what they are compared with.
struct Slopes {
    up: Vec<f64>,
    down: Vec<f64>,
    /// The largest slope down and the smallest slope up, of the coefficients that can move so; 0 without an intercept.
    ends: (f64, f64),
    violation: f64,
}

impl Slopes {
    fn new(
        problem: &BoxDual,
        alpha: &Array1<f64>,
        outputs: &Array1<f64>,
        labels: ArrayView1<f64>,
        intercept: bool,
    ) -> Self {
        let gradient = |i: usize| outputs[i] + problem.ridge * alpha[i] - labels[i];
        let n = alpha.len();
        let up: Vec<f64> = (0..n).map(|i| slope_up(alpha[i], gradient(i), problem.upper[i], problem.epsilon)).collect();
        let down: Vec<f64> =
            (0..n).map(|i| slope_down(alpha[i], gradient(i), problem.lower[i], problem.epsilon)).collect();
        let lowest = up.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = down.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (ends, violation) =
            if intercept { ((highest, lowest), highest - lowest) } else { ((0.0, 0.0), highest.max(-lowest)) };
        Self { up, down, ends, violation: violation.max(0.0) }
    }

    /// The slope that an intercept takes away from all: the mean over coefficients strictly inside their bounds, where
    /// it is the same at the optimum, or else the middle of what is allowed.
    fn centre(&self, alpha: &Array1<f64>) -> f64 {
        let inside: Vec<f64> = (0..self.up.len())
            .filter(|&i| alpha[i] != 0.0 && self.up[i].is_finite() && self.down[i].is_finite())
            .map(|i| self.up[i])
            .collect();
        if inside.is_empty() {
            return (self.ends.0 + self.ends.1) / 2.0;
        }
        inside.iter().sum::<f64>() / inside.len() as f64
    }

    /// The coefficients that may move while violations are as large as now.
    fn movable(&self) -> Vec<usize> {
        let middle = (self.ends.0 + self.ends.1) / 2.0;
        let near = |i: usize| self.up[i] - middle < self.violation || self.down[i] - middle > -self.violation;
        (0..self.up.len()).filter(|&i| near(i)).collect()
    }
}

/// The rows and columns `indices` of a matrix `[n, n]`.
fn submatrix(rows: &[f64], n: usize, indices: &[usize]) -> Vec<f64> {
    let mut part = vec![0.0; indices.len() * indices.len()];
    part.par_chunks_mut(indices.len().max(1)).zip(indices).for_each(|(out, &i)| {
        let row = &rows[i * n..(i + 1) * n];
        out.iter_mut().zip(indices).for_each(|(out, &j)| *out = row[j]);
    });
    part
}

/// `K alpha` for a symmetric `K: [n, n]`, reading the rows of the support alone.
fn product(rows: &[f64], alpha: &[f64]) -> Array1<f64> {
    let n = alpha.len();
    let support: Vec<usize> = (0..n).filter(|&i| alpha[i] != 0.0).collect();
    let mut out = vec![0.0; n];
    let block = n.div_ceil(4 * rayon::current_num_threads()).max(512);
    out.par_chunks_mut(block).enumerate().for_each(|(part, out)| {
        let start = part * block;
        for &i in &support {
            let row = &rows[i * n + start..i * n + start + out.len()];
            out.iter_mut().zip(row).for_each(|(out, k)| *out += alpha[i] * k);
        }
    });
    Array1::from_vec(out)
}
