//! The architecture: a short list of layers, read by the finite network and by the limit kernel alike.

use std::fmt;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::activation::Activation;

/// One layer of an [`Architecture`].
///
/// Layers with weights are in NTK parameterisation: every weight is drawn from N(0, 1) and the layer computes
/// `z = sigma_w / sqrt(fan_in) * a W + sigma_b * b`. No layer couples the samples of a batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Layer {
    /// A fully connected layer, `fan_in` = number of inputs.
    Dense(Dense),
    /// A two-dimensional convolution with zero padding, `fan_in = channels_in * kernel^2`.
    Conv(Conv),
    /// An entrywise nonlinearity.
    Activation(Activation),
    /// The mean over square windows, without padding.
    AveragePool(Pool),
    /// The maximum over square windows, without padding. It has no infinite-width kernel in closed form.
    MaxPool(Pool),
    /// The mean over all positions: an image `[c, h, w]` becomes a vector `[c]`.
    GlobalAveragePool,
    /// An image `[c, h, w]` becomes a vector `[c h w]`.
    Flatten,
    /// `branch(x) + shortcut(x)`; an empty shortcut is the identity.
    Residual(Residual),
    /// Known so that it can be refused: it makes a sample's output depend on the rest of its batch, and a tangent
    /// kernel needs one derivative per sample.
    BatchNorm,
}

impl Layer {
    /// The name used in configurations and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Layer::Dense(_) => "dense",
            Layer::Conv(_) => "conv",
            Layer::Activation(_) => "activation",
            Layer::AveragePool(_) => "average_pool",
            Layer::MaxPool(_) => "max_pool",
            Layer::GlobalAveragePool => "global_average_pool",
            Layer::Flatten => "flatten",
            Layer::Residual(_) => "residual",
            Layer::BatchNorm => "batch_norm",
        }
    }

    /// The shape after this layer, for a layer of a checked architecture.
    pub(crate) fn output(&self, input: Shape) -> Shape {
        next_shape(self, input, "").expect("checked by Architecture::new")
    }
}

fn one() -> f64 {
    1.0
}

fn one_count() -> NonZeroUsize {
    NonZeroUsize::MIN
}

/// A fully connected layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Number of outputs.
    pub units: NonZeroUsize,
    /// Scale of the weights; 1 by default.
    #[serde(default = "one")]
    pub sigma_w: f64,
    /// Scale of the biases; 0, the default, means that there are none.
    #[serde(default)]
    pub sigma_b: f64,
}

/// A two-dimensional convolution with a square kernel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv {
    /// Number of output channels.
    pub channels: NonZeroUsize,
    /// Side of the kernel.
    pub kernel: NonZeroUsize,
    /// Step between windows, the same in both directions; 1 by default.
    #[serde(default = "one_count")]
    pub stride: NonZeroUsize,
    /// Rows and columns of zeros added on every side; 0 by default.
    #[serde(default)]
    pub padding: usize,
    /// Scale of the weights; 1 by default.
    #[serde(default = "one")]
    pub sigma_w: f64,
    /// Scale of the biases; 0, the default, means that there are none.
    #[serde(default)]
    pub sigma_b: f64,
}

/// Square windows of a pooling layer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Side of the window; also the step between windows.
    pub window: NonZeroUsize,
}

/// The two branches of a residual sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// The branch with the block's layers.
    pub branch: Vec<Layer>,
    /// The other branch; empty, the default, means the identity.
    #[serde(default)]
    pub shortcut: Vec<Layer>,
}

/// The shape of one sample between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A vector with so many entries.
    Flat(usize),
    /// An image `[channels, height, width]`.
    Image([usize; 3]),
}

impl Shape {
    /// Number of entries.
    pub fn size(&self) -> usize {
        match *self {
            Shape::Flat(d) => d,
            Shape::Image([c, h, w]) => c * h * w,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Flat(d) => write!(f, "[{d}]"),
            Shape::Image([c, h, w]) => write!(f, "[{c}, {h}, {w}]"),
        }
    }
}

/// Why a list of layers is not an architecture. The message names the layer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ArchitectureError {
    /// The input has an axis of length zero.
    #[error("the input shape {0} has an axis of length 0")]
    EmptyInput(Shape),
    /// A layer does not fit the shape that reaches it, or has a parameter out of range.
    #[error("{place}: {problem}")]
    Layer {
        /// Where the layer is, for instance `layer 3 (conv)`, counted from 1.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The last layer is not a dense layer.
    #[error("the last layer must be dense (the networks here have a linear output layer), but it is {0}")]
    Output(String),
}

