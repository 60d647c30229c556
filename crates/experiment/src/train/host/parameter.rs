//! A parameter that is updated where it lies.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, Zip, s};
use rayon::prelude::*;
use widenet_model::host::{Place, Real, product_block};

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

/// Rows and columns of a block, which stays in a core's cache beside what it is multiplied with.
const ROWS: usize = 64;
const COLUMNS: usize = 2048;

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
        let bands = value.axis_chunks_iter_mut(Axis(0), ROWS).into_par_iter().enumerate();
        bands.for_each(|(band, value)| pull.apply([band * ROWS, 0], value));
    }

    /// A pull and then `w <- w - rate a^T g`, with `a: [k, rows]` and `g: [k, columns]`. Where derivatives are wanted
    /// below, `down: [k, rows]`, they come first: `down.1 <- down.0 g w^T`.
    ///
    /// All three are done to a block of `w` while it is in a core's cache: the weights of a wide layer do not fit, and
    /// reading and writing them is what takes the time when the loss pushes few samples.
    pub fn step(&mut self, rate: T, a: ArrayView2<T>, g: ArrayView2<T>, down: Option<(T, ArrayViewMut2<T>)>) {
        if g.nrows() == 0 {
            return self.pull();
        }
        let Self { value, pull } = self;
        let band = |band: usize, mut value: ArrayViewMut2<T>, mut down: Option<(T, ArrayViewMut2<T>)>| {
            let first = band * ROWS;
            let a = a.slice(s![.., first..first + value.nrows()]);
            for (block, mut value) in value.axis_chunks_iter_mut(Axis(1), COLUMNS).enumerate() {
                let start = block * COLUMNS;
                let g = g.slice(s![.., start..start + value.ncols()]);
                if let Some((scale, down)) = &mut down {
                    let place = if start == 0 { Place::Replace } else { Place::Add };
                    product_block(down.view_mut(), place, *scale, g, value.t());
                }
                pull.apply([first, start], value.view_mut());
                product_block(value, Place::Add, -rate, a.t(), g);
            }
        };
        let bands = value.axis_chunks_iter_mut(Axis(0), ROWS).into_par_iter().enumerate();
        match down {
            None => bands.for_each(|(index, value)| band(index, value, None)),
            Some((scale, mut down)) => {
                let down = down.axis_chunks_iter_mut(Axis(1), ROWS).into_par_iter();
                bands.zip(down).for_each(|((index, value), down)| band(index, value, Some((scale, down))));
            }
        }
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
        const COLUMNS: usize = 1024;
        let value = self.value.as_slice_mut().expect("a row or a column has one order");
        // The sum first, in a buffer that stays in the cache: added one by one, small terms would be lost in w.
        value.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, value)| {
            let columns = chunk * COLUMNS..chunk * COLUMNS + value.len();
            let mut sum = vec![T::zero(); value.len()];
            for (&factor, row) in factors.iter().zip(rows.rows()) {
                let row = row.to_slice().expect("row-major");
                sum.iter_mut().zip(&row[columns.clone()]).for_each(|(sum, &x)| *sum += factor * x);
            }
            value.iter_mut().zip(&sum).for_each(|(w, &sum)| *w -= rate * sum);
        });
    }
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
        parameter.step(0.25, array![[1.0, -1.0]].view(), array![[2.0, 4.0]].view(), Some((0.5, down.view_mut())));
        assert_eq!(parameter.value, array![[1.0, 1.0], [3.5, 3.0]]);
        assert_eq!(down, array![[6.0, 3.0]]);
    }

    #[test]
    fn a_step_by_blocks_is_the_whole_step() {
        // Whole numbers: sums are exact in any order.
        let numbers = |rows, columns, k: usize| {
            Array2::from_shape_fn((rows, columns), |(i, j)| ((i * k + j * (k + 2)) % 7) as f64 - 3.0)
        };
        let (rows, columns) = (2 * ROWS + 5, COLUMNS + 3);
        let (value, start) = (numbers(rows, columns, 3), numbers(rows, columns, 5));
        let (a, g) = (numbers(3, rows, 2), numbers(3, columns, 4));
        let mut parameter = Parameter { value: value.clone(), pull: Pull::ToStart { c: 0.5, start: start.clone() } };
        let mut down = Array2::zeros((3, rows));
        parameter.step(2.0, a.view(), g.view(), Some((4.0, down.view_mut())));
        assert_eq!(down, 4.0 * g.dot(&value.t()));
        assert_eq!(parameter.value, 0.5 * (&value + &start) - 2.0 * a.t().dot(&g));
        // With nothing pushed, the pull alone.
        parameter.step(2.0, a.slice(s![..0, ..]), g.slice(s![..0, ..]), None);
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
