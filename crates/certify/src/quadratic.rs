//! Every kernel value is bounded by a parabola in its cosine, so that what coefficients of opposite sign cancel up to
//! second order is cancelled exactly, and only a remainder of third order is bounded term by term.
//!
//! Inside a slice `r1 <= |x| <= r2` of the region, with parabolas `a_i + b_i u + c_i u^2` on the right sides and
//! `r = |x|`,
//!
//! `r s g(x) >= a r^2 + r L(x) + x^T Q x`, `a = sum_i s beta_i a_i`, `Q = sum_i s beta_i c_i e_i e_i^T`,
//! `L(x) = <w, x> + s b`, `w = sum_i s beta_i b_i e_i`.
//!
//! `r^2 = |x|^2` is quadratic already. In `r L`, with the middle `k` of the slice and any number `z`,
//!
//! `r L = z r + k (L - z) + (r - k)(L - z)`,
//!
//! where `z r` lies between `z (r^2 + k^2)/(2k)` and the same less `z (r - k)^2/(2k)`, and `(r - k)(L - z)` is least at
//! an end of the slice: two quadratics bound it. `z` is taken near the value of `L` where the minimum is.
//!
//! Each quadratic is made convex by adding what is not positive in the region: `D_j (x_j - l_j)(x_j - h_j)` with a
//! diagonal `D` such that `Q + D` is positive semidefinite (nothing is lost for coordinates at their ends, which is
//! where a minimum mostly is), `m2 (|x|^2 - r2^2)` and `m1 (r1^2 - |x|^2)`, the latter with `|x|^2` replaced by its
//! secant `sum_j (l_j + h_j) x_j - l_j h_j`. A slice that does not pass is halved.

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::{Accum, Mat, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView1, Axis, Zip, s};

use crate::cosines::Cosines;
use crate::definite::{semidefinite_shift, spectral_norm};
use crate::envelope::{Side, parabola};
use crate::machine::DenseMachine;
use crate::program::{Goal, Minimum, Program};
use crate::region::{EPS, Region};

/// The quadratic part, shared by the slices of a region and by neighbouring radii: any curvatures `c_i` are right.
#[derive(Clone, Debug)]
pub(crate) struct Curvature {
    /// `c_i`, `[s]`.
    c: Array1<f64>,
    /// `Q`, `[d, d]`.
    q: Array2<f64>,
    spread: f64,
    /// `D`, `[d]`: a multiple of the identity for a ball.
    shift: Array1<f64>,
    /// `sum_i |beta_i c_i|`.
    size: f64,
}

impl Curvature {
    /// From the parabolas over a whole region. `None` when no diagonal makes it convex.
    pub fn new(machine: &DenseMachine, sign: f64, region: &Region, cosines: &Cosines) -> Option<Self> {
        let (lows, highs) = cosines.ranges(region.norm_range());
        let parabola = |low, high, weight| parabola(machine.profile, side(sign * weight), (low, high)).c;
        let ranges = lows.into_iter().zip(highs);
        let c: Array1<f64> = ranges.zip(&machine.weights).map(|((low, high), w)| parabola(low, high, w)).collect();
        let weights = &machine.weights * &c * sign;
        let q = weighted_square(&machine.directions, &weights);
        let shape = if region.ball.is_some() {
            Array1::ones(q.nrows())
        } else {
            let roots = machine
                .directions
                .map_axis(Axis(1), |e| Zip::from(e).and(&weights).fold(0.0, |s, e, w| s + w.abs() * e * e).sqrt());
            let most = roots.fold(0.0f64, |a, &b| a.max(b));
            roots.mapv_into(|r| r.max(1e-3 * most).max(f64::MIN_POSITIVE))
        };
        let shift = semidefinite_shift(&q, shape.view())?;
        let size = weights.iter().map(|w| w.abs()).sum();
        Some(Self { spread: spectral_norm(&q), c, q, shift, size })
    }
}

