//! `widenet train`: a network and its kernel machine, side by side.

pub(crate) mod batches;
pub mod checkpoint;
mod gram;
mod host;
pub(crate) mod linearised;
pub mod network;
mod output;
mod pictures;
pub(crate) mod record;
pub(crate) mod start;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use indicatif::ProgressBar;
use ndarray::{Array2, s};
use widenet_data::Split;
use widenet_machine::{Descent, Objective, check_gram, check_labels, solve};
use widenet_model::{Architecture, Network, Shape};
use widenet_store::numbers::{count, decimals, number};
use widenet_tangent::{EmpiricalKernel, EmpiricalKind, Kernel, KernelError, LimitKernel, LimitKind};

use crate::config::{Config, KernelName, Parameters, Regulariser, Start};
use crate::data_source;
use crate::error::Error;
use crate::kernel::{check_alive, check_images};
use crate::run_folder::{self, Early, Existing, RunFolder, finished_with};
use crate::signals;
use batches::Batches;
use checkpoint::Checkpoint;
use linearised::{Linearised, Tangent};
use network::{NetworkDescent, Rule, Samples};
pub(crate) use output::BURN;
use record::{Divergence, Gap, LinearisedRecord, NAMES, Outputs, Record, Scores, grid, max_abs};
use start::from_machine;

/// Least time between checkpoints.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(20);

/// Writing them takes at most one part in so many of a run's time.
const CHECKPOINT_PART: u32 = 50;

/// Where a run reads from and writes to.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// The user's data folder, in place of the usual one.
    pub data: Option<PathBuf>,
    /// The run folder.
    pub run: PathBuf,
    /// What to do when the run folder exists.
    pub existing: Existing,
    /// Stop after this step with a checkpoint, to be resumed later.
    pub stop_at: Option<usize>,
}

/// What a finished run tells.
pub struct Finished {
    /// The contents of results.json.
    pub results: serde_json::Value,
    /// The same for people.
    pub summary: String,
}

impl Finished {
    /// The results as JSON, or the summary.
    pub fn text(&self, as_json: bool) -> String {
        match as_json {
            true => serde_json::to_string_pretty(&self.results).expect("plain data") + "\n",
            false => self.summary.clone(),
        }
    }

    /// Prints the results as JSON, or the summary.
    pub fn print(&self, as_json: bool) {
        print!("{}", run_folder::lines(&self.text(as_json)));
    }
}

/// Trains network and machine as `config` says.
///
/// # Errors
///
/// When anything asked for is impossible (nothing is written then), when training diverges (what was recorded is
/// kept), or when the run folder cannot be written.
pub fn train(config: &Config, places: &Places) -> Result<Finished, Error> {
    let _unwritten = signals::Job::unwritten();
    RunFolder::check(&places.run, places.existing)?;
    if places.existing == Existing::Resume
        && let Some(finished) = finished_with(&places.run, config)?
    {
        return Ok(finished);
    }
    let device = crate::probe::open(config.backend, config.precision)?.autodiff();
    let data = data_source::open(&config.data, places.data.as_deref())?;
    check_labels(data.train.labels.view())?;
    check_probes(config, &data)?;
    let architecture = config.architecture.build(Shape::Image(data.train.shape))?;
    if architecture.output_size() != 1 {
        return Err(Error::Setting(format!(
            "architecture: {}, but two classes are learned with one",
            count(architecture.output_size(), "output")
        )));
    }
    if (config.training.start, config.training.parameters) == (Start::Machine, Parameters::LastLayer) {
        let problem = "training.start = \"machine\" moves all parameters, but training.parameters is \"last-layer\"";
        return Err(Error::Setting(problem.into()));
    }
    check_memory(config, &architecture, &data)?;
    let objective = Objective::new(config.objective.lambda_mean, data.train.len())?;
    let machine = Descent::new(objective, config.training.learning_rate, config.machine.decay)?;
    let limit = match config.machine.kernel {
        KernelName::Limit => Some(LimitKernel::new(&architecture, LimitKind::Ntk)?),
        KernelName::Nngp => Some(LimitKernel::new(&architecture, LimitKind::Nngp)?),
        KernelName::Empirical => None,
    };
    let saved =
        config.machine.gram.as_deref().map(|path| gram::load(path, config, &architecture, &data)).transpose()?;
    if let (Some(limit), None) = (&limit, &saved) {
        check_images(limit, &[&data.train, &data.test])?;
    }

    let _job = signals::Job::resumable();
    let folder = RunFolder::create(&places.run, places.existing, &config.to_toml(), Early::Kept)?;
    let run = Run { config, data: &data, architecture: &architecture, objective, device: &device, folder: &folder };
    run.announce();
    let (finished, whole) = run.execute(machine, limit, saved, places.stop_at.unwrap_or(usize::MAX))?;
    if whole { run_folder::finish(folder, finished) } else { Ok(finished) }
}

