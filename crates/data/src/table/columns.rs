//! Tables as rows of cells: CSV and its relatives.

use ndarray::Array2;

use crate::TableError;
use crate::error::Fault;
use crate::form::{Decimal, Form, Format, Known, Told};

use super::cell::{counts, is_missing, number};
use super::layout::Layout;
use super::records::Records;
use super::{Limits, Table};

/// Reads a text in which cells are separated so.
pub(super) fn read(
    text: &str,
    separator: char,
    decimal: Decimal,
    told: &Told,
    known: Option<&Known>,
    limits: Limits,
) -> Result<Table, Fault> {
    let mut records = Records::new(text, separator);
    let Some((first, line)) = records.next()? else { return Err(TableError::NoSamples.into()) };
    let first: Vec<String> = first.iter().map(|cell| cell.trim().to_string()).collect();
    let layout = Layout::find((first, line), &mut records, decimal, told, known)?;
    let d = layout.features().count();

    // Each cell takes two bytes of the text at least.
    let most = limits.samples.unwrap_or(usize::MAX);
    let ends = text.bytes().filter(|&byte| byte == b'\n').count() + usize::from(!text.ends_with('\n'));
    let rows = ends.min(most).min(text.len() / (2 * d) + 1);
    limits.check(rows, d as u64)?;
    let labelled = if layout.label.is_some() { rows } else { 0 };
    let (mut values, mut labels) = (Vec::with_capacity(rows * d), Vec::with_capacity(labelled));
    let mut lines = Vec::with_capacity(rows);
    let mut index = Index::default();
    let mut records = Records::new(text, separator);
    if layout.header {
        records.next()?;
    }
    while lines.len() < most
        && let Some((record, line)) = records.next()?
    {
        if record.len() != layout.columns {
            return Err(Fault::at(line, TableError::Ragged { found: record.len(), before: layout.columns }));
        }
        for (column, cell) in record.iter().enumerate() {
            let cell = cell.trim();
            if Some(column) == layout.label {
                labels.push(label(cell, decimal));
            } else if column == 0 && layout.index {
                index.see(cell, line);
            } else {
                values.push(number(cell, decimal).ok_or_else(|| Fault::at(line, not_a_number(column, cell, decimal)))?);
            }
        }
        lines.push(line);
    }
    let mut notes = Vec::new();
    if layout.index {
        // In rows taken from a larger table the numbers are any.
        match index.line.filter(|_| known.is_none()) {
            Some(line) => return Err(Fault::at(line, TableError::NoIndex)),
            None => notes.push("column 1 left out, which has no name and numbers the rows".to_string()),
        }
    }
    let inputs = Array2::from_shape_vec((lines.len(), d), values).expect("every row has d values");
    let column = || inputs.column(0).iter().enumerate().all(|(i, &value)| value - i as f64 == inputs[[0, 0]]);
    if known.is_none() && lines.len() > 2 && d > 1 && [0.0, 1.0].contains(&inputs[[0, 0]]) && column() {
        let first = layout.features().next().unwrap_or(0) + 1;
        notes.push(format!("column {first} counts the rows and is a feature all the same"));
    }
    let form = Form {
        format: Format::Columns { separator },
        encoding: Default::default(),
        decimal,
        header: layout.header,
        index: layout.index,
        label: layout.label_column(),
    };
    Ok(Table { inputs, labels, names: layout.names(), lines, form, notes })
}

/// A label, if it is there, with a point in a number.
fn label(cell: &str, decimal: Decimal) -> Option<String> {
    let comma = decimal == Decimal::Comma && number(cell, decimal).is_some();
    (!is_missing(cell)).then(|| if comma { cell.replacen(',', ".", 1) } else { cell.to_string() })
}

fn not_a_number(column: usize, cell: &str, decimal: Decimal) -> TableError {
    let other = match decimal {
        Decimal::Point => Decimal::Comma,
        Decimal::Comma => Decimal::Point,
    };
    TableError::NotANumber { column: column + 1, cell: cell.to_string(), other_mark: number(cell, other).is_some() }
}

/// Whether a column counts the rows.
#[derive(Default)]
struct Index {
    /// Of the first row, 0 or 1.
    first: usize,
    rows: usize,
    /// The first line that does not count on.
    line: Option<u64>,
}

impl Index {
    fn see(&mut self, cell: &str, line: u64) {
        if self.rows == 0 {
            self.first = usize::from(cell == "1");
        }
        if self.line.is_none() && !counts(std::iter::once(cell), self.first + self.rows) {
            self.line = Some(line);
        }
        self.rows += 1;
    }
}
