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

/// When a search may end.
pub(crate) struct Goal<'a> {
    /// The bound is above this: shown.
    pub enough: f64,
    /// The bound is within this of the least value seen: no better one is to be had.
    pub tolerance: f64,
    /// Whether a point whose value is below `enough` settles the matter: no bound can be enough.
    pub settles: &'a dyn Fn(&Array1<f64>) -> bool,
}

impl Goal<'_> {
    fn reached(&self, bound: f64, value: f64, at: &Array1<f64>) -> bool {
        bound > self.enough || value - bound < self.tolerance || (value < self.enough && (self.settles)(at))
    }
}

impl Program<'_> {
    /// A lower bound of the minimum. At any trial point `y`, convexity gives
    /// `f(x) >= f(y) + min_x <f'(y), x - y>`, which holds however far the search has come.
    ///
    /// `start` is moved into the region's box, or ball.
    pub fn minimise(&self, region: &Region, start: ArrayView1<f64>, goal: &Goal) -> Minimum {
        let mut x = start.to_owned();
        region.project(&mut x);
        match &region.ball {
            None => self.coordinates(region, x, goal),
            Some(_) => self.gradients(region, x, goal),
        }
    }

    /// Coordinate descent in a box: most coordinates of a minimum are at their ends, and cost nothing there.
    fn coordinates(&self, region: &Region, mut x: Array1<f64>, goal: &Goal) -> Minimum {
        const SWEEPS: usize = 60;
        let mut qx = self.q.dot(&x);
        for sweep in 0..=SWEEPS {
            let found = self.assess(region, &x, &qx);
            if goal.reached(found.bound, found.value, &x) || sweep == SWEEPS {
                break;
            }
            for j in 0..x.len() {
                let curvature = self.q[[j, j]] + self.e[j];
                let gradient = 2.0 * (qx[j] + self.e[j] * x[j]) + self.b[j];
                let next = if curvature > 1e-12 * self.spread {
                    (x[j] - gradient / (2.0 * curvature)).clamp(region.low[j], region.high[j])
                } else if gradient > 0.0 {
                    region.low[j]
                } else {
                    region.high[j]
                };
                if next != x[j] {
                    qx.scaled_add(next - x[j], &self.q.row(j));
                    x[j] = next;
                }
            }
        }
        // Once more from scratch, without what the updates' rounding has added up to.
        let qx = self.q.dot(&x);
        Minimum { at: x.clone(), ..self.assess(region, &x, &qx) }
    }

    /// The value at `x` and the bound from the tangent there. The point itself is left out. What the rounding of both may
    /// do is taken off by whoever knows the sizes of what `Q`, `b` and `c` were summed from.
    fn assess(&self, region: &Region, x: &Array1<f64>, qx: &Array1<f64>) -> Minimum {
        let mx = qx + &(&self.e * x);
        let value = x.dot(&mx) + self.b.dot(x) + self.c;
        let gradient = mx * 2.0 + &self.b;
        let bound = value + region.minimum(gradient.view()) - gradient.dot(x);
        Minimum { bound, at: Array1::default(0), value }
    }

    /// Accelerated projected gradient, for a ball.
    fn gradients(&self, region: &Region, mut x: Array1<f64>, goal: &Goal) -> Minimum {
        const STEPS: usize = 300;
        let largest = self.e.fold(0.0f64, |a, &e| a.max(e));
        let step = 1.0 / (2.2 * (self.spread + largest) + f64::MIN_POSITIVE);
        let mut y = x.clone();
        let mut momentum = 1.0f64;
        let mut best = Minimum { bound: f64::NEG_INFINITY, at: x.clone(), value: f64::INFINITY };
        for _ in 0..STEPS {
            let qy = self.q.dot(&y);
            let found = self.assess(region, &y, &qy);
            let gradient = (qy + &(&self.e * &y)) * 2.0 + &self.b;
            best.bound = best.bound.max(found.bound);
            if found.value < best.value && region_holds(region, &y) {
                best.value = found.value;
                best.at.assign(&y);
            }
            if goal.reached(best.bound, best.value, &best.at) {
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

    const GOAL: Goal = Goal { enough: f64::INFINITY, tolerance: 1e-9, settles: &|_| false };

    #[test]
    fn a_minimum_at_a_face_by_hand() {
        // x^2 + y^2 + xy - 4x over |x|, |y| <= 1: at x = 1, y = -1/2 the value is -3.25.
        let q = array![[1.0, 0.5], [0.5, 1.0]];
        let program = Program { q: &q, spread: 1.5, e: array![0.0, 0.0], b: array![-4.0, 0.0], c: 0.0 };
        let region = Region::new(array![0.0, 0.0].view(), 1.0, Threat::new(Norm::Inf));
        let found = program.minimise(&region, array![0.0, 0.0].view(), &GOAL);
        assert!(found.bound <= -3.25 && found.bound > -3.25 - 1e-8, "{}", found.bound);
        assert!((found.at[1] + 0.5).abs() < 1e-4 && found.value >= -3.25 - 1e-12);
    }

    #[test]
    fn a_minimum_in_a_ball_by_hand() {
        // x^2 + y^2 - 8x over the unit ball: at (1, 0) it is -7.
        let q = array![[1.0, 0.0], [0.0, 1.0]];
        let program = Program { q: &q, spread: 1.0, e: array![0.0, 0.0], b: array![-8.0, 0.0], c: 0.0 };
        let region = Region::new(array![0.0, 0.0].view(), 1.0, Threat::new(Norm::Two));
        let found = program.minimise(&region, array![0.0, 1.0].view(), &GOAL);
        assert!(found.bound <= -7.0 && found.bound > -7.0 - 1e-8);
    }
}
