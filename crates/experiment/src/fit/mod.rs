//! `widenet fit`: an exact kernel machine on samples, saved so that `widenet predict` can use it.

mod kernel;
mod output;
mod predict;
mod samples;

pub(crate) use predict::{PredictArgs, predict_command};
pub(crate) use samples::known;

use std::path::PathBuf;
use std::time::Instant;

use clap::{ArgGroup, Args, ValueEnum};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, stack};
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use widenet_data::Samples;
use widenet_machine::{
    Classes, EpsilonInsensitive, KernelRows, Labels, LibsvmError, LossConfig, Machines, Objective, Options, Outcome,
    SavedMachine, Scheme, Sigmoid, Stop, Task, calibrate, conjugate_gradients, deal,
};
use widenet_model::{Purpose, stream};
use widenet_store::is_stdout;
use widenet_store::numbers::{count, decimals, number};

use crate::backend::Backend;
use crate::config::defaults;
use crate::error::Error;
use crate::gram_file::hash;
use crate::machine_kernel::MachineKernel;
use crate::run_folder::say;
use crate::train::record::max_abs;
use crate::understood;
use kernel::{KernelSource, Rows};
use samples::{SampleArgs, wrong_label};

/// Folds of the cross-validation that probabilities come from, as in LIBSVM.
const FOLDS: usize = 5;

/// Rows of the kernel that precondition conjugate gradients, unless another number is asked for.
const RANK: usize = 200;

/// Numbers with so many different values are classes only if that is said.
const MANY_CLASSES: usize = 50;

/// With so many, if they are more than a fifth of the samples.
const FEW_CLASSES: usize = 20;

/// Lines that can be pasted, short enough that they are not broken elsewhere.
const EXAMPLES: &str = r"Examples:
  widenet fit iris.csv --arch 'mlp = { hidden = [1] }' --c 10 --intercept --probabilities \
    --out iris.npz
  widenet fit heart.svm --arch 'mlp = { hidden = [1, 1] }' --loss logistic --lambda-mean 0.01
  widenet fit mnist01 --config configs/mlp.toml --n 2000 --c 1 --libsvm digits.model
  widenet fit big.csv --arch 'mlp = { hidden = [1] }' --loss squared --lambda-mean 1e-4 \
    --solver conjugate-gradients
  widenet predict iris.npz new.csv --out predictions.csv

A ridge classifier of two classes, and its certificates:
  widenet fit mnist01 --arch 'mlp = { hidden = [1] }' --loss squared \
    --multiclass one-versus-one --lambda-mean 1e-3 --out ridge.npz
  widenet certify ridge.npz --n 20";

