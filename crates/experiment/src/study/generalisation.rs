//! The generalisation bound along training.

use indicatif::ProgressBar;
use ndarray::{Array1, ArrayView1};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use widenet_machine::{Decay, Descent, Objective, PathKernel, RiskBound};
use widenet_model::{Network, Purpose, stream};
use widenet_store::numbers::decimals;
use widenet_tangent::Kernel;

use super::gap::{effective_lambda, kernels};
use super::{GeneralisationConfig, Setup, Studied, progress_bar};
use crate::error::Error;
use crate::plot::{Axis, Figure, Mark, Series};
use crate::report::Report;
use crate::train::network::{NetworkDescent, Rule, Samples};
use crate::train::record::grid;
use crate::train::{BURN, Kernels, Places, own_kernel};

/// One of the two at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Side {
    /// Share of samples on the wrong side.
    train_risk: f64,
    test_risk: f64,
    /// The mean ramp loss on the training samples.
    empirical: f64,
    complexity: f64,
    /// The confidence term for every delta.
    confidence: Vec<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    step: usize,
    network: Side,
    machine: Side,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Course {
    points: Vec<Point>,
}

impl Side {
    fn bound(&self, delta: usize) -> f64 {
        self.empirical + self.complexity + self.confidence[delta]
    }
}

/// Runs the study.
pub fn run(setup: &Setup, config: &GeneralisationConfig, places: &Places) -> Result<Studied, Error> {
    super::check_row_with_kernel(setup, &config.row)?;
    if config.deltas.is_empty() {
        return Err(Error::Setting("study.generalisation: at least one delta is needed".into()));
    }
    for &delta in &config.deltas {
        RiskBound::new(ArrayView1::from(&[1.0]), ArrayView1::from(&[1.0]), 0.0, 1.0, delta)?;
    }
    let folder = setup.folder(places)?;
    let progress = progress_bar(2 * config.row.steps(&setup.config.training));
    let kernels = kernels(setup, &config.row)?;
    let labels = (setup.data.train.labels.clone(), setup.data.test.labels.clone());
    let random = (coins(setup.config.seed, 0, labels.0.len()), coins(setup.config.seed, 1, labels.1.len()));
    progress.set_message("the labels");
    let real = folder.parts().part("labels", || measure(setup, config, &kernels, &labels, &progress))?;
    progress.set_message("random labels");
    let random = folder.parts().part("random-labels", || measure(setup, config, &kernels, &random, &progress))?;
    progress.finish_and_clear();

    let courses = [("labels", &real), ("random_labels", &random)];
    let last = |course: &Course| course.points.last().cloned().expect("the last step is recorded");
    let side = |side: &Side| {
        let bounds = config
            .deltas
            .iter()
            .enumerate()
            .map(|(index, delta)| json!({ "delta": delta, "bound": side.bound(index) }));
        json!({ "train_risk": side.train_risk, "test_risk": side.test_risk, "ramp_risk": side.empirical,
            "complexity": side.complexity, "bounds": bounds.collect::<Vec<_>>() })
    };
    let mut results = json!({
        "name": setup.config.name, "seed": setup.config.seed, "backend": setup.config.backend.name(),
        "precision": setup.config.precision.name(), "width": setup.architecture.width(),
        "versions": { "widenet": env!("CARGO_PKG_VERSION"), "burn": BURN },
        "samples": { "train": setup.data.train.len(), "test": setup.data.test.len() },
    });
    let mut summary = String::new();
    for (name, course) in courses {
        let last = last(course);
        results[name] = json!({ "step": last.step, "network": side(&last.network), "machine": side(&last.machine) });
        for (who, side) in [("network", &last.network), ("machine", &last.machine)] {
            let bounds = config.deltas.iter().enumerate();
            let bounds: Vec<String> =
                bounds.map(|(index, delta)| format!("{} (delta {delta})", decimals(side.bound(index), 3))).collect();
            summary += &format!(
                "{}, {who}: train risk {}, test risk {}, bound {}\n",
                name.replace('_', " "),
                decimals(side.train_risk, 4),
                decimals(side.test_risk, 4),
                bounds.join(", ")
            );
        }
    }
    let report = report(setup, config, &real, &random)?;
    super::finish(folder, results, summary, report)
}

/// Labels by the toss of a coin.
fn coins(seed: u64, index: u64, count: usize) -> Array1<f64> {
    let mut rng = stream(seed, Purpose::Labels, index);
    (0..count).map(|_| if rng.random::<bool>() { 1.0 } else { -1.0 }).collect()
}

