//! Figures 1 and A.1: dynamics of network and machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Claim, Options, Reproduced, Scale, agrees, config, number, trained};
use crate::config::Config;
use crate::error::Error;
use crate::plot::{Axis, Figure, Mark, Series};
use crate::report::Block;
use crate::run_folder::Parts;

/// A training run of a figure.
pub(super) struct Run {
    /// The name of its folder, and its key in the results.
    pub name: String,
    pub config: Config,
    pub width: usize,
    rate: f64,
    regulariser: &'static str,
}

/// The columns of a run's dynamics.csv.
type Columns = BTreeMap<String, Vec<f64>>;

const REGULARISERS: [&str; 2] = ["distance-to-init", "last-layer"];

/// The runs of Figure 1, the widest first.
pub(super) fn figure1_runs(scale: Scale) -> Result<Vec<Run>, Error> {
    let (widths, time) = match scale {
        Scale::Smoke => ([512, 128], 50.0),
        Scale::Paper => ([10_000, 900], 1000.0),
    };
    // The smaller rate takes ten times as many steps to the same time: it is shown at the narrower width.
    let cases = [(widths[0], 0.1), (widths[1], 0.1), (widths[1], 0.01)];
    let run = |((width, rate), regulariser): ((usize, f64), &'static str)| {
        let overrides = [
            format!("architecture.mlp.hidden=[{width}, {width}]"),
            format!("training.learning_rate={rate}"),
            format!("training.steps={}", (time / rate).round()),
            format!("objective.regulariser='{regulariser}'"),
        ];
        let name = format!("width-{width}-rate-{rate}-{regulariser}");
        let config = config("configs/figure1.toml", include_str!("../../../../configs/figure1.toml"), &overrides)?;
        Ok(Run { name, config, width, rate, regulariser })
    };
    REGULARISERS.into_iter().flat_map(|regulariser| cases.map(|case| (case, regulariser))).map(run).collect()
}

/// The width of Figure A.1's networks at smoke scale.
pub(super) const A1_SMOKE_WIDTH: usize = 256;

/// The runs of Figure A.1.
pub(super) fn figure_a1_runs(scale: Scale) -> Result<Vec<Run>, Error> {
    let width = match scale {
        Scale::Smoke => A1_SMOKE_WIDTH,
        Scale::Paper => 10_000,
    };
    let pairs = [("distance-to-init", "pegasos"), ("last-layer", "batch-decay")];
    pairs.into_iter().map(|(regulariser, decay)| figure_a1_run(scale, width, regulariser, decay)).collect()
}

/// Minibatch training on all images: a network of some width beside the machine.
pub(super) fn figure_a1_run(
    scale: Scale,
    width: usize,
    regulariser: &'static str,
    decay: &'static str,
) -> Result<Run, Error> {
    let mut overrides = vec![
        format!("architecture.mlp.hidden=[{width}]"),
        format!("objective.regulariser='{regulariser}'"),
        format!("machine.decay='{decay}'"),
    ];
    if scale == Scale::Smoke {
        overrides.extend(["data.train=2000", "training.steps=500", "record.points=25"].map(String::from));
    }
    let text = include_str!("../../../../configs/figure-a1.toml");
    let config: Config = config("configs/figure-a1.toml", text, &overrides)?;
    let (rate, name) = (config.training.learning_rate, format!("minibatch-width-{width}-{regulariser}-{decay}"));
    Ok(Run { name, config, width, rate, regulariser })
}

/// Runs or reads every run.
fn all(runs: &[Run], options: &Options, parts: &Parts, path: &Path) -> Result<Vec<(Value, Columns)>, Error> {
    let one = |run: &Run| {
        let results = trained(&run.name, run.config.clone(), options, parts, path)?;
        Ok((results, columns(&path.join(&run.name).join("dynamics.csv"))?))
    };
    runs.iter().map(one).collect()
}

fn columns(path: &PathBuf) -> Result<Columns, Error> {
    let failed = |error: csv::Error| Error::file(path, error);
    let mut csv = csv::Reader::from_path(path).map_err(failed)?;
    let header = csv.headers().map_err(failed)?.clone();
    let mut columns = Columns::new();
    for record in csv.records() {
        for (name, value) in header.iter().zip(&record.map_err(failed)?) {
            columns.entry(name.into()).or_default().push(value.parse().unwrap_or(f64::NAN));
        }
    }
    Ok(columns)
}

/// A column against time, without time 0.
fn over_time(columns: &Columns, name: &str) -> Vec<(f64, f64)> {
    let (time, values) = (&columns["time"], columns.get(name));
    let values = values.map_or(&[][..], Vec::as_slice);
    time.iter().copied().zip(values.iter().copied()).filter(|(time, _)| *time > 0.0).collect()
}

fn largest(columns: &Columns, name: &str) -> f64 {
    columns.get(name).map_or(f64::NAN, crate::train::record::max_abs)
}

fn results_of(runs: &[Run], found: &[(Value, Columns)]) -> Value {
    runs.iter().zip(found).map(|(run, (results, _))| json!({ "run": run.name, "results": results })).collect()
}