/// Fit a kernel machine exactly to samples and save it
///
/// With the hinge, squared hinge and logistic losses the labels are classes, any number of them; with the others they
/// are numbers, unless --multiclass is given. Features are taken as they are: bring them to one scale first.
#[derive(Args)]
#[command(group(ArgGroup::new("regularisation").required(true).args(["lambda_mean", "c"])), after_help = EXAMPLES)]
pub(crate) struct FitArgs {
    #[command(flatten)]
    samples: SampleArgs,
    #[command(flatten)]
    kernel: KernelSource,
    /// What is minimised. The squared loss is (y - z)^2, without a factor 1/2: alpha of scikit-learn's KernelRidge is
    /// lambda/2, so --lambda-mean is 2 alpha / n
    #[arg(long, value_enum, default_value_t)]
    loss: LossName,
    /// The error that is free, with the epsilon-insensitive loss [default: 0.1]
    #[arg(long, allow_negative_numbers = true)]
    epsilon: Option<f64>,
    /// Regularisation in the mean form, lambda_mean/2 |beta|^2 + mean of losses. 0 is none: the hard margin with the hinge
    /// and the squared hinge loss, interpolation with the squared loss
    #[arg(long, allow_negative_numbers = true)]
    lambda_mean: Option<f64>,
    /// Regularisation in the C form, 1/2 |beta|^2 + C sum of losses
    #[arg(long, allow_negative_numbers = true)]
    c: Option<f64>,
    /// Add a constant to the outputs, which is not regularised
    #[arg(long)]
    intercept: bool,
    /// Exact, with the kernel's matrix in memory; or conjugate gradients, for the squared loss, with its rows computed anew in
    /// every iteration
    #[arg(long, value_enum, default_value_t)]
    solver: Solver,
    /// Rows of the kernel that precondition --solver conjugate-gradients: more cost memory and save iterations [default: 200]
    #[arg(long)]
    rank: Option<usize>,
    /// How several classes are told apart [default: one-versus-one]. With the squared and the epsilon-insensitive loss it
    /// makes the labels classes instead of numbers (kernel ridge classification), two of them as well
    #[arg(long, value_enum)]
    multiclass: Option<SchemeName>,
    /// Also fit probabilities of the classes, by cross-validation over five folds
    #[arg(long)]
    probabilities: bool,
    /// The seed that deals samples to the folds of --probabilities [default: 1]
    #[arg(long, value_parser = crate::commands::seed())]
    seed: Option<u64>,
    /// The machine
    #[arg(long, value_name = "FILE", default_value = "machine.npz")]
    out: PathBuf,
    /// Also the machine in LIBSVM's model format, with the hinge loss, and several classes one-versus-one: support vectors
    /// by position among the samples
    #[arg(long, value_name = "FILE")]
    libsvm: Option<PathBuf>,
    /// Replace existing files
    #[arg(long)]
    force: bool,
    /// The results as one JSON document on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum LossName {
    #[default]
    Hinge,
    SquaredHinge,
    EpsilonInsensitive,
    Squared,
    Logistic,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
enum Solver {
    #[default]
    Exact,
    ConjugateGradients,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SchemeName {
    OneVersusRest,
    OneVersusOne,
}

impl FitArgs {
    /// Refuses options that would change nothing, and files that could not be written.
    fn check(&self) -> Result<(), Error> {
        if self.rank.is_some() && self.solver != Solver::ConjugateGradients {
            return Err(Error::Setting("--rank is for --solver conjugate-gradients".into()));
        }
        if self.seed.is_some() && !self.probabilities {
            return Err(Error::Setting("--seed is for --probabilities".into()));
        }
        let libsvm = self.libsvm.iter().map(|path| ("--libsvm", path.as_path()));
        let outputs: Vec<_> = std::iter::once(("--out", self.out.as_path())).chain(libsvm).collect();
        let inputs: Vec<_> = std::iter::once(self.samples.data.as_path()).chain(self.kernel.files()).collect();
        output::check(&outputs, &inputs, self.force)
    }

    /// Refuses a machine that LIBSVM's format cannot hold, if it is wanted there.
    fn check_libsvm(&self, targets: &Targets, loss: LossConfig) -> Result<(), Error> {
        if self.libsvm.is_none() {
            return Ok(());
        }
        let task = match targets {
            Targets::Classes(classes) => Task::of(classes.count(), self.scheme()),
            Targets::Values(_) => Task::Regression,
        };
        SavedMachine::check_libsvm(loss, task, &targets.names()).map_err(|error| match error {
            LibsvmError::Loss(_) => Error::Setting(format!("--libsvm: {error}: take --loss hinge")),
            LibsvmError::Task(_) => Error::Setting(format!("--libsvm: {error}: take --multiclass one-versus-one")),
            error => error.into(),
        })
    }

    fn loss(&self) -> Result<LossConfig, Error> {
        Ok(match (self.loss, self.epsilon) {
            (LossName::EpsilonInsensitive, None) => LossConfig::EpsilonInsensitive(EpsilonInsensitive::default()),
            (LossName::EpsilonInsensitive, Some(epsilon)) => {
                LossConfig::EpsilonInsensitive(EpsilonInsensitive::new(epsilon)?)
            }
            (_, Some(_)) => return Err(Error::Setting("--epsilon is for --loss epsilon-insensitive".into())),
            (LossName::Hinge, None) => LossConfig::Hinge,
            (LossName::SquaredHinge, None) => LossConfig::SquaredHinge,
            (LossName::Squared, None) => LossConfig::Squared,
            (LossName::Logistic, None) => LossConfig::Logistic,
        })
    }

    fn objective(&self, samples: usize) -> Result<Objective, Error> {
        let lambda_mean = match (self.lambda_mean, self.c) {
            (Some(lambda_mean), _) => lambda_mean,
            (None, Some(c)) if c.is_finite() && c > 0.0 => match 1.0 / (c * samples as f64) {
                lambda_mean if lambda_mean.is_normal() => lambda_mean,
                _ => {
                    let samples = count(samples, "sample");
                    return Err(Error::Setting(format!(
                        "--c {}: with {samples}, lambda_mean = 1 / (C n) is no longer a number that is computed with",
                        number(c)
                    )));
                }
            },
            (None, c) => {
                return Err(Error::Setting(format!("--c {}: not a finite number > 0", number(c.unwrap_or(0.0)))));
            }
        };
        Ok(Objective::new(lambda_mean, samples)?)
    }

