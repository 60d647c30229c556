//! Gaussian expectations of any activation by quadrature.

use std::f64::consts::PI;
use std::fmt;
use std::sync::Arc;

use super::expectation::Lanes;
use super::smooth::{BLOCK, Sums};
use widenet_model::host::Real;

use crate::product::product_of_rows;

/// Coefficients of an activation in Hermite polynomials.
const COEFFICIENTS: usize = 256;

/// Terms of the series: the coefficients, and the rest of the even and of the odd ones.
const TERMS: usize = COEFFICIENTS + 2;

/// The quadrature's nodes are `0.1 i` for `-130 <= i <= 130`.
const NODES: usize = 261;
const SPACING: f64 = 0.1;

/// The expectations of an activation given as two functions, `phi` and `phi'`.
///
/// With normalised Hermite polynomials `h_k` and `a_k(q) = E[h_k(z) phi(sqrt(q) z)]`, Mehler's formula gives
///
/// `E[phi(a) phi(b)] = sum_k a_k(q) a_k(q') u^k`, `u = s / sqrt(q q')`,
///
/// and the same for `phi'`. The `a_k` are computed once per sample, so that a pair costs one multiplication per term
/// instead of a double integral. They are integrals of an analytic function with Gaussian tails, for which the
/// trapezoidal rule converges exponentially (Trefethen and Weideman 2014) and, with as many nodes, much faster than the
/// Gauss-Hermite rule when `q` is large.
///
/// What the coefficients leave of `E[phi(a)^2]` goes into two last terms, one for the even and one for the odd part of
/// `phi`. The series is therefore exact for parallel inputs, and every matrix of its values is positive semidefinite
/// (Schur's product theorem). The coefficients fall slowly where `q` is large: the largest error over all `u`, relative
/// to the value at `u = 1`, is `1e-15` for tanh, SiLU and their derivatives at `q = 1`, and `1e-15` for SiLU at `q = 4`,
/// but `5e-11` for the derivative of tanh there. [`Smooth`](super::smooth::Smooth) takes it for small variances alone.
#[derive(Clone)]
pub(super) struct HermiteSeries {
    phi: Function,
    derivative: Function,
    /// `h_k(z_i)` times the weight of node `z_i`, one row per `k`.
    weights: Vec<f64>,
}

type Function = Arc<dyn Fn(f64) -> f64 + Send + Sync>;

impl fmt::Debug for HermiteSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HermiteSeries").finish_non_exhaustive()
    }
}

impl HermiteSeries {
    /// The series of an activation and its derivative.
    pub(super) fn new(
        phi: impl Fn(f64) -> f64 + Send + Sync + 'static,
        derivative: impl Fn(f64) -> f64 + Send + Sync + 'static,
    ) -> Self {
        let mut weights = vec![0.0; COEFFICIENTS * NODES];
        for i in 0..NODES {
            let z = node(i);
            // h_k grows where the density p vanishes: the recurrence is run on sqrt(p) h_k, which stays bounded.
            let root = (-z * z / 4.0).exp() / (2.0 * PI).powf(0.25);
            let (mut before, mut value) = (0.0, root);
            for k in 0..COEFFICIENTS {
                weights[k * NODES + i] = SPACING * root * value;
                let next = (z * value - (k as f64).sqrt() * before) / ((k + 1) as f64).sqrt();
                (before, value) = (value, next);
            }
        }
        Self { phi: Arc::new(phi), derivative: Arc::new(derivative), weights }
    }

    /// Number of marginals: all terms of `phi` and of `phi'`.
    pub(super) fn width(&self) -> usize {
        2 * TERMS
    }

    /// The marginals `[width, lanes]` of standard deviations `[lanes]`.
    pub(super) fn marginals(&self, deviations: &[f64]) -> Vec<f64> {
        [&self.phi, &self.derivative].map(|function| self.terms(function, deviations)).concat()
    }

    /// The terms `[TERMS, lanes]` of a function at standard deviations `[lanes]`.
    fn terms(&self, function: &Function, deviations: &[f64]) -> Vec<f64> {
        let lanes = deviations.len();
        let values: Vec<f64> =
            deviations.iter().flat_map(|deviation| (0..NODES).map(move |i| function(deviation * node(i)))).collect();
        let mut terms = vec![0.0; TERMS * lanes];
        let (coefficients, rest) = terms.split_at_mut(COEFFICIENTS * lanes);
        product_of_rows(1.0, &self.weights, &values, NODES, coefficients);
        for (lane, values) in values.chunks_exact(NODES).enumerate() {
            for (parity, sign) in [(0, 1.0), (1, -1.0)] {
                // h_0 = 1: the first row holds the weights alone.
                let part = |i: usize| (values[i] + sign * values[NODES - 1 - i]) / 2.0;
                let total: f64 = (0..NODES).map(|i| self.weights[i] * part(i).powi(2)).sum();
                let kept: f64 = coefficients.iter().skip(lane + parity * lanes).step_by(2 * lanes).map(|a| a * a).sum();
                rest[parity * lanes + lane] = (total - kept).max(0.0).sqrt();
            }
        }
        terms
    }

