//! The finite network built from an architecture.

use std::sync::Arc;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Device, Gradients, Tensor};

use crate::architecture::{Architecture, Layer};
use crate::initialise::Initialise;
use crate::layers::{ConvNode, DenseNode, FixedNode, Node, Operation, ResidualNode, Signal, forward};
use crate::precision::Precision;
use crate::shape::Shape;
use crate::trace::Trace;
use crate::transfer;

/// A finite network in NTK parameterisation: a Burn module that remembers where it started.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use widenet_model::{ArchitectureConfig, Network, Precision, Shape};
///
/// let config: ArchitectureConfig = toml_edit::de::from_str("mlp = { hidden = [64] }")?;
/// let network = Network::init(&config.build(Shape::Flat(3))?, 7, Precision::F32, &Device::flex());
/// let x = Tensor::<2>::from_floats([[1.0, 0.0, -1.0], [0.5, 0.5, 0.5]], &Device::flex());
/// assert_eq!(network.forward(x.clone()).dims(), [2, 1]);
/// // A network that has not been trained is where it started.
/// assert_eq!(network.centred(x).abs().max().into_scalar::<f32>(), 0.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct Network {
    nodes: Vec<Node>,
    #[module(skip)]
    start: Start,
}

/// What a network was made from. Shared, never trained.
#[derive(Clone, Debug)]
struct Start {
    architecture: Architecture,
    seed: u64,
    precision: Precision,
    /// The nodes at initialisation, without autodiff.
    nodes: Arc<Vec<Node>>,
}

impl Network {
    /// Draws a network with weights from N(0, 1). One seed means the same weights on every backend.
    ///
    /// On a device with autodiff the weights require gradients.
    ///
    /// # Panics
    ///
    /// When the device cannot hold tensors of this precision, or has no room for the weights.
    pub fn init(architecture: &Architecture, seed: u64, precision: Precision, device: &Device) -> Self {
        let mut draw = Initialise::new(seed, precision, device.clone().inner());
        let nodes = build(architecture.layers(), architecture.input(), &mut draw);
        let start = Start { architecture: architecture.clone(), seed, precision, nodes: Arc::new(nodes.clone()) };
        let network = Self { nodes, start };
        if device.is_autodiff() { network.train() } else { network }
    }

    /// `f(w, x)`. Input: `[n, d]`, samples as rows (an image is `[channels, height, width]` in row-major order);
    /// output: `[n, outputs]`.
    ///
    /// # Panics
    ///
    /// When the samples have another size, precision or device than the network.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        run(&self.nodes, self.start.architecture.input(), x)
    }

    /// [`Network::forward`] outside autodiff, remembering what derivatives need.
    ///
    /// # Panics
    ///
    /// As for [`Network::forward`].
    pub fn trace(&self, x: Tensor<2>) -> Trace {
        let nodes = if self.device().is_autodiff() { self.valid().nodes } else { self.nodes.clone() };
        Trace::new(&nodes, self.start.architecture.input(), x.inner())
    }

    /// `f(w_0, x)`, the output at initialisation, outside autodiff. Shapes as for [`Network::forward`].
    pub fn forward_initial(&self, x: Tensor<2>) -> Tensor<2> {
        run(&self.start.nodes, self.start.architecture.input(), x.inner())
    }

    /// `f(w, x) - f(w_0, x)`, which is what is trained and compared: it is zero at initialisation, like the kernel
    /// machine. Shapes as for [`Network::forward`].
    pub fn centred(&self, x: Tensor<2>) -> Tensor<2> {
        let initial = self.forward_initial(x.clone());
        let output = self.forward(x);
        if output.is_autodiff() { output - initial.autodiff() } else { output - initial }
    }

    /// The network as it was at initialisation, outside autodiff.
    pub fn initial(&self) -> Self {
        Self { nodes: self.start.nodes.to_vec(), start: self.start.clone() }
    }

    /// The layers' modules.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The architecture it was built from.
    pub fn architecture(&self) -> &Architecture {
        &self.start.architecture
    }

    /// The seed its weights were drawn from.
    pub fn seed(&self) -> u64 {
        self.start.seed
    }

    /// The number format of its weights.
    pub fn precision(&self) -> Precision {
        self.start.precision
    }

    /// The device its weights are on.
    pub fn device(&self) -> Device {
        self.devices().into_iter().next().expect("the output layer has weights")
    }

    /// Samples as a tensor in the network's precision, on its device.
    pub fn samples(&self, x: ndarray::ArrayView2<f64>) -> Tensor<2> {
        transfer::to_tensor(x, self.start.precision, &self.device())
    }

    /// Every parameter as a flat vector, in the order of the layers (weights before biases, a residual's branch before
    /// its shortcut). On a device with autodiff the vectors are part of the graph.
    pub fn parameters(&self) -> Vec<Tensor<1>> {
        let mut collect = Collect(Vec::new());
        self.visit(&mut collect);
        collect.0
    }

    /// The gradient of a loss with respect to every parameter, in the order of [`Network::parameters`], outside
    /// autodiff. A parameter that the loss does not reach has gradient zero.
    pub fn gradients(&self, gradients: &Gradients) -> Vec<Tensor<1>> {
        let mut collect = CollectGradients { gradients, flat: Vec::new() };
        self.visit(&mut collect);
        collect.flat
    }

    /// Replaces every parameter: `update(index, value)` gets the parameters in the order of
    /// [`Network::parameters`], as flat vectors outside autodiff, and returns the new values, of the same lengths and
    /// also outside autodiff. Parameters that required gradients require them again. The start stays as it is.
    ///
    /// # Panics
    ///
    /// When a new value has another length.
    pub fn map_parameters(self, update: &mut dyn FnMut(usize, Tensor<1>) -> Tensor<1>) -> Self {
        self.map(&mut Update { index: 0, update })
    }
}