/// `E diag(w) E^T` for `e: [d, s]` and `w: [s]`, symmetric to the last bit: `[d, d]`.
fn weighted_square(e: &Array2<f64>, w: &Array1<f64>) -> Array2<f64> {
    // So many columns at a time: they stay in the cache.
    const COLUMNS: usize = 256;
    let (d, count) = e.dim();
    let mut q = Mat::zeros(d, d);
    for first in (0..count).step_by(COLUMNS) {
        let columns = first..count.min(first + COLUMNS);
        let weighted = &e.slice(s![.., columns.clone()]) * &w.slice(s![columns.clone()]);
        let weighted = MatRef::from_row_major_slice(weighted.as_slice().expect("contiguous"), d, columns.len());
        let e = MatRef::from_row_major_slice(e.as_slice().expect("contiguous"), d, count);
        let e = e.subcols(first, columns.len()).transpose();
        let (lower, whole) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
        matmul(q.as_mut(), lower, Accum::Add, weighted, whole, e, whole, 1.0, Par::Seq);
    }
    Array2::from_shape_fn((d, d), |(i, j)| q[(i.max(j), i.min(j))])
}

/// A multiple of `r^2` and a constant that together are at most `z r` for `|r - k| <= half`.
fn norm_below(z: f64, k: f64, half: f64) -> (f64, f64) {
    (z / (2.0 * k), z * k / 2.0 - if z > 0.0 { z * half * half / (2.0 * k) } else { 0.0 })
}

/// The bounding side that makes `weight * bound` a lower bound.
fn side(weight: f64) -> Side {
    if weight >= 0.0 { Side::Below } else { Side::Above }
}

/// One region to be bounded.
pub(crate) struct Quadratic<'a> {
    pub machine: &'a DenseMachine,
    pub sign: f64,
    pub region: &'a Region,
    pub cosines: &'a Cosines,
    pub curvature: &'a Curvature,
}

/// The parabolas summed up over a slice.
struct Summed {
    a: f64,
    w: Array1<f64>,
    /// No `|L|` in the slice is larger.
    most: f64,
    /// What rounding may have added to `r s g`.
    slack: f64,
}