/// Figure 1. Its training runs lie in `folder`.
pub(super) fn figure1(options: &Options, parts: &Parts, folder: &Path) -> Result<Reproduced, Error> {
    let runs = figure1_runs(options.scale)?;
    let found = all(&runs, options, parts, folder)?;
    let mut claims = Vec::new();
    let mut blocks = vec![Block::Paragraph(
        "The paper trains a three-layer network on 128 images with its last-layer regulariser, whose effect on the output \
         is \u{3bb}/m: a wide network has next to no regularisation, and its machine has. Held to its initial weights, \
         the network decays as the machine does. Both are shown, in the paper's four panels. The smaller learning rate takes ten times as many steps to the same time, \
         and is shown at the narrower width."
            .into(),
    )];
    for regulariser in REGULARISERS {
        let of: Vec<(&Run, &Columns)> = runs
            .iter()
            .zip(&found)
            .filter(|(run, _)| run.regulariser == regulariser)
            .map(|(run, (_, columns))| (run, columns))
            .collect();
        // Runs with one rate share the machine, whatever their width.
        let draws_machine = |slot: usize| of[..slot].iter().all(|(run, _)| run.rate != of[slot].0.rate);
        blocks.push(Block::Heading(format!("Regulariser {regulariser}")));
        let time = || Axis::log("time t (learning rate times steps)");
        for (panel, probe) in ["a", "b"].into_iter().zip([0, 1]) {
            let mut figure = Figure::new(
                format!("{panel}-{regulariser}"),
                format!("({panel}) Outputs on test image {probe}"),
                time(),
                Axis::linear("centred output"),
            )
            .caption("Lines: machine; markers: networks.")
            .horizontal(0.0, "decision boundary");
            for (slot, (run, columns)) in of.iter().enumerate() {
                let Run { width, rate, .. } = run;
                let machine = over_time(columns, &format!("machine_probe_{probe}"));
                let network = over_time(columns, &format!("network_probe_{probe}"));
                if draws_machine(slot) {
                    figure = figure.series(Series::new(format!("machine, rate {rate}"), machine).slot(slot));
                }
                let label = format!("network, width {width}, rate {rate}");
                figure = figure.series(Series::new(label, network).mark(Mark::Markers).slot(slot));
            }
            blocks.push(Block::Figure(figure));
        }
        let mut difference = Figure::new(
            format!("c-{regulariser}"),
            "(c) Difference between network and machine",
            time(),
            Axis::log("largest |network \u{2212} machine|, training"),
        )
        .caption(closer(&of));
        let loss = Axis::linear("mean hinge loss, training");
        let mut losses = Figure::new(format!("d-{regulariser}"), "(d) Hinge loss", time(), loss)
            .caption("Lines: machine; markers: networks.");
        for (slot, (run, columns)) in of.iter().enumerate() {
            let Run { width, rate, .. } = run;
            let label = format!("width {width}, rate {rate}");
            let gap = Series::new(label.clone(), over_time(columns, "gap_train_max")).slot(slot);
            difference = difference.series(if *rate == of[0].0.rate { gap } else { gap.mark(Mark::Markers) });
            let machine = over_time(columns, "machine_train_loss");
            let network = over_time(columns, "network_train_loss");
            if draws_machine(slot) {
                losses = losses.series(Series::new(format!("machine, rate {rate}"), machine).slot(slot));
            }
            losses = losses.series(Series::new(format!("network, {label}"), network).mark(Mark::Markers).slot(slot));
            let (published, value) = match (regulariser, run.width, run.rate) {
                ("last-layer", 10_000, 0.1) => ("0.42, on 128 images of its own", 0.42),
                _ => ("not given", f64::NAN),
            };
            let (end, gap) = (columns["time"].last().unwrap_or(&0.0), largest(columns, "gap_train_max"));
            let what = format!("largest difference recorded up to t = {end}, {label}, {regulariser}");
            claims.push(Claim::new(what, published, format!("{gap:.3}")).holds(agrees(options.scale, gap, value)));
        }
        blocks.extend([Block::Figure(difference), Block::Figure(losses)]);
    }
    let gaps = |regulariser: &str| {
        let of = runs.iter().zip(&found).filter(|(run, _)| run.regulariser == regulariser && run.rate == 0.1);
        let gap = |(run, (_, columns)): (&Run, &(Value, Columns))| {
            format!("{:.3} at width {}", largest(columns, "gap_train_max"), run.width)
        };
        of.map(gap).collect::<Vec<_>>().join(", ")
    };
    let finding = format!(
        "The largest difference recorded, held to the initial weights: {}. With the paper's last-layer \
         regulariser, whose pull on the output is only \u{3bb}/m: {}.",
        gaps(REGULARISERS[0]),
        gaps(REGULARISERS[1])
    );
    Ok(Reproduced { finding, claims, blocks, results: results_of(&runs, &found) })
}

