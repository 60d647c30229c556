//! What data there are: the list behind `widenet data`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::fetch::{has_mnist, mnist_folder};

/// One data set in the [`catalogue`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name it is asked for by.
    pub name: &'static str,
    /// Whether all its files are there. Their sums are checked when they are fetched, not here.
    pub present: bool,
    /// Where it is, or would be.
    pub place: Place,
    /// The number of training images.
    pub train: usize,
    /// The number of test images.
    pub test: usize,
    /// Who made it, in one line.
    pub origin: &'static str,
    /// The licence it is given out under, in one line.
    pub licence: &'static str,
}

/// Where a data set is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It is part of the program.
    Program,
    /// In this folder, which need not exist yet.
    Folder(PathBuf),
    /// Nowhere: the system names no folder for user data and `WIDENET_DATA_DIR` is not set.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program => f.write_str("part of the program"),
            Self::Folder(folder) => folder.display().fmt(f),
            Self::Nowhere => f.write_str("nowhere (set WIDENET_DATA_DIR to a folder)"),
        }
    }
}

/// Every data set that widenet knows, and whether it is there.
pub fn catalogue() -> Vec<Entry> {
    list(mnist_folder().ok().as_deref()).to_vec()
}

fn list(mnist_folder: Option<&Path>) -> [Entry; 2] {
    let mnist = Entry {
        name: "mnist",
        present: mnist_folder.is_some_and(has_mnist),
        place: mnist_folder.map_or(Place::Nowhere, |folder| Place::Folder(folder.into())),
        train: 60_000,
        test: 10_000,
        origin: "Y. LeCun, C. Cortes, C. Burges, from NIST Special Databases 3 and 1",
        licence: "commonly distributed under CC BY-SA 3.0",
    };
    let digits = Entry {
        name: "mnist01",
        present: true,
        place: Place::Program,
        train: 12_665,
        test: 2_115,
        origin: "the digits 0 and 1 of MNIST (Y. LeCun, C. Cortes, C. Burges)",
        ..mnist.clone()
    };
    [digits, mnist]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::mnist::{TEST, TRAIN};

    #[test]
    fn tells_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let present = || list(Some(folder.path())).map(|entry| (entry.name, entry.present));
        for (number, name) in [TRAIN, TEST].concat().into_iter().enumerate() {
            assert_eq!(present(), [("mnist01", true), ("mnist", false)]);
            // Packed and plain files in turn.
            let end = if number % 2 == 0 { ".gz" } else { "" };
            fs::write(folder.path().join(format!("{name}{end}")), "").unwrap();
        }
        assert_eq!(present(), [("mnist01", true), ("mnist", true)]);
    }

    #[test]
    fn counts_agree_with_the_data() {
        let [digits, _] = list(None);
        let split = crate::mnist01().unwrap();
        assert_eq!((digits.train, digits.test), (split.train.len(), split.test.len()));
    }

    #[test]
    fn says_where() {
        let place = |folder: Option<&str>| list(folder.map(Path::new))[1].place.to_string();
        assert_eq!(place(Some("/data/mnist")), "/data/mnist");
        assert!(place(None).contains("WIDENET_DATA_DIR"));
        assert_eq!(catalogue()[0].place.to_string(), "part of the program");
    }
}
