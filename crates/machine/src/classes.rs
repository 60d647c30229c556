//! Classes with names, and which of them every sample has.

use std::cmp::Ordering;
use std::collections::HashMap;

use ndarray::Array2;

use crate::decimal::Decimal;
use crate::error::MachineError;

/// The classes that occur among labels, in order, and the class of every sample.
///
/// Labels that are exactly the same decimal number are the same class, however they are spelled; the first spelling is the
/// name. Identifiers of many digits stay apart, even where rounding to a double would make them one. Numbers come first, by value, then words.
///
/// ```
/// use widenet_machine::Classes;
///
/// let classes = Classes::new(&["10", "2", "+2", "no"])?;
/// assert_eq!(classes.names(), ["2", "10", "no"]);
/// assert_eq!(classes.of(), [1, 0, 0, 2]);
/// # Ok::<(), widenet_machine::MachineError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classes {
    names: Vec<String>,
    of: Vec<usize>,
}

impl Classes {
    /// The classes of labels, one label per sample.
    ///
    /// # Errors
    ///
    /// When there are no labels or all are of one class.
    pub fn new<S: AsRef<str>>(labels: &[S]) -> Result<Self, MachineError> {
        // Labels repeat: each spelling is looked at once.
        let mut spellings: HashMap<&str, usize> = HashMap::new();
        let mut names = Vec::new();
        for label in labels.iter().map(AsRef::as_ref) {
            spellings.entry(label).or_insert_with(|| {
                names.push(label);
                0
            });
        }
        let Some(&first) = names.first() else { return Err(MachineError::NoSamples) };
        // Stable, so that the first spelling stays in front.
        names.sort_by(|a, b| compare(a, b));
        names.dedup_by(|b, a| compare(a, b).is_eq());
        if names.len() == 1 {
            return Err(MachineError::OneClass(first.to_string()));
        }
        for (label, class) in &mut spellings {
            *class = names.binary_search_by(|name| compare(name, label)).expect("every label's class is among them");
        }
        let of = labels.iter().map(|label| spellings[label.as_ref()]).collect();
        Ok(Self { of, names: names.iter().map(ToString::to_string).collect() })
    }

    /// The names, in order, `[c]`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The position of every sample's class among the names, `[n]`.
    pub fn of(&self) -> &[usize] {
        &self.of
    }

    /// How many classes there are.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    /// The labels of machines that each tell a class from the rest: +1 for the class, else -1, a column per class,
    /// `[n, c]`. Two classes have one column, +1 for the second.
    pub fn signs(&self) -> Array2<f64> {
        let first = usize::from(self.count() == 2);
        Array2::from_shape_fn((self.of.len(), self.count() - first), |(i, k)| sign(self.of[i] == k + first))
    }

    /// The position of a label's class among names in order, if it is one of them.
    pub fn position(names: &[String], label: &str) -> Option<usize> {
        names.iter().position(|name| compare(name, label).is_eq())
    }
}

/// Whether an output decides for what it is positive for, which is where it is above 0: of two classes the second, +1. An
/// output of exactly 0 decides for the other, as with LIBSVM and scikit-learn.
///
/// Every class that is written, and every accuracy, follows from this.
///
/// ```
/// use widenet_machine::is_positive;
///
/// assert_eq!([-0.5, 0.0, 0.5].map(is_positive), [false, false, true]);
/// ```
pub fn is_positive(output: f64) -> bool {
    output > 0.0
}

/// Whether an output decides as the label says, -1 or +1: see [`is_positive`].
pub fn is_right(output: f64, label: f64) -> bool {
    is_positive(output) == is_positive(label)
}

/// +1 or -1.
pub(crate) fn sign(positive: bool) -> f64 {
    if positive { 1.0 } else { -1.0 }
}

/// Numbers by value, before words in their own order.
fn compare(a: &str, b: &str) -> Ordering {
    match (Decimal::parse(a), Decimal::parse(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn spellings_of_one_number_are_one_class() {
        let classes = Classes::new(&["+1", "-1.0", "1", "-1", "-0", "0"]).unwrap();
        assert_eq!(classes.names(), ["-1.0", "-0", "+1"]);
        assert_eq!(classes.of(), [2, 0, 2, 0, 1, 1]);
        assert_eq!(Classes::position(classes.names(), "1e0"), Some(2));
        assert_eq!(Classes::position(classes.names(), "2"), None);
    }

    #[test]
    fn identifiers_that_round_to_one_double_are_two_classes() {
        let (a, b) = ("1234567890123456788", "1234567890123456789");
        assert_eq!(a.parse::<f64>(), b.parse::<f64>());
        let classes = Classes::new(&[b, a, "1234567890123456788.0", "+1234567890123456789"]).unwrap();
        assert_eq!(
            (classes.names(), classes.of()),
            ([a.to_string(), b.to_string()].as_slice(), [1, 0, 0, 1].as_slice())
        );
    }

    #[test]
    fn words_are_themselves() {
        // "nan" is a word here.
        let classes = Classes::new(&["nan", "b", "3", "B"]).unwrap();
        assert_eq!(classes.names(), ["3", "B", "b", "nan"]);
        assert_eq!((classes.count(), classes.of()), (4, [3, 2, 0, 1].as_slice()));
    }

    #[test]
    fn signs_by_hand() {
        let signs = |labels: &[&str]| Classes::new(labels).unwrap().signs();
        assert_eq!(signs(&["b", "a", "b"]), array![[1.0], [-1.0], [1.0]]);
        assert_eq!(signs(&["1", "3", "2"]), array![[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]]);
    }

    #[test]
    fn one_class_is_none() {
        let none: [&str; 0] = [];
        assert_eq!(Classes::new(&none), Err(MachineError::NoSamples));
        assert_eq!(Classes::new(&["a", "a"]), Err(MachineError::OneClass("a".into())));
    }
}
