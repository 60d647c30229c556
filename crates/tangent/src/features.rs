//! Tangent features: the gradient of a network's output with respect to its parameters, for every sample of a batch.

use std::ops::Range;

use burn::tensor::{Tensor, s};
use ndarray::ArrayView2;
use rayon::prelude::*;
use widenet_model::host::HostNetwork;
use widenet_model::{ConvNode, LayerDerivative, Network, Precision, is_host};

use crate::contraction::{Contraction, LayerPlan, Method, plan};
use crate::error::{KernelError, check_samples};
use crate::host::HostFeatures;
use crate::product::PARTS;

/// The tangent features `phi_o(x_i) = grad_w f_o(w, x_i)` of `n` samples at a network's present weights: the matrix
/// `Phi: [n O, p]` that is never formed, but can be multiplied.
///
/// - `Phi Phi'^T` is the empirical tangent kernel ([`TangentFeatures::gram`]);
/// - `Phi v` is the Jacobian-vector product ([`TangentFeatures::apply`]): with `v = w - w_0` it is what the linearised
///   network `f(w_0, x) + <grad f(w_0, x), w - w_0>` adds to its initial output;
/// - `Phi^T c` is the vector-Jacobian product ([`TangentFeatures::adjoint`]): with the coefficients of a kernel machine
///   it is the machine's solution in weight space.
///
/// For a dense layer `[p, q]` the features take `n (p + O q)` numbers, for a convolution with `k` weights `n O k`, unless
/// the other [`Contraction`] is cheaper.
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

/// One layer's features. `g[o]` is `d f_o / d z` of every sample, found at once because sample `i`'s output depends on
/// sample `i`'s pre-activation alone.
#[derive(Clone, Debug)]
pub(crate) struct LayerFeatures {
    /// `sigma_w / sqrt(fan_in)`.
    pub(crate) scale: f64,
    /// `sigma_b`, if the layer has biases.
    pub(crate) bias: Option<f64>,
    /// The convolution, whose weights have an order of their own.
    pub(crate) conv: Option<ConvNode>,
    pub(crate) parts: Parts,
}

/// See [`Contraction`].
#[allow(clippy::large_enum_variant)] // one per layer
#[derive(Clone, Debug)]
pub(crate) enum Parts {
    Factors {
        /// The inputs `u`, `[n, P, fan_in]`.
        inputs: Tensor<3>,
        /// `g[o]`, `[n, P, units]`, one per output.
        derivatives: Vec<Tensor<3>>,
    },
    Products {
        /// `sum_p u_p g[o]_p^T`, `[n, fan_in * units]`, one per output.
        weights: Vec<Tensor<2>>,
        /// `sum_p g[o]_p`, `[n, units]`, one per output.
        biases: Vec<Tensor<2>>,
    },
}

impl TangentFeatures {
    /// The features of samples `x: [n, d]`, by [`Method::Auto`]: one forward pass, and one backward pass per output.
    ///
    /// # Errors
    ///
    /// When the samples do not fit the network or a value is not finite.
    pub fn of(network: &Network, x: ArrayView2<f64>) -> Result<Self, KernelError> {
        Self::by(&plan(network.architecture(), Method::Auto), network, x)
    }

    /// The features of samples, each layer's as `plan` says.
    pub(crate) fn by(plan: &[LayerPlan], network: &Network, x: ArrayView2<f64>) -> Result<Self, KernelError> {
        check_samples(&x, network.architecture().input().size())?;
        if on_host_by_layers(network, x.nrows()) {
            let layers = match network.precision() {
                Precision::F32 => HostFeatures::of(plan, &HostNetwork::<f32>::new(network), x).into_tensors(network),
                Precision::F64 => HostFeatures::of(plan, &HostNetwork::<f64>::new(network), x).into_tensors(network),
            };
            return Ok(Self { layers });
        }
        let chunks = network.samples(x).split(chunk(network, x.nrows()), 0);
        // Burn's CPU backend uses one core for all but its products: chunks side by side use all of them.
        let of_chunk = |x| Self::of_chunk(plan, network, x);
        let chunks = match is_host(&network.device()) {
            true => chunks.into_par_iter().map(of_chunk).collect(),
            false => chunks.into_iter().map(of_chunk).collect(),
        };
        Ok(Self::joined(chunks).expect("a split has a first part"))
    }

