//! The three families of networks most people want, each a few numbers that expand to an [`Architecture`].

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::architecture::{Architecture, ArchitectureError, Conv, Dense, Layer, Residual};
use crate::shape::Shape;

/// How a configuration names an architecture: a family with its numbers, or the list of layers itself.
///
/// The input shape is not part of it: it comes from the data.
///
/// ```
/// use widenet_model::{ArchitectureConfig, Shape};
///
/// let config: ArchitectureConfig = toml_edit::de::from_str("mlp = { hidden = [1024] }")?;
/// let architecture = config.build(Shape::Image([1, 28, 28]))?;
/// assert_eq!(architecture.width(), Some(1024));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ArchitectureConfig {
    /// A fully connected network.
    Mlp(Mlp),
    /// A convolutional network.
    Cnn(Cnn),
    /// A residual convolutional network.
    Resnet(Resnet),
    /// Any list of layers.
    Layers(Vec<Layer>),
}

impl ArchitectureConfig {
    /// The architecture for samples of the given shape.
    ///
    /// # Errors
    ///
    /// When the layers do not fit; the message names the layer.
    pub fn build(&self, input: Shape) -> Result<Architecture, ArchitectureError> {
        match self {
            ArchitectureConfig::Mlp(mlp) => mlp.build(input),
            ArchitectureConfig::Cnn(cnn) => cnn.build(input),
            ArchitectureConfig::Resnet(resnet) => resnet.build(input),
            ArchitectureConfig::Layers(layers) => Architecture::new(input, layers.clone()),
        }
    }
}

fn relu() -> Activation {
    Activation::Relu
}

fn one() -> f64 {
    1.0
}

fn three() -> NonZeroUsize {
    NonZeroUsize::new(3).expect("3 is not 0")
}

fn single() -> NonZeroUsize {
    NonZeroUsize::MIN
}

/// A fully connected network: `hidden.len()` hidden layers, then a linear output layer. An image is flattened first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Width of each hidden layer. The paper's "two-layer" network has one of them.
    pub hidden: Vec<NonZeroUsize>,
    /// After every hidden layer; ReLU by default.
    #[serde(default = "relu")]
    pub activation: Activation,
    /// Number of outputs; 1 by default.
    #[serde(default = "single")]
    pub outputs: NonZeroUsize,
    /// Scale of all weights; 1 by default.
    #[serde(default = "one")]
    pub sigma_w: f64,
    /// Scale of all biases; 0, the default, means none.
    #[serde(default)]
    pub sigma_b: f64,
}

impl Mlp {
    /// The architecture for samples of the given shape.
    ///
    /// # Errors
    ///
    /// When a scale is out of range.
    pub fn build(&self, input: Shape) -> Result<Architecture, ArchitectureError> {
        let dense = |units| Layer::Dense(Dense { units, sigma_w: self.sigma_w, sigma_b: self.sigma_b });
        let mut layers = Vec::new();
        if matches!(input, Shape::Image(_)) {
            layers.push(Layer::Flatten);
        }
        for &units in &self.hidden {
            layers.extend([dense(units), Layer::Activation(self.activation)]);
        }
        layers.push(dense(self.outputs));
        Architecture::new(input, layers)
    }
}

/// What stands between the convolutions and the output layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// All positions as one vector.
    Flatten,
    /// The mean over all positions.
    #[default]
    GlobalAveragePool,
}

impl Head {
    fn layer(self) -> Layer {
        match self {
            Head::Flatten => Layer::Flatten,
            Head::GlobalAveragePool => Layer::GlobalAveragePool,
        }
    }
}

/// A convolutional network: convolutions padded with `kernel / 2` zeros on every side, each followed by the
/// activation, then the head and a linear output layer. With an odd kernel and stride 1 the image keeps its size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cnn {
    /// Channels of each convolution.
    pub channels: Vec<NonZeroUsize>,
    /// Side of the kernels; 3 by default.
    #[serde(default = "three")]
    pub kernel: NonZeroUsize,
    /// Step between windows of every convolution; 1 by default.
    #[serde(default = "single")]
    pub stride: NonZeroUsize,
    /// Flatten or global average pooling (the default).
    #[serde(default)]
    pub head: Head,
    /// After every convolution; ReLU by default.
    #[serde(default = "relu")]
    pub activation: Activation,
    /// Number of outputs; 1 by default.
    #[serde(default = "single")]
    pub outputs: NonZeroUsize,
    /// Scale of all weights; 1 by default.
    #[serde(default = "one")]
    pub sigma_w: f64,
    /// Scale of all biases; 0, the default, means none.
    #[serde(default)]
    pub sigma_b: f64,
}

