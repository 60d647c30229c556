//! What a comparison leaves behind: numbers, plots and the report.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Comparison, LEADING, Measures, Run, Setup, Slope, Width, pictures};
use widenet_store::numbers;

use crate::error::Error;
use crate::judgement::told;
use crate::run_folder::{RunFolder, write_json};
use crate::train::{BURN, Finished};

/// Writes everything that a finished comparison leaves.
pub fn finish(folder: &RunFolder, setup: &Setup, comparison: &Comparison) -> Result<Finished, Error> {
    let results = results(setup, comparison);
    write_json(folder, "timing.json", &timing(comparison))?;
    folder.write(
        "compare.csv",
        &csv(comparison).map_err(|error| Error::file(folder.path().join("compare.csv"), error))?,
    )?;
    pictures::write(folder, setup, comparison)?;
    Ok(Finished { summary: summary(folder, comparison), results })
}

/// The fitted slopes, each with its name and what it is the slope of.
pub fn slopes(comparison: &Comparison) -> Vec<(&'static str, &'static str, Slope)> {
    let to_mean = |run: &Run| run.to_mean.unwrap_or(f64::NAN);
    let all = [
        ("relative_error", "relative Frobenius error", comparison.slope(|run| run.measures.relative_error)),
        ("largest_error", "largest error of an entry", comparison.slope(|run| run.measures.largest_error)),
        ("error_of_mean", "relative error of the mean kernel", comparison.slope_of_mean()),
        ("to_mean", "relative distance from the mean kernel", comparison.slope(to_mean)),
        ("kernel_change", "relative change of the kernel by training", comparison.slope_of_movement()),
    ];
    all.into_iter().filter_map(|(name, what, slope)| slope.map(|slope| (name, what, slope))).collect()
}

/// The final numbers. They depend on the configuration and the backend alone: no times, no paths.
fn results(setup: &Setup, comparison: &Comparison) -> Value {
    let config = setup.config;
    let run = |run: &Run| {
        let mut value = serde_json::to_value(&run.measures).expect("plain data");
        value["seed"] = run.seed.into();
        value["to_mean"] = run.to_mean.into();
        value
    };
    let width = |width: &Width| {
        json!({
            "width": width.width,
            "parameters": width.parameters,
            "mean": Measures::mean(width.runs.iter().map(|run| &run.measures)),
            "of_mean_kernel": width.of_mean,
            "runs": width.runs.iter().map(run).collect::<Vec<_>>(),
            "kernel_change": width.movement,
        })
    };
    let limit = &comparison.limit_spectrum;
    let slopes = slopes(comparison).into_iter().map(|(name, _, slope)| (name.to_string(), json!(slope)));
    json!({
        "name": config.name,
        "seed": config.seed,
        "backend": config.backend.name(),
        "precision": config.precision.name(),
        "versions": { "widenet": env!("CARGO_PKG_VERSION"), "burn": BURN },
        "samples": setup.data.len(),
        "leading_eigenvectors": limit.leading.ncols(),
        "limit": {
            "largest_eigenvalue": limit.largest(),
            "smallest_eigenvalue": limit.smallest(),
            "condition": limit.condition(),
            "largest_entry": comparison.limit.iter().fold(0.0_f64, |largest, value| value.abs().max(largest)),
        },
        "slopes": slopes.collect::<serde_json::Map<_, _>>(),
        "widths": comparison.widths.iter().map(width).collect::<Vec<_>>(),
    })
}

fn timing(comparison: &Comparison) -> Value {
    let width = |width: &Width| json!({ "width": width.width, "seconds": width.seconds });
    json!({
        "machine": crate::probe::processor(),
        "limit_seconds": comparison.limit_seconds,
        "widths": comparison.widths.iter().map(width).collect::<Vec<_>>(),
    })
}

/// compare.csv: one row per network.
fn csv(comparison: &Comparison) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["width", "seed"].into_iter().chain(Measures::NAMES).chain(["to_mean"]))?;
    for width in &comparison.widths {
        for run in &width.runs {
            let mut row = vec![width.width.to_string(), run.seed.to_string()];
            // Nothing stands where there is no value.
            let cell = |value: f64| if value.is_nan() { String::new() } else { numbers::number(value) };
            row.extend(run.measures.values().map(cell));
            row.push(run.to_mean.map_or(String::new(), cell));
            csv.write_record(row)?;
        }
    }
    Ok(csv.into_inner()?)
}

fn condition(value: f64) -> String {
    if value.is_infinite() { "infinite".into() } else { told(value, |value| format!("{value:.4e}")) }
}

fn summary(folder: &RunFolder, comparison: &Comparison) -> String {
    let mut text = format!(
        "{:>8}{:>12}{:>12}{:>12}{:>12}{:>14}\n",
        "width", "rel. error", "of mean", "CKA", "overlap", "condition"
    );
    for width in &comparison.widths {
        let mean = Measures::mean(width.runs.iter().map(|run| &run.measures));
        let cell = |value: f64, decimals: usize| told(value, |value| numbers::decimals(value, decimals));
        writeln!(
            text,
            "{:>8}{:>12}{:>12}{:>12}{:>12}{:>14}",
            width.width,
            cell(mean.relative_error, 5),
            cell(width.of_mean.relative_error, 5),
            cell(mean.alignment, 6),
            cell(mean.overlap, 5),
            condition(mean.condition)
        )
        .expect("a string takes everything");
    }
    let limit = &comparison.limit_spectrum;
    writeln!(text, "{:>8}{:>48}{:>14}", "limit", "", condition(limit.condition())).expect("a string takes everything");
    writeln!(
        text,
        "means over the networks of a width; overlap of the {}",
        numbers::count(LEADING.min(limit.values.len()), "leading eigenvector")
    )
    .expect("a string takes everything");
    writeln!(text, "slopes on log-log axes, with 95 % confidence intervals:").expect("a string takes everything");
    for (_, what, slope) in slopes(comparison) {
        writeln!(text, "  {what:<42}{slope}").expect("a string takes everything");
    }
    writeln!(text, "report: {}", folder.place().join("report.html").display()).expect("a string takes everything");
    text
}
