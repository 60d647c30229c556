//! Products of feature matrices on the host.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;
use widenet_model::host::{Real, product_transposed};

/// From so many features per sample on, each core sums over some of the features: matrices of few rows are too small to
/// be shared among cores.
const LONG: usize = 32;

/// Products of no more multiplications than this, and those with a single row or column, are taken by other loops, which
/// sum in another order.
const SMALL: usize = 16 * 16 * 16;

/// `out = scale a b^T` for row-major `a: [n_a, depth]`, `b: [n_b, depth]`, `out: [n_a, n_b]`, on this core alone.
///
/// The bits of an entry depend on its two rows alone, not on which other rows there are, nor on which side each is:
/// small products are filled up with zeros.
pub(crate) fn product_of_rows<T: Real>(scale: T, a: &[T], b: &[T], depth: usize, out: &mut [T]) {
    let (rows, columns) = (a.len() / depth, b.len() / depth);
    // No rows: a test set may be empty.
    if out.is_empty() {
        return;
    }
    let least = ((SMALL / depth).isqrt() + 1).max(2);
    if rows >= least && columns >= least {
        return product_transposed(scale, a, b, depth, out);
    }
    let filled =
        |values: &[T], rows: usize| [values, &vec![T::zero(); (rows * depth).saturating_sub(values.len())]].concat();
    let (height, width) = (rows.max(least), columns.max(least));
    let mut wide = vec![T::zero(); height * width];
    product_transposed(scale, &filled(a, least), &filled(b, least), depth, &mut wide);
    for (out, wide) in out.chunks_exact_mut(columns).zip(wide.chunks_exact(width)) {
        out.copy_from_slice(&wide[..columns]);
    }
}

/// `out = scale a b^T` for row-major `a: [n_a, depth]`, `b: [n_b, depth]`, `out: [n_a, n_b]`, on all cores.
pub(crate) fn product<T: Real>(scale: f64, a: &[T], b: &[T], depth: usize, out: &mut [T]) {
    let a = MatRef::from_row_major_slice(a, a.len() / depth, depth);
    let b = MatRef::from_row_major_slice(b, b.len() / depth, depth);
    let (rows, columns) = (a.nrows(), b.nrows());
    shared(rows.max(columns), depth, out, |features, out, on| {
        let [a, b] = [a, b].map(|matrix| matrix.subcols(features.start, features.len()));
        let out = MatMut::from_row_major_slice_mut(out, rows, columns);
        matmul(out, Accum::Replace, a, b.transpose(), T::of(scale), on);
    });
}

/// The lower triangle, with the diagonal, of `out = scale a a^T`.
pub(crate) fn product_lower<T: Real>(scale: f64, a: &[T], depth: usize, out: &mut [T]) {
    let a = MatRef::from_row_major_slice(a, a.len() / depth, depth);
    let rows = a.nrows();
    shared(rows, depth, out, |features, out, on| {
        let a = a.subcols(features.start, features.len());
        triangular::matmul(
            MatMut::from_row_major_slice_mut(out, rows, rows),
            BlockStructure::TriangularLower,
            Accum::Replace,
            a,
            BlockStructure::Rectangular,
            a.transpose(),
            BlockStructure::Rectangular,
            T::of(scale),
            on,
        );
    });
}

/// Work is split into so many parts where its sums depend on how. The number is fixed: results do not depend on how many
/// cores a computer has.
pub(crate) const PARTS: usize = 16;

/// Has `out` computed on all cores: at once, or as a sum over equal parts of the features, a core each.
fn shared<T: Real>(rows: usize, depth: usize, out: &mut [T], compute: impl Fn(Range<usize>, &mut [T], Par) + Sync) {
    if depth < LONG * rows {
        return compute(0..depth, out, Par::rayon(0));
    }
    let size = depth.div_ceil(PARTS);
    let part = |first: usize| {
        let mut sum = vec![T::zero(); out.len()];
        compute(first..(first + size).min(depth), &mut sum, Par::Seq);
        sum
    };
    let firsts: Vec<usize> = (0..depth).step_by(size).collect();
    let sums: Vec<Vec<T>> = firsts.into_par_iter().map(part).collect();
    out.fill(T::zero());
    for sum in sums {
        out.iter_mut().zip(sum).for_each(|(out, term)| *out += term);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn few_long_rows_and_many_short_ones() {
        // Whole numbers: sums are exact in any order.
        let numbers = |rows, columns, k: usize| {
            Array2::from_shape_fn((rows, columns), |(i, j)| ((i * k + j * (k + 2)) % 7) as f64 - 3.0)
        };
        for (rows, columns, depth) in [(1, 1, 1), (3, 2, 5), (40, 30, 20), (3, 2, 32 * 3), (2, 5, 1001)] {
            let (a, b) = (numbers(rows, depth, 3), numbers(columns, depth, 5));
            let mut out = Array2::from_elem((rows, columns), f64::NAN);
            let flat = |matrix: &Array2<f64>| matrix.iter().copied().collect::<Vec<_>>();
            product(2.0, &flat(&a), &flat(&b), depth, out.as_slice_mut().unwrap());
            assert_eq!(out, 2.0 * a.dot(&b.t()));
            let mut out = Array2::from_elem((rows, rows), 0.5);
            product_lower(2.0, &flat(&a), depth, out.as_slice_mut().unwrap());
            let expected = 2.0 * a.dot(&a.t());
            assert!(out.indexed_iter().all(|((i, j), &entry)| i < j || entry == expected[[i, j]]));
        }
    }
}
