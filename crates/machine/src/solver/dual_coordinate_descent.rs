//! Greedy dual coordinate descent: the support vector machines without an intercept.

use faer::traits::pulp::Arch;

use super::box_dual::{BETWEEN, Working, largest};

/// Where a curvature is 0 (a sample of norm 0), a step this long ends at a bound.
const STEEPEST: f64 = 1e100;

/// Minimises over one coefficient after the other, each time the one that gains most, until the largest gain of a
/// step has fallen by the factor `reduction`, at most `limit` times. Returns how many steps were taken; `watch` is
/// told on the way.
///
/// The minimum over one coefficient is in closed form: the unconstrained one `alpha - G/H`, pulled towards 0 by
/// `epsilon/H`, cut at the bounds. A step costs one pass over a row of the kernel.
pub(super) fn descend(working: &mut Working, reduction: f64, limit: usize, watch: &mut dyn FnMut(usize)) -> usize {
    Arch::new().dispatch(
        #[inline(always)]
        || steps(working, reduction, limit, watch),
    )
}

#[inline(always)]
fn steps(working: &mut Working, reduction: f64, limit: usize, watch: &mut dyn FnMut(usize)) -> usize {
    let n = working.len();
    let inverse: Vec<f64> = working.curvature.iter().map(|h| (1.0 / h).min(STEEPEST)).collect();
    let mut gains = vec![0.0; n];
    update(working, &inverse, &mut gains, 0, 0.0);
    let mut stop = None;
    for taken in 0..limit {
        if taken % BETWEEN == BETWEEN - 1 {
            watch(taken);
        }
        let (i, gain) = largest(&gains);
        if gain <= *stop.get_or_insert(gain * reduction) || gain <= 0.0 {
            return taken;
        }
        let target = minimum(working, &inverse, i);
        let step = target - working.alpha[i];
        working.alpha[i] = target;
        working.gradient[i] += working.ridge * step;
        update(working, &inverse, &mut gains, i, step);
    }
    limit
}

/// The minimiser over coefficient `i`.
#[inline(always)]
fn minimum(working: &Working, inverse: &[f64], i: usize) -> f64 {
    clipped(working.alpha[i], working.gradient[i], inverse[i], (working.lower[i], working.upper[i]), working.epsilon)
}

#[inline(always)]
fn clipped(alpha: f64, gradient: f64, inverse: f64, (lower, upper): (f64, f64), epsilon: f64) -> f64 {
    let (free, tube) = (alpha - gradient * inverse, epsilon * inverse);
    let above = if free - tube > 0.0 { free - tube } else { 0.0 };
    let below = if free + tube < 0.0 { free + tube } else { 0.0 };
    let target = above + below;
    let target = if target > upper { upper } else { target };
    if target < lower { lower } else { target }
}

/// Adds `step` times row `i` to the gradient, and works out what a step on each coefficient would gain.
#[inline(always)]
fn update(working: &mut Working, inverse: &[f64], gains: &mut [f64], i: usize, step: f64) {
    let row = working.row(i);
    let epsilon = working.epsilon;
    let bounds = working.lower.iter().zip(&working.upper);
    let fixed = bounds.zip(&working.curvature).zip(inverse).zip(row);
    let state = working.gradient.iter_mut().zip(&working.alpha).zip(gains);
    for (((((&lower, &upper), &curvature), &inverse), &k), ((gradient, &alpha), gain)) in fixed.zip(state) {
        *gradient += step * k;
        let target = clipped(alpha, *gradient, inverse, (lower, upper), epsilon);
        let d = target - alpha;
        *gain = -(d * (*gradient + 0.5 * curvature * d) + epsilon * (target.abs() - alpha.abs()));
    }
}
