//! How fast the objective approaches its optimum (Theorems 3.1, 3.2 and 3.3).

use burn::module::Module;
use indicatif::ProgressBar;
use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};
use serde_json::json;
use widenet_machine::{Decay, Descent, GradientFlow, Loss, Objective, solve};
use widenet_model::{Network, to_host};
use widenet_store::numbers::decimals;

use super::gap::kernels;
use super::{ObjectiveConfig, RowConfig, Setup, Studied, progress_bar};
use crate::error::Error;
use crate::plot::{Axis, Figure, Mark, Series};
use crate::report::Report;
use crate::train::network::{NetworkDescent, Rule, Samples};
use crate::train::record::grid;
use crate::train::{BURN, Places};

/// Of the outputs of a gradient flow that has to be integrated.
const TOLERANCE: f64 = 1e-8;

/// By so much a ratio may be above 1 and count as 1: the tolerance of the flow and of the optimum.
const ABOVE: f64 = 1e-3;

/// What is found for one row. Objectives are in the lambda form, `lambda/2 |beta|^2 + sum_i l`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Found {
    /// The optimum, from the exact solver.
    optimum: f64,
    /// Its relative duality gap.
    gap: f64,
    /// The objective at 0.
    start: f64,
    points: Vec<Point>,
}

/// Distances to the machine's optimum, as shares of that at the start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    step: usize,
    /// Of the machine in steps.
    machine: f64,
    /// Of the machine along its gradient flow, at the same time.
    flow: f64,
    /// Of the network, with `lambda/2 |w - w_0|^2`. It can be below 0: the network's optimum is another one.
    network: f64,
    /// `e^{-2 lambda t}`.
    rate: f64,
}

impl Found {
    /// The largest ratio of a distance to `e^{-2 lambda t}`; the theorem says at most 1 for the flow.
    fn largest_ratio(&self, distance: fn(&Point) -> f64) -> f64 {
        // Where the line has left the range of numbers there is no ratio to it.
        let above = self.points.iter().filter(|point| point.rate >= f64::MIN_POSITIVE);
        above.map(|point| distance(point) / point.rate).fold(0.0, f64::max)
    }

    /// Whether flow and steps stay below the line.
    fn course(&self) -> String {
        let first = self.points.iter().find(|point| point.machine > point.rate * (1.0 + ABOVE));
        let flow = match self.largest_ratio(|point| point.flow) {
            ratio if ratio <= 1.0 + ABOVE => "The flow stays below e^(\u{2212}2\u{3bb}t)".to_string(),
            ratio => format!("The flow is up to {} times e^(\u{2212}2\u{3bb}t)", decimals(ratio, 3)),
        };
        let steps = match first {
            None => "so does the machine in steps.".to_string(),
            Some(point) => format!("the machine in steps is above it from step {} on record.", point.step),
        };
        format!("{flow}; {steps}")
    }

    fn last(&self) -> &Point {
        self.points.last().expect("the last step is recorded")
    }
}

