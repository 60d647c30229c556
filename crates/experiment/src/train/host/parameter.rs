//! A parameter that is updated where it lies.

use std::ops::Range;

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, Zip, s};
use rayon::prelude::*;
use widenet_model::host::{Place, Real, product_block};

/// Most rows and columns of a block, which stays in a core's cache beside what it is multiplied with.
const ROWS: usize = 128;
const COLUMNS: usize = 512;

/// Most samples whose gradients are summed in one product: longer sums are taken in parts, and where these end would
/// depend on the samples that are left out.
pub const GROUP: usize = 512;

/// Samples that must stay in a group, for layers whose sides are at least so long: fewer are multiplied by other routines
/// (gemm has some for products with up to 256 results, and for sums of up to two terms), which round differently.
pub fn least(side: usize) -> usize {
    match side {
        0 | 1 => GROUP,
        side => 256 / side.min(ROWS / 2) + 1,
    }
}

/// What the regulariser does to a parameter in one step, before the loss pushes it.
#[derive(Clone, Debug)]
pub enum Pull<T> {
    /// Nothing.
    Free,
    /// `w <- w + c (w_0 - w)`.
    ToStart {
        /// The learning rate times the regularisation.
        c: T,
        /// `w_0`, of the parameter's shape.
        start: Array2<T>,
    },
    /// `w <- (1 - c) w`.
    ToZero {
        /// The learning rate times the regularisation.
        c: T,
    },
}

impl<T: Real> Pull<T> {
    /// One pull of a block of a matrix of parameters, from row and column `corner` on.
    pub fn apply(&self, corner: [usize; 2], mut value: ArrayViewMut2<T>) {
        match self {
            Pull::Free => (),
            Pull::ToStart { c, start } => {
                let [i, j] = corner;
                let start = start.slice(s![i..i + value.nrows(), j..j + value.ncols()]);
                Zip::from(value).and(start).for_each(|w, &start| *w += *c * (start - *w));
            }
            Pull::ToZero { c } => {
                let keep = T::one() - *c;
                value.map_inplace(|w| *w *= keep);
            }
        }
    }
}

/// A matrix of trained numbers.
#[derive(Clone, Debug)]
pub struct Parameter<T> {
    /// The present values.
    pub value: Array2<T>,
    /// What the regulariser does to them.
    pub pull: Pull<T>,
}

impl<T: Real> Parameter<T> {
    /// One pull of the regulariser.
    pub fn pull(&mut self) {
        let Self { value, pull } = self;
        blocks(value.view_mut()).for_each(|(corner, block)| pull.apply(corner, block));
    }

    /// A pull and then `w <- w - rate a^T g`, with `a: [k, rows]` and `g: [k, columns]`, summed over one group of samples
    /// after the other. Where `down = (s, d)` is given, `d: [k, rows]` first becomes `s g w^T`, with `w` as it was.
    ///
    /// All three are done to a block of `w` while it is in a core's cache: the weights of a wide layer do not fit, and
    /// reading and writing them is what takes the time when the loss pushes few samples.
    ///
    /// A sample whose row of `g` is zero may be left out of its group without changing a bit, as long as [`least`] are
    /// left and a group has no more than [`GROUP`].
    pub fn step(
        &mut self,
        rate: T,
        a: ArrayView2<T>,
        g: ArrayView2<T>,
        groups: &[Range<usize>],
        down: Option<(T, ArrayViewMut2<T>)>,
    ) {
        let Self { value, pull } = self;
        let change = |[i, j]: [usize; 2], mut block: ArrayViewMut2<T>| {
            pull.apply([i, j], block.view_mut());
            let (rows, columns) = (i..i + block.nrows(), j..j + block.ncols());
            for group in groups {
                let (a, g) = (a.slice(s![group.clone(), rows.clone()]), g.slice(s![group.clone(), columns.clone()]));
                product_block(block.view_mut(), Place::Add, -rate, a.t(), g);
            }
        };
        let Some((scale, down)) = down else {
            return blocks(value.view_mut()).for_each(|(corner, block)| change(corner, block));
        };
        let bands = split(value.view_mut(), Axis(0), ROWS).into_par_iter();
        bands.zip(split(down, Axis(1), ROWS)).for_each(|((i, band), (_, mut down))| {
            down.fill(T::zero());
            let mut part = Array2::zeros(down.dim());
            for (j, block) in split(band, Axis(1), COLUMNS) {
                let g = g.slice(s![.., j..j + block.ncols()]);
                product_block(part.view_mut(), Place::Replace, scale, g, block.t());
                down += &part;
                change([i, j], block);
            }
        });
    }

    /// A pull and then `w <- w - rate sum_k p_k a_k` for a column `[rows, 1]`, with `p: [k]` and `a: [k, rows]`.
    pub fn step_column(&mut self, rate: T, p: &[T], a: ArrayView2<T>) {
        self.pull();
        self.subtract_sum(rate, p, a);
    }

