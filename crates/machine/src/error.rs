//! What can go wrong with a kernel machine.

use widenet_store::numbers::{count, number};

/// Why a machine was not trained.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum MachineError {
    /// The regularisation is not a number >= 0.
    #[error("lambda_mean is {}: it must be a finite number >= 0", number(*.0))]
    Lambda(f64),
    /// The regularisation, or `C = 1 / lambda`, is beyond the range of numbers.
    #[error(
        "lambda_mean is {}: with {}, lambda or C = 1 / lambda is no longer a finite number",
        number(*lambda_mean), count(*samples, "sample")
    )]
    LambdaRange {
        /// The regularisation of the mean form.
        lambda_mean: f64,
        /// Number of training samples.
        samples: usize,
    },
    /// An objective that is NaN or infinite.
    #[error("the objective is {}: bring features and labels to one scale, or change the regularisation", number(*.0))]
    Objective(f64),
    /// The width of the epsilon-insensitive loss is not a number >= 0.
    #[error("epsilon is {}: it must be a finite number >= 0", number(*.0))]
    Epsilon(f64),
    /// There is nothing to train on.
    #[error("there are no training samples")]
    NoSamples,
    /// A probability of failure that is none.
    #[error("delta is {}: it must lie between 0 and 1", number(*.0))]
    Delta(f64),
    /// The step size is not a number > 0.
    #[error("the learning rate is {}: it must be a finite number > 0", number(*.0))]
    LearningRate(f64),
    /// An accuracy that is none.
    #[error("the tolerance is {}: it must be a finite number > 0", number(*.0))]
    Tolerance(f64),
    /// A time that is none.
    #[error("the duration is {}: it must be a finite number >= 0", number(*.0))]
    Duration(f64),
    /// The decay factor of a step would change sign.
    #[error(
        "learning rate {} times lambda_mean {} is above 1: a step would turn every coefficient round; lower one of them",
        number(*learning_rate), number(*lambda_mean)
    )]
    Decay {
        /// Step size in the mean form.
        learning_rate: f64,
        /// Regularisation in the mean form.
        lambda_mean: f64,
    },
    /// A Gram matrix does not have one row per training sample.
    #[error("the Gram matrix is {rows} x {columns} for {}", count(*samples, "label"))]
    Shape {
        /// Rows of the matrix.
        rows: usize,
        /// Its columns.
        columns: usize,
        /// Number of labels.
        samples: usize,
    },
    /// Another number of values than of samples.
    #[error("{} for {}", count(*found, what), count(*samples, "sample"))]
    Count {
        /// What was counted, in the singular.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// Number of samples.
        samples: usize,
    },
    /// A label that a classifier cannot use.
    #[error("label {index} is {}: labels must be -1 or +1", number(*value))]
    Label {
        /// Position of the label, from 0.
        index: usize,
        /// The offending value.
        value: f64,
    },
    /// A target that is NaN or infinite.
    #[error("label {index} is {value}: labels must be finite")]
    LabelNotFinite {
        /// Position of the label, from 0.
        index: usize,
        /// The offending value.
        value: f64,
    },
    /// Nothing to tell apart.
    #[error("every label is {}: there must be samples of both classes", widenet_store::text::shown(.0))]
    OneClass(String),
    /// A kernel value that is NaN or infinite.
    #[error("kernel entry ({row}, {column}) is {value}: it must be finite")]
    NotFinite {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// The offending value.
        value: f64,
    },
    /// A matrix that is no kernel's.
    #[error(
        "the kernel is not symmetric: ({row}, {column}) is {}, but ({column}, {row}) is {}", number(*value), number(*mirror)
    )]
    NotSymmetric {
        /// Row, from 0.
        row: usize,
        /// Column, from 0.
        column: usize,
        /// The value there.
        value: f64,
        /// The value at the mirrored place.
        mirror: f64,
    },
    /// A diagonal entry below 0.
    #[error("the kernel is not positive semidefinite: its diagonal entry {index} is {}", number(*value))]
    NegativeDiagonal {
        /// Row, from 0.
        index: usize,
        /// The offending value.
        value: f64,
    },
    /// An eigenvalue below 0.
    #[error(
        "the kernel is not positive semidefinite: its smallest eigenvalue is {smallest:e}; adding {jitter:e} to the \
         diagonal (jitter) would make it so, and is another kernel"
    )]
    NotPositive {
        /// The smallest eigenvalue.
        smallest: f64,
        /// An addition to the diagonal that is enough.
        jitter: f64,
    },
    /// The eigenvalues could not be computed.
    #[error("the eigenvalues of the kernel could not be computed")]
    Eigenvalues,
    /// Kernel regression on a kernel that cannot be inverted.
    #[error(
        "the kernel is singular to rounding (relative residual {residual:.1e}): without regularisation there is no \
         unique interpolation; try lambda_mean > 0{}",
        if *jitter > 0.0 { format!(", or a jitter of about {jitter:.1e} on the diagonal") } else { String::new() }
    )]
    Singular {
        /// `|K alpha - y| / |y|` of what was found; infinite when nothing was.
        residual: f64,
        /// An addition to the diagonal that is enough; 0 for a kernel that is 0.
        jitter: f64,
    },
    /// A factorisation that only a positive semidefinite kernel has failed.
    #[error(
        "the kernel is not positive semidefinite: with {added:e} added to its diagonal it has no Cholesky factor; \
         check_positive tells its smallest eigenvalue"
    )]
    NoFactor {
        /// What regularisation adds to the diagonal.
        added: f64,
    },
    /// Regularisation that the kernel's rounding swallows.
    #[error(
        "the regularisation adds {added:.1e} to the kernel's diagonal, which is less than the rounding of its entries \
         ({rounding:.1e}): bring the features to one scale, or regularise more"
    )]
    BelowRounding {
        /// What regularisation adds to the diagonal.
        added: f64,
        /// How much rounding may change the kernel's eigenvalues.
        rounding: f64,
    },
    /// Coefficients that the kernel's rounding spoils though the regularisation is above it.
    #[error(
        "the coefficients miss the labels by a relative residual of {residual:.1e}: the regularisation adds {added:.1e} to \
         the kernel's diagonal, too little beside the rounding of its entries ({rounding:.1e}); bring the features to one \
         scale, or regularise more"
    )]
    Residual {
        /// `|(K + lambda/2 I) alpha + b - y| / |y|` of what was found.
        residual: f64,
        /// What regularisation adds to the diagonal.
        added: f64,
        /// How much rounding may change the kernel's eigenvalues.
        rounding: f64,
    },
    /// A result that is NaN or infinite.
    #[error(
        "output {output} of sample {sample} (counted from 0) is {value}: its features, or the coefficients, are too large"
    )]
    Output {
        /// The sample, from 0.
        sample: usize,
        /// The output, from 0.
        output: usize,
        /// The offending value.
        value: f64,
    },
    /// A flow that wants smaller steps than can be taken.
    #[error(
        "the flow got to {reached:e} of {duration:e} in {}: bring the features to one scale, or go for a shorter time",
        count(*steps, "step")
    )]
    Steps {
        /// Steps taken.
        steps: usize,
        /// The time that they came to.
        reached: f64,
        /// The time wanted.
        duration: f64,
    },
    /// Regularisation that the loss cannot do without.
    #[error("lambda_mean is {}: the {loss} loss needs a regularisation > 0", number(*lambda_mean))]
    NeedsRegularisation {
        /// The loss.
        loss: &'static str,
        /// The value given.
        lambda_mean: f64,
    },
    /// Conjugate gradients without regularisation.
    #[error("lambda_mean is 0: conjugate gradients need a regularisation > 0")]
    Unregularised,
    /// A direction in which a kernel's quadratic form is not positive.
    #[error("the kernel is not positive semidefinite: with its regularisation it has a direction of curvature {0:.3e}")]
    Curvature(f64),
    /// A hard margin where there is none.
    #[error(
        "the classes could not be separated ({} after {}): the hard margin needs separable classes; try lambda_mean > 0",
        if margin.is_finite() { format!("smallest y g(x) {}", number(*margin)) } else { "coefficients beyond all numbers".into() },
        count(*iterations, "iteration")
    )]
    NotSeparable {
        /// The smallest margin reached, at most 0; not finite where coefficients grew beyond all numbers.
        margin: f64,
        /// Iterations until then.
        iterations: usize,
    },
}
