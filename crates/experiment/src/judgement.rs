//! From measured numbers to sentences: what a report says of a number follows from it, and from what it is measured by.

use widenet_store::numbers::decimals;

use crate::slope::Slope;

/// How close two things are, by their distance as a share of their size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closeness {
    /// Within a twentieth.
    Close,
    /// Within a quarter.
    Rough,
    /// Farther apart, or nothing is known.
    Apart,
}

impl Closeness {
    /// Of things of a size that are so far apart. NaN is no closeness; a distance of 0 always is.
    pub fn of(distance: f64, size: f64) -> Self {
        match distance / size {
            _ if distance == 0.0 => Closeness::Close,
            share if share <= 0.05 => Closeness::Close,
            share if share <= 0.25 => Closeness::Rough,
            _ => Closeness::Apart,
        }
    }

    /// One of three texts.
    pub fn choose<'a>(self, close: &'a str, rough: &'a str, apart: &'a str) -> &'a str {
        match self {
            Closeness::Close => close,
            Closeness::Rough => rough,
            Closeness::Apart => apart,
        }
    }
}

/// Outputs below this have not moved from 0, beside labels of -1 and +1.
const STILL: f64 = 1e-3;

/// Whether a trained network follows its machine, by its largest output, on samples with labels of -1 and +1, and the largest
/// difference of the two.
pub fn follows(output: f64, gap: f64) -> &'static str {
    match (output < STILL, gap < STILL) {
        (true, true) => {
            "neither has moved to speak of: nothing is learned without a larger training.learning_rate, more \
             training.steps or less regularisation"
        }
        (true, false) => "the network has not moved, and does not follow its machine",
        _ => Closeness::of(gap, output).choose(
            "the network follows its machine",
            "the network follows its machine roughly",
            "the network does not follow its machine",
        ),
    }
}

/// How a loss changes from its start.
pub fn course(from: f64, to: f64) -> &'static str {
    match (from - to) / from {
        fallen if fallen > 1e-4 => "falls",
        fallen if fallen.abs() <= 1e-4 => "stays",
        _ => "does not fall",
    }
}

/// What stands for a value where there is none.
pub const DASH: &str = "\u{2014}";

/// A number as it is to be written, or a dash where it is infinite or none.
pub fn told(value: f64, write: impl Fn(f64) -> String) -> String {
    if value.is_finite() { write(value) } else { DASH.into() }
}

/// A share in percent; a dash where the whole is 0 or either is not finite.
pub fn percent(part: f64, whole: f64) -> String {
    told(part / whole, |share| match 100.0 * share {
        small if small.abs() < 0.1 && small != 0.0 => format!("{small:.1e} %"),
        share => format!("{} %", decimals(share, 1)),
    })
}

/// How something changes with the width, by the exponent fitted to it: only what the interval shows.
pub fn with_width(slope: Option<&Slope>) -> String {
    let Some(slope) = slope else { return "no power of the width can be fitted".into() };
    let course = match (slope.low, slope.high) {
        (_, high) if high < 0.0 => "falls with the width",
        (low, _) if low > 0.0 => "rises with the width",
        (low, _) if low.is_nan() && slope.slope < 0.0 => "falls from the one width to the other",
        (low, _) if low.is_nan() => "does not fall from the one width to the other",
        _ => "neither falls nor rises with the width for certain",
    };
    format!("{course}, with the exponent {slope}")
}

/// Whether a fitted exponent is one that theory gives.
pub fn beside_theory(slope: Option<&Slope>, theory: f64) -> &'static str {
    match slope {
        Some(slope) if slope.high < theory => "steeper than in theory",
        Some(slope) if slope.low > theory => "flatter than in theory",
        Some(slope) if slope.low.is_finite() => "which the interval holds",
        _ => "which is not decided",
    }
}

/// "grows 3.0 times" or "falls 3.0 times".
pub fn times(from: f64, to: f64) -> String {
    match to / from {
        ratio if !ratio.is_finite() || ratio <= 0.0 => "cannot be compared".into(),
        ratio if ratio >= 1.0 => format!("grows {} times", digits(ratio)),
        ratio => format!("falls {} times", digits(1.0 / ratio)),
    }
}

