//! Table 2: networks of finite width against the machine, which is the network of infinite width.

use std::path::Path;
use std::time::Instant;

use ndarray::{ArrayView1, ArrayView2};
use serde_json::json;
use widenet_certify::CentredNetwork;
use widenet_machine::SavedMachine;
use widenet_model::{Network, Shape};

use super::certificates::{
    MachineRow, NetworkRow, dense_machine, measure_machine, measure_network, published_run, samples, sensible,
};
use super::cost::Cost;
use super::figure::{A1_SMOKE_WIDTH, Run};
use super::{Claim, Options, Reproduced, Scale, agrees, trained};
use crate::certify::Model;
use crate::config::Config;
use crate::data_source;
use crate::error::Error;
use crate::plot::{Axis, Figure, Mark, Series};
use crate::report::Block;
use crate::run_folder::Parts;
use crate::slope::Slope;
use crate::train::start::from_machine;

/// Widths, with the published radius on 100 test samples.
const PUBLISHED: [(usize, f64); 4] =
    [(1000, 7.4485e-3), (10_000, 2.9861e-3), (100_000, 9.9098e-4), (1_000_000, 3.1539e-4)];

/// The published radius of the support vector machine on 100 test samples.
const PUBLISHED_MACHINE: f64 = 8.0541e-3;

/// Widths that are trained.
fn trained_widths(scale: Scale) -> &'static [usize] {
    match scale {
        Scale::Smoke => &[A1_SMOKE_WIDTH],
        Scale::Paper => &[1000, 10_000],
    }
}

/// Widths that start at the machine's solution, and the most samples that are certified there.
fn started_widths(scale: Scale) -> &'static [(usize, usize)] {
    match scale {
        Scale::Smoke => &[(128, 4), (512, 4), (2048, 4)],
        Scale::Paper => &[(1000, 100), (10_000, 100), (100_000, 20), (1_000_000, 4)],
    }
}

/// The training runs of Table 2.
pub fn training_runs(scale: Scale) -> Result<Vec<Run>, Error> {
    trained_widths(scale).iter().map(|&width| published_run(scale, width)).collect()
}

/// What the certificates cost beside training: from one sample of a network of little width, whose cost grows with the
/// width. Those of the machine cost little beside them.
pub fn cost(options: &Options) -> Result<Cost, Error> {
    let config = published_run(options.scale, 1)?.config;
    let data = data_source::load(&config.data, options.places.data.as_deref())?;
    let width = 1000;
    let one = data.test.first(1)?;
    let model = start(&config, options, one.shape, width, (one.inputs.view(), one.labels.view()))?;
    let started = Instant::now();
    measure_network((width, false), centred(&model)?, &one, 1)?;
    let per_unit = started.elapsed().as_secs_f64() / width as f64 / rayon::current_num_threads() as f64;
    let trained = trained_widths(options.scale).iter().map(|width| (*width, samples(options.scale)));
    let started = started_widths(options.scale);
    let units: usize = trained.chain(started.iter().copied()).map(|(width, samples)| width * samples).sum();
    let widest = started.iter().map(|(width, _)| *width).max().unwrap_or(0);
    // The weights and their start in the numbers of the proof, and what the second of them is made from.
    let bytes = (2 * 8 + 4) * (widest * (data.train.inputs.ncols() + 1)) as u64;
    Ok(Cost { seconds: per_unit * units as f64, bytes })
}

/// A network of some width at the solution of a machine: samples `[n, d]` and their coefficients `[n]`.
fn start(
    config: &Config,
    options: &Options,
    shape: [usize; 3],
    width: usize,
    (inputs, coefficients): (ArrayView2<f64>, ArrayView1<f64>),
) -> Result<Model, Error> {
    let architecture = config.architecture.build(Shape::Image(shape))?;
    let architecture = architecture.with_width(width.try_into().expect("a width is not 0"))?;
    let device = crate::probe::open(options.backend.unwrap_or(config.backend), config.precision)?;
    let network = Network::init(&architecture, config.seed, config.precision, &device);
    Model::of_network(from_machine(network, inputs, coefficients)?)
}

