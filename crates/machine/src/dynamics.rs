//! Subgradient descent of a kernel machine in its coefficients.

use ndarray::{Array1, ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::error::MachineError;
use crate::loss::Loss;
use crate::objective::Objective;
use crate::product::rows_times;

/// Which coefficients the regulariser shrinks in a step on a minibatch. On the full batch the two are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// All of them, as in Pegasos: an unbiased step on the objective.
    #[default]
    Pegasos,
    /// Only the batch's, as in the paper's published code. Its fixed point is that of a regularisation
    /// `lambda = B lambda_mean` instead of `n lambda_mean`.
    BatchDecay,
}

/// A kernel machine `g(x) = sum_i alpha_i K(x, x_i)` on its way: what subgradient descent has made of it so far.
///
/// It starts at `alpha = 0`, so `g_0 = 0`. One step on a batch `S` of the `n` samples, with the learning rate `eta`
/// of the mean form, is the discrete dynamics of Theorem 3.2 in coefficients:
///
/// `alpha_i <- (1 - eta lambda_mean) alpha_i - (eta / |S|) l'(g(x_i), y_i) 1[i in S]`.
///
/// ```
/// use ndarray::array;
/// use widenet_machine::{Decay, Descent, Hinge, Objective};
///
/// // Two samples that do not see each other: each one's output grows until its margin is met.
/// let gram = array![[1.0, 0.0], [0.0, 1.0]];
/// let labels = array![1.0, -1.0];
/// let mut machine = Descent::new(Objective::new(0.0, 2)?, 0.5, Decay::Pegasos)?;
/// for _ in 0..10 {
///     machine.step(gram.view(), labels.view(), &Hinge, &[0, 1]);
/// }
/// assert_eq!(machine.coefficients().to_vec(), [1.0, -1.0]);
/// # Ok::<(), widenet_machine::MachineError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Descent {
    objective: Objective,
    learning_rate: f64,
    decay: Decay,
    coefficients: Array1<f64>,
}

impl Descent {
    /// A machine at `alpha = 0` that will take steps of the given learning rate (mean form; in the lambda form it is
    /// `eta / n`).
    ///
    /// # Errors
    ///
    /// When the learning rate is not a finite number > 0, or `eta lambda_mean > 1`.
    pub fn new(objective: Objective, learning_rate: f64, decay: Decay) -> Result<Self, MachineError> {
        if !(learning_rate.is_finite() && learning_rate > 0.0) {
            return Err(MachineError::LearningRate(learning_rate));
        }
        let lambda_mean = objective.lambda_mean();
        if learning_rate * lambda_mean > 1.0 {
            return Err(MachineError::Decay { learning_rate, lambda_mean });
        }
        Ok(Self { objective, learning_rate, decay, coefficients: Array1::zeros(objective.samples()) })
    }

    /// Goes on from given coefficients, `[n]`.
    ///
    /// # Panics
    ///
    /// When their number is not `n`.
    pub fn resume(self, coefficients: Array1<f64>) -> Self {
        assert_eq!(coefficients.len(), self.objective.samples(), "one coefficient per sample");
        Self { coefficients, ..self }
    }

    /// One step on the samples `batch` (indices into the training set). `gram` is `[n, n]`, `labels` `[n]`.
    /// `O(|batch| n)`, and as fast as the batch's rows come from memory: a Gram matrix of f32 takes half the time of one
    /// of f64. Coefficients and sums are f64 with both.
    ///
    /// # Panics
    ///
    /// When an index is not below `n`, or the shapes are not those above.
    pub fn step<T: Copy + Into<f64> + Send + Sync>(
        &mut self,
        gram: ArrayView2<T>,
        labels: ArrayView1<f64>,
        loss: &dyn Loss,
        batch: &[usize],
    ) {
        let outputs = rows_times(gram, batch, self.coefficients.view());
        let keep = 1.0 - self.learning_rate * self.objective.lambda_mean();
        match self.decay {
            Decay::Pegasos => self.coefficients *= keep,
            Decay::BatchDecay => batch.iter().for_each(|&i| self.coefficients[i] *= keep),
        }
        let rate = self.learning_rate / batch.len() as f64;
        for (&i, &output) in batch.iter().zip(&outputs) {
            self.coefficients[i] -= rate * loss.derivative(output, labels[i]);
        }
    }

