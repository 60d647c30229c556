//! Gaussian expectations of tanh and SiLU by mixtures of what has a closed form.

use std::f64::consts::{FRAC_PI_2, PI, SQRT_2};

use super::expectation::{Lanes, angle};
use widenet_model::host::Real;

/// The trapezoidal rule's step in the logarithm of the scale.
const STEP: f64 = 0.125;

/// What a scale, and a pair of scales, must weigh to count.
const LEAST: f64 = 1e-17;

/// Which activation is mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mixed {
    /// `tanh(z) = E[erf(z / (sqrt(2) l))]`.
    Tanh,
    /// `z / (1 + exp(-z)) = E[z P(z / (2 l))]` with the normal distribution function `P`.
    Silu,
}

/// The expectations of an activation that is a mixture, over scales, of one that has closed forms.
///
/// A logistic variable is a normal one times twice an independent variable `l` with Kolmogorov's distribution (Andrews
/// and Mallows 1974), whose density is `8 l sum_k (-1)^(k+1) k^2 exp(-2 k^2 l^2)`. So tanh is a mean of error functions
/// of `z / (sqrt(2) l)`, and SiLU one of GELUs. The mean over `l` is taken by the trapezoidal rule in `log l`, which
/// converges exponentially: with some 26 scales the function and its derivative are right to `1e-14` everywhere. What is
/// computed is the kernel of that sum of error functions, whatever the variances: a kernel, positive semidefinite but
/// for rounding. A pair costs a few hundred arcsines.
#[derive(Clone, Debug)]
pub(super) struct Mixture {
    mixed: Mixed,
    /// The inverse scales `c`, with their weights.
    scales: Vec<(f64, f64)>,
    /// Pairs of scales that count, the first not after the second.
    pairs: Vec<[usize; 2]>,
}

impl Mixture {
    pub(super) fn new(mixed: Mixed) -> Self {
        let scale = |step: i32| {
            let l = (STEP * f64::from(step)).exp();
            let weight = STEP * l * kolmogorov(l);
            (if mixed == Mixed::Tanh { 1.0 / (SQRT_2 * l) } else { 1.0 / (2.0 * l) }, weight)
        };
        let scales: Vec<(f64, f64)> = (-16..=14).map(scale).filter(|&(_, weight)| weight > LEAST).collect();
        let all = (0..scales.len()).flat_map(|m| (m..scales.len()).map(move |n| [m, n]));
        let pairs = all.filter(|&[m, n]| scales[m].1 * scales[n].1 > LEAST).collect();
        Self { mixed, scales, pairs }
    }

    /// Number of marginals: for every scale `1 / (1 + v)` and `sqrt(v / (1 + v))`, `v` the scaled variance.
    pub(super) fn width(&self) -> usize {
        2 * self.scales.len()
    }

    /// The marginals `[width, lanes]` of variances `[lanes]`.
    pub(super) fn marginals(&self, variances: &[f64]) -> Vec<f64> {
        let rest = |c: f64| variances.iter().map(move |q| 1.0 / (1.0 + self.scaled(c, *q)));
        let share = |c: f64| variances.iter().map(move |q| (self.scaled(c, *q) / (1.0 + self.scaled(c, *q))).sqrt());
        let rests = self.scales.iter().flat_map(|&(c, _)| rest(c));
        rests.chain(self.scales.iter().flat_map(|&(c, _)| share(c))).collect()
    }

    /// What is added to 1 in the closed forms: twice the variance for the error function.
    fn scaled(&self, c: f64, variance: f64) -> f64 {
        let square = c * c * variance;
        if self.mixed == Mixed::Tanh { 2.0 * square } else { square }
    }

