//! Looking at a network's layers while it runs.

use burn::tensor::Tensor;

use crate::layers::{ConvNode, DenseNode};

/// Sees the input and the pre-activation of every layer with weights during a forward pass, and may replace the
/// pre-activation.
///
/// Tangent kernels need both: adding a zero leaf to `z` makes autodiff return `d f / d z` for every sample at once.
pub trait Tap {
    /// A dense layer: its input `a: [n, fan_in]` (unscaled) and pre-activation `z: [n, units]`.
    fn dense(&mut self, layer: &DenseNode, a: Tensor<2>, z: Tensor<2>) -> Tensor<2>;

    /// A convolution: its input `a: [n, c, h, w]` (unscaled) and pre-activation `z: [n, c', h', w']`.
    fn conv(&mut self, layer: &ConvNode, a: Tensor<4>, z: Tensor<4>) -> Tensor<4>;
}

/// A tap that looks at nothing.
pub(crate) struct NoTap;

impl Tap for NoTap {
    fn dense(&mut self, _: &DenseNode, _: Tensor<2>, z: Tensor<2>) -> Tensor<2> {
        z
    }

    fn conv(&mut self, _: &ConvNode, _: Tensor<4>, z: Tensor<4>) -> Tensor<4> {
        z
    }
}
