//! What a certification leaves behind: numbers, plots and the report.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::command::name_of;
use super::{ATTACK, Certified, MethodName, Model, pictures};
use widenet_store::numbers::{count, number};

use crate::error::Error;
use crate::judgement::DASH;
use crate::run_folder::{RunFolder, write_json};
use crate::train::Finished;

/// Writes everything that a finished certification leaves.
pub fn finish(folder: &RunFolder, certified: &Certified) -> Result<Finished, Error> {
    let results = results(certified);
    write_json(folder, "timing.json", &timing(certified))?;
    let rows = csv(certified).map_err(|error| Error::file(folder.path().join("certificates.csv"), error))?;
    folder.write("certificates.csv", &rows)?;
    pictures::write(folder, certified)?;
    Ok(Finished { summary: summary(folder, certified), results })
}

/// Means and quantiles of radii. Infinite ones, where an attack found nothing, are counted and left out.
pub struct Statistics {
    /// How many are finite.
    pub count: usize,
    /// None where there is no radius.
    pub mean: Option<f64>,
    /// The standard deviation of the sample, with `n - 1`: none where there are fewer than two radii.
    pub std: Option<f64>,
    sorted: Vec<f64>,
}

impl Statistics {
    /// Of the finite values.
    pub fn of(values: &[f64]) -> Self {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let mean = sorted.iter().sum::<f64>() / count as f64;
        let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
        let std = (count > 1).then(|| (squares / (count - 1) as f64).sqrt());
        Self { count, mean: (count > 0).then_some(mean), std, sorted }
    }

    /// The value that a share of the values does not exceed, between neighbours by a straight line.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let at = share * self.count.saturating_sub(1) as f64;
        let (low, high) = self.sorted.get(at.floor() as usize).zip(self.sorted.get(at.ceil() as usize))?;
        Some(low + (high - low) * at.fract())
    }
}

/// The quantiles that are told.
const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// The final numbers. They depend on the model, the options and no clock, unless there is a budget.
fn results(certified: &Certified) -> Value {
    let Certified { config, model, samples, outcomes, .. } = certified;
    let statistics = |values: &[f64]| {
        let of = Statistics::of(values);
        let quantiles = QUANTILES.map(|share| (share.to_string(), json!(of.quantile(share))));
        json!({ "count": of.count, "mean": of.mean, "std": of.std, "quantiles": Map::from_iter(quantiles) })
    };
    let columns = certified.columns();
    let each = |value: &dyn Fn(&[f64]) -> Value| -> Value {
        Value::Object(columns.iter().map(|(name, radii)| ((*name).into(), value(radii))).collect())
    };
    let accuracies = config.radii.iter().map(|&radius| {
        let mut row = each(&|radii| json!(certified.accuracy(radii, radius)));
        row["radius"] = radius.into();
        row
    });
    let winners = outcomes.iter().filter_map(|outcome| outcome.winner).fold(Map::new(), |mut counts, winner| {
        let count = counts.get(winner.name()).and_then(Value::as_u64).unwrap_or(0);
        counts.insert(winner.name().into(), (count + 1).into());
        counts
    });
    json!({
        "model": config.model,
        "kind": match model { Model::Machine { .. } => "machine", Model::Network { .. } => "network" },
        "describe": model.describe(),
        "sum_abs_alpha": match model {
            Model::Machine { sum_abs_alpha, .. } => Some(sum_abs_alpha),
            Model::Network { .. } => None,
        },
        "versions": { "widenet": env!("CARGO_PKG_VERSION") },
        "data": config.data,
        "classes": samples.classes,
        "samples": samples.len(),
        "norm": name_of(config.norm),
        "domain": config.domain,
        "accuracy": certified.clean_accuracy(),
        "radii": each(&statistics),
        "over_attack": ratios(certified),
        "best_is": winners,
        "certified_accuracy": accuracies.collect::<Vec<_>>(),
    })
}

/// For every method the mean radius over the mean radius of the attack, on the samples where that found something at a
/// distance.
fn ratios(certified: &Certified) -> Value {
    let beside = certified.beside_attack().filter(|(_, attack)| *attack > 0.0);
    let ratio = |k: usize| beside.as_ref().map(|(methods, attack)| methods[k].1 / attack);
    let methods = certified.config.methods.iter().enumerate();
    Value::Object(methods.map(|(k, method)| (method.name().into(), json!(ratio(k)))).collect())
}

fn timing(certified: &Certified) -> Value {
    json!({
        "machine": crate::probe::processor(),
        "threads": rayon::current_num_threads(),
        "seconds": certified.seconds,
        "seconds_per_sample": certified.seconds / certified.samples.len() as f64,
    })
}

