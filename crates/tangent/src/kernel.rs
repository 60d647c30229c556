//! The one contract every kernel keeps.

use ndarray::{Array1, Array2, ArrayView2};

use crate::error::KernelError;

/// A positive semidefinite kernel `K(x, x')` on samples given as rows.
///
/// Everything downstream (Gram matrices, machines, certificates) sees a kernel through this trait alone.
/// Values are f64 on the host, whatever the kernel computes in.
pub trait Kernel {
    /// The cross Gram matrix `K(a_i, b_j)`, `[n_a, n_b]`, of samples `a: [n_a, d]` and `b: [n_b, d]`.
    ///
    /// # Errors
    ///
    /// When `d` is not the kernel's input size, a value is not finite, or the kernel of the samples is not: features of
    /// 1e160, say, whose squares overflow. Of a limit kernel also when a sample that is not 0 is lost below the normal
    /// numbers: features of 1e-160, say, or 2 000 ReLU layers with `sigma_w = 1`.
    fn gram(&self, a: ArrayView2<f64>, b: ArrayView2<f64>) -> Result<Array2<f64>, KernelError>;

    /// The Gram matrix `K(a_i, a_j)`, `[n, n]`, exactly symmetric.
    ///
    /// # Errors
    ///
    /// As for [`Kernel::gram`].
    fn gram_symmetric(&self, a: ArrayView2<f64>) -> Result<Array2<f64>, KernelError>;

    /// The diagonal `K(a_i, a_i)`, `[n]`, without the matrix.
    ///
    /// # Errors
    ///
    /// As for [`Kernel::gram`].
    fn diagonal(&self, a: ArrayView2<f64>) -> Result<Array1<f64>, KernelError>;
}