/// Runs the study.
pub fn run(setup: &Setup, config: &ObjectiveConfig, places: &Places) -> Result<Studied, Error> {
    for row in &config.rows {
        super::check_row_with_kernel(setup, row)?;
        if row.lambda_mean == 0.0 {
            return Err(Error::Setting(format!("study.objective: row {:?} needs lambda_mean > 0", row.name)));
        }
    }
    let folder = setup.folder(places)?;
    let progress = progress_bar(config.rows.iter().map(|row| row.steps(&setup.config.training)).sum());
    let found = config.rows.iter().enumerate().map(|(index, row)| {
        progress.set_message(row.name.clone());
        folder.parts().part(&format!("row-{index}"), || measure(setup, config, row, &progress))
    });
    let found: Vec<Found> = found.collect::<Result<_, _>>()?;
    progress.finish_and_clear();

    let rows = || config.rows.iter().zip(&found);
    let results = json!({
        "name": setup.config.name, "seed": setup.config.seed, "backend": setup.config.backend.name(),
        "precision": setup.config.precision.name(), "width": setup.architecture.width(),
        "versions": { "widenet": env!("CARGO_PKG_VERSION"), "burn": BURN },
        "rows": rows().map(|(row, found)| json!({
            "name": row.name, "loss": row.loss.name(), "lambda_mean": row.lambda_mean,
            "steps": row.steps(&setup.config.training), "optimum": found.optimum, "duality_gap": found.gap,
            "start": found.start, "largest_ratio": found.largest_ratio(|p| p.machine),
            "largest_ratio_of_flow": found.largest_ratio(|p| p.flow), "last": found.last(),
        })).collect::<Vec<_>>(),
    });
    let report = report(setup, config, &found);
    let mut summary = String::new();
    for (row, found) in rows() {
        let Point { machine, flow, network, rate, .. } = found.last();
        summary += &format!(
            "{}: optimum {} (relative duality gap {:.0e}); distance to it at the end {machine:.2e} of the start's \
             (flow {flow:.2e}, network {network:.2e}), e^(-2 lambda t) = {rate:.2e}; largest ratio over the run {} \
             (flow {})\n",
            row.name,
            decimals(found.optimum, 6),
            found.gap,
            decimals(found.largest_ratio(|p| p.machine), 3),
            decimals(found.largest_ratio(|p| p.flow), 3),
        );
    }
    super::finish(folder, results, summary, report)
}

fn measure(setup: &Setup, config: &ObjectiveConfig, row: &RowConfig, progress: &ProgressBar) -> Result<Found, Error> {
    let (data, training) = (&setup.data, &setup.config.training);
    let (labels, n) = (data.train.labels.view(), data.train.len());
    let (loss, rate) = (row.loss.loss(), row.learning_rate(training));
    let kernels = kernels(setup, row)?;
    let objective = Objective::new(row.lambda_mean, n)?;
    let lambda = objective.lambda();
    let solution =
        crate::progress::solving(|options| solve(kernels.train.view(), labels, row.loss, objective, &options))?;
    // The solver's is the C form, which is 1/lambda of this one.
    let optimum = lambda * solution.objectives.primal;
    let start = losses(loss, ArrayView1::from(&vec![0.0; n]), labels);
    if start <= optimum {
        let problem = format!(
            "the objective of {}: its optimum {optimum} is that of outputs 0, so nothing is approached",
            row.name
        );
        return Err(Error::Numerics(problem));
    }
    // Of lambda/2 `norm` + sum l, with the squared norm of what is learned.
    let distance = |norm: f64, outputs: ArrayView1<f64>| {
        (lambda / 2.0 * norm + losses(loss, outputs, labels) - optimum) / (start - optimum)
    };

    let network =
        Network::init(&setup.architecture, setup.config.seed, setup.config.precision, &setup.device.clone().autodiff());
    let train = Samples::new(&network, data.train.inputs.view())?;
    let rule = Rule {
        regulariser: row.regulariser,
        lambda_mean: row.lambda_mean,
        learning_rate: rate,
        parameters: row.parameters,
    };
    let mut descent = NetworkDescent::new(network, &train, labels, loss, rule, None);
    let mut machine = Descent::new(objective, rate, Decay::Pegasos)?;
    let mut flow = GradientFlow::new(kernels.train.view(), labels, row.loss, objective, TOLERANCE)?;
    // A step's length in the sum form.
    let length = rate / n as f64;
    let steps = row.steps(training);
    let grid = grid(steps, config.points.get());
    let all: Vec<usize> = (0..n).collect();
    let mut points = Vec::new();
    for step in 0..=steps {
        if grid.binary_search(&step).is_ok() {
            let g = machine.outputs(kernels.train.view());
            flow.advance((step as f64 * length - flow.time()).max(0.0))?;
            let network = descent.network();
            let f = train.outputs(&network)?;
            let point = Point {
                step,
                machine: distance(machine.coefficients().dot(&g), g.view()),
                flow: distance(flow.coefficients().dot(&flow.outputs()), flow.outputs()),
                network: distance(distance_squared(&network)?, f.view()),
                rate: (-2.0 * rate * row.lambda_mean * step as f64).exp(),
            };
            super::finite(step, [point.machine, point.flow, point.network], || {
                format!("the distance of {} to its optimum", row.name)
            })?;
            points.push(point);
        }
        if step < steps {
            let value = descent.step(&all)?;
            super::descended(value, step, || format!("the objective of {}", row.name))?;
            machine.step(kernels.train.view(), labels, loss, &all);
            progress.inc(1);
        }
    }
    Ok(Found { optimum, gap: solution.relative_gap(), start, points })
}

