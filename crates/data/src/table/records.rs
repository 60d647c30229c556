//! The rows of a table with their lines.

use csv::{Reader, ReaderBuilder, StringRecord};

use crate::TableError;
use crate::error::Fault;

/// Rows of cells, one after the other. Empty lines are none.
pub(super) struct Records<'t> {
    reader: Reader<&'t [u8]>,
    text: &'t str,
    record: StringRecord,
}

impl<'t> Records<'t> {
    pub fn new(text: &'t str, separator: char) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).delimiter(separator as u8).buffer_capacity(1 << 16);
        Self { reader: builder.from_reader(text.as_bytes()), text, record: StringRecord::new() }
    }

    /// The next row, and its line, from 1.
    pub fn next(&mut self) -> Result<Option<(&StringRecord, u64)>, Fault> {
        loop {
            let (start, line) = (self.reader.position().byte() as usize, self.reader.position().line());
            // The reader skips empty lines after it has noted where it stands.
            let rest = self.text.as_bytes().get(start..).unwrap_or_default();
            let empty = rest.iter().take_while(|&&byte| byte == b'\n').count();
            let line = line + empty as u64;
            let more = self.reader.read_record(&mut self.record).map_err(|_| Fault::at(line, TableError::OpenQuote))?;
            if !more {
                return Ok(None);
            }
            // A quotation mark that is never closed takes all that follows into its cell.
            if self.reader.position().byte() as usize >= self.text.len() {
                let row = rest[empty..].trim_ascii_end();
                let marks = row.iter().filter(|&&byte| byte == b'"').count();
                if row.contains(&b'\n') && marks % 2 == 1 {
                    return Err(Fault::at(line, TableError::OpenQuote));
                }
            }
            if self.record.len() > 1 || self.record.get(0).is_some_and(|cell| !cell.trim().is_empty()) {
                return Ok(Some((&self.record, line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Result<Vec<(Vec<String>, u64)>, Fault> {
        let mut records = Records::new(text, ',');
        let mut rows = Vec::new();
        while let Some((record, line)) = records.next()? {
            rows.push((record.iter().map(String::from).collect(), line));
        }
        Ok(rows)
    }

    #[test]
    fn lines_are_counted_over_empty_ones_and_within_cells() {
        let lines = |text: &str| rows(text).unwrap().into_iter().map(|row| row.1).collect::<Vec<_>>();
        assert_eq!(lines("a,b\nc,d"), [1, 2]);
        assert_eq!(lines("\n\na,b\n\n \n\nc,d\n\n"), [3, 7]);
        assert_eq!(lines("a,\"x\ny\"\n\nc,d\ne,f\n"), [1, 4, 5]);
        assert_eq!(rows("\"a\"\"b\",\"c\nd\"\n").unwrap()[0].0, ["a\"b", "c\nd"]);
    }

    #[test]
    fn a_quotation_mark_that_is_not_closed_is_told() {
        let fault = rows("a,b\n1,\"x\n3,y\n4,z\n").unwrap_err();
        assert_eq!((fault.line, fault.problem), (Some(2), TableError::OpenQuote));
        assert_eq!(rows("a,b\n1,5\" pipe\n").unwrap().len(), 2);
    }
}
