//! Whatever the scales of samples, kernel and regularisation, every solver ends, and what it says of its result is true.

use ndarray::{Array1, Array2};
use proptest::prelude::*;
use widenet_machine::{
    EpsilonInsensitive, Labels, LossConfig, MachineError, Objective, Options, Solution, Stop, solve,
};

/// A sum with twice the digits of its terms: a number and what rounding took from it.
#[derive(Clone, Copy, Default)]
struct Twice(f64, f64);

impl Twice {
    fn plus(self, b: f64) -> Self {
        let sum = self.0 + b;
        let back = sum - self.0;
        Self(sum, self.1 + (self.0 - (sum - back)) + (b - back))
    }

    fn plus_product(self, a: f64, b: f64) -> Self {
        let term = a * b;
        let Self(sum, rest) = self.plus(term);
        Self(sum, rest + a.mul_add(b, -term))
    }

    fn value(self) -> f64 {
        self.0 + self.1
    }
}

/// The relative gap by Fenchel and Young, sample by sample: `C l(z) + C l*(-alpha/C) + alpha z >= 0`, in forms in which
/// next to nothing cancels, over the primal objective.
fn gap(gram: &Array2<f64>, labels: &Array1<f64>, loss: LossConfig, c: f64, found: &Solution) -> f64 {
    let n = labels.len();
    let (mut gaps, mut losses, mut half_norm) = (0.0, 0.0, 0.0);
    for i in 0..n {
        let (a, y) = (found.coefficients[i], labels[i]);
        let output = (0..n).fold(Twice::default(), |sum, j| sum.plus_product(gram[[i, j]], found.coefficients[j]));
        half_norm += a * output.value() / 2.0;
        let output = output.plus(found.intercept);
        // 1 - y z, or y - z.
        let exact = match loss.loss().labels() {
            Labels::Classes => Twice(-y * output.0, -y * output.1).plus(1.0),
            Labels::Values => Twice(-output.0, -output.1).plus(y),
        };
        let short = exact.value();
        let (gap, cost) = match loss {
            LossConfig::Hinge if short > 0.0 => ((c - y * a) * short, c * short),
            LossConfig::Hinge => (-y * a * short, 0.0),
            LossConfig::SquaredHinge => {
                let hinge = short.max(0.0);
                ((2.0 * c * hinge - y * a).powi(2) / (4.0 * c) + y * a * (hinge - short), c * hinge * hinge)
            }
            LossConfig::Squared => ((2.0 * c * short - a).powi(2) / (4.0 * c), c * short * short),
            LossConfig::EpsilonInsensitive(tube) => {
                let sign = short.signum();
                let over = Twice(sign * exact.0, sign * exact.1).plus(-tube.epsilon()).value();
                let cost = c * over.max(0.0);
                let same = a * short >= 0.0;
                (cost + a.abs() * if same { -over } else { short.abs() + tube.epsilon() }, cost)
            }
            LossConfig::Logistic => {
                let z = output.value();
                let cost = c * loss.loss().value(z, y);
                (cost + c * loss.loss().conjugate(-a / c, y) + a * z, cost)
            }
        };
        gaps += gap;
        losses += cost;
    }
    // The dual objective of no coefficients is 0, so that no gap is above 1.
    if gaps == 0.0 { 0.0 } else { (gaps.abs() / (half_norm + losses)).min(1.0) }
}

#[derive(Clone, Debug)]
struct Problem {
    gram: Array2<f64>,
    values: Array1<f64>,
    signs: Array1<f64>,
}

/// Features of unlike scales, some samples nearly the same as others, sometimes a class of one.
fn problems() -> impl Strategy<Value = Problem> {
    let entries = proptest::collection::vec(-1.0..1.0f64, 24 * 3);
    let scales = proptest::collection::vec(-8.0..8.0f64, 3);
    let twins = proptest::collection::vec((0..24usize, 0..24usize, -16.0..-2.0f64), 0..12);
    (2..24usize, entries, scales, any::<[bool; 4]>(), twins, 0..3usize).prop_map(
        |(n, entries, scales, [one_scale, rare, linear, noise], twins, degree)| {
            let mut x = Array2::from_shape_vec((24, 3), entries).unwrap();
            for (mut column, scale) in x.columns_mut().into_iter().zip(&scales) {
                column *= 10.0_f64.powf(if one_scale { scales[0] } else { *scale });
            }
            for (i, j, off) in twins {
                let near = x.row(j).mapv(|value| value * (1.0 + 10.0_f64.powf(off)));
                x.row_mut(i).assign(&near);
            }
            let x = x.slice(ndarray::s![..n, ..]).to_owned();
            let inner = x.dot(&x.t()) / 3.0;
            // Kernels that are sums of products of the linear one: positive semidefinite.
            let most = inner.diag().fold(0.0, |most: f64, value| most.max(*value)).max(f64::MIN_POSITIVE);
            let gram = match linear {
                true => inner,
                false => inner.mapv(|k| k + k * (k / most).powi(degree as i32)),
            };
            let values = Array1::from_shape_fn(n, |i| {
                let noise = if noise { (i as f64 * 12.9898).sin() } else { 0.0 };
                x[[i, 0]] / 10.0_f64.powf(scales[0]) + noise
            });
            let mut signs = values.mapv(|value| if value < 0.0 { -1.0 } else { 1.0 });
            if rare {
                signs.fill(1.0);
            }
            (signs[0], signs[1]) = (-1.0, 1.0);
            Problem { gram, values, signs }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_solvers_say_is_true(problem in problems(), power in -8.0..16.0f64, epsilon in 0.0..0.2f64) {
        let Problem { gram, values, signs } = &problem;
        let n = values.len();
        let objective = Objective::new(10.0_f64.powf(-power) / n as f64, n).unwrap();
        let most = gram.diag().fold(0.0, |most: f64, value| most.max(*value));
        let tube = LossConfig::EpsilonInsensitive(EpsilonInsensitive::new(epsilon).unwrap());
        for loss in [LossConfig::Hinge, LossConfig::SquaredHinge, tube, LossConfig::Squared, LossConfig::Logistic] {
            let labels = if loss.loss().labels() == Labels::Classes { signs } else { values };
            for intercept in [false, true] {
                let what = format!("{loss:?}, intercept {intercept}, C = {:e}, kernel up to {most:e}", objective.c());
                let options = Options { intercept, ..Options::default() };
                let found = match solve(gram.view(), labels.view(), loss, objective, &options) {
                    Ok(found) => found,
                    // Said where the regularisation is beyond what the kernel's digits can tell.
                    Err(MachineError::BelowRounding { .. } | MachineError::Residual { .. })
                        if objective.c() * most > 1e10 => continue,
                    Err(error) => return Err(TestCaseError::fail(format!("{what}: {error}"))),
                };
                prop_assert!(found.iterations <= 101_000, "{what}: {} steps", found.iterations);
                let (said, truth) = (found.relative_gap().abs(), gap(gram, labels, loss, objective.c(), &found));
                prop_assert_eq!(found.stop == Stop::Converged, said <= options.tolerance, "{}: {:e}", what, said);
                // No better than it is: what is left of rounding, and of the sum of coefficients to second order.
                prop_assert!(truth <= 1.1 * said + 1e-9, "{what}: {truth:e}, but said {said:e}");
                if objective.c() * most < 1e6 {
                    prop_assert!(said <= 1e-6, "{what}: {said:e}, {:?}", found.stop);
                }
            }
        }
    }
}
