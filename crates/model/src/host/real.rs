//! The number types a network computes in on the host.

use burn::tensor::Element;
use faer::traits::ComplexField;
use faer::traits::pulp::Arch;
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
