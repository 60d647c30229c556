//! Theorem 4.2: every kernel value is bounded by itself.

use std::f64::consts::PI;

use ndarray::ArrayView1;

use crate::cosines::Cosines;
use crate::machine::{DenseMachine, norm};
use crate::profile::Profile;
use crate::region::{EPS, Region};

/// A lower bound of `sign * g` over a region from the range of every single cosine and of the norm.
///
/// `|x| p(u)` is least at the least `p` times the least norm when that is >= 0, and times the largest norm otherwise.
pub(crate) fn interval_bound(machine: &DenseMachine, sign: f64, region: &Region, cosines: &Cosines) -> f64 {
    let (r1, r2) = region.norm_range();
    let (lows, highs) = cosines.ranges((r1, r2));
    let weights: Vec<f64> = machine.weights.iter().map(|w| sign * w).collect();
    // Where the profile is increasing its value at one end is what counts: all of those at once. The others one by one.
    let profile = machine.profile;
    let ends = lows.iter().zip(&highs).zip(&weights);
    let mut values: Vec<f64> = ends.map(|((low, high), w)| if *w >= 0.0 { *low } else { *high }).collect();
    let mut roundings: Vec<f64> = values.iter().map(|&end| profile.rounding(end)).collect();
    profile.values(&mut values);
    for (i, &low) in lows.iter().enumerate().filter(|(_, low)| **low < 0.0) {
        let bound = if weights[i] >= 0.0 { least } else { most };
        (values[i], roundings[i]) = bound(profile, low, highs[i]);
    }
    let (mut sum, mut size, mut slack) = (0.0, 0.0, 0.0);
    for ((weight, value), rounding) in weights.into_iter().zip(values).zip(roundings) {
        let term = weight * value * if (weight >= 0.0) == (value >= 0.0) { r1 } else { r2 };
        sum += term;
        size += term.abs();
        slack += weight.abs() * rounding;
    }
    let slack = slack * r2;
    // Rounding: the profile's own, and a sum of n terms with two products each and the intercept, (n + 3) eps/2 of their
    // size; both more than once, for their own rounding.
    let count = machine.support() as f64;
    sum + sign * machine.intercept - 2.0 * slack - 2.0 * (count + 16.0) * EPS * (size + machine.intercept.abs())
}

/// The largest value of the convex profile on a range, which is at an end, and its rounding.
fn most(profile: Profile, low: f64, high: f64) -> (f64, f64) {
    (profile.value(low).max(profile.value(high)), profile.rounding(low).max(profile.rounding(high)))
}

/// The least value of the convex profile on a range, or a little less, and its rounding.
fn least(profile: Profile, low: f64, high: f64) -> (f64, f64) {
    let (first, last) = (profile.value(low), profile.value(high));
    let rounding = profile.rounding(low).max(profile.rounding(high));
    // Anywhere, p is above its tangents: the tangents at both ends cross below it.
    let edge = 1e-9;
    let (a, b) = (low.clamp(-1.0 + edge, 1.0 - edge), high.clamp(-1.0 + edge, 1.0 - edge));
    let (value_a, slope_a) = profile.value_and_slope(a);
    let (value_b, slope_b) = profile.value_and_slope(b);
    if slope_a >= 0.0 {
        return (first - slope_a * (a - low).abs(), rounding);
    }
    if slope_b <= 0.0 {
        return (last - slope_b.abs() * (high - b).abs(), rounding);
    }
    // A few bisections towards the minimum, then the crossing of the tangents.
    let (mut a, mut va, mut sa, mut b, mut vb, mut sb) = (a, value_a, slope_a, b, value_b, slope_b);
    for _ in 0..40 {
        let middle = 0.5 * (a + b);
        let (v, s) = profile.value_and_slope(middle);
        if s <= 0.0 {
            (a, va, sa) = (middle, v, s);
        } else {
            (b, vb, sb) = (middle, v, s);
        }
    }
    ((va + sa * (b - a)).min(vb + sb * (a - b)), rounding + profile.rounding(a).max(profile.rounding(b)))
}

