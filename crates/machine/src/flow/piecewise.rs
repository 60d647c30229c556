//! The flow of a loss made of straight pieces: exact between changes of slope.

use ndarray::{Array1, ArrayView1, ArrayView2, Axis};

use super::State;
use super::held::minimise;
use crate::error::MachineError;
use crate::loss::LossConfig;

/// Lines after which, and a hundred for each sample, a time is taken to be out of reach.
const LIMIT: usize = 1_000_000;

/// A convex loss of one sample made of straight pieces.
pub(super) struct Pieces {
    /// Where the slope jumps, ascending.
    kinks: Vec<f64>,
    /// The slopes before, between and after.
    slopes: Vec<f64>,
}

impl Pieces {
    /// The pieces of a loss at a label, if it has such.
    pub fn of(loss: LossConfig, y: f64) -> Option<Self> {
        let (kinks, slopes) = match loss {
            LossConfig::Hinge if y > 0.0 => (vec![y], vec![-1.0, 0.0]),
            LossConfig::Hinge => (vec![y], vec![0.0, 1.0]),
            LossConfig::EpsilonInsensitive(loss) if loss.epsilon() == 0.0 => (vec![y], vec![-1.0, 1.0]),
            LossConfig::EpsilonInsensitive(loss) => {
                (vec![y - loss.epsilon(), y + loss.epsilon()], vec![-1.0, 0.0, 1.0])
            }
            LossConfig::SquaredHinge | LossConfig::Squared | LossConfig::Logistic => return None,
        };
        Some(Self { kinks, slopes })
    }

    /// The smallest and the largest slope at an output: they differ at a kink alone.
    fn slopes(&self, z: f64) -> (f64, f64) {
        let before = self.kinks.partition_point(|&kink| kink < z);
        let after = self.kinks.partition_point(|&kink| kink <= z);
        (self.slopes[before], self.slopes[after])
    }

    /// The next kink that an output with this velocity comes to.
    fn next(&self, z: f64, velocity: f64) -> Option<f64> {
        if velocity > 0.0 {
            self.kinks.iter().copied().find(|&kink| kink > z)
        } else {
            self.kinks.iter().copied().rev().find(|&kink| kink < z && velocity < 0.0)
        }
    }
}

/// Velocities of samples at their kinks that are smaller than this, relative to the kernel's largest diagonal entry, are
/// rounding.
const STILL: f64 = 1e-12;

/// Follows the flow for some time. Returns how many straight lines that took.
pub(super) fn advance(
    state: &mut State,
    gram: ArrayView2<f64>,
    pieces: &[Pieces],
    lambda: f64,
    duration: f64,
) -> Result<usize, MachineError> {
    let n = pieces.len();
    let noise = STILL * largest(gram.diag());
    let mut slopes = Slopes { gram, slopes: Array1::zeros(n), product: Array1::zeros(n) };
    let mut left = duration;
    let mut lines = 0;
    while left > 0.0 {
        let held = slopes.choose(state, pieces, lambda, noise);
        let mut velocity = &state.outputs * -lambda - &slopes.product;
        for i in held {
            let (low, high) = pieces[i].slopes(state.outputs[i]);
            let slope = slopes.slopes[i];
            let leaves = (slope == low && velocity[i] < -noise) || (slope == high && velocity[i] > noise);
            if !leaves {
                velocity[i] = 0.0;
            }
        }
        let arrival = |i: usize| {
            let kink = pieces[i].next(state.outputs[i], velocity[i])?;
            Some(((kink - state.outputs[i]) / velocity[i], i, kink))
        };
        // On the clock of the straight line, which ends at 1 / lambda.
        let end = if lambda > 0.0 { -(-lambda * left).exp_m1() / lambda } else { left };
        let first = (0..n).filter_map(arrival).filter(|(tau, ..)| *tau < end).min_by(|a, b| a.0.total_cmp(&b.0));
        let tau = first.map_or(end, |(tau, ..)| tau);
        state.coefficients.zip_mut_with(&slopes.slopes, |alpha, u| *alpha -= tau * (lambda * *alpha + u));
        state.outputs.scaled_add(tau, &velocity);
        lines += 1;
        if lines > LIMIT + 100 * n || !tau.is_finite() {
            return Err(MachineError::Steps { steps: lines, reached: duration - left, duration });
        }
        let Some((_, i, kink)) = first else { break };
        state.outputs[i] = kink;
        left -= if lambda > 0.0 { -(-lambda * tau).ln_1p() / lambda } else { tau };
    }
    Ok(lines)
}

