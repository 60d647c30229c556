//! Samples: features, what is said of each, and where they are from.

use std::path::PathBuf;

use ndarray::{Array2, s};

use crate::form::Form;
use crate::{DataError, Dataset, TableError};

/// `n` samples with `d` features each.
#[derive(Debug, Clone, PartialEq)]
pub struct Samples {
    /// The features, `[n, d]`.
    pub inputs: Array2<f64>,
    /// What is said of each sample.
    pub target: Target,
    /// The features' names, `[d]`; empty where they have none.
    pub names: Vec<String>,
    /// Channels, height and width of a sample that is a picture. Their product is `d`.
    pub image: Option<[usize; 3]>,
    /// Where they are from.
    pub origin: Origin,
}

/// What is said of samples, as text: a class's name, or a number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// One for each sample, `[n]`, nothing where it is missing; empty where there are no labels at all.
    pub labels: Vec<Option<String>>,
}

impl Target {
    /// The position of the first sample without a label.
    pub fn missing(&self) -> Option<usize> {
        self.labels.iter().position(Option::is_none)
    }

    /// The labels that are there, with the positions of their samples.
    pub fn known(&self) -> impl Iterator<Item = (usize, &str)> {
        self.labels.iter().enumerate().filter_map(|(i, label)| Some((i, label.as_deref()?)))
    }
}

/// Where samples are from, and how they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file or set.
    pub path: PathBuf,
    /// The line of each sample in the file, from 1, `[n]`; empty for pictures.
    pub lines: Vec<u64>,
    /// How the file was read; none for pictures.
    pub form: Option<Form>,
    /// What was found and not told, in a few words each.
    pub notes: Vec<String>,
}

impl Origin {
    /// Where a sample stands, for messages: `file:line`, or `set: image i`, from 1.
    pub fn place(&self, sample: usize) -> String {
        match self.lines.get(sample) {
            Some(line) => format!("{}:{line}", self.path.display()),
            None => format!("{}: image {}", self.path.display(), sample + 1),
        }
    }
}

impl Samples {
    /// Pictures of two classes: the first stands for -1, the second for +1.
    pub fn of_pictures(pictures: Dataset, classes: [u8; 2], path: impl Into<PathBuf>) -> Self {
        let label = |y: &f64| Some(classes[usize::from(*y > 0.0)].to_string());
        Self {
            target: Target { labels: pictures.labels.iter().map(label).collect() },
            inputs: pictures.inputs,
            names: Vec::new(),
            image: Some(pictures.shape),
            origin: Origin { path: path.into(), lines: Vec::new(), form: None, notes: Vec::new() },
        }
    }

    /// The first `n` samples.
    ///
    /// # Errors
    ///
    /// When there are fewer.
    pub fn first(mut self, n: usize) -> Result<Self, DataError> {
        let available = self.inputs.nrows();
        if n > available {
            let problem = TableError::Count { asked: n, available };
            return Err(DataError::Table { path: self.origin.path, problem });
        }
        self.inputs = self.inputs.slice_move(s![..n, ..]);
        self.target.labels.truncate(n);
        self.origin.lines.truncate(n);
        Ok(self)
    }
}
