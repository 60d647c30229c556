//! What can go wrong with data, each said in one line with the value and the path at fault.

use std::io;
use std::path::{Path, PathBuf};

use crate::IdxError;

/// What went wrong while data were read, chosen or fetched.
///
/// The text is one line and complete: the cause is part of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The system refused to read or write a file.
    #[error("{}: {problem}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: io::Error,
    },

    /// One of the four files of an MNIST folder is not there.
    #[error(
        "{}: neither {name}.gz nor {name} is there (`widenet data fetch mnist` gets the full set)",
        folder.display()
    )]
    Missing {
        /// The folder that was searched.
        folder: PathBuf,
        /// The file's name without `.gz`.
        name: String,
    },

    /// A file is there but is not the IDX file it should be.
    #[error("{}: {problem}", path.display())]
    Idx {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        problem: IdxError,
    },

    /// The images and the labels do not belong together.
    #[error(
        "{} holds {image_count} images but {} holds {label_count} labels",
        images.display(),
        labels.display()
    )]
    CountMismatch {
        /// The file of the images.
        images: PathBuf,
        /// How many images it holds.
        image_count: usize,
        /// The file of the labels.
        labels: PathBuf,
        /// How many labels it holds.
        label_count: usize,
    },

    /// The training and the test images differ in size.
    #[error(
        "{}: the training images are {} × {} pixels, the test images {} × {}",
        folder.display(), train[0], train[1], test[0], test[1]
    )]
    SizeMismatch {
        /// The folder of both.
        folder: PathBuf,
        /// Height and width of the training images.
        train: [usize; 2],
        /// Height and width of the test images.
        test: [usize; 2],
    },

    /// The same class was asked for twice.
    #[error("two different classes are needed, but both are {class}")]
    SameClass {
        /// The class asked for twice.
        class: u8,
    },

    /// No image has the class asked for.
    #[error("{}: no image of class {class} (the classes there: {available:?})", path.display())]
    ClassAbsent {
        /// The file of the labels.
        path: PathBuf,
        /// The class asked for.
        class: u8,
        /// The classes that do occur, in ascending order.
        available: Vec<u8>,
    },

    /// More images were asked for than there are, or none.
    #[error("cannot take the first {asked} images of {name}: it must be between 1 and {available}")]
    BadCount {
        /// The data set's name.
        name: String,
        /// How many were asked for.
        asked: usize,
        /// How many there are.
        available: usize,
    },

    /// A file carries the name of an original file but not its content.
    #[error(
        "{}: {problem}, expected MD5 {expected} (remove the file or put the original in its place)",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// What its content is instead.
        problem: String,
        /// The MD5 of the uncompressed original, in hexadecimal.
        expected: String,
    },

    /// No mirror gave the file. The text says how to do it by hand.
    #[error(
        "cannot download {file} ({tried}); by hand: put {all} into a folder and run \
         `widenet data fetch mnist --from FOLDER`, or put them into {}",
        folder.display()
    )]
    Download {
        /// The file that was wanted.
        file: String,
        /// Each address that was tried, with what happened there.
        tried: String,
        /// The names of all the files of the set.
        all: String,
        /// Where the set is kept.
        folder: PathBuf,
    },

    /// A line of a table is not what it should be.
    #[error("{}:{line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: String,
    },

    /// A table as a whole is not what it should be.
    #[error("{}: {problem}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// The system names no folder for the user's data.
    #[error("this system names no folder for user data: set WIDENET_DATA_DIR to a folder")]
    NoDataFolder,
}

impl DataError {
    /// A closure for `map_err` that adds the path to what the system said.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + '_ {
        move |problem| Self::Io { path: path.to_path_buf(), problem }
    }
}
