//! The dual problem that the losses with a support share.

use ndarray::ArrayView1;

use crate::loss::EpsilonInsensitive;
use crate::objective::Objective;

/// Minimise `1/2 alpha^T (K + ridge I) alpha - y^T alpha + epsilon |alpha|_1` with `lower_i <= alpha_i <= upper_i`,
/// and `sum_i alpha_i = 0` when there is an intercept.
///
/// This is minus the dual objective (C form) of three machines:
///
/// | loss | bounds | epsilon | ridge |
/// |---|---|---|---|
/// | hinge | `0 <= y_i alpha_i <= C` | 0 | 0 |
/// | squared hinge | `0 <= y_i alpha_i` | 0 | `1 / (2 C)` |
/// | epsilon-insensitive | `abs(alpha_i) <= C` | epsilon | 0 |
///
/// With `C` infinite the first two are the hard margin.
pub(super) struct BoxDual {
    pub lower: Vec<f64>,
    pub upper: Vec<f64>,
    pub epsilon: f64,
    pub ridge: f64,
}

impl BoxDual {
    /// Of the hinge loss.
    pub fn hinge(objective: Objective, labels: ArrayView1<f64>) -> Self {
        Self::one_sided(objective.c(), 0.0, labels)
    }

    /// Of the squared hinge loss.
    pub fn squared_hinge(objective: Objective, labels: ArrayView1<f64>) -> Self {
        Self::one_sided(f64::INFINITY, objective.lambda() / 2.0, labels)
    }

    /// Of the epsilon-insensitive loss.
    pub fn epsilon_insensitive(objective: Objective, samples: usize, loss: EpsilonInsensitive) -> Self {
        let c = objective.c();
        Self { lower: vec![-c; samples], upper: vec![c; samples], epsilon: loss.epsilon(), ridge: 0.0 }
    }

    fn one_sided(bound: f64, ridge: f64, labels: ArrayView1<f64>) -> Self {
        let side = |sign: f64| labels.iter().map(|&y| if y == sign { sign * bound } else { 0.0 }).collect();
        Self { lower: side(-1.0), upper: side(1.0), epsilon: 0.0, ridge }
    }
}

/// Steps between two words on how many there were.
pub(super) const BETWEEN: usize = 1 << 16;

/// The state of the problem on a working set of `n` samples: everything else is held fixed.
pub(super) struct Working<'a> {
    /// The kernel on the working set, row by row, `[n, n]`.
    pub gram: &'a [f64],
    pub alpha: Vec<f64>,
    /// The gradient of the smooth part, `(K + ridge I) alpha - y`.
    pub gradient: Vec<f64>,
    pub lower: Vec<f64>,
    pub upper: Vec<f64>,
    /// `K_ii + ridge`.
    pub curvature: Vec<f64>,
    pub epsilon: f64,
    pub ridge: f64,
}

impl<'a> Working<'a> {
    pub fn len(&self) -> usize {
        self.alpha.len()
    }

    pub fn row(&self, i: usize) -> &'a [f64] {
        &self.gram[i * self.len()..(i + 1) * self.len()]
    }
}

/// The slope of the objective when `alpha` grows; infinite at the upper bound.
#[inline(always)]
pub(super) fn slope_up(alpha: f64, gradient: f64, upper: f64, epsilon: f64) -> f64 {
    let slope = gradient + if alpha >= 0.0 { epsilon } else { -epsilon };
    if alpha < upper { slope } else { f64::INFINITY }
}

/// The slope of the objective to the left of `alpha`: it falls when `alpha` does and this is > 0. Minus infinity at
/// the lower bound.
#[inline(always)]
pub(super) fn slope_down(alpha: f64, gradient: f64, lower: f64, epsilon: f64) -> f64 {
    let slope = gradient + if alpha > 0.0 { epsilon } else { -epsilon };
    if alpha > lower { slope } else { f64::NEG_INFINITY }
}

/// The position and value of the largest number; of the first where there are several. NaN is never it.
#[inline(always)]
pub(super) fn largest(values: &[f64]) -> (usize, f64) {
    // Eight maxima side by side, which the compiler turns into vector instructions; then where the largest is.
    let mut lanes = [f64::NEG_INFINITY; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane = if value > *lane { value } else { *lane };
        }
    }
    let best = lanes.iter().chain(rest).fold(f64::NEG_INFINITY, |best, &value| if value > best { value } else { best });
    (values.iter().position(|&value| value == best).unwrap_or(0), best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_is_found_wherever_it_is() {
        for n in [1, 7, 8, 9, 40] {
            for place in 0..n {
                let mut values = vec![-1.0; n];
                values[place] = 3.0;
                assert_eq!(largest(&values), (place, 3.0));
            }
        }
    }

    #[test]
    fn slopes_by_hand() {
        assert_eq!(slope_up(0.0, 1.0, 2.0, 0.5), 1.5);
        assert_eq!(slope_down(0.0, 1.0, -2.0, 0.5), 0.5);
        assert_eq!(slope_up(2.0, 1.0, 2.0, 0.5), f64::INFINITY);
        assert_eq!(slope_down(-1.0, 1.0, -1.0, 0.5), f64::NEG_INFINITY);
        assert_eq!(slope_up(-1.0, 1.0, 2.0, 0.5), 0.5);
    }
}
