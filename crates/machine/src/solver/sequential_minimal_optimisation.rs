//! Sequential minimal optimisation: the support vector machines with an intercept.

use faer::traits::pulp::Arch;

use super::box_dual::{BETWEEN, Working, largest, slope_down, slope_up};

/// Minimises over one pair of coefficients after the other, whose sum stays, until the largest violation of the
/// optimality conditions has fallen by the factor `reduction`, at most `limit` times. Returns how many steps were
/// taken; `watch` is told on the way.
///
/// The coefficient to raise has the steepest slope; the one to lower is that which gains most with it, in a second
/// order model (Fan, Chen, Lin, "Working set selection using second order information", JMLR 2005).
pub(super) fn descend(working: &mut Working, reduction: f64, limit: usize, watch: &mut dyn FnMut(usize)) -> usize {
    Arch::new().dispatch(
        #[inline(always)]
        || steps(working, reduction, limit, watch),
    )
}

#[inline(always)]
fn steps(working: &mut Working, reduction: f64, limit: usize, watch: &mut dyn FnMut(usize)) -> usize {
    let n = working.len();
    // The slope when a coefficient grows, with the sign turned, and when it falls.
    let (mut rises, mut falls, mut gains) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    update(working, (0, 0), 0.0, &mut rises, &mut falls);
    // Slopes smaller than this are rounding: steps on them would never end.
    let noise = 8.0 * f64::EPSILON * working.gradient.iter().fold(0.0, |most: f64, slope| most.max(slope.abs()));
    let mut stop = None;
    for taken in 0..limit {
        if taken % BETWEEN == BETWEEN - 1 {
            watch(taken);
        }
        let ((i, rise), (_, fall)) = (largest(&rises), largest(&falls));
        let violation = rise + fall;
        if violation <= *stop.get_or_insert(violation * reduction) || violation <= noise {
            return taken;
        }
        let (row, curvature) = (working.row(i), working.curvature[i]);
        let candidates = falls.iter().zip(row).zip(&working.curvature).zip(&mut gains);
        for (((&fall, &k), &other), gain) in candidates {
            let slope = rise + fall;
            let bend = curvature + other - 2.0 * k;
            let bend = if bend > FLATTEST { bend } else { FLATTEST };
            *gain = if slope > 0.0 { slope * slope / bend } else { f64::NEG_INFINITY };
        }
        let (j, _) = largest(&gains);
        let bend = (curvature + working.curvature[j] - 2.0 * row[j]).max(FLATTEST);
        let step = pair_step(working, i, j, (rise + falls[j]) / bend);
        working.gradient[i] += working.ridge * step;
        working.gradient[j] -= working.ridge * step;
        update(working, (i, j), step, &mut rises, &mut falls);
    }
    limit
}

/// Where a pair has no curvature, a step this long ends at a bound.
const FLATTEST: f64 = 1e-100;

/// Raises `alpha_i` and lowers `alpha_j` by `wanted`, or as far as bounds and the kink at 0 allow. Returns how far.
#[inline(always)]
fn pair_step(working: &mut Working, i: usize, j: usize, wanted: f64) -> f64 {
    let (a, b) = (working.alpha[i], working.alpha[j]);
    let kink = working.epsilon > 0.0;
    let end_i = if kink && a < 0.0 { 0.0 } else { working.upper[i] };
    let end_j = if kink && b > 0.0 { 0.0 } else { working.lower[j] };
    let step = wanted.min(end_i - a).min(b - end_j);
    // Ends are met exactly, not to rounding.
    working.alpha[i] = if step == end_i - a { end_i } else { a + step };
    working.alpha[j] = if step == b - end_j { end_j } else { b - step };
    step
}

/// Adds `step` times the difference of rows `i` and `j` to the gradient, and works out the slopes.
#[inline(always)]
fn update(working: &mut Working, (i, j): (usize, usize), step: f64, rises: &mut [f64], falls: &mut [f64]) {
    let (row, other) = (working.row(i), working.row(j));
    let epsilon = working.epsilon;
    let fixed = working.lower.iter().zip(&working.upper).zip(row).zip(other).zip(&working.alpha);
    let state = working.gradient.iter_mut().zip(rises).zip(falls);
    for (((((&lower, &upper), &k), &l), &alpha), ((gradient, rise), fall)) in fixed.zip(state) {
        *gradient += step * (k - l);
        *rise = -slope_up(alpha, *gradient, upper, epsilon);
        *fall = slope_down(alpha, *gradient, lower, epsilon);
    }
}