struct Collect(Vec<Tensor<1>>);

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let size = value.shape().num_elements();
        self.0.push(value.reshape([size]));
    }
}

struct CollectGradients<'a> {
    gradients: &'a Gradients,
    flat: Vec<Tensor<1>>,
}

impl ModuleVisitor for CollectGradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let size = value.shape().num_elements();
        let gradient = value.grad(self.gradients).map(|gradient| gradient.inner());
        let gradient = gradient.unwrap_or_else(|| value.inner().zeros_like());
        self.flat.push(gradient.reshape([size]));
    }
}

struct Update<'a> {
    index: usize,
    update: &'a mut dyn FnMut(usize, Tensor<1>) -> Tensor<1>,
}

impl ModuleMapper for Update<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, value, mapper) = param.consume();
        let shape = value.shape();
        let (tracked, required) = (value.is_autodiff(), value.is_require_grad());
        let size = shape.num_elements();
        let value = (self.update)(self.index, value.inner().reshape([size])).reshape(shape);
        self.index += 1;
        let value = if tracked { value.autodiff().set_require_grad(required) } else { value };
        Param::from_mapped_value(id, value, mapper)
    }
}

fn run(nodes: &[Node], input: Shape, x: Tensor<2>) -> Tensor<2> {
    let signal = match input {
        Shape::Flat(_) => Signal::Flat(x),
        Shape::Image([c, h, w]) => {
            let n = x.dims()[0];
            Signal::Image(x.reshape([n, c, h, w]))
        }
    };
    match forward(nodes, signal) {
        Signal::Flat(output) => output,
        Signal::Image(_) => unreachable!("the last layer is dense: checked by Architecture::new"),
    }
}

/// Builds the nodes of a list of layers.
fn build(layers: &[Layer], mut shape: Shape, draw: &mut Initialise) -> Vec<Node> {
    let mut nodes = Vec::with_capacity(layers.len());
    for layer in layers {
        nodes.push(node(layer, shape, draw));
        shape = layer.output(shape);
    }
    nodes
}

fn node(layer: &Layer, shape: Shape, draw: &mut Initialise) -> Node {
    let fixed = |operation| Node::Fixed(FixedNode { operation });
    match (layer, shape) {
        (Layer::Dense(dense), _) => {
            let (fan_in, units) = (shape.size(), dense.units.get());
            Node::Dense(DenseNode {
                weight: draw.parameter([fan_in, units]),
                bias: (dense.sigma_b != 0.0).then(|| draw.parameter([units])),
                w_scale: dense.sigma_w / (fan_in as f64).sqrt(),
                b_scale: dense.sigma_b,
            })
        }
        (Layer::Conv(conv), Shape::Image([channels_in, _, _])) => {
            let (channels, kernel) = (conv.channels.get(), conv.kernel.get());
            let fan_in = channels_in * kernel * kernel;
            Node::Conv(ConvNode {
                weight: draw.parameter([channels, channels_in, kernel, kernel]),
                bias: (conv.sigma_b != 0.0).then(|| draw.parameter([channels])),
                w_scale: conv.sigma_w / (fan_in as f64).sqrt(),
                b_scale: conv.sigma_b,
                stride: conv.stride.get(),
                padding: conv.padding,
            })
        }
        (Layer::Residual(residual), shape) => Node::Residual(ResidualNode {
            branch: build(&residual.branch, shape, draw),
            shortcut: build(&residual.shortcut, shape, draw),
        }),
        (Layer::Activation(activation), _) => fixed(Operation::Activation(*activation)),
        (Layer::AveragePool(pool), _) => fixed(Operation::AveragePool(pool.window.get())),
        (Layer::MaxPool(pool), _) => fixed(Operation::MaxPool(pool.window.get())),
        (Layer::GlobalAveragePool, _) => fixed(Operation::GlobalAveragePool),
        (Layer::Flatten, _) => fixed(Operation::Flatten),
        (Layer::Conv(_), Shape::Flat(_)) | (Layer::BatchNorm, _) => {
            unreachable!("refused by Architecture::new")
        }
    }
}