/// A run whose ingredients have all been checked.
struct Run<'a> {
    config: &'a Config,
    data: &'a Split,
    architecture: &'a Architecture,
    objective: Objective,
    device: &'a Device,
    folder: &'a RunFolder,
}

impl Run<'_> {
    /// Says on stderr what will be computed, with the effective quantities.
    fn announce(&self) {
        let Self { config, data, architecture, objective, .. } = self;
        let width = architecture.width().map_or("no hidden layer".into(), |m| format!("width {m}"));
        let batch = self.batch().map_or("full batch".into(), |size| format!("batches of {size}"));
        eprintln!(
            "{}: {} training and {} of {}; network of {width}, seed {}, {} on {}",
            config.name,
            data.train.len(),
            count(data.test.len(), "test sample"),
            data.train.name,
            config.seed,
            config.precision.name(),
            config.backend.name()
        );
        eprintln!(
            "{} loss, {objective}; network regulariser {}; machine with the {} kernel",
            config.objective.loss.name(),
            config.objective.regulariser.name(),
            config.machine.kernel.name()
        );
        eprintln!(
            "{}, {batch}, learning rate {} (mean of losses) = {:.4e} (sum of losses)",
            count(config.training.steps.get(), "step"),
            number(config.training.learning_rate),
            config.training.learning_rate / objective.samples() as f64
        );
        if let Some(warning) = self.mismatch() {
            eprintln!("warning: {warning}");
        }
    }

    /// Samples in a batch, where not every batch is all of them.
    fn batch(&self) -> Option<usize> {
        self.config.training.batch_size.map(std::num::NonZero::get).filter(|size| *size < self.data.train.len())
    }

    /// What is wrong with a machine whose kernel is not that of the parameters that are trained.
    fn mismatch(&self) -> Option<&'static str> {
        // Without a hidden layer the last layer is all there is.
        self.architecture.width()?;
        self.config.training.parameters.mismatch(self.config.machine.kernel)
    }

    /// Trains, and says whether to the end.
    fn execute(
        &self,
        machine: Descent,
        limit: Option<LimitKernel>,
        saved: Option<Kernels>,
        stop_at: usize,
    ) -> Result<(Finished, bool), Error> {
        let Self { config, data, .. } = self;
        let started = Instant::now();
        let checkpoint = Checkpoint::load(self.folder, data.train.len(), self.device)?;
        let resumed = checkpoint.is_some();
        let Checkpoint { step: first, network, coordinates, coefficients, linearised, mut records } = checkpoint
            .unwrap_or_else(|| Checkpoint {
                step: 0,
                network: Network::init(self.architecture, config.seed, config.precision, self.device),
                coordinates: None,
                coefficients: machine.coefficients().to_owned(),
                linearised: config.record.linearised.then(|| Linearised::new(data.train.len())),
                records: Vec::new(),
            });
        if resumed {
            eprintln!("resuming after step {first}");
        }

        let initial = network.initial();
        let kernels = Arc::new(match (saved, &limit) {
            (Some(kernels), _) => kernels,
            (None, Some(limit)) => Kernels::of(limit, data)?,
            (None, None) => own_kernels(&initial, config.training.parameters, data)?,
        });
        check_gram(kernels.train.view(), data.train.labels.view())?;
        let (network, coefficients, linearised) = match config.training.start {
            Start::Machine if !resumed => {
                let (gram, labels) = (kernels.train.view(), data.train.labels.view());
                let (loss, objective) = (config.objective.loss, self.objective);
                let machine = crate::progress::solving(|options| solve(gram, labels, loss, objective, &options))?;
                let coefficients = machine.coefficients;
                let network = from_machine(network, data.train.inputs.view(), coefficients.view())?;
                let linearised = linearised.map(|_| Linearised::at(coefficients.view()));
                (network, coefficients, linearised)
            }
            _ => (network, coefficients, linearised),
        };
        let rule = Rule::of(config);
        let tangent = match linearised {
            None => None,
            Some(_) => {
                let known = (config.machine.kernel == KernelName::Empirical).then(|| kernels.clone());
                Some(Tangent::new(&initial, data, rule, known)?)
            }
        };
        let kernel_seconds = started.elapsed().as_secs_f64();

        let (train, test) =
            (Samples::new(&network, data.train.inputs.view())?, Samples::new(&network, data.test.inputs.view())?);
        let observer = Observer::new(self, (&kernels, tangent.as_ref()), &train, &test, &initial)?;
        let loss = config.objective.loss.loss();
        let mut network = NetworkDescent::new(network, &train, data.train.labels.view(), loss, rule, coordinates);
        let mut machine = machine.resume(coefficients);
        let mut linearised = linearised;
        let mut batches =
            Batches::new(config.seed, data.train.len(), config.training.batch_size.map(std::num::NonZero::get));

        let steps = config.training.steps.get();
        let grid = grid(steps, config.record.points.get());
        let progress = progress_bar(steps, first);
        // Of the network, after the last record.
        let mut last_loss = None;
        let (mut saved, mut pause) = (Instant::now(), CHECKPOINT_EVERY);
        let trained = Instant::now();
        let looking = signals::Job::looking();
        let mut diverged = None;
        for step in first..=steps.min(stop_at.max(first)) {
            let recorded = records.last().is_some_and(|record: &Record| record.step >= step);
            if grid.binary_search(&step).is_ok() && !recorded {
                let record = observer.record(step, &network.network(), &machine, linearised.as_ref())?;
                diverged = record.divergence().map(|found| (step, found));
                progress.set_message(format!(
                    "loss {}, machine {}, gap {}",
                    decimals(record.network.train_loss, 4),
                    decimals(record.machine.train_loss, 4),
                    decimals(record.gap.train_max, 4)
                ));
                if diverged.is_some() {
                    break;
                }
                last_loss = None;
                records.push(record);
            }
            let caught = signals::caught();
            let stop = step == steps || step >= stop_at || caught.is_some();
            if stop || saved.elapsed() >= pause {
                let started = Instant::now();
                let checkpoint = Checkpoint {
                    step,
                    network: network.network(),
                    coordinates: network.coordinates(),
                    coefficients: machine.coefficients().to_owned(),
                    linearised: linearised.clone(),
                    records,
                };
                checkpoint.save(self.folder)?;
                records = checkpoint.records;
                // To be looked at on the way.
                output::write_dynamics(self.folder, config, &records)?;
                saved = Instant::now();
                pause = CHECKPOINT_EVERY.max(CHECKPOINT_PART * (saved - started));
            }
            if let Some(signal) = caught.filter(|_| step < steps) {
                let what = format!(
                    " after step {step} of {steps}, kept in {}; the same command with --resume goes on",
                    self.folder.path().display()
                );
                return Err(Error::Interrupted { signal, what });
            }
            if stop {
                break;
            }
            let batch = batches.at(step);
            let loss_value = network.step(batch)?;
            if !loss_value.is_finite() {
                diverged = Some((step + 1, Divergence { who: NAMES[0], what: "loss", value: loss_value }));
                break;
            }
            last_loss = Some(loss_value);
            machine.step(kernels.train.view(), data.train.labels.view(), loss, batch);
            if let (Some(linearised), Some(tangent)) = (&mut linearised, &tangent) {
                linearised.step(tangent, data.train.labels.view(), loss, batch);
            }
            progress.inc(1);
        }
        drop(looking);
        progress.finish_and_clear();
        // A run that ends before its first record leaves nothing.
        if !records.is_empty() {
            output::write_dynamics(self.folder, config, &records)?;
        }
        if let Some((step, Divergence { who, what, value })) = diverged {
            let side = NAMES.iter().position(|name| *name == who).unwrap_or_default();
            let recorded = records.last().and_then(|record| record.sides()[side]).map(|scores| scores.train_loss);
            let last = last_loss.filter(|_| side == 0).or(recorded);
            let folder = (!records.is_empty()).then(|| self.folder.path().into());
            return Err(Error::Diverged { who, step, what, value, last, folder });
        }
        if steps > stop_at {
            let path = self.folder.path();
            let summary =
                format!("stopped after step {stop_at} of {steps}; --resume goes on from {}\n", path.display());
            let results = serde_json::json!({ "stopped_at": stop_at, "run": path });
            return Ok((Finished { results, summary }, false));
        }
        let timing =
            output::Timing { kernel_seconds, training_seconds: trained.elapsed().as_secs_f64(), steps: steps - first };
        Ok((output::finish(self, &network.network(), machine.coefficients(), &records, &timing)?, true))
    }
}