    fn scheme(&self) -> Scheme {
        match self.multiclass {
            Some(SchemeName::OneVersusRest) => Scheme::OneVersusRest,
            Some(SchemeName::OneVersusOne) | None => Scheme::OneVersusOne,
        }
    }
}

/// What the labels are.
enum Targets {
    Classes(Classes),
    /// `[n, 1]`.
    Values(Array2<f64>),
}

impl Targets {
    fn new(args: &FitArgs, loss: LossConfig, samples: &Samples) -> Result<Self, Error> {
        let wants_classes = loss.loss().labels() == Labels::Classes;
        if wants_classes || args.multiclass.is_some() {
            let number = |label: &str| label.parse().ok().filter(|value: &f64| value.is_finite());
            // Whatever is asked for as classes are some.
            let asked = args.multiclass.is_some();
            let fraction = |(i, label)| number(label).is_some_and(|value| value.fract() != 0.0).then_some(i);
            if let Some(i) = samples.target.known().find_map(fraction).filter(|_| !asked) {
                let problem = format!(
                    "has a fraction, but the {} loss takes classes: numbers are fitted by --loss squared or --loss \
                     epsilon-insensitive; if they are classes, say so by --multiclass",
                    loss.name()
                );
                return Err(wrong_label(samples, i, problem));
            }
            let labels: Vec<&str> = samples.target.known().map(|(_, label)| label).collect();
            let classes = Classes::new(&labels)?;
            let (count, n) = (classes.count(), labels.len());
            let many = count > MANY_CLASSES || (count >= FEW_CLASSES && 5 * count > n);
            if !asked && many && labels.iter().all(|label| number(label).is_some()) {
                let problem = format!(
                    "the labels are {count} different numbers in {n} samples, which the {} loss takes for classes: \
                     --loss squared fits numbers; if they are classes, say so by --multiclass",
                    loss.name()
                );
                return Err(Error::file(samples.origin.path.as_path(), problem));
            }
            return Ok(Targets::Classes(classes));
        }
        if args.probabilities {
            return Err(Error::Setting(format!("--probabilities: the {} loss here fits numbers", loss.name())));
        }
        Ok(Targets::Values(
            Array1::from_vec(samples::numbers(samples)?.into_iter().map(|(_, y)| y).collect()).insert_axis(Axis(1)),
        ))
    }

    fn names(&self) -> Vec<String> {
        match self {
            Targets::Classes(classes) => classes.names().to_vec(),
            Targets::Values(_) => Vec::new(),
        }
    }
}

/// A machine as it was fitted.
struct Fitted {
    machines: Machines,
    /// On the training samples, `[n, k]`.
    outputs: Array2<f64>,
    /// Of the Gram matrix, `[n]`.
    diagonal: Array1<f64>,
    sigmoids: Vec<Sigmoid>,
    kernel_seconds: f64,
    machine_seconds: f64,
}

impl FitArgs {
    fn fit(
        &self,
        samples: &Samples,
        targets: &Targets,
        (kernel, stored): (&MachineKernel, Option<Array2<f64>>),
        loss: LossConfig,
        objective: Objective,
        options: &Options,
    ) -> Result<Fitted, Error> {
        let n = samples.inputs.nrows();
        if self.solver == Solver::ConjugateGradients {
            return self.fit_by_rows(samples, targets, kernel, loss, objective, options);
        }
        // The matrix, and a factor or a copy of it.
        let bytes = |n: u64| n.saturating_mul(n).saturating_mul(2 * 8);
        let fits = |free| {
            let fewer = crate::memory::largest(n, free, bytes).map(|n| format!("--n {n}"));
            let rows = (loss == LossConfig::Squared && self.kernel.gram.is_none() && !self.probabilities)
                .then(|| "--solver conjugate-gradients".to_string());
            let ways: Vec<String> = fewer.into_iter().chain(rows).collect();
            (!ways.is_empty()).then(|| format!("{} would fit", ways.join(" or ")))
        };
        crate::memory::check(Backend::Flex, bytes(n as u64), || count(n, "sample"), fits)?;
        let started = Instant::now();
        let gram = match stored {
            Some(gram) => gram,
            None => kernel.build()?.gram_symmetric(samples.inputs.view())?,
        };
        let kernel_seconds = started.elapsed().as_secs_f64();

        let started = Instant::now();
        let (gram, scheme) = (gram.view(), self.scheme());
        let mut sigmoids = Vec::new();
        let machines = match targets {
            Targets::Classes(classes) => {
                if self.probabilities {
                    let mut order: Vec<usize> = (0..n).collect();
                    order.shuffle(&mut stream(self.seed.unwrap_or_else(defaults::seed), Purpose::Folds, 0));
                    let folds = deal(classes, &order, FOLDS);
                    sigmoids = calibrate(gram, classes, scheme, loss, objective, options, &folds)?;
                }
                Machines::of_classes(gram, classes, scheme, loss, objective, options)?
            }
            Targets::Values(values) => Machines::of_values(gram, values.view(), loss, objective, options)?,
        };
        let machine_seconds = started.elapsed().as_secs_f64();
        let outputs = gram.dot(&machines.coefficients) + &machines.intercepts;
        Ok(Fitted { machines, outputs, diagonal: gram.diag().to_owned(), sigmoids, kernel_seconds, machine_seconds })
    }

