//! A forward pass that remembers what derivatives need.

use burn::tensor::Tensor;

use crate::activation::Activation;
use crate::convolution::Windows;
use crate::layers::{ConvNode, DenseNode, FixedNode, Node, Operation, Signal};
use crate::shape::Shape;

/// A forward pass of a batch, outside autodiff, from which derivatives of the outputs are pulled back layer by layer.
///
/// One pass serves any number of outputs. What layers with weights do to a derivative is written out, so that no
/// derivative of a weight or of the network's input is computed that nobody asked for; pooling and activations are left
/// to autodiff, one by one.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use widenet_model::{ArchitectureConfig, LayerDerivative, Network, Precision, Shape};
///
/// let config: ArchitectureConfig = toml_edit::de::from_str("mlp = { hidden = [64] }")?;
/// let network = Network::init(&config.build(Shape::Flat(3))?, 7, Precision::F32, &Device::flex());
/// let x = Tensor::<2>::from_floats([[1.0, 0.0, -1.0], [0.5, 0.5, 0.5]], &Device::flex());
/// let trace = network.trace(x);
/// // The derivative of the outputs' sum: what every layer read, and the derivative at its pre-activations.
/// let layers = trace.pull_back(trace.output().ones_like());
/// let LayerDerivative::Dense { input, derivative, .. } = &layers[0] else { unreachable!() };
/// assert_eq!((input.dims(), derivative.dims()), ([2, 3], [2, 64]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Trace {
    steps: Vec<Step>,
    output: Tensor<2>,
}

/// What one layer read. Images are `[n, height, width, channels]`.
#[allow(clippy::large_enum_variant)] // one per layer
#[derive(Debug)]
enum Step {
    Dense(DenseNode, Tensor<2>),
    Conv(ConvNode, Windows),
    Residual(Vec<Step>, Vec<Step>),
    Fixed(Operation, Signal),
}

/// A layer with weights after a pass forth and back: what it read, and the derivative of the output with respect to its
/// pre-activations, for every sample. Their product is the derivative with respect to the weights.
#[allow(clippy::large_enum_variant)] // one per layer
#[derive(Clone, Debug)]
pub enum LayerDerivative {
    /// A dense layer.
    Dense {
        /// The layer.
        node: DenseNode,
        /// Its input, `[n, fan_in]`, without the scale.
        input: Tensor<2>,
        /// `d f / d z`, `[n, units]`.
        derivative: Tensor<2>,
    },
    /// A convolution.
    Conv {
        /// The layer.
        node: ConvNode,
        /// The windows it reads, without the scale.
        input: Windows,
        /// `d f / d z`, `[n, height, width, channels_out]`.
        derivative: Tensor<4>,
    },
}

impl LayerDerivative {
    /// The derivative with respect to the layer's parameters, summed over the samples: flat vectors in the order of
    /// [`Network::parameters`](crate::Network::parameters), the weights' and, if the layer has biases, theirs.
    pub fn gradient(&self) -> Vec<Tensor<1>> {
        match self {
            Self::Dense { node, input, derivative } => {
                let weight = (input.clone() * node.w_scale).transpose().matmul(derivative.clone()).flatten(0, 1);
                let bias = node.bias.as_ref().map(|_| derivative.clone().sum_dim(0).flatten(0, 1) * node.b_scale);
                std::iter::once(weight).chain(bias).collect()
            }
            Self::Conv { node, input, derivative } => {
                let rows = input.weight_derivatives(derivative.clone()).sum_dim(0).flatten(0, 1);
                let weight = node.from_windows_order(rows) * node.w_scale;
                let channels = derivative.dims()[3];
                let bias = || derivative.clone().reshape([-1, channels as i32]).sum_dim(0).flatten(0, 1) * node.b_scale;
                std::iter::once(weight).chain(node.bias.as_ref().map(|_| bias())).collect()
            }
        }
    }
}

impl Trace {
    /// Runs nodes on samples `[n, d]`.
    pub(crate) fn new(nodes: &[Node], input: Shape, x: Tensor<2>) -> Self {
        let signal = match input {
            Shape::Flat(_) => Signal::Flat(x),
            Shape::Image([c, h, w]) => {
                let n = x.dims()[0];
                Signal::Image(x.reshape([n, c, h, w]).permute([0, 2, 3, 1]))
            }
        };
        let (steps, output) = forward(nodes, signal);
        match output {
            Signal::Flat(output) => Self { steps, output },
            Signal::Image(_) => unreachable!("the last layer is dense: checked by Architecture::new"),
        }
    }

    /// `f(w, x)`, `[n, outputs]`.
    pub fn output(&self) -> &Tensor<2> {
        &self.output
    }

    /// The derivatives of `sum_{i,o} c_io f_o(x_i)` for `c: [n, outputs]`, layer by layer in the order of
    /// [`Network::parameters`](crate::Network::parameters). Every sample's output depends on that sample alone, so row
    /// `i` is the derivative of `sum_o c_io f_o(x_i)`.
    pub fn pull_back(&self, c: Tensor<2>) -> Vec<LayerDerivative> {
        let mut layers = Vec::new();
        pull_back(&self.steps, Signal::Flat(c), false, &mut layers);
        layers.reverse();
        layers
    }
}

