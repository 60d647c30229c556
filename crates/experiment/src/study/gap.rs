//! The gap between networks and machines, over widths, regularisations and seeds.

use std::fmt::Write as _;

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use widenet_machine::{Decay, Descent, Objective};
use widenet_model::{Architecture, Network};
use widenet_store::numbers::{count, decimals, number};

use super::{GapConfig, RowConfig, Setup, Studied, progress_bar};
use crate::config::Regulariser;
use crate::error::Error;
use crate::judgement::with_width;
use crate::plot::{Axis, Figure, Mark, Series};
use crate::report::Report;
use crate::run_folder::RunFolder;
use crate::slope::Slope;
use crate::train::linearised::{Linearised, Tangent};
use crate::train::network::{NetworkDescent, Rule, Samples};
use crate::train::record::{Gap, Outputs, grid, max_abs};
use crate::train::{BURN, Kernels, Places};

/// One network beside its machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cell {
    width: usize,
    seed: u64,
    /// The largest `|network - machine|` on the training samples, over all steps.
    largest: f64,
    /// The step at which it was so large.
    largest_step: usize,
    /// The largest over the records, from network to linearised network.
    to_linearised: f64,
    /// And from linearised network to machine.
    linearised_to_machine: f64,
    points: Vec<Point>,
}

/// What is recorded at one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    step: usize,
    train_max: f64,
    train_rms: f64,
    test_max: f64,
    /// The largest training output of the machine.
    output: f64,
    /// What the gap would be if the network were the machine with the decay that its regulariser has at this width.
    predicted: f64,
}

/// All networks of one row.
struct Row {
    config: RowConfig,
    cells: Vec<Cell>,
}

/// Runs the study.
pub fn run(setup: &Setup, config: &GapConfig, places: &Places) -> Result<Studied, Error> {
    let rows = rows(config);
    let networks = check(setup, config, &rows)?;
    let folder = setup.folder(places)?;
    let total = rows.iter().map(|row| row.steps(&setup.config.training)).sum::<usize>();
    let widths: usize = config.widths.iter().map(|width| width.get()).sum();
    eprintln!(
        "{}: {}, widths {}, {} each; {}; {} on {}",
        setup.config.name,
        count(rows.len(), "row"),
        config.widths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        count(config.seeds.get(), "seed"),
        setup.samples(),
        setup.config.precision.name(),
        setup.config.backend.name()
    );
    let progress = progress_bar(total * widths * config.seeds.get());

    let mut done = Vec::new();
    for (index, row) in rows.into_iter().enumerate() {
        let kernels = kernels(setup, &row)?;
        let mut cells = Vec::new();
        for network in &networks {
            let width = network.width().expect("checked");
            for seed in crate::compare::seeds(setup.config.seed, width, config.seeds.get()) {
                progress.set_message(format!("{}, width {width}", row.name));
                cells.push(folder.parts().part(&format!("row-{index}-width-{width}-seed-{seed}"), || {
                    measure(setup, config, &row, &kernels, network, seed, &progress)
                })?);
            }
        }
        done.push(Row { config: row, cells });
    }
    progress.finish_and_clear();
    finish(setup, config, folder, &done)
}

/// The rows, each with every regularisation if those are given.
fn rows(config: &GapConfig) -> Vec<RowConfig> {
    if config.lambdas.is_empty() {
        return config.rows.clone();
    }
    let with = |row: &RowConfig, lambda_mean: f64| RowConfig {
        name: format!("{}, lambda_mean = {lambda_mean}", row.name),
        lambda_mean,
        ..row.clone()
    };
    config.rows.iter().flat_map(|row| config.lambdas.iter().map(|&lambda| with(row, lambda))).collect()
}

