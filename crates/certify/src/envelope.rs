//! Bounds of the profile `p_L` on a range of cosines, by a line or a parabola.
//!
//! On `[l, h]` with middle `m` and half-width `w`:
//! - line below: the tangent at `m`; line above: the chord. `p_L` is convex.
//! - parabola below: it agrees with `p_L` at `l` and touches it at `m + w/2`. The difference is
//!   `p_L'''(xi)/6 (u - l)(u - m - w/2)^2`, which is >= 0 where `p_L''' >= 0`. Above: at `h`, touching at `m - w/2`.
//!   `(u - l)(u - m - w/2)^2` is a shifted Chebyshev polynomial, at most `w^3/2`: no other nodes do better.
//!   Where the range reaches below 0, `p_L''' >= -p_L'''(|l|)`, and `p_L'''(|l|)/6 w^3/2` is given away.

use crate::profile::Profile;
use crate::region::EPS;

/// Which side of the profile a bound lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Below,
    Above,
}

/// `a + b u + c u^2`, a bound of `p_L(u)` on one side, up to `slack` from rounding.
///
/// With `eps = f64::EPSILON`, so that one operation is off by `eps/2` of its result, and `R` the rounding of the profile
/// ([`Profile::rounding`]; of a slope `s` it is at most `R (1 + |s|)` times the distance it is used over):
/// - tangent `(v - s t) + s u`: `v` and `s` bring `R (1 + |s|)`, the product and the difference `eps/2 (|a| + |b|)`;
/// - chord: wrong ends move it by `R` between them; its slope by three operations, `3/2 eps |b|`, over a length <= 2, and
///   `a` by two;
/// - parabola: `c = (v_n - v_t - s q)/q^2` is used over `|u - t| <= |q|`, so that the errors of what is divided count once
///   more: `R (1 + |s|)` three times from the values and twice from the slope, and `3/2 eps (|v_n| + |v_t| + |s q|)` with
///   `|v| <= L + 1`, `|q| <= 3/2`, which is less than another `5 R (1 + |s|)` as `R >= 16 eps`, with `R >= 32 L eps` for
///   `L > 1`; together less than `16 R (1 + |s|)`. Expanding it takes eight operations on numbers of at most
///   `|a| + 2 |b| + 6 |c|`.
///
/// So 16 `eps (|a| + |b| + |c|)` is more than what the operations can do, and the rest is given as `rounding`. The property
/// below holds all of it against twice the digits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bound {
    pub a: f64,
    pub b: f64,
    pub c: f64,
    /// By how much rounding may have moved it to the wrong side, anywhere on the range.
    pub slack: f64,
}

impl Bound {
    /// A bound with coefficients found by a few operations on numbers that are right to within `rounding`.
    fn new(a: f64, b: f64, c: f64, rounding: f64) -> Self {
        let slack = rounding + 16.0 * EPS * (a.abs() + b.abs() + c.abs());
        Self { a, b, c, slack }
    }

    /// Adds `change u^2`, replaced by a line on its own bounding side over `[low, high]`, so that `c` becomes the
    /// given curvature: the bound remains one. The line's coefficients, at most 2, and the sums take a few operations on
    /// numbers of at most `|change|` and of what `slack` has counted already.
    pub fn with_curvature(self, c: f64, side: Side, (low, high): (f64, f64)) -> Self {
        let change = self.c - c;
        // Below, a convex part is replaced by its tangent and a concave one by its chord.
        let (a, b) = if (change >= 0.0) == (side == Side::Below) {
            let middle = 0.5 * (low + high);
            (-middle * middle, 2.0 * middle)
        } else {
            (-low * high, low + high)
        };
        Self { a: self.a + change * a, b: self.b + change * b, c, slack: self.slack + 16.0 * EPS * change.abs() }
    }
}

/// How near to -1 and 1 derivatives are still taken.
const EDGE: f64 = 1e-9;
/// The half-width below which a parabola gains nothing over rounding.
const NARROW: f64 = 1e-6;

