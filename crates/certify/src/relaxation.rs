//! Every kernel value is bounded by a line in its cosine, so that the machine is bounded by one linear form.
//!
//! `|x| p(u_i)` with `u_i = <x, e_i>/|x|` is the perspective of a convex function: jointly convex in `<x, e_i>` and
//! `|x|`. A line `a_i + b_i u` on the right side of `p` over the range of `u_i` gives the plane
//! `a_i |x| + b_i <x, e_i>`, and summed up
//!
//! `s g(x) >= a |x| + <w, x> + s b`, `a = sum_i s beta_i a_i`, `w = sum_i s beta_i b_i e_i`.
//!
//! `|x|` is replaced by `<x, m^> <= |x|` or by the secant of `sqrt` above it, according to the sign of `a`; what is
//! left is linear, and its minimum over a box or a ball is in closed form.

use ndarray::Array1;

use crate::cosines::Cosines;
use crate::envelope::{Side, line};
use crate::machine::{DenseMachine, norm};
use crate::region::{EPS, Region};

/// A lower bound of `sign * g` over the part of a region with `r1 <= |x| <= r2`.
pub(crate) fn relaxation_bound(
    machine: &DenseMachine,
    sign: f64,
    region: &Region,
    cosines: &Cosines,
    (r1, r2): (f64, f64),
) -> f64 {
    let count = machine.support();
    let mut slopes = Array1::zeros(count);
    let (mut a, mut size, mut slack) = (0.0, 0.0, 0.0);
    let (lows, highs) = cosines.ranges((r1, r2));
    for (i, range) in lows.into_iter().zip(highs).enumerate() {
        let weight = sign * machine.weights[i];
        let side = if weight >= 0.0 { Side::Below } else { Side::Above };
        let bound = line(machine.profile, side, range);
        a += weight * bound.a;
        slopes[i] = weight * bound.b;
        size += weight.abs() * (bound.a.abs() + bound.b.abs());
        slack += weight.abs() * bound.slack;
    }
    let w = machine.combine(slopes.view());
    let least = if a >= 0.0 { with_norm_below(a, &w, region, r1) } else { with_norm_above(a, &w, region, r2) };
    // Rounding: the lines' own; then a |x| and <w, x>, each at most `size` r2 as |e_i| = 1, from sums of n terms, n eps/2 of
    // it each, and what replaces |x|, (d + 8) eps/2 of it: an eighth of what is taken off.
    let rounding = 4.0 * (count as f64 + w.len() as f64 + 16.0) * EPS;
    least + sign * machine.intercept - 2.0 * slack * r2 - rounding * (size * r2 + machine.intercept.abs())
}

/// The minimum of `a |x| + <w, x>` for `a >= 0`: `|x|` is at least `<x, m^>`, and at least `r1`.
fn with_norm_below(a: f64, w: &Array1<f64>, region: &Region, r1: f64) -> f64 {
    let flat = a * r1 + region.minimum(w.view());
    let middle = norm(region.middle.view());
    if middle == 0.0 {
        return flat;
    }
    // A hair less than a, so that the rounding of m^ does not make it longer than 1.
    let tilted = w + &(&region.middle * (a * (1.0 - 4.0 * w.len() as f64 * EPS) / middle));
    flat.max(region.minimum(tilted.view()))
}

/// The minimum for `a < 0`: `|x| <= (|x|^2 + k^2)/(2k)` for every `k > 0`, and
/// `|x|^2 <= sum_j (l_j + h_j) x_j - l_j h_j` in the box; also `|x| <= r2`.
fn with_norm_above(a: f64, w: &Array1<f64>, region: &Region, r2: f64) -> f64 {
    let flat = a * r2 + region.minimum(w.view());
    let k = norm(region.middle.view()).max(0.5 * r2);
    if region.ball.is_some() || k == 0.0 {
        return flat;
    }
    let sides = &region.low + &region.high;
    let corners = -region.low.dot(&region.high);
    let size = region.low.dot(&region.low) + region.high.dot(&region.high) + k * k;
    let slack = 4.0 * w.len() as f64 * EPS * size;
    let tilted = w + &(sides * (a / (2.0 * k)));
    flat.max(region.minimum(tilted.view()) + a * (corners + k * k + slack) / (2.0 * k))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Norm, Profile, Threat};
    use ndarray::array;

    #[test]
    fn one_support_vector_by_hand() {
        // In one dimension at x = 1 +- 0.01, e = 1: u = 1, g = x p(1)/2 = x. The least value is 0.99.
        let profile = Profile::new(1).unwrap();
        let machine = DenseMachine::new(array![[1.0]].view(), array![1.0].view(), 0.0, profile, 1.0).unwrap();
        let region = Region::new(array![1.0].view(), 0.01, Threat::new(Norm::Inf));
        let cosines = Cosines::new(&machine, &region, None);
        let bound = relaxation_bound(&machine, 1.0, &region, &cosines, region.norm_range());
        assert!(bound <= 0.99 && bound > 0.985, "{bound}");
        let bound = relaxation_bound(&machine, -1.0, &region, &cosines, region.norm_range());
        assert!(bound <= -1.01 && bound > -1.02, "{bound}");
    }

    #[test]
    fn norms_from_both_sides_by_hand() {
        let region = Region::new(array![3.0, 4.0].view(), 0.0, Threat::new(Norm::Inf));
        let w = array![1.0, 0.0];
        assert!((with_norm_below(2.0, &w, &region, 5.0) - 13.0).abs() < 1e-12);
        assert!((with_norm_above(-2.0, &w, &region, 5.0) + 7.0).abs() < 1e-12);
    }
}
