//! The range of every cosine `u_i = <x, e_i>/|x|` over a region.
//!
//! Three bounds, all of them true, are cut with each other. With `m` the middle of the region, `w` its half-sides
//! (`|x_j - m_j| <= w_j`), `m^ = m/|m|`, `t_i = <m^, e_i>` and `r1 <= |x| <= r2`:
//! 1. `<x, e_i>` lies within `w . |e_i|` of `<m, e_i>`, and is divided by `|x|`.
//! 2. Moving along `m` does not change a direction: `u_i = t_i c + <x, e_i - t_i m^>/|x|` with `c` the cosine of `x`
//!    and `m`, and `|<x, e_i - t_i m^>| <= w . |e_i - t_i m^|`.
//! 3. The angle of `x` and `e_i` differs from that of `m` and `e_i` by at most the angle of `x` and `m`.

use ndarray::{Array1, ArrayView1, Zip};

use crate::machine::{DenseMachine, norm};
use crate::region::{EPS, Region};

/// What the ranges of a region need, from one pass over the support vectors.
#[derive(Clone, Debug)]
pub(crate) struct Cosines {
    /// `<m, e_i>` and `w . |e_i|`.
    pub dots: Array1<f64>,
    pub reach: Array1<f64>,
    /// `w . |e_i - t_i m^|`.
    sway: Array1<f64>,
    /// `|m|`, at most how far `x` is from `m`, and a lower bound of `<x, m^>`.
    middle: f64,
    radius: f64,
    least_along: f64,
    /// What rounding may have done to a dot product.
    slack: f64,
}

/// `<m, e_i>`, and `w . |e_i - t_i m^|` for `w = 1`: where nothing is cut off by a domain, they serve every radius.
#[derive(Clone, Debug)]
pub(crate) struct UnitCosines {
    dots: Array1<f64>,
    pub sway: Array1<f64>,
}

impl UnitCosines {
    /// From `<m, e_i>` at the centre `m`.
    pub fn new(machine: &DenseMachine, centre: ArrayView1<f64>, dots: &Array1<f64>) -> Self {
        let sway = sway(machine, centre, Array1::ones(centre.len()).view(), dots, &machine.spans);
        Self { dots: dots.clone(), sway }
    }
}

/// `w . |e_i - t_i m^|`, which differs from the reach `w . |e_i|` in the features that `m` has.
fn sway(
    machine: &DenseMachine,
    m: ArrayView1<f64>,
    w: ArrayView1<f64>,
    dots: &Array1<f64>,
    reach: &Array1<f64>,
) -> Array1<f64> {
    let squared = m.dot(&m);
    let mut sway = reach.clone();
    if squared > 0.0 {
        let tilts = (dots / squared).to_vec();
        let both = m.iter().copied().zip(w.iter().copied()).enumerate();
        let present: Vec<_> = both.filter(|(_, (m, w))| *m != 0.0 && *w != 0.0).collect();
        let out = sway.as_slice_mut().expect("contiguous");
        machine.accumulate(&present, &tilts, out, |(m, w), e, tilt| w * ((e - tilt * m).abs() - e.abs()));
    }
    sway
}

