//! A primal-dual interior point method for the box dual: a few dense factorisations, however ill-conditioned the kernel.

use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::box_dual::BoxDual;
use super::cholesky::Cholesky;
use super::rounding::product;

/// Iterations after which it is left where it is; it takes 15 to 40.
const LIMIT: usize = 100;

/// The duality gap, relative to the objective, at which it stops: as near as products and bounds can tell apart.
const NEAR: f64 = 1e-14;

/// Iterations without halving what is left after which it is rounding.
const WAITS: usize = 6;

/// How much of the way to the nearest bound a step takes at most.
const SHARE: f64 = 0.995;

/// One side of a coefficient: `alpha_i = sum of sign x` over its sides, `0 <= x <= range`.
struct Side {
    sample: usize,
    sign: f64,
    range: f64,
    /// The slope of the linear part in `x`.
    cost: f64,
    x: f64,
    /// How far the upper bound is, kept beside: their difference would lose its digits.
    room: f64,
    /// The multiplier of `x >= 0`.
    low: f64,
    /// The multiplier of `x <= range`; 0 where that is infinite.
    high: f64,
}

impl Side {
    fn bounded(&self) -> bool {
        self.range.is_finite()
    }

    /// What the bounds add to the curvature.
    fn stiffness(&self) -> f64 {
        self.low / self.x + if self.bounded() { self.high / self.room } else { 0.0 }
    }
}

/// A direction of a side: of `x` and of its multipliers.
#[derive(Clone, Copy, Default)]
struct Move {
    x: f64,
    low: f64,
    high: f64,
}

/// The minimiser of the problem over a kernel `[n, n]` row by row, near the bounds put on them, and the iterations
/// taken: Mehrotra's predictor and corrector ("On the implementation of a primal-dual interior point method", 1992).
/// Each iteration factors `I + S^1/2 (K + ridge I) S^1/2` with the diagonal `S` that the bounds make: `O(n^3)`.
///
/// `watch` is told the iteration and the relative gap.
pub(super) fn minimise(
    rows: &[f64],
    labels: ArrayView1<f64>,
    problem: &BoxDual,
    intercept: bool,
    watch: &mut dyn FnMut(usize, f64),
) -> (Array1<f64>, usize) {
    let n = labels.len();
    let curvature = |i: usize| rows[i * n + i] + problem.ridge;
    // Numbers of a size near 1: outputs in units of the largest label, coefficients accordingly.
    let positive = |value: f64| if value > 0.0 && value.is_finite() { value } else { 1.0 };
    let size = positive(labels.iter().fold(0.0, |most: f64, y| most.max(y.abs())));
    let most = positive((0..n).map(curvature).fold(0.0, f64::max));
    let unit = size / most;
    let kernel =
        Array2::from_shape_fn((n, n), |(i, j)| (rows[i * n + j] + if i == j { problem.ridge } else { 0.0 }) / most);
    let mut state = State { kernel, sides: Vec::new(), shift: 0.0, intercept, nearest: f64::INFINITY, waited: 0 };
    for (i, &y) in labels.iter().enumerate() {
        for (sign, bound) in [(1.0, problem.upper[i]), (-1.0, -problem.lower[i])] {
            if bound > 0.0 {
                let (range, cost) = (bound / unit, (problem.epsilon - sign * y) / size);
                let x = f64::min(1.0, range / 2.0);
                let high = if range.is_finite() { x / (range - x) } else { 0.0 };
                state.sides.push(Side { sample: i, sign, range, cost, x, room: range - x, low: 1.0, high });
            }
        }
    }
    state.centre();
    let mut taken = 0;
    while taken < LIMIT && state.step(&mut |gap| watch(taken, gap)) {
        taken += 1;
    }
    let mut alpha = Array1::zeros(n);
    for side in &state.sides {
        // Of a bound and its multiplier one is 0 at the optimum: here, the smaller.
        let x = match side {
            side if side.x < side.low => 0.0,
            side if side.bounded() && side.room < side.high => side.range,
            side => side.x,
        };
        alpha[side.sample] += if x == side.range {
            // Met exactly.
            if side.sign > 0.0 { problem.upper[side.sample] } else { problem.lower[side.sample] }
        } else {
            side.sign * x * unit
        };
    }
    (alpha, taken)
}

struct State {
    kernel: Array2<f64>,
    sides: Vec<Side>,
    /// The multiplier of `sum alpha = 0`.
    shift: f64,
    intercept: bool,
    /// The smallest gap or violation so far, and for how many iterations it has not halved.
    nearest: f64,
    waited: usize,
}