    /// `s <- E[phi phi]` and the factor `E[phi' phi']` for a run of at most `BLOCK` pairs with cosines `cosines` and
    /// squares `squares` of the sines; `norms` are `sqrt(q q')`. Row `i` of the marginals starts at `first + i` of
    /// `width` rows.
    #[inline(always)]
    pub(super) fn apply<T: Real, const BLOCK: usize>(
        &self,
        [left, right]: [Lanes<T>; 2],
        (first, width): (usize, usize),
        pair: &Angles<T, BLOCK>,
        s: &[T],
    ) -> [[T; BLOCK]; 2] {
        let mut sums = [[T::zero(); BLOCK]; 2];
        let len = s.len();
        let count = self.scales.len();
        for &[m, n] in &self.pairs {
            let weight = self.scales[m].1 * self.scales[n].1;
            let product = T::of(self.scales[m].0 * self.scales[n].0);
            let weight = T::of(if m == n { weight / 2.0 } else { weight });
            // Both orders at once: exchanging the samples exchanges the two terms of a sum.
            let rests = [
                [left.row(first + m, width, len), right.row(first + n, width, len)],
                [left.row(first + n, width, len), right.row(first + m, width, len)],
            ];
            let shares = [
                [left.row(first + count + m, width, len), right.row(first + count + n, width, len)],
                [left.row(first + count + n, width, len), right.row(first + count + m, width, len)],
            ];
            for i in 0..len {
                let term = |order: usize| {
                    let (a, b) = (rests[order][0][i], rests[order][1][i]);
                    let share = shares[order][0][i] * shares[order][1][i];
                    let square = ((a + b) - a * b) + share * share * pair.squares[i];
                    (a * b, a + b, share, square)
                };
                let value = |(ab, sum, share, square): (T, T, T, T)| match self.mixed {
                    Mixed::Tanh => tanh(pair.cosines[i], product, ab, share, square),
                    Mixed::Silu => {
                        silu(s[i], pair.norms[i], pair.cosines[i], pair.squares[i], (ab, sum), share, square)
                    }
                };
                let (one, other) = (value(term(0)), value(term(1)));
                sums[0][i] += weight * (one.0 + other.0);
                sums[1][i] += weight * (one.1 + other.1);
            }
        }
        sums
    }
}

/// What is known of the angles of a run of pairs.
pub(super) struct Angles<T, const BLOCK: usize> {
    pub(super) norms: [T; BLOCK],
    pub(super) cosines: [T; BLOCK],
    /// Squares of the sines.
    pub(super) squares: [T; BLOCK],
}

/// The arcsine of `x` where `1 - x^2 = square`.
#[inline(always)]
fn arcsine<T: Real>(x: T, root: T) -> T {
    let arcsine = angle(x.abs(), root);
    if x < T::zero() { -arcsine } else { arcsine }
}

/// Of error functions of `c a` and `c' b`, see [`super::expectation::Expectation::Erf`].
#[inline(always)]
fn tanh<T: Real>(cosine: T, product: T, rests: T, share: T, square: T) -> (T, T) {
    let root = square.sqrt();
    let value = T::of(2.0 / PI) * arcsine(cosine * share, root);
    (value, T::of(4.0 / PI) * product * rests.sqrt() / root)
}

/// Of `z P(c z)`, see [`super::expectation::Expectation::Gelu`].
#[inline(always)]
fn silu<T: Real>(s: T, norm: T, cosine: T, square_of_sine: T, rests: (T, T), share: T, square: T) -> (T, T) {
    let root = square.sqrt();
    let x = cosine * share;
    let both = T::of(0.25) + T::of(0.5 / PI) * arcsine(x, root);
    let density = T::of(0.5 / PI) / root;
    let value = s * both + density * (norm * share * square_of_sine + s * x * rests.1);
    (value, both + density * x * (rests.1 + rests.0 / square))
}

/// The density of Kolmogorov's distribution, by the series that converges fast; the other form is Jacobi's.
fn kolmogorov(l: f64) -> f64 {
    if l > 1.0 {
        let term = |k: i32| {
            let square = f64::from(k * k);
            f64::from(2 * (k % 2) - 1) * square * (-2.0 * square * l * l).exp()
        };
        return 8.0 * l * (1..8).map(term).sum::<f64>();
    }
    let term = |k: i32| {
        let a = f64::from((2 * k - 1).pow(2)) * FRAC_PI_2 * FRAC_PI_2 / 2.0;
        (2.0 * a / l.powi(4) - l.powi(-2)) * (-a / (l * l)).exp()
    };
    (2.0 * PI).sqrt() * (1..8).map(term).sum::<f64>()
}
