//! Tangent kernels of the networks in [`widenet_model`]: empirical ones by autodiff, infinite-width ones in closed
//! form.
//!
//! Near its initial weights a network is linear in them: `f(w, x) ~ f(w_0, x) + <grad f(w_0, x), w - w_0>`. Training
//! such a model by gradient descent is training a kernel machine with the *tangent kernel*
//! `K(x, x') = <grad f(x), grad f(x')>` (Jacot, Gabriel, Hongler, 2018). For a finite network it is random and moves
//! during training: [`EmpiricalKernel`]. As the width grows it tends to a fixed function that can be computed layer
//! by layer from the [`Architecture`](widenet_model::Architecture) alone: [`LimitKernel`]. Both keep one contract,
//! [`Kernel`].
//!
//! ```
//! use burn::tensor::Device;
//! use ndarray::array;
//! use widenet_model::{ArchitectureConfig, Network, Precision, Shape};
//! use widenet_tangent::{EmpiricalKernel, Kernel, LimitKernel, LimitKind};
//!
//! let config: ArchitectureConfig = toml_edit::de::from_str("mlp = { hidden = [4096] }")?;
//! let architecture = config.build(Shape::Flat(2))?;
//! let x = array![[1.0, 0.0], [0.0, 1.0]];
//!
//! // Two orthogonal inputs of norm 1: 1/4 + 1/4 on the diagonal, 1/(4 pi) off it.
//! let limit = LimitKernel::new(&architecture, LimitKind::Ntk)?.gram_symmetric(x.view())?;
//! assert!((limit[[0, 0]] - 0.5).abs() < 1e-12);
//! assert!((limit[[0, 1]] - 0.25 / std::f64::consts::PI).abs() < 1e-12);
//!
//! // A wide network drawn at random is close to it.
//! let network = Network::init(&architecture, 1, Precision::F64, &Device::flex());
//! let empirical = EmpiricalKernel::new(&network).gram_symmetric(x.view())?;
//! assert!((empirical - limit).iter().all(|difference| difference.abs() < 0.05));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod blocks;
mod contraction;
mod empirical;
mod error;
mod features;
mod host;
mod jacobian;
mod kernel;
mod limit;
mod mirror;
mod product;

pub use contraction::{Contraction, LayerPlan, Method, PAIRED};
pub use empirical::{EmpiricalKernel, EmpiricalKind};
pub use error::KernelError;
pub use features::TangentFeatures;
pub use jacobian::jacobian;
pub use kernel::Kernel;
pub use limit::{LimitKernel, LimitKind};