/// A line on the given side of the profile over `[low, high]`, within [-1, 1].
pub(crate) fn line(profile: Profile, side: Side, (low, high): (f64, f64)) -> Bound {
    match side {
        Side::Below => {
            let at = (0.5 * (low + high)).clamp(-1.0 + EDGE, 1.0 - EDGE);
            let (value, slope) = profile.value_and_slope(at);
            Bound::new(value - slope * at, slope, 0.0, profile.rounding(at) * (1.0 + slope.abs()))
        }
        Side::Above => {
            let (first, last) = (profile.value(low), profile.value(high));
            let rounding = profile.rounding(low).max(profile.rounding(high));
            if high - low < NARROW {
                // The chord of so short a range would magnify rounding.
                return Bound::new(first.max(last), 0.0, 0.0, rounding);
            }
            let slope = (last - first) / (high - low);
            Bound::new(first - slope * low, slope, 0.0, 4.0 * rounding)
        }
    }
}

/// A parabola on the given side of the profile over `[low, high]`; the line where there is none.
pub(crate) fn parabola(profile: Profile, side: Side, (low, high): (f64, f64)) -> Bound {
    let (middle, half) = (0.5 * (low + high), 0.5 * (high - low));
    let dip = if low < 0.0 { profile.jet((-low).min(1.0 - 1e-15))[3] } else { 0.0 };
    let (node, touch) = match side {
        Side::Below => (low, middle + 0.5 * half),
        Side::Above => (high, middle - 0.5 * half),
    };
    if half < NARROW || touch.abs() > 1.0 - EDGE || low < -0.99 {
        return line(profile, side, (low, high));
    }
    let (value, slope) = profile.value_and_slope(touch);
    let step = node - touch;
    let c = (profile.value(node) - value - slope * step) / (step * step);
    let given_away = dip * half.powi(3) / 12.0;
    let a = value - slope * touch + c * touch * touch;
    let a = if side == Side::Below { a - given_away } else { a + given_away };
    let rounding = profile.rounding(node).max(profile.rounding(touch)) * (1.0 + slope.abs());
    Bound::new(a, slope - 2.0 * c * touch, c, 16.0 * rounding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::{self, Exact};
    use proptest::prelude::*;

    #[test]
    fn lines_by_hand() {
        use std::f64::consts::PI;
        let profile = Profile::new(1).unwrap();
        // The chord over [0, 1] joins (0, 1/pi) and (1, 2).
        let chord = line(profile, Side::Above, (0.0, 1.0));
        assert!((chord.a - 1.0 / PI).abs() < 1e-15 && (chord.b - (2.0 - 1.0 / PI)).abs() < 1e-15);
        // The tangent at 0: p(0) = 1/pi, p'(0) = 1.
        let tangent = line(profile, Side::Below, (-0.5, 0.5));
        assert!((tangent.a - 1.0 / PI).abs() < 1e-15 && (tangent.b - 1.0).abs() < 1e-15);
    }

    #[test]
    fn a_parabola_loses_a_cube() {
        // The gap is at most p'''/6 * w^3/2.
        let profile = Profile::new(1).unwrap();
        let (low, high) = (0.55, 0.65);
        let third = profile.jet(high)[3];
        for side in [Side::Below, Side::Above] {
            let bound = parabola(profile, side, (low, high));
            for k in 0..=100 {
                let u = low + 0.1 * k as f64 / 100.0;
                let gap = (profile.value(u) - (bound.a + bound.b * u + bound.c * u * u)).abs();
                assert!(gap < third / 6.0 * 0.05f64.powi(3) / 2.0 + 1e-13);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn every_bound_is_one(
            depth in 1..5usize, a in -1.0..=1.0f64, b in -1.0..=1.0f64, above: bool, narrow: bool, end: bool,
            curvature in -3.0..5.0f64,
        ) {
            let profile = Profile::new(depth).unwrap();
            let side = if above { Side::Above } else { Side::Below };
            let (mut low, mut high) = (a.min(b), a.max(b));
            if narrow { high = low + (high - low) * 1e-4; }
            if end { high = 1.0; }
            if narrow && end { low = 1.0 - (high - low).abs() * 1e-3; }
            let range = (low, high);
            let parabola = parabola(profile, side, range);
            for bound in [line(profile, side, range), parabola, parabola.with_curvature(curvature, side, range)] {
                for k in 0..=20 {
                    let u = (low + (high - low) * k as f64 / 20.0).clamp(low, high);
                    let [a, b, c, x] = [bound.a, bound.b, bound.c, u].map(Exact::from);
                    let gap = (exact::profile(depth, x).0 - (a + (b + c * x) * x)).to_f64();
                    let gap = if above { -gap } else { gap };
                    prop_assert!(gap >= -bound.slack, "u = {u}, gap = {gap:e}, slack = {:e}", bound.slack);
                }
            }
        }
    }
}
