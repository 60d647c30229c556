//! How a kernel matrix is cut into pieces that fit the memory.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use widenet_model::{Activation, Architecture, Layer, Shape};

/// Rows of a block of a limit kernel: enough to make what concerns its columns alone cheap, few enough to store often.
const LIMIT_ROWS: usize = 128;

/// Rows of a block of an empirical kernel, whose features are computed anew for every block.
const EMPIRICAL_ROWS: usize = 1024;

/// Blocks of rows, each computed in pieces of so many columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiling {
    /// Rows of a block.
    pub rows: usize,
    /// Columns computed at a time.
    pub columns: usize,
}

impl Tiling {
    /// The tiling of the limit kernel of `n` samples in `budget` bytes, or the bytes it takes at least.
    pub fn limit(architecture: &Architecture, n: usize, budget: u64) -> Result<Self, u64> {
        let sample = limit_sample_bytes(architecture);
        let row = row_bytes(n).saturating_add(sample);
        let all_columns = sample.saturating_mul(n as u64);
        let rows = budget.saturating_sub(all_columns) / row;
        if rows >= 16.min(n as u64) {
            return Ok(Self { rows: at_most(rows, LIMIT_ROWS.min(n)), columns: n });
        }
        // Where the columns do not fit at once, they share the memory with the rows.
        match budget / 2 / row {
            0 => Err(2 * row),
            rows => Ok(Self { rows: at_most(rows, LIMIT_ROWS.min(n)), columns: at_most(budget / 2 / sample, n) }),
        }
    }

    /// The tiling of an empirical kernel in `budget` bytes, where two samples' features take `pair` bytes, or the bytes
    /// it takes at least. A tile has features of so many samples twice, for its rows and its columns.
    pub fn empirical(pair: u64, n: usize, budget: u64) -> Result<Self, u64> {
        let rows = at_most(budget / 2 / row_bytes(n), EMPIRICAL_ROWS.min(n));
        match budget.saturating_sub(row_bytes(n) * rows as u64) / pair {
            tile if tile > 0 && budget / 2 >= row_bytes(n) => Ok(Self { rows, columns: at_most(tile, n) }),
            _ => Err(2 * pair.max(row_bytes(n))),
        }
    }

    /// The row ranges of the blocks of a matrix of this height.
    pub fn blocks(&self, height: usize) -> Vec<Range<usize>> {
        ranges(height, self.rows)
    }
}

/// The ranges of at most `size` of `n`.
pub fn ranges(n: usize, size: usize) -> Vec<Range<usize>> {
    (0..n).step_by(size).map(|start| start..(start + size).min(n)).collect()
}

fn at_most(count: u64, limit: usize) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX).clamp(1, limit)
}

/// A row of a block: its values and their bytes on the way to the disk.
fn row_bytes(n: usize) -> u64 {
    16 * n as u64
}

/// What the limit kernel holds per sample: two numbers per position, two more per activation and position, about 500
/// where it has no closed form.
fn limit_sample_bytes(architecture: &Architecture) -> u64 {
    fn positions(shape: Shape) -> usize {
        match shape {
            Shape::Flat(_) => 1,
            Shape::Image([_, height, width]) => height.saturating_mul(width),
        }
    }
    fn numbers(layers: &[Layer]) -> usize {
        let each = layers.iter().map(|layer| match layer {
            Layer::Activation(Activation::Tanh | Activation::Silu) => 500,
            Layer::Activation(_) => 2,
            Layer::Residual(residual) => numbers(&residual.branch) + numbers(&residual.shortcut),
            _ => 0,
        });
        each.sum()
    }
    let conv = architecture.layers().iter().any(|layer| matches!(layer, Layer::Conv(_) | Layer::Residual(_)));
    let most = if conv { positions(architecture.input()) } else { 1 };
    8 * (most as u64).saturating_mul(numbers(architecture.layers()) as u64 + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_everything_once() {
        assert_eq!(ranges(5, 2), [0..2, 2..4, 4..5]);
        assert!(ranges(0, 2).is_empty());
    }

    #[test]
    fn less_memory_means_fewer_rows() {
        let n = 1000;
        let rows = |budget| Tiling::empirical(100, n, budget).map(|tiling| tiling.rows);
        assert_eq!(rows(1 << 40), Ok(1000));
        assert_eq!(rows(64_000), Ok(2));
        assert_eq!(rows(10_000), Err(32_000));
    }
}
