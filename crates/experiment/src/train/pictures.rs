//! The plots of a run, and the report that shows them.

use widenet_store::numbers::{count, decimals, number};

use crate::error::Error;
use crate::judgement::{Closeness, course, follows, percent, told};
use crate::plot::{Axis, Figure, Mark, Series};
use crate::report::{Block, Report};
use crate::train::record::{LinearisedRecord, Record, Scores};
use crate::train::{Run, time};

/// Draws every figure as SVG and PNG into `plots/`, and writes report.html.
pub fn write(run: &Run, records: &[Record]) -> Result<(), Error> {
    report(run, records, figures(run, records)).write(run.folder)
}

fn figures(run: &Run, records: &[Record]) -> Vec<Figure> {
    let steps = || Axis::log("steps");
    // A series over the records; step 0 has no place on a logarithmic axis.
    let over_steps = |value: &dyn Fn(&Record) -> f64| -> Vec<(f64, f64)> {
        records.iter().filter(|record| record.step > 0).map(|record| (record.step as f64, value(record))).collect()
    };
    let both = |figure: Figure, value: fn(&Scores) -> f64, what: &str, slot: usize| {
        let machine = Series::new(format!("machine, {what}"), over_steps(&|record| value(&record.machine)));
        let network = Series::new(format!("network, {what}"), over_steps(&|record| value(&record.network)));
        figure.series(machine.slot(slot)).series(network.mark(Mark::Markers).slot(slot))
    };

    let mut outputs = Figure::new("outputs", "Outputs on test images", steps(), Axis::linear("centred output"))
        .caption(on_probes(records))
        .horizontal(0.0, "decision boundary");
    for (slot, probe) in run.config.record.probes.iter().enumerate() {
        let label = if run.data.test.labels[*probe] > 0.0 { "+1" } else { "\u{2212}1" };
        let machine = over_steps(&|record| record.probes[slot][1]);
        let network = over_steps(&|record| record.probes[slot][0]);
        outputs = outputs
            .series(Series::new(format!("machine, image {probe} ({label})"), machine).slot(slot))
            .series(Series::new(format!("network, image {probe}"), network).mark(Mark::Markers).slot(slot));
    }

    let gap = Figure::new("gap", "Gap between network and machine", steps(), Axis::log("|network \u{2212} machine|"))
        .caption(at_the_end(records, run.mismatch().is_none()))
        .series(Series::new("train, largest", over_steps(&|record| record.gap.train_max)).slot(0))
        .series(Series::new("train, root mean square", over_steps(&|record| record.gap.train_rms)).slot(1))
        .series(Series::new("test, largest", over_steps(&|record| record.gap.test_max)).mark(Mark::Dashed).slot(0))
        .series(
            Series::new("test, root mean square", over_steps(&|record| record.gap.test_rms)).mark(Mark::Dashed).slot(1),
        );

    let mut figures = vec![outputs, gap];
    if records.iter().any(|record| record.linearised.is_some()) {
        let part = |value: fn(&LinearisedRecord) -> f64| {
            over_steps(&move |record| record.linearised.as_ref().map_or(f64::NAN, value))
        };
        let axis = Axis::log("largest difference on training images");
        figures.push(
            Figure::new("gap-parts", "The two parts of the gap", steps(), axis)
                .caption(parts(records))
                .series(Series::new("network to machine", over_steps(&|record| record.gap.train_max)).slot(0))
                .series(Series::new("network to linearised network", part(|l| l.to_network.train_max)).slot(1))
                .series(Series::new("linearised network to machine", part(|l| l.to_machine.train_max)).slot(2)),
        );
    }

    let loss = run.config.objective.loss.name();
    let losses =
        Figure::new("loss", "Loss", steps(), Axis::linear(format!("mean {loss} loss"))).caption(descent(records));
    let losses = both(losses, |scores| scores.train_loss, "train", 0);
    let losses = both(losses, |scores| scores.test_loss, "test", 1);

    let accuracy = Figure::new("accuracy", "Accuracy", steps(), Axis::linear("fraction of images on the right side"))
        .caption(accuracies(records));
    let accuracy = both(accuracy, |scores| scores.train_accuracy, "train", 0);
    let accuracy = both(accuracy, |scores| scores.test_accuracy, "test", 1);

    figures.extend([losses, accuracy]);
    if records.iter().any(|record| record.kernel_change.is_some()) {
        let change = over_steps(&|record| record.kernel_change.unwrap_or(f64::NAN));
        figures.push(
            Figure::new(
                "kernel-change",
                "Change of the tangent kernel",
                steps(),
                Axis::log("|K(t) \u{2212} K(0)| / |K(0)|"),
            )
            .caption(linearity(records))
            .series(Series::new("Frobenius norm", change)),
        );
    }
    figures
}