/// A network's kernel at its present weights, of the parameters that are trained.
pub(crate) fn own_kernel(network: &Network, parameters: Parameters) -> EmpiricalKernel {
    let kind = match parameters {
        Parameters::All => EmpiricalKind::Tangent,
        Parameters::LastLayer => EmpiricalKind::LastLayer,
    };
    EmpiricalKernel::of_kind(network, kind)
}

/// [`own_kernel`] on the data, if anything can be learned from it.
pub(crate) fn own_kernels(network: &Network, parameters: Parameters, data: &Split) -> Result<Kernels, Error> {
    let kernels = Kernels::of(&own_kernel(network, parameters), data)?;
    check_alive("the network's kernel", kernels.train.diag(), data.train.inputs.view(), network.precision())?;
    Ok(kernels)
}

/// A kernel on the data.
pub(crate) struct Kernels {
    /// `[n, n]`.
    pub train: Array2<f64>,
    /// `[n_test, n]`.
    pub test: Array2<f64>,
}

impl Kernels {
    /// A kernel on the data.
    pub fn of(kernel: &dyn Kernel, data: &Split) -> Result<Self, Error> {
        let (train, test) = (data.train.inputs.view(), data.test.inputs.view());
        Ok(Self { train: kernel.gram_symmetric(train)?, test: kernel.gram(test, train)? })
    }
}

