//! Gaussian expectations of tanh and SiLU.

use widenet_model::host::{Real, vectorised};

use super::expectation::Lanes;
use super::mixture::{Angles, Mixed, Mixture};
use super::near::Near;
use super::series::HermiteSeries;

/// Pairs that are summed together.
pub(super) const BLOCK: usize = 16;

/// `E[phi phi]` and `E[phi' phi']` of the pairs of a block.
pub(super) type Sums<T> = [[T; BLOCK]; 2];

/// The expectations of an activation without closed form: a series where both variances are small, which is exact there
/// and fast, and a mixture of closed forms beyond.
///
/// Largest error over all cosines, relative to the geometric mean of the values at a cosine of 1: `1e-12` for the
/// activation and its derivative, at variances from 0 to `1e6` and for unlike ones.
#[derive(Clone, Debug)]
pub(super) struct Smooth {
    pub(super) series: HermiteSeries,
    pub(super) mixture: Mixture,
    /// The largest standard deviation for the series.
    pub(super) largest: f64,
}

impl Smooth {
    pub(super) fn tanh() -> Self {
        let series = HermiteSeries::new(f64::tanh, |z| z.cosh().powi(-2));
        Self { series, mixture: Mixture::new(Mixed::Tanh), largest: 1.25 }
    }

    pub(super) fn silu() -> Self {
        let gate = |z: f64| 1.0 / (1.0 + (-z).exp());
        let series = HermiteSeries::new(move |z| z * gate(z), move |z| gate(z) * (1.0 + z * (1.0 - gate(z))));
        Self { series, mixture: Mixture::new(Mixed::Silu), largest: 2.0 }
    }

    /// Number of marginals: the standard deviation, those of the series and those of the mixture.
    pub(super) fn width(&self) -> usize {
        1 + self.series.width() + self.mixture.width()
    }

    /// The marginals `[width, lanes]` of variances `[lanes]`.
    pub(super) fn marginals(&self, variances: &[f64]) -> Vec<f64> {
        let deviations: Vec<f64> = variances.iter().map(|variance| variance.sqrt()).collect();
        // What the series is not asked for need not be right.
        let small: Vec<f64> = deviations.iter().map(|deviation| deviation.min(self.largest)).collect();
        [self.series.marginals(&small), self.mixture.marginals(variances)]
            .into_iter()
            .fold(deviations, |all, part| [all, part].concat())
    }

    /// `s <- E[phi phi]`, `t <- t E[phi' phi']` for a run of pairs.
    pub(super) fn apply<T: Real>(&self, left: Lanes<T>, right: Lanes<T>, s: &mut [T], t: &mut [T], gaps: &mut [T]) {
        let blocks = s.chunks_mut(BLOCK).zip(t.chunks_mut(BLOCK)).zip(gaps.chunks_mut(BLOCK));
        for (index, ((s, t), gaps)) in blocks.enumerate() {
            let lanes = [left, right].map(|lanes| Lanes { start: lanes.start + index * BLOCK, ..lanes });
            vectorised(
                #[inline(always)]
                || self.apply_block(lanes, s, t, gaps),
            );
        }
    }

    /// The same for at most `BLOCK` pairs.
    #[inline(always)]
    fn apply_block<T: Real>(&self, lanes: [Lanes<T>; 2], s: &mut [T], t: &mut [T], gaps: &mut [T]) {
        let one = T::one();
        let mut angles = Angles { norms: [T::zero(); BLOCK], cosines: [T::zero(); BLOCK], squares: [one; BLOCK] };
        let [left, right] = lanes.map(|lanes| lanes.row(0, self.width(), s.len()));
        for (i, (&a, &b)) in left.iter().zip(right).enumerate() {
            let norm = a * b;
            let cosine = s[i] / if norm > T::zero() { norm } else { T::min_positive_value() };
            // Rounding grows with the variance: what may be parallel but for the last place is.
            let parallel = cosine.abs() > one - T::of(4.0) * T::epsilon();
            let cosine = if parallel { one.copysign(cosine) } else { cosine };
            angles.norms[i] = norm;
            angles.cosines[i] = cosine;
            angles.squares[i] = (one - cosine) * (one + cosine);
            if !self.is_small(a, b) {
                // As for the error function: there the variances' product loses digits.
                let gap = angles.squares[i] + (one / (one + a * a) + one / (one + b * b));
                gaps[i] = gaps[i].min(gap);
            }
        }
        let sums = self.sums(lanes, &angles, s);
        for ((s, t), (value, factor)) in s.iter_mut().zip(t).zip(sums[0].iter().zip(sums[1])) {
            *s = *value;
            *t *= factor;
        }
    }

    #[inline(always)]
    fn is_small<T: Real>(&self, a: T, b: T) -> bool {
        let largest = T::of(self.largest);
        a <= largest && b <= largest
    }

    /// Both expectations of pairs whose angles are known.
    #[inline(always)]
    fn sums<T: Real>(&self, lanes: [Lanes<T>; 2], angles: &Angles<T, BLOCK>, s: &[T]) -> Sums<T> {
        let width = self.width();
        let [left, right] = lanes.map(|lanes| lanes.row(0, width, s.len()));
        let small = |i: usize| self.is_small(left[i], right[i]);
        let count = (0..s.len()).filter(|&i| small(i)).count();
        let mut sums = [[T::zero(); BLOCK]; 2];
        if count > 0 {
            sums = self.series.sums(lanes, (1, width), &angles.cosines, s.len());
        }
        if count < s.len() {
            let mixed = self.mixture.apply(lanes, (1 + self.series.width(), width), angles, s);
            for i in (0..s.len()).filter(|&i| !small(i)) {
                (sums[0][i], sums[1][i]) = (mixed[0][i], mixed[1][i]);
            }
        }
        sums
    }

    /// Both expectations of a nearly parallel pair.
    pub(super) fn of_near(&self, pair: &Near) -> (f64, f64) {
        let [left, right] = pair.variances.map(|variance| self.marginals(&[variance]));
        let lanes = [&left, &right].map(|values| Lanes { values, start: 0 });
        let norm = super::near::norm(pair.variances);
        let ratio = if norm > 0.0 { pair.slack / norm } else { 1.0 };
        let cosine = (1.0 - ratio).copysign(pair.s);
        let square = ratio * (2.0 - ratio);
        let angles = Angles { norms: [norm; BLOCK], cosines: [cosine; BLOCK], squares: [square; BLOCK] };
        let [value, factor] = self.sums(lanes, &angles, &[pair.s]);
        (value[0], factor[0])
    }
}
