//! Matrix products of host networks: gemm's, and faer's for transposed factors.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use gemm::Parallelism;
use ndarray::{ArrayView2, ArrayViewMut2};

use super::real::Real;

/// What a product does with what is in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Overwrite it.
    Replace,
    /// Add to it.
    Add,
}

/// `out = scale a b`, or `out += scale a b`, on all cores. `a: [m, k]`, `b: [k, n]`, `out: [m, n]`, of any strides.
///
/// Burn's CPU backend calls the same product, but has no form that adds in place. A step of gradient descent is one such
/// addition: without it the gradient would be written out and read again.
///
/// # Panics
///
/// When the shapes do not fit.
pub fn product<T: Real>(out: ArrayViewMut2<T>, place: Place, scale: T, a: ArrayView2<T>, b: ArrayView2<T>) {
    product_on(Parallelism::Rayon(0), out, place, scale, a, b);
}

/// The same on this core alone, for one block of a matrix, or some samples of many, where others go to other cores.
///
/// # Panics
///
/// When the shapes do not fit.
pub fn product_block<T: Real>(out: ArrayViewMut2<T>, place: Place, scale: T, a: ArrayView2<T>, b: ArrayView2<T>) {
    product_on(Parallelism::None, out, place, scale, a, b);
}

fn product_on<T: Real>(
    on: Parallelism,
    mut out: ArrayViewMut2<T>,
    place: Place,
    scale: T,
    a: ArrayView2<T>,
    b: ArrayView2<T>,
) {
    let ((m, k), (inner, n)) = (a.dim(), b.dim());
    assert!(k == inner && out.dim() == (m, n), "[{m}, {k}] times [{inner}, {n}] into {:?}", out.dim());
    let (strides, strides_a, strides_b) = (strides(out.view()), strides(a), strides(b));
    // SAFETY: pointers and strides are those of live views whose extents were just compared. `out` is borrowed mutably: it
    // overlaps neither `a` nor `b`, and no two of its entries share an address, so that threads write apart. gemm takes
    // strides of any sign, touches nothing where m or n is 0, and only `out` where k is 0. `Real` is f32 or f64, which it
    // knows.
    #[allow(unsafe_code)]
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            strides[1],
            strides[0],
            place == Place::Add,
            a.as_ptr(),
            strides_a[1],
            strides_a[0],
            b.as_ptr(),
            strides_b[1],
            strides_b[0],
            T::one(),
            scale,
            false,
            false,
            false,
            on,
        );
    }
}

/// `out = scale a b^T` for row-major `a: [m, depth]`, `b: [n, depth]`, `out: [m, n]`, on this core alone.
///
/// [`product_block`] is a tenth faster on rows, but takes up to three times as long where `b` is stored by columns, as
/// `b^T` is here: it puts it in order first. With both, a row's last bits may depend on how many rows there are.
///
/// # Panics
///
/// When the slices are not whole rows, or do not fit.
pub fn product_transposed<T: Real>(scale: T, a: &[T], b: &[T], depth: usize, out: &mut [T]) {
    let a = MatRef::from_row_major_slice(a, a.len() / depth, depth);
    let b = MatRef::from_row_major_slice(b, b.len() / depth, depth);
    let out = MatMut::from_row_major_slice_mut(out, a.nrows(), b.nrows());
    matmul(out, Accum::Replace, a, b.transpose(), scale, Par::Seq);
}

fn strides<T>(matrix: ArrayView2<T>) -> [isize; 2] {
    [matrix.strides()[0], matrix.strides()[1]]
}

/// A row-major matrix with so many columns.
pub(super) fn rows<T>(values: &[T], columns: usize) -> ArrayView2<'_, T> {
    ArrayView2::from_shape((values.len() / columns, columns), values).expect("whole rows")
}

/// The same to be written.
pub(super) fn rows_mut<T>(values: &mut [T], columns: usize) -> ArrayViewMut2<'_, T> {
    ArrayViewMut2::from_shape((values.len() / columns, columns), values).expect("whole rows")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array2, array, s};

    #[test]
    fn products_by_hand() {
        let (a, b) = (array![[1.0, 2.0], [3.0, 4.0]], array![[1.0, 0.0, -1.0], [2.0, 1.0, 0.5]]);
        let mut out = Array2::from_elem((2, 3), 7.0);
        product(out.view_mut(), Place::Replace, 2.0, a.view(), b.view());
        assert_eq!(out, array![[10.0, 4.0, 0.0], [22.0, 8.0, -2.0]]);
        product(out.view_mut(), Place::Add, -1.0, a.view(), b.view());
        assert_eq!(out, array![[5.0, 2.0, 0.0], [11.0, 4.0, -1.0]]);
        // Transposed and strided operands and places.
        let mut wide = Array2::<f32>::zeros((3, 4));
        let (a, b) = (a.mapv(|v| v as f32), b.mapv(|v| v as f32));
        product(wide.slice_mut(s![.., ..;2]), Place::Replace, 1.0, b.t(), a.t());
        assert_eq!(wide, array![[5.0, 0.0, 11.0, 0.0], [2.0, 0.0, 4.0, 0.0], [0.0, 0.0, -1.0, 0.0]]);
    }

    #[test]
    fn blocks_of_all_layouts_by_definition() {
        // Whole numbers: sums are exact in any order.
        let numbers = |rows, columns, k: usize| {
            Array2::from_shape_fn((rows, columns), |(i, j)| ((i * k + j * (k + 2)) % 7) as f64 - 3.0)
        };
        for (m, k, n) in [(1, 1, 1), (5, 3, 1), (1, 9, 4), (17, 33, 20)] {
            let (a, b, start) = (numbers(m, k, 3), numbers(k, n, 5), numbers(m, n, 2));
            let by_columns = |matrix: &Array2<f64>| matrix.t().as_standard_layout().into_owned();
            let (a_columns, b_columns) = (by_columns(&a), by_columns(&b));
            for (a, b) in [(a.view(), b.view()), (a.view(), b_columns.t()), (a_columns.t(), b.view())] {
                for run in [product, product_block] {
                    let mut out = start.clone();
                    run(out.view_mut(), Place::Add, 2.0, a, b);
                    assert_eq!(out, &start + 2.0 * a.dot(&b));
                    run(out.view_mut(), Place::Replace, 1.0, a, b);
                    assert_eq!(out, a.dot(&b));
                }
            }
            let (mut out, flat) = (start, |matrix: &Array2<f64>| matrix.iter().copied().collect::<Vec<_>>());
            product_transposed(3.0, &flat(&a), &flat(&b_columns), k, out.as_slice_mut().expect("row-major"));
            assert_eq!(out, 3.0 * a.dot(&b));
        }
    }

    #[test]
    #[should_panic(expected = "[2, 2] times [3, 1]")]
    fn shapes_are_checked() {
        product(
            Array2::zeros((2, 1)).view_mut(),
            Place::Add,
            1.0,
            Array2::zeros((2, 2)).view(),
            Array2::zeros((3, 1)).view(),
        );
    }
}
