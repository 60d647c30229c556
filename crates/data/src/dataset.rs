//! A labelled data set: a matrix of inputs and a vector of labels.

use ndarray::{Array1, Array2, s};

use crate::DataError;

/// `n` pictures with a label each, for a task with two classes.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The set's name, such as `mnist01`. A training set and its test set share it.
    pub name: String,
    /// The pictures, `[n, d]`: one in each row, flattened, scaled to [0, 1].
    ///
    /// A row runs through the channels, then the rows of the picture, then its columns.
    pub inputs: Array2<f64>,
    /// The labels, `[n]`: −1 or +1.
    pub labels: Array1<f64>,
    /// Channels, height and width of one picture. Their product is `d`.
    pub shape: [usize; 3],
}

impl Dataset {
    /// The number of pictures, `n`.
    pub fn len(&self) -> usize {
        self.inputs.nrows()
    }

    /// Whether there is no picture at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of values in one picture, `d`.
    pub fn dim(&self) -> usize {
        self.inputs.ncols()
    }

    /// The first `n` pictures with their labels, in the same order.
    ///
    /// # Errors
    ///
    /// [`DataError::BadCount`] when `n` is 0 or more than there are.
    pub fn first(&self, n: usize) -> Result<Self, DataError> {
        if n == 0 || n > self.len() {
            return Err(DataError::BadCount { name: self.name.clone(), asked: n, available: self.len() });
        }
        Ok(Self {
            name: self.name.clone(),
            inputs: self.inputs.slice(s![..n, ..]).to_owned(),
            labels: self.labels.slice(s![..n]).to_owned(),
            shape: self.shape,
        })
    }
}

/// A training set with its test set. The pictures of both have one shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// What the machine learns from.
    pub train: Dataset,
    /// What it is judged on.
    pub test: Dataset,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Dataset {
        Dataset {
            name: "three".into(),
            inputs: Array2::from_shape_fn((3, 4), |(i, j)| (4 * i + j) as f64 / 11.0),
            labels: Array1::from(vec![-1.0, 1.0, -1.0]),
            shape: [1, 2, 2],
        }
    }

    #[test]
    fn first_keeps_the_order_and_the_shape() {
        let all = three();
        let two = all.first(2).unwrap();
        assert_eq!((two.len(), two.dim(), two.shape), (2, 4, [1, 2, 2]));
        assert_eq!(two.inputs.row(1), all.inputs.row(1));
        assert_eq!(two.labels.to_vec(), [-1.0, 1.0]);
        assert!(!two.is_empty());
        assert_eq!(all.first(3).unwrap(), all);
    }

    #[test]
    fn first_refuses_none_and_too_many() {
        for asked in [0, 4, usize::MAX] {
            let error = three().first(asked).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("cannot take the first {asked} images of three: it must be between 1 and 3")
            );
        }
    }
}