/// The last record; step 0 is always recorded.
fn last(records: &[Record]) -> &Record {
    records.last().expect("step 0 is always recorded")
}

/// The largest of a number over the records.
fn largest(records: &[Record], value: impl Fn(&Record) -> f64) -> f64 {
    crate::train::max_abs(&records.iter().map(value).collect::<Vec<_>>())
}

/// The largest gap of a record, and what it says.
pub fn gap(record: &Record) -> String {
    let (gap, output) = (record.gap.train_max, record.output_train_max_abs);
    let beside = match output {
        0.0 => "where all outputs of the network are 0".into(),
        _ => format!("{} of the network's largest output, {}", percent(gap, output), decimals(output, 3)),
    };
    format!("{}, {beside}: {}", decimals(gap, 4), follows(output, gap))
}

fn on_probes(records: &[Record]) -> String {
    let probes = || records.iter().flat_map(|record| &record.probes);
    let far = probes().map(|[machine, network]| (machine - network).abs()).fold(0.0, f64::max);
    let size = probes().flatten().map(|output| output.abs()).fold(0.0, f64::max);
    let distance = match size {
        0.0 => "All of them are 0".into(),
        _ => format!("They are at most {} of the largest output apart, over all records", percent(far, size)),
    };
    format!("Lines: the machine; markers: the network; one colour per test image. {distance}.")
}

/// `matched`: the machine's kernel is that of the parameters that are trained.
fn at_the_end(records: &[Record], matched: bool) -> String {
    let theory = if matched { " In theory it vanishes as the width grows." } else { "" };
    format!("At the end the largest gap on the training images is {}.{theory}", gap(last(records)))
}

fn parts(records: &[Record]) -> String {
    let ends = last(records).linearised.as_ref().map(|l| (l.to_network.train_max, l.to_machine.train_max));
    let (to_network, to_machine) = ends.unwrap_or((f64::NAN, f64::NAN));
    format!(
        "The linearised network stands between the two. It leaves the network as the network's kernel changes ({} at the \
         end), and the machine because a finite network's kernel is not the machine's ({}).",
        told(to_network, |far| decimals(far, 4)),
        told(to_machine, |far| decimals(far, 4))
    )
}

fn descent(records: &[Record]) -> String {
    let (first, last) = (&records[0], last(records));
    let apart = |value: fn(&Scores) -> f64| {
        let far = largest(records, |record| value(&record.network) - value(&record.machine));
        let start = value(&first.network);
        (Closeness::of(far, start), percent(far, start))
    };
    let ((closeness, train), (_, test)) = (apart(|scores| scores.train_loss), apart(|scores| scores.test_loss));
    let whose = |who: &str, from: &Scores, to: &Scores| {
        let word = course(from.train_loss, to.train_loss);
        format!("the {who}'s {word} ({} to {})", decimals(from.train_loss, 4), decimals(to.train_loss, 4))
    };
    format!(
        "{}: at most {train} of the first loss apart on training images, {test} on test images. On training images {}, {}.",
        closeness.choose(
            "Both losses take the same course",
            "Both losses take about the same course",
            "The losses part"
        ),
        whose("network", &first.network, &last.network),
        whose("machine", &first.machine, &last.machine)
    )
}

