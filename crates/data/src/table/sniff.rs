//! Which format a table has.

use crate::Source;
use crate::form::{Decimal, Form, Format};

use super::cell::Cell;
use super::records::Records;

/// Bytes that are looked at.
const PREFIX: usize = 1 << 16;

/// Rows that are looked at.
const ROWS: usize = 100;

/// What stands between cells, the likeliest first where two are as good.
const SEPARATORS: [char; 4] = ['\t', ';', '|', ','];

/// The format of a text: of its content, or else of the `known` file of the kind, or else of its name.
pub(super) fn format(text: &str, source: &Source, decimal: Decimal, known: Option<&Form>) -> Format {
    let text = prefix(text);
    let pairs = libsvm(text);
    let libsvm = pairs.unwrap_or_else(|| match known.map(|form| form.format) {
        Some(format) => matches!(format, Format::Libsvm { .. }),
        None => source
            .path()
            .extension()
            .is_some_and(|name| name.eq_ignore_ascii_case("svm") || name.eq_ignore_ascii_case("libsvm")),
    });
    if libsvm { Format::Libsvm { first: 1 } } else { Format::Columns { separator: separator(text, decimal) } }
}

/// The separator that a first line `sep=;` tells.
pub(super) fn declared(text: &str) -> Option<char> {
    let line = text.lines().next()?;
    let separator = line.get(..4).filter(|start| start.eq_ignore_ascii_case("sep=")).and(line.get(4..))?;
    SEPARATORS.into_iter().find(|known| separator.chars().eq([*known]))
}

/// The beginning of a text, in whole lines.
fn prefix(text: &str) -> &str {
    let mut end = text.len().min(PREFIX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    match text[..end].rfind('\n') {
        Some(line) if end < text.len() => &text[..line],
        _ => &text[..end],
    }
}

/// Whether lines have pairs of an index and a value; nothing where a line is a single word, which both formats have.
fn libsvm(text: &str) -> Option<bool> {
    let mut single = true;
    for line in text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).take(ROWS) {
        let mut words = line.split_whitespace();
        let Some(label) = words.next() else { continue };
        if std::iter::once(label).chain(words).any(is_pair) {
            return Some(true);
        }
        single &= !line.contains([',', ';', '|', '\t', ' ']);
    }
    if single { None } else { Some(false) }
}

fn is_pair(word: &str) -> bool {
    let pair = word.split_once(':');
    pair.is_some_and(|(index, value)| {
        let index = index == "qid" || (!index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()));
        // Hours and minutes stand in cells of tables, too.
        index && !value.contains([',', ';', '|', ':', '"'])
    })
}

/// The separator with which rows have as many cells as each other, most of them numbers.
fn separator(text: &str, decimal: Decimal) -> char {
    let judged =
        SEPARATORS.into_iter().rev().filter_map(|separator| Some((judge(text, separator, decimal)?, separator)));
    // Of those that are equal the last one.
    judged.max_by(|a, b| a.0.0.cmp(&b.0.0).then(a.0.1.total_cmp(&b.0.1))).map_or(',', |(_, separator)| separator)
}

/// Whether rows have equally many cells, more than one, and the share of numbers among them.
fn judge(text: &str, separator: char, decimal: Decimal) -> Option<(bool, f64)> {
    let mut records = Records::new(text, separator);
    let (mut columns, mut equal, mut numbers, mut cells) = (0, true, 0, 0);
    for row in 0..ROWS {
        let Ok(Some((record, _))) = records.next() else { break };
        if row == 0 {
            columns = record.len();
            if columns == 1 {
                return None;
            }
        }
        equal &= record.len() == columns;
        // A cell with a comma in it may be a number of either kind, but not where commas separate.
        let comma = if separator == ',' { decimal } else { Decimal::Comma };
        let number =
            |cell: &&str| [Decimal::Point, comma].iter().any(|&decimal| Cell::of(cell.trim(), decimal) == Cell::Number);
        numbers += record.iter().filter(number).count();
        cells += record.len();
    }
    (columns > 1).then(|| (equal, numbers as f64 / cells as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn found(name: &str, text: &str) -> Format {
        format(text, &Source::new(Path::new(name)), Decimal::Point, None)
    }

    #[test]
    fn the_content_says_the_format() {
        let columns = |separator| Format::Columns { separator };
        let libsvm = Format::Libsvm { first: 1 };
        for name in ["a.csv", "a.svm", "a", "-"] {
            assert_eq!(found(name, "a,b\n1,2\n"), columns(','));
            assert_eq!(found(name, "a;b\n1,5;2,5\n"), columns(';'));
            assert_eq!(found(name, "1,5;2,5;0\n1,5;2;1\n"), columns(';'));
            assert_eq!(found(name, "a\tb\n1\t2\n"), columns('\t'));
            assert_eq!(found(name, "a|b\n1|2\n"), columns('|'));
            // Half of the labels would be numbers without it.
            assert_eq!(found(name, "1,2,x;y\n3,4,x;z\n"), columns(','));
            assert_eq!(found(name, "1,2,\"a;b;c\"\n3,4,d\n"), columns(','));
            assert_eq!(found(name, "1 1:2\n"), libsvm);
            assert_eq!(found(name, "# comment, with a comma\n1\n-1 qid:3 2:0.5 # x\n"), libsvm);
            assert_eq!(found(name, "12:30,1\n12:45,0\n"), columns(','));
            assert_eq!(found(name, ""), if name == "a.svm" { libsvm } else { columns(',') });
        }
        // Labels alone are lines of both.
        for (name, expected) in [("a.svm", libsvm), ("A.SVM", libsvm), ("a.LibSVM", libsvm), ("A.CSV", columns(','))] {
            assert_eq!(found(name, "1\n0\n"), expected, "{name}");
        }
    }

    #[test]
    fn only_the_beginning_is_read() {
        let long = format!("{}\n1;2\n", "é,1\n".repeat(20_000));
        assert_eq!(found("a", &long), Format::Columns { separator: ',' });
    }
}
