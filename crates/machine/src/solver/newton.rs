//! Logistic regression by Newton's method.

use ndarray::{Array1, ArrayView1, ArrayView2, Axis};

use super::cholesky::Cholesky;
use super::rounding;
use super::{Options, Solution, Stop};
use crate::duality::Objectives;
use crate::error::MachineError;
use crate::loss::{Logistic, Loss};
use crate::objective::Objective;

/// Minimises `lambda/2 |beta|^2 + sum_i log(1 + exp(-y_i g_i))`.
///
/// With the weights `W = diag(l''(g_i))` a Newton step solves `(K + lambda W^-1) alpha + b = g - W^-1 l'(g)`, through
/// the Cholesky factor of `lambda I + W^1/2 K W^1/2`, which no small weight spoils. Steps are halved until the objective
/// falls.
pub(super) fn solve(
    gram: ArrayView2<f64>,
    labels: ArrayView1<f64>,
    objective: Objective,
    options: &Options,
) -> Result<Solution, MachineError> {
    let n = labels.len();
    let lambda = objective.lambda();
    let problem = Problem { gram, labels, objective, options };
    let mut state = State::nothing(n);
    let mut value = state.value(labels, lambda);
    let mut best_gap = f64::INFINITY;
    // Steps in a row that gained nothing that the objective's digits show.
    let mut idle = 0;
    let most = options.max_iterations.min(LIMIT);
    // Whether steps are made with twice the digits, once rounding has ended those without.
    let mut careful = false;
    for iterations in 0.. {
        // What the optimality condition makes of the outputs is feasible for the dual whatever they are.
        let outputs = state.outputs();
        let alpha = Array1::from_iter((0..n).map(|i| -Logistic.derivative(outputs[i], labels[i]) / lambda));
        let (outputs, objectives) = problem.assess(&alpha, gram.dot(&alpha), state.intercept);
        let gap = objectives.relative_gap().abs();
        options.tell("Newton steps", iterations, gap);
        let stop = match () {
            () if gap <= options.tolerance => Some(Stop::Converged),
            () if iterations >= most => Some(Stop::IterationLimit),
            // Newton's method squares the gap near the optimum; when it no longer falls it is rounding.
            () if idle >= IDLE || (gap >= best_gap && best_gap < 1e-6) => Some(Stop::Rounding),
            () => None,
        };
        best_gap = best_gap.min(gap);
        if stop == Some(Stop::Rounding) && !careful {
            (careful, idle, best_gap) = (true, 0, f64::INFINITY);
            state.product = rounding::product_of(gram, state.alpha.view());
            value = state.value(labels, lambda);
        } else if let Some(stop) = stop {
            let intercept = state.intercept;
            let found = Solution { coefficients: alpha, intercept, outputs, objectives, iterations, stop };
            if stop == Stop::Converged {
                return Ok(found);
            }
            // A large kernel makes much of the rounding of these coefficients, less of the step's own, and may spoil both. The
            // machine with the smallest gap is taken, unless another is better by far than its bound tells.
            let [own, cut] = state.as_they_are(&problem, iterations, stop);
            let [nothing, _] = State::nothing(n).as_they_are(&problem, iterations, stop);
            let gap = |one: &Solution| match one.relative_gap().abs() {
                gap if gap.is_nan() => f64::INFINITY,
                gap => gap,
            };
            let known = if gap(&cut) < gap(&found) { cut } else { found };
            let cheap = if own.objectives.primal < nothing.objectives.primal { own } else { nothing };
            let far = known.objectives.primal.is_nan() || cheap.objectives.primal < known.objectives.primal / 2.0;
            let mut best = if far { cheap } else { known };
            if gap(&best) <= options.tolerance {
                best.stop = Stop::Converged;
            }
            return Ok(best);
        }

        let target = state.newton(&problem, careful)?;
        let tried = (0..=HALVINGS).map(|halvings| state.towards(&target, 0.5_f64.powi(halvings))).find_map(|next| {
            let next_value = next.value(labels, lambda);
            (next_value <= value).then_some((next, next_value))
        });
        match tried {
            Some((next, next_value)) => {
                idle = if next_value < value * (1.0 - 4.0 * f64::EPSILON) { 0 } else { idle + 1 };
                (state, value) = (next, next_value);
            }
            None => idle = IDLE,
        }
    }
    unreachable!("the loop returns")
}

