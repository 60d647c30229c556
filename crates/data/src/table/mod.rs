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
/// Cells that say nothing are missing: `N/A`, `NULL` and the like as well. A first line `sep=;`, as spreadsheets write it,
/// tells the separator. No more is taken than the `limits` allow.
///
/// # Errors
///
/// When the source cannot be read or is not what it should be: with the line. Text takes time linear in its length.
pub fn read(source: &Source, told: &Told, known: Option<&Known>, limits: Limits) -> Result<Samples, DataError> {
    let path = source.path();
    let bytes = source.read(limits.memory)?;
    let memory = limits.memory.map(|memory| memory.saturating_sub(bytes.len() as u64));
    let mut samples =
        parse(source, bytes, told, known, Limits { memory, ..limits }).map_err(|fault| fault.of(&path))?;
    samples.origin.path = path;
    Ok(samples)
}

fn parse(
    source: &Source,
    bytes: Vec<u8>,
    told: &Told,
    known: Option<&Known>,
    limits: Limits,
) -> Result<Samples, Fault> {
    let form = known.and_then(|known| known.form.as_ref());
    let (mut text, encoding) = text(bytes, told.encoding, form.map(|form| form.encoding))?;
    let decimal = told.decimal.or(form.map(|form| form.decimal)).unwrap_or_default();
    let format = match sniff::declared(&text) {
        Some(separator) => {
            // An empty line is left, so that lines keep their numbers.
            text.drain(..text.find('\n').unwrap_or(text.len()));
            Format::Columns { separator }
        }
        None => sniff::format(&text, source, decimal, form),
    };
    let mut table = match format {
        Format::Columns { separator } => columns::read(&text, separator, decimal, told, known, limits)?,
        Format::Libsvm { .. } => libsvm::read(&text, told, known, limits)?,
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

/// How much is taken of a table at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, about.
    pub memory: Option<u64>,
    /// The first so many samples.
    pub samples: Option<usize>,
}

/// Bytes of a sample beside its features: its label, which has a block of its own, its line, and what is made of both.
const BESIDE: u64 = 128;

impl Limits {
    /// Refuses samples that would not fit.
    fn check(self, samples: usize, features: u64) -> Result<(), TableError> {
        let each = features.saturating_mul(8).saturating_add(BESIDE);
        let needed = each.saturating_mul(samples as u64);
        // No allocation is larger.
        let free = self.memory.unwrap_or(u64::MAX).min(isize::MAX as u64);
        if needed <= free {
            return Ok(());
        }
        Err(TableError::Size { samples, features, needed, free, fit: free / each })
    }
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
