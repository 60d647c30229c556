//! `widenet study`: the theorems as measurements.

mod config;
mod from_machine;
mod gap;
mod generalisation;
mod objective;
mod path_kernel;

use burn::tensor::Device;
use indicatif::ProgressBar;
use serde_json::Value;
use widenet_data::Split;
use widenet_machine::{Decay, Descent, Objective, check_labels};
use widenet_model::{Architecture, Network, Node, Shape};
use widenet_store::numbers::count;
use widenet_tangent::{LimitKernel, LimitKind};

use crate::config::KernelName;
use crate::data_source;
use crate::error::Error;
use crate::kernel::check_images;
use crate::report::Report;
use crate::run_folder::{self, Early, Existing, RunFolder, check_config};
use crate::train::{Finished, Places};

pub use config::{
    FromMachineConfig, GapConfig, GeneralisationConfig, ObjectiveConfig, PathKernelConfig, Positive, RowConfig,
    StudyConfig, StudyKind,
};

/// A finished study.
pub struct Studied {
    /// What it tells.
    pub finished: Finished,
    /// Its page, which is in the run folder.
    pub report: Report,
}

/// Measures what `config` says.
///
/// # Errors
///
/// When anything asked for is impossible (nothing is written then), when training diverges, or when the run folder
/// cannot be written.
pub fn study(config: &StudyConfig, places: &Places) -> Result<Studied, Error> {
    let _unwritten = crate::signals::Job::unwritten();
    RunFolder::check(&places.run, places.existing)?;
    if places.existing == Existing::Resume {
        check_config(&places.run, config)?;
    }
    let device = crate::probe::open(config.backend, config.precision)?;
    let data = data_source::open(&config.data, places.data.as_deref())?;
    check_labels(data.train.labels.view())?;
    let architecture = config.architecture.build(Shape::Image(data.train.shape))?;
    if architecture.output_size() != 1 {
        return Err(Error::Setting(format!(
            "architecture: {}, but two classes are learned with one",
            count(architecture.output_size(), "output")
        )));
    }
    let setup = Setup { config, data, architecture, device };
    let _job = crate::signals::Job::resumable();
    match &config.study {
        StudyKind::Gap(gap) => gap::run(&setup, gap, places),
        StudyKind::Objective(objective) => objective::run(&setup, objective, places),
        StudyKind::PathKernel(path) => path_kernel::run(&setup, path, places),
        StudyKind::Generalisation(generalisation) => generalisation::run(&setup, generalisation, places),
        StudyKind::FromMachine(from_machine) => from_machine::run(&setup, from_machine, places),
    }
}

/// What is studied, checked.
struct Setup<'a> {
    config: &'a StudyConfig,
    data: Split,
    /// At the width of the configuration.
    architecture: Architecture,
    device: Device,
}

impl Setup<'_> {
    /// How many samples are trained on, in words.
    fn samples(&self) -> String {
        count(self.data.train.len(), "training sample")
    }

    /// Makes the run folder.
    fn folder(&self, places: &Places) -> Result<RunFolder, Error> {
        let configuration = crate::config::to_toml(self.config);
        Ok(RunFolder::create(&places.run, places.existing, &configuration, Early::Kept)?)
    }
}

/// Refuses a row that cannot be trained.
fn check_row(setup: &Setup, row: &RowConfig) -> Result<(), Error> {
    let objective = Objective::new(row.lambda_mean, setup.data.train.len())?;
    Descent::new(objective, row.learning_rate(&setup.config.training), Decay::Pegasos)?;
    if let (Some(warning), Some(_)) = (row.parameters.mismatch(row.kernel), setup.architecture.width()) {
        eprintln!("warning: row {:?}: {warning}", row.name);
    }
    limit_kind(row).map(drop)
}

/// [`check_row`] where the row's limit kernel is needed.
fn check_row_with_kernel(setup: &Setup, row: &RowConfig) -> Result<(), Error> {
    check_row(setup, row)?;
    check_images(&limit(setup, row)?, &[&setup.data.train, &setup.data.test])
}

/// The limit kernel of a row.
fn limit(setup: &Setup, row: &RowConfig) -> Result<LimitKernel, Error> {
    Ok(LimitKernel::new(&setup.architecture, limit_kind(row)?)?)
}

fn limit_kind(row: &RowConfig) -> Result<LimitKind, Error> {
    match row.kernel {
        KernelName::Limit => Ok(LimitKind::Ntk),
        KernelName::Nngp => Ok(LimitKind::Nngp),
        KernelName::Empirical => Err(Error::Setting(format!(
            "study: row {:?} has kernel `empirical`, but `limit` or `nngp` is needed",
            row.name
        ))),
    }
}

/// Refuses numbers of a step that are not all finite: something that is trained has diverged, or was not finite at the
/// start.
fn finite(step: usize, numbers: impl IntoIterator<Item = f64>, what: impl FnOnce() -> String) -> Result<(), Error> {
    let Some(value) = numbers.into_iter().find(|value| !value.is_finite()) else { return Ok(()) };
    let (why, advice) = match step {
        0 => ("before any training", "sigma_w and sigma_b near 1, and features of a smaller size"),
        _ => ("as training diverged", "a smaller learning rate"),
    };
    Err(Error::Numerics(format!("{} at step {step}: it is {value}, {why}; try {advice}", what())))
}

/// Refuses the loss of a network that diverged in its step after `step`.
fn descended(loss: f64, step: usize, what: impl FnOnce() -> String) -> Result<(), Error> {
    if loss.is_finite() {
        return Ok(());
    }
    Err(Error::Numerics(format!(
        "{}: training diverged at step {}: the network's loss is {loss}; try a smaller learning rate",
        what(),
        step + 1
    )))
}

/// Writes the report and the results of a study whose other files are there.
fn finish(folder: RunFolder, results: Value, mut summary: String, report: Report) -> Result<Studied, Error> {
    report.write(&folder)?;
    summary += &format!("report: {}\n", folder.place().join("report.html").display());
    let finished = run_folder::finish(folder, Finished { results, summary })?;
    Ok(Studied { finished, report })
}

/// The fan-in of a network's output layer.
fn output_fan_in(network: &Network) -> usize {
    match network.nodes().last() {
        Some(Node::Dense(output)) => output.weight.dims()[0],
        _ => unreachable!("the last layer is dense"),
    }
}

/// A bar on stderr; nothing when stderr is not a terminal.
fn progress_bar(steps: usize) -> ProgressBar {
    crate::progress::bar(steps, "{bar:30} {percent} % ETA {eta}  {msg}")
}
