//! Tables in LIBSVM's format.

use ndarray::Array2;

use crate::TableError;
use crate::error::Fault;
use crate::form::{Decimal, Form, Format, Known, Told};

use super::cell::{is_missing, number};
use super::{Limits, Table};

/// A matrix with a smaller share of numbers that are listed is a slip in an index, if it is large. Of the public data sets
/// in this format the emptiest that fit into memory list some 30 of a million.
const DENSITY: f64 = 1e-5;

/// Bytes of a large matrix.
const LARGE: u64 = 1 << 27;

/// Reads a text with lines `label index:value index:value ...`.
///
/// The text is read twice, so that the matrix is the only thing that grows.
pub(super) fn read(text: &str, told: &Told, known: Option<&Known>, limits: Limits) -> Result<Table, Fault> {
    if let Some(asked) = &told.label {
        return Err(TableError::NoColumns { asked: asked.clone() }.into());
    }
    let survey = Survey::of(lines(text, limits))?;
    let format = known.and_then(|known| known.form.as_ref()).map(|form| form.format);
    let first = match (format, survey.zero) {
        (Some(Format::Libsvm { first: 1 }), Some(line)) => return Err(Fault::at(line, TableError::ZeroIndex)),
        (Some(Format::Libsvm { first }), _) => first,
        (_, zero) => u64::from(zero.is_none()),
    };
    let found = survey.largest.map_or(0, |(index, _)| index + 1 - first);
    let d = known.map_or(found, |known| known.features as u64);
    let numbers = d.saturating_mul(survey.samples as u64);
    if let Some((_, line)) = survey
        .largest
        .filter(|_| numbers.saturating_mul(8) > LARGE && (survey.listed as f64) < DENSITY * numbers as f64)
    {
        let Survey { samples, listed, .. } = survey;
        return Err(TableError::Sparse { samples, features: d, listed, line }.into());
    }
    limits.check(survey.samples, d)?;

    let mut inputs = Array2::zeros((survey.samples, d as usize));
    let (mut labels, mut numbers) = (Vec::with_capacity(survey.samples), Vec::with_capacity(survey.samples));
    let (mut queries, mut left_out, mut beyond) = (false, std::collections::HashSet::new(), 0);
    for (row, (line, number)) in lines(text, limits).enumerate() {
        let mut words = line.split_whitespace().peekable();
        // A line may begin with the features.
        let label = words.next_if(|word| !word.contains(':'));
        let mut before = None;
        for word in words {
            if is_query(word) {
                queries = true;
                continue;
            }
            let (index, value) = pair(word).ok_or_else(|| Fault::at(number, TableError::NotAPair(word.into())))?;
            if let Some(before) = before.filter(|&before| index <= before) {
                let first = u64::from(survey.zero.is_none());
                return Err(Fault::at(number, TableError::Order { index, before, first }));
            }
            before = Some(index);
            let column = index - first;
            if column < d {
                inputs[[row, column as usize]] = value;
            } else {
                left_out.insert(column);
                beyond += 1;
            }
        }
        labels.push(label.filter(|label| !is_missing(label)).map(String::from));
        numbers.push(number);
    }
    if d == 0 && survey.samples > 0 {
        return Err(TableError::NoFeatures { columns: 1 }.into());
    }
    let mut notes = Vec::new();
    if !left_out.is_empty() {
        let plural = |count| if count == 1 { "" } else { "s" };
        let (features, values) = (plural(left_out.len()), plural(beyond));
        notes.push(format!(
            "{} feature{features} beyond the {d} known left out, {beyond} value{values}",
            left_out.len()
        ));
    }
    if queries {
        notes.push("qid left out".into());
    }
    let form = Form {
        format: Format::Libsvm { first },
        encoding: Default::default(),
        decimal: Decimal::Point,
        header: false,
        index: false,
        label: None,
    };
    Ok(Table { inputs, labels, names: Vec::new(), lines: numbers, form, notes })
}

/// The lines that have samples, without comments, and their numbers from 1.
fn lines(text: &str, limits: Limits) -> impl Iterator<Item = (&str, u64)> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim()).zip(1..);
    lines.filter(|(line, _)| !line.is_empty()).take(limits.samples.unwrap_or(usize::MAX))
}

/// What a first reading finds, by the ends of each line.
#[derive(Default)]
struct Survey {
    samples: usize,
    /// How many pairs there are.
    listed: usize,
    /// The first line with an index 0.
    zero: Option<u64>,
    /// The largest index, and its line.
    largest: Option<(u64, u64)>,
}

impl Survey {
    fn of<'t>(lines: impl Iterator<Item = (&'t str, u64)>) -> Result<Self, Fault> {
        let mut survey = Self::default();
        for (line, number) in lines {
            let pairs = || line.split_whitespace().filter(|word| word.contains(':') && !is_query(word));
            let index = |word: &str| {
                let index = pair(word).map(|(index, _)| index);
                index.ok_or_else(|| Fault::at(number, TableError::NotAPair(word.into())))
            };
            survey.samples += 1;
            survey.listed += line.bytes().filter(|&byte| byte == b':').count() - line.matches(QUERY).count();
            // Indices ascend.
            let (Some(first), Some(last)) = (pairs().next(), pairs().next_back()) else { continue };
            if survey.zero.is_none() && index(first)? == 0 {
                survey.zero = Some(number);
            }
            let last = index(last)?;
            if survey.largest.is_none_or(|(largest, _)| last > largest) {
                survey.largest = Some((last, number));
            }
        }
        Ok(survey)
    }
}

/// What stands before the number of a query, in files for ranking.
const QUERY: &str = "qid:";

fn is_query(word: &str) -> bool {
    word.starts_with(QUERY)
}

fn pair(word: &str) -> Option<(u64, f64)> {
    let (index, value) = word.split_once(':')?;
    // A sign is none of an index.
    let index = index.bytes().all(|byte| byte.is_ascii_digit()).then(|| index.parse::<u64>().ok()).flatten()?;
    // The number of features is one more.
    Some((index.checked_add(1)? - 1, number(value, Decimal::Point)?))
}