/// The slopes of the loss on every sample.
struct Slopes<'a> {
    gram: ArrayView2<'a, f64>,
    /// `u`, `[n]`.
    slopes: Array1<f64>,
    /// `K u`, `[n]`.
    product: Array1<f64>,
}

impl Slopes<'_> {
    fn set(&mut self, i: usize, slope: f64) {
        let change = slope - self.slopes[i];
        if change != 0.0 {
            self.product.scaled_add(change, &self.gram.row(i));
            self.slopes[i] = slope;
        }
    }

    /// Sets every slope. Returns the samples at their kinks: their slopes are those that make the velocity
    /// `-lambda g - K u` shortest, in the norm of the machine's weights.
    fn choose(&mut self, state: &State, pieces: &[Pieces], lambda: f64, noise: f64) -> Vec<usize> {
        let (mut held, mut bounds) = (Vec::new(), Vec::new());
        for (i, pieces) in pieces.iter().enumerate() {
            let (low, high) = pieces.slopes(state.outputs[i]);
            // At a kink: the slope of before, as far as it is allowed.
            self.set(i, self.slopes[i].clamp(low, high));
            if low < high {
                held.push(i);
                bounds.push((low, high));
            }
        }
        let gradient = held.iter().map(|&i| lambda * state.outputs[i] + self.product[i]).collect();
        let part = self.gram.select(Axis(0), &held).select(Axis(1), &held);
        let mut chosen: Vec<f64> = held.iter().map(|&i| self.slopes[i]).collect();
        minimise(part, gradient, &bounds, &mut chosen, noise);
        held.iter().zip(chosen).for_each(|(&i, slope)| self.set(i, slope));
        held
    }
}

fn largest(diagonal: ArrayView1<f64>) -> f64 {
    diagonal.fold(0.0, |most, &value| most.max(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::EpsilonInsensitive;

    #[test]
    fn pieces_are_the_loss() {
        let tube = |epsilon| LossConfig::EpsilonInsensitive(EpsilonInsensitive::new(epsilon).unwrap());
        for loss in [LossConfig::Hinge, tube(0.25), tube(0.0)] {
            for y in [-1.0, 1.0] {
                let pieces = Pieces::of(loss, y).unwrap();
                for z in [-2.0, -1.25, -1.0, -0.75, 0.0, 0.75, 1.0, 1.25, 2.0] {
                    // The slopes just before and after.
                    let slope = |z| loss.loss().derivative(z, y);
                    assert_eq!(pieces.slopes(z), (slope(z - 1e-9), slope(z + 1e-9)), "{loss:?} at {z}, {y}");
                }
            }
        }
        assert!(Pieces::of(LossConfig::Logistic, 1.0).is_none());
    }

    #[test]
    fn the_next_kink_lies_ahead() {
        let pieces = Pieces { kinks: vec![0.0, 1.0], slopes: vec![-1.0, 0.0, 1.0] };
        assert_eq!((pieces.next(0.0, 2.0), pieces.next(0.0, -2.0), pieces.next(0.5, 0.0)), (Some(1.0), None, None));
        assert_eq!(
            (pieces.next(0.5, -1.0), pieces.next(-0.5, 1.0), pieces.next(1.5, 1.0)),
            (Some(0.0), Some(0.0), None)
        );
    }
}