    /// Both expectations of at most `BLOCK` pairs. Row `i` of the marginals is row `first + i` of `width`.
    #[inline(always)]
    pub(super) fn sums<T: Real>(
        &self,
        [left, right]: [Lanes<T>; 2],
        (first, width): (usize, usize),
        cosines: &[T; BLOCK],
        len: usize,
    ) -> Sums<T> {
        let row = |index| {
            let index = first + index;
            left.row(index, width, len).iter().zip(right.row(index, width, len)).map(|(&left, &right)| left * right)
        };
        let mut sums = [[T::zero(); BLOCK]; 2];
        for k in (0..TERMS).rev() {
            for (sums, first) in sums.iter_mut().zip([0, TERMS]) {
                for ((sum, &cosine), product) in sums.iter_mut().zip(cosines).zip(row(first + k)) {
                    *sum = *sum * cosine + product;
                }
            }
        }
        sums
    }
}

fn node(index: usize) -> f64 {
    SPACING * (index as f64 - (NODES / 2) as f64)
}

#[cfg(test)]
mod tests {
    use widenet_model::Activation;

    use super::super::expectation::Expectation;
    use super::super::smooth::Smooth;
    use super::*;

    /// Both expectations for pairs `(q, q', s)`.
    fn expect(expectation: &Expectation, pairs: &[(f64, f64, f64)]) -> Vec<(f64, f64)> {
        let left = expectation.marginals(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
        let right = expectation.marginals(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
        let (mut s, mut t): (Vec<_>, Vec<_>) = pairs.iter().map(|pair| (pair.2, 1.0)).unzip();
        let lanes = |values| Lanes { values, start: 0 };
        expectation.apply(lanes(&left), lanes(&right), &mut s, &mut t, &mut vec![1.0; pairs.len()]);
        s.into_iter().zip(t).collect()
    }

    /// Pairs of many variances and cosines, more than one block of them.
    fn pairs() -> Vec<(f64, f64, f64)> {
        let variances: [f64; 4] = [0.0, 0.3, 1.0, 4.0];
        let cosines = [-1.0, -0.6, 0.0, 0.5, 0.999, 1.0];
        let all = variances.iter().flat_map(|&q| variances.iter().map(move |&r| (q, r)));
        all.flat_map(|(q, r)| cosines.iter().map(move |u| (q, r, u * (q * r).sqrt()))).collect()
    }

    #[track_caller]
    fn assert_agree(series: HermiteSeries, closed: Activation) {
        let series = Smooth { series, largest: f64::INFINITY, ..Smooth::tanh() };
        let (series, closed) = (Expectation::Smooth(series), Expectation::new(closed));
        for ((pair, a), b) in pairs().iter().zip(expect(&series, &pairs())).zip(expect(&closed, &pairs())) {
            assert!((a.0 - b.0).abs() < 1e-12 && (a.1 - b.1).abs() < 1e-12, "{pair:?}: {a:?} is not {b:?}");
        }
    }

    /// The error function by its alternating series, enough for a test.
    fn erf(z: f64) -> f64 {
        if z.abs() > 6.0 {
            return z.signum();
        }
        // erf(z) = 2/sqrt(pi) exp(-z^2) sum_n 2^n z^(2n+1) / (2n+1)!!, all of whose terms have one sign
        let (mut term, mut sum) = (z, 0.0);
        for n in 0..200 {
            sum += term;
            term *= 2.0 * z * z / f64::from(2 * n + 3);
        }
        2.0 / PI.sqrt() * (-z * z).exp() * sum
    }

    #[test]
    fn agrees_with_the_closed_form_of_erf() {
        assert_agree(HermiteSeries::new(erf, |z| 2.0 / PI.sqrt() * (-z * z).exp()), Activation::Erf);
    }

    #[test]
    fn agrees_with_the_closed_form_of_sine() {
        assert_agree(HermiteSeries::new(f64::sin, f64::cos), Activation::Sine);
    }

    #[test]
    fn agrees_with_the_closed_form_of_gelu() {
        let distribution = |z: f64| (1.0 + erf(z / 2f64.sqrt())) / 2.0;
        let density = |z: f64| (-z * z / 2.0).exp() / (2.0 * PI).sqrt();
        let series = HermiteSeries::new(move |z| z * distribution(z), move |z| distribution(z) + z * density(z));
        assert_agree(series, Activation::Gelu);
    }
}
