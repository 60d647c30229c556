//! Tables of numbers with a label in each row: CSV files and the format of LIBSVM.

use std::fs;
use std::path::{Path, PathBuf};

use csv::StringRecord;
use ndarray::Array2;

use crate::DataError;

/// Samples with a label each, as text: a class's name or a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The features, `[n, d]`.
    pub inputs: Array2<f64>,
    /// The labels, `[n]`; empty when the file has none.
    pub labels: Vec<String>,
    /// The features' names, `[d]`; empty when the file has no header.
    pub features: Vec<String>,
    /// The line of each sample in the file, from 1, `[n]`.
    pub lines: Vec<u64>,
}

impl Table {
    /// Reads a file: CSV when its name ends in `.csv`, else the format of LIBSVM.
    ///
    /// In a CSV file all columns but the label's are features. The label's is the last one, or that named by `label`: a
    /// name of the header or a number from 1. The first line is a header if none of its features is a number; a mixture
    /// of both is an error, since it may be a row with a slip.
    ///
    /// In LIBSVM's format a line is `label index:value index:value ...` with indices from 1 in ascending order; features
    /// not listed are 0.
    ///
    /// `features` is the number of features that a trained machine wants. A CSV file with just so many columns then has
    /// no labels.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or a line is not what it should be: with the line's number. When the label's column
    /// is named for LIBSVM's format, which begins every line with the label.
    pub fn read(path: &Path, label: Option<&str>, features: Option<usize>) -> Result<Self, DataError> {
        let text = fs::read_to_string(path).map_err(DataError::io(path))?;
        let comma = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"));
        let table = match label {
            _ if comma => csv(path, &text, label, features)?,
            None => libsvm(path, &text, features)?,
            Some(label) => {
                let problem = format!(
                    "has no column {label:?} for the label: LIBSVM's format begins every line with it, and a CSV file's \
                     name ends in .csv"
                );
                return Err(DataError::Table { path: path.into(), problem });
            }
        };
        match features {
            Some(features) if table.inputs.ncols() != features => Err(DataError::Table {
                path: path.into(),
                problem: format!("{} features in each row, but {features} are wanted", table.inputs.ncols()),
            }),
            _ if table.inputs.is_empty() => Err(DataError::Table { path: path.into(), problem: "no samples".into() }),
            _ => Ok(table),
        }
    }
}

fn csv(path: &Path, text: &str, label: Option<&str>, features: Option<usize>) -> Result<Table, DataError> {
    let at = |line: u64, problem: String| DataError::Line { path: path.into(), line, problem };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(text.as_bytes());
    let (mut values, mut labels, mut lines, mut names) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut place = None;
    let mut columns = 0;
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(index as u64 + 1, csv::Position::line);
            let problem = match error.kind() {
                csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("{len} columns, but {expected_len} before")
                }
                _ => error.to_string(),
            };
            at(line, problem)
        })?;
        let line = record.position().map_or(index as u64 + 1, csv::Position::line);
        if index == 0 {
            columns = record.len();
            place = match label {
                None if features == Some(columns) => None,
                None => Some(columns - 1),
                Some(name) => {
                    let found = column(&record, name);
                    Some(found.ok_or_else(|| at(line, format!("there is no column {name:?} for the label")))?)
                }
            };
            if is_header(&record, place, label).map_err(|problem| at(line, problem))? {
                names = cells(&record, place).map(|(_, cell)| cell.to_string()).collect();
                continue;
            }
        }
        for (column, cell) in record.iter().enumerate() {
            if Some(column) == place {
                if cell.is_empty() {
                    return Err(at(line, "the label is missing".into()));
                }
                labels.push(cell.to_string());
            } else {
                let number = finite(cell)
                    .ok_or_else(|| at(line, format!("column {}: {cell:?} is not a finite number", column + 1)))?;
                values.push(number);
            }
        }
        lines.push(line);
    }
    let d = columns - usize::from(place.is_some() && columns > 0);
    let inputs = Array2::from_shape_vec((lines.len(), d), values).expect("every row has d values");
    Ok(Table { inputs, labels, features: names, lines })
}

fn is_number(cell: &str) -> bool {
    cell.parse::<f64>().is_ok()
}

