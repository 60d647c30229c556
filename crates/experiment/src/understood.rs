//! What was understood of samples, in one line.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use ndarray::ArrayView2;
use widenet_data::{Format, Samples, Split};
use widenet_machine::Classes;
use widenet_store::numbers::{count, number};
use widenet_store::text::{quoted, shown};

use crate::config::DataConfig;

/// The most names in a list.
const NAMES: usize = 10;

/// What the labels of samples are.
pub(crate) enum Labels {
    /// Each class with how many samples it has, and how many have a class that is none of these.
    Classes {
        counts: Vec<(String, usize)>,
        /// By name.
        unknown: BTreeMap<String, usize>,
    },
    /// The smallest and the largest value.
    Values(Option<(f64, f64)>),
}

impl Labels {
    /// Classes of these names.
    pub fn of_classes(names: &[String], samples: &Samples) -> Self {
        let mut counts = vec![0; names.len()];
        let mut unknown = BTreeMap::new();
        // Labels repeat, and comparing them with names takes longer than with each other.
        let mut positions = std::collections::HashMap::new();
        for (_, label) in samples.target.known() {
            match positions.entry(label).or_insert_with(|| Classes::position(names, label)) {
                Some(class) => counts[*class] += 1,
                None => *unknown.entry(label.to_string()).or_default() += 1,
            }
        }
        Labels::Classes { counts: names.iter().cloned().zip(counts).collect(), unknown }
    }

    /// Numbers.
    pub fn of_values(samples: &Samples) -> Self {
        let values = samples.target.known().filter_map(|(_, label)| label.parse::<f64>().ok());
        Labels::Values(values.fold(None, |range: Option<(f64, f64)>, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        }))
    }

    /// How many samples have a class that is not known.
    pub fn unknown(&self) -> usize {
        match self {
            Labels::Classes { unknown, .. } => unknown.values().sum(),
            Labels::Values(_) => 0,
        }
    }
}

/// The line about samples.
pub(crate) fn samples(samples: &Samples, labels: Labels) -> String {
    let (n, d) = samples.inputs.dim();
    let mut line =
        format!("{}: {}, {}", shown(&samples.origin.path.to_string_lossy()), count(n, "sample"), count(d, "feature"));
    if let Some([channels, rows, columns]) = samples.image {
        write!(line, " ({channels} x {rows} x {columns})").expect("a string takes all");
    } else if !samples.names.is_empty() {
        write!(line, " ({})", some_of(samples.names.iter().map(|name| shown(name)))).expect("a string takes all");
    }
    line.push_str(&target(samples, labels));
    for note in &samples.origin.notes {
        write!(line, "; {note}").expect("a string takes all");
    }
    line
}

/// What is said of the labels.
fn target(samples: &Samples, labels: Labels) -> String {
    let labelled = samples.target.known().count();
    if labelled == 0 {
        return ", no labels".into();
    }
    let form = samples.origin.form.as_ref();
    let mut text = match form.and_then(|form| form.label.as_ref()) {
        Some(column) => match &column.name {
            Some(name) => format!(", label {} (column {})", quoted(name), column.position),
            None => format!(", label in column {}", column.position),
        },
        None if form.is_some_and(|form| matches!(form.format, Format::Libsvm { .. })) => ", label first".into(),
        None => ", labels".into(),
    };
    match labels {
        Labels::Classes { counts, unknown } => {
            let with_count = |(name, count): (&String, &usize)| format!("{} {count}", quoted(name));
            let classes = some_of(counts.iter().map(|(name, count)| with_count((name, count))));
            write!(text, ": {}: {classes}", count(counts.len(), "class")).expect("a string takes all");
            if !unknown.is_empty() {
                let names = some_of(unknown.iter().map(with_count));
                write!(text, "; of classes that the machine does not know: {names}").expect("a string takes all");
            }
        }
        Labels::Values(Some((low, high))) => {
            write!(text, ": numbers from {} to {}", number(low), number(high)).expect("a string takes all")
        }
        Labels::Values(None) => {}
    }
    if labelled < samples.inputs.nrows() {
        write!(text, "; {} without a label", samples.inputs.nrows() - labelled).expect("a string takes all");
    }
    text
}

/// The line about images of two classes for training and for testing.
pub(crate) fn split(data: &DataConfig, split: &Split) -> String {
    let [channels, rows, columns] = split.train.shape;
    let of = |sign: f64| {
        let count = |labels: &ndarray::Array1<f64>| labels.iter().filter(|&&label| label == sign).count();
        format!("{} and {}", count(&split.train.labels), count(&split.test.labels))
    };
    format!(
        "{}: {} to train and {} to test, {} ({channels} x {rows} x {columns}), label the digit: {} (-1) {}, {} (+1) {}",
        shown(&data.source),
        count(split.train.len(), "sample"),
        split.test.len(),
        count(split.train.dim(), "feature"),
        data.classes[0],
        of(-1.0),
        data.classes[1],
        of(1.0),
    )
}

/// Says of outputs that are all exactly 0, though not all samples are, that nothing is decided.
pub(crate) fn warn_of_zeros<'a>(outputs: impl IntoIterator<Item = &'a f64>, inputs: ArrayView2<f64>) {
    if outputs.into_iter().all(|output| *output == 0.0) && inputs.iter().any(|x| *x != 0.0) {
        eprintln!("warning: every output is exactly 0: the model has learned nothing that tells these samples apart");
    }
}

/// Names in brackets, not too many.
pub(crate) fn list(names: &[String]) -> String {
    format!("[{}]", some_of(names.iter().map(|name| quoted(name))))
}

fn some_of(names: impl ExactSizeIterator<Item = String>) -> String {
    let count = names.len();
    let mut names: Vec<String> = names.take(NAMES).collect();
    if count > NAMES {
        names.push(format!("... ({} more)", count - NAMES));
    }
    names.join(", ")
}
