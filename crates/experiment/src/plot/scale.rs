//! From data values to positions along an axis, and the ticks that belong there.

use super::Scale;

/// Beyond this a value counts as infinite, so that no difference of two values overflows.
const HUGE: f64 = 1e300;

/// What an axis makes of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    /// The value can be drawn. On a log axis this is its decimal logarithm.
    At(f64),
    /// Zero or below, on a log axis.
    NotPositive,
    /// NaN, infinite or close to overflow.
    NotFinite,
}

impl Scale {
    /// Reads one value.
    pub(super) fn read(self, value: f64) -> Reading {
        match self {
            _ if value.is_nan() || value.abs() > HUGE => Reading::NotFinite,
            Scale::Linear => Reading::At(value),
            Scale::Log if value > 0.0 => Reading::At(value.log10()),
            Scale::Log => Reading::NotPositive,
        }
    }
}

/// One tick: where it is (0 at the low end of the axis, 1 at the high end), and its label.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    /// Minor ticks have none.
    pub(super) label: Option<String>,
}

/// The stretch of an axis that is shown. On a log axis the ends are decimal logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    scale: Scale,
    low: f64,
    high: f64,
}

impl Range {
    /// The range that shows all of `values` (as [`Scale::read`] returns them) with a little room on both sides.
    pub(super) fn around(scale: Scale, values: impl IntoIterator<Item = f64>) -> Range {
        let ends = values.into_iter().fold(None, |ends: Option<(f64, f64)>, value| {
            Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        });
        let Some((low, high)) = ends else {
            let (low, high) = if scale == Scale::Log { (-1.0, 1.0) } else { (0.0, 1.0) };
            return Range { scale, low, high };
        };
        let flat = high - low <= 1e-12 * low.abs().max(high.abs());
        let room = match scale {
            Scale::Linear if flat && low == 0.0 => 1.0,
            Scale::Linear if flat => 0.1 * low.abs(),
            Scale::Log if flat => 0.5,
            _ => 0.03 * (high - low),
        };
        Range { scale, low: low - room, high: high + room }
    }

    /// Where a read value lies: 0 at the low end, 1 at the high end.
    pub(super) fn place(&self, read: f64) -> f64 {
        (read - self.low) / (self.high - self.low)
    }

    /// The densest good set of ticks for which `fits` agrees that the labels do not touch.
    pub(super) fn ticks(&self, fits: impl Fn(&[Tick]) -> bool) -> Vec<Tick> {
        let candidates = match self.scale {
            Scale::Linear => self.linear_candidates(),
            Scale::Log => self.log_candidates(),
        };
        let sparsest = candidates.last().cloned().unwrap_or_default();
        candidates.into_iter().find(|ticks| fits(ticks)).unwrap_or(sparsest)
    }

    /// Round values at steps of 1, 2 or 5 times a power of ten, finest first.
    fn linear_candidates(&self) -> Vec<Vec<Tick>> {
        nice_values(self.low, self.high).map(|(step, values)| self.labelled(step, &values)).collect()
    }