/// Newton steps after which it is left where it is; a step makes outputs at most some units larger, and `C` of 1e16 wants
/// some 50.
const LIMIT: usize = 200;

/// Halvings of a step that may be needed until the objective falls.
const HALVINGS: i32 = 34;

/// Steps without gain after which it is rounding.
const IDLE: usize = 3;

/// From here on `1 - p` has lost too many digits.
const NEAR_ONE: f64 = 1.0 - 1e-6;

/// A machine with its outputs.
struct State {
    alpha: Array1<f64>,
    /// `K alpha`.
    product: Array1<f64>,
    intercept: f64,
}

impl State {
    /// Without coefficients.
    fn nothing(n: usize) -> Self {
        Self { alpha: Array1::zeros(n), product: Array1::zeros(n), intercept: 0.0 }
    }

    fn outputs(&self) -> Array1<f64> {
        &self.product + self.intercept
    }

    /// The objective in the lambda form.
    fn value(&self, labels: ArrayView1<f64>, lambda: f64) -> f64 {
        let losses: f64 = self.outputs().iter().zip(labels).map(|(&g, &y)| Logistic.value(g, y)).sum();
        lambda * self.alpha.dot(&self.product) / 2.0 + losses
    }

    /// Where a full Newton step goes.
    fn newton(&self, problem: &Problem, careful: bool) -> Result<Self, MachineError> {
        let Problem { gram, labels, objective, options } = *problem;
        let lambda = objective.lambda();
        let outputs = self.outputs();
        // With p = 1/(1 + exp(m)) at the margin m: l' = -y p and l'' = p (1 - p).
        let p = Array1::from_iter(outputs.iter().zip(labels).map(|(&g, &y)| -y * Logistic.derivative(g, y)));
        let root = Array1::from_iter((0..p.len()).map(|i| {
            let other = match p[i] {
                p if p < NEAR_ONE => 1.0 - p,
                _ => 1.0 / (1.0 + (-labels[i] * outputs[i]).exp()),
            };
            // What this is divided by is its square.
            (p[i] * other).sqrt().max(1e-50)
        }));
        let factor = factor(gram, &root, lambda)?;
        let solve = |right: Array1<f64>| {
            let right = &root * &right;
            let once = |right: &Array1<f64>| factor.solve(right.view().insert_axis(Axis(1))).column(0).to_owned();
            let mut found = once(&right);
            if careful {
                let image = &rounding::product_of(gram, (&found * &root).view()) * &root;
                found = &found + &once(&(&right - &(&found * lambda) - &image));
            }
            found * &root
        };

        let slopes = &labels * &p;
        let mut alpha = solve(&outputs + &(&slopes / &(&root * &root)));
        let mut b = 0.0;
        if options.intercept {
            let ones = solve(Array1::ones(labels.len()));
            b = alpha.sum() / ones.sum();
            alpha = &alpha - &(&ones * b);
        }
        let product = if careful { rounding::product_of(gram, alpha.view()) } else { gram.dot(&alpha) };
        Ok(Self { product, alpha, intercept: b })
    }

