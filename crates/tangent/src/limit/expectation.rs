//! What an activation does to the covariance: two Gaussian expectations.

use std::f64::consts::{FRAC_PI_2, PI};

use widenet_model::Activation;

use super::near::Near;
use super::smooth::Smooth;
use widenet_model::host::{Real, vectorised};

/// The expectations `E[phi(a) phi(b)]` and `E[phi'(a) phi'(b)]` over a centred Gaussian pair with
/// `E[a^2] = q`, `E[b^2] = q'` and `E[a b] = s`.
#[derive(Clone, Debug)]
pub(super) enum Expectation {
    /// `phi(z) = a min(0, z) + b max(0, z)`, with `linear = a b` and `rectified = (b - a)^2`.
    ///
    /// Since `phi(z) = a z + (b - a) max(0, z)` and `E[z max(0, z')] = s / 2`, the first expectation is
    /// `a b s + (b - a)^2 E[max(0, a) max(0, b)]`. With `cos(theta) = s / sqrt(q q')` (Cho and Saul 2009, arc-cosine
    /// kernels of order 1 and 0):
    ///
    /// `E[max(0, a) max(0, b)] = sqrt(q q') / (2 pi) (sin(theta) + (pi - theta) cos(theta))`,
    /// `E[1[a > 0] 1[b > 0]] = (pi - theta) / (2 pi)`.
    Rectifier {
        /// `a b`.
        linear: f64,
        /// `(b - a)^2`.
        rectified: f64,
    },
    /// The error function (Williams 1997): with `D = (1 + 2q)(1 + 2q') - 4 s^2`,
    ///
    /// `E[phi phi] = 2/pi asin(2s / sqrt((1 + 2q)(1 + 2q')))`, `E[phi' phi'] = 4 / (pi sqrt(D))`.
    Erf,
    /// `phi(z) = z P(z)` with the normal distribution function `P`. By Stein's lemma, with
    /// `D = (1 + q)(1 + q') - s^2` and `F = E[P(a) P(b)] = 1/4 + asin(s / sqrt((1 + q)(1 + q'))) / (2 pi)`:
    ///
    /// `E[phi phi] = s F + (q q' - s^2 + s^2 (1/(1 + q) + 1/(1 + q'))) / (2 pi sqrt(D))`,
    /// `E[phi' phi'] = F + s (1/(1 + q) + 1/(1 + q') + 1/D) / (2 pi sqrt(D))`.
    Gelu,
    /// `E[sin sin] = exp(-(q + q')/2) sinh(s)`, `E[cos cos] = exp(-(q + q')/2) cosh(s)`.
    Sine,
    /// tanh and SiLU, which have no closed form.
    Smooth(Smooth),
}

/// Marginals of a run of values: what an expectation needs to know about one of its two arguments alone.
#[derive(Clone, Copy)]
pub(super) struct Lanes<'a, T> {
    /// All marginals, `[width, lanes]` row-major.
    pub(super) values: &'a [T],
    /// The first lane of the run.
    pub(super) start: usize,
}

impl<'a, T> Lanes<'a, T> {
    /// One marginal of a run of `len` lanes, where there are `width` marginals.
    #[inline(always)]
    pub(super) fn row(&self, index: usize, width: usize, len: usize) -> &'a [T] {
        &self.values[index * (self.values.len() / width) + self.start..][..len]
    }
}

impl Expectation {
    /// The expectations of an activation.
    pub(super) fn new(activation: Activation) -> Self {
        let rectifier = |a: f64, b: f64| Expectation::Rectifier { linear: a * b, rectified: (b - a).powi(2) };
        match activation {
            Activation::Identity => rectifier(1.0, 1.0),
            Activation::Relu => rectifier(0.0, 1.0),
            Activation::LeakyRelu { slope } => rectifier(slope, 1.0),
            Activation::Abrelu { a, b } => rectifier(a, b),
            Activation::Erf => Expectation::Erf,
            Activation::Gelu => Expectation::Gelu,
            Activation::Sine => Expectation::Sine,
            Activation::Tanh => Expectation::Smooth(Smooth::tanh()),
            Activation::Silu => Expectation::Smooth(Smooth::silu()),
        }
    }

