//! The last digits: Newton steps over the coefficients inside their bounds, the others standing still.

use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::box_dual::{BoxDual, slope_down, slope_up};
use super::cholesky::Cholesky;
use super::rounding::product;

/// Steps after which it is left where it is, beside one for every so many samples.
const LIMIT: usize = 60;

/// Improves coefficients that are near the optimum, in place. Returns the steps taken, each a factorisation for the
/// coefficients that are free.
///
/// The minimum over the free coefficients, as far as their bounds allow; when it lies inside, the coefficient whose
/// bound is held most wrongly is freed.
pub(super) fn improve(
    rows: &[f64],
    labels: ArrayView1<f64>,
    problem: &BoxDual,
    intercept: bool,
    alpha: &mut Array1<f64>,
) -> usize {
    let n = labels.len();
    let kink = problem.epsilon > 0.0;
    let fixed = |i: usize, a: f64| a == problem.lower[i] || a == problem.upper[i] || (kink && a == 0.0);
    let mut free: Vec<bool> = (0..n).map(|i| !fixed(i, alpha[i])).collect();
    // The side of a coefficient that stands at its kink.
    let mut side: Vec<f64> = alpha.iter().map(|a| if *a < 0.0 { -1.0 } else { 1.0 }).collect();
    let mut steepest = f64::INFINITY;
    for taken in 0..LIMIT {
        let gradient = &product(rows, alpha.view()) + &(&*alpha * problem.ridge) - labels;
        let size =
            |i: usize| rows[i * n..(i + 1) * n].iter().zip(alpha.iter()).map(|(k, a)| (k * a).abs()).sum::<f64>();
        let noise = 4.0 * f64::EPSILON * (0..n).map(|i| size(i).max(labels[i].abs())).fold(0.0, f64::max);
        let inside: Vec<usize> = (0..n).filter(|&i| free[i]).collect();
        let slope = |i: usize| gradient[i] + problem.epsilon * side[i];
        let shift = match (intercept, inside.len()) {
            (true, 1..) => inside.iter().map(|&i| slope(i)).sum::<f64>() / inside.len() as f64,
            _ => 0.0,
        };
        let off = inside.iter().fold(0.0, |most: f64, &i| most.max((slope(i) - shift).abs()));
        let unbalanced =
            intercept && alpha.sum().abs() > 4.0 * f64::EPSILON * alpha.iter().map(|a| a.abs()).sum::<f64>();
        if !inside.is_empty() && (unbalanced || (off > noise && off < 0.5 * steepest)) {
            steepest = off;
            let right: Vec<f64> = inside.iter().map(|&i| -slope(i)).collect();
            let Some(step) = newton(rows, n, problem.ridge, &inside, right, intercept.then(|| -alpha.sum())) else {
                return taken;
            };
            let ends = |i: usize| {
                let zero = |end: f64, away: f64| if kink && side[i] == away { 0.0 } else { end };
                (zero(problem.lower[i], 1.0), zero(problem.upper[i], -1.0))
            };
            let room = |(&i, &d): (&usize, &f64)| match d {
                d if d > 0.0 => (ends(i).1 - alpha[i]) / d,
                d if d < 0.0 => (ends(i).0 - alpha[i]) / d,
                _ => f64::INFINITY,
            };
            let rooms: Vec<f64> = inside.iter().zip(&step).map(room).collect();
            let share = rooms.iter().copied().fold(1.0, f64::min);
            for ((&i, &d), room) in inside.iter().zip(&step).zip(rooms) {
                let (low, high) = ends(i);
                let reached = share < 1.0 && room <= share;
                alpha[i] = match (reached, d > 0.0) {
                    (true, true) => high,
                    (true, false) => low,
                    (false, _) => (alpha[i] + share * d).clamp(low, high),
                };
                free[i] = !reached;
            }
            if share < 1.0 {
                steepest = f64::INFINITY;
            }
            continue;
        }
        steepest = f64::INFINITY;
        // How steeply the objective falls away from a bound, upwards or downwards.
        let fall = |i: usize| {
            let up = shift - slope_up(alpha[i], gradient[i], problem.upper[i], problem.epsilon);
            let down = slope_down(alpha[i], gradient[i], problem.lower[i], problem.epsilon) - shift;
            if up > down { (up, 1.0) } else { (down, -1.0) }
        };
        let worst = (0..n).filter(|&i| !free[i]).max_by(|&i, &j| fall(i).0.total_cmp(&fall(j).0));
        match worst {
            Some(i) if fall(i).0 > noise => {
                free[i] = true;
                if kink && alpha[i] == 0.0 {
                    side[i] = fall(i).1;
                }
            }
            _ => return taken,
        }
    }
    LIMIT
}

/// The step to the minimum over the coefficients `inside`, whose sum changes by `balance` if that is given.
fn newton(
    rows: &[f64],
    n: usize,
    ridge: f64,
    inside: &[usize],
    right: Vec<f64>,
    balance: Option<f64>,
) -> Option<Vec<f64>> {
    let m = inside.len();
    let part =
        Array2::from_shape_fn((m, m), |(a, b)| rows[inside[a] * n + inside[b]] + if a == b { ridge } else { 0.0 });
    // A unit diagonal: what is left of bad scaling is the kernel's own.
    let scale = part.diag().mapv(|d: f64| if d > 0.0 { 1.0 / d.sqrt() } else { 1.0 });
    let scaled = &part * &scale * scale.view().insert_axis(Axis(1));
    let mut added = 0.0;
    let factor = loop {
        let mut matrix = scaled.clone();
        matrix.diag_mut().mapv_inplace(|d| d + added);
        match Cholesky::new(matrix) {
            Some(factor) => break factor,
            None if added > 1.0 => return None,
            None => added = if added == 0.0 { f64::EPSILON } else { 16.0 * added },
        }
    };
    let solve = |right: Array1<f64>| {
        let right = (&right * &scale).insert_axis(Axis(1));
        &factor.solve(right.view()).column(0) * &scale
    };
    let mut step = solve(Array1::from_vec(right));
    if let Some(balance) = balance {
        let ones = solve(Array1::ones(m));
        step = &step + &(&ones * ((balance - step.sum()) / ones.sum()));
    }
    step.iter().all(|d| d.is_finite()).then(|| step.to_vec())
}