    /// Powers of ten where there are enough of them, else 1-2-5, else round values as on a linear axis.
    fn log_candidates(&self) -> Vec<Vec<Tick>> {
        let (first, last) = (self.low.ceil() as i32, self.high.floor() as i32);
        let decades = last - first + 1;
        let mut candidates = Vec::new();
        if decades >= 3 {
            let plain = first >= -2 && last <= 4;
            for stride in [1, 2, 3, 5, 10, 20, 50, 100] {
                let mut ticks: Vec<Tick> = (first..=last)
                    .map(|k| Tick {
                        at: self.place(f64::from(k)),
                        label: (k.rem_euclid(stride) == 0).then(|| decade(k, plain)),
                    })
                    .collect();
                if stride == 1 && decades <= 8 {
                    ticks.extend(self.between_decades(first, last));
                }
                candidates.push(ticks);
            }
        } else {
            let values = |steps: &[f64]| -> Vec<f64> {
                let decade = |k: i32| steps.iter().map(move |step| step * 10f64.powi(k));
                let all = (first - 1..=last).flat_map(decade);
                all.filter(|value| (self.low..=self.high).contains(&value.log10())).collect()
            };
            for steps in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0]] {
                let values = values(steps);
                if decades >= 1 && values.len() >= 3 {
                    let mut ticks = self.labelled_each(&values);
                    ticks.extend(self.between_decades(first, last));
                    candidates.push(ticks);
                }
            }
            let (low, high) = (10f64.powf(self.low), 10f64.powf(self.high));
            candidates.extend(nice_values(low, high).map(|(step, values)| self.labelled(step, &values)));
        }
        candidates
    }

    /// The unlabelled ticks at 2, 3, ..., 9 times each power of ten.
    fn between_decades(&self, first: i32, last: i32) -> Vec<Tick> {
        (first - 1..=last)
            .flat_map(|k| (2..10).map(move |step| f64::from(k) + f64::from(step).log10()))
            .filter(|read| (self.low..=self.high).contains(read))
            .map(|read| Tick { at: self.place(read), label: None })
            .collect()
    }

    /// Ticks at evenly spaced values, all with the same number of decimals.
    fn labelled(&self, step: f64, values: &[f64]) -> Vec<Tick> {
        self.at(values, even_labels(step, values))
    }

    /// Ticks at unevenly spaced values, each with the decimals it needs.
    fn labelled_each(&self, values: &[f64]) -> Vec<Tick> {
        let plain = values.iter().all(|value| (1e-3..1e5).contains(value));
        self.at(values, values.iter().map(|&value| lone_label(value, plain)).collect())
    }

    fn at(&self, values: &[f64], labels: Vec<String>) -> Vec<Tick> {
        let ticks = values.iter().zip(labels).filter_map(|(&value, label)| match self.scale.read(value) {
            Reading::At(read) => Some(Tick { at: self.place(read), label: Some(label) }),
            _ => None,
        });
        ticks.filter(|tick| (0.0..=1.0).contains(&tick.at)).collect()
    }
}

/// Steps with the round values inside `low..=high`: about ten of them first, then fewer and fewer.
fn nice_values(low: f64, high: f64) -> impl Iterator<Item = (f64, Vec<f64>)> {
    let power = ((high - low) / 10.0).log10().floor() as i32;
    let steps = [(1.0, power), (2.0, power), (5.0, power), (1.0, power + 1), (2.0, power + 1), (5.0, power + 1)];
    steps.into_iter().map(move |(digit, power)| {
        // Dividing by a power of ten keeps 0.3 as 3/10, where multiplying by 0.1 gives 0.30000000000000004.
        let value = |i: f64| match power {
            p if p < 0 => i * digit / 10f64.powi(-p),
            p => i * digit * 10f64.powi(p),
        };
        let step = value(1.0);
        let (first, last) = ((low / step).ceil(), (high / step).floor());
        let count = if (0.0..=100.0).contains(&(last - first)) { (last - first) as usize + 1 } else { 0 };
        (step, (0..count).map(|i| value(first + i as f64)).collect())
    })
}

/// Labels of evenly spaced values: plain decimals, or a common power of ten when they are very large or small.
fn even_labels(step: f64, values: &[f64]) -> Vec<String> {
    let largest = values.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        return values.iter().map(|_| "0".to_owned()).collect();
    }
    // The nudge keeps a step of 0.1 + rounding from asking for two decimals.
    let step_power = (step.log10() + 1e-6).floor() as i32;
    let power = if (1e-3..1e5).contains(&largest) { 0 } else { (largest.log10() + 1e-9).floor() as i32 };
    let decimals = (power - step_power).clamp(0, 15) as usize;
    let label = |&value: &f64| {
        if value.abs() < 1e-9 * step {
            return "0".to_owned();
        }
        let digits = minus(format!("{:.decimals$}", value / 10f64.powi(power)));
        if power == 0 { digits } else { format!("{digits}×10{}", superscript(power)) }
    };
    values.iter().map(label).collect()
}

/// The label of `digit × 10^k`.
fn lone_label(value: f64, plain: bool) -> String {
    if plain {
        return format!("{value}");
    }
    let power = (value.log10() + 1e-9).floor() as i32;
    let digit = (value / 10f64.powi(power)).round();
    if digit == 1.0 { decade(power, false) } else { format!("{digit}×10{}", superscript(power)) }
}

/// The label of a power of ten.
fn decade(power: i32, plain: bool) -> String {
    if plain { format!("{}", 10f64.powi(power)) } else { format!("10{}", superscript(power)) }
}