/// certificates.csv: one row per sample.
fn csv(certified: &Certified) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let columns = certified.columns();
    let mut csv = csv::Writer::from_writer(Vec::new());
    let names = columns.iter().map(|(name, _)| *name);
    csv.write_record(["sample", "label", "output"].into_iter().chain(names).chain(["best_is"]))?;
    for (k, outcome) in certified.outcomes.iter().enumerate() {
        let samples = &certified.samples;
        let mut row = vec![samples.positions[k].to_string(), number(samples.labels[k]), number(outcome.value)];
        // Nothing stands where the attack found nothing.
        row.extend(columns.iter().map(|(_, radii)| match radii[k] {
            radius if radius.is_finite() => number(radius),
            _ => String::new(),
        }));
        row.push(outcome.winner.map_or(String::new(), |winner| winner.name().into()));
        csv.write_record(row)?;
    }
    Ok(csv.into_inner()?)
}

/// The table of radii: name, mean, standard deviation, quantiles.
pub fn table(certified: &Certified) -> Vec<[String; 6]> {
    let row = |(name, radii): (&str, Vec<f64>)| {
        let of = Statistics::of(&radii);
        let number = |value: Option<f64>| value.map_or(DASH.into(), |value| format!("{value:.3e}"));
        let name = match radii.len() - of.count {
            missing if name == ATTACK && missing > 0 => format!("{name} ({missing} without success)"),
            _ => name.into(),
        };
        [
            name,
            number(of.mean),
            number(of.std),
            number(of.quantile(0.05)),
            number(of.quantile(0.5)),
            number(of.quantile(0.95)),
        ]
    };
    certified.columns().into_iter().map(row).collect()
}

/// The table's header.
pub const HEADER: [&str; 6] = ["method", "mean radius", "std", "5 %", "median", "95 %"];

/// How often each method was the best, in words.
pub fn winners(certified: &Certified) -> Option<String> {
    let of = |method: MethodName| {
        let won = certified.outcomes.iter().filter(|outcome| outcome.winner == Some(method)).count();
        (won > 0).then(|| format!("{} of {}", method.name(), count(won, "sample")))
    };
    let counts: Vec<String> =
        [MethodName::Interval, MethodName::Relaxation, MethodName::Taylor].into_iter().filter_map(of).collect();
    (!counts.is_empty()).then(|| format!("best is {}", counts.join(", ")))
}

fn summary(folder: &RunFolder, certified: &Certified) -> String {
    let mut text = String::new();
    let mut line = |cells: &[String; 6]| {
        let [name, rest @ ..] = cells;
        let rest: String = rest.iter().map(|cell| format!("{cell:>12}")).collect();
        writeln!(text, "{name:<30}{rest}").expect("a string takes everything");
    };
    line(&HEADER.map(String::from));
    table(certified).iter().for_each(&mut line);
    writeln!(text, "accuracy {:.4}; certified at a radius of:", certified.clean_accuracy())
        .expect("a string takes everything");
    for &radius in &certified.config.radii {
        let cell = |(name, radii): (&str, Vec<f64>)| format!("{name} {:.4}", certified.accuracy(&radii, radius));
        let cells: Vec<String> = certified.columns().into_iter().map(cell).collect();
        writeln!(text, "  {:<8}{}", number(radius), cells.join(", ")).expect("a string takes everything");
    }
    if let Some(winners) = winners(certified) {
        writeln!(text, "{winners}").expect("a string takes everything");
    }
    writeln!(text, "report: {}", folder.place().join("report.html").display()).expect("a string takes everything");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_by_hand() {
        let of = Statistics::of(&[4.0, f64::INFINITY, 1.0, 2.0, 1.0]);
        // 1, 1, 2, 4: mean 2, squares 1 + 1 + 0 + 4 = 6 over 3.
        assert_eq!((of.count, of.mean, of.std), (4, Some(2.0), Some(2f64.sqrt())));
        assert_eq!([0.0, 0.5, 1.0].map(|share| of.quantile(share)), [1.0, 1.5, 4.0].map(Some));
        // What there is not is not a number.
        let one = Statistics::of(&[3.0]);
        assert_eq!((one.mean, one.std, one.quantile(0.95)), (Some(3.0), None, Some(3.0)));
        let none = Statistics::of(&[f64::INFINITY]);
        assert_eq!((none.count, none.mean, none.std, none.quantile(0.5)), (0, None, None, None));
    }
}
