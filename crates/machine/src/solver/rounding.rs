//! What rounding may hide, and outputs without it.

use faer::traits::pulp::Arch;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

use crate::duality::Objectives;
use crate::loss::{Labels, Loss};
use crate::objective::Objective;

/// How far plain sums may be from the outputs of a kernel `[n, n]` on its own samples, `[n]`: a few units in the last
/// place of the largest terms, times the root of their number.
pub(super) fn output_errors(gram: ArrayView2<f64>, alpha: ArrayView1<f64>, intercept: f64) -> Array1<f64> {
    let unit = 4.0 * f64::EPSILON;
    let root = (alpha.len() as f64).sqrt();
    output_terms(gram.diag(), alpha).mapv(|terms| unit * (root * terms + intercept.abs()))
}

/// At most how large the terms of outputs are together, `[n]`, from the kernel's diagonal, `[n]`:
/// `sqrt(K_jj) sum_i |alpha_i| sqrt(K_ii)` for sample `j`, by the inequality of Cauchy and Schwarz.
pub(crate) fn output_terms(diagonal: ArrayView1<f64>, alpha: ArrayView1<f64>) -> Array1<f64> {
    let norms = diagonal.mapv(f64::sqrt);
    let most = norms.iter().zip(alpha).map(|(norm, alpha)| norm * alpha.abs()).sum::<f64>();
    norms * most
}

/// Whether errors in outputs of that size might show in a relative duality gap near the tolerance: a large `C` makes much
/// of them.
pub(super) fn doubtful(
    errors: &Array1<f64>,
    alpha: ArrayView1<f64>,
    primal: f64,
    loss: &dyn Loss,
    objective: Objective,
    tolerance: f64,
) -> bool {
    let norm: f64 = alpha.iter().zip(errors).map(|(alpha, error)| alpha.abs() * error).sum();
    // Where the slope is continuous it is that of the coefficients, and their part is in the first sum.
    let losses = match (objective.lambda() == 0.0, loss.smoothness()) {
        (true, _) => 2.0 * primal.abs() * errors.iter().fold(0.0, |most: f64, error| most.max(*error)),
        (false, Some(bend)) => objective.c() * bend * errors.iter().map(|error| error * error).sum::<f64>(),
        (false, None) => {
            let support = alpha.iter().zip(errors).filter(|(alpha, _)| **alpha != 0.0);
            objective.c() * support.map(|(_, error)| error).sum::<f64>()
        }
    };
    let most = 0.1 * tolerance * primal.abs();
    // Not a number is doubtful too.
    let sure = norm + losses <= most;
    !sure
}

/// The outputs with the intercept and the objectives, as sums with twice the digits make them.
pub(super) fn assess(
    gram: ArrayView2<f64>,
    alpha: ArrayView1<f64>,
    intercept: f64,
    labels: ArrayView1<f64>,
    loss: &dyn Loss,
    objective: Objective,
) -> (Array1<f64>, Objectives) {
    let gram = gram.as_standard_layout();
    let rows = gram.as_slice().expect("the standard layout is contiguous");
    let with_intercept = |(sum, rest): (f64, f64)| {
        let (whole, rest) = (sum + intercept, rest + lost(sum, intercept));
        (whole + rest, lost(whole, rest))
    };
    let (outputs, rests): (Vec<f64>, Vec<f64>) = sums(rows, alpha).into_iter().map(with_intercept).unzip();
    let outputs = Array1::from_vec(outputs);
    let shift = intercept * alpha.sum();
    let half_norm = (alpha.dot(&outputs) - shift) / 2.0;
    let c = objective.c();
    // To the side where the rest of an output leads: at a kink it makes a difference.
    let cost = |((&z, &rest), &y): ((&f64, &f64), &f64)| {
        let (z, rest, y) = match loss.labels() {
            Labels::Classes => (z, rest, y),
            // These are losses of `y - z`, and that difference is rounded too.
            Labels::Values => {
                let (difference, rest) = (y - z, lost(y, -z) - rest);
                (0.0, -lost(difference, rest), difference + rest)
            }
        };
        let size = z.abs().max(y.abs());
        let beside = if size > 0.0 { z + 2.0 * f64::EPSILON * size * rest.signum() } else { rest };
        loss.value(z, y) + rest * loss.derivative(beside, y)
    };
    let losses: f64 = outputs.iter().zip(&rests).zip(labels).map(cost).sum();
    let conjugates = || alpha.iter().zip(labels).map(|(alpha, &y)| c * loss.conjugate(-alpha / c, y));
    // Rounded down, by what sums of such terms may be off.
    let terms = alpha.iter().zip(&outputs).map(|(alpha, z)| (alpha * z).abs()).chain(conjugates().map(f64::abs));
    let off = 4.0 * f64::EPSILON * terms.sum::<f64>();
    let dual = -half_norm - conjugates().sum::<f64>() - shift - off;
    (outputs, Objectives { primal: half_norm + c * losses, dual })
}

/// What rounding takes from `a + b`.
#[inline(always)]
fn lost(a: f64, b: f64) -> f64 {
    let sum = a + b;
    let back = sum - a;
    (a - (sum - back)) + (b - back)
}

/// `K alpha` for `K: [n, n]` row by row, as if summed with twice the digits (Ogita, Rump and Oishi, "Accurate sum and
/// dot product", 2005): large terms may cancel.
pub(super) fn product(rows: &[f64], alpha: ArrayView1<f64>) -> Array1<f64> {
    sums(rows, alpha).into_iter().map(|(sum, rest)| sum + rest).collect()
}