impl Cnn {
    /// The architecture for samples of the given shape.
    ///
    /// # Errors
    ///
    /// When the kernel does not fit the image or a scale is out of range.
    pub fn build(&self, input: Shape) -> Result<Architecture, ArchitectureError> {
        let mut layers = Vec::new();
        for &channels in &self.channels {
            layers.push(Layer::Conv(Conv {
                channels,
                kernel: self.kernel,
                stride: self.stride,
                padding: self.kernel.get() / 2,
                sigma_w: self.sigma_w,
                sigma_b: self.sigma_b,
            }));
            layers.push(Layer::Activation(self.activation));
        }
        layers.push(self.head.layer());
        layers.push(Layer::Dense(Dense { units: self.outputs, sigma_w: self.sigma_w, sigma_b: self.sigma_b }));
        Architecture::new(input, layers)
    }
}

/// One residual block of a [`Resnet`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// Channels of the block's output.
    pub channels: NonZeroUsize,
    /// Step of the block's first convolution; 1 by default.
    #[serde(default = "single")]
    pub stride: NonZeroUsize,
}

/// A residual network in pre-activation order: a 3x3 convolution (the stem), blocks of
/// `activation, 3x3 convolution, activation, 3x3 convolution` added to a shortcut, an activation, the head and a
/// linear output layer. The shortcut is the identity, or a 1x1 convolution with the block's stride where the block
/// changes the number of channels or has a stride other than 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resnet {
    /// Channels of the first convolution.
    pub stem: NonZeroUsize,
    /// The residual blocks.
    pub blocks: Vec<Block>,
    /// Flatten or global average pooling (the default).
    #[serde(default)]
    pub head: Head,
    /// The activation; ReLU by default.
    #[serde(default = "relu")]
    pub activation: Activation,
    /// Number of outputs; 1 by default.
    #[serde(default = "single")]
    pub outputs: NonZeroUsize,
    /// Scale of all weights; 1 by default.
    #[serde(default = "one")]
    pub sigma_w: f64,
    /// Scale of all biases; 0, the default, means none.
    #[serde(default)]
    pub sigma_b: f64,
}

