//! What one forward and one backward pass per output tell about the tangent features of a batch.

use burn::module::Module;
use burn::tensor::module::unfold4d;
use burn::tensor::ops::{PadMode, UnfoldOptions};
use burn::tensor::{Gradients, Tensor};
use widenet_model::{ConvNode, DenseNode, Network, Tap};

/// The tangent features of `n` samples, layer by layer, in a form whose Gram matrices are cheap.
pub(super) struct Features {
    layers: Vec<LayerFeatures>,
}

/// One layer's features. `G[o]` is `d f_o / d z` of every sample, found at once because sample `i`'s output depends
/// on sample `i`'s pre-activation alone.
#[allow(clippy::large_enum_variant)] // one per layer
enum LayerFeatures {
    /// `d f_o / d W` of a sample is the outer product of its input and `G[o]`, and is never formed.
    Dense {
        /// The layer's input `A`, `[n, fan_in]`.
        input: Tensor<2>,
        /// `G[o]`, `[n, units]`, one per output.
        derivatives: Vec<Tensor<2>>,
        /// `w_scale^2`.
        weight: f64,
        /// `b_scale^2`, zero without biases.
        bias: f64,
    },
    /// A convolution's per-sample weight derivatives, summed over positions.
    Conv {
        /// `sum_p G[o]_p patch_p^T`, `[n, channels_out * channels_in * kernel^2]`, one per output.
        weights: Vec<Tensor<2>>,
        /// `sum_p G[o]_p`, `[n, channels_out]`, one per output.
        biases: Vec<Tensor<2>>,
        /// `w_scale^2`.
        weight: f64,
        /// `b_scale^2`, zero without biases.
        bias: f64,
    },
}

/// Adds a zero leaf to every pre-activation, so that one backward pass returns its derivative for every sample.
#[derive(Default)]
struct Leaves(Vec<Leaf>);

/// A layer with weights, its input and its leaf, in the order of the forward pass.
#[allow(clippy::large_enum_variant)] // one per layer
enum Leaf {
    Dense(DenseNode, Tensor<2>, Tensor<2>),
    Conv(ConvNode, Tensor<4>, Tensor<4>),
}

fn zero_leaf<const D: usize>(z: &Tensor<D>) -> Tensor<D> {
    z.clone().inner().zeros_like().autodiff().require_grad()
}

fn derivative<const D: usize>(leaf: &Tensor<D>, gradients: &Gradients) -> Tensor<D> {
    leaf.grad(gradients).expect("every pre-activation reaches the output").inner()
}

impl Tap for Leaves {
    fn dense(&mut self, layer: &DenseNode, a: Tensor<2>, z: Tensor<2>) -> Tensor<2> {
        let leaf = zero_leaf(&z);
        self.0.push(Leaf::Dense(layer.clone(), a.inner(), leaf.clone()));
        z + leaf
    }

    fn conv(&mut self, layer: &ConvNode, a: Tensor<4>, z: Tensor<4>) -> Tensor<4> {
        let leaf = zero_leaf(&z);
        self.0.push(Leaf::Conv(layer.clone(), a.inner(), leaf.clone()));
        z + leaf
    }
}

impl Features {
    /// The features of samples `x: [n, d]` at the network's present weights: one forward and one backward pass per
    /// output (Burn's tape can be walked only once).
    pub(super) fn of(network: &Network, x: Tensor<2>) -> Self {
        let outputs = network.architecture().output_size();
        // Weights take part in the graph but ask for no gradient: only activations' derivatives are computed.
        let network = network.clone().train().no_grad();
        let mut layers: Vec<LayerFeatures> = Vec::new();
        for output in 0..outputs {
            let mut leaves = Leaves::default();
            let y = network.forward_tapped(x.clone().autodiff(), &mut leaves);
            let rows = y.dims()[0];
            let gradients = y.slice([0..rows, output..output + 1]).sum().backward();
            if layers.is_empty() {
                layers = leaves.0.iter().map(LayerFeatures::new).collect();
            }
            for (layer, leaf) in layers.iter_mut().zip(leaves.0) {
                layer.add_output(leaf, &gradients);
            }
        }
        Self { layers }
    }

    /// `<grad f_a(x_i), grad f_b(x'_j)>`, `[n, n']`, of output `a` here and output `b` there.
    pub(super) fn gram(&self, a: usize, other: &Self, b: usize) -> Tensor<2> {
        let terms = self.layers.iter().zip(&other.layers).map(|(left, right)| left.gram(a, right, b));
        terms.reduce(|sum, term| sum + term).expect("a network has a layer with weights")
    }

