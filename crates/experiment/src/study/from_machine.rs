//! Networks that start at the machine's solution: how far they are from it.

use indicatif::ProgressBar;
use ndarray::{Array1, ArrayView2};
use serde::{Deserialize, Serialize};
use serde_json::json;
use widenet_machine::{Objective, is_right, solve};
use widenet_model::{Architecture, Network};
use widenet_store::numbers::{count, decimals};
use widenet_tangent::{EmpiricalKernel, Kernel};

use super::gap::kernels;
use super::{FromMachineConfig, Setup, Studied, progress_bar};
use crate::error::Error;
use crate::judgement::with_width;
use crate::plot::{Axis, Figure, Mark, Series};
use crate::report::Report;
use crate::slope::Slope;
use crate::train::network::Samples;
use crate::train::record::max_abs;
use crate::train::start::from_machine;
use crate::train::{BURN, Places};

/// One network with the weights `w_0 + sum_i alpha_i grad f(w_0, x_i)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cell {
    width: usize,
    seed: u64,
    /// The largest `|network - machine|`.
    train: f64,
    test: f64,
    /// The part that is left at first order: the largest `|sum_i alpha_i (K_0 - K)(x, x_i)|` on the training samples.
    kernel: f64,
    /// The share of test samples on which both have the same sign.
    agreement: f64,
}

/// Runs the study.
pub fn run(setup: &Setup, config: &FromMachineConfig, places: &Places) -> Result<Studied, Error> {
    super::check_row_with_kernel(setup, &config.row)?;
    crate::compare::check_seeds("study.from-machine.seeds", config.seeds.get())?;
    let networks = config.widths.iter().map(|&width| setup.architecture.with_width(width));
    let networks: Vec<Architecture> = networks.collect::<Result<_, _>>()?;
    if networks.is_empty() || setup.architecture.width().is_none() {
        return Err(Error::Setting("study.from-machine: at least one width of a hidden layer is needed".into()));
    }
    for network in &networks {
        // The start, the direction, the sum, and one more while they are made.
        let parameters = network.parameter_count();
        let what = || count(parameters, "parameter");
        crate::memory::check_weights(setup.config.backend, parameters, 4 * setup.config.precision.bytes(), what)?;
    }
    let folder = setup.folder(places)?;
    let kernels = kernels(setup, &config.row)?;
    let objective = Objective::new(config.row.lambda_mean, setup.data.train.len())?;
    let labels = setup.data.train.labels.view();
    let machine =
        crate::progress::solving(|options| solve(kernels.train.view(), labels, config.row.loss, objective, &options))?;
    let machine = machine.coefficients;
    let (g_train, g_test) = (kernels.train.dot(&machine), kernels.test.dot(&machine));
    let progress = progress_bar(config.seeds.get() * config.widths.iter().map(|width| width.get()).sum::<usize>());
    let mut cells: Vec<Cell> = Vec::new();
    for network in &networks {
        let width = network.width().expect("checked");
        for seed in crate::compare::seeds(setup.config.seed, width, config.seeds.get()) {
            cells.push(folder.parts().part(&format!("width-{width}-seed-{seed}"), || {
                measure(setup, network, seed, &machine, (&g_train, &g_test), &progress)
            })?);
        }
    }
    progress.finish_and_clear();
    finish(setup, config, folder, &cells, max_abs(&g_train))
}

fn measure(
    setup: &Setup,
    architecture: &Architecture,
    seed: u64,
    machine: &Array1<f64>,
    (g_train, g_test): (&Array1<f64>, &Array1<f64>),
    progress: &ProgressBar,
) -> Result<Cell, Error> {
    let width = architecture.width().expect("checked");
    let network = Network::init(architecture, seed, setup.config.precision, &setup.device);
    let inputs: ArrayView2<f64> = setup.data.train.inputs.view();
    let (train, test) = (Samples::new(&network, inputs)?, Samples::new(&network, setup.data.test.inputs.view())?);
    let own = EmpiricalKernel::new(&network).gram_symmetric(inputs)?;
    let network = from_machine(network, inputs, machine.view())?;
    let (f_train, f_test) = (train.outputs(&network)?, test.outputs(&network)?);
    progress.inc(width as u64);
    let kernel = max_abs(&(&own.dot(machine) - g_train));
    let (train, test) = (max_abs(&(&f_train - g_train)), max_abs(&(&f_test - g_test)));
    super::finite(0, [train, test, kernel], || format!("the distance of a network of width {width} to the machine"))?;
    let same = f_test.iter().zip(g_test).filter(|&(&f, &g)| is_right(f, g)).count();
    Ok(Cell { width, seed, train, test, kernel, agreement: same as f64 / f_test.len() as f64 })
}

