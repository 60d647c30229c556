//! The three families of networks most people want, each a few numbers that expand to an [`Architecture`].

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::architecture::{Architecture, ArchitectureError, Conv, Dense, Layer, Residual, Shape};

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

/// A convolutional network: convolutions that keep the image's size (odd kernels, zero padding), each followed by
/// the activation, then the head and a linear output layer.
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
/// changes the number of channels or the size of the image.
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