    /// The coefficients as they are, and cut to what the dual allows.
    fn as_they_are(&self, problem: &Problem, iterations: usize, stop: Stop) -> [Solution; 2] {
        let c = problem.objective.c();
        let cut = |(alpha, y): (&f64, &f64)| y * (y * alpha).clamp(0.0, c);
        let cut: Array1<f64> = self.alpha.iter().zip(problem.labels).map(cut).collect();
        [(self.alpha.clone(), self.product.clone()), (cut.clone(), problem.gram.dot(&cut))].map(|(alpha, product)| {
            let (outputs, objectives) = problem.assess(&alpha, product, self.intercept);
            Solution { coefficients: alpha, intercept: self.intercept, outputs, objectives, iterations, stop }
        })
    }

    fn towards(&self, target: &Self, step: f64) -> Self {
        let mix = |from: &Array1<f64>, to: &Array1<f64>| from * (1.0 - step) + to * step;
        Self {
            alpha: mix(&self.alpha, &target.alpha),
            product: mix(&self.product, &target.product),
            intercept: (1.0 - step) * self.intercept + step * target.intercept,
        }
    }
}

/// What is solved.
struct Problem<'a> {
    gram: ArrayView2<'a, f64>,
    labels: ArrayView1<'a, f64>,
    objective: Objective,
    options: &'a Options,
}

impl Problem<'_> {
    /// The outputs, made anew where the rounding of `K alpha` would show, and the objectives.
    ///
    /// With an intercept the dual wants coefficients that sum to 0. Moved there in proportion to the weights
    /// `w_i = l''(g_i)` they lose `s b + s^2 / 2 (lambda / sum w + v^T K v)`, where `s` is their sum and
    /// `v = w / sum w`, to second order.
    fn assess(&self, alpha: &Array1<f64>, product: Array1<f64>, intercept: f64) -> (Array1<f64>, Objectives) {
        let Self { gram, labels, objective, options } = *self;
        let at = |product: &Array1<f64>| {
            Objectives::at(alpha.view(), product.view(), intercept, labels, &Logistic, objective)
        };
        let (mut outputs, mut objectives) = (&product + intercept, at(&product));
        let errors = rounding::output_errors(gram, alpha.view(), intercept);
        if rounding::doubtful(&errors, alpha.view(), objectives.primal, &Logistic, objective, options.tolerance) {
            (outputs, objectives) = rounding::assess(gram, alpha.view(), intercept, labels, &Logistic, objective);
        }
        if options.intercept && alpha.sum() != 0.0 {
            let weight = |(z, &y): (&f64, &f64)| {
                let p = -y * Logistic.derivative(*z, y);
                p * (1.0 - p)
            };
            let weights: Array1<f64> = outputs.iter().zip(labels).map(weight).collect();
            let (sum, all) = (alpha.sum(), weights.sum());
            let reach = weights.iter().zip(gram.diag()).map(|(w, k)| w * k.sqrt()).sum::<f64>() / all;
            objectives.dual -= sum * sum / 2.0 * (objective.lambda() / all + reach * reach);
        }
        // That of no coefficients is 0.
        objectives.dual = objectives.dual.max(0.0);
        (outputs, objectives)
    }
}

/// The factor of `lambda I + W^1/2 K W^1/2`, with more on the diagonal where rounding left it indefinite: the step is
/// then a little shorter than Newton's, and leads to the same optimum.
fn factor(gram: ArrayView2<f64>, root: &Array1<f64>, lambda: f64) -> Result<Cholesky, MachineError> {
    let mut added = 0.0;
    loop {
        let mut matrix = &gram * root;
        matrix *= &root.view().insert_axis(Axis(1));
        let most = matrix.diag().fold(lambda, |most: f64, &value| most.max(value));
        matrix.diag_mut().mapv_inplace(|value| value + lambda + added * most);
        match Cholesky::new(matrix) {
            Some(factor) => return Ok(factor),
            None if added > ROUNDING => return Err(MachineError::NoFactor { added: lambda }),
            None => added = if added == 0.0 { f64::EPSILON } else { 16.0 * added },
        }
    }
}

/// What is more than this share of the largest entry is no rounding.
const ROUNDING: f64 = 1e-6;
