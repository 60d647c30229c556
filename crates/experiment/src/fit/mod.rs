//! `widenet fit`: an exact kernel machine on a table, saved so that `widenet predict` can use it.

mod predict;

pub(crate) use predict::{PredictArgs, predict_command};

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{ArgGroup, Args, ValueEnum};
use ndarray::Array2;
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use widenet_data::Table;
use widenet_machine::{
    Classes, EpsilonInsensitive, Labels, LossConfig, Machines, Objective, Options, SavedMachine, Scheme, Task,
    calibrate, deal,
};
use widenet_model::{ArchitectureConfig, Purpose, Shape, stream};

use crate::backend::Backend;
use crate::config::{defaults, parse};
use crate::error::Error;
use crate::gram_file::hash;
use crate::kernel::KernelKind;
use crate::machine_kernel::MachineKernel;
use crate::run_folder::{refuse_existing, write_whole};

/// Folds of the cross-validation that probabilities come from, as in LIBSVM.
const FOLDS: usize = 5;

/// Fit a kernel machine exactly to a table and save it
///
/// The table is a CSV file (name ending in .csv) or in LIBSVM's format. With the hinge, squared hinge and
/// logistic losses its labels are classes, any number of them; with the others they are numbers, unless
/// --multiclass is given. Features are taken as they are: bring them to one scale first.
#[derive(Args)]
#[command(group(ArgGroup::new("regularisation").required(true).args(["lambda_mean", "c"])), after_help = "Examples:
  widenet fit iris.csv --arch 'mlp = { hidden = [1] }' --c 10 --intercept --probabilities --out iris.npz
  widenet fit heart.svm --arch 'mlp = { hidden = [1, 1] }' --loss logistic --lambda-mean 0.01
  widenet predict iris.npz new.csv --out predictions.csv")]
