//! A preconditioner from the kernel's most telling rows.

use ndarray::{Array1, Array2};

use super::cholesky::Cholesky;
use super::conjugate_gradients::KernelRows;

/// `M = L L^T + s I`, where `L: [n, r]` has the first `r` columns of the Cholesky factor of `K` with pivoting, and `s` is
/// the regularisation plus the mean of what `L L^T` lacks on the diagonal.
pub(super) struct Preconditioner {
    /// `L^T`, `[r, n]`.
    rows: Array2<f64>,
    shift: f64,
    /// Of `L^T L + s I`, `[r, r]`; none when `r = 0`.
    inner: Option<Cholesky>,
}

/// A pivot below this share of the first diagonal's sum is rounding.
const NOTHING: f64 = 1e-14;

impl Preconditioner {
    /// From at most `rank` rows of the kernel, each time that of the largest diagonal entry left (Harbrecht, Peters and
    /// Schneider, "On the low-rank approximation by the pivoted Cholesky decomposition", 2012).
    pub fn new<K: KernelRows>(kernel: &K, rank: usize, added: f64) -> Result<Self, K::Error> {
        let mut diagonal = kernel.diagonal()?;
        let n = diagonal.len();
        let nothing = NOTHING * diagonal.sum();
        let mut rows = Array2::zeros((0, n));
        while rows.nrows() < rank.min(n) {
            let pivot = (0..n).max_by(|&i, &j| diagonal[i].total_cmp(&diagonal[j])).expect("rank is below n");
            if diagonal[pivot] <= nothing {
                break;
            }
            let mut row = kernel.rows(pivot..pivot + 1)?.row(0).to_owned();
            let known: Array1<f64> = rows.column(pivot).to_owned();
            row -= &known.dot(&rows);
            row /= diagonal[pivot].sqrt();
            diagonal.zip_mut_with(&row, |d, l| *d = (*d - l * l).max(0.0));
            diagonal[pivot] = 0.0;
            rows.push_row(row.view()).expect("n numbers");
        }
        let shift = added + diagonal.sum() / n as f64;
        let inner = rows.dot(&rows.t()) + Array2::<f64>::from_diag_elem(rows.nrows(), shift);
        let inner = if rows.is_empty() { None } else { Cholesky::new(inner) };
        Ok(Self { rows, shift, inner })
    }

    /// `M^-1 v` for `v: [n, k]`, by Woodbury's formula.
    pub fn solve(&self, v: &Array2<f64>) -> Array2<f64> {
        match &self.inner {
            Some(inner) => (v - &self.rows.t().dot(&inner.solve(self.rows.dot(v).view()))) / self.shift,
            None => v / self.shift,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn it_is_the_inverse_when_the_rank_is_full() {
        let kernel = array![[4.0, 2.0, 0.0], [2.0, 5.0, 1.0], [0.0, 1.0, 2.0]];
        let all = Preconditioner::new(&kernel.view(), 3, 0.5).unwrap();
        let v = array![[1.0, 0.0], [-2.0, 1.0], [0.5, 3.0]];
        let back = (&kernel + &Array2::<f64>::eye(3) * 0.5).dot(&all.solve(&v));
        assert!((&back - &v).iter().all(|off| off.abs() < 1e-12), "{back}");
        // By hand: the pivot is 5; left over are 4 - 4/5 and 2 - 1/5, 5/3 in the mean.
        let one = Preconditioner::new(&kernel.view(), 1, 0.5).unwrap();
        assert!((one.shift - 0.5 - 5.0 / 3.0).abs() < 1e-14);
        assert_eq!(one.rows, array![[2.0, 5.0, 1.0]] / 5.0f64.sqrt());
        let none = Preconditioner::new(&kernel.view(), 0, 1.0).unwrap();
        assert_eq!(none.solve(&v), v / (1.0 + 11.0 / 3.0));
    }

    #[test]
    fn a_kernel_of_low_rank_ends_early() {
        let kernel = array![[1.0, 2.0], [2.0, 4.0]];
        assert_eq!(Preconditioner::new(&kernel.view(), 2, 0.1).unwrap().rows.nrows(), 1);
    }
}