/// Table 2. Training runs lie in `runs`.
pub fn table2(options: &Options, parts: &Parts, runs: &Path) -> Result<Reproduced, Error> {
    let mut rows: Vec<NetworkRow> = Vec::new();
    let config = published_run(options.scale, 1)?.config;
    let data = data_source::load(&config.data, options.places.data.as_deref())?;
    let mut machine_file = None;
    for run in training_runs(options.scale)? {
        let (width, folder) = (run.width, runs.join(&run.name));
        trained(&run.name, run.config, options, parts, runs)?;
        machine_file = Some(folder.join("machine.npz"));
        rows.push(parts.part(&format!("trained-{width}"), || {
            let model = Model::read(&folder.join("weights.safetensors"))?;
            measure_network((width, true), centred(&model)?, &data.test, samples(options.scale))
        })?);
    }
    // The machine that was trained beside the networks.
    let file = machine_file.ok_or_else(|| Error::Setting("no width is trained".into()))?;
    let saved = SavedMachine::read(&file)?;
    let coefficients = saved.one_output()?.0;
    for &(width, samples) in started_widths(options.scale) {
        rows.push(parts.part(&format!("started-{width}"), || {
            let model = start(&config, options, data.train.shape, width, (saved.inputs.view(), coefficients))?;
            measure_network((width, false), centred(&model)?, &data.test, samples)
        })?);
    }
    let machine = parts.part("machine", || {
        let machine = dense_machine(saved.inputs.view(), coefficients)?;
        let lambda = config.training.batch_size.map_or(data.train.len(), std::num::NonZero::get) as f64
            * config.objective.lambda_mean;
        measure_machine("svm-batch-decay", lambda, &machine, &data.test, samples(options.scale))
    })?;

    let started: Vec<&NetworkRow> = rows.iter().filter(|row| !row.trained).collect();
    let fit = |value: fn(&NetworkRow) -> f64| Slope::fit(started.iter().map(|row| (row.width as f64, value(row))));
    let slope = |value| fit(value).map_or("not fitted".to_string(), |slope| format!("slope {slope}"));
    let known = |width: usize| PUBLISHED.iter().find(|row| row.0 == width);
    let mut claims: Vec<Claim> = rows
        .iter()
        .map(|row| {
            Claim::new(
                format!("mean radius by interval bounds, width {}, {}", row.width, how(row)),
                known(row.width).map_or("not given".into(), |known| format!("{:.2e}", known.1)),
                format!(
                    "{:.2e}; sound {:.2e}, by lines {:.2e}, attacked at {}",
                    row.interval_published,
                    row.interval,
                    row.relaxation,
                    sensible(row.attack)
                ),
            )
            .holds(known(row.width).and_then(|known| agrees(options.scale, row.interval_published, known.1)))
        })
        .collect();
    claims.push(
        Claim::new(
            "mean radius of the machine, which is the network of infinite width",
            format!("{PUBLISHED_MACHINE:.2e}"),
            format!(
                "{:.2e}; proven {}, attacked at {}",
                machine.interval_published,
                sensible(machine.best),
                sensible(machine.attack)
            ),
        )
        .holds(agrees(options.scale, machine.interval_published, PUBLISHED_MACHINE)),
    );
    let published_slope = fit(|row| row.interval_published);
    claims.push(
        Claim::new(
            "interval bounds of networks fall with the width",
            "almost as 1/\u{221a}m (slope \u{2212}0.5)",
            format!(
                "{}; the sound form {}; by lines {}; the attack {}",
                slope(|row| row.interval_published),
                slope(|row| row.interval),
                slope(|row| row.relaxation),
                slope(|row| row.attack)
            ),
        )
        .holds(published_slope.filter(|slope| slope.low.is_finite()).map(|s| s.low <= -0.5 && -0.5 <= s.high)),
    );

    let row = |row: &NetworkRow| {
        let radii = [row.interval_published, row.interval, row.relaxation, row.attack].map(sensible);
        let paper = known(row.width).map_or(String::new(), |known| sensible(known.1));
        let start = [row.width.to_string(), how(row).into(), row.samples.to_string()];
        let accuracy = format!("{:.2} %", 100.0 * row.test_accuracy);
        start.into_iter().chain([accuracy, paper]).chain(radii).collect::<Vec<_>>()
    };
    let last = [
        "\u{221e}".into(),
        "machine".into(),
        format!("{} (published bound: {})", machine.samples, machine.published_samples),
        format!("{:.2} %", 100.0 * machine.test_accuracy),
        sensible(PUBLISHED_MACHINE),
        sensible(machine.interval_published),
        sensible(machine.interval),
        format!("{} (best {})", sensible(machine.relaxation), sensible(machine.best)),
        sensible(machine.attack),
    ];
    let columns =
        ["width", "network", "samples", "accuracy", "paper", "published bound", "interval", "relaxation", "attack"];
    let blocks = vec![
        Block::Paragraph(
            "A bound that goes neuron by neuron gives something away at each neuron, and there are the more of them the \
             larger the width m, while the function that the network computes converges to the machine's. How robust a \
             network is lies between what is proven and what an attack finds. The published form bounds f \u{2212} f_0(x) with f_0 taken at the clean input; the sound form bounds f \u{2212} f_0, the \
             function that is trained. Relaxation: linear bounds going backward through the layers (CROWN)."
                .into(),
        ),
        Block::Table {
            header: columns.map(String::from).to_vec(),
            rows: rows.iter().map(row).chain([last.to_vec()]).collect(),
        },
        Block::Paragraph(format!(
            "Trained: as the paper does, with its last-layer regulariser, {} steps of {} images. From the machine: \
             w = w_0 + \u{3a3} \u{3b1}_i \u{2207}f(w_0, x_i), which computes the machine's function to first order \
             at any width without training. An attack reads all weights hundreds of times: of wide networks fewer test \
             images are certified. Slopes are fitted to the networks from the machine.",
            config.training.steps,
            config.training.batch_size.map_or(data.train.len(), std::num::NonZero::get)
        )),
        Block::Figure(over_width(&rows, &machine)),
    ];
    let finding = format!(
        "Over the width the published interval bound goes with {}, linear bounds (CROWN) with {}, the radius of an attack \
         with {}. The machine is certified \
         up to {} on average, where the published bound gives {} and an attack succeeds at {}.",
        slope(|row| row.interval_published),
        slope(|row| row.relaxation),
        slope(|row| row.attack),
        sensible(machine.best),
        sensible(machine.interval_published),
        sensible(machine.attack)
    );
    Ok(Reproduced { finding, claims, blocks, results: json!({ "rows": rows, "machine": machine }) })
}