    /// `alpha`, `[n]`.
    pub fn coefficients(&self) -> ArrayView1<'_, f64> {
        self.coefficients.view()
    }

    /// The objective it descends.
    pub fn objective(&self) -> Objective {
        self.objective
    }

    /// The outputs `g(x_j) = sum_i alpha_i K(x_j, x_i)`, `[m]`, given the kernel rows `K(x_j, x_i): [m, n]`. Of a
    /// descent that diverged they are not finite, and no error: the caller follows it to see that.
    pub fn outputs<T: Copy + Into<f64> + Send + Sync>(&self, kernel: ArrayView2<T>) -> Array1<f64> {
        let rows: Vec<usize> = (0..kernel.nrows()).collect();
        Array1::from_vec(rows_times(kernel, &rows, self.coefficients.view()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Hinge;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn two_steps_by_hand() {
        let gram = array![[2.0, 1.0], [1.0, 2.0]];
        let labels = array![1.0, -1.0];
        let objective = Objective::new(0.1, 2).unwrap();
        let mut machine = Descent::new(objective, 1.0, Decay::Pegasos).unwrap();
        machine.step(gram.view(), labels.view(), &Hinge, &[0, 1]);
        assert_eq!(machine.coefficients().to_vec(), [0.5, -0.5]);
        // Outputs 0.5 and -0.5: both margins are still short of 1.
        machine.step(gram.view(), labels.view(), &Hinge, &[0, 1]);
        assert_eq!(machine.coefficients().to_vec(), [0.45 + 0.5, -0.45 - 0.5]);
        assert_eq!(machine.outputs(gram.view()), array![0.95, -0.95]);
    }

    #[test]
    fn minibatch_decay_is_what_it_says() {
        let gram = Array1::from_vec(vec![1.0; 3]);
        let gram = ndarray::Array2::from_diag(&gram);
        let labels = array![1.0, 1.0, 1.0];
        let objective = Objective::new(0.5, 3).unwrap();
        let start = array![4.0, 4.0, 0.0];
        let step = |decay| {
            let mut machine = Descent::new(objective, 1.0, decay).unwrap().resume(start.clone());
            machine.step(gram.view(), labels.view(), &Hinge, &[1, 2]);
            machine.coefficients().to_vec()
        };
        assert_eq!(step(Decay::Pegasos), [2.0, 2.0, 0.5]);
        assert_eq!(step(Decay::BatchDecay), [4.0, 2.0, 0.5]);
    }

    #[test]
    fn a_kernel_in_f32_gives_the_same_steps() {
        // Numbers that f32 holds exactly.
        let gram = ndarray::Array2::from_shape_fn((5, 5), |(i, j)| if i == j { 2.5 } else { 0.25 * (i + j) as f64 });
        let labels = array![1.0, -1.0, 1.0, 1.0, -1.0];
        let mut machine = Descent::new(Objective::new(0.03, 5).unwrap(), 0.3, Decay::Pegasos).unwrap();
        let mut narrow = machine.clone();
        for batch in [[0, 3], [4, 1], [2, 0], [1, 2]] {
            machine.step(gram.view(), labels.view(), &Hinge, &batch);
            narrow.step(gram.mapv(|k| k as f32).view(), labels.view(), &Hinge, &batch);
        }
        assert_eq!(narrow, machine);
    }

    #[test]
    fn bad_values_are_refused() {
        let objective = Objective::new(2.0, 3).unwrap();
        assert_eq!(Descent::new(objective, -0.5, Decay::Pegasos), Err(MachineError::LearningRate(-0.5)));
        assert!(matches!(Descent::new(objective, 1.0, Decay::Pegasos), Err(MachineError::Decay { .. })));
    }

    proptest! {
        /// On the full batch, descent in coefficients is the discrete dynamics of the outputs (Theorem 3.2):
        /// `g_{t+1} = (1 - eta lambda) g_t - eta K l'(g_t)` with the constants of the lambda form.
        #[test]
        fn outputs_follow_theorem_3_2(
            features in proptest::collection::vec(-1.0..1.0f64, 12),
            lambda_mean in 0.0..0.5f64,
            learning_rate in 0.01..1.0f64,
        ) {
            let features = ndarray::Array2::from_shape_vec((4, 3), features).unwrap();
            let gram = features.dot(&features.t());
            let labels = array![1.0, -1.0, 1.0, -1.0];
            let objective = Objective::new(lambda_mean, 4).unwrap();
            let mut machine = Descent::new(objective, learning_rate, Decay::Pegasos).unwrap();
            let eta = learning_rate / 4.0;
            let mut outputs = Array1::<f64>::zeros(4);
            for _ in 0..20 {
                let push = Array1::from_iter((0..4).map(|i| Hinge.derivative(outputs[i], labels[i])));
                // A margin within rounding of the kink may be seen on either side: not what is tested.
                prop_assume!(outputs.iter().zip(&labels).all(|(g, y)| (g * y - 1.0).abs() > 1e-9));
                outputs = &outputs * (1.0 - eta * objective.lambda()) - gram.dot(&push) * eta;
                machine.step(gram.view(), labels.view(), &Hinge, &[0, 1, 2, 3]);
                let difference = (&machine.outputs(gram.view()) - &outputs).mapv(f64::abs).fold(0.0, |a: f64, &b| a.max(b));
                prop_assert!(difference < 1e-12);
            }
        }
    }
}