/// A network architecture: the shape of one input sample and the layers that read it.
///
/// A value of this type has been checked: every layer fits the shape that reaches it, and the last one is dense.
/// It is the single description from which both the finite network and its infinite-width kernel are built.
///
/// ```
/// use widenet_model::{Architecture, Shape};
///
/// let text = r#"
/// input = { image = [1, 8, 8] }
/// layers = [
///   { conv = { channels = 4, kernel = 3, padding = 1 } },
///   { activation = "relu" },
///   "global_average_pool",
///   { dense = { units = 1 } },
/// ]
/// "#;
/// let architecture: Architecture = toml_edit::de::from_str(text)?;
/// assert_eq!(architecture.output_size(), 1);
/// assert_eq!(architecture.shapes()[0], Shape::Image([4, 8, 8]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Architecture {
    input: Shape,
    layers: Vec<Layer>,
}

/// What a file holds before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    input: Shape,
    layers: Vec<Layer>,
}

impl TryFrom<Unchecked> for Architecture {
    type Error = ArchitectureError;

    fn try_from(value: Unchecked) -> Result<Self, Self::Error> {
        Architecture::new(value.input, value.layers)
    }
}

impl Architecture {
    /// Checks the layers against the shape of the input, `[channels, height, width]` or `[d]`.
    ///
    /// # Errors
    ///
    /// When a layer does not fit the shape that reaches it, couples samples, or has a scale that is not a finite
    /// number >= 0; and when the last layer is not dense. The message names the layer.
    pub fn new(input: Shape, layers: Vec<Layer>) -> Result<Self, ArchitectureError> {
        if input.size() == 0 {
            return Err(ArchitectureError::EmptyInput(input));
        }
        walk(&layers, input, "", &mut |_| ())?;
        match layers.last() {
            Some(Layer::Dense(_)) => Ok(Self { input, layers }),
            Some(other) => Err(ArchitectureError::Output(format!("{}", other.name()))),
            None => Err(ArchitectureError::Output("missing: there are no layers".into())),
        }
    }