impl Cosines {
    /// For a region that a domain may have cut, or (with `unit`, computed at its centre) one that is all there.
    pub fn new(machine: &DenseMachine, region: &Region, unit: Option<&UnitCosines>) -> Self {
        let (dots, reach, sway) = match unit {
            Some(unit) => {
                let largest = region.half.fold(0.0, |a: f64, &b| a.max(b));
                (unit.dots.clone(), &machine.spans * largest, &unit.sway * largest)
            }
            None => {
                let dots = machine.dots(region.middle.view());
                let mut reach = Array1::zeros(dots.len());
                for (j, &w) in region.half.iter().enumerate() {
                    Zip::from(&mut reach).and(machine.feature(j)).for_each(|r, e| *r += w * e.abs());
                }
                let sway = sway(machine, region.middle.view(), region.half.view(), &dots, &reach);
                (dots, reach, sway)
            }
        };
        let middle = norm(region.middle.view());
        let extent = norm(region.half.view());
        let d = region.low.len() as f64;
        // Sums of d terms are off by d eps/2 of their size: <m, e_i> and `middle` of |m|; the reach of |w|; the sway of
        // three times |w|, for its two parts and their difference, and for t_i, which is off by d eps, once more each.
        let slack = 4.0 * d * EPS * (middle + extent);
        // The middle of a ball's box is its centre, unless the domain cuts the box.
        let radius = match &region.ball {
            Some(ball) => {
                let shift = norm((&region.middle - &ball.centre).view());
                extent.min(ball.radius + shift)
            }
            None => extent,
        } * (1.0 + d * EPS)
            + f64::MIN_POSITIVE;
        let least_along =
            if middle > 0.0 { region.minimum((&region.middle / middle).view()) - slack } else { f64::NEG_INFINITY };
        // A ball reaches no farther than its radius in any direction.
        let (reach, sway) = if region.ball.is_some() {
            (reach.mapv_into(|r: f64| r.min(radius)), sway.mapv_into(|r: f64| r.min(radius)))
        } else {
            (reach, sway)
        };
        Self { dots, reach, sway, middle, radius, least_along, slack }
    }

    /// The least and the largest `u_i`, `[s]` each, over the part of the region with `r1 <= |x| <= r2`.
    pub fn ranges(&self, (r1, r2): (f64, f64)) -> (Vec<f64>, Vec<f64>) {
        let count = self.dots.len();
        let (mut lows, mut highs) = (vec![-1.0; count], vec![1.0; count]);
        if r1 <= 1e-9 * self.middle || r1 < 1e-100 {
            // Near the origin every direction is possible.
            return (lows, highs);
        }
        let c = self.least_cosine(r1, r2);
        let s = ((1.0 - c) * (1.0 + c)).max(0.0).sqrt();
        let slack = self.slack / r1 + 64.0 * EPS;
        let inverses = [1.0 / r1, 1.0 / r2, 1.0 / self.middle];
        let found = (&mut lows[..], &mut highs[..]);
        pulp::Arch::new().dispatch(Ranges { cosines: self, c, s, slack, inverses, found });
        (lows, highs)
    }

    /// A lower bound of the cosine of `x` and `m` for `r1 <= |x| <= r2`.
    fn least_cosine(&self, r1: f64, r2: f64) -> f64 {
        if self.middle == 0.0 {
            return -1.0;
        }
        // cos = (|x|^2 + |m|^2 - |x - m|^2)/(2 |x| |m|), with |x - m| at most the radius.
        let rest = self.middle * self.middle - self.radius * self.radius;
        let at = |r: f64| (r * r + rest) / (2.0 * r * self.middle);
        let by_distance = if rest > 0.0 { at(rest.sqrt().clamp(r1, r2)) } else { at(r1).min(at(r2)) };
        let by_projection = if self.least_along >= 0.0 { self.least_along / r2 } else { self.least_along / r1 };
        (by_distance.max(by_projection) - self.slack / r1 - 64.0 * EPS).clamp(-1.0, 1.0)
    }
}

/// The loop of [`Cosines::ranges`], without branches.
struct Ranges<'a> {
    cosines: &'a Cosines,
    /// The least cosine of `x` and `m`, and the sine that belongs to it.
    c: f64,
    s: f64,
    slack: f64,
    /// `1/r1`, `1/r2` and `1/|m|`.
    inverses: [f64; 3],
    found: (&'a mut [f64], &'a mut [f64]),
}