    /// Number of marginals.
    pub(super) fn width(&self) -> usize {
        match self {
            Expectation::Sine => 1,
            Expectation::Rectifier { .. } | Expectation::Erf | Expectation::Gelu => 2,
            Expectation::Smooth(smooth) => smooth.width(),
        }
    }

    /// The marginals `[width, lanes]` of variances `q: [lanes]`.
    pub(super) fn marginals<T: Real>(&self, variances: &[T]) -> Vec<T> {
        // A mean over positions can round a variance of 0 to a negative number.
        let q = variances.iter().map(|q| q.wide().max(0.0));
        let narrow = |values: Vec<f64>| values.into_iter().map(T::of).collect();
        // Products of two variances are taken.
        let largest = T::max_value().wide().sqrt() / 8.0;
        let squarable = q.clone().map(|q| if q < largest { q } else { f64::NAN });
        match self {
            // The standard deviation and its inverse, or 0 for 0: no angle is then asked for.
            Expectation::Rectifier { .. } => {
                let least = T::min_positive_value().wide();
                let inverse = |q: f64| if q >= least { q.powf(-0.5) } else { 0.0 };
                narrow(q.clone().map(f64::sqrt).chain(q.map(inverse)).collect())
            }
            Expectation::Sine => narrow(q.collect()),
            // The variance and 1 / sqrt(1 + variance), for erf of twice the variance.
            Expectation::Erf => {
                let doubles = squarable.map(|q| 2.0 * q);
                narrow(doubles.clone().chain(doubles.map(|q| (1.0 + q).powf(-0.5))).collect())
            }
            Expectation::Gelu => narrow(squarable.clone().chain(squarable.map(|q| (1.0 + q).powf(-0.5))).collect()),
            Expectation::Smooth(smooth) => {
                // Beyond, products of inverses of scaled variances are below the normal numbers.
                let largest = 1.0 / (64.0 * T::min_positive_value().wide().sqrt());
                let countable = q.map(|q| if q < largest { q } else { f64::NAN });
                narrow(smooth.marginals(&countable.collect::<Vec<_>>()))
            }
        }
    }

    /// The recursion's step for a run of pairs: `s <- E[phi phi]`, `t <- t E[phi' phi']`.
    ///
    /// `gaps` is lowered to what is left between a pair and the place where the expectations lose digits, see [`near`].
    pub(super) fn apply<T: Real>(&self, left: Lanes<T>, right: Lanes<T>, s: &mut [T], t: &mut [T], gaps: &mut [T]) {
        let row = |index| (left.row(index, self.width(), s.len()), right.row(index, self.width(), s.len()));
        match self {
            Expectation::Rectifier { linear, rectified } => {
                let (norms, inverses) = (row(0), row(1));
                let (linear, rectified) = (T::of(*linear), T::of(rectified / (2.0 * PI)));
                vectorised(
                    #[inline(always)]
                    || each_pair(rectifier(linear, rectified), norms, inverses, s, t, gaps),
                );
            }
            Expectation::Erf => {
                let (variances, scales) = (row(0), row(1));
                vectorised(
                    #[inline(always)]
                    || each_pair(erf_of_pair, variances, scales, s, t, gaps),
                );
            }
            Expectation::Gelu => {
                let (variances, scales) = (row(0), row(1));
                vectorised(
                    #[inline(always)]
                    || each_pair(gelu_of_pair, variances, scales, s, t, gaps),
                );
            }
            Expectation::Sine => {
                let (left, right) = row(0);
                sine(left, right, s, t, gaps);
            }
            Expectation::Smooth(smooth) => smooth.apply(left, right, s, t, gaps),
        }
    }

