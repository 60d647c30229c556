//! Samples with a label each, from a table or a set of images.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use widenet_data::{Dataset, Form, Format, Known, Samples, Split};
use widenet_machine::{Classes, SavedMachine};
use widenet_model::Shape;
use widenet_store::numbers::{count, number};
use widenet_store::text::quoted;

use crate::config::{DataConfig, defaults};
use crate::data_source::{self, TableArgs};
use crate::error::Error;
use crate::kernel::classes;
use crate::understood;

/// Where samples come from.
#[derive(Args)]
pub(crate) struct SampleArgs {
    /// The samples: a table, CSV (separated by commas, semicolons, tabs or |) or in LIBSVM's format, packed by gzip or not, -
    /// for standard input; or mnist01, mnist, or a folder with four IDX files named as MNIST's (fit takes its training
    /// images, predict its test images)
    pub data: PathBuf,
    #[command(flatten)]
    table: TableArgs,
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

/// The shape of one sample.
pub(super) fn shape(samples: &Samples) -> Shape {
    samples.image.map_or(Shape::Flat(samples.inputs.ncols()), Shape::Image)
}

/// What is wrong with a sample's label, and where it stands.
pub(super) fn wrong_label(samples: &Samples, i: usize, problem: impl Display) -> Error {
    let label = samples.target.labels[i].as_deref().unwrap_or_default();
    Error::file(samples.origin.place(i), format!("label {} {problem}", quoted(label)))
}

/// The labels that are there as numbers, with the positions of their samples.
pub(super) fn numbers(samples: &Samples) -> Result<Vec<(usize, f64)>, Error> {
    let value = |(i, label): (usize, &str)| {
        let value = label.parse().ok().filter(|value: &f64| value.is_finite());
        value.map(|value| (i, value)).ok_or_else(|| wrong_label(samples, i, "is not a finite number"))
    };
    samples.target.known().map(value).collect()
}

/// How a table was read, as a saved machine keeps it.
pub(super) fn to_toml(form: &Form) -> String {
    toml_edit::ser::to_string_pretty(form).expect("plain data")
}

/// What a machine of a file knows of the samples that it was fitted to.
pub(crate) fn known(path: &Path, machine: &SavedMachine) -> Result<Known, Error> {
    let read = |text: &str| {
        toml_edit::de::from_str::<Form>(text)
            .map_err(|error| Error::file(path, format!("how its samples were read is not told: {}", error.message())))
    };
    let form = Some(machine.source.as_str()).filter(|text| !text.is_empty()).map(read).transpose()?;
    Ok(Known { features: machine.inputs.ncols(), names: machine.features.clone(), form })
}

impl SampleArgs {
    /// What a machine is fitted to.
    pub fn training(&self) -> Result<Samples, Error> {
        if !self.are_images() {
            return self.table(None);
        }
        self.images(self.classes.unwrap_or_else(defaults::classes), |split| split.train)
    }

    /// What the machine of a file predicts.
    pub fn new_ones(&self, path: &Path, machine: &SavedMachine) -> Result<Samples, Error> {
        let features = machine.inputs.ncols();
        if !self.are_images() {
            let mut samples = self.table(Some(&known(path, machine)?))?;
            forget_placeholders(&mut samples, &machine.classes);
            return Ok(samples);
        }
        let samples = self.images(self.digits(machine)?, |split| split.test)?;
        match samples.inputs.ncols() {
            found if found == features => Ok(samples),
            found => Err(Error::file(
                &self.data,
                format!("an image has {}, the machine {}", count(found, "pixel"), count(features, "feature")),
            )),
        }
    }

    fn are_images(&self) -> bool {
        self.data.is_dir() || ["mnist01", "mnist"].iter().any(|name| self.data.as_os_str() == *name)
    }

    /// The digits of images that a machine predicts.
    fn digits(&self, machine: &SavedMachine) -> Result<[u8; 2], Error> {
        let known = |digit: &u8| Classes::position(&machine.classes, &digit.to_string()).is_some();
        if let Some(asked) = self.classes.filter(|_| !machine.classes.is_empty())
            && let Some(unknown) = asked.iter().find(|digit| !known(digit))
        {
            let names = understood::list(&machine.classes);
            return Err(Error::Setting(format!("--classes: {unknown} is not one of the machine's classes {names}")));
        }
        // mnist01 has no others than 0 and 1, and a machine fitted to numbers knows no classes.
        if self.classes.is_some() || self.data.as_os_str() == "mnist01" || machine.classes.is_empty() {
            return Ok(self.classes.unwrap_or_else(defaults::classes));
        }
        let digits: Vec<u8> = (0..=u8::MAX).filter(known).collect();
        digits.try_into().map_err(|_| {
            let names = understood::list(&machine.classes);
            Error::Setting(format!("the machine's classes {names} are not two digits: name two by --classes"))
        })
    }

    fn images(&self, classes: [u8; 2], part: impl Fn(Split) -> Dataset) -> Result<Samples, Error> {
        let source = self.data.display().to_string();
        data_source::check_no_table(&self.table.told(), &source)?;
        let config = DataConfig { source, classes, train: None, test: None };
        let mut images = part(data_source::load(&config, self.data_dir.as_deref())?);
        if let Some(n) = self.n {
            images = images.first(n.get())?;
        }
        Ok(Samples::of_pictures(images, classes, &self.data))
    }

    fn table(&self, known: Option<&Known>) -> Result<Samples, Error> {
        if self.classes.is_some() {
            return Err(Error::Setting("--classes is for images: a table's labels name its classes".into()));
        }
        data_source::table(&self.data, &self.table.told(), known, self.n)
    }
}

/// LIBSVM's format has something before the features of samples without labels, too: 0 or -1 in all lines.
fn forget_placeholders(samples: &mut Samples, classes: &[String]) {
    let libsvm = samples.origin.form.as_ref().is_some_and(|form| matches!(form.format, Format::Libsvm { .. }));
    let labels = &mut samples.target.labels;
    let value = |label: &Option<String>| label.as_ref().and_then(|label| label.parse::<f64>().ok());
    for placeholder in [0.0, -1.0] {
        let is_class = Classes::position(classes, &number(placeholder)).is_some();
        if libsvm && !is_class && !labels.is_empty() && labels.iter().all(|label| value(label) == Some(placeholder)) {
            let shown = labels[0].take().unwrap_or_default();
            labels.clear();
            samples.origin.notes.push(format!("{shown} in all lines stands for no label"));
        }
    }
}
