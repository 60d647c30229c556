//! The architecture: a short list of layers, read by the finite network and by the limit kernel alike.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::shape::{Shape, next_shape, walk};

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
    /// When a layer does not fit the shape that reaches it, couples samples, is too large to address, or has a scale
    /// that is not a finite number >= 0; and when the last layer is not dense. The message names the layer.
    pub fn new(input: Shape, layers: Vec<Layer>) -> Result<Self, ArchitectureError> {
        if input.size() == 0 {
            return Err(ArchitectureError::EmptyInput(input));
        }
        walk(&layers, input, "", &mut |_| ())?;
        match layers.last() {
            Some(Layer::Dense(_)) => Ok(Self { input, layers }),
            Some(other) => Err(ArchitectureError::Output(other.name().into())),
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

    /// The same architecture with every hidden layer scaled so that the narrowest one has `m` units or channels. The
    /// ratios between the layers are kept, rounded down to whole units.
    ///
    /// # Errors
    ///
    /// When a residual sum ties a hidden layer's width to the input, which does not grow: the branches agree at one
    /// width only. Also when the scaled layers are too large to address.
    pub fn with_width(&self, m: NonZeroUsize) -> Result<Self, ArchitectureError> {
        let mut layers = self.layers.clone();
        let Some(least) = self.width() else { return Ok(self.clone()) };
        each_hidden(&mut layers, &mut |units| {
            // In u128, where the product cannot overflow. It is at least m, because units >= least.
            let scaled = units.get() as u128 * m.get() as u128 / least as u128;
            *units = usize::try_from(scaled).ok().and_then(NonZeroUsize::new).unwrap_or(NonZeroUsize::MAX);
        });
        Self::new(self.input, layers)
    }

    /// Number of weights and biases of the finite network.
    pub fn parameter_count(&self) -> usize {
        let layers = self.weighted_layers();
        layers.iter().fold(0_usize, |count, layer| count.saturating_add(layer.parameters()))
    }

    /// The layers with weights, in the order of the network's parameters (a residual's branch before its shortcut).
    pub fn weighted_layers(&self) -> Vec<WeightedLayer> {
        let mut found = Vec::new();
        each_weighted(&self.layers, self.input, "", &mut found);
        found
    }

    /// Whether any layer has a bias.
    pub fn has_bias(&self) -> bool {
        self.weighted_layers().iter().any(|layer| layer.bias)
    }
}

/// A layer with weights, as what it multiplies: at each position, `fan_in` inputs become `units` outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedLayer {
    /// The layer, for instance `layer 3 branch layer 2 (conv)`.
    pub place: String,
    /// Positions that share the weights: 1 for a dense layer, `height * width` of a convolution's output.
    pub positions: usize,
    /// Inputs of one unit: all of a dense layer's, `channels * kernel^2` of a convolution.
    pub fan_in: usize,
    /// Units, or channels, of its output.
    pub units: usize,
    /// Whether it has biases.
    pub bias: bool,
    /// Numbers in the layer's input and in its output, of one sample.
    pub sizes: [usize; 2],
}

