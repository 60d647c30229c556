//! Tables of numbers with a label in each row.

mod cell;
mod columns;
mod header;
mod layout;
mod libsvm;
mod records;
mod sniff;
#[cfg(test)]
mod tests;

use crate::encoding::text;
use crate::error::Fault;
use crate::form::{Decimal, Form, Format, Known, Told};
use crate::{DataError, Origin, Samples, Source, TableError, Target};

/// Reads the table of a source: rows of cells (separated by commas, semicolons, tabs or `|`), or LIBSVM's format. Which
/// one it is its content says; only where that leaves it open, the name.
///
/// **Columns.** All but the label's are features. The label's is the last one, or that told by its name or its number. The
/// first line is a header if no feature in it is a number; or if all are and its label is a word over numbers, or it
/// counts 0, 1, 2, ... over numbers with fractions. Where that cannot be known it is an error, unless it is told. A first
/// column without a name is left out if it counts 0, 1, 2, ... or 1, 2, 3, ...
///
/// **LIBSVM.** A line is `label index:value index:value ...` with ascending indices from 1, or from 0 if there is an index
/// 0. Features not listed are 0. `qid:` is left out, and what follows `#`.
///
/// A label that is empty, `?`, `NA` or `nan` is missing.
///
/// With `known` samples the new ones must have their features, in their order, and may have labels: in the column of the
/// same name, or at the same position where there are no names. In LIBSVM's format features with higher indices are left
/// out. What was told of the known ones holds for the new ones where nothing else is told.
///
/// No more than about `memory` bytes are taken, if there is a limit.
///
/// # Errors
///
/// When the source cannot be read or is not what it should be: with the line. Text takes time linear in its length.
pub fn read(source: &Source, told: &Told, known: Option<&Known>, memory: Option<u64>) -> Result<Samples, DataError> {
    let path = source.path();
    let bytes = source.read(memory)?;
    let memory = memory.map(|memory| memory.saturating_sub(bytes.len() as u64));
    let mut samples = parse(source, bytes, told, known, memory).map_err(|fault| fault.of(&path))?;
    samples.origin.path = path;
    Ok(samples)
}

fn parse(
    source: &Source,
    bytes: Vec<u8>,
    told: &Told,
    known: Option<&Known>,
    memory: Option<u64>,
) -> Result<Samples, Fault> {
    let form = known.and_then(|known| known.form.as_ref());
    let (text, encoding) = text(bytes, told.encoding, form.map(|form| form.encoding))?;
    let decimal = told.decimal.or(form.map(|form| form.decimal)).unwrap_or_default();
    let mut table = match sniff::format(&text, source, decimal, form) {
        Format::Columns { separator } => columns::read(&text, separator, decimal, told, known, memory)?,
        Format::Libsvm { .. } => libsvm::read(&text, told, known, memory)?,
    };
    if table.lines.is_empty() {
        return Err(TableError::NoSamples.into());
    }
    table.form.encoding = encoding;
    let mut notes = Vec::new();
    match table.form.format {
        Format::Columns { separator: ';' } => notes.push("separated by semicolons".to_string()),
        Format::Columns { separator: '\t' } => notes.push("separated by tabs".to_string()),
        Format::Columns { separator: '|' } => notes.push("separated by |".to_string()),
        Format::Libsvm { first: 0 } => notes.push("indices from 0".to_string()),
        Format::Columns { .. } | Format::Libsvm { .. } => {}
    }
    if table.form.decimal == Decimal::Comma {
        notes.push("decimal commas".into());
    }
    if encoding != crate::Encoding::UTF_8 {
        notes.push(format!("in {encoding}"));
    }
    notes.append(&mut table.notes);
    Ok(Samples {
        inputs: table.inputs,
        target: Target { labels: table.labels },
        names: table.names,
        image: None,
        origin: Origin { path: source.path(), lines: table.lines, form: Some(table.form), notes },
    })
}

/// What a format gives.
struct Table {
    /// `[n, d]`.
    inputs: ndarray::Array2<f64>,
    /// `[n]`, or empty.
    labels: Vec<Option<String>>,
    /// `[d]`, or empty.
    names: Vec<String>,
    /// `[n]`.
    lines: Vec<u64>,
    form: Form,
    notes: Vec<String>,
}