fn how(row: &NetworkRow) -> &'static str {
    if row.trained { "trained" } else { "from the machine" }
}

fn centred(model: &Model) -> Result<CentredNetwork<'_>, Error> {
    model.centred().ok_or_else(|| Error::Setting("a network is wanted, not a machine".into()))
}

fn over_width(rows: &[NetworkRow], machine: &MachineRow) -> Figure {
    type Radius = (&'static str, fn(&NetworkRow) -> f64);
    let radii: [Radius; 4] = [
        ("attack", |row| row.attack),
        ("relaxation", |row| row.relaxation),
        ("interval", |row| row.interval),
        ("published bound", |row| row.interval_published),
    ];
    let mut figure = Figure::new(
        "radii-over-width",
        "Networks: radii over the width",
        Axis::log("width m"),
        Axis::log("mean radius, l_inf"),
    )
    .caption(
        "Lines: networks started at the machine's solution. Markers without one: trained networks, and the paper's Table 2.",
    );
    for (slot, (label, value)) in radii.into_iter().enumerate() {
        let points = |trained: bool| {
            let of = rows.iter().filter(|row| row.trained == trained);
            of.map(|row| (row.width as f64, value(row))).collect::<Vec<_>>()
        };
        let of = [
            Series::new(label, points(false)).mark(Mark::LineMarkers).slot(slot),
            Series::new(format!("{label}, trained"), points(true)).mark(Mark::Markers).slot(slot),
        ];
        for series in of {
            figure = figure.series(if label == "attack" { series.grey() } else { series });
        }
    }
    let paper = PUBLISHED.iter().map(|row| (row.0 as f64, row.1)).collect();
    figure
        .series(Series::new("paper", paper).mark(Mark::Markers).slot(4))
        .horizontal(machine.best, "machine: best certificate")
        .horizontal(machine.interval_published, "machine: published bound")
}