/// The networks at every width, if everything can be computed.
fn check(setup: &Setup, config: &GapConfig, rows: &[RowConfig]) -> Result<Vec<Architecture>, Error> {
    if rows.is_empty() || config.widths.is_empty() {
        return Err(Error::Setting("study.gap: at least one row and one width are needed".into()));
    }
    if setup.architecture.width().is_none() {
        return Err(Error::Setting("architecture: without a hidden layer there is no width to vary".into()));
    }
    crate::compare::check_seeds("study.gap.seeds", config.seeds.get())?;
    for row in rows {
        super::check_row_with_kernel(setup, row)?;
    }
    let networks = config.widths.iter().map(|&width| setup.architecture.with_width(width));
    let networks: Vec<Architecture> = networks.collect::<Result<_, _>>()?;
    for network in &networks {
        let (parameters, config) = (network.parameter_count(), setup.config);
        let what = || count(parameters, "parameter");
        crate::memory::check_weights(config.backend, parameters, 5 * config.precision.bytes(), what)?;
    }
    Ok(networks)
}

/// The limit kernel of a row on the data.
pub(super) fn kernels(setup: &Setup, row: &RowConfig) -> Result<Kernels, Error> {
    let (n, test) = (setup.data.train.len(), setup.data.test.len() as u64);
    // The training matrix with a factor or a copy of it, and that of the test samples.
    crate::memory::check_samples(n, "data.train", |n| (8 * n).saturating_mul(2 * n + test))?;
    Kernels::of(&super::limit(setup, row)?, &setup.data)
}

/// The regularisation of the machine whose decay a network of this width has: all of it, the share `1/m` that
/// `last-layer` leaves, or nothing.
pub(super) fn effective_lambda(row: &RowConfig, fan_in: usize) -> f64 {
    match row.regulariser {
        Regulariser::DistanceToInit => row.lambda_mean,
        Regulariser::LastLayer => row.lambda_mean / fan_in as f64,
        Regulariser::None => 0.0,
    }
}

/// Trains one network beside its machine.
fn measure(
    setup: &Setup,
    config: &GapConfig,
    row: &RowConfig,
    kernels: &Kernels,
    architecture: &Architecture,
    seed: u64,
    progress: &ProgressBar,
) -> Result<Cell, Error> {
    let (data, training) = (&setup.data, &setup.config.training);
    let (width, n) = (architecture.width().expect("checked"), data.train.len());
    let network = Network::init(architecture, seed, setup.config.precision, &setup.device.clone().autodiff());
    let (initial, loss) = (network.initial(), row.loss.loss());
    let (train, test) =
        (Samples::new(&network, data.train.inputs.view())?, Samples::new(&network, data.test.inputs.view())?);
    let rule = Rule {
        regulariser: row.regulariser,
        lambda_mean: row.lambda_mean,
        learning_rate: row.learning_rate(training),
        parameters: row.parameters,
    };
    let tangent = Tangent::new(&initial, data, rule, None)?;
    let labels = data.train.labels.view();
    let mut descent = NetworkDescent::new(network, &train, labels, loss, rule, None);
    let machine = |lambda| Descent::new(Objective::new(lambda, n)?, rule.learning_rate, Decay::Pegasos);
    let (mut machine, mut linearised, mut predicted) =
        (machine(row.lambda_mean)?, Linearised::new(n), machine(effective_lambda(row, tangent.width()))?);

    let steps = row.steps(training);
    let grid = grid(steps, config.points.get());
    let all: Vec<usize> = (0..n).collect();
    let mut cell = Cell {
        width,
        seed,
        largest: 0.0,
        largest_step: 0,
        to_linearised: 0.0,
        linearised_to_machine: 0.0,
        points: Vec::new(),
    };
    for step in 0..=steps {
        let g_train = machine.outputs(kernels.train.view());
        if grid.binary_search(&step).is_ok() {
            let network = descent.network();
            let (f_train, f_test) = (train.outputs(&network)?, test.outputs(&network)?);
            let g_test = machine.outputs(kernels.test.view());
            let (h_train, h_test) = (linearised.train_outputs(&tangent), linearised.test_outputs(&tangent));
            let f = Outputs { train: f_train.view(), test: f_test.view() };
            let g = Outputs { train: g_train.view(), test: g_test.view() };
            let h = Outputs { train: h_train.view(), test: h_test.view() };
            let (gap, parts) = (Gap::of(&f, &g), [Gap::of(&f, &h).train_max, Gap::of(&h, &g).train_max]);
            let Gap { train_max, train_rms, test_max, .. } = gap;
            let expected = predicted.outputs(kernels.train.view());
            let predicted = max_abs(&(&expected - &g_train));
            let all = [train_max, train_rms, test_max, predicted, max_abs(&g_train), parts[0], parts[1]];
            super::finite(step, all, || format!("the gap of {} at width {width}", row.name))?;
            cell.to_linearised = cell.to_linearised.max(parts[0]);
            cell.linearised_to_machine = cell.linearised_to_machine.max(parts[1]);
            cell.points.push(Point { step, train_max, train_rms, test_max, output: max_abs(&g_train), predicted });
            if train_max > cell.largest {
                (cell.largest, cell.largest_step) = (train_max, step);
            }
        }
        if step == steps {
            break;
        }
        let value = descent.step(&all)?;
        super::descended(value, step, || format!("the gap of {} at width {width}", row.name))?;
        let gap = max_abs(&(&ndarray::ArrayView1::from(descent.outputs()) - &g_train));
        if gap > cell.largest {
            (cell.largest, cell.largest_step) = (gap, step);
        }
        machine.step(kernels.train.view(), labels, loss, &all);
        predicted.step(kernels.train.view(), labels, loss, &all);
        linearised.step(&tangent, labels, loss, &all);
        progress.inc(width as u64);
    }
    Ok(cell)
}

