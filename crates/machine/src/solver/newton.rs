//! Logistic regression by Newton's method.

use ndarray::{Array1, ArrayView1, ArrayView2, Axis};

use super::cholesky::Cholesky;
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
    let mut state = State { alpha: Array1::zeros(n), product: Array1::zeros(n), intercept: 0.0 };
    let mut value = state.value(labels, lambda);
    let mut best_gap = f64::INFINITY;
    for iterations in 0.. {
        // What the optimality condition makes of the outputs is feasible for the dual whatever they are.
        let outputs = state.outputs();
        let alpha = Array1::from_iter((0..n).map(|i| -Logistic.derivative(outputs[i], labels[i]) / lambda));
        let product = gram.dot(&alpha);
        let objectives = Objectives::at(alpha.view(), product.view(), state.intercept, labels, &Logistic, objective);
        // With an intercept the dual also wants the coefficients to sum to 0.
        let unbalanced =
            if options.intercept { (alpha.sum() * state.intercept).abs() / objectives.primal } else { 0.0 };
        let gap = objectives.relative_gap().abs() + unbalanced;
        let stop = match () {
            () if gap <= options.tolerance => Some(Stop::Converged),
            () if iterations >= options.max_iterations => Some(Stop::IterationLimit),
            // Newton's method squares the gap near the optimum; when it no longer falls it is rounding.
            () if gap >= best_gap && best_gap < 1e-6 => Some(Stop::Rounding),
            () => None,
        };
        best_gap = best_gap.min(gap);
        if let Some(stop) = stop {
            let (intercept, outputs) = (state.intercept, product + state.intercept);
            return Ok(Solution { coefficients: alpha, intercept, outputs, objectives, iterations, stop });
        }

        let target = state.newton(gram, labels, lambda, options.intercept)?;
        let mut step = 1.0;
        loop {
            let next = state.towards(&target, step);
            let next_value = next.value(labels, lambda);
            if next_value <= value || step < 1e-10 {
                (state, value) = (next, next_value);
                break;
            }
            step /= 2.0;
        }
    }
    unreachable!("the loop returns")
}

/// A machine with its outputs.
struct State {
    alpha: Array1<f64>,
    /// `K alpha`.
    product: Array1<f64>,
    intercept: f64,
}

impl State {
    fn outputs(&self) -> Array1<f64> {
        &self.product + self.intercept
    }

    /// The objective in the lambda form.
    fn value(&self, labels: ArrayView1<f64>, lambda: f64) -> f64 {
        let losses: f64 = self.outputs().iter().zip(labels).map(|(&g, &y)| Logistic.value(g, y)).sum();
        lambda * self.alpha.dot(&self.product) / 2.0 + losses
    }

    /// Where a full Newton step goes.
    fn newton(
        &self,
        gram: ArrayView2<f64>,
        labels: ArrayView1<f64>,
        lambda: f64,
        intercept: bool,
    ) -> Result<Self, MachineError> {
        let outputs = self.outputs();
        // With p = 1/(1 + exp(m)) at the margin m: l' = -y p and l'' = p (1 - p).
        let p = Array1::from_iter(outputs.iter().zip(labels).map(|(&g, &y)| -y * Logistic.derivative(g, y)));
        let root = p.mapv(|p| (p * (1.0 - p)).sqrt().max(f64::MIN_POSITIVE));
        let mut matrix = &gram * &root;
        matrix *= &root.view().insert_axis(Axis(1));
        matrix.diag_mut().mapv_inplace(|value| value + lambda);
        let factor = Cholesky::new(matrix).ok_or(MachineError::NoFactor { added: lambda })?;
        let solve = |right: Array1<f64>| &factor.solve((&root * &right).insert_axis(Axis(1)).view()).column(0) * &root;

        let slopes = &labels * &p;
        let mut alpha = solve(&outputs + &(&slopes / &(&root * &root)));
        let mut b = 0.0;
        if intercept {
            let ones = solve(Array1::ones(labels.len()));
            b = alpha.sum() / ones.sum();
            alpha = &alpha - &(&ones * b);
        }
        Ok(Self { product: gram.dot(&alpha), alpha, intercept: b })
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
