//! What can go wrong with a kernel machine.

/// Why a machine was not trained.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MachineError {
    /// The regularisation is not a number >= 0.
    #[error("lambda_mean is {0}: it must be a finite number >= 0")]
    Lambda(f64),
    /// The width of the epsilon-insensitive loss is not a number >= 0.
    #[error("epsilon is {0}: it must be a finite number >= 0")]
    Epsilon(f64),
    /// There is nothing to train on.
    #[error("there are no training samples")]
    NoSamples,
    /// The step size is not a number > 0.
    #[error("the learning rate is {0}: it must be a finite number > 0")]
    LearningRate(f64),
    /// The decay factor of a step would change sign.
    #[error(
        "learning rate {learning_rate} times lambda_mean {lambda_mean} is above 1: a step would turn every \
         coefficient round; lower one of them"
    )]
    Decay {
        /// Step size in the mean form.
        learning_rate: f64,
        /// Regularisation in the mean form.
        lambda_mean: f64,
    },
    /// A Gram matrix does not have one row per training sample.
    #[error("the Gram matrix is {rows} x {columns}, but there are {samples} labels")]
    Shape {
        /// Rows of the matrix.
        rows: usize,
        /// Its columns.
        columns: usize,
        /// Number of labels.
        samples: usize,
    },
    /// A label that a classifier cannot use.
    #[error("label {index} is {value}: labels must be -1 or +1")]
    Label {
        /// Position of the label, from 0.
        index: usize,
        /// The offending value.
        value: f64,
    },
}