impl State {
    fn alpha(&self) -> Array1<f64> {
        let mut alpha = Array1::zeros(self.kernel.nrows());
        self.sides.iter().for_each(|side| alpha[side.sample] += side.sign * side.x);
        alpha
    }

    /// Where every side has two bounds, starts amid them with multipliers that fit the slopes and are alike: from there
    /// steps are long, however unlike the samples' scales.
    fn centre(&mut self) {
        if !self.sides.iter().all(Side::bounded) {
            return;
        }
        self.sides.iter_mut().for_each(|side| (side.x, side.room) = (side.range / 2.0, side.range / 2.0));
        let slopes = self.slopes();
        let most = slopes.iter().fold(0.0, |most: f64, slope| most.max(slope.abs()));
        for (side, slope) in self.sides.iter_mut().zip(slopes) {
            (side.low, side.high) = (2.0 * most + slope / 2.0, 2.0 * most - slope / 2.0);
        }
    }

    /// The slopes of the objective in each `x`, with the multiplier of the sum.
    fn slopes(&self) -> Vec<f64> {
        let outputs = product(self.kernel.as_slice().expect("made in the standard layout"), self.alpha().view());
        self.sides.iter().map(|side| side.sign * (outputs[side.sample] + self.shift) + side.cost).collect()
    }

    /// The mean product of bounds and multipliers, of `sides` moved by `share` of `moves`.
    fn complementarity(&self, moves: &[Move], share: f64) -> f64 {
        let (mut sum, mut count) = (0.0, 0.0);
        for (side, step) in self.sides.iter().zip(moves) {
            sum += (side.x + share * step.x) * (side.low + share * step.low);
            count += 1.0;
            if side.bounded() {
                sum += (side.room - share * step.x) * (side.high + share * step.high);
                count += 1.0;
            }
        }
        sum / count
    }