    /// Both expectations of a nearly parallel pair; a rectifier's are not asked for here.
    pub(super) fn of_near(&self, pair: &Near) -> (f64, f64) {
        let [q, r] = pair.variances;
        // q q' - s^2
        let excess = pair.slack * (q.sqrt() * r.sqrt() + pair.s.abs());
        match self {
            Expectation::Rectifier { .. } => unreachable!("it keeps the slack"),
            Expectation::Erf => {
                let scales = [q, r].map(|q| (1.0 + 2.0 * q).powf(-0.5));
                erf(&Normal::of(2.0 * pair.s, 4.0 * excess, (2.0 * q, 2.0 * r), scales.into()))
            }
            Expectation::Gelu => {
                let scales = [q, r].map(|q| (1.0 + q).powf(-0.5)).into();
                gelu(pair.s, scales, &Normal::of(pair.s, excess, (q, r), scales))
            }
            Expectation::Sine => {
                // (q + q') / 2 - |s|
                let distance = 0.5 * (q.sqrt() - r.sqrt()).powi(2) + pair.slack;
                sine_of(pair.s, distance)
            }
            Expectation::Smooth(smooth) => smooth.of_near(pair),
        }
    }

    /// `E[phi(a)^2]` where `E[a^2]` is the variance given.
    pub(super) fn variance(&self, variance: f64) -> f64 {
        let own = self.marginals(&[variance]);
        let lanes = Lanes { values: &own, start: 0 };
        let mut s = [variance];
        self.apply(lanes, lanes, &mut s, &mut [0.0], &mut [1.0]);
        s[0]
    }
}

/// Pairs whose gap is below this are computed again, by [`Near`]. Above it rounding grows by `1e4` at most where it
/// grows as the inverse of the gap (smooth activations of large variance), and by `1e2` where it grows as its root (the
/// angle of a rectifier); in single precision by some ten.
pub(super) fn near<T: Real>() -> T {
    if T::epsilon().wide() > 1e-10 { T::of(2e-3) } else { T::of(2e-4) }
}

/// Below this distance from 1, a cosine is 1: it is what rounding leaves of the cosine of two parallel vectors. The
/// derivative of `theta` is infinite there, so that the rounding would grow to its square root.
fn rounding<T: Real>() -> T {
    T::of(64.0) * T::epsilon()
}

/// Both expectations of a pair, and its gap.
type Step<T> = (T, T, T);

/// The gap of a rectifier is the square of the sine.
#[inline(always)]
fn rectifier<T: Real>(linear: T, rectified: T) -> impl Fn(T, (T, T), (T, T)) -> Step<T> {
    let (zero, one, pi) = (T::zero(), T::one(), T::of(PI));
    let parallel = one - rounding::<T>();
    #[inline(always)]
    move |s, norms, inverses| {
        let cosine = s.abs() * (inverses.0 * inverses.1);
        let cosine = if cosine > parallel { one } else { cosine };
        let square = (one - cosine) * (one + cosine);
        let sine = square.sqrt();
        let acute = angle(sine, cosine);
        let supplement = if s < zero { acute } else { pi - acute };
        let value = linear * s + rectified * (norms.0 * norms.1 * sine + supplement * s);
        (value, linear + rectified * supplement, square)
    }
}

/// Applies `step(s, (q, q'), (h, h')) = (E[phi phi], E[phi' phi'], gap)` to every pair.
#[inline(always)]
fn each_pair<T: Real>(
    step: impl Fn(T, (T, T), (T, T)) -> Step<T>,
    variances: (&[T], &[T]),
    scales: (&[T], &[T]),
    s: &mut [T],
    t: &mut [T],
    gaps: &mut [T],
) {
    let variances = variances.0.iter().zip(variances.1);
    let scales = scales.0.iter().zip(scales.1);
    for ((((s, t), gap), (&q, &r)), (&h, &i)) in s.iter_mut().zip(t).zip(gaps).zip(variances).zip(scales) {
        let (value, factor, own) = step(*s, (q, r), (h, i));
        *s = value;
        *t *= factor;
        *gap = if own < *gap { own } else { *gap };
    }
}

