//! What can go wrong with data, each said in one line with the value and the path at fault.

use std::io;
use std::path::{Path, PathBuf};

use widenet_store::memory::readable;
use widenet_store::text::{one_line, quoted};

use crate::{Encoding, IdxError};

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
        problem: TableError,
    },

    /// A table as a whole is not what it should be.
    #[error("{}: {problem}", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: TableError,
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

/// What is wrong with a table, or with one of its lines.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// There is no row.
    #[error("no samples")]
    NoSamples,
    /// There is no column beside the label's.
    #[error("no features: {}", if *columns == 1 {
        "one column, and it is for the label; commas, semicolons, tabs or | separate columns".into()
    } else {
        format!("{columns} columns, and one is for the label")
    })]
    NoFeatures {
        /// How many columns there are.
        columns: usize,
    },
    /// More samples are asked for than there are.
    #[error("{available} samples, but {asked} are wanted")]
    Count {
        /// How many were asked for.
        asked: usize,
        /// How many there are.
        available: usize,
    },
    /// What is packed is damaged.
    #[error("corrupt gzip: {}", one_line(.0))]
    Gzip(String),
    /// So few packed bytes are not believed to hold so many.
    #[error("{packed} packed bytes hold more than {believed}; if that is meant, unpack the file")]
    Unfolded {
        /// How many bytes the file has.
        packed: u64,
        /// The most that they are believed to hold.
        believed: u64,
    },
    /// The content takes more memory than there is.
    #[error("its content takes more than the {} of memory that are free", readable(*bytes))]
    Memory {
        /// The bytes that are free.
        bytes: u64,
    },
    /// The samples take more memory than there is.
    #[error(
        "{samples} samples x {features} features take {}, but {} of memory are free{}",
        readable(*needed), readable(*free),
        if *fit > 0 { format!("; the first {fit} samples would fit") } else { String::new() }
    )]
    Size {
        /// How many samples, at most.
        samples: usize,
        /// How many features.
        features: u64,
        /// Bytes they take.
        needed: u64,
        /// Bytes there are.
        free: u64,
        /// How many samples would fit.
        fit: u64,
    },
    /// The matrix of the features is large and holds next to nothing.
    #[error(
        "{samples} samples x {features} features take {}, and {listed} numbers are there; the largest index is in line {line}",
        readable((*samples as u64).saturating_mul(*features).saturating_mul(8))
    )]
    Sparse {
        /// How many samples.
        samples: usize,
        /// How many features.
        features: u64,
        /// How many numbers are listed.
        listed: usize,
        /// Where the largest index stands.
        line: u64,
    },
    /// A byte that is none in UTF-8.
    #[error("byte {byte:#04x} is not UTF-8: it is another encoding")]
    NotUtf8 {
        /// The byte.
        byte: u8,
    },
    /// A byte 0, which no text has.
    #[error("a byte 0: it is no text, or UTF-16 without a mark of the byte order")]
    Zero,
    /// The bytes are none of the encoding.
    #[error("it is not {0}")]
    Encoding(Encoding),
    /// A line has more or fewer columns than others.
    #[error("{found} column{}, but {before} before", if *found == 1 { "" } else { "s" })]
    Ragged {
        /// How many it has.
        found: usize,
        /// How many the first line has.
        before: usize,
    },
    /// A quotation mark opens a cell that does not end.
    #[error("a quotation mark is opened and not closed")]
    OpenQuote,
    /// A feature is none.
    #[error("column {column}: {} is not a finite number", quoted(cell))]
    NotANumber {
        /// The column, from 1.
        column: usize,
        /// What stands there.
        cell: String,
        /// Whether it would be a number with the other decimal mark.
        other_mark: bool,
    },
    /// The first line has names and numbers.
    #[error(
        "column {}: {} is not a number, but column {} is {}: neither a header nor a row of numbers",
        text.0, quoted(&text.1), number.0, quoted(&number.1)
    )]
    HalfHeader {
        /// A column that is no number.
        text: (usize, String),
        /// A column that is one.
        number: (usize, String),
    },
    /// The first line may be a header, and it may be a sample.
    #[error("the line counts columns, so it may be a header, and it may be a sample")]
    MaybeHeader,
    /// The first line has a label of its own, and other labels recur.
    #[error("the label {} is in this line alone, so it may be a header, and it may be a sample", quoted(label))]
    LoneLabel {
        /// The label.
        label: String,
    },
    /// Whether the first column is a feature cannot be known.
    #[error("{columns} columns without names: the first may number the rows, or the last may be missing")]
    MaybeIndex {
        /// How many columns there are.
        columns: usize,
    },
    /// Two columns have one name.
    #[error("columns {} and {} are both named {}", columns[0], columns[1], quoted(name))]
    SameName {
        /// Which, from 1.
        columns: [usize; 2],
        /// The name.
        name: String,
    },
    /// A column has no name.
    #[error("column {column} has no name: give it one, or remove it")]
    NoName {
        /// Which, from 1.
        column: usize,
    },
    /// The first column has no name and does not number the rows.
    #[error("column 1 has no name and does not count 0, 1, 2, ...: give it a name, or remove it")]
    NoIndex,
    /// There is no column of this name or number.
    #[error("there is no column {} for the label", quoted(asked))]
    NoColumn {
        /// What was asked for.
        asked: String,
    },
    /// The format has no columns.
    #[error("has no column {} for the label: LIBSVM's format begins every line with it", quoted(asked))]
    NoColumns {
        /// What was asked for.
        asked: String,
    },
    /// There is one column more than features, and it is not the label's.
    #[error("there is no column {} for the label, and one column more than the {features} features", quoted(label))]
    OtherLabel {
        /// The label's name in the samples before.
        label: String,
        /// How many features are wanted.
        features: usize,
    },
    /// The number of features is another one.
    #[error("{found} feature{} in each row, but {wanted} are wanted", if *found == 1 { "" } else { "s" })]
    Features {
        /// How many there are.
        found: usize,
        /// How many are wanted.
        wanted: usize,
    },
    /// A feature has another name.
    #[error(
        "feature {feature} is {} in the header, but the machine's is {}: bring the columns into its order",
        quoted(found),
        quoted(wanted)
    )]
    Name {
        /// Which, from 1.
        feature: usize,
        /// Its name.
        found: String,
        /// The name that is wanted.
        wanted: String,
    },
    /// Something in a line of LIBSVM's format that is no feature.
    #[error("{} is not index:value", quoted(.0))]
    NotAPair(String),
    /// Indices do not ascend.
    #[error("index {index} after {before}: indices count up from {first}, each once")]
    Order {
        /// The index.
        index: u64,
        /// The one before.
        before: u64,
        /// The first that there may be.
        first: u64,
    },
    /// An index 0 where indices count from 1.
    #[error("index 0, but the machine's samples count from 1")]
    ZeroIndex,
}

/// What is wrong, and in which line, before the file's name is known.
#[derive(Debug)]
pub(crate) struct Fault {
    pub line: Option<u64>,
    pub problem: TableError,
}

impl Fault {
    pub fn at(line: u64, problem: TableError) -> Self {
        Self { line: Some(line), problem }
    }

    /// With the file's name.
    pub fn of(self, path: &Path) -> DataError {
        match self.line {
            Some(line) => DataError::Line { path: path.into(), line, problem: self.problem },
            None => DataError::Table { path: path.into(), problem: self.problem },
        }
    }
}

impl From<TableError> for Fault {
    fn from(problem: TableError) -> Self {
        Self { line: None, problem }
    }
}
