//! What a reproduction will cost, from a few steps of its largest runs.

use std::time::Instant;

use widenet_model::{Architecture, Network, Shape};

use super::{Options, Target, figure, generalisation_config, table1_config, table2, table3};
use crate::config::Config;
use crate::data_source;
use crate::error::Error;
use crate::memory::readable;
use crate::study::{StudyConfig, StudyKind};
use crate::train::network::{NetworkDescent, Rule, Samples};

/// Steps that are timed, after one to warm up.
const STEPS: usize = 2;

/// Says on stderr how long targets will take about, and how much memory.
pub(super) fn announce(targets: &[Target], options: &Options) -> Result<(), Error> {
    for &target in targets {
        let cost = match target {
            Target::Figure1 => runs(figure::figure1_runs(options.scale)?, options)?,
            Target::FigureA1 => runs(figure::figure_a1_runs(options.scale)?, options)?,
            Target::Table2 => {
                let runs = runs(table2::training_runs(options.scale)?, options)?;
                let certificates = table2::cost(options)?;
                Cost { seconds: runs.seconds + certificates.seconds, bytes: runs.bytes.max(certificates.bytes) }
            }
            Target::Table3 => table3::cost(options)?,
            Target::Table1 => of_study(&table1_config(options.scale)?, options)?,
            Target::Generalisation => of_study(&generalisation_config(options.scale)?, options)?,
            Target::All => unreachable!("made of the others"),
        };
        eprintln!(
            "{}: about {} and {} of memory; it can be interrupted, and --resume goes on",
            target.name(),
            duration(cost.seconds),
            readable(cost.bytes)
        );
    }
    Ok(())
}

/// What something costs, estimated.
pub(super) struct Cost {
    pub seconds: f64,
    /// Memory at a time.
    pub bytes: u64,
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// The training runs of a figure, each with its own steps.
fn runs(runs: Vec<figure::Run>, options: &Options) -> Result<Cost, Error> {
    let mut cost = Cost { seconds: 0.0, bytes: 0 };
    for run in runs {
        let config = Config { backend: options.backend.unwrap_or(run.config.backend), ..run.config };
        let data = data_source::load(&config.data, options.places.data.as_deref())?;
        let architecture = config.architecture.build(Shape::Image(data.train.shape))?;
        let batch = config.training.batch_size.map_or(data.train.len(), std::num::NonZero::get);
        cost.seconds += step_seconds(&config, &architecture, batch, &data)? * config.training.steps.get() as f64;
        let samples = (data.train.len() + data.test.len()) as u64;
        cost.bytes = cost.bytes.max(weights(&config, &architecture) + 8 * data.train.len() as u64 * samples);
    }
    Ok(cost)
}

fn weights(config: &Config, architecture: &Architecture) -> u64 {
    5 * architecture.parameter_count() as u64 * config.precision.bytes()
}

/// The runs of a study: the widest is timed, the others are taken to cost in proportion to their width.
fn of_study(study: &StudyConfig, options: &Options) -> Result<Cost, Error> {
    let (rows, widths, seeds) = match &study.study {
        StudyKind::Gap(gap) => {
            (gap.rows.clone(), gap.widths.iter().map(|width| width.get()).collect(), gap.seeds.get())
        }
        StudyKind::Generalisation(generalisation) => (vec![generalisation.row.clone()], Vec::new(), 2),
        _ => (Vec::new(), Vec::new(), 0),
    };
    let data = data_source::load(&study.data, options.places.data.as_deref())?;
    let mut architecture = study.architecture.build(Shape::Image(data.train.shape))?;
    let mut share = 1.0;
    if let Some(&widest) = widths.iter().max() {
        architecture = architecture.with_width(widest.try_into().expect("a width is not 0"))?;
        share = widths.iter().sum::<usize>() as f64 / widest as f64;
    }
    let Some(row) = rows.first() else { return Ok(Cost { seconds: 0.0, bytes: 0 }) };
    let config = Config {
        name: study.name.clone(),
        seed: study.seed,
        backend: options.backend.unwrap_or(study.backend),
        precision: study.precision,
        data: study.data.clone(),
        architecture: study.architecture.clone(),
        objective: crate::config::ObjectiveConfig {
            loss: row.loss,
            lambda_mean: row.lambda_mean,
            regulariser: row.regulariser,
        },
        training: study.training.clone(),
        machine: Default::default(),
        record: Default::default(),
    };
    let mut seconds = step_seconds(&config, &architecture, data.train.len(), &data)?;
    if let StudyKind::Generalisation(_) = study.study {
        // The path kernel takes the network's kernel at every step.
        let network = Network::init(
            &architecture,
            study.seed,
            study.precision,
            &crate::probe::open(config.backend, config.precision)?,
        );
        let started = Instant::now();
        widenet_tangent::Kernel::gram_symmetric(
            &widenet_tangent::EmpiricalKernel::new(&network),
            data.train.inputs.view(),
        )?;
        seconds += started.elapsed().as_secs_f64();
    }
    let steps: usize = rows.iter().map(|row| row.steps(&study.training)).sum();
    let n = data.train.len() as u64;
    let bytes = weights(&config, &architecture) + 8 * n * (n + data.test.len() as u64);
    Ok(Cost { seconds: seconds * share * (steps * seeds) as f64, bytes })
}

/// Seconds of one step.
fn step_seconds(
    config: &Config,
    architecture: &Architecture,
    batch: usize,
    data: &widenet_data::Split,
) -> Result<f64, Error> {
    let device = crate::probe::open(config.backend, config.precision)?.autodiff();
    let network = Network::init(architecture, config.seed, config.precision, &device);
    let samples = Samples::new(&network, data.train.inputs.view())?;
    let loss = config.objective.loss.loss();
    let labels = data.train.labels.view();
    let mut descent = NetworkDescent::new(network, &samples, labels, loss, Rule::of(config), None);
    let batch: Vec<usize> = (0..batch.min(data.train.len())).collect();
    descent.step(&batch)?;
    let started = Instant::now();
    for _ in 0..STEPS {
        descent.step(&batch)?;
    }
    Ok(started.elapsed().as_secs_f64() / STEPS as f64)
}