#[inline(always)]
fn erf_of_pair<T: Real>(s: T, variances: (T, T), scales: (T, T)) -> Step<T> {
    let normal = Normal::new(s + s, variances, scales);
    let (value, factor) = erf(&normal);
    (value, factor, normal.gap)
}

#[inline(always)]
fn erf<T: Real>(normal: &Normal<T>) -> (T, T) {
    (T::of(2.0 / PI) * normal.arcsine, T::of(4.0 / PI) / normal.root)
}

#[inline(always)]
fn gelu_of_pair<T: Real>(s: T, variances: (T, T), scales: (T, T)) -> Step<T> {
    let normal = Normal::new(s, variances, scales);
    let (value, factor) = gelu(s, scales, &normal);
    (value, factor, normal.gap)
}

#[inline(always)]
fn gelu<T: Real>(s: T, scales: (T, T), normal: &Normal<T>) -> (T, T) {
    let both = T::of(0.25) + T::of(0.5 / PI) * normal.arcsine;
    let density = T::of(0.5 / PI) / normal.root;
    let inverses = scales.0 * scales.0 + scales.1 * scales.1;
    let value = s * both + density * (normal.excess + s * s * inverses);
    (value, both + density * s * (inverses + T::one() / normal.determinant))
}

/// Functions of the covariance `[[1 + q, s], [s, 1 + q']]`, which the error function and GELU share.
struct Normal<T> {
    /// `q q' - s^2 >= 0`.
    excess: T,
    /// `(1 + q)(1 + q') - s^2`.
    determinant: T,
    /// Its square root.
    root: T,
    /// `asin(s / sqrt((1 + q)(1 + q')))`.
    arcsine: T,
    /// The square of its cosine. Where it is small the variances are large, and so is the rounding in `excess`.
    gap: T,
}

impl<T: Real> Normal<T> {
    /// From `s`, the variances `q` and `q'`, and `1 / sqrt(1 + q)` and `1 / sqrt(1 + q')`.
    #[inline(always)]
    fn new(s: T, variances: (T, T), scales: (T, T)) -> Self {
        Self::of(s, larger(variances.0 * variances.1 - s * s, T::zero()), variances, scales)
    }

    /// The same where `excess` is known.
    #[inline(always)]
    fn of(s: T, excess: T, variances: (T, T), scales: (T, T)) -> Self {
        let determinant = T::one() + (variances.0 + variances.1) + excess;
        let (root, scale) = (determinant.sqrt(), scales.0 * scales.1);
        let cosine = root * scale;
        let arcsine = angle(s.abs() * scale, cosine);
        let arcsine = if s < T::zero() { -arcsine } else { arcsine };
        Self { excess, determinant, root, arcsine, gap: cosine * cosine }
    }
}

fn sine<T: Real>(left: &[T], right: &[T], s: &mut [T], t: &mut [T], gaps: &mut [T]) {
    for ((((s, t), gap), &left), &right) in s.iter_mut().zip(t).zip(gaps).zip(left).zip(right) {
        // In this form no exponential overflows: |s| <= (q + q') / 2.
        let mean = T::of(0.5) * (left + right);
        let distance = mean - s.abs();
        let (value, factor) = sine_of(*s, distance);
        *s = value;
        *t *= factor;
        // The rounding of `distance` is that of the mean; it does not matter where the exponential is nothing.
        *gap = gap.min(T::one() / (T::one() + mean) + if distance > T::of(40.0) { T::one() } else { T::zero() });
    }
}

