//! The matrix product of a host network.

use gemm::Parallelism;
use ndarray::{ArrayView2, ArrayViewMut2};
use widenet_model::host::Real;

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
/// It is the product that Burn's CPU backend calls, which has no form that adds in place: a step of gradient descent
/// is one such addition, and without it the gradient would be written out and read again.
///
/// # Panics
///
/// When the shapes do not fit.
pub fn product<T: Real>(out: ArrayViewMut2<T>, place: Place, scale: T, a: ArrayView2<T>, b: ArrayView2<T>) {
    product_on(Parallelism::Rayon(0), out, place, scale, a, b);
}

/// The same on this core alone, for one block of a matrix whose blocks go to different cores.
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
    // SAFETY: pointers and strides are those of live views whose extents were just compared, and `out` is borrowed
    // mutably, so that it overlaps neither `a` nor `b`.
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

fn strides<T>(matrix: ArrayView2<T>) -> [isize; 2] {
    [matrix.strides()[0], matrix.strides()[1]]
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