/// The features of a record, with their columns.
fn cells(record: &StringRecord, place: Option<usize>) -> impl Iterator<Item = (usize, &str)> {
    record.iter().enumerate().filter(move |(column, _)| Some(*column) != place)
}

/// The column that is asked for by its name in the first line, or its number from 1.
fn column(first: &StringRecord, asked: &str) -> Option<usize> {
    let named = first.iter().position(|cell| cell == asked);
    match asked.parse::<usize>() {
        // A cell of a row may be the same number; a header has no other numbers.
        Ok(number) if named.is_none_or(|place| cells(first, Some(place)).any(|(_, cell)| is_number(cell))) => {
            number.checked_sub(1).filter(|&place| place < first.len())
        }
        _ => named,
    }
}

/// Whether the first line has names in it, with the label's column at `place`, asked for by `label`.
fn is_header(first: &StringRecord, place: Option<usize>, label: Option<&str>) -> Result<bool, String> {
    // The label's own name is as good as a feature's.
    let named = place.filter(|&place| label == Some(&first[place]) && !is_number(&first[place]));
    let text = named.map(|place| (place, &first[place])).or(cells(first, place).find(|(_, cell)| !is_number(cell)));
    match (text, cells(first, place).find(|(_, cell)| is_number(cell))) {
        (Some((text_column, text)), Some((number_column, number))) => Err(format!(
            "column {}: {text:?} is not a number, but column {} is {number:?}: neither a header nor a row of numbers",
            text_column + 1,
            number_column + 1
        )),
        (text, _) => Ok(text.is_some()),
    }
}

fn libsvm(path: &Path, text: &str, features: Option<usize>) -> Result<Table, DataError> {
    let (mut labels, mut lines) = (Vec::new(), Vec::new());
    let mut entries: Vec<(usize, usize, f64)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = |problem: String| DataError::Line { path: PathBuf::from(path), line: index as u64 + 1, problem };
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(label) = words.next() else { continue };
        if label.contains(':') {
            return Err(at(format!("begins with {label:?} instead of a label")));
        }
        let mut last = 0;
        for word in words {
            let pair = word.split_once(':').and_then(|(i, value)| Some((i.parse::<usize>().ok()?, finite(value)?)));
            let Some((feature, value)) = pair else {
                return Err(at(format!("{word:?} is not index:value")));
            };
            if feature <= last {
                return Err(at(format!("index {feature} after {last}: indices count up from 1")));
            }
            if features.is_some_and(|features| feature > features) {
                return Err(at(format!("index {feature}, but {} features are wanted", features.unwrap_or_default())));
            }
            entries.push((labels.len(), feature - 1, value));
            last = feature;
        }
        labels.push(label.to_string());
        lines.push(index as u64 + 1);
    }
    let d = features.unwrap_or_else(|| entries.iter().map(|entry| entry.1 + 1).max().unwrap_or(0));
    // An index is no reason to take all of the memory.
    if labels.len().checked_mul(d).is_none_or(|size| size > isize::MAX as usize / 8) {
        return Err(DataError::Table {
            path: path.into(),
            problem: format!("{} samples x {d} features", labels.len()),
        });
    }
    let mut inputs = Array2::zeros((labels.len(), d));
    entries.into_iter().for_each(|(row, column, value)| inputs[[row, column]] = value);
    Ok(Table { inputs, labels, features: Vec::new(), lines })
}