fn accuracies(records: &[Record]) -> String {
    let apart =
        |value: fn(&Scores) -> f64| 100.0 * largest(records, |record| value(&record.network) - value(&record.machine));
    format!(
        "Over the run the accuracies of the two are at most {:.1} percentage points apart on training images, and {:.1} on \
         test images.",
        apart(|scores| scores.train_accuracy),
        apart(|scores| scores.test_accuracy)
    )
}

fn linearity(records: &[Record]) -> String {
    let change = largest(records, |record| record.kernel_change.unwrap_or(0.0));
    format!(
        "The network's own kernel changes by up to {} of its norm: {}.",
        percent(change, 1.0),
        Closeness::of(change, 1.0).choose(
            "the network stays near its linear regime",
            "the network is at the edge of its linear regime",
            "the network leaves its linear regime"
        )
    )
}

fn report(run: &Run, records: &[Record], figures: Vec<Figure>) -> Report {
    let last = last(records);
    let Run { config, objective, data, architecture, .. } = run;
    let hundredths = |value: f64| format!("{:.2} %", 100.0 * value);
    let loss = |value: f64| decimals(value, 5);
    let kernel = match config.machine.kernel {
        crate::config::KernelName::Limit => "the network's tangent kernel at infinite width, in closed form",
        crate::config::KernelName::Nngp => "the covariance of the network's outputs at infinite width, in closed form",
        crate::config::KernelName::Empirical => "the network's own kernel at initialisation",
    };
    let mut blocks = vec![
        Block::Paragraph(format!(
            "A finite network and a kernel machine were trained on the same {} with the same loss, step by step. \
             The machine's kernel is {kernel}. After {} their outputs on the training images differ by at most {}.",
            count(data.train.len(), "image"),
            count(last.step, "step"),
            gap(last)
        )),
        Block::Table {
            header: ["", "network", "machine"].map(String::from).to_vec(),
            rows: vec![
                row("test accuracy", hundredths, last.network.test_accuracy, last.machine.test_accuracy),
                row("train accuracy", hundredths, last.network.train_accuracy, last.machine.train_accuracy),
                row("test loss", loss, last.network.test_loss, last.machine.test_loss),
                row("train loss", loss, last.network.train_loss, last.machine.train_loss),
            ],
        },
    ];
    blocks.extend(run.mismatch().map(|warning| Block::Note(format!("Warning: {warning}."))));
    blocks.extend(figures.into_iter().map(Block::Figure));
    let pair = |key: &str, value: String| (key.to_string(), value);
    blocks.push(Block::Heading("Conventions".into()));
    blocks.push(Block::KeyValues(vec![
        pair("data", {
            let test = count(data.test.len(), "test image");
            format!("{}, {} training and {test}", data.train.name, data.train.len())
        }),
        pair("network width", architecture.width().map_or("no hidden layer".into(), |m| m.to_string())),
        pair("objective of the machine", format!("{} loss, {objective}", config.objective.loss.name())),
        pair("regulariser of the network", config.objective.regulariser.name().into()),
        pair(
            "learning rate",
            format!(
                "{} (mean of losses), {:.3e} (sum of losses)",
                number(config.training.learning_rate),
                config.training.learning_rate / objective.samples() as f64
            ),
        ),
        pair("steps", format!("{}, time {}", last.step, number(time(config, last.step)))),
        pair("batch", run.batch().map_or("all samples".into(), |size| size.to_string())),
        pair("outputs", "centred: the network's output minus its output at initialisation".into()),
        pair("seed", config.seed.to_string()),
        pair("backend", format!("{}, {}", config.backend.name(), config.precision.name())),
        pair("widenet", env!("CARGO_PKG_VERSION").into()),
    ]));
    Report { title: config.name.clone(), subtitle: "A network beside its kernel machine".into(), blocks }
}