fn digits(ratio: f64) -> String {
    decimals(ratio, if ratio >= 100.0 { 0 } else { 2 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closeness_by_hand() {
        let of = [(0.0, 0.0), (1.0, 20.0), (1.0, 4.0), (1.1, 4.0), (1.0, 0.0), (f64::NAN, 1.0), (1.0, f64::NAN)]
            .map(|(distance, size)| Closeness::of(distance, size));
        use Closeness::{Apart, Close, Rough};
        assert_eq!(of, [Close, Close, Rough, Apart, Apart, Apart, Apart]);
        assert_eq!(Closeness::of(f64::INFINITY, f64::INFINITY), Apart);
        assert_eq!(Rough.choose("a", "b", "c"), "b");
    }

    #[test]
    fn what_has_not_moved_follows_nothing() {
        assert_eq!(follows(1.0, 0.04), "the network follows its machine");
        assert_eq!(follows(1.0, 0.2), "the network follows its machine roughly");
        assert_eq!(follows(1.0, 0.3), "the network does not follow its machine");
        for (output, gap) in [(0.0, 0.0), (1e-9, 1e-12), (1e-9, 5e-4)] {
            assert!(follows(output, gap).starts_with("neither has moved"), "{output} {gap}");
        }
        assert_eq!(follows(0.0, 0.5), "the network has not moved, and does not follow its machine");
        assert!(follows(f64::NAN, f64::NAN).contains("does not follow"));
        let courses =
            [(1.0, 0.5), (1.0, 1.0), (1.0, 1.0 - 1e-9), (1.0, 40.0), (0.0, 0.0)].map(|(from, to)| course(from, to));
        assert_eq!(courses, ["falls", "stays", "stays", "does not fall", "does not fall"]);
    }

    #[test]
    fn numbers_by_hand() {
        assert_eq!(
            [(1.0, 8.0), (0.0, 2.0), (1.0, 0.0), (0.0, 0.0), (1e-6, 1.0)].map(|(part, whole)| percent(part, whole)),
            ["12.5 %", "0.0 %", DASH, DASH, "1.0e-4 %"]
        );
        assert_eq!(
            [(1.0, 3.0), (3.0, 1.0), (1.0, 500.0), (0.0, 1.0), (f64::INFINITY, 1.0)].map(|(from, to)| times(from, to)),
            ["grows 3.00 times", "falls 3.00 times", "grows 500 times", "cannot be compared", "cannot be compared"]
        );
    }

    #[test]
    fn slopes_that_do_not_fall_are_not_said_to_fall() {
        let law = |exponent: f64, noise: f64| {
            let y = move |k: i32, x: f64| x.powf(exponent) * if k % 2 == 0 { 1.0 + noise } else { 1.0 - noise };
            Slope::fit((3..9).map(|k| (2f64.powi(k), y(k, 2f64.powi(k)))))
        };
        assert!(with_width(law(-0.5, 0.01).as_ref()).starts_with("falls with the width"));
        assert!(with_width(law(0.5, 0.01).as_ref()).starts_with("rises with the width"));
        assert!(with_width(law(0.0, 0.3).as_ref()).starts_with("neither"));
        assert_eq!(with_width(None), "no power of the width can be fitted");
        let two = |y: f64| Slope::fit([(1.0, 1.0), (2.0, y)]);
        assert!(with_width(two(0.5).as_ref()).starts_with("falls from the one width"));
        assert!(with_width(two(2.0).as_ref()).starts_with("does not fall"));
        assert_eq!(beside_theory(law(-0.5, 0.01).as_ref(), -0.5), "which the interval holds");
        assert_eq!(beside_theory(law(-1.0, 0.01).as_ref(), -0.5), "steeper than in theory");
        assert_eq!(beside_theory(law(0.0, 0.01).as_ref(), -0.5), "flatter than in theory");
        assert_eq!(beside_theory(two(0.5).as_ref(), -0.5), "which is not decided");
    }
}