fn finish(
    setup: &Setup,
    config: &FromMachineConfig,
    folder: crate::run_folder::RunFolder,
    cells: &[Cell],
    output: f64,
) -> Result<Studied, Error> {
    type Measure = (&'static str, &'static str, fn(&Cell) -> f64);
    const MEASURES: [Measure; 3] = [
        ("train", "training samples", |cell| cell.train),
        ("test", "test samples", |cell| cell.test),
        ("kernel", "of which the difference of kernels", |cell| cell.kernel),
    ];
    let mean = |width: usize, value: &dyn Fn(&Cell) -> f64| {
        let of: Vec<f64> = cells.iter().filter(|cell| cell.width == width).map(value).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    let widths: Vec<usize> = config.widths.iter().map(|width| width.get()).collect();
    let slope = |value: fn(&Cell) -> f64| Slope::fit(cells.iter().map(|cell| (cell.width as f64, value(cell))));
    let mut figure = Figure::new(
        "distance",
        "Networks that start at the machine's solution",
        Axis::log("width m"),
        Axis::log("largest |network \u{2212} machine|"),
    )
    .caption(format!(
        "Means over the seeds, and fitted power laws. The machine's largest output is {}.",
        decimals(output, 3)
    ));
    let mut results = json!({
        "name": setup.config.name, "seed": setup.config.seed, "backend": setup.config.backend.name(),
        "precision": setup.config.precision.name(), "largest_output": output,
        "versions": { "widenet": env!("CARGO_PKG_VERSION"), "burn": BURN },
        "samples": { "train": setup.data.train.len(), "test": setup.data.test.len() },
        "row": config.row,
    });
    let (mut summary, mut table) = (format!("the machine's largest output is {}\n", decimals(output, 4)), Vec::new());
    for (slot, (key, what, value)) in MEASURES.into_iter().enumerate() {
        let means: Vec<(f64, f64)> = widths.iter().map(|&width| (width as f64, mean(width, &value))).collect();
        let fit = slope(value);
        let label = fit.map_or(what.to_string(), |slope| format!("{what}: {slope}"));
        figure = figure.series(Series::new(label, means.clone()).mark(Mark::LineMarkers).slot(slot));
        let row: Vec<String> = means.iter().map(|(_, mean)| decimals(*mean, 5)).collect();
        summary +=
            &format!("{what}: {}{}\n", row.join(", "), fit.map_or(String::new(), |slope| format!("; slope {slope}")));
        let slope_cell = fit.map_or(String::new(), |slope| slope.to_string());
        table.push([vec![what.to_string()], row, vec![slope_cell]].concat());
        let means = means.iter().map(|&(width, mean)| json!({ "width": width as usize, "mean": mean }));
        results[key] = json!({ "means": means.collect::<Vec<_>>(), "slope": fit });
    }
    results["agreement"] =
        widths.iter().map(|&width| json!({ "width": width, "mean": mean(width, &|c| c.agreement) })).collect();
    let mut report = Report::new(
        format!("From machine to network in one step: {}", setup.config.name),
        format!(
            "{} of {}, {} of every width",
            setup.samples(),
            setup.data.train.name,
            count(config.seeds.get(), "network")
        ),
    );
    report.paragraph(format!(
        "The machine's solution is put into a network: w = w_0 + \u{3a3} \u{3b1}_i \u{2207}f(w_0, x_i). To first order \
         its output is the machine's with the network's own kernel in place of the limit; the rest is the curvature of \
         the network. The distance on training samples {}; the part of it that is the difference of kernels {}.",
        with_width(slope(|cell| cell.train).as_ref()),
        with_width(slope(|cell| cell.kernel).as_ref())
    ));
    report.figure(figure);
    let header = ["largest distance from the machine".to_string()].into_iter();
    report.table(header.chain(widths.iter().map(|width| format!("m = {width}"))).chain(["slope".to_string()]), table);
    super::finish(folder, results, summary, report)
}
