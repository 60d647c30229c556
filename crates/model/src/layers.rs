//! The Burn modules of a finite network: one node per layer of the architecture.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::module::{avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};

use crate::activation::Activation;

/// What flows between two layers, for a batch of `n` samples.
#[derive(Clone, Debug)]
pub enum Signal {
    /// Vectors, `[n, d]`.
    Flat(Tensor<2>),
    /// Images, `[n, channels, height, width]`.
    Image(Tensor<4>),
}

/// A fully connected layer, `z = w_scale * a W + b_scale * b`.
#[derive(Module, Debug)]
pub struct DenseNode {
    /// The weights `W`, `[fan_in, units]`, N(0, 1) at initialisation.
    pub weight: Param<Tensor<2>>,
    /// The biases `b`, `[units]`, when `sigma_b > 0`.
    pub bias: Option<Param<Tensor<1>>>,
    /// `sigma_w / sqrt(fan_in)`.
    pub w_scale: f64,
    /// `sigma_b`.
    pub b_scale: f64,
}

impl DenseNode {
    /// Input: `[n, fan_in]`, output: `[n, units]`.
    pub fn forward(&self, a: Tensor<2>) -> Tensor<2> {
        // The scale is applied to the smaller operand, not to the weights.
        let z = (a * self.w_scale).matmul(self.weight.val());
        match &self.bias {
            Some(bias) => z + (bias.val() * self.b_scale).unsqueeze(),
            None => z,
        }
    }
}

/// A convolution, `z = w_scale * conv(a, W) + b_scale * b`.
#[derive(Module, Debug)]
pub struct ConvNode {
    /// The weights `W`, `[channels_out, channels_in, kernel, kernel]`, N(0, 1) at initialisation.
    pub weight: Param<Tensor<4>>,
    /// The biases `b`, `[channels_out]`, when `sigma_b > 0`.
    pub bias: Option<Param<Tensor<1>>>,
    /// `sigma_w / sqrt(channels_in * kernel^2)`.
    pub w_scale: f64,
    /// `sigma_b`.
    pub b_scale: f64,
    /// Step between windows.
    pub stride: usize,
    /// Rows and columns of zeros on every side.
    pub padding: usize,
}

impl ConvNode {
    /// Input: `[n, channels_in, height, width]`, output: `[n, channels_out, height', width']`.
    pub fn forward(&self, a: Tensor<4>) -> Tensor<4> {
        let options = ConvOptions::new([self.stride; 2], [self.padding; 2], [1; 2], 1);
        let bias = self.bias.as_ref().map(|bias| bias.val() * self.b_scale);
        conv2d(a * self.w_scale, self.weight.val(), bias, options)
    }
}

/// The sum of two branches.
#[derive(Module, Debug)]
pub struct ResidualNode {
    /// The block's layers.
    pub branch: Vec<Node>,
    /// The other branch; empty for the identity.
    pub shortcut: Vec<Node>,
}

/// What a layer without weights does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// An entrywise nonlinearity.
    Activation(Activation),
    /// The mean over windows of this side.
    AveragePool(usize),
    /// The maximum over windows of this side.
    MaxPool(usize),
    /// The mean over all positions.
    GlobalAveragePool,
    /// An image as a vector.
    Flatten,
}

/// A layer without weights.
#[derive(Module, Debug)]
pub struct FixedNode {
    /// What it does.
    #[module(skip)]
    pub operation: Operation,
}

impl FixedNode {
    pub(crate) fn forward(&self, signal: Signal) -> Signal {
        match (self.operation, signal) {
            (Operation::Activation(activation), Signal::Flat(z)) => Signal::Flat(activation.forward(z)),
            (Operation::Activation(activation), Signal::Image(z)) => Signal::Image(activation.forward(z)),
            (Operation::AveragePool(window), Signal::Image(z)) => {
                let options = AvgPoolOptions::new([window; 2]);
                Signal::Image(avg_pool2d(z, options))
            }
            (Operation::MaxPool(window), Signal::Image(z)) => {
                let options = MaxPoolOptions::new([window; 2]);
                Signal::Image(max_pool2d(z, options))
            }
            (Operation::GlobalAveragePool, Signal::Image(z)) => {
                let [n, c, h, w] = z.dims();
                Signal::Flat(z.reshape([n, c, h * w]).mean_dim(2).squeeze_dim(2))
            }
            (Operation::Flatten, Signal::Image(z)) => Signal::Flat(z.flatten(1, 3)),
            (operation, Signal::Flat(_)) => unreachable!("{operation:?} on vectors: Architecture::new refuses it"),
        }
    }
}

/// One layer of a network.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // networks have a handful of nodes
pub enum Node {
    /// Fully connected.
    Dense(DenseNode),
    /// Convolution.
    Conv(ConvNode),
    /// Sum of two branches.
    Residual(ResidualNode),
    /// No weights.
    Fixed(FixedNode),
}

