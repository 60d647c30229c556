//! How far one kernel matrix is from another.

use faer::{Mat, Side};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use serde::Serialize;

use crate::error::Error;

/// Leading eigenvectors whose span is compared.
pub const LEADING: usize = 5;

/// Eigenvalues, largest first, with the leading eigenvectors of a symmetric matrix.
#[derive(Clone, Debug)]
pub struct Spectrum {
    /// The eigenvalues `[n]`, in descending order.
    pub values: Array1<f64>,
    /// The eigenvectors of the first `min(LEADING, n)` of them, as orthonormal columns.
    pub leading: Array2<f64>,
}

impl Spectrum {
    /// The spectrum of a symmetric matrix.
    ///
    /// # Errors
    ///
    /// When the decomposition does not converge.
    pub fn of(matrix: ArrayView2<f64>) -> Result<Self, Error> {
        let n = matrix.nrows();
        let faer = Mat::from_fn(n, n, |i, j| matrix[[i, j]]);
        let failed = |error| Error::Numerics(format!("the eigenvalues of a kernel matrix: {error:?}"));
        let decomposition = faer.self_adjoint_eigen(Side::Lower).map_err(failed)?;
        // In ascending order, so the last ones lead.
        let (values, vectors) = (decomposition.S(), decomposition.U());
        Ok(Self {
            values: Array1::from_shape_fn(n, |i| values[n - 1 - i]),
            leading: Array2::from_shape_fn((n, LEADING.min(n)), |(i, j)| vectors[(i, n - 1 - j)]),
        })
    }

    /// The largest eigenvalue.
    pub fn largest(&self) -> f64 {
        self.values.first().copied().unwrap_or(f64::NAN)
    }

    /// The smallest eigenvalue.
    pub fn smallest(&self) -> f64 {
        self.values.last().copied().unwrap_or(f64::NAN)
    }

    /// Largest over smallest eigenvalue; infinite when the smallest one is not positive.
    pub fn condition(&self) -> f64 {
        if self.smallest() > 0.0 { self.largest() / self.smallest() } else { f64::INFINITY }
    }

    /// `|U^T V|_F^2 / k` for the `k` leading eigenvectors `U` of one matrix and `V` of the other: the mean squared
    /// cosine between the two spans, 1 when they are equal and 0 when they are orthogonal.
    pub fn overlap(&self, other: &Self) -> f64 {
        let products = self.leading.t().dot(&other.leading);
        sum_of_squares(&products) / self.leading.ncols() as f64
    }
}

/// One kernel matrix against the limit's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measures {
    /// `|K - L|_F / |L|_F`.
    pub relative_error: f64,
    /// `max_ij |K_ij - L_ij|`.
    pub largest_error: f64,
    /// See [`alignment`]; NaN (null in JSON) for kernels that are constant: of one sample, for instance.
    pub alignment: f64,
    /// See [`Spectrum::overlap`].
    pub overlap: f64,
    /// The largest eigenvalue of `K`.
    pub largest_eigenvalue: f64,
    /// The smallest eigenvalue of `K`.
    pub smallest_eigenvalue: f64,
    /// Largest over smallest eigenvalue of `K`; infinite (null in JSON) when the smallest one is not positive.
    pub condition: f64,
}

impl Measures {
    /// The measures, by name: what a table or file has as columns.
    pub const NAMES: [&str; 7] = [
        "relative_error",
        "largest_error",
        "alignment",
        "overlap",
        "largest_eigenvalue",
        "smallest_eigenvalue",
        "condition",
    ];

    /// Compares `kernel` with `limit`, given both spectra.
    pub fn of(kernel: &Array2<f64>, spectrum: &Spectrum, limit: &Array2<f64>, limit_spectrum: &Spectrum) -> Self {
        Self {
            relative_error: relative_error(kernel, limit),
            largest_error: largest_error(kernel, limit),
            alignment: alignment(kernel, limit),
            overlap: spectrum.overlap(limit_spectrum),
            largest_eigenvalue: spectrum.largest(),
            smallest_eigenvalue: spectrum.smallest(),
            condition: spectrum.condition(),
        }
    }

    /// The values in the order of [`Measures::NAMES`].
    pub fn values(&self) -> [f64; 7] {
        [
            self.relative_error,
            self.largest_error,
            self.alignment,
            self.overlap,
            self.largest_eigenvalue,
            self.smallest_eigenvalue,
            self.condition,
        ]
    }

    /// The mean of every measure.
    pub fn mean<'a>(all: impl Iterator<Item = &'a Measures> + Clone) -> Self {
        let count = all.clone().count() as f64;
        let mean = |value: fn(&Measures) -> f64| all.clone().map(value).sum::<f64>() / count;
        Self {
            relative_error: mean(|m| m.relative_error),
            largest_error: mean(|m| m.largest_error),
            alignment: mean(|m| m.alignment),
            overlap: mean(|m| m.overlap),
            largest_eigenvalue: mean(|m| m.largest_eigenvalue),
            smallest_eigenvalue: mean(|m| m.smallest_eigenvalue),
            condition: mean(|m| m.condition),
        }
    }
}

