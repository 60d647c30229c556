//! The path kernel of a network (Theorem 4.1), accumulated while it trains.

use indicatif::ProgressBar;
use ndarray::{Array1, Array2, ArrayView1, Axis as Dimension, concatenate, s};
use serde::{Deserialize, Serialize};
use serde_json::json;
use widenet_machine::{Objective, PathKernel};
use widenet_model::{Network, to_host};
use widenet_store::numbers::{count, decimals};
use widenet_tangent::{Kernel, TangentFeatures};

use super::gap::effective_lambda;
use super::{PathKernelConfig, RowConfig, Setup, Studied, progress_bar};
use crate::compare::Spectrum;
use crate::config::Regulariser;
use crate::error::Error;
use crate::judgement::{percent, told};
use crate::plot::{Axis, Figure, Mark, Series};
use crate::report::Report;
use crate::train::network::{NetworkDescent, Rule, Samples};
use crate::train::record::{grid, max_abs};
use crate::train::{BURN, Places, own_kernel};

/// What is found for one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Found {
    /// How many samples' loss derivative changed its sign.
    sign_changes: usize,
    /// `|K - K^T|_F / |K|_F` on the training samples.
    /// None where the kernel is 0.
    asymmetry: Option<f64>,
    /// The eigenvalues of `(K + K^T) / 2` at both ends.
    smallest_eigenvalue: f64,
    largest_eigenvalue: f64,
    /// The largest |network output|, centred, on the training samples.
    output: f64,
    /// The largest `|<grad f, w - w_0> - (f - f_0)|` at the end: what distance-to-init leaves out.
    defect: f64,
    points: Vec<Point>,
}

/// The largest differences between the network and what the path kernel says of it, at one step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Point {
    step: usize,
    train: f64,
    test: f64,
    /// With the signs that `l'_i` had at each step.
    train_signed: f64,
}

/// Runs the study.
pub fn run(setup: &Setup, config: &PathKernelConfig, places: &Places) -> Result<Studied, Error> {
    config.rows.iter().try_for_each(|row| super::check_row(setup, row))?;
    // The kernel of the path and that of a step, of all samples with those of training; then the first alone, made
    // symmetric, and two matrices for its eigenvalues.
    let test = setup.data.test.len() as u64;
    let bytes = |n: u64| (8 * n).saturating_mul(2 * (n + test) + 4 * n);
    crate::memory::check_samples(setup.data.train.len(), "data.train", bytes)?;
    let folder = setup.folder(places)?;
    let progress = progress_bar(config.rows.iter().map(|row| row.steps(&setup.config.training)).sum());
    let found = config.rows.iter().enumerate().map(|(index, row)| {
        progress.set_message(row.name.clone());
        folder.parts().part(&format!("row-{index}"), || measure(setup, config, row, &progress))
    });
    let found: Vec<Found> = found.collect::<Result<_, _>>()?;
    progress.finish_and_clear();

    let rows = config.rows.iter().zip(&found).map(|(row, found)| {
        json!({ "name": row.name, "loss": row.loss.name(), "regulariser": row.regulariser.name(),
            "lambda_mean": row.lambda_mean, "steps": row.steps(&setup.config.training),
            "sign_changes": found.sign_changes, "asymmetry": found.asymmetry,
            "smallest_eigenvalue": found.smallest_eigenvalue, "largest_eigenvalue": found.largest_eigenvalue,
            "largest_output": found.output, "defect": found.defect, "reconstruction": found.points.last() })
    });
    let results = json!({
        "name": setup.config.name, "seed": setup.config.seed, "backend": setup.config.backend.name(),
        "precision": setup.config.precision.name(), "width": setup.architecture.width(),
        "versions": { "widenet": env!("CARGO_PKG_VERSION"), "burn": BURN },
        "rows": rows.collect::<Vec<_>>(),
    });
    let report = report(setup, config, &found)?;
    let mut summary = String::new();
    for (row, found) in config.rows.iter().zip(&found) {
        let last = found.last();
        summary += &format!(
            "{}: reconstruction error {:.2e} on training and {:.2e} on test samples (outputs up to {}), {}, \
             asymmetry {}, smallest eigenvalue {:.2e} of largest {:.2e}, defect {:.2e}\n",
            row.name,
            last.train,
            last.test,
            decimals(found.output, 3),
            count(found.sign_changes, "sign change"),
            told(found.asymmetry.unwrap_or(f64::NAN), |share| format!("{share:.2e}")),
            found.smallest_eigenvalue,
            found.largest_eigenvalue,
            found.defect
        );
    }
    super::finish(folder, results, summary, report)
}

