//! Samples with a label each, from a table or a set of images.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use ndarray::{Array2, s};
use widenet_data::{Dataset, Split, Table};
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
    /// The label's column in a CSV file, by name or number from 1 [default: the last]
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// The two digits of images [default: 0,1]
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
    /// Of one sample.
    pub shape: Shape,
}

impl SampleArgs {
    /// What a machine is fitted to.
    pub fn training(&self) -> Result<Samples, Error> {
        if self.are_images() { self.images(|split| split.train) } else { self.table(None) }
    }

    /// What a machine of so many features predicts.
    pub fn new_ones(&self, features: usize) -> Result<Samples, Error> {
        if !self.are_images() {
            return self.table(Some(features));
        }
        let samples = self.images(|split| split.test)?;
        match samples.inputs.ncols() {
            found if found == features => Ok(samples),
            found => Err(Error::file(&self.data, format!("{found} pixels, but {features} features are wanted"))),
        }
    }

    fn are_images(&self) -> bool {
        self.data.is_dir() || ["mnist01", "mnist"].iter().any(|name| self.data.as_os_str() == *name)
    }

    fn images(&self, part: impl Fn(Split) -> Dataset) -> Result<Samples, Error> {
        let source = self.data.display().to_string();
        if let Some(label) = &self.label {
            return Err(Error::Setting(format!("--label {label}: {source} is no table")));
        }
        let classes = self.classes.unwrap_or_else(defaults::classes);
        let config = DataConfig { source, classes, train: None, test: None };
        let mut images = part(data_source::load(&config, self.data_dir.as_deref())?);
        if let Some(n) = self.n {
            images = images.first(n.get())?;
        }
        // The first class is -1.
        let labels = images.labels.iter().map(|&y| classes[usize::from(y > 0.0)].to_string()).collect();
        Ok(Samples { inputs: images.inputs, labels, shape: Shape::Image(images.shape) })
    }

    fn table(&self, features: Option<usize>) -> Result<Samples, Error> {
        if self.classes.is_some() {
            return Err(Error::Setting("--classes is for images: a table's labels name its classes".into()));
        }
        let Table { mut inputs, mut labels } = Table::read(&self.data, self.label.as_deref(), features)?;
        let n = self.n.map_or(inputs.nrows(), NonZeroUsize::get);
        if n > inputs.nrows() {
            return Err(Error::file(&self.data, format!("{} samples, but {n} are wanted", inputs.nrows())));
        }
        inputs = inputs.slice_move(s![..n, ..]);
        labels.truncate(n);
        let shape = Shape::Flat(inputs.ncols());
        Ok(Samples { inputs, labels, shape })
    }
}