    /// The last layer's part alone: `w_scale^2 <A_i, A'_j> (+ b_scale^2)`, the NNGP kernel of the finite network.
    pub(super) fn gram_last_layer(&self, other: &Self) -> Tensor<2> {
        self.last().gram(0, other.last(), 0)
    }

    /// The diagonal of [`Features::gram_last_layer`], `[n, 1]`.
    pub(super) fn diagonal_last_layer(&self) -> Tensor<2> {
        self.last().diagonal(0)
    }

    fn last(&self) -> &LayerFeatures {
        self.layers.last().expect("a network has a layer with weights")
    }

    /// `|grad f_a(x_i)|^2`, `[n, 1]`, of output `a`.
    pub(super) fn diagonal(&self, a: usize) -> Tensor<2> {
        let terms = self.layers.iter().map(|layer| layer.diagonal(a));
        terms.reduce(|sum, term| sum + term).expect("a network has a layer with weights")
    }
}

impl LayerFeatures {
    /// The features of a layer, without any output yet.
    fn new(leaf: &Leaf) -> Self {
        let squares = |w_scale: f64, b_scale: f64| (w_scale * w_scale, b_scale * b_scale);
        match leaf {
            Leaf::Dense(layer, input, _) => {
                let (weight, bias) = squares(layer.w_scale, layer.b_scale);
                Self::Dense { input: input.clone(), derivatives: Vec::new(), weight, bias }
            }
            Leaf::Conv(layer, ..) => {
                let (weight, bias) = squares(layer.w_scale, layer.b_scale);
                Self::Conv { weights: Vec::new(), biases: Vec::new(), weight, bias }
            }
        }
    }

    /// Takes the next output's derivatives.
    fn add_output(&mut self, leaf: Leaf, gradients: &Gradients) {
        match (self, leaf) {
            (Self::Dense { derivatives, .. }, Leaf::Dense(_, _, leaf)) => {
                derivatives.push(derivative(&leaf, gradients));
            }
            (Self::Conv { weights, biases, .. }, Leaf::Conv(layer, input, leaf)) => {
                let (weight, bias) = convolution(&layer, input, derivative(&leaf, gradients));
                weights.push(weight);
                biases.push(bias);
            }
            _ => unreachable!("every forward pass of a network visits the same layers"),
        }
    }

    fn gram(&self, a: usize, other: &Self, b: usize) -> Tensor<2> {
        let product = |left: &Tensor<2>, right: &Tensor<2>| left.clone().matmul(right.clone().transpose());
        match (self, other) {
            (
                Self::Dense { input, derivatives, weight, bias },
                Self::Dense { input: input_other, derivatives: derivatives_other, .. },
            ) => {
                let derivatives = product(&derivatives[a], &derivatives_other[b]);
                let inputs = product(input, input_other) * *weight;
                derivatives * if *bias == 0.0 { inputs } else { inputs + *bias }
            }
            (
                Self::Conv { weights, biases, weight, bias },
                Self::Conv { weights: weights_other, biases: biases_other, .. },
            ) => {
                let gram = product(&weights[a], &weights_other[b]) * *weight;
                if *bias == 0.0 { gram } else { gram + product(&biases[a], &biases_other[b]) * *bias }
            }
            _ => unreachable!("two feature sets of one network"),
        }
    }

    fn diagonal(&self, a: usize) -> Tensor<2> {
        let norms = |rows: &Tensor<2>| rows.clone().square().sum_dim(1);
        match self {
            Self::Dense { input, derivatives, weight, bias } => {
                norms(&derivatives[a]) * (norms(input) * *weight + *bias)
            }
            Self::Conv { weights, biases, weight, bias } => norms(&weights[a]) * *weight + norms(&biases[a]) * *bias,
        }
    }
}

/// A convolution's derivatives with respect to its weights and biases (both without their scales), per sample.
/// Input: `a: [n, c, h, w]`, `g: [n, c', h', w']`.
fn convolution(layer: &ConvNode, a: Tensor<4>, g: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
    let [n, channels, height, width] = g.dims();
    let kernel = layer.weight.dims()[2];
    let padding = layer.padding;
    // Padding first keeps the unfolding a strided view; padding inside it is several times slower.
    let a = if padding == 0 { a } else { a.pad([(padding, padding), (padding, padding)], PadMode::Constant(0.0)) };
    let options = UnfoldOptions::new([layer.stride; 2], [0; 2], [1; 2]);
    let patches = unfold4d(a, [kernel; 2], options); // [n, c k k, positions]
    let g = g.reshape([n, channels, height * width]);
    let biases = g.clone().sum_dim(2).reshape([n, channels]);
    let fan_in = patches.dims()[1];
    let weights = g.matmul(patches.swap_dims(1, 2)).reshape([n, channels * fan_in]);
    (weights, biases)
}