pub(crate) struct FitArgs {
    /// The table
    data: PathBuf,
    /// The architecture whose infinite-width kernel is taken (widths do not matter), for instance 'mlp = { hidden = [1] }'
    #[arg(long, value_name = "TOML")]
    arch: String,
    /// Which kernel: all layers trained (ntk) or the last one only (nngp)
    #[arg(long, value_enum, default_value_t)]
    kind: KernelKind,
    /// The label's column in a CSV file, by name or number from 1 [default: the last]
    #[arg(long, value_name = "COLUMN")]
    label: Option<String>,
    /// What is minimised
    #[arg(long, value_enum, default_value_t)]
    loss: LossName,
    /// The error that is free, with the epsilon-insensitive loss [default: 0.1]
    #[arg(long)]
    epsilon: Option<f64>,
    /// Regularisation in the mean form, lambda_mean/2 |beta|^2 + mean of losses
    #[arg(long)]
    lambda_mean: Option<f64>,
    /// Regularisation in the C form, 1/2 |beta|^2 + C sum of losses
    #[arg(long)]
    c: Option<f64>,
    /// Add a constant to the outputs, which is not regularised
    #[arg(long)]
    intercept: bool,
    /// How several classes are told apart [default: one-versus-one]
    #[arg(long, value_enum)]
    multiclass: Option<SchemeName>,
    /// Also fit probabilities of the classes, by cross-validation over five folds
    #[arg(long)]
    probabilities: bool,
    /// The seed that deals samples to folds
    #[arg(long, default_value_t = defaults::seed())]
    seed: u64,
    /// The machine
    #[arg(long, value_name = "FILE", default_value = "machine.npz")]
    out: PathBuf,
    /// Replace an existing file
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SchemeName {
    OneVersusRest,
    OneVersusOne,
}

impl FitArgs {
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
            (None, Some(c)) if c.is_finite() && c > 0.0 => 1.0 / (c * samples as f64),
            (None, c) => return Err(Error::Setting(format!("--c {}: not a finite number > 0", c.unwrap_or(0.0)))),
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

/// Runs the command.
pub(crate) fn fit_command(args: FitArgs) -> Result<(), Error> {
    refuse_existing(&args.out, args.force)?;
    let loss = args.loss()?;
    let classify = loss.loss().labels() == Labels::Classes || args.multiclass.is_some();
    if args.probabilities && !classify {
        return Err(Error::Setting(format!("--probabilities: the {} loss here fits numbers", loss.name())));
    }
    let architecture: ArchitectureConfig = parse(&args.arch, Path::new("--arch"))?;
    let table = Table::read(&args.data, args.label.as_deref(), None)?;
    let inputs = table.inputs.view();
    let (n, d) = inputs.dim();
    let objective = args.objective(n)?;
    let kernel = MachineKernel::Limit { kind: args.kind, architecture: architecture.build(Shape::Flat(d))? };
    eprintln!("{n} samples with {d} features; {} loss, {objective}", loss.name());
    // The matrix, and a factor or a copy of it.
    crate::memory::check(Backend::Flex, (2 * n as u64 * n as u64).saturating_mul(8), || format!("{n} samples"))?;
    let started = Instant::now();
    let gram = kernel.build()?.gram_symmetric(inputs)?;
    let kernel_seconds = started.elapsed().as_secs_f64();

    let started = Instant::now();
    let options = Options { intercept: args.intercept, ..Options::default() };
    let (machines, classes, sigmoids) = if classify {
        let classes = Classes::new(&table.labels)?;
        let scheme = args.scheme();
        let machines = Machines::of_classes(gram.view(), &classes, scheme, loss, objective, &options)?;
        let sigmoids = if args.probabilities {
            let mut order: Vec<usize> = (0..n).collect();
            order.shuffle(&mut stream(args.seed, Purpose::Folds, 0));
            let folds = deal(&classes, &order, FOLDS);
            calibrate(gram.view(), &classes, scheme, loss, objective, &options, &folds)?
        } else {
            Vec::new()
        };
        (machines, classes.names().to_vec(), sigmoids)
    } else {
        let values = Array2::from_shape_vec((n, 1), numbers(&args.data, &table.labels)?).expect("a value per sample");
        (Machines::of_values(gram.view(), values.view(), loss, objective, &options)?, Vec::new(), Vec::new())
    };
    let machine_seconds = started.elapsed().as_secs_f64();
    let machine = SavedMachine::new(&machines, classes, inputs, loss, objective)?;
    let machine = SavedMachine { kernel: kernel.to_toml(), samples_hash: hash(inputs), sigmoids, ..machine };
    write_whole(&args.out, &machine.to_npz())?;

    let outputs = gram.dot(&machines.coefficients) + &machines.intercepts;
    let score = Score::of(&machine, &args.data, &table.labels, &outputs)?;
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
        println!("{}", serde_json::to_string_pretty(&document).expect("plain data"));
        return Ok(());
    }
    let gap = machines.outcomes.iter().map(|outcome| outcome.objectives.relative_gap()).fold(0.0, f64::max);
    println!("{} of {n} samples in the support, largest relative duality gap {gap:.1e}", machine.support.len());
    println!("on the training samples: {}", score.text());
    println!("machine: {}", args.out.display());
    Ok(())
}

/// Labels as numbers.
fn numbers(path: &Path, labels: &[String]) -> Result<Vec<f64>, Error> {
    let number = |label: &String| {
        let value = label.parse().ok().filter(|value: &f64| value.is_finite());
        value.ok_or_else(|| Error::file(path, format!("label {label:?} is not a finite number")))
    };
    labels.iter().map(number).collect()
}

/// How good predictions are.
enum Score {
    /// The share of right classes.
    Accuracy(f64),
    /// The root of the mean squared error.
    Error(f64),
}

impl Score {
    fn of(machine: &SavedMachine, path: &Path, labels: &[String], outputs: &Array2<f64>) -> Result<Self, Error> {
        let n = labels.len() as f64;
        if machine.task == Task::Regression {
            let values = numbers(path, labels)?;
            let squares = values.iter().zip(outputs.column(0)).map(|(y, z)| (y - z).powi(2));
            return Ok(Score::Error((squares.sum::<f64>() / n).sqrt()));
        }
        let predicted = machine.predictions(outputs.view());
        let right = labels
            .iter()
            .zip(predicted)
            .filter(|(label, predicted)| Classes::position(&machine.classes, label) == Some(*predicted));
        Ok(Score::Accuracy(right.count() as f64 / n))
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
            Score::Error(value) => format!("root of the mean squared error {value:.6}"),
        }
    }
}