impl Quadratic<'_> {
    /// A lower bound of `s g` over the region. Slices of the norm that do not reach `enough` are halved up to `halvings`
    /// times, while `go_on` says so. `start`: where to look for the minimum first; where it was found at last.
    pub fn bound(&self, enough: f64, halvings: usize, start: &mut Array1<f64>, go_on: &dyn Fn() -> bool) -> f64 {
        self.slices(self.region.norm_range(), enough, halvings, start, go_on)
    }

    fn slices(
        &self,
        (r1, r2): (f64, f64),
        enough: f64,
        halvings: usize,
        start: &mut Array1<f64>,
        go_on: &dyn Fn() -> bool,
    ) -> f64 {
        if r1 <= 0.0 || r1.is_nan() {
            return f64::NEG_INFINITY;
        }
        let whole = self.slice((r1, r2), enough, start);
        if whole > enough || halvings == 0 || !go_on() {
            return whole;
        }
        // A point that fails itself: no bound can pass.
        if self.sign * self.machine.value(start.view()) <= enough {
            return whole;
        }
        let middle = 0.5 * (r1 + r2);
        let lower = self.slices((r1, middle), enough, halvings - 1, start, go_on);
        if lower <= enough {
            return whole;
        }
        let upper = self.slices((middle, r2), enough, halvings - 1, start, go_on);
        whole.max(lower.min(upper))
    }

    /// A lower bound of `s g` in one slice.
    fn slice(&self, (r1, r2): (f64, f64), enough: f64, start: &mut Array1<f64>) -> f64 {
        let summed = self.sum((r1, r2));
        let z = (summed.w.dot(start) + self.sign * self.machine.intercept).clamp(-summed.most, summed.most);
        let mut least = f64::INFINITY;
        for end in [r1, r2] {
            let minimum = self.end(&summed, (r1, r2), end, z, enough, start);
            start.assign(&minimum.at);
            least = least.min(minimum.bound);
        }
        let least = least - summed.slack;
        if least >= 0.0 { least / r2.next_up() } else { least / r1.next_down() }
    }

    /// Sums up the parabolas over a slice.
    fn sum(&self, (r1, r2): (f64, f64)) -> Summed {
        let machine = self.machine;
        let mut slopes = Array1::zeros(machine.support());
        let (mut a, mut size, mut slack) = (0.0, self.curvature.size, 0.0);
        let (lows, highs) = self.cosines.ranges((r1, r2));
        for (i, range) in lows.into_iter().zip(highs).enumerate() {
            let weight = self.sign * machine.weights[i];
            let side = side(weight);
            let bound = parabola(machine.profile, side, range).with_curvature(self.curvature.c[i], side, range);
            a += weight * bound.a;
            slopes[i] = weight * bound.b;
            size += weight.abs() * (bound.a.abs() + bound.b.abs());
            slack += weight.abs() * bound.slack;
        }
        let w = machine.combine(slopes.view());
        // Rounding. The parabolas' own, times r |x| <= r2^2 (twice, for the sum itself). Then, with S = `most` r2, which no
        // part exceeds because |e_i| = 1, and sums of n terms being off by n eps/2 of their size: a r^2, r <w, x> and
        // x^T Q x, as each is summed and as it is used, and the gradient of the latter at a trial point, by n eps/2 S
        // each; the multiples of z, |z| <= S/r2, by some ten operations. All in all less than 4 (n + 64) eps S, a quarter
        // of what is taken off.
        let count = (machine.support() + machine.features()) as f64;
        let most = (size + machine.intercept.abs() / r1) * r2;
        Summed { a, w, most, slack: (2.0 * slack * r2 + 16.0 * (count + 64.0) * EPS * most) * r2 }
    }

    /// A lower bound of `r s g`, with `(r - k)(L - z)` taken at one end of the slice.
    fn end(
        &self,
        summed: &Summed,
        (r1, r2): (f64, f64),
        end: f64,
        z: f64,
        enough: f64,
        start: &Array1<f64>,
    ) -> Minimum {
        let (k, half) = (0.5 * (r1 + r2), 0.5 * (r2 - r1));
        let enough = enough * r2 + summed.slack;
        let (rate, fixed) = norm_below(z, k, half);
        let fixed = fixed + end * (self.sign * self.machine.intercept - z);
        let tolerance = 1e-4 * (r2 * self.sign * self.machine.value(start.view())).abs().max(1e-12);
        let (mut m1, mut m2) = (0.0, 0.0);
        let mut best: Option<Minimum> = None;
        for _ in 0..8 {
            let program = self.program(summed, rate + summed.a, end, fixed, (m1, r1), (m2, r2));
            let from = best.as_ref().map_or(start.view(), |best| best.at.view());
            // How far outside the slice a point is: below it, by the secant, and above.
            let beyond = |x: &Array1<f64>| (r1 * r1 - self.secant(x.view()), x.dot(x) - r2 * r2);
            let inside = |x: &Array1<f64>| {
                let (inner, outer) = beyond(x);
                inner <= 0.0 && outer <= 0.0
            };
            let found = program.minimise(self.region, from, &Goal { enough, tolerance, settles: &inside });
            let (inner, outer) = beyond(&found.at);
            let deficit = enough - found.bound;
            let improved = best.as_ref().is_none_or(|best| found.bound > best.bound);
            if improved {
                best = Some(found);
            }
            if deficit < 0.0 || !improved || deficit.is_infinite() {
                break;
            }
            // Outside the slice: make that dear.
            let missing = 1.2 * deficit + tolerance;
            if inner > 1e-9 * r1 * r1 {
                m1 += missing / inner;
            } else if outer > 1e-9 * r2 * r2 {
                m2 += missing / outer;
            } else {
                break;
            }
        }
        best.expect("solved at least once")
    }

    /// `rate |x|^2 + <end w, x> + x^T Q x + fixed`, made convex, with multipliers for the ends of the slice.
    fn program(
        &self,
        summed: &Summed,
        rate: f64,
        end: f64,
        fixed: f64,
        (m1, r1): (f64, f64),
        (m2, r2): (f64, f64),
    ) -> Program<'_> {
        let region = self.region;
        let rate = rate + m2;
        // What |x|^2 brings along need not be added again.
        let shift = self.curvature.shift.mapv(|s| (s - rate).max(0.0));
        let mut b = &summed.w * end;
        let mut c = fixed + m1 * r1 * r1 - m2 * r2 * r2;
        // What makes the program convex: for every coordinate the square and its secant with three terms, six operations
        // each, none larger than `weight` times the coordinate's largest square; then sums of d terms, here and in the
        // program's value, gradient and minimum: less than 4 (d + 64) eps/2 of it all, an eighth of what is taken off.
        let farthest = region.low.iter().zip(&region.high).map(|(l, h)| l.abs().max(h.abs()));
        let farthest = farthest.map(|x| x * x).fold(r2 * r2, |a, b| a + b);
        let weight = rate.abs() + m1 + m2 + shift.fold(0.0f64, |a, &s| a.max(s));
        c -= 16.0 * (b.len() as f64 + 64.0) * EPS * weight * farthest;
        match &region.ball {
            None => {
                for j in 0..b.len() {
                    let (l, h) = (region.low[j], region.high[j]);
                    b[j] -= (shift[j] + m1) * (l + h);
                    c += (shift[j] + m1) * l * h;
                }
            }
            Some(ball) => {
                let most = shift.fold(0.0f64, |a, &s| a.max(s)) + m1;
                b.scaled_add(-2.0 * most, &ball.centre);
                c += most * (ball.centre.dot(&ball.centre) - ball.radius * ball.radius);
            }
        }
        Program { q: &self.curvature.q, spread: self.curvature.spread, e: shift + rate, b, c }
    }

    /// An upper bound of `|x|^2` in the region, linear in `x`.
    fn secant(&self, x: ArrayView1<f64>) -> f64 {
        let region = self.region;
        match &region.ball {
            None => {
                let sides = &region.low + &region.high;
                sides.dot(&x) - region.low.dot(&region.high)
            }
            Some(ball) => 2.0 * ball.centre.dot(&x) - ball.centre.dot(&ball.centre) + ball.radius * ball.radius,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    /// Both signs of `z`: met at the ends of a slice, and at its middle.
    #[test]
    fn a_multiple_of_the_norm_by_hand() {
        assert_eq!(norm_below(4.0, 2.0, 1.0), (1.0, 3.0));
        assert_eq!(norm_below(-4.0, 2.0, 1.0), (-1.0, -4.0));
        for (z, met) in [(4.0, [1.0, 3.0]), (-4.0, [2.0, 2.0])] {
            let (rate, fixed) = norm_below(z, 2.0, 1.0);
            let below = |r: f64| z * r - (rate * r * r + fixed);
            assert!((0..=20).all(|i| below(1.0 + f64::from(i) / 10.0) >= -1e-12));
            assert_eq!(met.map(below), [0.0, 0.0]);
        }
    }

    /// Several blocks of columns, the last one not full.
    #[test]
    fn a_weighted_square_by_its_sums() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let e = Array2::from_shape_fn((9, 600), |_| random.random_range(-1.0..1.0));
        let w = Array1::from_shape_fn(600, |_| random.random_range(-1.0..1.0));
        let q = weighted_square(&e, &w);
        for ((i, j), found) in q.indexed_iter() {
            let sum: f64 = (0..600).map(|k| w[k] * e[[i, k]] * e[[j, k]]).sum();
            assert!((found - sum).abs() < 1e-12 && *found == q[[j, i]], "{i} {j}");
        }
    }
}