fn measure(
    setup: &Setup,
    config: &GeneralisationConfig,
    kernels: &Kernels,
    (labels, test_labels): &(Array1<f64>, Array1<f64>),
    progress: &ProgressBar,
) -> Result<Course, Error> {
    let (data, training, row) = (&setup.data, &setup.config.training, &config.row);
    let n = data.train.len();
    let network =
        Network::init(&setup.architecture, setup.config.seed, setup.config.precision, &setup.device.clone().autodiff());
    let fan_in = super::output_fan_in(&network);
    let (train, test) =
        (Samples::new(&network, data.train.inputs.view())?, Samples::new(&network, data.test.inputs.view())?);
    let (loss, learning_rate) = (row.loss.loss(), row.learning_rate(training));
    let rule =
        Rule { regulariser: row.regulariser, lambda_mean: row.lambda_mean, learning_rate, parameters: row.parameters };
    let objective = Objective::new(row.lambda_mean, n)?;
    let mut machine = Descent::new(objective, learning_rate, Decay::Pegasos)?;
    let mut path = PathKernel::new(n, n, Objective::new(effective_lambda(row, fan_in), n)?.lambda());
    let mut descent = NetworkDescent::new(network, &train, labels.view(), loss, rule, None);
    let machine_trace = kernels.train.diag().sum();

    let side = |outputs: &Array1<f64>, tests: &Array1<f64>, norm_squared: f64, trace: f64| {
        let bound = |&delta: &f64| RiskBound::new(outputs.view(), labels.view(), norm_squared, trace, delta);
        let bounds: Vec<RiskBound> = config.deltas.iter().map(bound).collect::<Result<_, _>>()?;
        Ok::<_, Error>(Side {
            train_risk: risk(outputs, labels),
            test_risk: risk(tests, test_labels),
            empirical: bounds[0].empirical,
            complexity: bounds[0].complexity,
            confidence: bounds.iter().map(|bound| bound.confidence).collect(),
        })
    };
    let steps = row.steps(training);
    let grid = grid(steps, config.points.get());
    let all: Vec<usize> = (0..n).collect();
    let mut points = Vec::new();
    for step in 0..=steps {
        let network = descent.network();
        if grid.binary_search(&step).is_ok() {
            let (g, g_test) = (machine.outputs(kernels.train.view()), machine.outputs(kernels.test.view()));
            let norm_squared = machine.coefficients().dot(&g);
            // Rounding may leave a tiny negative form where the kernel is 0.
            let (a, trace) = (path.coefficients(), path.kernel().diag().sum());
            let form = a.dot(&path.outputs()).max(0.0);
            points.push(Point {
                step,
                network: side(&train.outputs(&network)?, &test.outputs(&network)?, form, trace)?,
                machine: side(&g, &g_test, norm_squared.max(0.0), machine_trace)?,
            });
        }
        if step == steps {
            break;
        }
        let tangent = own_kernel(&network, row.parameters).gram_symmetric(data.train.inputs.view())?;
        let value = descent.step(&all)?;
        super::descended(value, step, || format!("the bound of {}", row.name))?;
        let derivatives: Array1<f64> =
            descent.outputs().iter().zip(labels).map(|(&z, &y)| loss.derivative(z, y)).collect();
        path.step(tangent.view(), derivatives.view(), learning_rate / n as f64);
        machine.step(kernels.train.view(), labels.view(), loss, &all);
        progress.inc(1);
    }
    Ok(Course { points })
}

fn risk(outputs: &Array1<f64>, labels: &Array1<f64>) -> f64 {
    let wrong = outputs.iter().zip(labels).filter(|&(z, y)| z * y <= 0.0).count();
    wrong as f64 / labels.len() as f64
}

fn report(setup: &Setup, config: &GeneralisationConfig, real: &Course, random: &Course) -> Result<Report, Error> {
    let mut report = Report::new(
        format!("The generalisation bound along training: {}", setup.config.name),
        format!("{} of {}, {}", setup.samples(), setup.data.train.name, setup.config.precision.name()),
    );
    report.paragraph(
        "With probability at least 1 \u{2212} \u{3b4}: risk \u{2264} ramp risk on the training samples + 2 B \
         \u{221a}(tr K) / n + 3 \u{221a}(ln(2/\u{3b4}) / (2n)), with B the norm of the machine, rounded up to a power \
         of two, all of which hold at once (\u{3b4} is shared among them). For the kernel machine K is fixed before \
         the data are seen, and this is a theorem. For the network K is its path kernel (Theorem 4.1), which depends on \
         the data and on training: there the figure is a heuristic. \u{3b4} = 0.99 is the setting of the published \
         plot; a bound that may fail 99 times in 100 says little.",
    );
    let axis = || Axis::linear("share of samples on the wrong side");
    for (name, title, course) in [("bound", "The labels", real), ("bound-random", "Random labels", random)] {
        let series = |value: &dyn Fn(&Point) -> f64| -> Vec<(f64, f64)> {
            course.points.iter().filter(|p| p.step > 0).map(|p| (p.step as f64, value(p))).collect()
        };
        let mut figure = Figure::new(name, title, Axis::log("steps"), axis())
            .caption("A bound above 1 says nothing. Lines: bounds; dashed and markers: measured risks of the network.")
            .horizontal(1.0, "nothing said above this line");
        for (slot, delta) in config.deltas.iter().enumerate() {
            figure = figure
                .series(
                    Series::new(format!("network, delta {delta}"), series(&|p| p.network.bound(slot))).slot(2 * slot),
                )
                .series(
                    Series::new(format!("machine, delta {delta}"), series(&|p| p.machine.bound(slot)))
                        .slot(2 * slot + 1),
                );
        }
        let slot = 2 * config.deltas.len();
        figure = figure
            .series(Series::new("network, training", series(&|p| p.network.train_risk)).mark(Mark::Dashed).slot(slot))
            .series(Series::new("network, test", series(&|p| p.network.test_risk)).mark(Mark::Markers).slot(slot + 1));
        report.figure(figure);
    }
    let mut rows = Vec::new();
    for (name, course) in [("the labels", real), ("random labels", random)] {
        let last = course.points.last().expect("the last step is recorded");
        for (who, side) in [("network", &last.network), ("machine", &last.machine)] {
            let mut row = vec![format!("{name}, {who}")];
            row.extend([side.train_risk, side.test_risk, side.empirical, side.complexity].map(|v| decimals(v, 4)));
            row.extend((0..config.deltas.len()).map(|delta| decimals(side.bound(delta), 4)));
            rows.push(row);
        }
    }
    let header = ["at the end", "training risk", "test risk", "ramp risk", "complexity"].map(String::from);
    let bounds = config.deltas.iter().map(|delta| format!("bound, delta {delta}"));
    report.table(header.into_iter().chain(bounds), rows);
    Ok(report)
}