/// The relative Frobenius error `|K - L|_F / |L|_F`.
pub fn relative_error(kernel: &Array2<f64>, limit: &Array2<f64>) -> f64 {
    (sum_of_squares(&(kernel - limit)) / sum_of_squares(limit)).sqrt()
}

/// The largest error of an entry, `max_ij |K_ij - L_ij|`.
pub fn largest_error(kernel: &Array2<f64>, limit: &Array2<f64>) -> f64 {
    (kernel - limit).iter().fold(0.0, |largest, error| error.abs().max(largest))
}

/// The centred kernel alignment (CKA) `<HKH, HLH>_F / (|HKH|_F |HLH|_F)` with `H = I - 1 1^T / n`: the cosine between
/// the two matrices once the mean of their features is gone. It is 1 for `K = c L` with `c > 0`.
/// NaN when a centred matrix is zero.
pub fn alignment(kernel: &Array2<f64>, limit: &Array2<f64>) -> f64 {
    let (kernel, limit) = (centred(kernel), centred(limit));
    (&kernel * &limit).sum() / (sum_of_squares(&kernel) * sum_of_squares(&limit)).sqrt()
}

/// `H K H`: the kernel of the features minus their mean.
fn centred(kernel: &Array2<f64>) -> Array2<f64> {
    let n = kernel.nrows() as f64;
    let rows = kernel.sum_axis(Axis(1)) / n;
    let columns = kernel.sum_axis(Axis(0)) / n;
    kernel - &rows.slice(s![.., ndarray::NewAxis]) - columns.slice(s![ndarray::NewAxis, ..]) + kernel.sum() / (n * n)
}

fn sum_of_squares(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|value| value * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn errors_by_hand() {
        let limit = array![[3.0, 0.0], [0.0, 4.0]];
        let kernel = array![[3.0, 1.0], [1.0, 2.0]];
        // |K - L|_F^2 = 1 + 1 + 4 and |L|_F^2 = 25.
        assert!(close(relative_error(&kernel, &limit), 6.0_f64.sqrt() / 5.0));
        assert_eq!(largest_error(&kernel, &limit), 2.0);
        assert_eq!(relative_error(&limit, &limit), 0.0);
    }

    #[test]
    fn alignment_by_hand() {
        let a = array![[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]];
        let b = array![[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]];
        // Centred features (2, -1, -1)/3 and (-1, 2, -1)/3: their cosine is -1/2, and the kernels' its square.
        assert!(close(alignment(&a, &b), 0.25));
        assert!(close(alignment(&a, &a), 1.0));
        assert!(close(alignment(&(&a * 7.5), &b), 0.25));
        // A constant added to a kernel moves only the mean of its features.
        assert!(close(alignment(&(&a + 2.0), &b), 0.25));
        assert!(alignment(&Array2::ones((3, 3)), &b).is_nan());
    }

    #[test]
    fn spectra_by_hand() {
        // Eigenvalues 3 for (1, 1) and 1 for (1, -1).
        let spectrum = Spectrum::of(array![[2.0, 1.0], [1.0, 2.0]].view()).unwrap();
        assert!(close(spectrum.largest(), 3.0) && close(spectrum.smallest(), 1.0));
        assert!(close(spectrum.condition(), 3.0));
        assert!(close(spectrum.leading[[0, 0]], spectrum.leading[[1, 0]]));
        let indefinite = Spectrum::of(array![[0.0, 1.0], [1.0, 0.0]].view()).unwrap();
        assert_eq!(indefinite.condition(), f64::INFINITY);
    }

    #[test]
    fn overlap_is_the_mean_squared_cosine() {
        // Of seven axes, the first five lead in one matrix and the last five in the other: three are shared.
        let diagonal = |values: [f64; 7]| Array2::from_diag(&Array1::from_vec(values.to_vec()));
        let first = Spectrum::of(diagonal([9.0, 8.0, 7.0, 6.0, 5.0, 1.0, 0.5]).view()).unwrap();
        let last = Spectrum::of(diagonal([0.5, 1.0, 5.0, 6.0, 7.0, 8.0, 9.0]).view()).unwrap();
        assert!(close(first.overlap(&first), 1.0));
        assert!(close(first.overlap(&last), 0.6));
        // Fewer samples than LEADING: all of them.
        let small = Spectrum::of(array![[2.0, 1.0], [1.0, 2.0]].view()).unwrap();
        assert_eq!(small.leading.ncols(), 2);
        assert!(close(small.overlap(&small), 1.0));
    }

    #[test]
    fn means_of_measures() {
        let kernel = array![[1.0, 0.5], [0.5, 2.0]];
        let limit = array![[1.0, 0.0], [0.0, 1.0]];
        let (a, b) = (Spectrum::of(kernel.view()).unwrap(), Spectrum::of(limit.view()).unwrap());
        let one = Measures::of(&kernel, &a, &limit, &b);
        let two = Measures::of(&limit, &b, &limit, &b);
        let mean = Measures::mean([&one, &two].into_iter());
        assert!(close(mean.relative_error, 0.5 * one.relative_error));
        assert_eq!(mean.largest_error, 0.5);
        assert_eq!(one.values().len(), Measures::NAMES.len());
    }
}
