//! What stands in a cell.

use crate::form::Decimal;

/// What a cell may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell {
    /// A number, finite or not.
    Number,
    /// Nothing, or a sign for it.
    Missing,
    /// Anything else.
    Word,
}

impl Cell {
    pub fn of(cell: &str, decimal: Decimal) -> Self {
        if is_missing(cell) {
            return Self::Missing;
        }
        let number = cell.parse::<f64>().is_ok() || number(cell, decimal).is_some();
        if number { Self::Number } else { Self::Word }
    }
}

/// Whether a label or a number is not there.
pub(super) fn is_missing(cell: &str) -> bool {
    let signs = ["nan", "n/a", "#n/a", "<na>", "null"];
    matches!(cell, "" | "?" | "NA") || signs.iter().any(|sign| cell.eq_ignore_ascii_case(sign))
}

/// A finite number. With decimal commas a point is none, since it may group thousands.
pub(super) fn number(cell: &str, decimal: Decimal) -> Option<f64> {
    let value: f64 = match decimal {
        Decimal::Point => cell.parse().ok()?,
        Decimal::Comma if cell.contains('.') => return None,
        Decimal::Comma => cell.replacen(',', ".", 1).parse().ok()?,
    };
    value.is_finite().then_some(value)
}

/// Whether a number is written without a fraction and an exponent.
pub(super) fn is_whole(cell: &str) -> bool {
    let digits = cell.strip_prefix(['+', '-']).unwrap_or(cell);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether cells are `0`, `1`, `2`, ... from a first number.
pub(super) fn counts<'a>(cells: impl Iterator<Item = &'a str>, first: usize) -> bool {
    // A digit suffices to say no for most.
    cells.enumerate().all(|(i, cell)| cell.bytes().all(|byte| byte.is_ascii_digit()) && cell == (i + first).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_by_hand() {
        let kinds = |cells: &[&str], decimal| cells.iter().map(|cell| Cell::of(cell, decimal)).collect::<Vec<_>>();
        assert_eq!(kinds(&["1", "-2.5e3", "inf", "+.5"], Decimal::Point), [Cell::Number; 4]);
        assert_eq!(
            kinds(&["", "?", "NA", "NaN", "nan", "N/A", "#N/A", "<NA>", "NULL"], Decimal::Point),
            [Cell::Missing; 9]
        );
        assert_eq!(kinds(&["1,5", "a", "1 2", "0x1", "None"], Decimal::Point), [Cell::Word; 5]);
        assert_eq!(kinds(&["1,5"], Decimal::Comma), [Cell::Number]);
        assert_eq!((number("1,5", Decimal::Comma), number("1.234,5", Decimal::Comma)), (Some(1.5), None));
        assert_eq!((number("1,2,3", Decimal::Comma), number("1e999", Decimal::Point)), (None, None));
        assert!(is_whole("-12") && !is_whole("1.0") && !is_whole("-") && !is_whole("1e3"));
        assert!(counts(["0", "1", "2"].into_iter(), 0) && counts(["1", "2"].into_iter(), 1));
        assert!(!counts(["0", "2"].into_iter(), 0) && !counts(["0", "1.0"].into_iter(), 0));
    }
}
