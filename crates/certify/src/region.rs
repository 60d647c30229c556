//! The inputs a certificate speaks about.

use ndarray::{Array1, ArrayView1, Zip};

use crate::error::CertifyError;
use crate::machine::norm;

/// How a perturbation is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// The largest change of a feature.
    Inf,
    /// The Euclidean length.
    Two,
}

/// What is perturbed how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threat {
    /// The norm of the perturbation.
    pub norm: Norm,
    /// Ends that every perturbed feature is kept between, if any (pixels: 0 and 1).
    pub domain: Option<(f64, f64)>,
}

impl Threat {
    /// Perturbations of this norm, anywhere.
    pub fn new(norm: Norm) -> Self {
        Self { norm, domain: None }
    }

    /// Checks that a sample lies in the domain.
    pub(crate) fn check(&self, x: ArrayView1<f64>) -> Result<(), CertifyError> {
        let Some((low, high)) = self.domain else { return Ok(()) };
        match x.iter().enumerate().find(|(_, v)| !(low..=high).contains(v)) {
            None => Ok(()),
            Some((index, &value)) => Err(CertifyError::Domain { index, value, low, high }),
        }
    }
}

/// Half of what one `f64` operation may be off by, as a share: errors of sums are counted in it.
pub(crate) const EPS: f64 = f64::EPSILON;

/// All inputs within a radius of a centre: a box, for [`Norm::Two`] cut by a ball.
///
/// Every range and minimum it gives holds for the exact set: what rounding may do is added.
#[derive(Clone, Debug)]
pub(crate) struct Region {
    /// Lower and upper ends of every feature, rounded outward.
    pub low: Array1<f64>,
    pub high: Array1<f64>,
    /// The middle of the box, and half its sides: `|x_j - middle_j| <= half_j` for every `x` in the box.
    pub middle: Array1<f64>,
    pub half: Array1<f64>,
    pub ball: Option<Ball>,
}

/// `|x - centre| <= radius`.
#[derive(Clone, Debug)]
pub(crate) struct Ball {
    pub centre: Array1<f64>,
    pub radius: f64,
}

impl Region {
    pub fn new(centre: ArrayView1<f64>, radius: f64, threat: Threat) -> Self {
        let (floor, ceiling) = threat.domain.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        let low = centre.mapv(|c| (c - radius).next_down().max(floor));
        let high = centre.mapv(|c| (c + radius).next_up().min(ceiling));
        let middle = Zip::from(&low).and(&high).map_collect(|l, h| 0.5 * (l + h));
        let half = Zip::from(&low).and(&high).and(&middle).map_collect(|l, h, m| (h - m).max(m - l).next_up().max(0.0));
        let ball = (threat.norm == Norm::Two).then(|| Ball { centre: centre.to_owned(), radius });
        Self { low, high, middle, half, ball }
    }

    /// The range of `|x|`.
    pub fn norm_range(&self) -> (f64, f64) {
        let slack = 1.0 + 2.0 * self.low.len() as f64 * EPS;
        let (mut least, mut most) = (0.0, 0.0);
        Zip::from(&self.low).and(&self.high).for_each(|&l, &h| {
            let nearest = l.max(0.0).max(-h);
            least += nearest * nearest;
            let farthest = h.max(-l);
            most += farthest * farthest;
        });
        let (mut least, mut most) = (least.sqrt() / slack, most.sqrt() * slack);
        if let Some(ball) = &self.ball {
            let centre = norm(ball.centre.view());
            least = least.max((centre / slack - ball.radius).next_down());
            most = most.min((centre * slack + ball.radius).next_up());
        }
        (least, most)
    }

    /// A lower bound of `<v, x>` over the region.
    pub fn minimum(&self, v: ArrayView1<f64>) -> f64 {
        let (mut sum, mut size) = (0.0, 0.0);
        Zip::from(v).and(&self.low).and(&self.high).for_each(|&v, &l, &h| {
            sum += (v * l).min(v * h);
            size += v.abs() * l.abs().max(h.abs());
        });
        let slack = 2.0 * v.len() as f64 * EPS;
        let boxed = sum - slack * size;
        match &self.ball {
            None => boxed,
            Some(ball) => {
                let (length, centre) = (norm(v), norm(ball.centre.view()));
                let reach = ball.radius * length;
                boxed.max(v.dot(&ball.centre) - reach - 4.0 * slack * length * (centre + ball.radius))
            }
        }
    }

    /// A point of the region near `x` (of the ball, or else of the box: no more is needed of a trial point).
    pub fn project(&self, x: &mut Array1<f64>) {
        match &self.ball {
            None => Zip::from(x).and(&self.low).and(&self.high).for_each(|x, &l, &h| *x = x.clamp(l, h)),
            Some(ball) => {
                *x -= &ball.centre;
                let length = norm(x.view());
                if length > ball.radius {
                    *x *= ball.radius / length;
                }
                *x += &ball.centre;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_box_by_hand() {
        let region = Region::new(array![3.0, 0.5].view(), 1.0, Threat::new(Norm::Inf));
        let (least, most) = region.norm_range();
        // Nearest (2, 0), farthest (4, 1.5).
        assert!((least - 2.0).abs() < 1e-14 && least <= 2.0);
        assert!((most - 18.25f64.sqrt()).abs() < 1e-14 && most >= 18.25f64.sqrt());
        let minimum = region.minimum(array![1.0, -2.0].view());
        assert!(minimum <= -1.0 && minimum > -1.0 - 1e-13);
    }

    #[test]
    fn the_domain_cuts_the_box() {
        let threat = Threat { norm: Norm::Inf, domain: Some((0.0, 1.0)) };
        let region = Region::new(array![0.1, 0.5].view(), 0.3, threat);
        assert_eq!(region.low[0], 0.0);
        assert!((region.middle[0] - 0.2).abs() < 1e-15 && (region.half[0] - 0.2).abs() < 1e-15);
        assert!(threat.check(array![0.1, 1.5].view()).is_err());
        assert!(Threat::new(Norm::Inf).check(array![0.1, 1.5].view()).is_ok());
    }

    #[test]
    fn a_ball_by_hand() {
        let region = Region::new(array![3.0, 4.0].view(), 1.0, Threat::new(Norm::Two));
        let (least, most) = region.norm_range();
        assert!((least - 4.0).abs() < 1e-13 && least <= 4.0 && (most - 6.0).abs() < 1e-13 && most >= 6.0);
        let minimum = region.minimum(array![3.0, 4.0].view());
        assert!((minimum - 20.0).abs() < 1e-12 && minimum <= 20.0);
        let mut point = array![3.0, 9.0];
        region.project(&mut point);
        assert!((&point - &array![3.0, 5.0]).iter().all(|e| e.abs() < 1e-15));
    }
}
