//! The gradient flow of a machine: its subgradient descent in the limit of small steps.

mod held;
mod piecewise;
mod runge_kutta;

use ndarray::{Array1, ArrayView1, ArrayView2};

use crate::check::{check_gram, check_kernel, check_labels_for};
use crate::error::MachineError;
use crate::loss::LossConfig;
use crate::objective::Objective;
use piecewise::Pieces;

/// A kernel machine on its way along the gradient flow of its objective, from `alpha = 0`:
///
/// `dg_t/dt = -lambda g_t - K l'(g_t, y)`, and in coefficients `dalpha/dt = -lambda alpha - l'(g_t, y)` (Eq. 8 of the
/// paper, sum form).
///
/// Hinge and epsilon-insensitive loss have slopes `u` that are constant between their kinks. There the flow is known:
/// with the clock `tau = (1 - e^{-lambda t}) / lambda` it is the straight line `g + tau (-lambda g - K u)`. So it is
/// followed exactly from one change of slope to the next. A sample may be held at its kink, where the slope is whatever
/// keeps it there: the subgradient that makes the velocity shortest.
///
/// The other losses are integrated in steps (Dormand and Prince, order 5) whose estimated error in any output is at most
/// the tolerance.
///
/// A step costs six products of the Gram matrix with a vector; a change of slope costs a pass over the outputs, a row for
/// each slope that changed, and a Cholesky factor of the samples held, which are few (33 at last of all 12 665 digits 0 and 1
/// of MNIST with `lambda_mean = 0.001`, after some 10 500 changes).
///
/// ```
/// use ndarray::array;
/// use widenet_machine::{GradientFlow, LossConfig, Objective};
///
/// // Two samples that do not see each other, lambda = 1/2: g = 2 (1 - e^{-t/2}) until the margin is met at t = 2 ln 2.
/// let (gram, labels) = (array![[1.0, 0.0], [0.0, 1.0]], array![1.0, -1.0]);
/// let objective = Objective::new(0.25, 2)?;
/// let mut flow = GradientFlow::new(gram.view(), labels.view(), LossConfig::Hinge, objective, 1e-9)?;
/// flow.advance(1.0)?;
/// assert!((flow.outputs()[0] - 2.0 * (1.0 - (-0.5f64).exp())).abs() < 1e-14);
/// // Then they are held.
/// flow.advance(1.0)?;
/// assert_eq!(flow.outputs(), labels);
/// # Ok::<(), widenet_machine::MachineError>(())
/// ```
#[derive(Clone, Debug)]
pub struct GradientFlow<'a> {
    gram: ArrayView2<'a, f64>,
    labels: ArrayView1<'a, f64>,
    loss: LossConfig,
    lambda: f64,
    tolerance: f64,
    time: f64,
    state: State,
    steps: usize,
    /// The size of the next step of an integrator; 0 before the first.
    size: f64,
}

/// Where a machine is.
#[derive(Clone, Debug)]
struct State {
    /// `alpha`, `[n]`.
    coefficients: Array1<f64>,
    /// `g = K alpha`, `[n]`.
    outputs: Array1<f64>,
}

impl<'a> GradientFlow<'a> {
    /// The flow at time 0, for a Gram matrix `[n, n]` and labels `[n]`. The tolerance is absolute for outputs up to 1,
    /// relative to the largest above, and only asked of the losses that are integrated in steps.
    ///
    /// # Errors
    ///
    /// When labels or kernel are not what the loss needs, or the tolerance is no number > 0.
    pub fn new(
        gram: ArrayView2<'a, f64>,
        labels: ArrayView1<'a, f64>,
        loss: LossConfig,
        objective: Objective,
        tolerance: f64,
    ) -> Result<Self, MachineError> {
        check_gram(gram, labels)?;
        check_kernel(gram)?;
        check_labels_for(loss.loss(), labels)?;
        let n = labels.len();
        if objective.samples() != n {
            return Err(MachineError::Count { what: "label", found: n, samples: objective.samples() });
        }
        if !(tolerance.is_finite() && tolerance > 0.0) {
            return Err(MachineError::Tolerance(tolerance));
        }
        let state = State { coefficients: Array1::zeros(n), outputs: Array1::zeros(n) };
        Ok(Self { gram, labels, loss, lambda: objective.lambda(), tolerance, time: 0.0, state, steps: 0, size: 0.0 })
    }

    /// Goes on for some time (sum form: `lambda t` is the number of times that the regulariser alone would shrink the
    /// machine by `e`).
    ///
    /// # Errors
    ///
    /// When the duration is no finite number >= 0, or 1 000 000 steps do not get there (lines: 100 more for each sample),
    /// because the kernel is too large for it; or when an output is no longer finite.
    pub fn advance(&mut self, duration: f64) -> Result<(), MachineError> {
        if !(duration.is_finite() && duration >= 0.0) {
            return Err(MachineError::Duration(duration));
        }
        let pieces: Option<Vec<Pieces>> = self.labels.iter().map(|&y| Pieces::of(self.loss, y)).collect();
        match pieces {
            Some(pieces) => {
                self.steps += piecewise::advance(&mut self.state, self.gram, &pieces, self.lambda, duration)?
            }
            None => {
                let problem = runge_kutta::Problem {
                    gram: self.gram,
                    labels: self.labels,
                    loss: self.loss.loss(),
                    lambda: self.lambda,
                    tolerance: self.tolerance,
                };
                self.steps += problem.advance(&mut self.state, duration, &mut self.size)?;
            }
        }
        self.time += duration;
        Ok(())
    }

    /// How long it has gone.
    pub fn time(&self) -> f64 {
        self.time
    }

