//! The two number types kernels compute in on the host.

use burn::tensor::Element;
use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::traits::pulp::Arch;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::NdFloat;

/// `f32` or `f64`.
pub(crate) trait Real: NdFloat + Element {
    /// Rounds a double.
    fn of(value: f64) -> Self;

    /// The value as a double.
    fn wide(self) -> f64;

    /// `out = scale a b^T` for row-major `a: [n_a, depth]`, `b: [n_b, depth]`, `out: [n_a, n_b]`.
    fn product(scale: f64, a: &[Self], b: &[Self], depth: usize, out: &mut [Self]);

    /// The lower triangle, with the diagonal, of `out = scale a a^T`.
    fn product_lower(scale: f64, a: &[Self], depth: usize, out: &mut [Self]);
}

macro_rules! real {
    ($type:ty) => {
        impl Real for $type {
            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $type
            }

            #[inline(always)]
            fn wide(self) -> f64 {
                f64::from(self)
            }

            fn product(scale: f64, a: &[Self], b: &[Self], depth: usize, out: &mut [Self]) {
                let a = MatRef::from_row_major_slice(a, a.len() / depth, depth);
                let b = MatRef::from_row_major_slice(b, b.len() / depth, depth);
                let out = MatMut::from_row_major_slice_mut(out, a.nrows(), b.nrows());
                matmul(out, Accum::Replace, a, b.transpose(), Self::of(scale), Par::rayon(0));
            }

            fn product_lower(scale: f64, a: &[Self], depth: usize, out: &mut [Self]) {
                let a = MatRef::from_row_major_slice(a, a.len() / depth, depth);
                triangular::matmul(
                    MatMut::from_row_major_slice_mut(out, a.nrows(), a.nrows()),
                    BlockStructure::TriangularLower,
                    Accum::Replace,
                    a,
                    BlockStructure::Rectangular,
                    a.transpose(),
                    BlockStructure::Rectangular,
                    Self::of(scale),
                    Par::rayon(0),
                );
            }
        }
    };
}

real!(f32);
real!(f64);

/// Runs a loop compiled for the vector instructions of this machine. What it calls must be inlined.
#[inline]
pub(crate) fn vectorised(body: impl FnOnce()) {
    Arch::new().dispatch(body);
}