    /// The features of samples that go through the network together.
    fn of_chunk(plan: &[LayerPlan], network: &Network, x: Tensor<2>) -> Self {
        let outputs = network.architecture().output_size();
        let trace = network.trace(x);
        let mut layers: Vec<LayerFeatures> = Vec::new();
        for output in 0..outputs {
            let unit = trace.output().zeros_like().slice_fill(s![.., output..output + 1], 1.0);
            let derivatives = trace.pull_back(unit);
            if layers.is_empty() {
                let ways = derivatives.iter().zip(plan);
                layers = ways.map(|(layer, way)| LayerFeatures::new(layer, way.contraction)).collect();
            }
            for (layer, derivative) in layers.iter_mut().zip(derivatives) {
                layer.add_output(derivative);
            }
        }
        Self { layers }
    }

    /// The features of several chunks of samples, one after the other.
    fn joined(mut chunks: Vec<Self>) -> Option<Self> {
        if chunks.len() < 2 {
            return chunks.pop();
        }
        let layers = (0..chunks[0].layers.len())
            .map(|index| LayerFeatures::joined(chunks.iter().map(|chunk| &chunk.layers[index])));
        Some(Self { layers: layers.collect() })
    }

    /// The features of some of the samples. No numbers are computed.
    pub fn rows(&self, rows: Range<usize>) -> Self {
        Self { layers: self.layers.iter().map(|layer| layer.rows(rows.clone())).collect() }
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

    pub(crate) fn layers(&self) -> &[LayerFeatures] {
        &self.layers
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

/// Rows of the table of all pairs of positions that are computed at a time.
const PAIRS: usize = 1 << 24;

impl LayerFeatures {
    /// The features of a layer, without any output yet.
    fn new(layer: &LayerDerivative, contraction: Contraction) -> Self {
        let parts = |inputs: &dyn Fn() -> Tensor<3>| match contraction {
            Contraction::Factors => Parts::Factors { inputs: inputs(), derivatives: Vec::new() },
            Contraction::Products => Parts::Products { weights: Vec::new(), biases: Vec::new() },
        };
        match layer {
            LayerDerivative::Dense { node, input, .. } => Self {
                scale: node.w_scale,
                bias: node.bias.as_ref().map(|_| node.b_scale),
                conv: None,
                parts: parts(&|| input.clone().unsqueeze_dim(1)),
            },
            LayerDerivative::Conv { node, input, .. } => Self {
                scale: node.w_scale,
                bias: node.bias.as_ref().map(|_| node.b_scale),
                conv: Some(node.clone()),
                parts: parts(&|| input.patches()),
            },
        }
    }

    /// Takes the next output's derivatives.
    fn add_output(&mut self, layer: LayerDerivative) {
        match (&mut self.parts, layer) {
            (Parts::Factors { derivatives, .. }, LayerDerivative::Dense { derivative, .. }) => {
                derivatives.push(derivative.unsqueeze_dim(1));
            }
            (Parts::Factors { derivatives, .. }, LayerDerivative::Conv { derivative, .. }) => {
                derivatives.push(derivative.flatten(1, 2));
            }
            (Parts::Products { weights, biases }, LayerDerivative::Dense { input, derivative, .. }) => {
                let outer = input.unsqueeze_dim::<3>(2) * derivative.clone().unsqueeze_dim::<3>(1);
                weights.push(outer.flatten(1, 2));
                biases.push(derivative);
            }
            (Parts::Products { weights, biases }, LayerDerivative::Conv { input, derivative, .. }) => {
                weights.push(input.weight_derivatives(derivative.clone()));
                biases.push(derivative.flatten::<3>(1, 2).sum_dim(1).squeeze_dim(1));
            }
        }
    }

    fn joined<'a>(chunks: impl Iterator<Item = &'a Self>) -> Self {
        let chunks: Vec<&Self> = chunks.collect();
        let first = chunks[0];
        let outputs = |count: usize| 0..count;
        let parts = match &first.parts {
            Parts::Factors { derivatives, .. } => {
                let factors = |chunk: &&Self| match &chunk.parts {
                    Parts::Factors { inputs, derivatives } => (inputs.clone(), derivatives.clone()),
                    Parts::Products { .. } => unreachable!("one plan for all chunks"),
                };
                let all: Vec<_> = chunks.iter().map(factors).collect();
                let derivative = |o: usize| Tensor::cat(all.iter().map(|(_, g)| g[o].clone()).collect(), 0);
                Parts::Factors {
                    inputs: Tensor::cat(all.iter().map(|(inputs, _)| inputs.clone()).collect(), 0),
                    derivatives: outputs(derivatives.len()).map(derivative).collect(),
                }
            }
            Parts::Products { weights, .. } => {
                let products = |chunk: &&Self| match &chunk.parts {
                    Parts::Products { weights, biases } => (weights.clone(), biases.clone()),
                    Parts::Factors { .. } => unreachable!("one plan for all chunks"),
                };
                let all: Vec<_> = chunks.iter().map(products).collect();
                let weight = |o: usize| Tensor::cat(all.iter().map(|(w, _)| w[o].clone()).collect(), 0);
                let bias = |o: usize| Tensor::cat(all.iter().map(|(_, b)| b[o].clone()).collect(), 0);
                Parts::Products {
                    weights: outputs(weights.len()).map(weight).collect(),
                    biases: outputs(weights.len()).map(bias).collect(),
                }
            }
        };
        Self { conv: first.conv.clone(), parts, ..*first }
    }

    fn rows(&self, rows: Range<usize>) -> Self {
        fn cut<const D: usize>(tensor: &Tensor<D>, rows: &Range<usize>) -> Tensor<D> {
            tensor.clone().slice([rows.clone()])
        }
        let parts = match &self.parts {
            Parts::Factors { inputs, derivatives } => Parts::Factors {
                inputs: cut(inputs, &rows),
                derivatives: derivatives.iter().map(|tensor| cut(tensor, &rows)).collect(),
            },
            Parts::Products { weights, biases } => Parts::Products {
                weights: weights.iter().map(|tensor| cut(tensor, &rows)).collect(),
                biases: biases.iter().map(|tensor| cut(tensor, &rows)).collect(),
            },
        };
        Self { conv: self.conv.clone(), parts, ..*self }
    }

    fn gram(&self, a: usize, other: &Self, b: usize) -> Tensor<2> {
        match (&self.parts, &other.parts) {
            (
                Parts::Factors { inputs, derivatives },
                Parts::Factors { inputs: inputs_other, derivatives: derivatives_other },
            ) => self.gram_of_factors([inputs, &derivatives[a]], [inputs_other, &derivatives_other[b]]),
            (Parts::Products { weights, biases }, Parts::Products { weights: weights_other, biases: biases_other }) => {
                let gram = product(&weights[a], &weights_other[b]) * self.scale.powi(2);
                match self.bias {
                    Some(bias) => gram + product(&biases[a], &biases_other[b]) * bias.powi(2),
                    None => gram,
                }
            }
            _ => unreachable!("two feature sets of one network, by one plan"),
        }
    }

    /// `sum_{p,q} (scale^2 <u_p, u'_q> + bias^2) <g_p, g'_q>` for inputs and derivatives here and there.
    fn gram_of_factors(&self, left: [&Tensor<3>; 2], right: [&Tensor<3>; 2]) -> Tensor<2> {
        let positions = left[0].dims()[1];
        let flat = |tensor: &Tensor<3>| tensor.clone().flatten::<2>(0, 1);
        let pairs = |left: [Tensor<2>; 2], right: [Tensor<2>; 2]| {
            let [u, g] = left;
            let inputs = product(&u, &right[0]) * self.scale.powi(2);
            let inputs = if let Some(bias) = self.bias { inputs + bias.powi(2) } else { inputs };
            product(&g, &right[1]) * inputs
        };
        let right = right.map(flat);
        if positions == 1 {
            return pairs(left.map(flat), right);
        }
        // All pairs of positions, for some of the samples at a time.
        let (n, m) = (left[0].dims()[0], right[0].dims()[0] / positions);
        let rows = (PAIRS / (m * positions * positions).max(1)).clamp(1, n.max(1));
        let blocks = (0..n).step_by(rows).map(|start| {
            let count = rows.min(n - start);
            let part = left.map(|tensor| flat(&tensor.clone().slice(s![start..start + count, .., ..])));
            let table = pairs(part, right.clone()).reshape([count, positions, m, positions]);
            table.sum_dim(3).sum_dim(1).reshape([count, m])
        });
        Tensor::cat(blocks.collect(), 0)
    }

    fn diagonal(&self, a: usize) -> Tensor<2> {
        let norms = |rows: &Tensor<2>| rows.clone().square().sum_dim(1);
        let (weight, bias) = (self.scale.powi(2), self.bias.unwrap_or(0.0).powi(2));
        match &self.parts {
            Parts::Factors { inputs, derivatives } => {
                // The Gram matrix of every sample's positions.
                let own = |rows: &Tensor<3>| rows.clone().matmul(rows.clone().swap_dims(1, 2));
                let table = (own(inputs) * weight + bias) * own(&derivatives[a]);
                table.flatten::<2>(1, 2).sum_dim(1)
            }
            Parts::Products { weights, biases } => norms(&weights[a]) * weight + norms(&biases[a]) * bias,
        }
    }

    /// This layer's part of `Phi v`, `[n, O]`. Takes its weights' and biases' part of the direction.
    fn apply(&self, direction: &mut impl Iterator<Item = Tensor<1>>) -> Tensor<2> {
        let mut next = || direction.next().expect("one vector per parameter");
        let weight = next() * self.scale;
        let bias = self.bias.map(|bias| next() * bias);
        let columns: Vec<Tensor<2>> = match &self.parts {
            Parts::Factors { inputs, derivatives } => {
                let [n, positions, fan_in] = inputs.dims();
                let weight = match &self.conv {
                    Some(conv) => conv.to_windows_order(weight),
                    None => weight.reshape([fan_in as i64, -1]),
                };
                // What the direction adds to the pre-activations, then to the outputs.
                let mut z = inputs.clone().reshape([n * positions, fan_in]).matmul(weight);
                if let Some(bias) = bias {
                    z = z + bias.unsqueeze();
                }
                let along = |g: &Tensor<3>| (g.clone().flatten(0, 1) * z.clone()).sum_dim(1).reshape([n, positions]);
                derivatives.iter().map(|g| along(g).sum_dim(1)).collect()
            }
            Parts::Products { weights, biases } => {
                let column = |vector: Tensor<1>| vector.unsqueeze_dim::<2>(1);
                let weight = column(match &self.conv {
                    Some(conv) => conv.to_windows_order(weight).flatten(0, 1),
                    None => weight,
                });
                let bias = bias.map(column);
                let product = |(w, b): (&Tensor<2>, &Tensor<2>)| {
                    let along = w.clone().matmul(weight.clone());
                    if let Some(bias) = &bias { along + b.clone().matmul(bias.clone()) } else { along }
                };
                weights.iter().zip(biases).map(product).collect()
            }
        };
        Tensor::cat(columns, 1)
    }

    /// This layer's part of `Phi^T c`: its weights', and its biases' if it has them.
    fn adjoint(&self, coefficients: &Tensor<2>) -> Vec<Tensor<1>> {
        let coefficient = |o: usize| coefficients.clone().slice(s![.., o..o + 1]);
        // sum_o rows_o^T c_o, flat.
        let gather = |rows: &[Tensor<2>]| {
            let terms = rows.iter().enumerate().map(|(o, rows)| rows.clone().transpose().matmul(coefficient(o)));
            terms.reduce(|sum, term| sum + term).expect("a network has an output").flatten::<1>(0, 1)
        };
        let (weight, bias) = match &self.parts {
            Parts::Factors { inputs, derivatives } => {
                let weighted = derivatives.iter().enumerate().map(|(o, g)| g.clone() * coefficient(o).unsqueeze_dim(2));
                let weighted = weighted.reduce(|sum, term| sum + term).expect("a network has an output");
                let weighted = weighted.flatten::<2>(0, 1);
                let inputs = inputs.clone().flatten::<2>(0, 1);
                let bias = self.bias.map(|_| weighted.clone().sum_dim(0).flatten::<1>(0, 1));
                (inputs.transpose().matmul(weighted).flatten::<1>(0, 1), bias)
            }
            Parts::Products { weights, biases } => (gather(weights), self.bias.map(|_| gather(biases))),
        };
        let weight = match &self.conv {
            Some(conv) => conv.from_windows_order(weight),
            None => weight,
        };
        let scaled = |(vector, scale): (Tensor<1>, f64)| vector * scale;
        std::iter::once((weight, self.scale)).chain(bias.zip(self.bias)).map(scaled).collect()
    }
}

/// `a b^T`.
fn product(a: &Tensor<2>, b: &Tensor<2>) -> Tensor<2> {
    a.clone().matmul(b.clone().transpose())
}

/// Bytes that the passes of one chunk of images may take.
const CHUNK: usize = 256 << 20;

/// Vectors of a chunk at least: weights are read anew for every chunk.
const LEAST_VECTORS: usize = 64;

/// Of `n` vectors, how many go through a network together on the host.
pub(crate) fn vectors(n: usize) -> usize {
    n.div_ceil(PARTS).max(LEAST_VECTORS)
}

/// Of `n` samples, how many go through the network together. Images take much memory on the way, and little of it is
/// kept.
fn chunk(network: &Network, n: usize) -> usize {
    let layers = network.architecture().weighted_layers();
    let chunk = if layers.iter().any(|layer| layer.positions > 1) {
        CHUNK / (pass_numbers(network) * network.precision().bytes() as usize).max(1)
    } else if is_host(&network.device()) {
        vectors(n)
    } else {
        n
    };
    chunk.clamp(1, n.max(1))
}

/// Whether the host takes `n` samples through a network by layers. It copies the weights for that: little for a network
/// with convolutions; for a dense one it takes many samples.
pub(crate) fn on_host_by_layers(network: &Network, n: usize) -> bool {
    let convolutions = || network.architecture().weighted_layers().iter().any(|layer| layer.positions > 1);
    is_host(&network.device()) && (n >= 4 * LEAST_VECTORS || convolutions())
}

/// Numbers that the passes through a network hold per sample, to within small factors: every layer's input and output,
/// and its output's derivative.
fn pass_numbers(network: &Network) -> usize {
    let layers = network.architecture().weighted_layers();
    layers.iter().map(|layer| layer.sizes[0] + 3 * layer.sizes[1]).sum()
}

/// Numbers per sample that the features and the passes that compute them hold, to within small factors.
pub(crate) fn numbers_per_sample(network: &Network, plan: &[LayerPlan]) -> usize {
    pass_numbers(network) + plan.iter().map(|layer| layer.numbers).sum::<usize>()
}
