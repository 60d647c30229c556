//! The probabilities of several classes from those of two at a time.

use faer::Mat;
use faer::linalg::solvers::Solve;

/// Probabilities closer to 0 or 1 than this are taken to be so far from them, as in LIBSVM.
const CERTAIN: f64 = 1e-7;

/// Pairwise coupling (Wu, Lin and Weng, "Probability estimates for multi-class classification by pairwise coupling",
/// JMLR 2004, their second method): the `p` that minimises `sum_{a != b} (r_ba p_a - r_ab p_b)^2` with `sum p = 1`.
///
/// `pairs` are the `r_ab = P(a | a or b)` in lexical order of `a < b`. The minimiser solves a linear system, and is
/// `>= 0` since every `r > 0`.
pub(crate) fn couple(pairs: &[f64], classes: usize) -> Vec<f64> {
    let mut r = vec![0.0; classes * classes];
    let mut pair = pairs.iter();
    for a in 0..classes {
        for b in a + 1..classes {
            let value = pair.next().map_or(0.5, |value| value.clamp(CERTAIN, 1.0 - CERTAIN));
            (r[a * classes + b], r[b * classes + a]) = (value, 1.0 - value);
        }
    }
    // Q p + mu 1 = 0 and 1^T p = 1, with Q_aa = sum_b r_ba^2 and Q_ab = -r_ba r_ab.
    let system = Mat::from_fn(classes + 1, classes + 1, |a, b| match (a == classes, b == classes) {
        (true, true) => 0.0,
        (true, false) | (false, true) => 1.0,
        _ if a == b => (0..classes).map(|c| r[c * classes + a].powi(2)).sum(),
        _ => -r[b * classes + a] * r[a * classes + b],
    });
    let right = Mat::from_fn(classes + 1, 1, |a, _| if a == classes { 1.0 } else { 0.0 });
    let solution = system.partial_piv_lu().solve(&right);
    // Rounding can leave a 0 below 0.
    normalise((0..classes).map(|a| solution[(a, 0)].max(0.0)).collect())
}

/// Divides by the sum; all equal where that is 0.
pub(crate) fn normalise(mut values: Vec<f64>) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    let equal = 1.0 / values.len() as f64;
    values.iter_mut().for_each(|value| *value = if sum > 0.0 { *value / sum } else { equal });
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pairs_that_agree_give_back_their_probabilities() {
        let p = [0.2, 0.5, 0.3];
        let r = |a: usize, b: usize| p[a] / (p[a] + p[b]);
        let coupled = couple(&[r(0, 1), r(0, 2), r(1, 2)], 3);
        assert!(coupled.iter().zip(p).all(|(a, b)| (a - b).abs() < 1e-14), "{coupled:?}");
        assert!((couple(&[0.7], 2)[0] - 0.7).abs() < 1e-14);
    }

    #[test]
    fn certain_pairs_have_probabilities_too() {
        let coupled = couple(&[1.0, 1.0, 0.0], 3);
        assert!((coupled[0] - 1.0).abs() < 1e-5 && coupled.iter().all(|p| *p >= 0.0), "{coupled:?}");
        // a beats b, b beats c, c beats a: nobody is ahead.
        let circle = couple(&[0.9, 0.1, 0.9], 3);
        assert!(circle.iter().all(|p| (p - 1.0 / 3.0).abs() < 1e-14), "{circle:?}");
        assert_eq!(normalise(vec![0.0, 0.0]), [0.5, 0.5]);
    }

    proptest! {
        /// No move between two classes makes the sum of squares smaller.
        #[test]
        fn it_is_the_minimum(pairs in proptest::collection::vec(0.01..0.99f64, 6)) {
            let order = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
            let value = |p: &[f64]| -> f64 {
                order.iter().zip(&pairs).map(|(&(a, b), r)| ((1.0 - r) * p[a] - r * p[b]).powi(2)).sum()
            };
            let p = couple(&pairs, 4);
            prop_assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12 && p.iter().all(|p| *p >= 0.0));
            for (a, b) in order {
                for step in [-1e-4, 1e-4] {
                    let mut moved = p.clone();
                    moved[a] += step;
                    moved[b] -= step;
                    prop_assert!(value(&moved) >= value(&p));
                }
            }
        }
    }
}
