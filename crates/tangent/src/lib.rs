//! Tangent kernels of the networks in [`widenet_model`].

mod empirical;
mod error;
mod jacobian;
mod kernel;
// mod limit;

pub use empirical::{EmpiricalKernel, EmpiricalKind};
pub use error::KernelError;
pub use jacobian::jacobian;
pub use kernel::Kernel;
// pub use limit::{LimitKernel, LimitKind};