    /// Without the matrix in memory.
    fn fit_by_rows(
        &self,
        samples: &Samples,
        targets: &Targets,
        kernel: &MachineKernel,
        loss: LossConfig,
        objective: Objective,
        options: &Options,
    ) -> Result<Fitted, Error> {
        let refused = |why: &str| Err(Error::Setting(format!("--solver conjugate-gradients: {why}")));
        if loss != LossConfig::Squared {
            return refused("is for --loss squared");
        }
        if self.probabilities || self.kernel.gram.is_some() {
            return refused("takes neither --probabilities nor --gram, which want the whole matrix");
        }
        let (task, columns) = match targets {
            Targets::Values(values) => (Task::Regression, values.clone()),
            Targets::Classes(classes) => match Task::of(classes.count(), self.scheme()) {
                Task::OneVersusOne => return refused("tells several classes apart by --multiclass one-versus-rest"),
                task => (task, classes.signs()),
            },
        };
        let (n, k) = columns.dim();
        // As the solver says, with a column for the intercept, and its tile.
        let rank = self.rank.unwrap_or(RANK);
        let needed = |n: u64, rank: u64| {
            let row = rank.min(n).saturating_add(7 * (k as u64 + 1));
            n.saturating_mul(row).saturating_mul(8).saturating_add(64 << 20)
        };
        let fits = |free| {
            let rank = crate::memory::largest(rank, free, |rank| needed(n as u64, rank));
            let fewer = || crate::memory::largest(n, free, |n| needed(n, 1)).map(|n| format!("--n {n} --rank 1"));
            rank.map(|rank| format!("--rank {rank}")).or_else(fewer).map(|way| format!("{way} would fit"))
        };
        let what = || format!("{} with --rank {rank}", count(n, "sample"));
        crate::memory::check(Backend::Flex, needed(n as u64, rank as u64), what, fits)?;
        let started = Instant::now();
        // How many iterations there will be is not known.
        let progress = crate::progress::bar(0, "{spinner} {human_pos} rows of the kernel, {elapsed}");
        let rows = Rows { kernel: kernel.build()?, inputs: samples.inputs.view(), progress };
        let solutions = conjugate_gradients(&rows, columns.view(), objective, options, rank)?;
        rows.progress.finish_and_clear();
        let outputs: Vec<_> = solutions.iter().map(|solution| solution.outputs.view()).collect();
        Ok(Fitted {
            outputs: stack(Axis(1), &outputs).expect("n outputs each"),
            diagonal: rows.diagonal()?,
            machines: Machines::of_solutions(task, &solutions),
            sigmoids: Vec::new(),
            kernel_seconds: 0.0,
            machine_seconds: started.elapsed().as_secs_f64(),
        })
    }
}

/// Runs the command.
pub(crate) fn fit_command(args: FitArgs) -> Result<(), Error> {
    let unwritten = crate::signals::Job::unwritten();
    args.check()?;
    let loss = args.loss()?;
    let mut samples = args.samples.training()?;
    let (n, d) = samples.inputs.dim();
    if let Some(i) = samples.target.missing() {
        return Err(Error::file(samples.origin.place(i), "the label is missing: fit learns from samples with labels"));
    }
    // What is wrong with labels may be that they are another column's.
    let told = |_: &Error| eprintln!("{}", understood::samples(&samples, understood::Labels::of_values(&samples)));
    let targets = Targets::new(&args, loss, &samples).inspect_err(told)?;
    args.check_libsvm(&targets, loss)?;
    let objective = args.objective(n)?;
    let labels = match &targets {
        Targets::Classes(classes) => understood::Labels::of_classes(classes.names(), &samples),
        Targets::Values(_) => understood::Labels::of_values(&samples),
    };
    eprintln!("{}", understood::samples(&samples, labels));
    let (kernel, stored) = args.kernel.load(&samples)?;
    eprintln!("{} loss, {objective}", loss.name());
    let fitted = crate::progress::solving(|options| {
        let options = Options { intercept: args.intercept, ..options };
        args.fit(&samples, &targets, (&kernel, stored), loss, objective, &options)
    });
    let Fitted { machines, outputs, diagonal, sigmoids, kernel_seconds, machine_seconds } =
        fitted.map_err(|error| error.placed(&samples.origin))?;
    understood::warn_of_zeros(&outputs, samples.inputs.view());
    let samples_hash = hash(samples.inputs.view());
    // A large table is there once: the machine keeps of it what it needs.
    let inputs = std::mem::take(&mut samples.inputs);
    let machine = SavedMachine {
        features: samples.names.clone(),
        source: samples.origin.form.as_ref().map(samples::to_toml).unwrap_or_default(),
        kernel: kernel.to_toml(),
        samples_hash,
        sigmoids,
        ..SavedMachine::new(&machines, targets.names(), inputs.into(), loss, objective)?
    };
    let libsvm = args.libsvm.as_ref().map(|path| Ok::<_, Error>((path, machine.to_libsvm()?))).transpose()?;
    drop(unwritten);
    output::write_with(&args.out, args.force, |file| {
        machine.write_npz(file).map_err(|error| Error::file(&args.out, error))
    })?;
    if let Some((path, text)) = libsvm {
        output::write(path, text.as_bytes(), args.force)?;
    }
    let printed = args.libsvm.as_ref().filter(|path| is_stdout(path)).unwrap_or(&args.out);

    let worst = worst(&machines);
    if worst.stop != Stop::Converged {
        eprintln!("{}", args.early(worst));
    } else if let Some((lost, typical)) = spoiled(&machines, diagonal.view(), outputs.view()) {
        let advice = args.better_posed();
        eprintln!(
            "warning: the coefficients are so large that their sums lose digits: by rounding alone an output may be off \
             by {lost:.1e}, where a typical one is {typical:.1e}; {advice}"
        );
    }
    let score = Score::of(&machine, &Truth::of(&machine, &samples)?, &outputs);
    if args.json {
        let outcomes = machines.outcomes.iter().map(|outcome| {
            json!({ "primal": outcome.objectives.primal, "dual": outcome.objectives.dual,
                "relative_gap": outcome.objectives.relative_gap(), "support": outcome.support, "margin": outcome.margin,
                "iterations": outcome.iterations, "stop": format!("{:?}", outcome.stop) })
        });
        let document = json!({
            "samples": n, "features": d, "loss": loss.name(), "task": machine.task, "classes": machine.classes,
            "lambda_mean": objective.lambda_mean(), "lambda": objective.lambda(), "c": objective.c(),
            "outputs": outcomes.collect::<Vec<_>>(), "support": machine.support.len(), "train": score.to_json(),
            "kernel_seconds": kernel_seconds, "machine_seconds": machine_seconds, "machine": args.out,
        });
        say(printed, &format!("{}\n", serde_json::to_string_pretty(&document).expect("plain data")));
        return Ok(());
    }
    let (stop, gap) = (words(worst.stop), worst.objectives.relative_gap());
    let support = machine.support.len();
    let lines = [
        format!("{support} of {} in the support; {stop}, largest relative duality gap {gap:.1e}", count(n, "sample")),
        format!("on the training samples: {}", score.text()),
        format!("machine: {}", args.out.display()),
    ];
    lines.iter().for_each(|line| say(printed, &format!("{line}\n")));
    Ok(())
}

/// The output that is farthest from its optimum, of those that did not converge if there are any.
fn worst(machines: &Machines) -> &Outcome {
    let distance = |outcome: &Outcome| (outcome.stop != Stop::Converged, outcome.objectives.relative_gap().abs());
    let outcomes = machines.outcomes.iter().max_by(|a, b| {
        let (a, b) = (distance(a), distance(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    outcomes.expect("a machine has an output")
}

/// What rounding may add to an output, and the root of the mean square of that output on the training samples, where
/// the one is more than a hundredth of the other. Optima are found with twice the digits, but outputs are plain sums.
fn spoiled(machines: &Machines, diagonal: ArrayView1<f64>, outputs: ArrayView2<f64>) -> Option<(f64, f64)> {
    let typical = outputs.columns().into_iter().map(|outputs| (outputs.dot(&outputs) / outputs.len() as f64).sqrt());
    machines.rounding(diagonal).into_iter().zip(typical).find(|(lost, typical)| *lost > 0.01 * typical)
}

/// Why a solver stopped.
fn words(stop: Stop) -> &'static str {
    match stop {
        Stop::Converged => "converged",
        Stop::Rounding => "stopped early because steps no longer changed the gap (rounding)",
        Stop::IterationLimit => "stopped early at the largest number of iterations",
    }
}

impl FitArgs {
    /// The setting that regularises more.
    fn stronger(&self) -> &'static str {
        if self.c.is_some() { "a smaller --c" } else { "a larger --lambda-mean" }
    }

    /// Advice where rounding spoils a machine.
    fn better_posed(&self) -> String {
        format!("bring the features to one scale, or try {}", self.stronger())
    }

    /// The line about an outcome that did not converge.
    fn early(&self, outcome: &Outcome) -> String {
        let advice = match outcome.stop {
            Stop::Rounding => self.better_posed(),
            _ => format!("try {}", self.stronger()),
        };
        format!(
            "warning: the solver {}: relative duality gap {:.1e} instead of {:.0e}, so the machine is not at its optimum; \
             {advice}",
            words(outcome.stop),
            outcome.objectives.relative_gap(),
            Options::default().tolerance,
        )
    }
}

/// What predictions should be.
enum Truth {
    /// The samples that have a label, and its position among the machine's classes if it is one of them.
    Classes(Vec<(usize, Option<usize>)>),
    /// The samples that have a label, and its value.
    Values(Vec<(usize, f64)>),
}

impl Truth {
    /// The labels of samples, as far as the machine knows such.
    fn of(machine: &SavedMachine, samples: &Samples) -> Result<Self, Error> {
        Ok(match machine.task {
            Task::Regression => Truth::Values(samples::numbers(samples)?),
            _ => {
                let position = |(i, label)| (i, Classes::position(&machine.classes, label));
                Truth::Classes(samples.target.known().map(position).collect())
            }
        })
    }
}

/// How good predictions are.
enum Score {
    /// The share of right classes.
    Accuracy(f64),
    /// The root of the mean squared error.
    Error(f64),
}

impl Score {
    fn of(machine: &SavedMachine, truth: &Truth, outputs: &Array2<f64>) -> Self {
        match truth {
            Truth::Values(values) => {
                // Relative to the largest, whose square may be beyond numbers.
                let errors: Vec<f64> = values.iter().map(|&(i, y)| y - outputs[[i, 0]]).collect();
                let largest = max_abs(&errors);
                let squares = errors.iter().map(|error| (error / largest).powi(2)).sum::<f64>();
                Score::Error(if largest > 0.0 { largest * (squares / errors.len() as f64).sqrt() } else { 0.0 })
            }
            Truth::Classes(classes) => {
                let predicted = machine.predictions(outputs.view());
                let right = classes.iter().filter(|&&(i, class)| class == Some(predicted[i]));
                Score::Accuracy(right.count() as f64 / classes.len() as f64)
            }
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Score::Accuracy(value) => json!({ "accuracy": value }),
            Score::Error(value) => json!({ "root_mean_squared_error": value }),
        }
    }

    fn text(&self) -> String {
        match self {
            Score::Accuracy(value) => format!("accuracy {:.2} %", 100.0 * value),
            Score::Error(value) => format!("root of the mean squared error {}", decimals(*value, 6)),
        }
    }
}
