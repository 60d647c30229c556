//! Shrinking: solving on the samples that can still move, and coming back to all of them.

use std::borrow::Cow;

use ndarray::{Array1, ArrayView1, ArrayView2};
use rayon::prelude::*;

use super::box_dual::{BoxDual, Working, slope_down, slope_up};
use super::{
    Options, Solution, Stop, active_set, dual_coordinate_descent, interior_point, rounding,
    sequential_minimal_optimisation,
};
use crate::duality::Objectives;
use crate::error::MachineError;
use crate::loss::{Labels, Loss};
use crate::objective::Objective;

/// Between two looks at all samples the violation falls by about this factor.
const REDUCTION: f64 = 0.1;

/// Rounds without halving the gap after which it is taken to be rounding.
const STALLED: usize = 6;

/// A gap that steps on single coefficients leave through rounding, and a factorisation would not make much smaller.
const FINE: f64 = 1e-9;

/// Samples for which a dense factorisation is still sensible.
const DENSE: usize = 10_000;

/// Steps on single coefficients after which a problem is taken to be ill-conditioned: as long as some factorisations.
fn patience(n: usize) -> usize {
    100_000 + n * n / 4
}

/// Solves the dual in rounds. Each takes the samples that are inside their bounds or near to leaving them, copies
/// their part of the kernel together, improves them by the factor [`REDUCTION`], and then computes the gradient of all
/// samples anew, which also takes rounding errors away.
///
/// Where that takes more than [`patience`] or gets no nearer, an interior point method takes over, up to [`DENSE`]
/// samples.
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
    let machine = Machine { labels, problem, loss, objective, intercept: options.intercept };
    let diagonal: Vec<f64> = gram.diag().to_vec();
    let mut alpha = Array1::<f64>::zeros(n);
    let mut outputs = Array1::<f64>::zeros(n);
    let mut active: Vec<usize> = (0..n).collect();
    let mut iterations = 0;
    let mut best: Option<Candidate> = None;
    let mut lowest = f64::INFINITY;
    let mut stalled = 0;
    let most = options.max_iterations.min(patience(n));
    let (found, stop) = loop {
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
        let limit = most - iterations;
        let mut watch = |taken| options.tell("steps on single coefficients", iterations + taken, lowest);
        iterations += if options.intercept {
            sequential_minimal_optimisation::descend(&mut working, REDUCTION, limit, &mut watch)
        } else {
            // The gain of a step goes with the square of the violation.
            dual_coordinate_descent::descend(&mut working, REDUCTION * REDUCTION, limit, &mut watch)
        };
        for (&i, &value) in active.iter().zip(&working.alpha) {
            alpha[i] = value;
        }
        outputs = product(rows, alpha.as_slice().expect("made contiguous"));

        let slopes = Slopes::new(problem, &alpha, &outputs, labels, options.intercept);
        let intercept = if options.intercept { -slopes.centre(&alpha) } else { 0.0 };
        let mut found = machine.at(alpha.clone(), outputs.clone(), intercept);
        if machine.doubtful(gram.view(), &found, options.tolerance) {
            outputs = rounding::product(rows, alpha.view());
            let slopes = Slopes::new(problem, &alpha, &outputs, labels, options.intercept);
            let intercept = if options.intercept { -slopes.centre(&alpha) } else { 0.0 };
            found = machine.assessed(gram.view(), alpha.clone(), outputs.clone(), intercept);
        }
        let gap = found.gap();
        stalled = if gap < 0.5 * lowest { 0 } else { stalled + 1 };
        lowest = lowest.min(gap);
        if gap <= options.tolerance {
            break (found, Stop::Converged);
        }
        let scaled = machine.scaled(gram.view(), &found, options.tolerance);
        best = [best, Some(found), scaled].into_iter().flatten().min_by(|a, b| a.gap().total_cmp(&b.gap()));
        if iterations >= most || stalled >= STALLED {
            let best = best.expect("one was found just now");
            let stop = if iterations >= most { Stop::IterationLimit } else { Stop::Rounding };
            if best.gap() <= options.tolerance {
                break (best, Stop::Converged);
            }
            let small = n <= DENSE && options.has(4 * (n * n) as u64);
            if iterations >= options.max_iterations || best.gap() <= FINE || !small {
                break (best, stop);
            }
            let (found, steps) = machine.dense(gram.view(), rows, options);
            iterations += steps;
            let best = if found.gap() < best.gap() { found } else { best };
            let stop = if best.gap() <= options.tolerance { Stop::Converged } else { Stop::Rounding };
            break (best, stop);
        }
        active = slopes.movable();
        // A copy of most of the matrix saves nothing.
        if active.len() > n / 2 {
            active = (0..n).collect();
        }
    };
    let outputs = found.outputs;
    let margin = labels.iter().zip(&outputs).map(|(y, g)| y * g).fold(f64::INFINITY, f64::min);
    let separates = margin > 0.0 && outputs.iter().all(|output| output.is_finite());
    if objective.lambda() == 0.0 && !separates {
        return Err(MachineError::NotSeparable { margin, iterations });
    }
    let Candidate { alpha: coefficients, intercept, objectives, .. } = found;
    Ok(Solution { coefficients, intercept, outputs, objectives, iterations, stop })
}

