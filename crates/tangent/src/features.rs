//! Tangent features: the gradient of a network's output with respect to its parameters, for every sample of a batch.

use std::ops::Range;

use burn::module::Module;
use burn::tensor::module::unfold4d;
use burn::tensor::ops::{PadMode, UnfoldOptions};
use burn::tensor::{Gradients, Tensor};
use ndarray::{Array2, ArrayView2};
use widenet_model::{ConvNode, DenseNode, Network, Tap};

use crate::error::{KernelError, check_samples};

/// The tangent features `phi_o(x_i) = grad_w f_o(w, x_i)` of `n` samples at a network's present weights: the matrix
/// `Phi: [n O, p]` that is never formed, but can be multiplied.
///
/// - `Phi Phi'^T` is the empirical tangent kernel ([`TangentFeatures::gram`]);
/// - `Phi v` is the Jacobian-vector product ([`TangentFeatures::apply`]): with `v = w - w_0` it is what the linearised
///   network `f(w_0, x) + <grad f(w_0, x), w - w_0>` adds to its initial output;
/// - `Phi^T c` is the vector-Jacobian product ([`TangentFeatures::adjoint`]): with the coefficients of a kernel machine
///   it is the machine's solution in weight space.
///
/// For a dense layer `[p, q]` the features take `n (p + O q)` numbers, for a convolution with `k` weights `n O k`.
///
/// ```
/// use burn::tensor::Device;
/// use ndarray::array;
/// use widenet_model::{ArchitectureConfig, Network, Precision, Shape, to_host};
/// use widenet_tangent::TangentFeatures;
///
/// let config: ArchitectureConfig = toml_edit::de::from_str("mlp = { hidden = [8] }")?;
/// let network = Network::init(&config.build(Shape::Flat(2))?, 1, Precision::F64, &Device::flex());
/// let x = array![[1.0, 0.5], [-0.3, 1.0]];
/// let features = TangentFeatures::of(&network, x.view())?;
///
/// // f is linear in its last layer and positively homogeneous in its first: <grad f, w> = 2 f for a ReLU network.
/// let along_weights = to_host(features.apply(&network.parameters()))?;
/// let outputs = to_host(network.forward(network.samples(x.view())))?;
/// assert!((along_weights - 2.0 * outputs).iter().all(|difference| difference.abs() < 1e-12));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TangentFeatures {
    layers: Vec<LayerFeatures>,
}

/// One layer's features. `G[o]` is `d f_o / d z` of every sample, found at once because sample `i`'s output depends
/// on sample `i`'s pre-activation alone.
#[allow(clippy::large_enum_variant)] // one per layer
#[derive(Clone, Debug)]
enum LayerFeatures {
    /// `d f_o / d W` of a sample is the outer product of its input and `G[o]`, and is never formed.
    Dense {
        /// The layer's input `A`, `[n, fan_in]`.
        input: Tensor<2>,
        /// `G[o]`, `[n, units]`, one per output.
        derivatives: Vec<Tensor<2>>,
        /// The layer's scales.
        scales: Scales,
    },
    /// A convolution's per-sample weight derivatives, summed over positions.
    Conv {
        /// `sum_p G[o]_p patch_p^T`, `[n, channels_out * channels_in * kernel^2]`, one per output.
        weights: Vec<Tensor<2>>,
        /// `sum_p G[o]_p`, `[n, channels_out]`, one per output.
        biases: Vec<Tensor<2>>,
        /// The layer's scales.
        scales: Scales,
    },
}

/// A layer's `sigma_w / sqrt(fan_in)`, and `sigma_b` if it has biases.
#[derive(Clone, Copy, Debug)]
struct Scales {
    weight: f64,
    bias: Option<f64>,
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

impl TangentFeatures {
    /// The features of samples `x: [n, d]`: one forward and one backward pass per output (Burn's tape can be walked
    /// only once).
    ///
    /// # Errors
    ///
    /// When the samples do not fit the network or a value is not finite.
    pub fn of(network: &Network, x: ArrayView2<f64>) -> Result<Self, KernelError> {
        check_samples(&x, network.architecture().input().size())?;
        let x = network.samples(x);
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
        Ok(Self { layers })
    }

    /// The features of some of the samples. No numbers are computed.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        let cut = |tensor: &Tensor<2>| tensor.clone().slice([rows.clone()]);
        let all = |tensors: &[Tensor<2>]| tensors.iter().map(cut).collect();
        let layers = self.layers.iter().map(|layer| match layer {
            LayerFeatures::Dense { input, derivatives, scales } => {
                LayerFeatures::Dense { input: cut(input), derivatives: all(derivatives), scales: *scales }
            }
            LayerFeatures::Conv { weights, biases, scales } => {
                LayerFeatures::Conv { weights: all(weights), biases: all(biases), scales: *scales }
            }
        });
        Self { layers: layers.collect() }
    }

