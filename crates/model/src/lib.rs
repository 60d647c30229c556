//! Networks in NTK parameterisation.
//!
//! Every weight is drawn from N(0, 1), and every layer with weights divides by the square root of its fan-in as it
//! runs: a dense layer computes
//!
//! ```text
//! z = sigma_w / sqrt(fan_in) * a W + sigma_b * b
//! ```
//!
//! and a convolution does the same with `fan_in = channels * kernel^2`. The numbers in the network keep their size as
//! it grows wider, and the kernel `<df(x)/dw, df(x')/dw>` has a limit: a wide network trains like a kernel machine.
//!
//! **One architecture, two readings.** An [`Architecture`] is the shape of one sample and a checked list of [`Layer`]s.
//! [`Network::init`] builds the finite network from it; the limit kernel at infinite width reads the same value. The
//! families most people want are a line of configuration each: [`Mlp`], [`Cnn`], [`Resnet`], all behind
//! [`ArchitectureConfig`]. No layer couples the samples of a batch, so every sample has a derivative of its own.
//!
//! **Centred outputs.** A network remembers its first weights `w_0`. What is trained and compared is
//! [`Network::centred`], `f(w, x) - f(w_0, x)`. It is zero at the start, like the kernel machine.
//!
//! **One seed, one network.** Weights are drawn on the host, in f64, each parameter from a [`stream`] of its own. A
//! seed gives the same weights on every backend, in both [`Precision`]s up to rounding, and in files one number is
//! enough to find the first weights again.
//!
//! ```
//! use burn::tensor::Device;
//! use ndarray::array;
//! use widenet_model::{ArchitectureConfig, Network, Precision, Shape, to_host};
//!
//! // From a configuration and the shape of the data to a network.
//! let config: ArchitectureConfig = toml_edit::de::from_str("mlp = { hidden = [256, 256], activation = 'erf' }")?;
//! let architecture = config.build(Shape::Flat(2))?;
//! assert_eq!(architecture.width(), Some(256));
//! let mut network = Network::init(&architecture, 7, Precision::F64, &Device::flex().autodiff());
//!
//! // Three samples, as rows. The network starts at zero and learns y = 1 for all of them.
//! let x = network.samples(array![[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]].view());
//! let mut losses = Vec::new();
//! for _ in 0..20 {
//!     let loss = (network.centred(x.clone()) - 1.0).powi_scalar(2).sum();
//!     losses.push(loss.clone().into_scalar::<f64>());
//!     let gradients = network.gradients(&loss.backward());
//!     network = network.map_parameters(&mut |index, value| value - gradients[index].clone() * 0.1);
//! }
//! assert_eq!(losses[0], 3.0);
//! assert!(losses[19] < 0.3, "{losses:?}");
//!
//! // Outputs as a host array: [samples, outputs].
//! let outputs = to_host(network.centred(x))?;
//! assert_eq!(outputs.dim(), (3, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activation;
mod architecture;
mod builder;
mod convolution;
pub mod host;
mod initialise;
mod layers;
mod network;
mod precision;
mod random;
mod shape;
mod storage;
mod trace;
mod transfer;

pub use activation::Activation;
pub use architecture::{Architecture, ArchitectureError, Conv, Dense, Layer, Pool, Residual, WeightedLayer};
pub use builder::{ArchitectureConfig, Block, Cnn, Head, Mlp, Resnet};
pub use convolution::Windows;
pub use layers::{ConvNode, DenseNode, FixedNode, Node, Operation, ResidualNode, Signal};
pub use network::Network;
pub use precision::Precision;
pub use random::{Purpose, stream};
pub use shape::Shape;
pub use storage::StorageError;
pub use trace::{LayerDerivative, Trace};
pub use transfer::{DeviceError, is_host, to_host, to_tensor};
