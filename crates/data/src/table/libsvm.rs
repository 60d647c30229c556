//! Tables in LIBSVM's format.

use ndarray::Array2;

use crate::TableError;
use crate::error::Fault;
use crate::form::{Decimal, Form, Format, Known, Told};

use super::Table;
use super::cell::{is_missing, number};

/// A matrix with a smaller share of numbers that are listed is a slip in an index, if it is large.
const DENSITY: f64 = 1e-6;

/// Bytes of a large matrix.
const LARGE: u64 = 1 << 27;

/// Reads a text with lines `label index:value index:value ...`.
pub(super) fn read(text: &str, told: &Told, known: Option<&Known>, memory: Option<u64>) -> Result<Table, Fault> {
    if let Some(asked) = &told.label {
        return Err(TableError::NoColumns { asked: asked.clone() }.into());
    }
    let (mut labels, mut lines) = (Vec::new(), Vec::new());
    // Row, index, value.
    let mut entries: Vec<(usize, u64, f64)> = Vec::new();
    let (mut queries, mut zero, mut largest) = (false, None, (0, 0));
    for (line, number) in text.lines().zip(1..) {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace().peekable();
        let Some(&word) = words.peek() else { continue };
        // A line may begin with the features.
        let label = if word.contains(':') { None } else { words.next() };
        let mut before = None;
        for word in words {
            if word.starts_with("qid:") {
                queries = true;
                continue;
            }
            let (index, value) = pair(word).ok_or_else(|| Fault::at(number, TableError::NotAPair(word.into())))?;
            if let Some(before) = before.filter(|&before| index <= before) {
                let first = u64::from(zero.is_none());
                return Err(Fault::at(number, TableError::Order { index, before, first }));
            }
            if index == 0 {
                zero = zero.or(Some(number));
            }
            largest = largest.max((index, number));
            entries.push((lines.len(), index, value));
            before = Some(index);
        }
        labels.push(label.filter(|label| !is_missing(label)).map(String::from));
        lines.push(number);
    }

    let format = known.and_then(|known| known.form.as_ref()).map(|form| form.format);
    let first = match (format, zero) {
        (Some(Format::Libsvm { first: 1 }), Some(line)) => return Err(Fault::at(line, TableError::ZeroIndex)),
        (Some(Format::Libsvm { first }), _) => first,
        (_, zero) => u64::from(zero.is_none()),
    };
    let found = if entries.is_empty() { 0 } else { largest.0 + 1 - first };
    let d = known.map_or(found, |known| known.features as u64);
    let bytes = d.saturating_mul(8).saturating_mul(lines.len() as u64);
    let sparse = bytes > LARGE && (entries.len() as f64) < DENSITY * (bytes / 8) as f64;
    if sparse || bytes > memory.unwrap_or(isize::MAX as u64) {
        let problem = TableError::Size { samples: lines.len(), features: d, listed: entries.len(), line: largest.1 };
        return Err(problem.into());
    }
    if d == 0 && !lines.is_empty() {
        return Err(TableError::NoFeatures { columns: 1 }.into());
    }
    let mut inputs = Array2::zeros((lines.len(), d as usize));
    let (mut left_out, mut beyond) = (std::collections::HashSet::new(), 0);
    for (row, index, value) in entries {
        let column = index - first;
        if column < d {
            inputs[[row, column as usize]] = value;
        } else {
            left_out.insert(column);
            beyond += 1;
        }
    }
    let mut notes = Vec::new();
    if !left_out.is_empty() {
        let plural = |count| if count == 1 { "" } else { "s" };
        let (features, values) = (plural(left_out.len()), plural(beyond));
        notes.push(format!(
            "{} feature{features} beyond the {d} known left out, {beyond} value{values}",
            left_out.len()
        ));
    }
    if queries {
        notes.push("qid left out".into());
    }
    let form = Form {
        format: Format::Libsvm { first },
        encoding: Default::default(),
        decimal: Decimal::Point,
        header: false,
        index: false,
        label: None,
    };
    Ok(Table { inputs, labels, names: Vec::new(), lines, form, notes })
}

fn pair(word: &str) -> Option<(u64, f64)> {
    let (index, value) = word.split_once(':')?;
    // A sign is none of an index.
    let index = index.bytes().all(|byte| byte.is_ascii_digit()).then(|| index.parse::<u64>().ok()).flatten()?;
    // The number of features is one more.
    Some((index.checked_add(1)? - 1, number(value, Decimal::Point)?))
}