    /// `<grad f_a(x_i), grad f_b(x'_j)>`, `[n, n']`, of output `a` here and output `b` there.
    pub fn gram(&self, a: usize, other: &Self, b: usize) -> Tensor<2> {
        let terms = self.layers.iter().zip(&other.layers).map(|(left, right)| left.gram(a, right, b));
        terms.reduce(|sum, term| sum + term).expect("a network has a layer with weights")
    }

    /// The last layer's part alone: `w_scale^2 <A_i, A'_j> (+ b_scale^2)`, the NNGP kernel of the finite network.
    pub fn gram_last_layer(&self, other: &Self) -> Tensor<2> {
        self.last().gram(0, other.last(), 0)
    }

    /// The diagonal of [`TangentFeatures::gram_last_layer`], `[n, 1]`.
    pub fn diagonal_last_layer(&self) -> Tensor<2> {
        self.last().diagonal(0)
    }

    /// The Jacobian-vector products `<grad f_o(x_i), v>`, `[n, O]`, of a direction given as flat vectors in the order of
    /// [`Network::parameters`]. The cost of a forward pass.
    ///
    /// # Panics
    ///
    /// When the direction's vectors are not as long as the parameters.
    pub fn apply(&self, direction: &[Tensor<1>]) -> Tensor<2> {
        let mut direction = direction.iter().cloned();
        let terms = self.layers.iter().map(|layer| layer.apply(&mut direction));
        terms.reduce(|sum, term| sum + term).expect("a network has a layer with weights")
    }

    /// The vector-Jacobian product `sum_{i,o} c_io grad f_o(x_i)` of coefficients `c: [n, O]`, as flat vectors in the
    /// order of [`Network::parameters`]. The cost of a backward pass.
    pub fn adjoint(&self, coefficients: Tensor<2>) -> Vec<Tensor<1>> {
        self.layers.iter().flat_map(|layer| layer.adjoint(&coefficients)).collect()
    }

    fn last(&self) -> &LayerFeatures {
        self.layers.last().expect("a network has a layer with weights")
    }

    /// `|grad f_a(x_i)|^2`, `[n, 1]`, of output `a`.
    pub fn diagonal(&self, a: usize) -> Tensor<2> {
        let terms = self.layers.iter().map(|layer| layer.diagonal(a));
        terms.reduce(|sum, term| sum + term).expect("a network has a layer with weights")
    }
}

impl LayerFeatures {
    /// The features of a layer, without any output yet.
    fn new(leaf: &Leaf) -> Self {
        match leaf {
            Leaf::Dense(layer, input, _) => {
                let scales = Scales { weight: layer.w_scale, bias: layer.bias.as_ref().map(|_| layer.b_scale) };
                Self::Dense { input: input.clone(), derivatives: Vec::new(), scales }
            }
            Leaf::Conv(layer, ..) => {
                let scales = Scales { weight: layer.w_scale, bias: layer.bias.as_ref().map(|_| layer.b_scale) };
                Self::Conv { weights: Vec::new(), biases: Vec::new(), scales }
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
                Self::Dense { input, derivatives, scales },
                Self::Dense { input: input_other, derivatives: derivatives_other, .. },
            ) => {
                let inputs = product(input, input_other) * scales.weight.powi(2);
                let inputs = if let Some(bias) = scales.bias { inputs + bias.powi(2) } else { inputs };
                product(&derivatives[a], &derivatives_other[b]) * inputs
            }
            (
                Self::Conv { weights, biases, scales },
                Self::Conv { weights: weights_other, biases: biases_other, .. },
            ) => {
                let gram = product(&weights[a], &weights_other[b]) * scales.weight.powi(2);
                match scales.bias {
                    Some(bias) => gram + product(&biases[a], &biases_other[b]) * bias.powi(2),
                    None => gram,
                }
            }
            _ => unreachable!("two feature sets of one network"),
        }
    }

    fn diagonal(&self, a: usize) -> Tensor<2> {
        let norms = |rows: &Tensor<2>| rows.clone().square().sum_dim(1);
        match self {
            Self::Dense { input, derivatives, scales } => {
                let bias = scales.bias.unwrap_or(0.0);
                norms(&derivatives[a]) * (norms(input) * scales.weight.powi(2) + bias.powi(2))
            }
            Self::Conv { weights, biases, scales } => {
                let bias = scales.bias.unwrap_or(0.0);
                norms(&weights[a]) * scales.weight.powi(2) + norms(&biases[a]) * bias.powi(2)
            }
        }
    }