/// Runs a signal through nodes.
pub(crate) fn forward(nodes: &[Node], mut signal: Signal) -> Signal {
    for node in nodes {
        signal = match (node, signal) {
            (Node::Dense(dense), Signal::Flat(a)) => Signal::Flat(dense.forward(a)),
            (Node::Conv(conv), Signal::Image(a)) => Signal::Image(conv.forward(a)),
            (Node::Residual(residual), signal) => {
                let branch = forward(&residual.branch, signal.clone());
                match (branch, forward(&residual.shortcut, signal)) {
                    (Signal::Flat(a), Signal::Flat(b)) => Signal::Flat(a + b),
                    (Signal::Image(a), Signal::Image(b)) => Signal::Image(a + b),
                    _ => unreachable!("branches of different shapes: Architecture::new refuses them"),
                }
            }
            (Node::Fixed(fixed), signal) => fixed.forward(signal),
            (Node::Dense(_), Signal::Image(_)) | (Node::Conv(_), Signal::Flat(_)) => {
                unreachable!("a layer on the wrong kind of signal: Architecture::new refuses it")
            }
        };
    }
    signal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Precision;
    use burn::tensor::{Device, TensorCreationOptions, TensorData};

    fn tensor<const D: usize>(values: &[f64], shape: [usize; D]) -> Tensor<D> {
        let options = TensorCreationOptions::new(Device::flex()).with_dtype(Precision::F64.dtype());
        Tensor::from_data(TensorData::new(values.to_vec(), shape), options)
    }

    fn parameter<const D: usize>(values: &[f64], shape: [usize; D]) -> Param<Tensor<D>> {
        Param::from_tensor(tensor(values, shape))
    }

    fn check<const D: usize>(found: Tensor<D>, shape: [usize; D], expected: &[f64]) {
        assert_eq!(found.dims(), shape);
        let found: Vec<f64> = found.try_into_data_as::<f64>().unwrap().try_to_vec().unwrap();
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
        }
    }

    fn image(operation: Operation, values: &[f64], shape: [usize; 4]) -> Tensor<4> {
        match (FixedNode { operation }).forward(Signal::Image(tensor(values, shape))) {
            Signal::Image(z) => z,
            Signal::Flat(z) => panic!("{operation:?} gave vectors {:?}", z.dims()),
        }
    }

    fn flat(operation: Operation, values: &[f64], shape: [usize; 4]) -> Tensor<2> {
        match (FixedNode { operation }).forward(Signal::Image(tensor(values, shape))) {
            Signal::Flat(z) => z,
            Signal::Image(z) => panic!("{operation:?} gave images {:?}", z.dims()),
        }
    }

    const ONE_TO_NINE: [f64; 9] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];

    #[test]
    fn a_dense_layer_by_hand() {
        let node = DenseNode {
            weight: parameter(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3]),
            bias: Some(parameter(&[1.0, 0.0, -2.0], [3])),
            w_scale: 0.5,
            b_scale: 0.25,
        };
        // (2 * [1, 2, 3] - [4, 5, 6]) / 2 + [1, 0, -2] / 4, and the row of zeros.
        let z = node.forward(tensor(&[2.0, -1.0, 0.0, 0.0], [2, 2]));
        check(z, [2, 3], &[-0.75, -0.5, -0.5, 0.25, 0.0, -0.5]);
    }

    #[test]
    fn a_convolution_by_hand() {
        let mut node = ConvNode {
            weight: parameter(&[1.0, 2.0, 3.0, 4.0], [1, 1, 2, 2]),
            bias: None,
            w_scale: 0.5,
            b_scale: 0.0,
            stride: 1,
            padding: 0,
        };
        let image = tensor(&ONE_TO_NINE, [1, 1, 3, 3]);
        // The kernel is not flipped: (1*1 + 2*2 + 4*3 + 5*4) / 2 first.
        check(node.forward(image.clone()), [1, 1, 2, 2], &[18.5, 23.5, 33.5, 38.5]);
        node.stride = 2;
        node.padding = 1;
        // Zeros around: windows start at rows and columns -1 and 1.
        check(node.forward(image), [1, 1, 2, 2], &[2.0, 9.0, 18.0, 38.5]);
    }

    #[test]
    fn a_convolution_sums_over_channels_and_adds_its_bias() {
        let node = ConvNode {
            weight: parameter(&[1.0, 10.0, 2.0, -1.0], [2, 2, 1, 1]),
            bias: Some(parameter(&[3.0, 4.0], [2])),
            w_scale: 2.0,
            b_scale: 0.5,
            stride: 1,
            padding: 0,
        };
        let image = tensor(&[1.0, 2.0, 5.0, 7.0], [1, 2, 1, 2]);
        // Channel 0: 2 (a0 + 10 a1) + 1.5; channel 1: 2 (2 a0 - a1) + 2.
        check(node.forward(image), [1, 2, 1, 2], &[103.5, 145.5, -4.0, -4.0]);
    }

    #[test]
    fn pooling_and_flattening_by_hand() {
        let values: Vec<f64> = (0..16).map(f64::from).collect();
        let shape = [1, 2, 2, 4];
        check(image(Operation::AveragePool(2), &values, shape), [1, 2, 1, 2], &[2.5, 4.5, 10.5, 12.5]);
        check(image(Operation::MaxPool(2), &values, shape), [1, 2, 1, 2], &[5.0, 7.0, 13.0, 15.0]);
        check(flat(Operation::GlobalAveragePool, &values, shape), [1, 2], &[3.5, 11.5]);
        check(flat(Operation::Flatten, &values, shape), [1, 16], &values);
        check(flat(Operation::Flatten, &values, [2, 2, 2, 2]), [2, 8], &values);
    }
}
