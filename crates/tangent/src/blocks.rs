//! Matrices filled block by block on all cores.

use ndarray::{Array2, ArrayViewMut2, Axis};
use widenet_model::host::Real;

use crate::mirror::{mirror, transpose};

/// Fills the block whose first row and column are given. It starts as zeros.
pub(crate) trait Fill<T>: Fn([usize; 2], &mut Array2<T>) + Sync {}
impl<T, F: Fn([usize; 2], &mut Array2<T>) + Sync> Fill<T> for F {}

/// Has every block of at most `side` rows and columns filled.
pub(crate) fn rectangle<T: Real>(out: ArrayViewMut2<T>, side: usize, fill: &impl Fill<T>) {
    blocks(out, None, [0, 0], side, fill);
}

/// Has the blocks on and below the diagonal filled, and copies each to its place above while it is in the cache. Of a
/// block on the diagonal, what is above it need not be filled.
pub(crate) fn symmetric<T: Real>(out: ArrayViewMut2<T>, side: usize, fill: &impl Fill<T>) {
    triangle(out, 0, side, fill);
}

fn triangle<T: Real>(mut out: ArrayViewMut2<T>, at: usize, side: usize, fill: &impl Fill<T>) {
    let n = out.nrows();
    if n <= side {
        let mut block = Array2::zeros(out.dim());
        fill([at, at], &mut block);
        mirror(block.view_mut());
        return out.assign(&block);
    }
    let half = half(n, side);
    let (top, bottom) = out.split_at(Axis(0), half);
    let (first, upper) = top.split_at(Axis(1), half);
    let (lower, second) = bottom.split_at(Axis(1), half);
    rayon::join(
        || blocks(lower, Some(upper), [at + half, at], side, fill),
        || rayon::join(|| triangle(first, at, side, fill), || triangle(second, at + half, side, fill)),
    );
}

/// Blocks of a rectangle, each copied to `mirrored` too.
fn blocks<T: Real>(
    mut out: ArrayViewMut2<T>,
    mirrored: Option<ArrayViewMut2<T>>,
    corner: [usize; 2],
    side: usize,
    fill: &impl Fill<T>,
) {
    let axis = if out.nrows() >= out.ncols() { 0 } else { 1 };
    let length = out.len_of(Axis(axis));
    if length <= side {
        let mut block = Array2::zeros(out.dim());
        fill(corner, &mut block);
        if let Some(mirrored) = mirrored {
            transpose(block.view(), mirrored);
        }
        return out.assign(&block);
    }
    let half = half(length, side);
    let (first, second) = out.split_at(Axis(axis), half);
    let (mirrored_1, mirrored_2) = mirrored.map(|mirrored| mirrored.split_at(Axis(1 - axis), half)).unzip();
    let mut next = corner;
    next[axis] += half;
    rayon::join(|| blocks(first, mirrored_1, corner, side, fill), || blocks(second, mirrored_2, next, side, fill));
}

/// About half of a length above `side`, in whole blocks.
fn half(length: usize, side: usize) -> usize {
    (length / 2).next_multiple_of(side)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn every_entry_is_filled_with_its_place() {
        for (rows, columns) in [(1, 1), (7, 3), (3, 20), (50, 50)] {
            let mut out = Array2::from_elem((rows, columns), -1.0);
            rectangle(out.view_mut(), 4, &|[i0, j0], block| {
                assert!(block.nrows() <= 4 && block.ncols() <= 4);
                for ((i, j), entry) in block.indexed_iter_mut() {
                    *entry = (100 * (i0 + i) + j0 + j) as f64;
                }
            });
            assert!(out.indexed_iter().all(|((i, j), &entry)| entry == (100 * i + j) as f64));
        }
    }

    #[test]
    fn what_is_above_the_diagonal_is_a_copy() {
        for n in [1, 4, 5, 9, 50] {
            let mut out = Array2::from_elem((n, n), -1.0);
            symmetric(out.view_mut(), 4, &|[i0, j0], block| {
                for ((i, j), entry) in block.indexed_iter_mut().filter(|((i, j), _)| i0 + i >= j0 + j) {
                    *entry = (100 * (i0 + i) + j0 + j) as f64;
                }
            });
            assert!(out.indexed_iter().all(|((i, j), &entry)| entry == (100 * i.max(j) + i.min(j)) as f64));
        }
    }
}
