//! The plots of a run, and the report that shows them.

use crate::error::Error;
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
        .caption("The network (markers) should lie on the machine's lines: one colour per test image.")
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
        .caption("Small against outputs of order 1, and smaller the wider the network.")
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
                .caption(
                    "The linearised network stands between the two. It leaves the network as the network's kernel \
                     changes, and the machine because a finite network's kernel is not the machine's.",
                )
                .series(Series::new("network to machine", over_steps(&|record| record.gap.train_max)).slot(0))
                .series(Series::new("network to linearised network", part(|l| l.to_network.train_max)).slot(1))
                .series(Series::new("linearised network to machine", part(|l| l.to_machine.train_max)).slot(2)),
        );
    }

    let loss = run.config.objective.loss.name();
    let losses = Figure::new("loss", "Loss", steps(), Axis::linear(format!("mean {loss} loss")))
        .caption("Both descend the same curve, on training and on test images.");
    let losses = both(losses, |scores| scores.train_loss, "train", 0);
    let losses = both(losses, |scores| scores.test_loss, "test", 1);

    let accuracy = Figure::new("accuracy", "Accuracy", steps(), Axis::linear("fraction of images on the right side"))
        .caption("Both classify the same share of images rightly, at the same time.");
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
            .caption("How far the network is from its linear regime: the smaller, the closer it follows the machine.")
            .series(Series::new("Frobenius norm", change)),
        );
    }
    figures
}

fn report(run: &Run, records: &[Record], figures: Vec<Figure>) -> Report {
    let last = records.last().expect("step 0 is always recorded");
    let Run { config, objective, data, architecture, .. } = run;
    let ratio = 100.0 * last.gap.train_max / last.output_train_max_abs;
    let percent = |value: f64| format!("{:.2} %", 100.0 * value);
    let loss = |value: f64| format!("{value:.5}");
    let kernel = match config.machine.kernel {
        crate::config::KernelName::Limit => "the network's tangent kernel at infinite width, in closed form",
        crate::config::KernelName::Nngp => "the covariance of the network's outputs at infinite width, in closed form",
        crate::config::KernelName::Empirical => "the network's own kernel at initialisation",
    };
    let mut blocks = vec![
        Block::Paragraph(format!(
            "A finite network and a kernel machine learned the same {} images with the same loss, step by step. The \
             machine's kernel is {kernel}. After {} steps their outputs on the training images differ by at most \
             {:.4}, which is {ratio:.1} % of the network's largest output.",
            data.train.len(),
            last.step,
            last.gap.train_max,
        )),
        Block::Table {
            header: ["", "network", "machine"].map(String::from).to_vec(),
            rows: vec![
                row("test accuracy", percent, last.network.test_accuracy, last.machine.test_accuracy),
                row("train accuracy", percent, last.network.train_accuracy, last.machine.train_accuracy),
                row("test loss", loss, last.network.test_loss, last.machine.test_loss),
                row("train loss", loss, last.network.train_loss, last.machine.train_loss),
            ],
        },
    ];
    blocks.extend(figures.into_iter().map(Block::Figure));
    let pair = |key: &str, value: String| (key.to_string(), value);
    blocks.push(Block::Heading("Conventions".into()));
    blocks.push(Block::KeyValues(vec![
        pair("data", format!("{}, {} training and {} test images", data.train.name, data.train.len(), data.test.len())),
        pair("network width", architecture.width().map_or("no hidden layer".into(), |m| m.to_string())),
        pair("objective of the machine", format!("{} loss, {objective}", config.objective.loss.name())),
        pair("regulariser of the network", config.objective.regulariser.name().into()),
        pair(
            "learning rate",
            format!(
                "{} (mean of losses), {:.3e} (sum of losses)",
                config.training.learning_rate,
                config.training.learning_rate / objective.samples() as f64
            ),
        ),
        pair("steps", format!("{}, time {}", last.step, time(config, last.step))),
        pair("batch", config.training.batch_size.map_or("all samples".into(), |size| size.to_string())),
        pair("outputs", "centred: the network's output minus its output at initialisation".into()),
        pair("seed", config.seed.to_string()),
        pair("backend", format!("{}, {}", config.backend.name(), config.precision.name())),
        pair("widenet", env!("CARGO_PKG_VERSION").into()),
    ]));
    Report { title: config.name.clone(), subtitle: "A wide network beside its kernel machine".into(), blocks }
}

fn row(name: &str, format: impl Fn(f64) -> String, network: f64, machine: f64) -> Vec<String> {
    vec![name.into(), format(network), format(machine)]
}