    /// A pull and then `w <- w - rate sum_k g_k` for a row `[1, columns]`, with `g: [k, columns]`.
    pub fn step_row(&mut self, rate: T, g: ArrayView2<T>) {
        self.pull();
        self.subtract_sum(rate, &vec![T::one(); g.nrows()], g);
    }

    fn subtract_sum(&mut self, rate: T, factors: &[T], rows: ArrayView2<T>) {
        const CHUNK: usize = 1024;
        let value = self.value.as_slice_mut().expect("a row or a column has one order");
        // The sum first, in a buffer that stays in the cache: added one by one, small terms would be lost in w.
        value.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, value)| {
            let columns = chunk * CHUNK..chunk * CHUNK + value.len();
            let mut sum = vec![T::zero(); value.len()];
            for (&factor, row) in factors.iter().zip(rows.rows()) {
                let row = row.to_slice().expect("row-major");
                sum.iter_mut().zip(&row[columns.clone()]).for_each(|(sum, &x)| *sum += factor * x);
            }
            value.iter_mut().zip(&sum).for_each(|(w, &sum)| *w -= rate * sum);
        });
    }
}

/// A matrix in equal parts along an axis, none longer than `most`; each with its place.
fn split<T>(matrix: ArrayViewMut2<T>, axis: Axis, most: usize) -> Vec<(usize, ArrayViewMut2<T>)> {
    let length = matrix.len_of(axis);
    let count = length.div_ceil(most);
    let (mut parts, mut rest) = (Vec::with_capacity(count), matrix);
    for part in 0..count {
        let (start, end) = (part * length / count, (part + 1) * length / count);
        let (first, last) = rest.split_at(axis, end - start);
        parts.push((start, first));
        rest = last;
    }
    parts
}

/// A matrix in blocks, for all cores; each with the place of its corner.
fn blocks<T: Real>(matrix: ArrayViewMut2<T>) -> impl ParallelIterator<Item = ([usize; 2], ArrayViewMut2<T>)> {
    split(matrix, Axis(0), ROWS)
        .into_par_iter()
        .flat_map(|(i, band)| split(band, Axis(1), COLUMNS).into_par_iter().map(move |(j, block)| ([i, j], block)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn steps_by_hand() {
        let start = array![[1.0, 2.0], [3.0, 4.0]];
        let mut parameter = Parameter { value: array![[2.0, 2.0], [3.0, 0.0]], pull: Pull::ToStart { c: 0.5, start } };
        // Pulled to [[1.5, 2], [3, 2]]; the gradient is [1, -1]^T [2, 4]. Below arrives [2, 4] w^T of the weights before.
        let mut down = Array2::zeros((1, 2));
        parameter.step(
            0.25,
            array![[1.0, -1.0]].view(),
            array![[2.0, 4.0]].view(),
            std::slice::from_ref(&(0..1)),
            Some((0.5, down.view_mut())),
        );
        assert_eq!(parameter.value, array![[1.0, 1.0], [3.5, 3.0]]);
        assert_eq!(down, array![[6.0, 3.0]]);
    }

    #[test]
    fn a_step_by_blocks_is_the_whole_step() {
        // Whole numbers: sums are exact in any order.
        let numbers = |rows, columns, k: usize| {
            Array2::from_shape_fn((rows, columns), |(i, j)| ((i * k + j * (k + 2)) % 7) as f64 - 3.0)
        };
        let (rows, columns) = (2 * ROWS + 5, 2 * COLUMNS + 3);
        let (value, start) = (numbers(rows, columns, 3), numbers(rows, columns, 5));
        let (a, g) = (numbers(3, rows, 2), numbers(3, columns, 4));
        let mut parameter = Parameter { value: value.clone(), pull: Pull::ToStart { c: 0.5, start: start.clone() } };
        let mut down = Array2::zeros((3, rows));
        parameter.step(2.0, a.view(), g.view(), &[0..2, 2..3], Some((4.0, down.view_mut())));
        assert_eq!(down, 4.0 * g.dot(&value.t()));
        assert_eq!(parameter.value, 0.5 * (&value + &start) - 2.0 * a.t().dot(&g));
        // With nothing pushed, the pull alone.
        parameter.step(2.0, a.slice(s![..0, ..]), g.slice(s![..0, ..]), &[], None);
        assert_eq!(parameter.value, 0.25 * &value + 0.75 * &start - a.t().dot(&g));
    }

    #[test]
    fn rows_and_columns_by_hand() {
        let mut column = Parameter { value: array![[4.0], [8.0]], pull: Pull::ToZero { c: 0.25 } };
        column.step_column(0.5, &[2.0, -1.0], array![[1.0, 0.0], [0.0, 4.0]].view());
        assert_eq!(column.value, array![[2.0], [8.0]]);
        let mut row = Parameter { value: array![[4.0, 8.0]], pull: Pull::Free };
        row.step_row(0.5, array![[1.0, 2.0], [3.0, 4.0]].view());
        assert_eq!(row.value, array![[2.0, 5.0]]);
    }
}
