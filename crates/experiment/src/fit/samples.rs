//! Samples with a label each, from a table or a set of images.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use ndarray::{Array2, s};
use widenet_data::{DataError, Dataset, Split, Table};
use widenet_machine::{Classes, SavedMachine};
use widenet_model::Shape;

use crate::config::{DataConfig, defaults};
use crate::data_source;
use crate::error::Error;
use crate::kernel::classes;

/// Where samples come from.
#[derive(Args)]
pub(crate) struct SampleArgs {
    /// The samples: a table, CSV (name ending in .csv) or in LIBSVM's format; or mnist01, mnist, or a folder with four IDX
    /// files named as MNIST's (fit takes its training images, predict its test images)
    pub data: PathBuf,
    /// The label's column in a CSV file, by name or number from 1 [default: the last]. Only for CSV: LIBSVM's format begins
    /// every line with the label
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// The two digits of images [default: 0,1; to predict, those that the machine tells apart]
    #[arg(long, value_name = "DIGIT,DIGIT", value_parser = classes)]
    classes: Option<[u8; 2]>,
    /// The first so many samples [default: all]
    #[arg(long, value_name = "N")]
    n: Option<NonZeroUsize>,
    /// The folder with downloaded data sets [default: the user's data folder]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
}

/// Samples with a label each.
pub(super) struct Samples {
    /// `[n, d]`.
    pub inputs: Array2<f64>,
    /// `[n]`; empty when a table has none.
    pub labels: Vec<String>,
    /// The features' names, `[d]`; empty without a table's header.
    pub features: Vec<String>,
    /// Of one sample.
    pub shape: Shape,
    /// Where they are from.
    source: PathBuf,
    /// Each one's line there, `[n]`; empty for images.
    lines: Vec<u64>,
}

impl Samples {
    /// What is wrong with a sample's label, and where it stands.
    pub fn wrong_label(&self, i: usize, problem: impl Display) -> Error {
        let problem = format!("label {:?} {problem}", self.labels[i]);
        match self.lines.get(i) {
            Some(&line) => DataError::Line { path: self.source.clone(), line, problem }.into(),
            None => Error::file(&self.source, format!("image {}: {problem}", i + 1)),
        }
    }

    /// The labels as numbers.
    pub fn numbers(&self) -> Result<Vec<f64>, Error> {
        let number = |(i, label): (usize, &String)| {
            let value = label.parse().ok().filter(|value: &f64| value.is_finite());
            value.ok_or_else(|| self.wrong_label(i, "is not a finite number"))
        };
        self.labels.iter().enumerate().map(number).collect()
    }

    /// The labels as positions among the classes that a machine knows.
    pub fn positions(&self, classes: &[String]) -> Result<Vec<usize>, Error> {
        let position = |(i, label): (usize, &String)| {
            let unknown = || self.wrong_label(i, format!("is not one of the machine's classes {classes:?}"));
            Classes::position(classes, label).ok_or_else(unknown)
        };
        self.labels.iter().enumerate().map(position).collect()
    }
}

impl SampleArgs {
    /// What a machine is fitted to.
    pub fn training(&self) -> Result<Samples, Error> {
        if !self.are_images() {
            return self.table(None);
        }
        self.images(self.classes.unwrap_or_else(defaults::classes), |split| split.train)
    }

    /// What a machine predicts.
    pub fn new_ones(&self, machine: &SavedMachine) -> Result<Samples, Error> {
        let features = machine.inputs.ncols();
        if !self.are_images() {
            let samples = self.table(Some(features))?;
            data_source::check_features(&self.data, &samples.features, &machine.features)?;
            return Ok(samples);
        }
        let samples = self.images(self.digits(machine)?, |split| split.test)?;
        match samples.inputs.ncols() {
            found if found == features => Ok(samples),
            found => Err(Error::file(&self.data, format!("{found} pixels, but {features} features are wanted"))),
        }
    }

    fn are_images(&self) -> bool {
        self.data.is_dir() || ["mnist01", "mnist"].iter().any(|name| self.data.as_os_str() == *name)
    }

    /// The digits of images that a machine predicts.
    fn digits(&self, machine: &SavedMachine) -> Result<[u8; 2], Error> {
        // mnist01 has no others than 0 and 1, and a machine fitted to numbers knows no classes.
        if self.classes.is_some() || self.data.as_os_str() == "mnist01" || machine.classes.is_empty() {
            return Ok(self.classes.unwrap_or_else(defaults::classes));
        }
        let known = |digit: &u8| Classes::position(&machine.classes, &digit.to_string()).is_some();
        let digits: Vec<u8> = (0..=u8::MAX).filter(known).collect();
        digits.try_into().map_err(|_| {
            let problem =
                format!("the machine's classes {:?} are not two digits: name two by --classes", machine.classes);
            Error::Setting(problem)
        })
    }

    fn images(&self, classes: [u8; 2], part: impl Fn(Split) -> Dataset) -> Result<Samples, Error> {
        let source = self.data.display().to_string();
        if let Some(label) = &self.label {
            return Err(Error::Setting(format!("--label {label}: {source} is no table")));
        }
        let config = DataConfig { source, classes, train: None, test: None };
        let mut images = part(data_source::load(&config, self.data_dir.as_deref())?);
        if let Some(n) = self.n {
            images = images.first(n.get())?;
        }
        // The first class is -1.
        let labels = images.labels.iter().map(|&y| classes[usize::from(y > 0.0)].to_string()).collect();
        Ok(Samples {
            inputs: images.inputs,
            labels,
            features: Vec::new(),
            shape: Shape::Image(images.shape),
            source: self.data.clone(),
            lines: Vec::new(),
        })
    }

    fn table(&self, features: Option<usize>) -> Result<Samples, Error> {
        if self.classes.is_some() {
            return Err(Error::Setting("--classes is for images: a table's labels name its classes".into()));
        }
        let Table { mut inputs, mut labels, features, lines } =
            Table::read(&self.data, self.label.as_deref(), features)?;
        let n = self.n.map_or(inputs.nrows(), NonZeroUsize::get);
        if n > inputs.nrows() {
            return Err(Error::file(&self.data, format!("{} samples, but {n} are wanted", inputs.nrows())));
        }
        inputs = inputs.slice_move(s![..n, ..]);
        labels.truncate(n);
        let shape = Shape::Flat(inputs.ncols());
        Ok(Samples { inputs, labels, features, shape, source: self.data.clone(), lines })
    }
}
