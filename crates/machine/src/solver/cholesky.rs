//! The Cholesky factorisation of a Gram matrix.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::cholesky::llt::solve::solve_in_place;
use faer::{MatMut, MatRef, Par};
use ndarray::{Array2, ArrayView2};

/// Parts that the work is cut in, whatever the number of threads: sums depend on where it is cut.
fn parts() -> Par {
    Par::rayon(16)
}

/// `A = L L^T` for a symmetric positive definite `A: [n, n]`.
pub(crate) struct Cholesky {
    /// In the upper triangle of the rows: `L^T`.
    factor: Array2<f64>,
}

impl Cholesky {
    /// Factors a symmetric matrix, in its own memory; `None` when it is not positive definite to rounding.
    pub fn new(matrix: Array2<f64>) -> Option<Self> {
        let n = matrix.nrows();
        let mut factor = if matrix.is_standard_layout() { matrix } else { matrix.as_standard_layout().into_owned() };
        let slice = factor.as_slice_mut().expect("the standard layout is contiguous");
        // Rows of a symmetric matrix are its columns.
        let columns = MatMut::from_column_major_slice_mut(slice, n, n);
        let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(n, parts(), Default::default()));
        let stack = MemStack::new(&mut memory);
        cholesky_in_place(columns, Default::default(), parts(), stack, Default::default()).ok()?;
        // A pivot that is rounding noise passes as positive: the factor would be worthless.
        factor.diag().iter().all(|pivot| pivot.is_finite()).then_some(Self { factor })
    }

    /// `A^-1 b` for `b: [n, k]`.
    pub fn solve(&self, right: ArrayView2<f64>) -> Array2<f64> {
        let (n, k) = right.dim();
        // Column after column, as the solver wants it.
        let mut columns: Vec<f64> = right.t().iter().copied().collect();
        let factor = self.factor.as_slice().expect("made contiguous");
        let factor = MatRef::from_column_major_slice(factor, n, n);
        let solution = MatMut::from_column_major_slice_mut(&mut columns, n, k);
        solve_in_place(factor, solution, parts(), MemStack::new(&mut []));
        Array2::from_shape_vec((k, n), columns).expect("n k numbers").reversed_axes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn solves_by_hand() {
        let factor = Cholesky::new(array![[4.0, 2.0], [2.0, 5.0]]).unwrap();
        // L = [[2, 0], [1, 2]].
        assert_eq!(factor.factor[[0, 0]], 2.0);
        let solution = factor.solve(array![[8.0, 4.0], [12.0, 2.0]].view());
        assert_eq!(solution, array![[1.0, 1.0], [2.0, 0.0]]);
    }

    #[test]
    fn what_is_not_definite_has_no_factor() {
        assert!(Cholesky::new(array![[1.0, 2.0], [2.0, 1.0]]).is_none());
    }
}
