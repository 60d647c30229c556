//! What is checked before a machine is trained.

use faer::{Mat, Side};
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

use crate::error::MachineError;
use crate::loss::{Labels, Loss};

/// Checks that a Gram matrix is square with one row per label.
///
/// # Errors
///
/// When it is not.
pub fn check_gram(gram: ArrayView2<f64>, labels: ArrayView1<f64>) -> Result<(), MachineError> {
    let (rows, columns) = gram.dim();
    if rows != labels.len() || columns != labels.len() {
        return Err(MachineError::Shape { rows, columns, samples: labels.len() });
    }
    Ok(())
}

/// Checks that labels are -1 or +1.
///
/// # Errors
///
/// Names the first that is not.
pub fn check_labels(labels: ArrayView1<f64>) -> Result<(), MachineError> {
    match labels.iter().enumerate().find(|(_, y)| y.abs() != 1.0) {
        None => Ok(()),
        Some((index, &value)) => Err(MachineError::Label { index, value }),
    }
}

/// Checks labels against what a loss wants: finite values, or two classes -1 and +1 that both occur.
///
/// # Errors
///
/// Names what is wrong with them.
pub fn check_labels_for(loss: &dyn Loss, labels: ArrayView1<f64>) -> Result<(), MachineError> {
    match loss.labels() {
        Labels::Values => match labels.iter().enumerate().find(|(_, y)| !y.is_finite()) {
            None => Ok(()),
            Some((index, &value)) => Err(MachineError::LabelNotFinite { index, value }),
        },
        Labels::Classes => {
            check_labels(labels)?;
            match labels.first() {
                Some(&first) if labels.iter().all(|&y| y == first) => Err(MachineError::OneClass(first.to_string())),
                _ => Ok(()),
            }
        }
    }
}

/// Entries may differ from their mirror image by this much of the largest entry.
const ASYMMETRY: f64 = 1e-8;

/// Checks what a kernel's Gram matrix `[n, n]` must be and `O(n^2)` operations can tell: finite, symmetric (to 1e-8 of
/// its largest entry), with a diagonal `>= 0`.
///
/// # Errors
///
/// Names the entry at fault.
pub fn check_kernel(gram: ArrayView2<f64>) -> Result<(), MachineError> {
    let not_finite = (0..gram.nrows())
        .into_par_iter()
        .find_map_first(|i| gram.row(i).iter().position(|value| !value.is_finite()).map(|j| (i, j)));
    if let Some((row, column)) = not_finite {
        return Err(MachineError::NotFinite { row, column, value: gram[[row, column]] });
    }
    let scale = (0..gram.nrows())
        .into_par_iter()
        .map(|i| gram.row(i).fold(0.0, |a: f64, v| a.max(v.abs())))
        .reduce(|| 0.0, f64::max);
    let asymmetric = |(i, j): (usize, usize)| (gram[[i, j]] - gram[[j, i]]).abs() > ASYMMETRY * scale;
    // Block by block: reading down the columns of a large matrix would miss the cache every time.
    let block = 64;
    let found = (0..gram.nrows().div_ceil(block)).into_par_iter().find_map_first(|a| {
        let pairs = |b: usize| {
            let (rows, columns) = (a * block..gram.nrows().min((a + 1) * block), b * block..(b + 1) * block);
            rows.flat_map(move |i| columns.clone().take_while(move |&j| j < i).map(move |j| (i, j)))
        };
        (0..=a).flat_map(pairs).find(|&pair| asymmetric(pair))
    });
    if let Some((row, column)) = found {
        let (value, mirror) = (gram[[row, column]], gram[[column, row]]);
        return Err(MachineError::NotSymmetric { row, column, value, mirror });
    }
    match gram.diag().iter().enumerate().find(|(_, value)| **value < 0.0) {
        None => Ok(()),
        Some((index, &value)) => Err(MachineError::NegativeDiagonal { index, value }),
    }
}

/// Checks that a symmetric Gram matrix `[n, n]` is positive semidefinite to rounding: no eigenvalue below
/// `-1e-10` of the largest. `O(n^3)`, so it is for kernels that come as a matrix from outside.
///
/// # Errors
///
/// With the smallest eigenvalue.
pub fn check_positive(gram: ArrayView2<f64>) -> Result<(), MachineError> {
    let n = gram.nrows();
    let matrix = Mat::from_fn(n, n, |i, j| gram[[i, j]]);
    let eigenvalues = matrix.self_adjoint_eigenvalues(Side::Lower).map_err(|_| MachineError::Eigenvalues)?;
    match (eigenvalues.first(), eigenvalues.last()) {
        (Some(&smallest), Some(&largest)) if smallest < -1e-10 * largest.abs() => {
            Err(MachineError::NotPositive { smallest, jitter: -2.0 * smallest })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::{Hinge, Squared};
    use ndarray::{Array2, array};

    #[test]
    fn there_is_a_row_and_a_column_per_label() {
        assert!(check_gram(array![[1.0, 0.0]].view(), array![1.0].view()).is_err());
        assert!(check_gram(array![[1.0]].view(), array![1.0].view()).is_ok());
    }

    #[test]
    fn labels_fit_the_loss() {
        let text = |loss: &dyn Loss, labels: &[f64]| {
            check_labels_for(loss, ArrayView1::from(labels)).map_err(|error| error.to_string())
        };
        assert!(text(&Hinge, &[1.0, -1.0]).is_ok() && text(&Squared, &[0.3, 7.0]).is_ok());
        assert_eq!(text(&Hinge, &[1.0, 0.0]).unwrap_err(), "label 1 is 0: labels must be -1 or +1");
        assert_eq!(text(&Hinge, &[1.0, 1.0]).unwrap_err(), "every label is 1: there must be samples of both classes");
        assert_eq!(text(&Squared, &[1.0, f64::NAN]).unwrap_err(), "label 1 is NaN: labels must be finite");
    }

    #[test]
    fn kernels_are_finite_symmetric_and_positive() {
        let good = array![[2.0, 1.0], [1.0, 2.0]];
        assert!(check_kernel(good.view()).is_ok() && check_positive(good.view()).is_ok());
        let text = |gram: Array2<f64>| check_kernel(gram.view()).unwrap_err().to_string();
        assert_eq!(text(array![[1.0, f64::INFINITY], [0.0, 1.0]]), "kernel entry (0, 1) is inf: it must be finite");
        assert!(text(array![[1.0, 0.5], [0.25, 1.0]]).starts_with("the kernel is not symmetric: (1, 0) is 0.25"));
        assert!(
            text(array![[-1.0]]).starts_with("the kernel is not positive semidefinite: its diagonal entry 0 is -1")
        );
        // Eigenvalues 3 and -1.
        let error = check_positive(array![[1.0, 2.0], [2.0, 1.0]].view()).unwrap_err();
        let MachineError::NotPositive { smallest, jitter } = error else { panic!("{error}") };
        assert!((smallest + 1.0).abs() < 1e-14 && (jitter - 2.0).abs() < 1e-14);
        // Singular is fine.
        assert!(check_positive(array![[1.0, 1.0], [1.0, 1.0]].view()).is_ok());
    }

    #[test]
    fn asymmetry_is_found_wherever_it_is() {
        for (i, j) in [(130, 3), (64, 63), (199, 198), (1, 0)] {
            let mut gram = Array2::eye(200);
            gram[[i, j]] = 1e-3;
            assert!(matches!(check_kernel(gram.view()), Err(MachineError::NotSymmetric { row, column, .. })
                if (row, column) == (i, j)));
        }
    }
}
