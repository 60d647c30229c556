//! Products of kernel rows with coefficients.

use std::borrow::Cow;

use faer::traits::pulp::Arch;
use ndarray::{ArrayView1, ArrayView2};
use rayon::prelude::*;

/// Rows that are read side by side: enough to wait for memory together, and the coefficients are read once for all.
const ROWS: usize = 8;

/// Sums kept side by side for each row, as many as a vector register holds.
const LANES: usize = 4;

/// So many products take less time than to share them among threads.
const SMALL: usize = 1 << 15;

/// `sum_j K[i, j] alpha_j` for each `i` of `rows`, in parallel over rows. The kernel's numbers may be f32, half as much
/// memory to read, which is what takes the time; they are multiplied and summed in f64 all the same. A row's sum does
/// not depend on the others.
pub(crate) fn rows_times<T: Copy + Into<f64> + Send + Sync>(
    kernel: ArrayView2<T>,
    rows: &[usize],
    alpha: ArrayView1<f64>,
) -> Vec<f64> {
    assert_eq!(kernel.ncols(), alpha.len(), "a coefficient per column");
    let alpha = contiguous(alpha);
    let sums = |group: &[usize]| {
        let group: Vec<Cow<[T]>> =
            group.iter().map(|&i| contiguous(kernel.index_axis_move(ndarray::Axis(0), i))).collect();
        let count = group.len();
        // Of a group that is not full the last row fills the place.
        let slices: [&[T]; ROWS] = std::array::from_fn(|r| &*group[r.min(count - 1)]);
        Arch::new()
            .dispatch(
                #[inline(always)]
                || dots(slices, &alpha),
            )
            .into_iter()
            .take(count)
    };
    if rows.len() * alpha.len() <= SMALL {
        return rows.chunks(ROWS).flat_map(sums).collect();
    }
    rows.par_chunks(ROWS).flat_map_iter(sums).collect()
}

fn contiguous<T: Copy>(vector: ArrayView1<'_, T>) -> Cow<'_, [T]> {
    vector.to_slice().map_or_else(|| Cow::Owned(vector.to_vec()), Cow::Borrowed)
}

#[inline(always)]
fn dots<T: Copy + Into<f64>>(rows: [&[T]; ROWS], vector: &[f64]) -> [f64; ROWS] {
    let mut sums = [[0.0; LANES]; ROWS];
    let (blocks, rest) = vector.as_chunks::<LANES>();
    let rows = rows.map(|row| row.as_chunks::<LANES>());
    for (b, block) in blocks.iter().enumerate() {
        for (sums, (row, _)) in sums.iter_mut().zip(rows) {
            for (sum, (&k, &value)) in sums.iter_mut().zip(row[b].iter().zip(block)) {
                *sum += k.into() * value;
            }
        }
    }
    std::array::from_fn(|r| {
        let last = rows[r].1.iter().zip(rest).map(|(&k, &value)| k.into() * value);
        sums[r].iter().sum::<f64>() + last.sum::<f64>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array1, Array2};

    #[test]
    fn rows_of_any_length_and_number_by_definition() {
        for n in [1, 7, 8, 29, 200] {
            // Whole numbers: sums are exact in any order.
            let kernel = Array2::from_shape_fn((n, n), |(i, j)| (3 * i + 2 * j) as f32 - 5.0);
            let alpha = Array1::from_shape_fn(n, |j| j as f64 - 3.0);
            let expected = kernel.mapv(f64::from).dot(&alpha);
            for count in 1..=n.min(9) {
                let rows: Vec<usize> = (0..count).map(|i| (5 * i + 1) % n).collect();
                let expected: Vec<f64> = rows.iter().map(|&i| expected[i]).collect();
                assert_eq!(rows_times(kernel.view(), &rows, alpha.view()), expected);
                assert_eq!(rows_times(kernel.mapv(f64::from).view(), &rows, alpha.view()), expected);
            }
            // Rows that are columns in memory.
            let all: Vec<usize> = (0..n).collect();
            assert_eq!(rows_times(kernel.t(), &all, alpha.view()), kernel.t().mapv(f64::from).dot(&alpha).to_vec());
        }
    }

    /// What f32 cannot tell apart is told by sums in f64.
    #[test]
    fn sums_are_in_f64() {
        let kernel = Array2::from_elem((1, 3), 1.0f32);
        let alpha = Array1::from_vec(vec![1e9, 1.0, -1e9]);
        assert_eq!(rows_times(kernel.view(), &[0], alpha.view()), [1.0]);
    }
}