impl Found {
    fn last(&self) -> &Point {
        self.points.last().expect("the last step is recorded")
    }
}

fn measure(setup: &Setup, config: &PathKernelConfig, row: &RowConfig, progress: &ProgressBar) -> Result<Found, Error> {
    let (data, training) = (&setup.data, &setup.config.training);
    let n = data.train.len();
    let inputs = concatenate![Dimension(0), data.train.inputs, data.test.inputs];
    let network =
        Network::init(&setup.architecture, setup.config.seed, setup.config.precision, &setup.device.clone().autodiff());
    let (loss, labels) = (row.loss.loss(), data.train.labels.view());
    let (train, both) = (Samples::new(&network, data.train.inputs.view())?, Samples::new(&network, inputs.view())?);
    let start = to_host(network.forward_initial(network.samples(inputs.view())))?.column(0).to_owned();
    let learning_rate = row.learning_rate(training);
    let rule =
        Rule { regulariser: row.regulariser, lambda_mean: row.lambda_mean, learning_rate, parameters: row.parameters };
    let fan_in = super::output_fan_in(&network);
    let rate = Objective::new(effective_lambda(row, fan_in), n)?.lambda();
    let eta = learning_rate / n as f64;
    let mut descent = NetworkDescent::new(network, &train, labels, loss, rule, None);
    let mut path = PathKernel::new(inputs.nrows(), n, rate);
    // last-layer decays the output itself, not its distance from the start.
    let decays_start = row.regulariser == Regulariser::LastLayer;
    let mut kept = 1.0;

    let steps = row.steps(training);
    let grid = grid(steps, config.points.get());
    let all: Vec<usize> = (0..n).collect();
    let mut points = Vec::new();
    for step in 0..=steps {
        let network = descent.network();
        if grid.binary_search(&step).is_ok() {
            let outputs = both.outputs(&network)?;
            let offset = if decays_start { &start * (kept - 1.0) } else { Array1::zeros(start.len()) };
            let far = |says: &Array1<f64>| -> Array1<f64> { says + &offset - &outputs };
            let (theorem, signed) = (far(&path.outputs()), far(&path.integral().to_owned()));
            let point = Point {
                step,
                train: max_abs(theorem.slice(s![..n])),
                test: max_abs(theorem.slice(s![n..])),
                train_signed: max_abs(signed.slice(s![..n])),
            };
            super::finite(step, [point.train, point.test, point.train_signed], || {
                format!("the path kernel machine of {}", row.name)
            })?;
            points.push(point);
        }
        if step == steps {
            break;
        }
        let tangent = own_kernel(&network, row.parameters).gram(inputs.view(), data.train.inputs.view())?;
        let value = descent.step(&all)?;
        super::descended(value, step, || format!("the path of {}", row.name))?;
        let outputs = ArrayView1::from(descent.outputs());
        let derivatives: Array1<f64> = outputs.iter().zip(labels).map(|(&z, &y)| loss.derivative(z, y)).collect();
        path.step(tangent.view(), derivatives.view(), eta);
        kept *= 1.0 - eta * rate;
        progress.inc(1);
    }

    let network = descent.network();
    let kernel = path.kernel().slice(s![..n, ..]).to_owned();
    let norm = |matrix: &Array2<f64>| matrix.iter().map(|v| v * v).sum::<f64>().sqrt();
    let symmetric = (&kernel + &kernel.t()) / 2.0;
    let spectrum = Spectrum::of(symmetric.view())?;
    let outputs = train.outputs(&network)?;
    Ok(Found {
        sign_changes: path.sign_changes(),
        asymmetry: Some(norm(&(&kernel - &kernel.t())) / norm(&kernel)).filter(|share| share.is_finite()),
        smallest_eigenvalue: spectrum.smallest(),
        largest_eigenvalue: spectrum.largest(),
        output: max_abs(&outputs),
        defect: defect(&network, &data.train.inputs, &outputs)?,
        points,
    })
}