fn superscript(power: i32) -> String {
    let digit = |c| match c {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        '0' => '⁰',
        other => other.to_digit(10).and_then(|digit| char::from_u32(0x2070 + digit)).unwrap_or(other),
    };
    power.to_string().chars().map(digit).collect()
}

/// Typographic minus sign.
fn minus(number: String) -> String {
    number.replace('-', "−")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, low: f64, high: f64, most: usize) -> Vec<String> {
        let read = |value| match scale.read(value) {
            Reading::At(read) => read,
            other => panic!("{value} reads {other:?}"),
        };
        let count = |ticks: &[Tick]| ticks.iter().filter(|tick| tick.label.is_some()).count();
        let ticks = Range::around(scale, [read(low), read(high)]).ticks(|ticks| count(ticks) <= most);
        ticks.into_iter().filter_map(|tick| tick.label).collect()
    }

    #[test]
    fn a_linear_axis_has_round_labels_with_equal_decimals() {
        assert_eq!(labels(Scale::Linear, 0.98, 1.0, 6), ["0.980", "0.985", "0.990", "0.995", "1.000"]);
        assert_eq!(labels(Scale::Linear, -1.0, 1.0, 6), ["−1.0", "−0.5", "0", "0.5", "1.0"]);
        assert_eq!(labels(Scale::Linear, 0.0, 2e4, 6), ["0", "5000", "10000", "15000", "20000"]);
        assert_eq!(labels(Scale::Linear, 0.0, 3e6, 4), ["0", "1×10⁶", "2×10⁶", "3×10⁶"]);
        assert_eq!(
            labels(Scale::Linear, 0.0, 2.5e-5, 6),
            ["0", "0.5×10⁻⁵", "1.0×10⁻⁵", "1.5×10⁻⁵", "2.0×10⁻⁵", "2.5×10⁻⁵"]
        );
    }

    #[test]
    fn a_log_axis_has_decades_written_alike() {
        assert_eq!(labels(Scale::Log, 1.0, 1000.0, 6), ["1", "10", "100", "1000"]);
        assert_eq!(labels(Scale::Log, 1e-4, 1e1, 6), ["10⁻⁴", "10⁻³", "10⁻²", "10⁻¹", "10⁰", "10¹"]);
        assert_eq!(labels(Scale::Log, 1e-12, 1.0, 5), ["10⁻¹²", "10⁻⁹", "10⁻⁶", "10⁻³", "10⁰"]);
        assert_eq!(labels(Scale::Log, 3.0, 40.0, 6), ["5", "10", "20"]);
        assert_eq!(labels(Scale::Log, 0.98, 1.0, 6), ["0.980", "0.985", "0.990", "0.995", "1.000"]);
    }

    #[test]
    fn a_log_axis_reads_only_positive_values() {
        assert_eq!(Scale::Log.read(100.0), Reading::At(2.0));
        assert_eq!(Scale::Log.read(0.0), Reading::NotPositive);
        assert_eq!(Scale::Log.read(-1.0), Reading::NotPositive);
        assert_eq!(Scale::Linear.read(0.0), Reading::At(0.0));
        assert_eq!(Scale::Linear.read(f64::NEG_INFINITY), Reading::NotFinite);
        assert_eq!(Scale::Log.read(f64::NAN), Reading::NotFinite);
    }

    #[test]
    fn extreme_and_flat_ranges_still_have_ticks_inside() {
        let cases = [
            (Scale::Linear, -1e300, 1e300),
            (Scale::Linear, 5.0, 5.0),
            (Scale::Linear, 0.0, 0.0),
            (Scale::Linear, 1.0, 1.0 + 1e-9),
            (Scale::Linear, 1e-310, 2e-310),
            (Scale::Log, f64::from_bits(1), 1e300),
            (Scale::Log, f64::from_bits(1), f64::from_bits(9)),
            (Scale::Log, 1e300, 1e300),
            (Scale::Log, 1.0, 1.0 + 1e-9),
        ];
        for (scale, low, high) in cases {
            let reads = [low, high].map(|value| match scale.read(value) {
                Reading::At(read) => read,
                other => panic!("{value} reads {other:?}"),
            });
            let range = Range::around(scale, reads);
            for most in [1, 4, 100] {
                for tick in range.ticks(|ticks| ticks.len() <= most) {
                    assert!((0.0..=1.0).contains(&tick.at), "{scale:?} {low} {high}: {tick:?}");
                }
            }
        }
    }
}
