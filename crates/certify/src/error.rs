//! What can go wrong before anything is certified.

/// Why something cannot be certified.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CertifyError {
    /// A kernel needs at least one hidden layer and few enough to check.
    #[error("{0} hidden layers: the kernels that can be certified have 1 to {max}", max = crate::Profile::MAX_DEPTH)]
    Depth(usize),
    /// The kernel could not be shown to be convex in the cosine, which every bound here rests on.
    #[error("the kernel of depth {0} could not be shown to be convex in the cosine")]
    NotConvex(usize),
    /// The scale of the weights is not a number > 0, or one whose powers leave the range of numbers.
    #[error("sigma_w is {0:?}: it must be a finite number > 0 whose powers stay in the range of numbers")]
    Scale(f64),
    /// There is not one coefficient per support vector.
    #[error("the number of coefficients is {coefficients}, that of support vectors {vectors}")]
    Count {
        /// Number of coefficients.
        coefficients: usize,
        /// Number of support vectors.
        vectors: usize,
    },
    /// A coefficient, an input or an intercept is infinite or not a number.
    #[error("{what} is {value}: it must be finite")]
    NotFinite {
        /// Which number.
        what: String,
        /// The offending value.
        value: f64,
    },
    /// A number is so large or so small that products of such numbers leave the range of `f64`, where no bound of what
    /// rounding does holds.
    #[error(
        "{what} is {value:e}: sizes must be 0 or from {least:e} to {most:e}, so that products stay in the range of numbers",
        least = crate::machine::SMALLEST, most = crate::machine::LARGEST
    )]
    Size {
        /// Which number.
        what: String,
        /// The offending value.
        value: f64,
    },
    /// A sample does not have the inputs' size.
    #[error("a sample is of size {found}, the model takes those of size {expected}")]
    Features {
        /// What the sample has.
        found: usize,
        /// What the model takes.
        expected: usize,
    },
    /// A sample lies outside the domain that the perturbed inputs are kept in.
    #[error("feature {index} of a sample is {value:?}, outside the domain [{low:?}, {high:?}]")]
    Domain {
        /// Position of the feature, from 0.
        index: usize,
        /// The offending value.
        value: f64,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// The layers of a network do not fit together.
    #[error("layer {layer} of the network: {problem}")]
    Layer {
        /// Which layer, from 1.
        layer: usize,
        /// What is wrong.
        problem: String,
    },
}