impl Row {
    /// `(width, value)` of every network.
    fn points(&self, value: impl Fn(&Cell) -> f64) -> Vec<(f64, f64)> {
        self.cells.iter().map(|cell| (cell.width as f64, value(cell))).collect()
    }

    /// The mean over the seeds, at every width.
    fn means(&self, value: impl Fn(&Cell) -> f64) -> Vec<(f64, f64)> {
        let mut widths: Vec<usize> = self.cells.iter().map(|cell| cell.width).collect();
        widths.dedup();
        let mean = |width: usize| {
            let of: Vec<f64> = self.cells.iter().filter(|cell| cell.width == width).map(&value).collect();
            (width as f64, of.iter().sum::<f64>() / of.len() as f64)
        };
        widths.into_iter().map(mean).collect()
    }

    fn slope(&self, value: impl Fn(&Cell) -> f64) -> Option<Slope> {
        Slope::fit(self.points(value))
    }
}

impl Cell {
    fn last(&self) -> &Point {
        self.points.last().expect("the last step is recorded")
    }
}

/// What is told of a row: its name in results.json, what it is, and its value.
type Measure = (&'static str, &'static str, fn(&Cell) -> f64);

const MEASURES: [Measure; 5] = [
    ("largest", "largest gap over the run, training samples", |cell| cell.largest),
    ("last", "gap at the end, training samples", |cell| cell.last().train_max),
    ("last_test", "gap at the end, test samples", |cell| cell.last().test_max),
    ("to_linearised", "network to linearised network", |cell| cell.to_linearised),
    ("linearised_to_machine", "linearised network to machine", |cell| cell.linearised_to_machine),
];

fn finish(setup: &Setup, config: &GapConfig, folder: RunFolder, rows: &[Row]) -> Result<Studied, Error> {
    let results = results(setup, rows)?;
    folder.write("gap.csv", &csv(rows).map_err(|error| Error::file(folder.path().join("gap.csv"), error))?)?;
    let report = report(setup, config, rows)?;
    let mut summary = String::new();
    for row in rows {
        writeln!(summary, "{}", row.config.name).expect("a string takes everything");
        for (_, what, value) in MEASURES {
            let means = row.means(value);
            let values: Vec<String> =
                means.iter().map(|(width, value)| format!("{width}: {}", decimals(*value, 4))).collect();
            let slope = row.slope(value).map_or(String::new(), |slope| format!("; slope {slope}"));
            writeln!(summary, "  {what}: {}{slope}", values.join(", ")).expect("a string takes everything");
        }
    }
    super::finish(folder, results, summary, report)
}