/// Measures network, machine and linearised network at one step.
struct Observer<'a> {
    run: &'a Run<'a>,
    /// The machine's kernel.
    kernels: &'a Kernels,
    tangent: Option<&'a Tangent>,
    train: &'a Samples,
    test: &'a Samples,
    /// The empirical kernel at initialisation on the first training samples.
    initial_kernel: Option<Array2<f64>>,
}

impl<'a> Observer<'a> {
    fn new(
        run: &'a Run<'a>,
        (kernels, tangent): (&'a Kernels, Option<&'a Tangent>),
        train: &'a Samples,
        test: &'a Samples,
        initial: &Network,
    ) -> Result<Self, Error> {
        let observer = Self { run, kernels, tangent, train, test, initial_kernel: None };
        let initial_kernel = match run.config.record.kernel_samples {
            0 => None,
            _ => Some(observer.empirical(initial)?),
        };
        Ok(Self { initial_kernel, ..observer })
    }

    fn empirical(&self, network: &Network) -> Result<Array2<f64>, Error> {
        let count = self.run.config.record.kernel_samples.min(self.run.data.train.len());
        let samples = self.run.data.train.inputs.slice(s![..count, ..]);
        Ok(own_kernel(network, self.run.config.training.parameters).gram_symmetric(samples)?)
    }