impl Resnet {
    /// The architecture for samples of the given shape.
    ///
    /// # Errors
    ///
    /// When a block does not fit the image or a scale is out of range.
    pub fn build(&self, input: Shape) -> Result<Architecture, ArchitectureError> {
        let conv = |channels, kernel: NonZeroUsize, stride| {
            Layer::Conv(Conv {
                channels,
                kernel,
                stride,
                padding: kernel.get() / 2,
                sigma_w: self.sigma_w,
                sigma_b: self.sigma_b,
            })
        };
        let activation = Layer::Activation(self.activation);
        let mut layers = vec![conv(self.stem, three(), single())];
        let mut channels = self.stem;
        for block in &self.blocks {
            let branch = vec![
                activation.clone(),
                conv(block.channels, three(), block.stride),
                activation.clone(),
                conv(block.channels, three(), single()),
            ];
            let projected = block.channels != channels || block.stride != single();
            let shortcut = if projected { vec![conv(block.channels, single(), block.stride)] } else { Vec::new() };
            layers.push(Layer::Residual(Residual { branch, shortcut }));
            channels = block.channels;
        }
        layers.extend([activation, self.head.layer()]);
        layers.push(Layer::Dense(Dense { units: self.outputs, sigma_w: self.sigma_w, sigma_b: self.sigma_b }));
        Architecture::new(input, layers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The layers that a configuration expands to.
    fn layers(config: &str, input: Shape) -> Vec<Layer> {
        let config: ArchitectureConfig = toml_edit::de::from_str(config).unwrap();
        config.build(input).unwrap().layers().to_vec()
    }

    /// The same layers, written out.
    fn spelled(text: &str) -> Vec<Layer> {
        match toml_edit::de::from_str(&format!("layers = {text}")).unwrap() {
            ArchitectureConfig::Layers(layers) => layers,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_mlp_is_dense_layers_with_activations_between() {
        let config = "mlp = { hidden = [5, 4], activation = 'tanh', outputs = 2, sigma_w = 1.5, sigma_b = 0.1 }";
        let expected = spelled(
            "[{ dense = { units = 5, sigma_w = 1.5, sigma_b = 0.1 } }, { activation = 'tanh' },
              { dense = { units = 4, sigma_w = 1.5, sigma_b = 0.1 } }, { activation = 'tanh' },
              { dense = { units = 2, sigma_w = 1.5, sigma_b = 0.1 } }]",
        );
        assert_eq!(layers(config, Shape::Flat(3)), expected);
        // An image is flattened first. The defaults are ReLU, one output, sigma_w = 1 and no bias.
        let expected =
            spelled("['flatten', { dense = { units = 5 } }, { activation = 'relu' }, { dense = { units = 1 } }]");
        assert_eq!(layers("mlp = { hidden = [5] }", Shape::Image([1, 2, 2])), expected);
        assert_eq!(layers("mlp = { hidden = [] }", Shape::Flat(3)), spelled("[{ dense = { units = 1 } }]"));
    }

    #[test]
    fn a_cnn_is_convolutions_a_head_and_a_dense_layer() {
        let expected = spelled(
            "[{ conv = { channels = 4, kernel = 3, padding = 1 } }, { activation = 'relu' },
              { conv = { channels = 6, kernel = 3, padding = 1 } }, { activation = 'relu' },
              'global_average_pool', { dense = { units = 1 } }]",
        );
        assert_eq!(layers("cnn = { channels = [4, 6] }", Shape::Image([2, 8, 8])), expected);
        let config = "cnn = { channels = [4], kernel = 5, stride = 2, head = 'flatten', activation = 'erf', \
                      outputs = 3, sigma_w = 1.5, sigma_b = 0.1 }";
        let expected = spelled(
            "[{ conv = { channels = 4, kernel = 5, stride = 2, padding = 2, sigma_w = 1.5, sigma_b = 0.1 } },
              { activation = 'erf' }, 'flatten', { dense = { units = 3, sigma_w = 1.5, sigma_b = 0.1 } }]",
        );
        assert_eq!(layers(config, Shape::Image([2, 8, 8])), expected);
    }

    #[test]
    fn a_cnn_with_odd_kernels_and_stride_1_keeps_the_size_of_the_image() {
        for kernel in [1, 3, 5, 7] {
            let config: ArchitectureConfig =
                toml_edit::de::from_str(&format!("cnn = {{ channels = [3, 3], kernel = {kernel} }}")).unwrap();
            let shapes = config.build(Shape::Image([1, 4, 6])).unwrap().shapes();
            assert_eq!(shapes[2], Shape::Image([3, 4, 6]));
        }
    }

    #[test]
    fn a_resnet_projects_the_shortcut_only_where_the_shape_changes() {
        let config =
            "resnet = { stem = 4, blocks = [{ channels = 4 }, { channels = 6 }, { channels = 6, stride = 2 }] }";
        let block = |channels: usize, stride: usize, shortcut: &str| {
            format!(
                "{{ residual = {{ branch = [
                   {{ activation = 'relu' }},
                   {{ conv = {{ channels = {channels}, kernel = 3, padding = 1, stride = {stride} }} }},
                   {{ activation = 'relu' }},
                   {{ conv = {{ channels = {channels}, kernel = 3, padding = 1 }} }},
                 ], shortcut = [{shortcut}] }} }}"
            )
        };
        let expected = spelled(&format!(
            "[{{ conv = {{ channels = 4, kernel = 3, padding = 1 }} }}, {}, {}, {},
              {{ activation = 'relu' }}, 'global_average_pool', {{ dense = {{ units = 1 }} }}]",
            block(4, 1, ""),
            block(6, 1, "{ conv = { channels = 6, kernel = 1 } }"),
            block(6, 2, "{ conv = { channels = 6, kernel = 1, stride = 2 } }"),
        ));
        assert_eq!(layers(config, Shape::Image([1, 8, 8])), expected);
        // Branch and shortcut agree on images of every size, odd ones too.
        for side in 1..8 {
            layers(config, Shape::Image([1, side, side + 1]));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_by_the_layer_that_does_not() {
        let refused = |config: &str, input| {
            let config: ArchitectureConfig = toml_edit::de::from_str(config).unwrap();
            config.build(input).unwrap_err().to_string()
        };
        let error = refused("cnn = { channels = [4] }", Shape::Flat(9));
        assert!(error.starts_with("layer 1 (conv): needs an image"), "{error}");
        let error = refused("mlp = { hidden = [4], sigma_w = -1.0 }", Shape::Flat(9));
        assert!(error.starts_with("layer 1 (dense): sigma_w = -1"), "{error}");
        let error = toml_edit::de::from_str::<ArchitectureConfig>("\nmlp = { hidden = [4, 0] }").unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        let error = toml_edit::de::from_str::<ArchitectureConfig>("\ncnn = { hidden = [4] }").unwrap_err();
        assert!(error.to_string().contains("line 2") && error.to_string().contains("hidden"), "{error}");
    }

    #[test]
    fn configurations_are_read_back_as_they_were_written() {
        for text in [
            "mlp = { hidden = [5, 4], sigma_b = 0.5 }",
            "cnn = { channels = [5], head = 'flatten' }",
            "resnet = { stem = 4, blocks = [{ channels = 8, stride = 2 }] }",
            "layers = ['flatten', { dense = { units = 1 } }]",
        ] {
            let config: ArchitectureConfig = toml_edit::de::from_str(text).unwrap();
            let written = toml_edit::ser::to_string(&config).unwrap();
            assert_eq!(toml_edit::de::from_str::<ArchitectureConfig>(&written).unwrap(), config, "{written}");
        }
    }
}
