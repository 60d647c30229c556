//! Making a symmetric matrix positive semidefinite by adding to its diagonal, and being sure of it.

use faer::Par;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use ndarray::{Array1, Array2, ArrayView1};

use crate::machine::norm;
use crate::region::EPS;

/// A diagonal `D >= 0`, a multiple of `shape`, such that `Q + D` is positive semidefinite: `[d]`. `None` when none was
/// found (the matrix holds something infinite).
///
/// The multiple is the least one that passes, to a few percent. It passes when the Cholesky factorisation of
/// `S + k I`, `S = shape^(-1/2) Q shape^(-1/2)`, runs to its end in floating point: then the least eigenvalue is
/// above `-(d+1) eps trace` (Rump, "Verification of positive definiteness", BIT 2006), which is added too.
pub(crate) fn semidefinite_shift(q: &Array2<f64>, shape: ArrayView1<f64>) -> Option<Array1<f64>> {
    let d = q.nrows();
    let root = shape.mapv(f64::sqrt);
    let scaled = Array2::from_shape_fn((d, d), |(i, j)| q[[i, j]] / (root[i] * root[j]));
    let trace: f64 = scaled.diag().iter().map(|v| v.abs()).sum();
    if !trace.is_finite() {
        return None;
    }
    let rounding = |k: f64| 8.0 * (d as f64 + 2.0) * EPS * (trace + d as f64 * k);
    let mut k = (-least_eigenvalue(&scaled)).max(0.0) * 1.005 + rounding(trace);
    for _ in 0..60 {
        if passes(&scaled, k) {
            return Some(shape.mapv(|s| (k + rounding(k)) * s));
        }
        k = 1.05 * k + rounding(k);
    }
    None
}

/// Whether the Cholesky factorisation of `S + k I` runs to its end.
fn passes(scaled: &Array2<f64>, k: f64) -> bool {
    let d = scaled.nrows();
    let mut factor = faer::Mat::from_fn(d, d, |i, j| if i == j { scaled[[i, j]] + k } else { scaled[[i, j]] });
    let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(d, Par::Seq, Default::default()));
    let memory = MemStack::new(&mut memory);
    let done = cholesky_in_place(factor.as_mut(), Default::default(), Par::Seq, memory, Default::default());
    done.is_ok() && (0..d).all(|i| factor[(i, i)].is_finite() && factor[(i, i)] > 0.0)
}

/// An estimate of the least eigenvalue by power iteration.
fn least_eigenvalue(s: &Array2<f64>) -> f64 {
    let largest = spectral_norm(s);
    // The largest eigenvalue of largest * I - S.
    let mut v = start(s.nrows());
    let mut estimate = 0.0;
    for _ in 0..60 {
        let next = &v * largest - s.dot(&v);
        let length = norm(next.view());
        if length == 0.0 {
            return largest;
        }
        estimate = largest - length;
        v = next / length;
    }
    estimate
}

/// An estimate of the largest absolute eigenvalue, from below.
pub(crate) fn spectral_norm(s: &Array2<f64>) -> f64 {
    let mut v = start(s.nrows());
    let mut length = 0.0;
    for _ in 0..30 {
        let next = s.dot(&v);
        length = norm(next.view());
        if length == 0.0 || !length.is_finite() {
            return 0.0;
        }
        v = next / length;
    }
    length
}

/// A unit vector that has something of every eigenvector, most likely.
fn start(d: usize) -> Array1<f64> {
    let v = Array1::from_shape_fn(d, |j| {
        1.0 + ((j * 7919 + 13) % 101) as f64 / 101.0 * if j % 2 == 0 { 1.0 } else { -1.0 }
    });
    let length = norm(v.view());
    v / length
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn shifts_by_hand() {
        // Eigenvalues 3 and -1: 1 has to be added.
        let shift = semidefinite_shift(&array![[1.0, 2.0], [2.0, 1.0]], array![1.0, 1.0].view()).unwrap();
        assert!(shift[0] >= 1.0 && shift[0] < 1.06, "{shift}");
        // Nothing, or nearly, where all is well.
        let shift = semidefinite_shift(&array![[2.0, 1.0], [1.0, 2.0]], array![1.0, 1.0].view()).unwrap();
        assert!(shift[0] < 1e-12);
        // In the shape asked for: diag(-1, -4) with the shape (1, 4).
        let shift = semidefinite_shift(&array![[-1.0, 0.0], [0.0, -4.0]], array![1.0, 4.0].view()).unwrap();
        assert!(shift[0] >= 1.0 && shift[0] < 1.06 && (shift[1] - 4.0 * shift[0]).abs() < 1e-14);
        assert!(semidefinite_shift(&array![[f64::NAN]], array![1.0].view()).is_none());
    }

    #[test]
    fn factorisations_tell_by_hand() {
        // Eigenvalues 3 + k and -1 + k.
        let q = array![[1.0, 2.0], [2.0, 1.0]];
        assert!(passes(&q, 1.001) && !passes(&q, 0.999) && !passes(&q, f64::NAN));
    }

    /// Eigenvalues so close that the estimate falls short: the factorisation has to tell.
    #[test]
    fn shifts_are_large_enough_where_estimates_are_not() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(4);
        for _ in 0..5 {
            let q = Array2::from_shape_fn((150, 150), |_| random.random_range(-1.0..1.0));
            let q = &q + &q.t();
            let shape = Array1::from_shape_fn(150, |_| random.random_range(0.5..2.0));
            let shift = semidefinite_shift(&q, shape.view()).unwrap();
            let shifted = faer::Mat::from_fn(150, 150, |i, j| q[[i, j]] + if i == j { shift[i] } else { 0.0 });
            let values = shifted.self_adjoint_eigenvalues(faer::Side::Lower).unwrap();
            let (least, most) = (values[0], values[149]);
            assert!(least > -1e-13 * most && least < 0.06 * most, "{least} {most}");
        }
    }
}