/// Which of the widths is closer to its machine at the larger rate, and what the smaller rate changes.
fn closer(runs: &[(&Run, &Columns)]) -> String {
    let gap = |k: usize| {
        let (run, columns) = runs[k];
        (format!("width {}, rate {}", run.width, run.rate), largest(columns, "gap_train_max"))
    };
    let gaps: Vec<(String, f64)> = (0..runs.len()).map(gap).collect();
    let told: Vec<String> = gaps.iter().map(|(name, gap)| format!("{gap:.3} ({name})")).collect();
    let wider = match gaps[..] {
        [(_, wide), (_, narrow), ..] if wide < narrow => " The wider network is the closer one.",
        [(_, wide), (_, narrow), ..] if wide >= narrow => " The wider network is not the closer one.",
        _ => "",
    };
    format!("Largest over the run: {}.{wider} Markers: the smaller step, at the same times.", told.join(", "))
}

/// Figure A.1. Its training runs lie in `folder`.
pub(super) fn figure_a1(options: &Options, parts: &Parts, folder: &Path) -> Result<Reproduced, Error> {
    let runs = figure_a1_runs(options.scale)?;
    let found = all(&runs, options, parts, folder)?;
    let mut claims = Vec::new();
    let mut blocks = vec![Block::Paragraph(
        "Minibatches of 64 images. The published code decays only the batch's coefficients of the machine, whose fixed \
         point is that of \u{3bb} = 64 \u{3bb}_mean instead of n \u{3bb}_mean, and regularises the network's last layer. \
         Beside that stands the pair that corresponds: all coefficients decay, and the network is held to its initial \
         weights."
            .into(),
    )];
    for (run, (results, columns)) in runs.iter().zip(&found) {
        blocks.push(Block::Heading(format!("Regulariser {}", run.regulariser)));
        let time = || Axis::log("time t (learning rate times steps)");
        let mut outputs = Figure::new(
            format!("outputs-{}", run.regulariser),
            "Outputs on two test images",
            time(),
            Axis::linear("centred output"),
        )
        .caption("Lines: machine; markers: network.")
        .horizontal(0.0, "decision boundary");
        for probe in [0, 1] {
            let of = |who: &str| over_time(columns, &format!("{who}_probe_{probe}"));
            outputs = outputs
                .series(Series::new(format!("machine, image {probe}"), of("machine")).slot(probe))
                .series(Series::new(format!("network, image {probe}"), of("network")).mark(Mark::Markers).slot(probe));
        }
        let pair = |name: &str, title: &str, axis: Axis, what: &str| {
            let mut figure = Figure::new(format!("{name}-{}", run.regulariser), title, time(), axis)
                .caption("Lines: machine; markers: network.");
            for (slot, set) in ["train", "test"].into_iter().enumerate() {
                let of = |who: &str| over_time(columns, &format!("{who}_{set}_{what}"));
                figure = figure
                    .series(Series::new(format!("machine, {set}"), of("machine")).slot(slot))
                    .series(Series::new(format!("network, {set}"), of("network")).mark(Mark::Markers).slot(slot));
            }
            Block::Figure(figure)
        };
        blocks.push(Block::Figure(outputs));
        blocks.push(pair("loss", "Hinge loss", Axis::linear("mean hinge loss"), "loss"));
        blocks.push(pair("accuracy", "Accuracy", Axis::linear("fraction on the right side"), "accuracy"));
        for who in ["network", "machine"] {
            claims.push(Claim::new(
                format!("test accuracy of the {who}, {}", run.regulariser),
                "curves only",
                format!("{:.2} %", 100.0 * number(&results[who]["test_accuracy"])),
            ));
        }
        claims.push(Claim::new(
            format!("largest difference on the training samples recorded in the run, {}", run.regulariser),
            "curves only",
            format!("{:.3}", largest(columns, "gap_train_max")),
        ));
    }
    let of = |(run, (results, columns)): (&Run, &(Value, Columns))| {
        let accuracy = |who: &str| 100.0 * number(&results[who]["test_accuracy"]);
        format!(
            "{}: largest difference {:.3}, test accuracy of the network {:.2} %, of the machine {:.2} %",
            run.regulariser,
            largest(columns, "gap_train_max"),
            accuracy("network"),
            accuracy("machine")
        )
    };
    let finding = runs.iter().zip(&found).map(of).collect::<Vec<_>>().join("; ") + ".";
    Ok(Reproduced { finding, claims, blocks, results: results_of(&runs, &found) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wider_network_is_called_closer_only_if_it_is() {
        let runs = figure1_runs(Scale::Smoke).unwrap();
        let columns = |gap: f64| Columns::from([("gap_train_max".to_string(), vec![0.0, gap])]);
        let said = |wide: f64, narrow: f64| {
            let columns = [columns(wide), columns(narrow), columns(narrow)];
            closer(&runs.iter().zip(&columns).collect::<Vec<_>>())
        };
        assert!(said(0.1, 0.2).contains("0.100 (width 512, rate 0.1)") && said(0.1, 0.2).contains("is the closer one"));
        assert!(said(0.3, 0.2).contains("is not the closer one"));
        assert!(!said(f64::NAN, 0.2).contains("closer one"));
    }
}