fn losses(loss: &dyn Loss, outputs: ArrayView1<f64>, labels: ArrayView1<f64>) -> f64 {
    outputs.iter().zip(labels).map(|(&z, &y)| loss.value(z, y)).sum()
}

/// `|w - w_0|^2`.
fn distance_squared(network: &Network) -> Result<f64, Error> {
    let (present, start) = (network.valid().parameters(), network.initial().parameters());
    let mut sum = 0.0;
    for (w, start) in present.into_iter().zip(start) {
        sum += to_host((w - start).square().sum().unsqueeze())?[[0, 0]];
    }
    Ok(sum)
}

fn report(setup: &Setup, config: &ObjectiveConfig, found: &[Found]) -> Report {
    let width = setup.architecture.width().map_or("no hidden layer".into(), |m| format!("width {m}"));
    let mut report = Report::new(
        format!("How fast the objective approaches its optimum: {}", setup.config.name),
        format!("{} of {}, network of {width}", setup.samples(), setup.data.train.name),
    );
    report.paragraph(
        "The objective \u{3bb}/2 |\u{3b2}|\u{b2} + \u{3a3} l is \u{3bb}-strongly convex, so that gradient flow comes \
         closer to the optimum at least as fast as e^(\u{2212}2\u{3bb}t) (Theorems 3.1 and 3.3): the flow is followed \
         exactly where the loss has kinks, and to within 1e\u{2212}8 in the outputs elsewhere. Steps of a fixed size \
         follow the flow until a kink of the loss stops them at a distance of the order of the step (Theorem 3.2). The \
         optimum is the exact solver's, with a duality gap. The network's objective has |w \u{2212} w_0|\u{b2} in place \
         of |\u{3b2}|\u{b2}.",
    );
    for (index, (row, found)) in config.rows.iter().zip(found).enumerate() {
        let series = |value: fn(&Point) -> f64| -> Vec<(f64, f64)> {
            found.points.iter().map(|point| (point.step as f64, value(point))).collect()
        };
        report.figure(
            Figure::new(
                format!("objective-{index}"),
                row.name.clone(),
                Axis::linear("steps"),
                Axis::log("distance to the optimum, as a share of the first"),
            )
            .caption(found.course())
            .series(Series::new("machine", series(|point| point.machine)).slot(0))
            .series(Series::new("network", series(|point| point.network)).mark(Mark::Markers).slot(1))
            .series(Series::new("e^(\u{2212}2\u{3bb}t)", series(|point| point.rate)).mark(Mark::Dashed).slot(2))
            .series(Series::new("gradient flow", series(|point| point.flow)).mark(Mark::Dashed).slot(3)),
        );
    }
    let rows = config.rows.iter().zip(found).map(|(row, found)| {
        let Point { machine, flow, network, rate, .. } = found.last();
        let numbers = [found.gap, *machine, *flow, *network, *rate].map(|value| format!("{value:.2e}"));
        [
            vec![row.name.clone(), decimals(found.optimum, 6)],
            numbers.to_vec(),
            [found.largest_ratio(|p| p.machine), found.largest_ratio(|p| p.flow)]
                .map(|ratio| decimals(ratio, 3))
                .to_vec(),
        ]
        .concat()
    });
    let ends = ["machine, at the end", "flow, at the end", "network, at the end", "line, at the end"];
    let ratios = ["largest machine / line", "largest flow / line"];
    report.table(["row", "optimum", "duality gap"].into_iter().chain(ends).chain(ratios), rows);
    report
}