/// The final numbers. They depend on the configuration and the backend alone: no times, no paths.
fn results(setup: &Setup, rows: &[Row]) -> Result<Value, Error> {
    let n = setup.data.train.len();
    let row = |row: &Row| -> Result<Value, Error> {
        let RowConfig { name, loss, lambda_mean, regulariser, .. } = &row.config;
        let mut value = json!({
            "name": name,
            "loss": loss.name(),
            "regulariser": regulariser.name(),
            "kernel": row.config.kernel.name(),
            "lambda_mean": lambda_mean,
            "lambda": Objective::new(*lambda_mean, n)?.lambda(),
            "learning_rate": row.config.learning_rate(&setup.config.training),
            "steps": row.config.steps(&setup.config.training),
            "largest_output": row.cells.iter().flat_map(|cell| &cell.points).map(|p| p.output).fold(0.0, f64::max),
        });
        for (key, _, measure) in MEASURES {
            let means =
                row.means(measure).into_iter().map(|(width, mean)| json!({ "width": width as usize, "mean": mean }));
            value[key] = json!({ "means": means.collect::<Vec<_>>(), "slope": row.slope(measure) });
        }
        Ok(value)
    };
    Ok(json!({
        "name": setup.config.name,
        "seed": setup.config.seed,
        "backend": setup.config.backend.name(),
        "precision": setup.config.precision.name(),
        "versions": { "widenet": env!("CARGO_PKG_VERSION"), "burn": BURN },
        "samples": { "train": n, "test": setup.data.test.len() },
        "rows": rows.iter().map(row).collect::<Result<Vec<_>, _>>()?,
    }))
}

/// gap.csv: one row per network and record.
fn csv(rows: &[Row]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(["row", "width", "seed", "step", "train_max", "train_rms", "test_max", "output", "predicted"])?;
    for row in rows {
        for cell in &row.cells {
            for point in &cell.points {
                let Point { step, train_max, train_rms, test_max, output, predicted } = point;
                let mut record =
                    vec![row.config.name.clone(), cell.width.to_string(), cell.seed.to_string(), step.to_string()];
                record.extend([train_max, train_rms, test_max, output, predicted].map(ToString::to_string));
                csv.write_record(record)?;
            }
        }
    }
    Ok(csv.into_inner()?)
}

/// Means over the seeds of one width, step by step.
fn over_steps(row: &Row, width: usize, value: impl Fn(&Point) -> f64) -> Vec<(f64, f64)> {
    let cells: Vec<&Cell> = row.cells.iter().filter(|cell| cell.width == width).collect();
    let steps = cells.first().map_or(0, |cell| cell.points.len());
    let mean = |index: usize| {
        let sum: f64 = cells.iter().map(|cell| value(&cell.points[index])).sum();
        (cells[0].points[index].step as f64, sum / cells.len() as f64)
    };
    (0..steps).map(mean).filter(|(step, _)| *step > 0.0).collect()
}

/// How many of the rows' gaps fall with the width.
fn courses(rows: &[Row]) -> String {
    let falls = |row: &&Row| row.slope(|cell| cell.largest).is_some_and(|slope| slope.high < 0.0);
    let slopes = match rows {
        [row] => format!("The gap {}", with_width(row.slope(|cell| cell.largest).as_ref())),
        rows => format!(
            "The gap falls with the width, by its exponent's whole interval, in {} of {} rows",
            rows.iter().filter(falls).count(),
            rows.len()
        ),
    };
    format!("Means over the seeds, and fitted power laws. {slopes}.")
}

