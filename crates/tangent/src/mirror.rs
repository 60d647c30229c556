//! From a triangle to a symmetric matrix.

use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use widenet_model::host::Real;

/// Copies the lower triangle of a square matrix to the upper one.
pub(crate) fn mirror<T: Real>(matrix: ArrayViewMut2<T>) {
    let n = matrix.nrows();
    if n < 2 {
        return;
    }
    let (top, bottom) = matrix.split_at(Axis(0), n / 2);
    let (first, upper) = top.split_at(Axis(1), n / 2);
    let (lower, second) = bottom.split_at(Axis(1), n / 2);
    transpose(lower.view(), upper);
    rayon::join(|| mirror(first), || mirror(second));
}

/// `to = from^T`, by blocks that fit the cache.
pub(crate) fn transpose<T: Real>(from: ArrayView2<T>, mut to: ArrayViewMut2<T>) {
    const BLOCK: usize = 32;
    let axis = if from.nrows() >= from.ncols() { 0 } else { 1 };
    let length = from.len_of(Axis(axis));
    if length <= BLOCK {
        return to.assign(&from.t());
    }
    let (from_1, from_2) = from.split_at(Axis(axis), length / 2);
    let (to_1, to_2) = to.split_at(Axis(1 - axis), length / 2);
    rayon::join(|| transpose(from_1, to_1), || transpose(from_2, to_2));
}
