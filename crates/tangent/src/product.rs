//! Products of feature matrices on the host.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, MatMut, MatRef, Par};
use widenet_model::host::Real;

/// `out = scale a b^T` for row-major `a: [n_a, depth]`, `b: [n_b, depth]`, `out: [n_a, n_b]`, on all cores.
pub(crate) fn product<T: Real>(scale: f64, a: &[T], b: &[T], depth: usize, out: &mut [T]) {
    product_on(scale, a, b, depth, out, Par::rayon(0));
}

/// The same on this core alone: blocks of a few hundred rows and columns, a core each, take three quarters of the time
/// of one product on all cores.
pub(crate) fn product_block<T: Real>(scale: f64, a: &[T], b: &[T], depth: usize, out: &mut [T]) {
    product_on(scale, a, b, depth, out, Par::Seq);
}

fn product_on<T: Real>(scale: f64, a: &[T], b: &[T], depth: usize, out: &mut [T], on: Par) {
    let a = MatRef::from_row_major_slice(a, a.len() / depth, depth);
    let b = MatRef::from_row_major_slice(b, b.len() / depth, depth);
    let out = MatMut::from_row_major_slice_mut(out, a.nrows(), b.nrows());
    matmul(out, Accum::Replace, a, b.transpose(), T::of(scale), on);
}

/// The lower triangle, with the diagonal, of `out = scale a a^T`.
pub(crate) fn product_lower<T: Real>(scale: f64, a: &[T], depth: usize, out: &mut [T]) {
    let a = MatRef::from_row_major_slice(a, a.len() / depth, depth);
    triangular::matmul(
        MatMut::from_row_major_slice_mut(out, a.nrows(), a.nrows()),
        BlockStructure::TriangularLower,
        Accum::Replace,
        a,
        BlockStructure::Rectangular,
        a.transpose(),
        BlockStructure::Rectangular,
        T::of(scale),
        Par::rayon(0),
    );
}