/// What is solved, apart from the kernel.
struct Machine<'a> {
    labels: ArrayView1<'a, f64>,
    problem: &'a BoxDual,
    loss: &'a dyn Loss,
    objective: Objective,
    intercept: bool,
}

/// Coefficients with an intercept, and how good they are.
struct Candidate {
    alpha: Array1<f64>,
    /// `K alpha`.
    product: Array1<f64>,
    intercept: f64,
    /// With the intercept.
    outputs: Array1<f64>,
    objectives: Objectives,
}

impl Candidate {
    /// The relative gap; infinite where there is none. Below 0 it is rounding, as much as above.
    fn gap(&self) -> f64 {
        let gap = self.objectives.relative_gap().abs();
        if gap.is_nan() { f64::INFINITY } else { gap }
    }
}

impl Machine<'_> {
    fn at(&self, alpha: Array1<f64>, product: Array1<f64>, intercept: f64) -> Candidate {
        let objectives = self.objectives(&alpha, &product, intercept);
        let outputs = &product + intercept;
        Candidate { alpha, product, intercept, outputs, objectives }
    }

    /// The same by sums that rounding does not spoil.
    fn assessed(&self, gram: ArrayView2<f64>, alpha: Array1<f64>, product: Array1<f64>, intercept: f64) -> Candidate {
        let (outputs, objectives) =
            rounding::assess(gram, alpha.view(), intercept, self.labels, self.loss, self.objective);
        let objectives = match self.objective.lambda() > 0.0 {
            true => objectives,
            false => self.objectives(&alpha, &product, intercept),
        };
        Candidate { alpha, product, intercept, outputs, objectives }
    }

    /// Whether the rounding of its outputs hides how good it is.
    fn doubtful(&self, gram: ArrayView2<f64>, found: &Candidate, tolerance: f64) -> bool {
        let errors = rounding::output_errors(gram, found.alpha.view(), found.intercept);
        let primal = found.objectives.primal;
        rounding::doubtful(&errors, found.alpha.view(), primal, self.loss, self.objective, tolerance)
    }

    /// The objectives, also of the hard margin (`lambda = 0`), where the primal is that of the machine scaled to meet
    /// every margin.
    fn objectives(&self, alpha: &Array1<f64>, outputs: &Array1<f64>, intercept: f64) -> Objectives {
        if self.objective.lambda() > 0.0 {
            let (loss, objective) = (self.loss, self.objective);
            return Objectives::at(alpha.view(), outputs.view(), intercept, self.labels, loss, objective);
        }
        let half_norm = alpha.dot(outputs) / 2.0;
        let margin = self.margins(outputs, intercept);
        let primal = if margin > 0.0 { half_norm / (margin * margin) } else { f64::INFINITY };
        Objectives { primal, dual: self.labels.dot(alpha) - half_norm - intercept * alpha.sum() }
    }

    /// The smallest `y_i g_i`.
    fn margins(&self, outputs: &Array1<f64>, intercept: f64) -> f64 {
        self.labels.iter().zip(outputs).map(|(y, g)| y * (g + intercept)).fold(f64::INFINITY, f64::min)
    }

    /// A machine with the hinge loss that separates the classes, scaled so that it meets every margin. With a large `C`
    /// margins that are short by rounding cost much; where no coefficient is at its bound a larger `C` would change
    /// nothing.
    fn scaled(&self, gram: ArrayView2<f64>, found: &Candidate, tolerance: f64) -> Option<Candidate> {
        let hinge = self.problem.ridge == 0.0 && self.problem.epsilon == 0.0 && self.loss.labels() == Labels::Classes;
        if !hinge || self.objective.lambda() == 0.0 {
            return None;
        }
        let least = |sign: f64| {
            let own = self.labels.iter().zip(&found.product).filter(|(y, _)| **y == sign);
            own.map(|(y, g)| y * g).fold(f64::INFINITY, f64::min)
        };
        let (above, below) = (least(1.0), least(-1.0));
        let middle = if self.intercept { (below - above) / 2.0 } else { 0.0 };
        let margin = (above + middle).min(below - middle);
        if !(margin > 0.5 && margin < 2.0) {
            return None;
        }
        // A little more, so that rounding does not leave them short.
        let with = |more: f64| {
            let scale = (1.0 + more) / margin;
            let alpha = &found.alpha * scale;
            let inside = |i: usize| self.problem.lower[i] <= alpha[i] && alpha[i] <= self.problem.upper[i];
            let inside = (0..alpha.len()).all(inside);
            inside.then(|| self.at(alpha, &found.product * scale, middle * scale))
        };
        let more = 8.0 * f64::EPSILON;
        let first = with(more)?;
        if !self.doubtful(gram, &first, tolerance) {
            return Some(first);
        }
        let assessed = |found: Candidate| {
            let product = rounding::product_of(gram, found.alpha.view());
            self.assessed(gram, found.alpha, product, found.intercept)
        };
        let tries = (0..6).map(|power| more * 32.0_f64.powi(power)).map_while(with).map(assessed);
        tries.min_by(|a, b| a.gap().total_cmp(&b.gap()))
    }

    /// By an interior point method and Newton steps on what it finds: the best that rounding allows, and the steps taken.
    fn dense(&self, gram: ArrayView2<f64>, rows: &[f64], options: &Options) -> (Candidate, usize) {
        let n = self.labels.len();
        let mut steps = 0;
        let mut best: Option<Candidate> = None;
        // With an intercept the coefficients sum to 0, and constants added to rows and columns do not matter: without
        // them the numbers are smaller, and their rounding too.
        for centred in [false, true] {
            if centred && (!self.intercept || best.as_ref().is_some_and(|best| best.gap() <= options.tolerance)) {
                break;
            }
            let pivot = (0..n).min_by(|&i, &j| rows[i * n + i].total_cmp(&rows[j * n + j])).unwrap_or(0);
            let kernel = if centred { Cow::Owned(centre(rows, n, pivot)) } else { Cow::Borrowed(rows) };
            let mut watch = |taken, gap| options.tell("an interior point method's iterations", steps + taken, gap);
            let (mut alpha, taken) =
                interior_point::minimise(&kernel, self.labels, self.problem, self.intercept, &mut watch);
            steps += taken;
            let rough = self.assess(gram, &alpha, options.tolerance);
            steps += active_set::improve(&kernel, self.labels, self.problem, self.intercept, &mut alpha);
            let fine = self.assess(gram, &alpha, options.tolerance);
            let all = best.into_iter().chain(rough).chain(fine);
            best = all.min_by(|a, b| a.gap().total_cmp(&b.gap()));
        }
        (best.expect("there is a first"), steps)
    }

    /// The best candidates with given coefficients.
    fn assess(&self, gram: ArrayView2<f64>, alpha: &Array1<f64>, tolerance: f64) -> Vec<Candidate> {
        let product = rounding::product_of(gram, alpha.view());
        let slopes = Slopes::new(self.problem, alpha, &product, self.labels, self.intercept);
        let intercepts = if self.intercept {
            vec![-slopes.centre(alpha), cheapest(self.loss, &product, self.labels)]
        } else {
            vec![0.0]
        };
        let mut all = Vec::new();
        for intercept in intercepts {
            let found = self.assessed(gram, alpha.clone(), product.clone(), intercept);
            all.extend(self.scaled(gram, &found, tolerance));
            all.push(found);
        }
        all
    }
}

/// The intercept with the smallest sum of losses, of a loss whose slope jumps: it is at a sample's kink.
fn cheapest(loss: &dyn Loss, outputs: &Array1<f64>, labels: ArrayView1<f64>) -> f64 {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for (g, y) in outputs.iter().zip(labels) {
        (low, high) = (low.min(y - g), high.max(y - g));
    }
    let slope = |b: f64| outputs.iter().zip(labels).map(|(g, &y)| loss.derivative(g + b, y)).sum::<f64>();
    // Halving comes down to neighbouring numbers.
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if !(low < middle && middle < high) {
            break;
        }
        if slope(middle) < 0.0 { low = middle } else { high = middle }
    }
    high
}

/// The kernel of features less those of one sample: `K_ij - K_ip - K_pj + K_pp`.
fn centre(rows: &[f64], n: usize, pivot: usize) -> Vec<f64> {
    let column: Vec<f64> = (0..n).map(|i| rows[i * n + pivot]).collect();
    let one = |(i, row): (usize, &[f64])| -> Vec<f64> {
        let entry = |j: usize| (row[j] - column[i]) - (column[j] - column[pivot]);
        (0..n).map(entry).collect()
    };
    rows.chunks(n.max(1)).enumerate().flat_map(one).collect()
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
