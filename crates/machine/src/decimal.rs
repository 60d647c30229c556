//! Decimal numbers as they are written, compared without rounding.

use std::cmp::Ordering;

/// A number `+-0.d1 d2 d3 ... * 10^exponent`: of one value, however it is spelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// Of the first digit: the number is below 10 to this power.
    exponent: i64,
    /// Without zeros at either end; none for 0.
    digits: Vec<u8>,
}

impl Decimal {
    /// The number that a text is: a sign, digits with or without a point, an exponent. White space around it is nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().as_bytes();
        let (negative, text) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.iter().position(|byte| byte.eq_ignore_ascii_case(&b'e')) {
            Some(e) => (&text[..e], whole(&text[e + 1..])?),
            None => (text, 0),
        };
        let point = mantissa.iter().position(|&byte| byte == b'.').unwrap_or(mantissa.len());
        let mut digits: Vec<u8> =
            mantissa[..point].iter().chain(mantissa.get(point + 1..).unwrap_or_default()).copied().collect();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = digits.iter().take_while(|&&digit| digit == b'0').count();
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Self { negative: false, exponent: 0, digits });
        }
        let exponent = exponent.checked_add(point as i64 - zeros as i64)?;
        Some(Self { negative, exponent, digits })
    }
}

/// An exponent, if it has one to 18 digits.
fn whole(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let fits = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    fits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| match (number.digits.is_empty(), number.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        // Digits that go on are more than those that end.
        let size = || (self.exponent, &self.digits).cmp(&(other.exponent, &other.digits));
        sign(self).cmp(&sign(other)).then_with(|| if self.negative { size().reverse() } else { size() })
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn spellings_of_one_number_are_equal() {
        for same in [
            &["1", "1.0", "+1", "1e0", "01", "0.1e1", "10E-1", " 1 ", "1."][..],
            &["0", "-0", "0.0", "0e99", ".0", "+0"],
            &["-2.5", "-25e-1", "-02.50", "-.25E+1"],
            &["1e400", "10e399"],
        ] {
            assert!(same.iter().all(|text| parsed(text) == parsed(same[0])), "{same:?}");
        }
        for text in [
            "",
            "+",
            ".",
            "e1",
            "1e",
            "1e+",
            "nan",
            "inf",
            "1_000",
            "0x1",
            "1,5",
            "1.2.3",
            "--1",
            "1e9999999999999999999",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn order_by_hand() {
        let ascending =
            ["-1e3", "-20", "-3", "-2.5", "-0.01", "0", "1e-400", "0.09", "0.1", "0.11", "9", "10", "11", "1e400"];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(parsed(a).cmp(&parsed(b)), i.cmp(&j), "{a} {b}");
            }
        }
        // 2^53 and its neighbour are one double.
        assert!(parsed("9007199254740993") > parsed("9007199254740992"));
    }

    proptest! {
        #[test]
        fn whole_numbers_compare_as_such(a: i64, b: i64, e in 0..6_usize) {
            let text = format!("{a}.{}", "0".repeat(e));
            prop_assert_eq!(parsed(&text).cmp(&parsed(&b.to_string())), a.cmp(&b));
        }

        #[test]
        fn doubles_compare_as_such(a in prop::num::f64::NORMAL, b in prop::num::f64::NORMAL) {
            // What is written with all digits is the double itself.
            prop_assert_eq!(parsed(&format!("{a:e}")).cmp(&parsed(&format!("{b}"))), a.total_cmp(&b));
        }
    }
}
