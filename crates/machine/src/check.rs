//! What is checked before a machine is trained.

use faer::traits::pulp::Arch;
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
    let Extremes { entry: scale, difference, zero } = Extremes::of(gram);
    // What is at fault is looked for when something is.
    let pairs = |below: fn(usize, usize) -> bool| {
        (0..gram.nrows()).flat_map(move |i| (0..gram.ncols()).take_while(move |&j| below(j, i)).map(move |j| (i, j)))
    };
    if zero.is_nan()
        && let Some((row, column)) = pairs(|_, _| true).find(|&pair| !gram[pair].is_finite())
    {
        return Err(MachineError::NotFinite { row, column, value: gram[[row, column]] });
    }
    let asymmetric = |&(i, j): &(usize, usize)| (gram[[i, j]] - gram[[j, i]]).abs() > ASYMMETRY * scale;
    if difference > ASYMMETRY * scale
        && let Some((row, column)) = pairs(|j, i| j < i).find(asymmetric)
    {
        let (value, mirror) = (gram[[row, column]], gram[[column, row]]);
        return Err(MachineError::NotSymmetric { row, column, value, mirror });
    }
    match gram.diag().iter().enumerate().find(|(_, value)| **value < 0.0) {
        None => Ok(()),
        Some((index, &value)) => Err(MachineError::NegativeDiagonal { index, value }),
    }
}

/// What one pass over a square matrix tells.
struct Extremes {
    /// The largest absolute value.
    entry: f64,
    /// The largest absolute difference from the mirror image.
    difference: f64,
    /// 0 when every entry is finite, else NaN.
    zero: f64,
}

/// Rows and columns that are compared with their mirror image at a time: long enough to be read in order, few enough to
/// stay in a core's second cache.
const BLOCK: usize = 256;

/// Values side by side, for vector instructions.
const LANES: usize = 8;

impl Extremes {
    /// Of a matrix `[n, n]`, block by block: reading down the columns of a large one would miss the cache every time.
    fn of(gram: ArrayView2<f64>) -> Self {
        let n = gram.nrows();
        let gram = gram.as_standard_layout();
        let rows = gram.as_slice().expect("the standard layout is contiguous");
        let blocks = (0..n.div_ceil(BLOCK)).into_par_iter();
        let none = || Self { entry: 0.0, difference: 0.0, zero: 0.0 };
        let of_block = |block| {
            Arch::new().dispatch(
                #[inline(always)]
                || Self::of_blocks(rows, n, block),
            )
        };
        blocks.map(of_block).reduce(none, |a, b| Self {
            entry: a.entry.max(b.entry),
            difference: a.difference.max(b.difference),
            zero: a.zero + b.zero,
        })
    }

    /// Of a row of blocks up to the diagonal, and their mirror images.
    #[inline(always)]
    fn of_blocks(rows: &[f64], n: usize, block: usize) -> Self {
        let (mut entry, mut difference, mut zero) = ([0.0f64; LANES], [0.0f64; LANES], [0.0f64; LANES]);
        let across = block * BLOCK..n.min((block + 1) * BLOCK);
        // A little longer than a power of 2, whose multiples share places in the cache.
        let mut mirror = vec![[0.0; BLOCK + LANES]; BLOCK];
        for start in (0..across.end).step_by(BLOCK) {
            let along = start..n.min(start + BLOCK);
            // The mirror image turned round, some rows at a time; nothing where the matrix ends.
            for j in (0..BLOCK).step_by(LANES) {
                let source: [&[f64]; LANES] = std::array::from_fn(|lane| match start + j + lane {
                    row if row < along.end => &rows[row * n..][across.clone()],
                    _ => &[0.0; BLOCK][..across.len()],
                });
                for (i, mirror) in mirror[..across.len()].iter_mut().enumerate() {
                    mirror[j..j + LANES].copy_from_slice(&source.map(|row| row[i]));
                }
            }
            for (row, mirror) in across.clone().zip(&mirror) {
                let mut here = [0.0; BLOCK];
                here[..along.len()].copy_from_slice(&rows[row * n..][along.clone()]);
                for (here, mirror) in here.as_chunks::<LANES>().0.iter().zip(mirror.as_chunks::<LANES>().0) {
                    for lane in 0..LANES {
                        let (a, b) = (here[lane], mirror[lane]);
                        let larger = if a.abs() > b.abs() { a.abs() } else { b.abs() };
                        entry[lane] = if larger > entry[lane] { larger } else { entry[lane] };
                        let off = (a - b).abs();
                        difference[lane] = if off > difference[lane] { off } else { difference[lane] };
                        zero[lane] += 0.0 * a + 0.0 * b;
                    }
                }
            }
        }
        let largest = |lanes: [f64; LANES]| lanes.into_iter().fold(0.0, f64::max);
        Self { entry: largest(entry), difference: largest(difference), zero: zero.iter().sum() }
    }
}

/// How much rounding may change the eigenvalues of a kernel `[n, n]` with a given diagonal: `8 n` units in the last place
/// of its largest entry, some for its own entries and some for a factorisation.
pub(crate) fn rounding(diagonal: ArrayView1<f64>) -> f64 {
    8.0 * diagonal.len() as f64 * f64::EPSILON * diagonal.iter().fold(0.0, |most: f64, d| most.max(d.abs()))
}

/// The error for values `[n, k]` that are not finite: names the first sample.
pub(crate) fn check_outputs(values: ArrayView2<f64>) -> Result<(), MachineError> {
    match values.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((sample, output), &value)) => Err(MachineError::Output { sample, output, value }),
    }
}

/// Checks that a symmetric Gram matrix `[n, n]` is positive semidefinite to rounding: no eigenvalue below
/// `-1e-10` of the largest. `O(n^3)`, so it is for kernels that come as a matrix from outside.
///
/// # Errors
///
/// With the smallest eigenvalue; and as for [`check_kernel`].
pub fn check_positive(gram: ArrayView2<f64>) -> Result<(), MachineError> {
    check_kernel(gram)?;
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
        let error = check_positive(array![[1.0, f64::NAN], [f64::NAN, 1.0]].view()).unwrap_err();
        assert!(matches!(error, MachineError::NotFinite { row: 0, column: 1, .. }), "{error}");
        // Singular is fine.
        assert!(check_positive(array![[1.0, 1.0], [1.0, 1.0]].view()).is_ok());
    }

    #[test]
    fn what_is_not_finite_is_found_wherever_it_is() {
        for (i, j) in [(0, 0), (3, 300), (300, 3), (255, 256), (269, 269)] {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                let mut gram = Array2::eye(301);
                gram[[i, j]] = value;
                assert!(matches!(check_kernel(gram.view()), Err(MachineError::NotFinite { row, column, .. })
                    if (row, column) == (i, j)));
            }
        }
    }

    #[test]
    fn asymmetry_is_found_wherever_it_is() {
        for (i, j) in [(300, 3), (256, 255), (299, 298), (1, 0)] {
            let mut gram = Array2::eye(301);
            gram[[i, j]] = 1e-3;
            assert!(matches!(check_kernel(gram.view()), Err(MachineError::NotSymmetric { row, column, .. })
                if (row, column) == (i, j)));
        }
    }
}
