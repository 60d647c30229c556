//! The number types a network computes in on the host, and their matrix product.

use burn::tensor::Element;
use faer::linalg::matmul::matmul;
use faer::traits::ComplexField;
use faer::traits::pulp::Arch;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::NdFloat;

use crate::precision::Precision;

/// `f32` or `f64`.
pub trait Real: NdFloat + Element + ComplexField {
    /// Its name in configurations.
    const PRECISION: Precision;

    /// Rounds a double.
    fn of(value: f64) -> Self;

    /// The value as a double.
    fn wide(self) -> f64;

    /// The error function.
    fn erf(self) -> Self;
}

impl Real for f32 {
    const PRECISION: Precision = Precision::F32;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        self.into()
    }

    fn erf(self) -> Self {
        libm::erff(self)
    }
}

impl Real for f64 {
    const PRECISION: Precision = Precision::F64;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }

    fn erf(self) -> Self {
        libm::erf(self)
    }
}

/// Runs a loop compiled for the vector instructions of this machine. What it calls must be inlined.
#[inline]
pub fn vectorised(body: impl FnOnce()) {
    Arch::new().dispatch(body);
}

/// A row-major matrix with so many columns.
pub(super) fn rows<T>(values: &[T], columns: usize) -> MatRef<'_, T> {
    MatRef::from_row_major_slice(values, values.len() / columns, columns)
}

/// `out = scale a b` for row-major `out`, or `out += scale a b`, on this core alone: samples are what is spread over
/// cores.
pub(super) fn product<T: Real>(out: &mut [T], accum: Accum, scale: T, a: MatRef<T>, b: MatRef<T>) {
    let out = MatMut::from_row_major_slice_mut(out, a.nrows(), b.ncols());
    matmul(out, accum, a, b, scale, Par::Seq);
}