/// The same for every column of `alpha: [n, k]`.
pub(super) fn products(gram: ArrayView2<f64>, alpha: ArrayView2<f64>) -> Array2<f64> {
    let gram = gram.as_standard_layout();
    let rows = gram.as_slice().expect("the standard layout is contiguous");
    let mut all = Array2::zeros(alpha.dim());
    for (mut out, alpha) in all.columns_mut().into_iter().zip(alpha.columns()) {
        out.assign(&product(rows, alpha));
    }
    all
}

/// The same of a matrix that may have any layout.
pub(super) fn product_of(gram: ArrayView2<f64>, alpha: ArrayView1<f64>) -> Array1<f64> {
    let gram = gram.as_standard_layout();
    product(gram.as_slice().expect("the standard layout is contiguous"), alpha)
}

/// The same in two parts: a sum, and what rounding took from it.
fn sums(rows: &[f64], alpha: ArrayView1<f64>) -> Vec<(f64, f64)> {
    let alpha = alpha.to_vec();
    let one = |row: &[f64]| {
        Arch::new().dispatch(
            #[inline(always)]
            || dot(row, &alpha),
        )
    };
    rows.chunks(alpha.len().max(1)).map(one).collect()
}

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> (f64, f64) {
    // Four sums side by side, each with what rounding took from it.
    let (mut sums, mut rests) = ([0.0; 4], [0.0; 4]);
    let mut add = |lane: usize, a: f64, b: f64| {
        let term = a * b;
        rests[lane] += lost(sums[lane], term) + a.mul_add(b, -term);
        sums[lane] += term;
    };
    let (a, rest_a) = a.as_chunks::<4>();
    let (b, rest_b) = b.as_chunks::<4>();
    for (a, b) in a.iter().zip(b) {
        (0..4).for_each(|lane| add(lane, a[lane], b[lane]));
    }
    rest_a.iter().zip(rest_b).for_each(|(&a, &b)| add(0, a, b));
    // The sums themselves may cancel.
    let (mut sum, mut rest) = (0.0, rests.iter().sum::<f64>());
    for part in sums {
        rest += lost(sum, part);
        sum += part;
    }
    (sum, rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{EpsilonInsensitive, Hinge, Squared};
    use ndarray::array;

    #[test]
    fn terms_that_cancel_leave_what_is_left() {
        // 1e17 + 1 - 1e17 + 2.
        assert_eq!(product(&[1e17, 1.0, -1e17, 2.0], array![1.0, 1.0, 1.0, 1.0].view())[0], 3.0);
        // (1 + e)^2 - 1 - 2 e = e^2 with e = 2^-30, and five terms, so that one is left over.
        let e = 2.0_f64.powi(-30);
        let found = product(&[1.0 + e, -1.0, -e, -e, 0.0], array![1.0 + e, 1.0, 1.0, 1.0, 7.0].view());
        assert_eq!(found[0], e * e);
    }

    #[test]
    fn a_margin_short_by_rounding_costs() {
        // Outputs of 1 - 2^-60, which are 1 when they are rounded.
        let short = 2.0_f64.powi(-60);
        let gram = array![[1.0, short], [short, 1.0]];
        let (alpha, labels) = (array![1.0, -1.0], array![1.0, -1.0]);
        let objective = Objective::new(0.5e-16, 2).unwrap();
        let (outputs, found) = assess(gram.view(), alpha.view(), 0.0, labels.view(), &Hinge, objective);
        assert_eq!(outputs, labels);
        assert!((found.primal - (1.0 + 2e16 * short)).abs() < 1e-12 && (found.dual - 1.0).abs() < 1e-14, "{found:?}");
        let errors = output_errors(gram.view(), alpha.view(), 0.0);
        let doubt = |loss: &dyn Loss, c: f64| {
            let objective = Objective::new(0.5 / c, 2).unwrap();
            doubtful(&errors, alpha.view(), 1.0, loss, objective, 1e-8)
        };
        assert!(doubt(&Hinge, 1e16) && !doubt(&Hinge, 1.0) && !doubt(&Squared, 1e10));
    }

    #[test]
    fn a_difference_that_rounding_takes_to_the_tube_costs() {
        // y - z = 1 + 2^-20 + 2^-60, which is 1 + 2^-20 when it is rounded: the tube.
        let (tube, beyond) = (1.0 + 2.0_f64.powi(-20), 2.0_f64.powi(-60));
        let z = -(2.0_f64.powi(-20) + beyond);
        let (loss, objective) = (EpsilonInsensitive::new(tube).unwrap(), Objective::new(1.0, 1).unwrap());
        for sign in [1.0, -1.0] {
            let (alpha, labels) = (array![sign * z], array![sign]);
            let (_, found) = assess(array![[1.0]].view(), alpha.view(), 0.0, labels.view(), &loss, objective);
            assert!((found.primal / (z * z / 2.0 + beyond) - 1.0).abs() < 1e-15, "{found:?}");
        }
        // No tube: an output of 1 + 2^-60, which is 1 when it is rounded. C = 2^60 makes as much of it as of the norm.
        let (loss, objective) = (EpsilonInsensitive::new(0.0).unwrap(), Objective::new(beyond / 2.0, 2).unwrap());
        let (both, gram) = (array![1.0, 1.0], array![[1.0, beyond], [beyond, 1.0]]);
        let (_, found) = assess(gram.view(), both.view(), 0.0, both.view(), &loss, objective);
        assert!((found.primal - 3.0).abs() < 1e-15, "{found:?}");
    }
}