    /// One step; false when there is nothing left to gain.
    fn step(&mut self, watch: &mut dyn FnMut(f64)) -> bool {
        let n = self.kernel.nrows();
        let alpha = self.alpha();
        let outputs = product(self.kernel.as_slice().expect("made in the standard layout"), alpha.view());
        let slope = |side: &Side| side.sign * (outputs[side.sample] + self.shift) + side.cost;
        let residual: Vec<f64> = self.sides.iter().map(|side| slope(side) - side.low + side.high).collect();
        let still = vec![Move::default(); self.sides.len()];
        let mean = self.complementarity(&still, 0.0);
        let value = alpha.dot(&outputs) / 2.0 + self.sides.iter().map(|side| side.cost * side.x).sum::<f64>();
        let parts = self.sides.iter().map(|side| 1.0 + f64::from(u8::from(side.bounded()))).sum::<f64>();
        let off = residual.iter().fold(0.0, |most: f64, r| most.max(r.abs()));
        let gap = mean * parts / value.abs().max(f64::MIN_POSITIVE);
        watch(gap);
        let far = gap.max(off);
        self.waited = if far < 0.5 * self.nearest { 0 } else { self.waited + 1 };
        self.nearest = self.nearest.min(far);
        // A value of 0, as at the start without a tube, has an infinite gap.
        if far <= NEAR || far.is_nan() || off.is_infinite() {
            return false;
        }
        // What is left of the slopes is rounding.
        if self.waited >= WAITS && (far < 1e-6 || gap <= NEAR) {
            return false;
        }

        let stiffness: Vec<f64> = self.sides.iter().map(Side::stiffness).collect();
        let mut give = Array1::<f64>::zeros(n);
        self.sides.iter().zip(&stiffness).for_each(|(side, stiff)| give[side.sample] += 1.0 / stiff);
        let Some((root, factor)) = self.factor(&give) else { return false };
        let kernel = self.kernel.as_slice().expect("made in the standard layout");
        let solve = |right: &Array1<f64>| {
            let once = |right: &Array1<f64>| {
                let right = right.view().insert_axis(Axis(1));
                factor.solve(right).column(0).to_owned()
            };
            let found = once(right);
            let left = right - &found - &(&product(kernel, (&found * &root).view()) * &root);
            found + once(&left)
        };
        let constant = self.intercept.then(|| &solve(&root) * &root);

        // The step towards products `target`, corrected by the products of the moves predicted.
        let direction = |target: f64, predicted: &[Move]| -> (Vec<Move>, f64) {
            let goals: Vec<(f64, f64)> = self
                .sides
                .iter()
                .zip(predicted)
                .map(|(side, step)| {
                    let low = (target - step.x * step.low) / side.x - side.low;
                    let high = if side.bounded() { (target + step.x * step.high) / side.room - side.high } else { 0.0 };
                    (low, high)
                })
                .collect();
            let right: Vec<f64> = residual.iter().zip(&goals).map(|(r, (low, high))| low - high - r).collect();
            let mut free = Array1::<f64>::zeros(n);
            for ((side, right), stiff) in self.sides.iter().zip(&right).zip(&stiffness) {
                free[side.sample] += side.sign * right / stiff;
            }
            let scaled = Array1::from_shape_fn(n, |i| if root[i] > 0.0 { free[i] * root[i] / give[i] } else { 0.0 });
            let mut change = &solve(&scaled) * &root;
            let mut shift = 0.0;
            if let Some(constant) = &constant {
                shift = (change.sum() + alpha.sum()) / constant.sum();
                change.scaled_add(-shift, constant);
            }
            let slopes = product(kernel, change.view());
            let bent = |k: usize| {
                let side = &self.sides[k];
                (right[k] - side.sign * (slopes[side.sample] + shift)) / stiffness[k]
            };
            let steps: Vec<f64> = (0..self.sides.len())
                .map(|k| {
                    let Side { sample: i, sign, .. } = self.sides[k];
                    // Far from its bounds a side has next to no stiffness, and would make much of the slopes' rounding:
                    // it takes what the other side leaves of the change.
                    let twin = (0..2)
                        .map(|other| (k + 2 * other).wrapping_sub(1))
                        .find(|&other| self.sides.get(other).is_some_and(|side| side.sample == i));
                    let softest = twin.is_none_or(|twin| (stiffness[k], k) < (stiffness[twin], twin));
                    match softest && stiffness[k] < self.kernel[[i, i]] {
                        true => sign * (change[i] - twin.map_or(0.0, |twin| self.sides[twin].sign * bent(twin))),
                        false => bent(k),
                    }
                })
                .collect();
            let moves = self.sides.iter().zip(&goals).zip(steps).map(|((side, goal), x)| {
                let high = if side.bounded() { goal.1 + side.high / side.room * x } else { 0.0 };
                Move { x, low: goal.0 - side.low / side.x * x, high }
            });
            (moves.collect(), shift)
        };
        let (predicted, _) = direction(0.0, &still);
        let ahead = self.complementarity(&predicted, self.longest(&predicted, 1.0));
        let centring = (ahead / mean).powi(3).clamp(0.0, 1.0);
        let (moves, shift) = direction(centring * mean, &predicted);
        let share = self.longest(&moves, SHARE);
        if !(share > 1e-10 && moves.iter().all(|step| step.x.is_finite() && step.low.is_finite())) {
            return false;
        }
        for (side, step) in self.sides.iter_mut().zip(&moves) {
            side.x += share * step.x;
            side.room -= share * step.x;
            side.low += share * step.low;
            side.high += share * step.high;
        }
        self.shift += share * shift;
        true
    }

    /// The factor of `I + S^1/2 K S^1/2`, and the root of `S`, which is made less where rounding left the matrix
    /// indefinite.
    fn factor(&self, give: &Array1<f64>) -> Option<(Array1<f64>, Cholesky)> {
        let mut added = 0.0;
        loop {
            let root = give.mapv(|give| (give / (1.0 + added * give)).sqrt());
            let mut matrix = &self.kernel * &root;
            matrix *= &root.view().insert_axis(Axis(1));
            matrix.diag_mut().mapv_inplace(|value| value + 1.0);
            if let Some(factor) = Cholesky::new(matrix) {
                return Some((root, factor));
            }
            added = if added == 0.0 { f64::EPSILON } else { 16.0 * added };
            if added > 1.0 {
                return None;
            }
        }
    }

    /// How much of the moves may be taken, at most 1 and `share` of the way to the nearest bound.
    fn longest(&self, moves: &[Move], share: f64) -> f64 {
        let until = |from: f64, step: f64| if step < 0.0 { -from / step } else { f64::INFINITY };
        let nearest = self.sides.iter().zip(moves).fold(f64::INFINITY, |nearest: f64, (side, step)| {
            let upper = if side.bounded() { until(side.room, -step.x).min(until(side.high, step.high)) } else { 1e300 };
            nearest.min(until(side.x, step.x)).min(until(side.low, step.low)).min(upper)
        });
        (share * nearest).min(1.0)
    }
}
