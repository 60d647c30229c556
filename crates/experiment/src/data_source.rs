//! From the name of a data set in a configuration to its samples.

use std::path::Path;

use widenet_data::Split;

use crate::config::DataConfig;
use crate::error::Error;

/// The samples a configuration names. `user_folder` takes the place of the user's data folder.
///
/// # Errors
///
/// When the data is not there, is not what it should be, or has fewer samples than asked for.
pub fn load(data: &DataConfig, user_folder: Option<&Path>) -> Result<Split, Error> {
    let DataConfig { source, classes, train, test } = data;
    let mut split = match source.as_str() {
        "mnist01" if *classes == [0, 1] => widenet_data::mnist01(),
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

/// Refuses a table whose header names other features than a machine has. Either may have no names.
pub fn check_features(path: &Path, found: &[String], wanted: &[String]) -> Result<(), Error> {
    match found.iter().zip(wanted).enumerate().find(|(_, (found, wanted))| found != wanted) {
        None => Ok(()),
        Some((j, (found, wanted))) => Err(Error::file(
            path,
            format!(
                "feature {} is {found:?} in the header, but the machine's is {wanted:?}: bring the columns into its order",
                j + 1
            ),
        )),
    }
}
