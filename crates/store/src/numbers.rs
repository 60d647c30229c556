//! Numbers, made fit to be shown: none fills a line with zeros, and none that is not 0 looks as if it were.

/// A number as short as it can be read back, in scientific form below 1e-4 and from 1e16 on.
///
/// ```
/// use widenet_store::numbers::number;
///
/// assert_eq!([2.0, -0.25, 1e300, 1e-5].map(number), ["2", "-0.25", "1e300", "1e-5"]);
/// ```
pub fn number(value: f64) -> String {
    let text = format!("{value:?}");
    text.strip_suffix(".0").map(String::from).unwrap_or(text)
}

/// A number with so many decimals, or with three digits in scientific form where these would not show it, or hide it in
/// digits that mean nothing (from 1e9 on).
///
/// ```
/// use widenet_store::numbers::decimals;
///
/// assert_eq!([0.25, 0.0, 3e-7, 1e300].map(|value| decimals(value, 4)), ["0.2500", "0.0000", "3.00e-7", "1.00e300"]);
/// ```
pub fn decimals(value: f64, count: usize) -> String {
    let least = 0.5 * 10f64.powi(-(count as i32));
    match value.abs() {
        size if size.is_finite() && (size >= 1e9 || (size < least && size > 0.0)) => format!("{value:.2e}"),
        _ => format!("{value:.count$}"),
    }
}

/// So many things: the word is that for one of them.
///
/// ```
/// use widenet_store::numbers::count;
///
/// assert_eq!([count(1, "sample"), count(0, "sample"), count(2, "class")], ["1 sample", "0 samples", "2 classes"]);
/// ```
pub fn count(n: usize, one: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        _ if one.ends_with('s') => format!("{n} {one}es"),
        _ => format!("{n} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_by_hand() {
        let shown = [0.0, -1.0, 1e15, 1e16, 123_456.75, 1e-4, 5e-324, f64::MAX, f64::NAN, f64::NEG_INFINITY];
        let expected = [
            "0",
            "-1",
            "1000000000000000",
            "1e16",
            "123456.75",
            "0.0001",
            "5e-324",
            "1.7976931348623157e308",
            "NaN",
            "-inf",
        ];
        assert_eq!(shown.map(number), expected);
    }

    #[test]
    fn decimals_by_hand() {
        let shown = [(0.00004, 4), (0.00006, 4), (-2e9, 1), (999_999_999.0, 1), (0.4, 0), (f64::INFINITY, 2)];
        let expected = ["4.00e-5", "0.0001", "-2.00e9", "999999999.0", "4.00e-1", "inf"];
        assert_eq!(shown.map(|(value, count)| decimals(value, count)), expected);
    }

    proptest! {
        #[test]
        fn numbers_are_short_and_read_back(value in any::<f64>()) {
            prop_assert!(number(value).len() <= 24);
            let read: f64 = number(value).parse().unwrap();
            prop_assert!(read == value || value.is_nan());
            prop_assert!(decimals(value, 6).len() <= 18);
        }
    }
}