    fn record(
        &self,
        step: usize,
        network: &Network,
        machine: &Descent,
        linearised: Option<&Linearised>,
    ) -> Result<Record, Error> {
        let data = self.run.data;
        let loss = self.run.config.objective.loss.loss();
        let (f_train, f_test) = (self.train.outputs(network)?, self.test.outputs(network)?);
        let (g_train, g_test) = (machine.outputs(self.kernels.train.view()), machine.outputs(self.kernels.test.view()));
        let f = Outputs { train: f_train.view(), test: f_test.view() };
        let g = Outputs { train: g_train.view(), test: g_test.view() };
        let labels = (data.train.labels.view(), data.test.labels.view());
        let linearised = linearised.zip(self.tangent).map(|(linearised, tangent)| {
            let (train, test) = (linearised.train_outputs(tangent), linearised.test_outputs(tangent));
            let h = Outputs { train: train.view(), test: test.view() };
            LinearisedRecord {
                scores: Scores::of(&h, labels.0, labels.1, loss),
                to_network: Gap::of(&f, &h),
                to_machine: Gap::of(&h, &g),
            }
        });
        let kernel_change = match &self.initial_kernel {
            None => None,
            Some(initial) => {
                use burn::module::Module;
                // Of a kernel that is 0, or too large to be squared, there is none.
                match self.empirical(&network.valid()) {
                    Err(Error::Kernel(KernelError::Overflow { .. })) => None,
                    kernel => Some(norm(&(kernel? - initial)) / norm(initial)).filter(|change| change.is_finite()),
                }
            }
        };
        Ok(Record {
            step,
            network: Scores::of(&f, labels.0, labels.1, loss),
            machine: Scores::of(&g, labels.0, labels.1, loss),
            gap: Gap::of(&f, &g),
            linearised,
            output_train_max_abs: max_abs(&f_train),
            kernel_change,
            probes: self.run.config.record.probes.iter().map(|&i| [f_test[i], g_test[i]]).collect(),
        })
    }
}

fn norm(matrix: &Array2<f64>) -> f64 {
    matrix.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Refuses what cannot fit before anything is allocated: weights, their start, gradients and two temporaries, and the
/// machine's Gram matrices.
fn check_memory(config: &Config, architecture: &Architecture, data: &Split) -> Result<(), Error> {
    let (n, test) = (data.train.len() as u64, data.test.len() as u64);
    let weights = (architecture.parameter_count() as u64).saturating_mul(5 * config.precision.bytes());
    // The machine's kernel, and the network's where it is another one, with the output layer's part where that counts.
    let kernels = 1 + match (config.record.linearised, config.machine.kernel, config.objective.regulariser) {
        (false, ..) => 0,
        (true, kernel, Regulariser::LastLayer) => 1 + u64::from(kernel != KernelName::Empirical),
        (true, kernel, _) => u64::from(kernel != KernelName::Empirical),
    };
    let needed = |n: u64| weights.saturating_add((kernels * 8 * n).saturating_mul(n + test));
    let what = || {
        let parameters = count(architecture.parameter_count(), "parameter");
        format!("training {parameters} on {}", count(n as usize, "sample"))
    };
    let fits = |free| match crate::memory::largest(n as usize, free, needed) {
        Some(n) => Some(format!("--set data.train={n} would fit")),
        None => Some("a narrower architecture would fit".into()),
    };
    crate::memory::check(config.backend, needed(n), what, fits)
}

fn check_probes(config: &Config, data: &Split) -> Result<(), Error> {
    match config.record.probes.iter().find(|&&probe| probe >= data.test.len()) {
        None => Ok(()),
        Some(probe) => Err(Error::Setting(format!(
            "record.probes: {probe} is not the position of a test sample (there are {}, counted from 0)",
            data.test.len()
        ))),
    }
}

/// A bar on stderr with step, ETA, loss and gap; nothing when stderr is not a terminal.
fn progress_bar(steps: usize, first: usize) -> ProgressBar {
    let bar = crate::progress::bar(steps, "{bar:20} {pos}/{len} ETA {eta}  {wide_msg}");
    bar.set_position(first as u64);
    bar.reset_eta();
    bar
}

/// The time of a step in the units of the gradient flow of the mean form.
fn time(config: &Config, step: usize) -> f64 {
    config.training.learning_rate * step as f64
}