// Not a closure: those are not always compiled for the processor that is found.
impl pulp::NullaryFnOnce for Ranges<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { cosines, c, s, slack, inverses: [inverse1, inverse2, inverse], found: (lows, highs) } = self;
        let Cosines { dots, reach, sway, .. } = cosines;
        let [dots, reach, sway] = [dots, reach, sway].map(|a| a.as_slice().expect("contiguous"));
        for ((((low, high), &dot), &reach), &sway) in lows.iter_mut().zip(highs).zip(dots).zip(reach).zip(sway) {
            let (least, most) = (dot - reach, dot + reach);
            let by_reach = ((least * inverse1).min(least * inverse2), (most * inverse1).max(most * inverse2));
            let t = dot * inverse;
            let sway = sway * inverse1;
            let by_sway = (t.min(t * c) - sway, t.max(t * c) + sway);
            let root = (1.0 - t * t).max(0.0).sqrt();
            let side = root * s + root_slack(root);
            // Nothing where the angle of x and m may reach from e_i to -m, or to m.
            let by_angle = (if t > -c { t * c - side } else { -1.0 }, if t < c { t * c + side } else { 1.0 });
            let least = by_reach.0.max(by_sway.0).max(by_angle.0);
            let most = by_reach.1.min(by_sway.1).min(by_angle.1);
            *low = (least - slack).clamp(-1.0, 1.0);
            *high = (most + slack).max(*low).min(1.0);
        }
    }
}

/// What rounding of `t` may do to `sqrt(1 - t^2)`: at most 1e-12 to the square.
#[inline(always)]
fn root_slack(root: f64) -> f64 {
    if root > 1e-3 { 1e-12 / root } else { 1e-6 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Norm, Profile, Threat};
    use ndarray::{Array2, array};
    use rand::{RngExt, SeedableRng};

    #[test]
    fn ranges_hold_every_sample() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for trial in 0..300 {
            let d = 1 + trial % 7;
            let vectors = Array2::from_shape_fn((5, d), |_| random.random_range(-1.0..1.0));
            let machine =
                DenseMachine::new(vectors.view(), Array1::ones(5).view(), 0.0, Profile::new(1).unwrap(), 1.0).unwrap();
            let centre = Array1::from_shape_fn(d, |_| random.random_range(0.0..1.0));
            let norm_kind = if trial % 2 == 0 { Norm::Inf } else { Norm::Two };
            let domain = (trial % 3 == 0).then_some((0.0, 1.0));
            let radius = random.random_range(0.0..0.8);
            let region = Region::new(centre.view(), radius, Threat { norm: norm_kind, domain });
            let unit = UnitCosines::new(&machine, centre.view(), &machine.dots(centre.view()));
            let cosines = Cosines::new(&machine, &region, domain.is_none().then_some(&unit));
            let (least, most) = region.norm_range();
            for _ in 0..50 {
                let step = Array1::from_shape_fn(d, |_| random.random_range(-radius..=radius));
                let mut x = &centre + &step;
                region.project(&mut x);
                if domain.is_some() && x.iter().any(|v| !(0.0..=1.0).contains(v)) {
                    continue;
                }
                let size = norm(x.view());
                if size == 0.0 {
                    continue;
                }
                assert!(least <= size && size <= most);
                let slice = (size * random.random_range(0.8..1.0), size * random.random_range(1.0..1.2));
                for range in [(least, most), slice] {
                    let (lows, highs) = cosines.ranges(range);
                    for (e, (low, high)) in machine.directions.columns().into_iter().zip(lows.into_iter().zip(highs)) {
                        let u = e.dot(&x) / size;
                        assert!(low <= u + 1e-15 && u <= high + 1e-15, "{trial}: {u} not in [{low}, {high}]");
                    }
                }
            }
        }
    }

    #[test]
    fn a_range_by_hand() {
        // x in (1 +- 0.1, 0 +- 0.1), e = (1, 0): the least cosine is at (0.9, 0.1).
        let machine =
            DenseMachine::new(array![[1.0, 0.0]].view(), array![1.0].view(), 0.0, Profile::new(1).unwrap(), 1.0)
                .unwrap();
        let region = Region::new(array![1.0, 0.0].view(), 0.1, Threat::new(Norm::Inf));
        let cosines = Cosines::new(&machine, &region, None);
        let (low, high) = cosines.ranges(region.norm_range());
        let exact = 0.9 / 0.82f64.sqrt();
        assert!(low[0] <= exact && low[0] > exact - 0.01 && high[0] == 1.0, "{low:?} {high:?}");
    }
}
