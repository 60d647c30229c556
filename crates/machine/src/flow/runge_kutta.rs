//! The flow of a loss whose slope is continuous: the embedded Runge-Kutta pair of Dormand and Prince.

use ndarray::{Array1, ArrayView1, ArrayView2};

use super::State;
use crate::error::MachineError;
use crate::loss::Loss;
use crate::product::rows_times;

/// What each stage takes of the slopes of the stages before; the last row is the step of order 5 itself, so that its stage
/// is the next step's first (Dormand and Prince, "A family of embedded Runge-Kutta formulae", 1980).
const STAGES: [&[f64]; 6] = [
    &[1.0 / 5.0],
    &[3.0 / 40.0, 9.0 / 40.0],
    &[44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0],
    &[19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0],
    &[9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
    &[35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
];

/// The step of order 5 less that of order 4: the estimate of the error.
const ERROR: [f64; 7] =
    [71.0 / 57600.0, 0.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339200.0, 22.0 / 525.0, -1.0 / 40.0];

/// Steps tried after which a time is taken to be out of reach.
const LIMIT: usize = 1_000_000;

/// What is integrated: `dalpha/dt = -lambda alpha - l'(g)` and `dg/dt = -lambda g - K l'(g)`, with the same steps, so that
/// `g = K alpha` stays.
pub(super) struct Problem<'a> {
    pub gram: ArrayView2<'a, f64>,
    pub labels: ArrayView1<'a, f64>,
    pub loss: &'a dyn Loss,
    pub lambda: f64,
    pub tolerance: f64,
}

impl Problem<'_> {
    /// Integrates for some time. `size` is the size of the last step before, 0 when there was none. Returns how many steps
    /// it took.
    pub fn advance(&self, state: &mut State, duration: f64, size: &mut f64) -> Result<usize, MachineError> {
        let (mut done, mut steps, mut tried) = (0.0, 0, 0);
        let mut first = self.slope(state);
        if *size == 0.0 {
            let fastest = first.outputs.iter().fold(f64::MIN_POSITIVE, |most, v| most.max(v.abs()));
            *size = 0.01 / fastest;
        }
        while done < duration {
            let left = duration - done;
            let h = size.min(left);
            let mut slopes = vec![first.clone()];
            let mut next = state.clone();
            for shares in STAGES {
                next = moved(state, &slopes, shares, h);
                slopes.push(self.slope(&next));
            }
            tried += 1;
            let error = ERROR
                .iter()
                .zip(&slopes)
                .fold(Array1::zeros(next.outputs.len()), |sum, (&share, slope)| sum + &slope.outputs * (h * share));
            let largest = |values: &Array1<f64>| values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
            let off = largest(&error) / (self.tolerance * largest(&next.outputs).max(1.0));
            if !off.is_finite() || tried > LIMIT {
                return Err(MachineError::Steps { steps, reached: done, duration });
            }
            if off <= 1.0 {
                *state = next;
                first = slopes.pop().expect("seven stages");
                done = if h == left { duration } else { done + h };
                steps += 1;
            }
            // The error goes with the fifth power of the step. A last step cut short says nothing about the next.
            let wanted = h * (0.9 * off.powf(-0.2)).clamp(0.2, 5.0);
            if off > 1.0 || h < left || wanted > *size {
                *size = wanted;
            }
        }
        Ok(steps)
    }

    /// The time derivative.
    fn slope(&self, state: &State) -> State {
        let push: Array1<f64> =
            state.outputs.iter().zip(self.labels).map(|(&z, &y)| -self.loss.derivative(z, y)).collect();
        let rows: Vec<usize> = (0..push.len()).collect();
        let outputs = Array1::from_vec(rows_times(self.gram, &rows, push.view())) - &state.outputs * self.lambda;
        State { coefficients: push - &state.coefficients * self.lambda, outputs }
    }
}

/// `state + h sum_s shares_s slopes_s`.
fn moved(state: &State, slopes: &[State], shares: &[f64], h: f64) -> State {
    let mut next = state.clone();
    for (slope, share) in slopes.iter().zip(shares) {
        next.coefficients.scaled_add(h * share, &slope.coefficients);
        next.outputs.scaled_add(h * share, &slope.outputs);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_has_its_order() {
        // Shares of a stage sum to its time; those of the step integrate t^k exactly up to order 5.
        let times: Vec<f64> = std::iter::once(0.0).chain(STAGES.iter().map(|row| row.iter().sum())).collect();
        for (time, expected) in times.iter().zip([0.0, 0.2, 0.3, 0.8, 8.0 / 9.0, 1.0, 1.0]) {
            assert!((time - expected).abs() < 1e-14);
        }
        for k in 0..5 {
            let sum: f64 = STAGES[5].iter().zip(&times).map(|(share, time)| share * time.powi(k)).sum();
            assert!((sum - 1.0 / f64::from(k + 1)).abs() < 1e-14, "t^{k}");
        }
        // Both steps are of order 4 at least.
        for k in 0..4 {
            let sum: f64 = ERROR.iter().zip(&times).map(|(share, time)| share * time.powi(k)).sum();
            assert!(sum.abs() < 1e-15, "t^{k}");
        }
    }
}
