//! What rounding may hide, and outputs without it.

use faer::traits::pulp::Arch;
use ndarray::{Array1, ArrayView1, ArrayView2};

use crate::loss::Loss;
use crate::objective::Objective;

/// How far plain sums may be from the outputs of a kernel `[n, n]` on its own samples, `[n]`: a few units in the last
/// place of the largest terms, times the root of their number.
pub(super) fn output_errors(gram: ArrayView2<f64>, alpha: ArrayView1<f64>, intercept: f64) -> Array1<f64> {
    let norms = gram.diag().mapv(f64::sqrt);
    let most = norms.iter().zip(alpha).map(|(norm, alpha)| norm * alpha.abs()).sum::<f64>();
    let unit = 4.0 * f64::EPSILON;
    norms.mapv(|norm| unit * ((alpha.len() as f64).sqrt() * norm * most + intercept.abs()))
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
    !(norm + losses <= most)
}

/// `K alpha` for `K: [n, n]` row by row, as if summed with twice the digits (Ogita, Rump and Oishi, "Accurate sum and
/// dot product", 2005): large terms may cancel.
pub(super) fn product(rows: &[f64], alpha: ArrayView1<f64>) -> Array1<f64> {
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
fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four sums side by side, each with what rounding took from it.
    let (mut sums, mut lost) = ([0.0; 4], [0.0; 4]);
    let mut add = |lane: usize, a: f64, b: f64| {
        let term = a * b;
        let sum = sums[lane] + term;
        let back = sum - sums[lane];
        let off = (sums[lane] - (sum - back)) + (term - back);
        lost[lane] += off + a.mul_add(b, -term);
        sums[lane] = sum;
    };
    let (a, rest_a) = a.as_chunks::<4>();
    let (b, rest_b) = b.as_chunks::<4>();
    for (a, b) in a.iter().zip(b) {
        (0..4).for_each(|lane| add(lane, a[lane], b[lane]));
    }
    rest_a.iter().zip(rest_b).for_each(|(&a, &b)| add(0, a, b));
    // The sums themselves may cancel.
    let (mut sum, mut rest) = (0.0, lost.iter().sum::<f64>());
    for part in sums {
        let next = sum + part;
        let back = next - sum;
        rest += (sum - (next - back)) + (part - back);
        sum = next;
    }
    sum + rest
}