    /// This layer's part of `Phi v`, `[n, O]`. Takes its weights' and biases' part of the direction.
    fn apply(&self, direction: &mut impl Iterator<Item = Tensor<1>>) -> Tensor<2> {
        let mut next = || direction.next().expect("one vector per parameter");
        let columns: Vec<Tensor<2>> = match self {
            Self::Dense { input, derivatives, scales } => {
                let (fan_in, units) = (input.dims()[1], derivatives[0].dims()[1]);
                // What the direction adds to the pre-activations, then to the outputs.
                let mut z = (input.clone() * scales.weight).matmul(next().reshape([fan_in, units]));
                if let Some(bias) = scales.bias {
                    z = z + (next() * bias).unsqueeze();
                }
                derivatives.iter().map(|g| (g.clone() * z.clone()).sum_dim(1)).collect()
            }
            Self::Conv { weights, biases, scales } => {
                let column = |vector: Tensor<1>| vector.unsqueeze_dim::<2>(1);
                let weight = column(next() * scales.weight);
                let bias = scales.bias.map(|bias| column(next() * bias));
                let outputs = weights.iter().zip(biases);
                let product = |(w, b): (&Tensor<2>, &Tensor<2>)| {
                    let along = w.clone().matmul(weight.clone());
                    if let Some(bias) = &bias { along + b.clone().matmul(bias.clone()) } else { along }
                };
                outputs.map(product).collect()
            }
        };
        Tensor::cat(columns, 1)
    }

    /// This layer's part of `Phi^T c`: its weights', and its biases' if it has them.
    fn adjoint(&self, coefficients: &Tensor<2>) -> Vec<Tensor<1>> {
        let n = coefficients.dims()[0];
        let coefficient = |o: usize| coefficients.clone().slice([0..n, o..o + 1]);
        // sum_o rows_o^T c_o, flat.
        let gather = |rows: &[Tensor<2>], scale: f64| {
            let terms = rows.iter().enumerate().map(|(o, rows)| rows.clone().transpose().matmul(coefficient(o)));
            let sum = terms.reduce(|sum, term| sum + term).expect("a network has an output");
            (sum * scale).flatten::<1>(0, 1)
        };
        match self {
            Self::Dense { input, derivatives, scales } => {
                let weighted = derivatives.iter().enumerate().map(|(o, g)| g.clone() * coefficient(o));
                let weighted = weighted.reduce(|sum, term| sum + term).expect("a network has an output");
                let weight = (input.clone().transpose() * scales.weight).matmul(weighted).flatten::<1>(0, 1);
                std::iter::once(weight).chain(scales.bias.map(|bias| gather(derivatives, bias))).collect()
            }
            Self::Conv { weights, biases, scales } => {
                let weight = gather(weights, scales.weight);
                std::iter::once(weight).chain(scales.bias.map(|bias| gather(biases, bias))).collect()
            }
        }
    }
}

/// Numbers that one sample's features and the passes that compute them hold, to within small factors: every layer's
/// input, its pre-activation with leaf and derivative, what is kept, and the largest convolution's patches.
pub(crate) fn numbers_per_sample(network: &Network) -> usize {
    let input = network.architecture().input().size();
    let outputs = network.architecture().output_size();
    let mut cost = Cost { outputs, held: input, patches: 0 };
    network.forward_tapped(network.samples(Array2::zeros((1, input)).view()), &mut cost);
    cost.held + cost.patches
}

struct Cost {
    outputs: usize,
    held: usize,
    patches: usize,
}

impl Tap for Cost {
    fn dense(&mut self, _: &DenseNode, a: Tensor<2>, z: Tensor<2>) -> Tensor<2> {
        self.held += a.dims()[1] + (3 + self.outputs) * z.dims()[1];
        z
    }

    fn conv(&mut self, layer: &ConvNode, a: Tensor<4>, z: Tensor<4>) -> Tensor<4> {
        let ([_, _, height, width], [channels, channels_in, kernel, _]) = (z.dims(), layer.weight.dims());
        let fan_in = channels_in * kernel * kernel;
        self.held += a.shape().num_elements() + 3 * z.shape().num_elements() + self.outputs * channels * (fan_in + 1);
        self.patches = self.patches.max(fan_in * height * width);
        z
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