fn finite(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn read(name: &str, text: &str, label: Option<&str>, features: Option<usize>) -> Result<Table, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let place = format!("{}", folder.path().display());
        Table::read(&path, label, features).map_err(|error| error.to_string().replace(&place, ""))
    }

    #[test]
    fn csv_by_hand() {
        let table = Table {
            inputs: array![[1.0, -2.5], [0.0, 3.0]],
            labels: vec!["cat".into(), "dog".into()],
            features: vec!["u".into(), "v".into()],
            lines: vec![2, 3],
        };
        let bare = Table { features: Vec::new(), lines: vec![1, 2], ..table.clone() };
        assert_eq!(read("a.csv", "1, -2.5, cat\n0, 3, dog\n", None, None).unwrap(), bare);
        assert_eq!(read("a.csv", "cat,1,-2.5\ndog,0,3\n", Some("1"), None).unwrap(), bare);
        assert_eq!(read("a.csv", "u,v,what\n1,-2.5,cat\n0,3e0,dog\n", None, Some(2)).unwrap(), table);
        for label in ["what", "1"] {
            assert_eq!(read("a.csv", "what,u,v\ncat,1,-2.5\ndog,0,3\n", Some(label), None).unwrap(), table);
        }
        // A cell with the label column's number does not name it, except in a header.
        let numbers = read("a.csv", "7,2,1\n8,3,4\n", Some("1"), None).unwrap();
        assert_eq!((numbers.labels, numbers.inputs), (vec!["7".into(), "8".into()], array![[2.0, 1.0], [3.0, 4.0]]));
        assert_eq!(read("a.csv", "u,v,1\n7,2,9\n", Some("1"), None).unwrap().labels, ["9"]);
        let bare = read("a.csv", "1,-2.5\n0,3\n", None, Some(2)).unwrap();
        assert_eq!((bare.inputs, bare.labels.len()), (table.inputs, 0));
    }

    #[test]
    fn libsvm_by_hand() {
        let text = "+1 1:0.5 3:2 # a comment\n\n-1 2:-1\n";
        let table = read("a.txt", text, None, None).unwrap();
        assert_eq!(table.inputs, array![[0.5, 0.0, 2.0], [0.0, -1.0, 0.0]]);
        assert_eq!((table.labels, table.lines), (vec!["+1".into(), "-1".into()], vec![1, 3]));
        assert_eq!(read("a.txt", text, None, Some(4)).unwrap().inputs.dim(), (2, 4));
    }

    #[test]
    fn errors_have_file_and_line() {
        let csv = |text: &str, label, features| read("a.csv", text, label, features).unwrap_err();
        assert_eq!(csv("1,2,a\n1,x,b\n", None, None), "/a.csv:2: column 2: \"x\" is not a finite number");
        let neither = |text: usize, cell: &str, number: usize, other: &str| {
            format!(
                "/a.csv:1: column {text}: {cell:?} is not a number, but column {number} is {other:?}: neither a header \
                 nor a row of numbers"
            )
        };
        assert_eq!(csv("1,2,oops,0\n1,2,3,1\n", None, None), neither(3, "oops", 1, "1"));
        assert_eq!(csv("1,,3,0\n1,2,3,1\n", None, None), neither(2, "", 1, "1"));
        assert_eq!(csv("1,2,oops\n1,2,3\n", None, Some(3)), neither(3, "oops", 1, "1"));
        assert_eq!(csv("what,1,oops\n0,2,3\n", Some("what"), None), neither(1, "what", 2, "1"));
        assert_eq!(csv("what,1,2\n0,2,3\n", Some("what"), None), neither(1, "what", 2, "1"));
        assert_eq!(csv("1,2,a\n1,b\n", None, None), "/a.csv:2: 2 columns, but 3 before");
        assert_eq!(csv("1,2,a\n1,inf,b\n", None, None), "/a.csv:2: column 2: \"inf\" is not a finite number");
        assert_eq!(csv("1,2,a\n1,2,\n", None, None), "/a.csv:2: the label is missing");
        assert_eq!(csv("1,2,a\n", Some("y"), None), "/a.csv:1: there is no column \"y\" for the label");
        assert_eq!(csv("1,2,a\n", None, Some(5)), "/a.csv: 2 features in each row, but 5 are wanted");
        assert_eq!(csv("", None, None), "/a.csv: no samples");
        let named = read("a.svm", "1 1:2\n", Some("y"), None).unwrap_err();
        assert!(named.starts_with("/a.svm: has no column \"y\" for the label: LIBSVM's format begins"), "{named}");
        let svm = |text: &str| read("a.svm", text, None, Some(3)).unwrap_err();
        assert_eq!(svm("1 1:2\n1 2=3\n"), "/a.svm:2: \"2=3\" is not index:value");
        assert_eq!(svm("1 2:2 1:1\n"), "/a.svm:1: index 1 after 2: indices count up from 1");
        assert_eq!(svm("1 4:2\n"), "/a.svm:1: index 4, but 3 features are wanted");
        assert_eq!(svm("1:2 2:3\n"), "/a.svm:1: begins with \"1:2\" instead of a label");
        assert!(matches!(Table::read(Path::new("/no/such.csv"), None, None), Err(DataError::Io { .. })));
    }
}
