//! The minimum of a convex quadratic over a region, bounded from below.

use ndarray::{Array1, Array2, ArrayView1};

use crate::region::Region;

/// `f(x) = x^T (Q + diag(e)) x + <b, x> + c`, convex.
pub(crate) struct Program<'a> {
    pub q: &'a Array2<f64>,
    /// An estimate of the largest absolute eigenvalue of `Q`, for the step size only.
    pub spread: f64,
    pub e: Array1<f64>,
    pub b: Array1<f64>,
    pub c: f64,
}

/// What was found.
pub(crate) struct Minimum {
    /// `f(x)` is at least this in the region.
    pub bound: f64,
    /// Where `f` is about as small.
    pub at: Array1<f64>,
    pub value: f64,
}

impl Program<'_> {
    /// `f` and its gradient.
    fn evaluate(&self, x: &Array1<f64>) -> (f64, Array1<f64>) {
        let mx = self.q.dot(x) + &self.e * x;
        let value = x.dot(&mx) + self.b.dot(x) + self.c;
        (value, mx * 2.0 + &self.b)
    }

    /// Accelerated projected gradient from `start`. At any trial point `y`, convexity gives
    /// `f(x) >= f(y) + min_x <f'(y), x - y>`, which holds however far the steps have come.
    ///
    /// Stops when the bound is above `enough`, or within `tolerance` of the least `f` seen.
    pub fn minimise(&self, region: &Region, start: ArrayView1<f64>, enough: f64, tolerance: f64) -> Minimum {
        const STEPS: usize = 400;
        let largest = self.e.fold(0.0f64, |a, &e| a.max(e));
        let step = 1.0 / (2.2 * (self.spread + largest) + f64::MIN_POSITIVE);
        let mut x = start.to_owned();
        region.project(&mut x);
        let mut y = x.clone();
        let mut momentum = 1.0f64;
        let mut best = Minimum { bound: f64::NEG_INFINITY, at: x.clone(), value: f64::INFINITY };
        for _ in 0..STEPS {
            let (value, gradient) = self.evaluate(&y);
            let bound = value + region.minimum(gradient.view()) - gradient.dot(&y);
            best.bound = best.bound.max(bound);
            if value < best.value && region_holds(region, &y) {
                best.value = value;
                best.at.assign(&y);
            }
            if best.bound > enough || best.value - best.bound < tolerance {
                break;
            }
            let mut next = &y - &(&gradient * step);
            region.project(&mut next);
            // Starting afresh when the momentum points uphill.
            let uphill = gradient.dot(&(&next - &x)) > 0.0;
            let grown = if uphill { 1.0 } else { 0.5 * (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) };
            let beta = if uphill { 0.0 } else { (momentum - 1.0) / grown };
            y = &next + &((&next - &x) * beta);
            (x, momentum) = (next, grown);
        }
        best
    }
}

/// Whether a trial point lies in the box or ball that trial points are projected to.
fn region_holds(region: &Region, x: &Array1<f64>) -> bool {
    match &region.ball {
        None => x.iter().zip(&region.low).zip(&region.high).all(|((x, l), h)| l <= x && x <= h),
        Some(ball) => crate::machine::norm((x - &ball.centre).view()) <= ball.radius * (1.0 + 1e-12),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Norm, Threat};
    use ndarray::array;

    #[test]
    fn a_minimum_at_a_face_by_hand() {
        // x^2 + y^2 + xy - 4x over |x|, |y| <= 1: at x = 1, y = -1/2 the value is -3.25.
        let q = array![[1.0, 0.5], [0.5, 1.0]];
        let program = Program { q: &q, spread: 1.5, e: array![0.0, 0.0], b: array![-4.0, 0.0], c: 0.0 };
        let region = Region::new(array![0.0, 0.0].view(), 1.0, Threat::new(Norm::Inf));
        let found = program.minimise(&region, array![0.0, 0.0].view(), f64::INFINITY, 1e-9);
        assert!(found.bound <= -3.25 && found.bound > -3.25 - 1e-8, "{}", found.bound);
        assert!((found.at[1] + 0.5).abs() < 1e-3 && found.value >= -3.25 - 1e-12);
    }

    #[test]
    fn a_minimum_in_a_ball_by_hand() {
        // x^2 + y^2 - 8x over the unit ball: at (1, 0) it is -7.
        let q = array![[1.0, 0.0], [0.0, 1.0]];
        let program = Program { q: &q, spread: 1.0, e: array![0.0, 0.0], b: array![-8.0, 0.0], c: 0.0 };
        let region = Region::new(array![0.0, 0.0].view(), 1.0, Threat::new(Norm::Two));
        let found = program.minimise(&region, array![0.0, 1.0].view(), f64::INFINITY, 1e-9);
        assert!(found.bound <= -7.0 && found.bound > -7.0 - 1e-8);
    }
}