    /// `alpha`, `[n]`.
    pub fn coefficients(&self) -> ArrayView1<'_, f64> {
        self.state.coefficients.view()
    }

    /// The outputs on the training samples, `[n]`.
    pub fn outputs(&self) -> ArrayView1<'_, f64> {
        self.state.outputs.view()
    }

    /// How many straight lines or steps it has taken.
    pub fn steps(&self) -> usize {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array};

    fn flow<'a>(
        gram: &'a Array2<f64>,
        labels: &'a Array1<f64>,
        loss: LossConfig,
        lambda_mean: f64,
    ) -> GradientFlow<'a> {
        let objective = Objective::new(lambda_mean, labels.len()).unwrap();
        GradientFlow::new(gram.view(), labels.view(), loss, objective, 1e-10).unwrap()
    }

    fn near(found: ArrayView1<f64>, expected: &[f64]) {
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-8, "{found}, but {expected}");
        }
    }

    #[test]
    fn known_solutions() {
        // lambda = 1/2, K = I, y = (1, -1).
        let (gram, labels) = (Array2::eye(2), array![1.0, -1.0]);
        // Squared: g' = -g/2 - 2 (g - 1), so g = 4/5 (1 - e^{-5t/2}); squared hinge the same, as g stays below 1.
        for loss in [LossConfig::Squared, LossConfig::SquaredHinge] {
            let mut flow = flow(&gram, &labels, loss, 0.25);
            flow.advance(0.7).unwrap();
            let g = 0.8 * (1.0 - (-1.75f64).exp());
            near(flow.outputs(), &[g, -g]);
            near(flow.coefficients(), &[g, -g]);
        }
        // Logistic without decay: g' = 1/(1 + e^g), so g + e^g = t + 1.
        let mut logistic = flow(&gram, &labels, LossConfig::Logistic, 0.0);
        logistic.advance(3.0).unwrap();
        let g = logistic.outputs()[0];
        assert!((g + g.exp() - 4.0).abs() < 1e-8);
        // Hinge without decay: g = t up to 1.
        let mut hinge = flow(&gram, &labels, LossConfig::Hinge, 0.0);
        hinge.advance(0.5).unwrap();
        near(hinge.outputs(), &[0.5, -0.5]);
        hinge.advance(1.0).unwrap();
        assert_eq!((hinge.outputs(), hinge.time()), (labels.view(), 1.5));
    }

    /// K = [[2, 1], [1, 4]], y = (1, -1), lambda = 0: g' = (1, -3) until g_2 = -1 at t = 1/3. Held there, its slope is 1/4,
    /// which gives g_1' = 7/4, and g_1 = 1/3 becomes 1 at t = 5/7.
    #[test]
    fn a_sample_is_held_at_its_kink_by_hand() {
        let (gram, labels) = (array![[2.0, 1.0], [1.0, 4.0]], array![1.0, -1.0]);
        let mut flow = flow(&gram, &labels, LossConfig::Hinge, 0.0);
        flow.advance(1.0 / 3.0 + 0.1).unwrap();
        near(flow.outputs(), &[1.0 / 3.0 + 0.175, -1.0]);
        near(flow.coefficients(), &[1.0 / 3.0 + 0.1, -1.0 / 3.0 - 0.025]);
        flow.advance(10.0).unwrap();
        near(flow.outputs(), &[1.0, -1.0]);
        near(flow.coefficients(), &[5.0 / 7.0, -3.0 / 7.0]);
        assert_eq!(flow.steps(), 4);
    }

    /// With K = [[4, -2], [-2, 2]] the first is past its kink at t = 1/6 and is not held: the second draws it on.
    #[test]
    fn a_sample_passes_its_kink_by_hand() {
        let (gram, labels) = (array![[4.0, -2.0], [-2.0, 2.0]], array![1.0, -1.0]);
        let mut flow = flow(&gram, &labels, LossConfig::Hinge, 0.0);
        flow.advance(1.0 / 6.0 + 0.1).unwrap();
        near(flow.outputs(), &[1.2, -2.0 / 3.0 - 0.2]);
        near(flow.coefficients(), &[1.0 / 6.0, -1.0 / 6.0 - 0.1]);
    }

    /// Held by the regulariser near outputs of 0 by a kernel of 1e9, the flow is stiff: steps are some 1e-9 of a time of 1.
    #[test]
    fn a_flow_that_would_not_end_says_how_far_it_got() {
        let (gram, labels) = (array![[1e9, 0.0], [0.0, 1.0]], array![1.0, -1.0]);
        let mut flow = flow(&gram, &labels, LossConfig::Logistic, 1e9);
        let error = flow.advance(1.0).unwrap_err();
        assert!(matches!(error, MachineError::Steps { reached, duration: 1.0, .. } if reached < 1.0), "{error}");
        assert_eq!(flow.time(), 0.0);
    }

    #[test]
    fn bad_values_are_told() {
        let (gram, labels) = (Array2::eye(2), array![1.0, -1.0]);
        let objective = Objective::new(0.1, 2).unwrap();
        let attempt = |tolerance| {
            GradientFlow::new(gram.view(), labels.view(), LossConfig::Hinge, objective, tolerance).unwrap_err()
        };
        assert_eq!(attempt(0.0), MachineError::Tolerance(0.0));
        assert!(matches!(attempt(f64::NAN), MachineError::Tolerance(_)));
        let mut flow = flow(&gram, &labels, LossConfig::Hinge, 0.1);
        assert_eq!(flow.advance(-1.0), Err(MachineError::Duration(-1.0)));
        assert!(flow.advance(f64::INFINITY).is_err());
        assert_eq!(flow.time(), 0.0);
    }
}