impl WeightedLayer {
    /// Number of weights and biases.
    pub fn parameters(&self) -> usize {
        self.fan_in.saturating_mul(self.units).saturating_add(if self.bias { self.units } else { 0 })
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

/// Collects the layers with weights of a list of layers that reads `shape`.
fn each_weighted(layers: &[Layer], mut shape: Shape, prefix: &str, found: &mut Vec<WeightedLayer>) {
    for (index, layer) in layers.iter().enumerate() {
        let next = layer.output(shape);
        let mut add = |units: usize, fan_in: usize, sigma_b: f64| {
            found.push(WeightedLayer {
                place: format!("{prefix}layer {} ({})", index + 1, layer.name()),
                positions: next.size() / units,
                fan_in,
                units,
                bias: sigma_b != 0.0,
                sizes: [shape.size(), next.size()],
            });
        };
        match layer {
            Layer::Dense(dense) => add(dense.units.get(), shape.size(), dense.sigma_b),
            Layer::Conv(conv) => {
                add(conv.channels.get(), shape.channels() * conv.kernel.get().pow(2), conv.sigma_b);
            }
            Layer::Residual(residual) => {
                let prefix = |side: &str| format!("{prefix}layer {} {side} ", index + 1);
                each_weighted(&residual.branch, shape, &prefix("branch"), found);
                each_weighted(&residual.shortcut, shape, &prefix("shortcut"), found);
            }
            _ => (),
        }
        shape = next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ArchitectureConfig, Block, Resnet};

    fn count(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap()
    }

    fn dense(units: usize) -> Layer {
        Layer::Dense(Dense { units: count(units), sigma_w: 1.0, sigma_b: 0.0 })
    }

    fn read(text: &str) -> Result<Architecture, toml_edit::de::Error> {
        toml_edit::de::from_str(text)
    }

    const EVERY_LAYER: &str = r#"
input = { image = [2, 8, 8] }
layers = [
  { conv = { channels = 6, kernel = 3, padding = 1, sigma_w = 1.25 } },
  { activation = { leaky_relu = { slope = 0.1 } } },
  { max_pool = { window = 2 } },
  { residual = { branch = [{ conv = { channels = 6, kernel = 1, sigma_b = 0.5 } }, { activation = "erf" }] } },
  { residual = { branch = [{ conv = { channels = 9, kernel = 3, stride = 2, padding = 1 } }], shortcut = [
    { conv = { channels = 9, kernel = 1, stride = 2 } },
  ] } },
  { average_pool = { window = 2 } },
  "flatten",
  { dense = { units = 12, sigma_b = 0.25 } },
  { dense = { units = 3 } },
]
"#;

    #[test]
    fn the_shape_is_followed_through_every_layer() {
        let architecture = read(EVERY_LAYER).unwrap();
        let expected = [
            Shape::Image([6, 8, 8]),
            Shape::Image([6, 8, 8]),
            Shape::Image([6, 4, 4]),
            Shape::Image([6, 4, 4]),
            Shape::Image([9, 2, 2]),
            Shape::Image([9, 1, 1]),
            Shape::Flat(9),
            Shape::Flat(12),
            Shape::Flat(3),
        ];
        assert_eq!(architecture.shapes(), expected);
        assert_eq!(architecture.output_size(), 3);
        assert_eq!(architecture.input(), Shape::Image([2, 8, 8]));
        assert_eq!(architecture.width(), Some(6));
        assert!(architecture.has_bias());
        // 2*6*9 + (6*6 + 6) + 6*9*9 + 6*9 + (9*12 + 12) + 12*3
        assert_eq!(architecture.parameter_count(), 108 + 42 + 486 + 54 + 120 + 36);
    }

    #[test]
    fn files_are_read_back_as_they_were_written() {
        let architecture = read(EVERY_LAYER).unwrap();
        let toml = toml_edit::ser::to_string(&architecture).unwrap();
        assert_eq!(read(&toml).unwrap(), architecture);
        let json = serde_json::to_string(&architecture).unwrap();
        assert_eq!(serde_json::from_str::<Architecture>(&json).unwrap(), architecture);
    }

    #[test]
    fn a_network_needs_an_input_and_a_dense_output() {
        let refused = |input, layers| Architecture::new(input, layers).unwrap_err().to_string();
        let empty = refused(Shape::Image([3, 0, 4]), vec![Layer::Flatten, dense(1)]);
        assert_eq!(empty, "the input shape [3, 0, 4] has an axis of length 0");
        assert!(refused(Shape::Flat(0), vec![dense(1)]).contains("[0]"));
        assert!(refused(Shape::Flat(2), Vec::new()).contains("there are no layers"));
        let last = refused(Shape::Flat(2), vec![dense(1), Layer::Activation(Activation::Relu)]);
        assert!(last.ends_with("but it is activation"), "{last}");
        let second = refused(Shape::Flat(2), vec![dense(1), Layer::Flatten, dense(1)]);
        assert!(second.starts_with("layer 2 (flatten): needs an image"), "{second}");
    }

    #[test]
    fn mistakes_in_a_file_are_refused_with_their_line() {
        let refused = |layer: &str| {
            let text = format!("input = {{ flat = 3 }}\nlayers = [\n  {{ dense = {{ units = 4 }} }},\n  {layer},\n]\n");
            read(&text).unwrap_err().to_string()
        };
        for (layer, said) in [
            ("{ dense = { units = 0 } }", "nonzero"),
            ("{ dense = { units = -1 } }", "-1"),
            ("{ dense = { units = 1, bias = true } }", "bias"),
            ("{ dense = { } }", "units"),
            ("{ dnse = { units = 1 } }", "dnse"),
            ("{ activation = 'swish' }", "swish"),
            ("{ activation = { leaky_relu = { slope = 0.1, a = 1 } } }", "keys in table: a,"),
            ("{ average_pool = { window = 0 } }", "nonzero"),
        ] {
            let error = refused(layer);
            assert!(error.contains("line 4") && error.contains(said), "{layer}: {error}");
        }
        let error = read("input = { flat = 3 }\nlayers = []\nwidth = 3\n").unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("width"), "{error}");
        let error = read("input = { flat = 3 }\nlayers = ['batch_norm']\n").unwrap_err().to_string();
        assert!(error.contains("layer 1 (batch_norm): couples the samples"), "{error}");
    }

    #[test]
    fn widths_scale_together() {
        let architecture = Architecture::new(Shape::Flat(5), vec![dense(4), dense(10), dense(6), dense(2)]).unwrap();
        assert_eq!(architecture.width(), Some(4));
        let units =
            |architecture: &Architecture| -> Vec<usize> { architecture.shapes().iter().map(Shape::size).collect() };
        assert_eq!(units(&architecture.with_width(count(8)).unwrap()), [8, 20, 12, 2]);
        assert_eq!(units(&architecture.with_width(count(2)).unwrap()), [2, 5, 3, 2]);
        // 10 / 4 and 6 / 4, rounded down.
        assert_eq!(units(&architecture.with_width(count(1)).unwrap()), [1, 2, 1, 2]);
        assert_eq!(architecture.with_width(count(4)).unwrap(), architecture);
        let wide = architecture.with_width(count(1 << 20)).unwrap();
        assert_eq!(wide.width(), Some(1 << 20));
    }

    #[test]
    fn a_linear_model_has_no_width() {
        let linear = Architecture::new(Shape::Flat(5), vec![dense(2)]).unwrap();
        assert_eq!(linear.width(), None);
        assert_eq!(linear.with_width(count(7)).unwrap(), linear);
        assert!(!linear.has_bias());
    }

    #[test]
    fn a_residual_network_keeps_its_sums_at_every_width() {
        let config = ArchitectureConfig::Resnet(Resnet {
            stem: count(4),
            blocks: vec![
                Block { channels: count(4), stride: count(1) },
                Block { channels: count(6), stride: count(2) },
                Block { channels: count(6), stride: count(1) },
            ],
            head: Default::default(),
            activation: Activation::Relu,
            outputs: count(3),
            sigma_w: 1.0,
            sigma_b: 0.0,
        });
        let architecture = config.build(Shape::Image([1, 9, 7])).unwrap();
        assert_eq!(architecture.width(), Some(4));
        for m in [1, 3, 4, 7, 32] {
            let scaled = architecture.with_width(count(m)).unwrap();
            assert_eq!(scaled.width(), Some(m));
            assert_eq!(scaled.output_size(), 3);
            assert_eq!(scaled.shapes()[2], Shape::Image([6 * m / 4, 5, 4]));
        }
    }

    #[test]
    fn a_width_tied_to_the_input_does_not_scale() {
        let residual = Layer::Residual(Residual { branch: vec![dense(3)], shortcut: Vec::new() });
        let tied = Architecture::new(Shape::Flat(3), vec![residual, dense(1)]).unwrap();
        let error = tied.with_width(count(6)).unwrap_err().to_string();
        assert!(error.starts_with("layer 1 (residual): the branch gives [6] but the shortcut [3]"), "{error}");
    }
}
