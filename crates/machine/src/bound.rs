//! A bound on the risk of a kernel machine.

use ndarray::ArrayView1;

use crate::error::MachineError;

/// The terms of the generalisation bound of Section 4.2. With probability at least `1 - delta` over `n` independent
/// training samples, a machine `g` with `|beta| <= B` has
///
/// `P(y g(x) <= 0) <= (1/n) sum_i ramp(y_i g(x_i)) + 2 B sqrt(tr K) / n + 3 sqrt(ln(2/delta) / (2 n))`,
///
/// where `ramp(t) = min(1, max(0, 1 - t))` lies above the 0-1 loss, is bounded by 1 and 1-Lipschitz (Bartlett and
/// Mendelson 2002, Theorem 8 and Lemma 22; Mohri, Rostamizadeh and Talwalkar 2018, Theorem 3.3).
///
/// `B` is not known before training. The bound is therefore taken at the power of two `2^k` above `|beta|`, for all
/// integers `k` at once: for each with probability `delta 2^{-|k|} / 3`, which sum up to `delta`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RiskBound {
    /// The mean ramp loss on the training samples.
    pub empirical: f64,
    /// `2 B sqrt(tr K) / n`.
    pub complexity: f64,
    /// `3 sqrt(ln(2/delta_k) / (2 n))`.
    pub confidence: f64,
}

impl RiskBound {
    /// The bound for outputs and labels `[n]` on the training samples, `norm_squared = |beta|^2` and the trace of the
    /// kernel matrix.
    ///
    /// # Errors
    ///
    /// When there are no samples or `delta` is not in `(0, 1)`.
    pub fn new(
        outputs: ArrayView1<f64>,
        labels: ArrayView1<f64>,
        norm_squared: f64,
        trace: f64,
        delta: f64,
    ) -> Result<Self, MachineError> {
        if !(delta > 0.0 && delta < 1.0) {
            return Err(MachineError::Delta(delta));
        }
        if outputs.is_empty() {
            return Err(MachineError::NoSamples);
        }
        let n = outputs.len() as f64;
        let ramp = |(z, y): (&f64, &f64)| (1.0 - z * y).clamp(0.0, 1.0);
        // A machine that is 0 has every bound.
        let exponent = if norm_squared > 0.0 { norm_squared.sqrt().log2().ceil() } else { 0.0 };
        let norm = if norm_squared > 0.0 { exponent.exp2() } else { 0.0 };
        let share = delta * (-exponent.abs()).exp2() / 3.0;
        Ok(Self {
            empirical: outputs.iter().zip(labels).map(ramp).sum::<f64>() / n,
            complexity: 2.0 * norm * trace.sqrt() / n,
            confidence: 3.0 * ((2.0 / share).ln() / (2.0 * n)).sqrt(),
        })
    }

    /// The bound: the sum of its terms.
    pub fn total(&self) -> f64 {
        self.empirical + self.complexity + self.confidence
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn a_bound_by_hand() {
        let (outputs, labels) = (array![0.5, -2.0, 3.0, 0.25], array![1.0, 1.0, 1.0, -1.0]);
        let bound = RiskBound::new(outputs.view(), labels.view(), 5.0, 9.0, 0.6).unwrap();
        // Ramps 1/2, 1, 0, 1. |beta| = 2.236 is below 4 = 2^2, whose share of delta is 0.6 / 4 / 3 = 0.05.
        assert_eq!(bound.empirical, 2.5 / 4.0);
        assert_eq!(bound.complexity, 2.0 * 4.0 * 3.0 / 4.0);
        assert!((bound.confidence - 3.0 * (40.0f64.ln() / 8.0).sqrt()).abs() < 1e-15);
        assert_eq!(bound.total(), bound.empirical + bound.complexity + bound.confidence);
    }

    #[test]
    fn the_shares_of_the_grid_sum_to_delta() {
        let share = |k: i32| 2f64.powi(-k.abs()) / 3.0;
        assert!(((-60..=60).map(share).sum::<f64>() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn what_is_no_probability_is_refused() {
        let one = array![1.0];
        for delta in [0.0, 1.0, f64::NAN] {
            assert!(matches!(RiskBound::new(one.view(), one.view(), 1.0, 1.0, delta), Err(MachineError::Delta(_))));
        }
        assert_eq!(RiskBound::new(one.view(), one.view(), 0.0, 1.0, 0.05).unwrap().complexity, 0.0);
    }
}
