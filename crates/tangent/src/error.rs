//! What can go wrong with a kernel.

/// Why a kernel was not built or not evaluated.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum KernelError {
    /// The samples do not have the kernel's input size.
    #[error("samples of size {found}, but the kernel's architecture reads those of size {expected}")]
    InputSize {
        /// Features of the architecture's input.
        expected: usize,
        /// Features of the samples given.
        found: usize,
    },
    /// A sample holds NaN or an infinity.
    #[error("sample {row}, feature {column} (counted from 0) is {value}: every input must be finite")]
    NotFinite {
        /// Row of the sample, from 0.
        row: usize,
        /// Column of the feature, from 0.
        column: usize,
        /// The offending value.
        value: f64,
    },
    /// The kernel of finite samples is not a finite number.
    #[error(
        "the kernel of sample {row} (counted from 0) is {value}: its features are too large for the numbers computed with, or the \
         network's weights are; scale the features"
    )]
    Overflow {
        /// Row of the sample, from 0.
        row: usize,
        /// What came out.
        value: f64,
    },
    /// A sample that is not 0 whose kernel with itself is 0, or below the normal numbers, which keep their digits; or whose
    /// features' squares are.
    #[error(
        "sample {row} (counted from 0) is lost on the way: the squares of its features, or of sigma_w over all layers, are \
         below the numbers computed with, and its kernel is {value:e}; scale the features, or raise sigma_w (ReLU keeps sizes \
         at sigma_w = sqrt(2))"
    )]
    Underflow {
        /// Row of the sample, from 0.
        row: usize,
        /// What came out.
        value: f64,
    },
    /// The architecture has no kernel of this kind.
    #[error("{place}: {problem}")]
    Unsupported {
        /// The layer, for instance `layer 3 (max_pool)`.
        place: String,
        /// Why not.
        problem: String,
    },
    /// The memory given does not hold the features of two samples.
    #[error("{bytes} bytes of memory are too few: the features of two samples take {needed}")]
    Memory {
        /// The memory given.
        bytes: u64,
        /// What two samples take.
        needed: u64,
    },
    /// The device failed while computing.
    #[error(transparent)]
    Device(#[from] widenet_model::DeviceError),
}

/// Checks samples against an input size.
pub(crate) fn check_samples(samples: &ndarray::ArrayView2<f64>, expected: usize) -> Result<(), KernelError> {
    if samples.ncols() != expected {
        return Err(KernelError::InputSize { expected, found: samples.ncols() });
    }
    match samples.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((row, column), &value)) => Err(KernelError::NotFinite { row, column, value }),
    }
}

/// Checks the values of a kernel: nothing that is not finite leaves it.
pub(crate) fn check_values(gram: &ndarray::ArrayView2<f64>) -> Result<(), KernelError> {
    // The sum of zeros is a number exactly when every entry is.
    let finite = |row: &ndarray::ArrayView1<f64>| row.iter().fold(0.0, |sum, value| sum + 0.0 * value) == 0.0;
    let Some((i, row)) = gram.outer_iter().enumerate().find(|(_, row)| !finite(row)) else { return Ok(()) };
    let (j, &value) = row.iter().enumerate().find(|(_, value)| !value.is_finite()).expect("one is not finite");
    // A sample that overflows does so beside every other: of the two of an entry, it is the column's where another entry
    // of the row is finite.
    let row = if row.iter().any(|value| value.is_finite()) { j } else { i };
    Err(KernelError::Overflow { row, value })
}

/// The same for a diagonal.
pub(crate) fn check_diagonal(values: impl IntoIterator<Item = f64>) -> Result<(), KernelError> {
    match values.into_iter().enumerate().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some((row, value)) => Err(KernelError::Overflow { row, value }),
    }
}