/// The bound of the paper's published code over the l_inf ball of a radius, for two layers: exactly its formulas, and
/// its holes. It takes the box for the Euclidean ball of radius `sqrt(d) delta`, and guards neither the cosine at -1
/// nor a norm of zero, so for large radii it is no bound.
///
/// `dots: [s]` are `<x, e_i>`.
pub(crate) fn published_bound(
    machine: &DenseMachine,
    sign: f64,
    x: ArrayView1<f64>,
    dots: ArrayView1<f64>,
    delta: f64,
) -> f64 {
    const LEAST_AT: f64 = -0.794;
    const LEAST: f64 = -0.429738;
    let rho = (x.len() as f64).sqrt() * delta;
    let size = norm(x);
    let (r1, r2) = ((size - rho).max(0.0), size + rho);
    let (inverse1, inverse2) = (1.0 / r1, 1.0 / r2);
    // h/pi. Where it is increasing one end is enough, and all of those ends are taken at once.
    let profile = machine.profile;
    let dots = dots.to_slice().expect("contiguous");
    let weights = machine.weights.as_slice().expect("contiguous");
    let range = move |dot: f64| {
        let (low, high) = (dot - rho, dot + rho);
        let first = if low >= 0.0 { low * inverse2 } else { low * inverse1 };
        let last = if high >= 0.0 { high * inverse1 } else { high * inverse2 };
        (first, last.min(1.0))
    };
    let (mut firsts, mut values) = (vec![0.0; dots.len()], vec![0.0; dots.len()]);
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for (((first, value), &dot), &weight) in firsts.iter_mut().zip(&mut values).zip(dots).zip(weights) {
                let (low, high) = range(dot);
                (*first, *value) = (low, if sign * weight >= 0.0 { low } else { high });
            }
        },
    );
    profile.values(&mut values);
    for (i, &first) in firsts.iter().enumerate().filter(|(_, first)| !(0.0..=1.0).contains(*first)) {
        let (_, last) = range(dots[i]);
        // PyTorch's min and max hand on what is not a number.
        if !(-1.0..=1.0).contains(&first) || last.is_nan() || last < -1.0 {
            return f64::NAN;
        }
        let (h1, h2) = (profile.value(first), profile.value(last));
        let least = if first <= LEAST_AT && LEAST_AT <= last { LEAST / PI } else { h1.min(h2) };
        values[i] = if sign * weights[i] >= 0.0 { least } else { h1.max(h2) };
    }
    let sum: f64 = machine.weights.iter().zip(values).fold(0.0, |sum, (weight, value)| {
        let weight = sign * weight;
        sum + weight * value * if (weight >= 0.0) == (value >= 0.0) { r1 } else { r2 }
    });
    sum + sign * machine.intercept
}

/// The radius as the published code searches it: a bracket [0, 0.3], from 0.05, halved until `0 <= bound < 1e-3`.
/// Returns the largest radius that passed.
pub(crate) fn published_search(start: f64, mut bound: impl FnMut(f64) -> f64) -> f64 {
    let (mut low, mut high, mut delta) = (0.0, 0.3, start);
    for _ in 0..100 {
        let value = bound(delta);
        if (0.0..1e-3).contains(&value) {
            return delta;
        }
        if value >= 0.0 {
            low = delta;
        } else {
            high = delta;
        }
        delta = 0.5 * (low + high);
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Norm, Threat};
    use ndarray::array;

    /// g(x) = |x| p(u)/4 with e = (1, 0) over (1 +- 0.1, 0 +- 0.1).
    fn machine(alpha: f64) -> DenseMachine {
        let profile = Profile::new(1).unwrap();
        DenseMachine::new(array![[1.0, 0.0]].view(), array![alpha].view(), 0.0, profile, 1.0).unwrap()
    }

    #[test]
    fn published_by_hand() {
        // rho = 0.1 sqrt 2; u from (1 - rho)/(1 + rho) to 1 (cut).
        let machine = machine(1.0);
        let x = array![1.0, 0.0];
        let rho = 0.1 * 2f64.sqrt();
        let u = (1.0 - rho) / (1.0 + rho);
        let h = |u: f64| 2.0 * u * (PI - u.acos()) + (1.0 - u * u).sqrt();
        let expected = h(u) / (4.0 * PI) * (1.0 - rho);
        assert!((published_bound(&machine, 1.0, x.view(), array![1.0].view(), 0.1) - expected).abs() < 1e-15);
        // The other sign: the largest, 2 pi times (1 + rho).
        let expected = -(1.0 + rho) / 2.0;
        assert!((published_bound(&machine, -1.0, x.view(), array![1.0].view(), 0.1) - expected).abs() < 1e-15);
    }

    #[test]
    fn published_search_by_hand() {
        // bound = 0.2 - delta: 0.05 passes, 0.175 passes, 0.2375 fails, 0.20625 fails, 0.190625, 0.1984375, 0.20234..,
        // and 0.200390625 fails; then 0.1994140625 is below 1e-3.
        assert_eq!(published_search(0.05, |delta| 0.2 - delta), 0.1994140625);
        assert!(published_search(0.05, |_| 1.0) > 0.3 - 1e-12);
        assert_eq!(published_search(0.05, |_| -1.0), 0.0);
    }

    #[test]
    fn interval_is_below_the_least_value_and_tighter_than_published() {
        let machine = machine(1.0);
        let x = array![1.0, 0.0];
        let region = Region::new(x.view(), 0.1, Threat::new(Norm::Inf));
        let cosines = Cosines::new(&machine, &region, None);
        let bound = interval_bound(&machine, 1.0, &region, &cosines);
        let least = machine.value(array![0.9, 0.1].view()).min(machine.value(array![0.9, -0.1].view()));
        assert!(bound <= least);
        assert!(bound > published_bound(&machine, 1.0, x.view(), array![1.0].view(), 0.1));
    }

    #[test]
    fn the_least_of_a_range_is_below_every_value() {
        for depth in 1..4 {
            let profile = Profile::new(depth).unwrap();
            for (low, high) in [(-1.0, 1.0), (-1.0, -0.9), (-0.85, -0.7), (-0.5, 0.2), (0.1, 1.0), (-0.79, -0.79)] {
                let (bound, rounding) = least(profile, low, high);
                let sampled = (0..=1000).map(|k| profile.value(low + (high - low) * k as f64 / 1000.0));
                let sampled = sampled.fold(f64::INFINITY, f64::min);
                assert!(bound - rounding <= sampled && bound > sampled - 1e-5, "{low} {high}: {bound} {sampled}");
            }
        }
    }
}