fn row(name: &str, format: impl Fn(f64) -> String, network: f64, machine: f64) -> Vec<String> {
    vec![name.into(), format(network), format(machine)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::record::Gap;

    /// A run of two records: losses of network and machine, the gap at the end, and the network's largest output.
    fn run(network: [f64; 2], machine: [f64; 2], gap: f64, output: f64) -> Vec<Record> {
        let scores = |loss: f64| Scores {
            train_loss: loss,
            test_loss: loss,
            train_accuracy: if loss < 1.0 { 0.9 } else { 0.4 },
            test_accuracy: 0.5,
        };
        let record = |k: usize| Record {
            step: 10 * k,
            network: scores(network[k]),
            machine: scores(machine[k]),
            gap: if k == 0 {
                Gap { train_max: 0.0, train_rms: 0.0, test_max: 0.0, test_rms: 0.0 }
            } else {
                Gap { train_max: gap, train_rms: gap, test_max: gap, test_rms: gap }
            },
            linearised: None,
            output_train_max_abs: if k == 0 { 0.0 } else { output },
            kernel_change: Some(gap * k as f64),
            probes: vec![[0.0; 2], [gap * k as f64, 0.0]],
        };
        vec![record(0), record(1)]
    }

    #[test]
    fn a_good_run_is_said_to_be_one() {
        let good = run([1.0, 0.2], [1.0, 0.21], 0.02, 1.5);
        let end = at_the_end(&good, true);
        assert!(
            end.contains("0.0200, 1.3 % of the network's largest output, 1.500: the network follows its machine."),
            "{end}"
        );
        assert!(
            end.ends_with("In theory it vanishes as the width grows.") && !at_the_end(&good, false).contains("theory")
        );
        let descent = descent(&good);
        assert!(descent.starts_with("Both losses take the same course: at most 1.0 %"), "{descent}");
        assert!(descent.contains("the network's falls (1.0000 to 0.2000), the machine's falls"), "{descent}");
        assert!(linearity(&good).ends_with("stays near its linear regime."));
    }

    #[test]
    fn a_bad_run_gets_no_good_sentence() {
        let bad = run([1.0, 40.0], [1.0, 0.5], 12.0, 1.03);
        let end = at_the_end(&bad, true);
        assert!(end.contains("1165.0 % of the network's largest output"), "{end}");
        assert!(end.contains("the network does not follow its machine"), "{end}");
        let descent = descent(&bad);
        assert!(descent.starts_with("The losses part: at most 3950.0 %"), "{descent}");
        assert!(descent.contains("the network's does not fall (1.0000 to 40.0000), the machine's falls"), "{descent}");
        assert!(accuracies(&bad).contains("50.0 percentage points"), "{}", accuracies(&bad));
        assert!(linearity(&bad).contains("1200.0 %") && linearity(&bad).ends_with("leaves its linear regime."));
        assert!(on_probes(&bad).contains("100.0 % of the largest output"), "{}", on_probes(&bad));
        // A network that does not move at all beside a machine that does.
        let still = run([1.0, 1.0], [1.0, 0.1], 0.9, 0.0);
        let end = at_the_end(&still, true);
        assert!(end.contains("0.9000, where all outputs of the network are 0: the network has not moved"), "{end}");
    }

    /// A learning rate of 1e-9: neither moves, which is no agreement.
    #[test]
    fn a_run_in_which_nothing_moves_gets_no_good_sentence() {
        for (gap, output) in [(0.0, 0.0), (1e-11, 2e-9)] {
            let still = run([1.0, 1.0 - output], [1.0, 1.0 - output], gap, output);
            let (end, descent) = (at_the_end(&still, true), descent(&still));
            assert!(end.contains("neither has moved") && !end.contains("the network follows"), "{end}");
            assert!(descent.contains("the network's stays (1.0000 to 1.0000), the machine's stays"), "{descent}");
            for text in [end, descent, on_probes(&still), accuracies(&still), linearity(&still)] {
                assert!(!text.contains(crate::judgement::DASH) && !text.contains("NaN"), "{text}");
            }
        }
        let probes = on_probes(&run([1.0; 2], [1.0; 2], 0.0, 0.0));
        assert!(probes.ends_with("All of them are 0."), "{probes}");
    }
}
