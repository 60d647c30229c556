//! What a solver returns.

use ndarray::{Array1, Axis};

use crate::check::check_outputs;
use crate::duality::Objectives;
use crate::error::MachineError;

/// A machine at the optimum of its objective, as near as asked for: `g(x) = sum_i alpha_i K(x, x_i) + b`.
#[derive(Clone, Debug, PartialEq)]
pub struct Solution {
    /// `alpha`, `[n]`.
    pub coefficients: Array1<f64>,
    /// `b`; 0 without an intercept.
    pub intercept: f64,
    /// The outputs on the training samples, with the intercept, `[n]`.
    pub outputs: Array1<f64>,
    /// Primal and dual objective, in the C form.
    pub objectives: Objectives,
    /// Steps that the solver took, in its own unit.
    pub iterations: usize,
    /// Why it stopped.
    pub stop: Stop,
}

/// Why a solver stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The relative duality gap is at most the tolerance.
    Converged,
    /// The gap is above the tolerance, but steps no longer change it: rounding.
    Rounding,
    /// The largest number of iterations was reached first.
    IterationLimit,
}

impl Solution {
    /// That coefficients, outputs and objective are finite.
    pub(crate) fn check(&self) -> Result<(), MachineError> {
        check_outputs(self.coefficients.view().insert_axis(Axis(1)))?;
        check_outputs(self.outputs.view().insert_axis(Axis(1)))?;
        match self.objectives.primal {
            primal if primal.is_finite() => Ok(()),
            primal => Err(MachineError::Objective(primal)),
        }
    }

    /// The positions of the samples with a coefficient other than 0, ascending.
    pub fn support(&self) -> Vec<usize> {
        (0..self.coefficients.len()).filter(|&i| self.coefficients[i] != 0.0).collect()
    }

    /// `|beta|^2 = alpha^T K alpha`.
    pub fn norm_squared(&self) -> f64 {
        // With an intercept the coefficients sum to 0, but only to rounding.
        self.coefficients.iter().zip(&self.outputs).map(|(alpha, output)| alpha * (output - self.intercept)).sum()
    }

    /// The margin `1 / |beta|`: the distance in feature space between the boundary `g = 0` and `g = 1`.
    pub fn margin(&self) -> f64 {
        1.0 / self.norm_squared().sqrt()
    }

    /// `(primal - dual) / |primal|`.
    pub fn relative_gap(&self) -> f64 {
        self.objectives.relative_gap()
    }
}
