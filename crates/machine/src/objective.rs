//! The regularised objective, and the three ways people write its constant.

use std::fmt;

use widenet_store::numbers::number;

use crate::error::MachineError;

/// The objective of a kernel machine with `n` samples, known by its regularisation in the mean form:
///
/// - mean form: `lambda_mean/2 |beta|^2 + (1/n) sum_i l(g(x_i), y_i)`
/// - lambda form: `lambda/2 |beta|^2 + sum_i l`, with `lambda = n lambda_mean` (Eq. 7 of the paper)
/// - C form: `1/2 |beta|^2 + C sum_i l`, with `C = 1 / lambda` (Eq. 2)
///
/// The squared loss has no factor 1/2, so that ridge regression's `|y - g|^2 + a |beta|^2` (scikit-learn's `alpha`) has
/// `lambda = 2 a`.
///
/// All three have the same minimiser. [`Objective`]'s `Display` prints them all.
///
/// ```
/// use widenet_machine::Objective;
///
/// let objective = Objective::new(0.001, 12_665)?;
/// assert!((objective.lambda() - 12.665).abs() < 1e-12);
/// assert!((objective.c() - 0.078958).abs() < 1e-6);
/// # Ok::<(), widenet_machine::MachineError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    lambda_mean: f64,
    samples: usize,
}

impl Objective {
    /// The objective with `lambda_mean >= 0` over `samples` training samples.
    ///
    /// # Errors
    ///
    /// When `lambda_mean` is negative or not finite, there are no samples, or `lambda` or `C` is not finite.
    pub fn new(lambda_mean: f64, samples: usize) -> Result<Self, MachineError> {
        if !(lambda_mean.is_finite() && lambda_mean >= 0.0) {
            return Err(MachineError::Lambda(lambda_mean));
        }
        if samples == 0 {
            return Err(MachineError::NoSamples);
        }
        let objective = Self { lambda_mean, samples };
        if !objective.lambda().is_finite() || (lambda_mean > 0.0 && !objective.c().is_finite()) {
            return Err(MachineError::LambdaRange { lambda_mean, samples });
        }
        Ok(objective)
    }

    /// The regularisation of the mean form.
    pub fn lambda_mean(&self) -> f64 {
        self.lambda_mean
    }

    /// `lambda = n lambda_mean`.
    pub fn lambda(&self) -> f64 {
        self.samples as f64 * self.lambda_mean
    }

    /// `C = 1 / lambda`; infinite without regularisation.
    pub fn c(&self) -> f64 {
        1.0 / self.lambda()
    }

    /// Number of training samples `n`.
    pub fn samples(&self) -> usize {
        self.samples
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "lambda_mean = {} (mean of losses), lambda = {} (sum of losses), C = {}, n = {}",
            rounded(self.lambda_mean),
            rounded(self.lambda()),
            rounded(self.c()),
            self.samples
        )
    }
}

/// A number with six significant digits, for reading.
fn rounded(value: f64) -> String {
    number(format!("{value:.5e}").parse().unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_every_convention() {
        let text = Objective::new(0.25, 8).unwrap().to_string();
        assert!(Objective::new(0.001, 12_665).unwrap().to_string().contains("lambda = 12.665 (sum"));
        assert_eq!(text, "lambda_mean = 0.25 (mean of losses), lambda = 2 (sum of losses), C = 0.5, n = 8");
    }

    #[test]
    fn refuses_what_is_no_regularisation() {
        assert_eq!(Objective::new(-1.0, 3), Err(MachineError::Lambda(-1.0)));
        assert!(Objective::new(f64::NAN, 3).is_err());
        assert_eq!(Objective::new(0.0, 0), Err(MachineError::NoSamples));
        assert_eq!(Objective::new(0.0, 1).unwrap().c(), f64::INFINITY);
        for (lambda_mean, samples) in [(1e308, 2), (1e-310, 2)] {
            assert_eq!(Objective::new(lambda_mean, samples), Err(MachineError::LambdaRange { lambda_mean, samples }));
        }
    }
}