/// The largest `|<grad f(w, x), w - w_0> - (f(w, x) - f(w_0, x))|` over samples, given the latter.
fn defect(network: &Network, inputs: &Array2<f64>, outputs: &Array1<f64>) -> Result<f64, Error> {
    use burn::module::Module;
    let network = network.valid();
    let start = network.initial().parameters();
    let moved: Vec<_> = network.parameters().into_iter().zip(start).map(|(w, start)| w - start).collect();
    let along = to_host(TangentFeatures::of(&network, inputs.view())?.apply(&moved))?;
    Ok(max_abs(&(&along.column(0) - outputs)))
}

/// The differences at the end, beside the outputs.
fn shares(rows: &[RowConfig], found: &[Found]) -> String {
    let one =
        |(row, found): (&RowConfig, &Found)| format!("{} for {}", percent(found.last().train, found.output), row.name);
    let shares: Vec<String> = rows.iter().zip(found).map(one).collect();
    format!(
        "Lines: training samples; dashed: test samples. At the end the difference on training samples, as a share of the \
         network's largest output there, is {}.",
        shares.join(", ")
    )
}

fn report(setup: &Setup, config: &PathKernelConfig, found: &[Found]) -> Result<Report, Error> {
    let width = setup.architecture.width().map_or("no hidden layer".into(), |m| format!("width {m}"));
    let mut report = Report::new(
        format!("A trained network as a kernel machine: {}", setup.config.name),
        format!("{} of {}, {width}, {}", setup.samples(), setup.data.train.name, setup.config.precision.name()),
    );
    report.paragraph(
        "Theorem 4.1: a network of any width trained by gradient descent is a kernel machine with the path kernel \
         K(x, x_i) = e^(\u{2212}\u{3bb}T) \u{222b} |l'_i(t)| K_t(x, x_i) e^(\u{3bb}t) dt and coefficients \
         \u{2212}sign(l'_i), if no loss derivative changes its sign. The kernel is accumulated step by step, and the \
         machine's outputs are compared with the network's. For small steps the difference vanishes under last-layer \
         and none; under distance-to-init a defect is left over, <grad f, w \u{2212} w_0> \u{2212} (f \u{2212} f_0), of \
         second order in the movement of the weights.",
    );
    let mut figure = Figure::new(
        "reconstruction",
        "Network against its path kernel machine",
        Axis::log("steps"),
        Axis::log("largest difference of outputs"),
    )
    .caption(shares(&config.rows, found));
    for (slot, (row, found)) in config.rows.iter().zip(found).enumerate() {
        let series = |value: fn(&Point) -> f64| -> Vec<(f64, f64)> {
            found.points.iter().filter(|p| p.step > 0).map(|p| (p.step as f64, value(p))).collect()
        };
        figure = figure
            .series(Series::new(row.name.clone(), series(|p| p.train)).slot(slot))
            .series(Series::new("", series(|p| p.test)).mark(Mark::Dashed).slot(slot));
    }
    report.figure(figure);
    let rows = config.rows.iter().zip(found).map(|(row, found)| {
        let last = found.last();
        [
            row.name.clone(),
            format!("{:.2e}", last.train),
            format!("{:.2e}", last.test),
            format!("{:.2e}", last.train_signed),
            decimals(found.output, 3),
            found.sign_changes.to_string(),
            told(found.asymmetry.unwrap_or(f64::NAN), |share| format!("{share:.2e}")),
            told(found.smallest_eigenvalue / found.largest_eigenvalue, |share| format!("{share:.2e}")),
            format!("{:.2e}", found.defect),
        ]
    });
    report.table(
        [
            "row",
            "error, training",
            "error, test",
            "error, signs kept step by step",
            "largest output",
            "sign changes",
            "asymmetry",
            "smallest / largest eigenvalue",
            "defect",
        ],
        rows,
    );
    report.paragraph(
        "Asymmetry is |K \u{2212} K^T| / |K| in the Frobenius norm on the training samples: K(x, x_i) weighs the path \
         by the loss of x_i alone. The eigenvalues are those of its symmetric part.",
    );
    Ok(report)
}
