//! From the name of a data set to its samples.

use std::num::NonZeroUsize;
use std::path::Path;

use clap::{Args, ValueEnum};
use widenet_data::{DataError, Decimal, Encoding, Known, Limits, Samples, Source, Split, TableError, Told};

use crate::config::DataConfig;
use crate::error::Error;
use crate::understood;

/// How a table is to be read, where its content does not say so.
#[derive(Args, Clone, Debug)]
pub(crate) struct TableArgs {
    /// The label's column in a table, by name, or where none has that name by number from 1 [default: the last; to predict and certify, that of fit]. Not
    /// for LIBSVM's format, which begins every line with the label
    #[arg(long, value_name = "COLUMN")]
    pub label: Option<String>,
    /// Whether the first line of a table is a header, where that cannot be known
    #[arg(long, value_enum)]
    header: Option<YesOrNo>,
    /// What stands before the fraction of a number: 1.5 or 1,5 [default: point]
    #[arg(long, value_enum)]
    decimal: Option<DecimalName>,
    /// How text is written in bytes: latin-1, utf-16le, windows-1252, ... [default: as its first bytes say, or utf-8]
    #[arg(long, value_name = "NAME")]
    encoding: Option<Encoding>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum YesOrNo {
    Yes,
    No,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DecimalName {
    Point,
    Comma,
}

impl TableArgs {
    /// What is told.
    pub fn told(&self) -> Told {
        let decimal = |decimal| match decimal {
            DecimalName::Point => Decimal::Point,
            DecimalName::Comma => Decimal::Comma,
        };
        Told {
            label: self.label.clone(),
            header: self.header.map(|header| matches!(header, YesOrNo::Yes)),
            decimal: self.decimal.map(decimal),
            encoding: self.encoding,
        }
    }
}

/// Refuses what is told of a table where there is none.
pub fn check_no_table(told: &Told, name: &str) -> Result<(), Error> {
    let Told { label, header, decimal, encoding } = told;
    let option = match label {
        Some(label) => format!("--label {}", widenet_store::text::shown(label)),
        None if header.is_some() => "--header".into(),
        None if decimal.is_some() => "--decimal".into(),
        None if encoding.is_some() => "--encoding".into(),
        None => return Ok(()),
    };
    Err(Error::Setting(format!("{option}: {name} is no table")))
}

/// The samples of a table, or of standard input where its name is `-`, the first `n` if so many are asked for; for a model
/// those that it was fitted to are `known`.
pub fn table(path: &Path, told: &Told, known: Option<&Known>, n: Option<NonZeroUsize>) -> Result<Samples, Error> {
    let n = n.map(NonZeroUsize::get);
    let limits = Limits { memory: crate::memory::available(), samples: n };
    let samples = widenet_data::read(&Source::new(path), told, known, limits)
        .map_err(|error| Error::Table { advice: advice(&error), error })?;
    match n {
        Some(n) => Ok(samples.first(n)?),
        None => Ok(samples),
    }
}

/// What to do about a table that cannot be read.
fn advice(error: &DataError) -> &'static str {
    let (DataError::Line { problem, .. } | DataError::Table { problem, .. }) = error else { return "" };
    match problem {
        TableError::HalfHeader { .. } | TableError::MaybeHeader | TableError::LoneLabel { .. } => {
            "; --header yes or --header no says which"
        }
        TableError::Size { fit: 1.., .. } => " (--n)",
        TableError::NotUtf8 { .. } | TableError::Zero | TableError::Encoding(_) => {
            "; --encoding names it (latin-1, utf-16le, ...)"
        }
        TableError::NotANumber { other_mark: true, .. } => {
            "; --decimal comma or --decimal point says what divides numbers"
        }
        TableError::OtherLabel { .. } => "; --label names it",
        _ => "",
    }
}

/// The samples a configuration names, and a line that says what they are: see [`load`].
pub fn open(data: &DataConfig, user_folder: Option<&Path>) -> Result<Split, Error> {
    let split = load(data, user_folder)?;
    eprintln!("{}", understood::split(data, &split));
    Ok(split)
}

/// The samples a configuration names. `user_folder` takes the place of the user's data folder.
///
/// # Errors
///
/// When the data is not there, is not what it should be, or has fewer samples than asked for.
pub fn load(data: &DataConfig, user_folder: Option<&Path>) -> Result<Split, Error> {
    let DataConfig { source, classes, train, test } = data;
    let mut split = match source.as_str() {
        "mnist01" if *classes == [0, 1] => widenet_data::mnist01()?,
        "mnist01" => {
            return Err(Error::Setting(format!("data.classes is {classes:?}, but mnist01 holds the digits 0 and 1")));
        }
        "mnist" => {
            let folder = match user_folder {
                Some(folder) => folder.join("mnist"),
                None => widenet_data::mnist_folder()?,
            };
            widenet_data::from_folder(&folder, *classes)?
        }
        path => widenet_data::from_folder(folder(path)?, *classes)?,
    };
    if let Some(count) = train {
        split.train = split.train.first(count.get())?;
    }
    if let Some(count) = test {
        split.test = split.test.first(count.get())?;
    }
    Ok(split)
}

/// A folder of images, if it is one.
fn folder(path: &str) -> Result<&Path, Error> {
    let folder = Path::new(path);
    match folder.metadata() {
        Ok(found) if found.is_dir() => Ok(folder),
        Ok(_) => {
            let problem = "is a file, but images come from a folder with four IDX files (tables are for `widenet fit`, \
                           `predict` and `certify`)";
            Err(Error::file(path, problem))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::file(path, "there is no such folder; data are mnist01, mnist, or a folder with four IDX files"))
        }
        Err(error) => Err(Error::file(path, error)),
    }
}
