//! Networks in NTK parameterisation.

mod activation;
mod architecture;
mod builder;
mod host;
mod initialise;
mod layers;
mod network;
mod precision;
mod random;
mod shape;
mod storage;
mod tap;

pub use activation::Activation;
pub use architecture::{Architecture, ArchitectureError, Conv, Dense, Layer, Pool, Residual};
pub use builder::{ArchitectureConfig, Block, Cnn, Head, Mlp, Resnet};
pub use host::{DeviceError, to_host, to_tensor};
pub use layers::{ConvNode, DenseNode, FixedNode, Node, Operation, ResidualNode, Signal};
pub use network::Network;
pub use precision::Precision;
pub use random::{Purpose, stream};
pub use shape::Shape;
pub use storage::StorageError;
pub use tap::Tap;
