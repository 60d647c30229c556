//! A parameter that is updated where it lies.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Zip};
use rayon::prelude::*;
use widenet_model::host::Real;

use super::product::{Place, product};

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
    /// One pull of a matrix of parameters.
    pub fn apply(&self, value: ArrayViewMut2<T>) {
        match self {
            Pull::Free => (),
            Pull::ToStart { c, start } => {
                Zip::from(value).and(start).par_for_each(|w, &start| *w += *c * (start - *w));
            }
            Pull::ToZero { c } => {
                let keep = T::one() - *c;
                Zip::from(value).par_for_each(|w| *w *= keep);
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
        self.pull.apply(self.value.view_mut());
    }

    /// A pull and then `w <- w - rate a^T g`, with `a: [k, rows]` and `g: [k, columns]`.
    pub fn step(&mut self, rate: T, a: ArrayView2<T>, g: ArrayView2<T>) {
        self.pull();
        if g.nrows() > 0 {
            product(self.value.view_mut(), Place::Add, -rate, a.t(), g);
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
        // Pulled to [[1.5, 2], [3, 2]]; the gradient is [1, -1]^T [2, 4].
        parameter.step(0.25, array![[1.0, -1.0]].view(), array![[2.0, 4.0]].view());
        assert_eq!(parameter.value, array![[1.0, 1.0], [3.5, 3.0]]);

        let mut column = Parameter { value: array![[4.0], [8.0]], pull: Pull::ToZero { c: 0.25 } };
        column.step_column(0.5, &[2.0, -1.0], array![[1.0, 0.0], [0.0, 4.0]].view());
        assert_eq!(column.value, array![[2.0], [8.0]]);
        let mut row = Parameter { value: array![[4.0, 8.0]], pull: Pull::Free };
        row.step_row(0.5, array![[1.0, 2.0], [3.0, 4.0]].view());
        assert_eq!(row.value, array![[2.0, 5.0]]);
    }
}