fn report(setup: &Setup, config: &GapConfig, rows: &[Row]) -> Result<Report, Error> {
    let n = setup.data.train.len();
    let subtitle = format!(
        "{} of {}, {} of every width, {}",
        setup.samples(),
        setup.data.train.name,
        count(config.seeds.get(), "network"),
        setup.config.precision.name()
    );
    let mut report = Report::new(format!("Gap between networks and machines: {}", setup.config.name), subtitle);
    report.paragraph(
        "Every network is trained beside the machine with its kernel at infinite width, on the same samples with the \
         same loss and step size. The gap is the largest |network \u{2212} machine| over the training samples; outputs \
         are centred, so both start at 0. Slopes are those of log gap against log width over all networks, with 95 % \
         confidence intervals. The linearised network stands between the two: it splits the gap into the change of \
         the network's kernel during training, and the difference between its kernel and the limit at the start.",
    );
    let axis = || Axis::log("width m");
    let mut figure =
        Figure::new("gap", "Largest gap over the run", axis(), Axis::log("largest |network \u{2212} machine|"))
            .caption(courses(rows));
    for (slot, row) in rows.iter().enumerate() {
        let means = row.means(|cell| cell.largest);
        let slope = row.slope(|cell| cell.largest);
        let label = slope.map_or(row.config.name.clone(), |slope| format!("{}: {slope}", row.config.name));
        figure = figure.series(Series::new(label, means.clone()).mark(Mark::Markers).slot(slot));
        if let Some(slope) = slope {
            let line = means.iter().map(|&(width, _)| (width, slope.at(width))).collect();
            figure = figure.series(Series::new("", line).slot(slot));
        }
    }
    if config.widths.len() > 1 {
        report.figure(figure);
    }
    let mut table = Vec::new();
    for row in rows {
        for (_, what, value) in MEASURES {
            let mut cells = vec![row.config.name.clone(), what.to_string()];
            cells.extend(row.means(value).into_iter().map(|(_, mean)| decimals(mean, 4)));
            cells.push(row.slope(value).map_or(String::new(), |slope| slope.to_string()));
            table.push(cells);
        }
    }
    let widths = config.widths.iter().map(|width| format!("m = {width}"));
    let header = ["row".to_string(), "gap".to_string()].into_iter().chain(widths).chain(["slope".to_string()]);
    report.table(header, table);

    if !config.lambdas.is_empty() {
        let widest = config.widths.last().map_or(0, |width| width.get());
        let of = |base: &RowConfig| -> Vec<(f64, f64)> {
            let rows = rows.iter().filter(|row| row.config.name.starts_with(&format!("{}, ", base.name)));
            rows.map(|row| (row.config.lambda_mean, row.means(|cell| cell.largest).last().map_or(f64::NAN, |m| m.1)))
                .collect()
        };
        let mut figure = Figure::new(
            "gap-lambda",
            format!("Largest gap against regularisation, width {widest}"),
            Axis::log("lambda_mean"),
            Axis::log("largest |network \u{2212} machine|"),
        )
        .caption(
            "Theorem 3.5 bounds the gap by a multiple of 1/lambda. The legend has the fitted exponents of the regularisation: \
             below 0, more of it makes the gap smaller.",
        );
        for base in &config.rows {
            let points = of(base);
            let label = Slope::fit(points.clone()).map_or(base.name.clone(), |slope| format!("{}: {slope}", base.name));
            figure = figure.series(Series::new(label, points).mark(Mark::LineMarkers));
        }
        report.figure(figure);
    }

    for (index, row) in rows.iter().enumerate() {
        report.heading(row.config.name.clone());
        let RowConfig { loss, lambda_mean, regulariser, .. } = &row.config;
        report.key_values([
            ("objective", format!("{} loss, {}", loss.name(), Objective::new(*lambda_mean, n)?)),
            ("regulariser of the network", regulariser.name().to_string()),
            ("learning rate (mean of losses)", number(row.config.learning_rate(&setup.config.training))),
            ("steps", row.config.steps(&setup.config.training).to_string()),
        ]);
        let mut figure = Figure::new(
            format!("steps-{index}"),
            "Gap during training",
            Axis::log("steps"),
            Axis::log("largest |network \u{2212} machine|"),
        )
        .caption(match regulariser {
            Regulariser::DistanceToInit => {
                "Means over the seeds. In the linear regime this regulariser decays the output as the machine's does."
            }
            _ => {
                "Means over the seeds. Dashed: the gap of a machine whose decay is what this regulariser has at that \
                 width (lambda / m for last-layer, 0 for none) to the machine itself; what that does not explain has \
                 other causes (the width, the kernel, the size of a step)."
            }
        });
        let first = row.cells.first().map_or(0, |cell| cell.width);
        for (slot, width) in config.widths.iter().enumerate() {
            let gap = over_steps(row, width.get(), |point| point.train_max);
            figure = figure.series(Series::new(format!("m = {width}"), gap).slot(slot));
            let predicted = over_steps(row, width.get(), |point| point.predicted);
            if *regulariser != Regulariser::DistanceToInit && predicted.iter().any(|(_, gap)| *gap > 0.0) {
                let label = if width.get() == first { "decay of this regulariser alone" } else { "" };
                figure = figure.series(Series::new(label, predicted).mark(Mark::Dashed).slot(slot));
            }
        }
        report.figure(figure);
    }
    Ok(report)
}