fn forward(nodes: &[Node], mut signal: Signal) -> (Vec<Step>, Signal) {
    let mut steps = Vec::with_capacity(nodes.len());
    for node in nodes {
        let (step, next) = match (node, signal) {
            (Node::Dense(node), Signal::Flat(input)) => {
                let z = node.forward(input.clone());
                (Step::Dense(node.clone(), input), Signal::Flat(z))
            }
            (Node::Conv(node), Signal::Image(image)) => {
                let windows = node.windows(image);
                let z = node.forward_windows(&windows);
                (Step::Conv(node.clone(), windows), Signal::Image(z))
            }
            (Node::Residual(node), signal) => {
                let (branch, a) = forward(&node.branch, signal.clone());
                let (shortcut, b) = forward(&node.shortcut, signal);
                (Step::Residual(branch, shortcut), add(a, b))
            }
            (Node::Fixed(node), signal) => {
                let next = fixed(node.operation, signal.clone());
                (Step::Fixed(node.operation, signal), next)
            }
            (Node::Dense(_), Signal::Image(_)) | (Node::Conv(_), Signal::Flat(_)) => {
                unreachable!("a layer on the wrong kind of signal: Architecture::new refuses it")
            }
        };
        steps.push(step);
        signal = next;
    }
    (steps, signal)
}

/// Pulls `g` back through steps and adds layers with weights, last first. The derivative at the steps' input is
/// computed when it is `wanted`.
fn pull_back(steps: &[Step], mut g: Signal, wanted: bool, layers: &mut Vec<LayerDerivative>) -> Option<Signal> {
    let first = steps.iter().position(Step::has_weights).unwrap_or(steps.len());
    for (index, step) in steps.iter().enumerate().rev() {
        // Before the first weights nobody looks at derivatives, unless the caller does.
        let wanted = wanted || index > first;
        if !wanted && index < first {
            return None;
        }
        let next = match (step, g) {
            (Step::Dense(node, input), Signal::Flat(derivative)) => {
                layers.push(LayerDerivative::Dense {
                    node: node.clone(),
                    input: input.clone(),
                    derivative: derivative.clone(),
                });
                wanted.then(|| Signal::Flat((derivative * node.w_scale).matmul(node.weight.val().inner().transpose())))
            }
            (Step::Conv(node, input), Signal::Image(derivative)) => {
                layers.push(LayerDerivative::Conv {
                    node: node.clone(),
                    input: input.clone(),
                    derivative: derivative.clone(),
                });
                wanted.then(|| Signal::Image(node.pull_back(input, derivative)))
            }
            (Step::Residual(branch, shortcut), g) => {
                // The shortcut's parameters come after the branch's, so its layers are added first.
                let b = pull_back(shortcut, g.clone(), wanted, layers);
                let a = pull_back(branch, g, wanted, layers);
                a.zip(b).map(|(a, b)| add(a, b))
            }
            (Step::Fixed(operation, input), g) => wanted.then(|| fixed_pull_back(*operation, input.clone(), g)),
            _ => unreachable!("derivatives have the shape of what was computed"),
        };
        g = next?;
    }
    Some(g)
}

impl Step {
    fn has_weights(&self) -> bool {
        match self {
            Step::Dense(..) | Step::Conv(..) => true,
            Step::Residual(branch, shortcut) => branch.iter().chain(shortcut).any(Step::has_weights),
            Step::Fixed(..) => false,
        }
    }
}

fn add(a: Signal, b: Signal) -> Signal {
    match (a, b) {
        (Signal::Flat(a), Signal::Flat(b)) => Signal::Flat(a + b),
        (Signal::Image(a), Signal::Image(b)) => Signal::Image(a + b),
        _ => unreachable!("branches of different shapes: Architecture::new refuses them"),
    }
}

/// A layer without weights on images `[n, height, width, channels]` or vectors.
fn fixed(operation: Operation, signal: Signal) -> Signal {
    let node = FixedNode { operation };
    match (operation, signal) {
        // Entry by entry, whatever the order of the axes.
        (Operation::Activation(_), signal) | (_, signal @ Signal::Flat(_)) => node.forward(signal),
        (_, Signal::Image(image)) => match node.forward(Signal::Image(image.permute([0, 3, 1, 2]))) {
            Signal::Image(image) => Signal::Image(image.permute([0, 2, 3, 1])),
            flat => flat,
        },
    }
}

/// The derivative at a fixed layer's input from that at its output.
fn fixed_pull_back(operation: Operation, input: Signal, g: Signal) -> Signal {
    if let Operation::Activation(activation) = operation {
        return match (input, g) {
            (Signal::Flat(z), Signal::Flat(g)) => Signal::Flat(activation_pull_back(activation, z, g)),
            (Signal::Image(z), Signal::Image(g)) => Signal::Image(activation_pull_back(activation, z, g)),
            _ => unreachable!("an activation keeps the shape"),
        };
    }
    let Signal::Image(image) = input else { unreachable!("only images are pooled or flattened") };
    let leaf = image.autodiff().require_grad();
    let gradients = match (fixed(operation, Signal::Image(leaf.clone())), g) {
        (Signal::Flat(y), Signal::Flat(g)) => (y * g.autodiff()).sum().backward(),
        (Signal::Image(y), Signal::Image(g)) => (y * g.autodiff()).sum().backward(),
        _ => unreachable!("derivatives have the shape of what was computed"),
    };
    Signal::Image(leaf.grad(&gradients).expect("the leaf reaches the sum").inner())
}

fn activation_pull_back<const D: usize>(activation: Activation, z: Tensor<D>, g: Tensor<D>) -> Tensor<D> {
    match activation {
        Activation::Identity => g,
        // Without a tape: this is most of what networks spend on activations.
        Activation::Relu => z.sign().clamp_min(0.0) * g,
        _ => {
            let leaf = z.autodiff().require_grad();
            let gradients = (activation.forward(leaf.clone()) * g.autodiff()).sum().backward();
            leaf.grad(&gradients).expect("the leaf reaches the sum").inner()
        }
    }
}