    /// The shape of one input sample.
    pub fn input(&self) -> Shape {
        self.input
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Number of outputs `O`.
    pub fn output_size(&self) -> usize {
        match self.layers.last() {
            Some(Layer::Dense(dense)) => dense.units.get(),
            _ => unreachable!("checked by Architecture::new"),
        }
    }

    /// The shape after each layer of the outer list.
    pub fn shapes(&self) -> Vec<Shape> {
        let mut shapes = Vec::new();
        walk(&self.layers, self.input, "", &mut |shape| shapes.push(shape)).expect("checked by Architecture::new");
        shapes
    }

    /// The width `m` of the finite network: the least number of units or channels over the hidden layers, as in the
    /// paper (`m = min_l m_l`). `None` for a linear model, which has no hidden layer.
    pub fn width(&self) -> Option<usize> {
        let mut layers = self.layers.clone();
        let mut least = None;
        each_hidden(&mut layers, &mut |units| {
            least = Some(least.map_or(units.get(), |m: usize| m.min(units.get())));
        });
        least
    }

    /// The same architecture with every hidden layer scaled so that the narrowest one has `m` units or channels.
    pub fn with_width(&self, m: NonZeroUsize) -> Self {
        let mut scaled = self.clone();
        let Some(least) = self.width() else { return scaled };
        each_hidden(&mut scaled.layers, &mut |units| {
            *units = NonZeroUsize::new(units.get() * m.get() / least).unwrap_or(m);
        });
        scaled
    }

    /// Whether any layer has a bias.
    pub fn has_bias(&self) -> bool {
        fn any(layers: &[Layer]) -> bool {
            layers.iter().any(|layer| match layer {
                Layer::Dense(dense) => dense.sigma_b != 0.0,
                Layer::Conv(conv) => conv.sigma_b != 0.0,
                Layer::Residual(residual) => any(&residual.branch) || any(&residual.shortcut),
                _ => false,
            })
        }
        any(&self.layers)
    }
}

/// Calls `visit` with the width of every layer with weights but the output layer.
fn each_hidden(layers: &mut [Layer], visit: &mut dyn FnMut(&mut NonZeroUsize)) {
    fn each(layers: &mut [Layer], visit: &mut dyn FnMut(&mut NonZeroUsize)) {
        for layer in layers {
            match layer {
                Layer::Dense(dense) => visit(&mut dense.units),
                Layer::Conv(conv) => visit(&mut conv.channels),
                Layer::Residual(residual) => {
                    each(&mut residual.branch, visit);
                    each(&mut residual.shortcut, visit);
                }
                _ => (),
            }
        }
    }
    if let Some((_, hidden)) = layers.split_last_mut() {
        each(hidden, visit);
    }
}

/// Follows a shape through the layers, reporting it after each one.
fn walk(
    layers: &[Layer],
    input: Shape,
    prefix: &str,
    report: &mut dyn FnMut(Shape),
) -> Result<Shape, ArchitectureError> {
    let mut shape = input;
    for (index, layer) in layers.iter().enumerate() {
        let place = format!("{prefix}layer {} ({})", index + 1, layer.name());
        shape = next_shape(layer, shape, &place)?;
        report(shape);
    }
    Ok(shape)
}

/// The shape after one layer.
fn next_shape(layer: &Layer, shape: Shape, place: &str) -> Result<Shape, ArchitectureError> {
    let refuse = |problem: String| Err(ArchitectureError::Layer { place: place.into(), problem });
    let scales = |sigma_w: f64, sigma_b: f64| {
        if sigma_w.is_finite() && sigma_w >= 0.0 && sigma_b.is_finite() && sigma_b >= 0.0 {
            return Ok(());
        }
        let problem = format!("sigma_w = {sigma_w}, sigma_b = {sigma_b}: both must be finite and not negative");
        Err(ArchitectureError::Layer { place: place.into(), problem })
    };
    match (layer, shape) {
        (Layer::Activation(_), shape) => Ok(shape),
        (Layer::Dense(dense), Shape::Flat(_)) => {
            scales(dense.sigma_w, dense.sigma_b)?;
            Ok(Shape::Flat(dense.units.get()))
        }
        (Layer::Dense(_), Shape::Image(_)) => {
            refuse(format!("needs a vector but gets an image {shape}; put flatten or global_average_pool before it"))
        }
        (Layer::Conv(conv), Shape::Image([_, h, w])) => {
            scales(conv.sigma_w, conv.sigma_b)?;
            let (kernel, stride) = (conv.kernel.get(), conv.stride.get());
            let side = |length: usize| (length + 2 * conv.padding).checked_sub(kernel).map(|rest| rest / stride + 1);
            match (side(h), side(w)) {
                (Some(h), Some(w)) => Ok(Shape::Image([conv.channels.get(), h, w])),
                _ => refuse(format!(
                    "a kernel of side {kernel} does not fit an image {shape} with padding {}",
                    conv.padding
                )),
            }
        }
        (Layer::AveragePool(pool) | Layer::MaxPool(pool), Shape::Image([c, h, w])) => {
            let window = pool.window.get();
            if h % window != 0 || w % window != 0 {
                return refuse(format!("windows of side {window} do not tile an image {shape}"));
            }
            Ok(Shape::Image([c, h / window, w / window]))
        }
        (Layer::GlobalAveragePool, Shape::Image([c, _, _])) => Ok(Shape::Flat(c)),
        (Layer::Flatten, Shape::Image(_)) => Ok(Shape::Flat(shape.size())),
        (Layer::Residual(residual), shape) => {
            let branch = walk(&residual.branch, shape, &format!("{place}, branch, "), &mut |_| ())?;
            let shortcut = walk(&residual.shortcut, shape, &format!("{place}, shortcut, "), &mut |_| ())?;
            if branch != shortcut {
                return refuse(format!("the branch gives {branch} but the shortcut {shortcut}; they must agree"));
            }
            Ok(branch)
        }
        (Layer::BatchNorm, _) => refuse(
            "couples the samples of a batch, so that no sample has a derivative of its own; leave it out".into(),
        ),
        (Layer::Conv(_) | Layer::AveragePool(_) | Layer::MaxPool(_), Shape::Flat(_))
        | (Layer::GlobalAveragePool | Layer::Flatten, Shape::Flat(_)) => {
            refuse(format!("needs an image [channels, height, width] but gets a vector {shape}"))
        }
    }
}