/// From `s` and `(q + q') / 2 - |s|`.
fn sine_of<T: Real>(s: T, distance: T) -> (T, T) {
    let size = s.abs();
    let larger = T::of(0.5) * (-distance).exp();
    let difference = (-(size + size)).exp_m1();
    ((-larger * difference).copysign(s), larger * (difference + T::of(2.0)))
}

#[inline(always)]
fn larger<T: Real>(a: T, b: T) -> T {
    if a > b { a } else { b }
}

/// The angle in `[0, pi/2]` with the given sine and cosine, to the last place. It takes the arcsine of the smaller of
/// the two, by a polynomial on `[0, sqrt(1/2)]`, so that loops over it vectorise.
#[inline(always)]
pub(super) fn angle<T: Real>(sine: T, cosine: T) -> T {
    let x = if sine < cosine { sine } else { cosine };
    let square = x * x;
    let mut tail = T::of(ARCSINE[ARCSINE.len() - 1]);
    for &coefficient in ARCSINE[..ARCSINE.len() - 1].iter().rev() {
        tail = tail * square + T::of(coefficient);
    }
    let arcsine = x + x * square * tail;
    if sine < cosine { arcsine } else { T::of(FRAC_PI_2) - arcsine }
}

/// The polynomial `P` of `asin(x) = x + x^3 P(x^2)`, by interpolation in the Chebyshev nodes of `0 <= x^2 <= 1/2`.
/// Its relative error there is below `1e-16`.
const ARCSINE: [f64; 18] = [
    0.1666666666666666,
    0.07500000000008983,
    0.04464285712358507,
    0.030381946078030974,
    0.02237208630338445,
    0.01735473067676707,
    0.013929824170098248,
    0.011985560569973889,
    0.005891949464188712,
    0.0338240571430164,
    -0.11747877891108137,
    0.4658118580660412,
    -1.258684466023488,
    2.5735139443281962,
    -3.7416070599989237,
    3.7316543687733263,
    -2.277994173933347,
    0.6629484523693957,
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Both expectations for one pair.
    fn expect(activation: Activation, q: f64, r: f64, s: f64) -> (f64, f64) {
        let expectation = Expectation::new(activation);
        let (left, right) = (expectation.marginals(&[q]), expectation.marginals(&[r]));
        let (mut value, mut factor) = ([s], [1.0]);
        let lanes = |values| Lanes { values, start: 0 };
        expectation.apply(lanes(&left), lanes(&right), &mut value, &mut factor, &mut [1.0]);
        (value[0], factor[0])
    }

    #[track_caller]
    fn assert_close((value, factor): (f64, f64), expected: (f64, f64)) {
        let close = |a: f64, b: f64| (a - b).abs() <= 4e-16 * (1.0 + b.abs());
        assert!(close(value, expected.0) && close(factor, expected.1), "{:?} is not {expected:?}", (value, factor));
    }

    #[test]
    fn rectifiers_by_hand() {
        let absolute = Activation::Abrelu { a: -1.0, b: 1.0 };
        let leaky = Activation::LeakyRelu { slope: 0.5 };
        // Orthogonal, equal, opposite.
        assert_close(expect(Activation::Relu, 1.0, 1.0, 0.0), (0.5 / PI, 0.25));
        assert_close(expect(Activation::Relu, 2.0, 2.0, 2.0), (1.0, 0.5));
        assert_close(expect(Activation::Relu, 1.0, 1.0, -1.0), (0.0, 0.0));
        // Sixty degrees: (sin + (pi - theta) cos) / (2 pi) = (sqrt(3)/2 + pi/3) / (2 pi).
        assert_close(expect(Activation::Relu, 1.0, 4.0, 1.0), ((0.75f64.sqrt() + PI / 3.0) / PI, 1.0 / 3.0));
        // E|a||b| = 2/pi and E[sign sign] = 0 for independent a and b.
        assert_close(expect(absolute, 1.0, 1.0, 0.0), (2.0 / PI, 0.0));
        assert_close(expect(absolute, 3.0, 3.0, -3.0), (3.0, -1.0));
        // E[phi^2] = (0.25 + 1) / 2 and the same for the slopes.
        assert_close(expect(leaky, 1.0, 1.0, 1.0), (0.625, 0.625));
        assert_close(expect(Activation::Identity, 1.5, 2.5, -0.7), (-0.7, 1.0));
    }

    #[test]
    fn smooth_activations_by_hand() {
        assert_close(expect(Activation::Erf, 1.0, 2.0, 0.0), (0.0, 4.0 / PI / 15f64.sqrt()));
        assert_close(
            expect(Activation::Erf, 1.0, 1.0, 1.0),
            (2.0 / PI * (2.0f64 / 3.0).asin(), 4.0 / PI / 5f64.sqrt()),
        );
        assert_close(expect(Activation::Sine, 1.0, 2.0, 0.0), (0.0, (-1.5f64).exp()));
        let double = (-2.0f64).exp();
        assert_close(expect(Activation::Sine, 1.0, 1.0, -1.0), (-(1.0 - double) / 2.0, (1.0 + double) / 2.0));
        // Independent with variance 1: E[z P(z)] = 1 / (2 sqrt(pi)), and E[P(z) + z p(z)] = 1/2.
        assert_close(expect(Activation::Gelu, 1.0, 1.0, 0.0), (0.25 / PI, 0.25));
    }

    #[test]
    fn an_argument_without_variance_is_zero() {
        use Activation::{Erf, Gelu, Relu, Silu, Sine, Tanh};
        for activation in [Relu, Erf, Gelu, Sine, Tanh, Silu] {
            for other in [0.0, 1.0] {
                let (value, factor) = expect(activation, 0.0, other, 0.0);
                assert!(value.abs() < 1e-15 && factor.is_finite(), "{activation:?}: {value}, {factor}");
            }
        }
    }

    #[test]
    fn large_variances_do_not_overflow() {
        // erf and sign agree at infinity; sin^2 has the mean 1/2; GELU becomes ReLU.
        assert_close(expect(Activation::Erf, 1e150, 1e150, 1e150), (1.0, 0.0));
        assert_close(expect(Activation::Sine, 1e6, 1e6, 1e6), (0.5, 0.5));
        let (value, factor) = expect(Activation::Gelu, 1e8, 1e8, 1e8);
        assert!((value / 0.5e8 - 1.0).abs() < 1e-4 && (factor - 0.5).abs() < 1e-4);
        // Where products of variances are beyond numbers nothing is returned that looks like one.
        for activation in [Activation::Erf, Activation::Gelu, Activation::Tanh, Activation::Silu] {
            let (value, factor) = expect(activation, 1e154, 1e154, 0.5e154);
            assert!(value.is_nan() && factor.is_nan(), "{activation:?}: {value}, {factor}");
        }
        // tanh becomes the sign: (2 / pi) asin of the cosine, and (2 / pi) / sqrt(q q' - s^2) for the derivatives.
        let (q, cosine) = (1e151, 0.5);
        let (value, factor) = expect(Activation::Tanh, q, q, cosine * q);
        assert!((value - 1.0 / 3.0).abs() < 1e-14, "{value}");
        let expected = 2.0 / PI / (1.0 - cosine * cosine).sqrt();
        assert!((factor * q / expected - 1.0).abs() < 1e-12, "{}", factor * q);
    }

    #[test]
    fn angles_are_correct_to_the_last_places() {
        for i in 0..=10_000 {
            let theta = FRAC_PI_2 * f64::from(i) / 10_000.0;
            assert!((angle(theta.sin(), theta.cos()) - theta).abs() <= 4e-16 * theta, "{theta}");
        }
        assert_eq!(angle(0.0, 1.0), 0.0);
        assert_eq!(angle(1.0, 0.0), FRAC_PI_2);
    }
}
