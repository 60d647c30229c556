//! The command line.

use std::any::Any;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::json;
use widenet_data::FetchEvent;
use widenet_model::Precision;

use crate::backend::Backend;
use crate::certify::{CertifyArgs, certify_command};
use crate::compare::{CompareConfig, compare};
use crate::config::{Config, Start, load, to_toml};
use crate::error::Error;
use crate::fit::{FitArgs, PredictArgs, fit_command, predict_command};
use crate::kernel::{KernelArgs, kernel_command};
use crate::probe;
use crate::reproduce::{Options, Scale, Target, reproduce};
use crate::run_folder::{Existing, finished_with};
use crate::study::{StudyConfig, study};
use crate::train::{Places, train};

/// Wide neural networks and the kernel machines they become, trained side by side.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  widenet train configs/quickstart.toml
  widenet train configs/mlp.toml --set training.steps=500 --out artifacts/short
  widenet study configs/study-table1.toml
  widenet reproduce figure1
  widenet compare configs/compare-mlp.toml
  widenet kernel --arch 'mlp = { hidden = [1024] }' --out kernel.npz
  widenet fit table.csv --arch 'mlp = { hidden = [1] }' --c 10 --out machine.npz
  widenet predict machine.npz new.csv
  widenet certify artifacts/quickstart/machine.npz --n 20
  widenet backends
  widenet data

Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 141 output closed,
130 or 143 stopped by SIGINT or SIGTERM.";

#[derive(Subcommand)]
enum Command {
    // Its help stands at its arguments.
    Train(TrainArgs),
    /// Measure a theorem: gaps over widths and seeds, convergence, path kernels, bounds
    Study(StudyArgs),
    /// Reproduce a figure or a table of the paper, beside the paper's own numbers
    Reproduce(ReproduceArgs),
    /// Compare the tangent kernels of networks of several widths with their infinite-width limit
    Compare(CompareArgs),
    // The help of these stands at their arguments, too.
    Kernel(Box<KernelArgs>),
    Fit(Box<FitArgs>),
    Predict(PredictArgs),
    Certify(Box<CertifyArgs>),
    /// Try every backend of this build on a small matrix product
    Backends {
        /// One JSON document on stdout
        #[arg(long)]
        json: bool,
    },
    /// What data is here, where it comes from, and how to get the rest
    Data(DataArgs),
    #[command(name = probe::COMMAND, hide = true)]
    Probe {
        backend: Backend,
        #[arg(long)]
        quick: bool,
    },
}

/// Train a network and its kernel machine on the same data and compare them
///
/// The configuration decides everything: --print-config shows every key, --set overrides one.
/// The architecture is a family with its numbers, or a list of layers, for instance one of:
///   mlp = { hidden = [1024] }
///   cnn = { channels = [64, 64], head = "flatten" }
///   resnet = { stem = 32, blocks = [{ channels = 32 }, { channels = 64, stride = 2 }] }
///   layers = [{ conv = { channels = 64, kernel = 3 } }, "flatten", { dense = { units = 1 } }]
/// Another one is set as a whole: --set 'architecture={ cnn = { channels = [64, 64] } }'
///
/// The objective is lambda_mean/2 |w - w_0|^2 + mean of losses.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  widenet train configs/quickstart.toml
  widenet train configs/quickstart.toml --print-config
  widenet train configs/quickstart.toml --set architecture.mlp.hidden=[4096] \\
      --out artifacts/wide
  widenet train configs/cnn.toml --backend wgpu
  widenet train configs/quickstart.toml --start-from-machine --out artifacts/from-machine
  widenet train configs/mlp.toml --resume"
)]
struct TrainArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Go on with an interrupted run, or start where there is none
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Start network and machine at the machine's solution, which the network realises to first order
    #[arg(long)]
    start_from_machine: bool,
    /// Stop after this step, leaving a checkpoint to --resume from
    #[arg(long, value_name = "STEP")]
    stop_at: Option<usize>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  widenet study configs/study-table1.toml
  widenet study configs/study-lambda.toml --set study.gap.seeds=1 --out artifacts/one-seed
  widenet study configs/study-lambda.toml --resume")]
struct StudyArgs {
    #[command(flatten)]
    run: RunArgs,
    /// Go on with an interrupted study, whose finished parts are kept, or start where there is none
    #[arg(long, conflicts_with = "force")]
    resume: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  widenet compare configs/compare-mlp.toml
  widenet compare configs/compare-mlp.toml --set compare.widths=[64,1024] \\
      --out artifacts/two-widths
  widenet compare configs/compare-cnn.toml --backend wgpu --precision f32")]
struct CompareArgs {
    #[command(flatten)]
    run: RunArgs,
}

#[derive(Args)]
#[command(after_help = "Examples:
  widenet reproduce figure1
  widenet reproduce table1 --scale paper
  widenet reproduce table1 --scale paper --resume
  widenet reproduce all")]
struct ReproduceArgs {
    /// What
    target: Target,
    /// How large
    #[arg(long, default_value = "smoke")]
    scale: Scale,
    /// Where tensors live: flex, ndarray, wgpu, vulkan or cuda (see `widenet backends`)
    #[arg(long)]
    backend: Option<Backend>,
    /// The folder [default: artifacts/reproduce-TARGET-SCALE]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The folder with downloaded data sets [default: the user's data folder]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Go on with an interrupted reproduction, whose finished parts are kept, or start where there is none
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Replace an existing folder
    #[arg(long)]
    force: bool,
    /// The results as one JSON document on stdout
    #[arg(long)]
    json: bool,
}

/// What every command with a configuration and a run folder takes.
#[derive(Args)]
struct RunArgs {
    /// The configuration, in TOML. Its squared loss is (z - y)^2, without a factor 1/2: alpha of scikit-learn's KernelRidge is
    /// n lambda_mean / 2
    config: PathBuf,
    /// Override a key of the configuration, for instance seed=2 (repeatable); --print-config shows the keys
    #[arg(long = "set", value_name = "KEY.PATH=VALUE")]
    overrides: Vec<String>,
    /// Print the whole configuration in TOML, with defaults and overrides, and do nothing else
    #[arg(long)]
    print_config: bool,
    /// Where tensors live: flex, ndarray, wgpu, vulkan or cuda (see `widenet backends`)
    #[arg(long)]
    backend: Option<Backend>,
    /// The networks' number format: f32 or f64
    #[arg(long, value_parser = precision)]
    precision: Option<Precision>,
    /// The seed of every random choice
    #[arg(long, value_parser = seed())]
    seed: Option<u64>,
    /// The run folder [default: artifacts/NAME, with the configuration's name]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The folder with downloaded data sets [default: the user's data folder]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Replace an existing run folder
    #[arg(long)]
    force: bool,
    /// The results as one JSON document on stdout
    #[arg(long)]
    json: bool,
}

impl RunArgs {
    /// The configuration of this command.
    fn load<T: DeserializeOwned>(&self, command: &str) -> Result<T, Error> {
        Ok(load(&self.config, &self.overrides).map_err(|error| error.of_command(command))?)
    }

    /// What the command line says in place of the configuration.
    fn apply(&self, backend: &mut Backend, precision: &mut Precision, seed: &mut u64) {
        *backend = self.backend.unwrap_or(*backend);
        *precision = self.precision.unwrap_or(*precision);
        *seed = self.seed.unwrap_or(*seed);
    }

    /// Where a run of this name reads from and writes to.
    fn places(&self, name: &str) -> Places {
        Places {
            data: self.data_dir.clone(),
            run: self.out.clone().unwrap_or_else(|| PathBuf::from("artifacts").join(name)),
            existing: if self.force { Existing::Replace } else { Existing::Refuse },
            stop_at: None,
        }
    }
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
struct DataArgs {
    #[command(subcommand)]
    action: Option<DataAction>,
    /// One JSON document on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum DataAction {
    /// Get a data set into the user's data folder
    Fetch {
        /// Which: mnist
        #[arg(value_parser = ["mnist"])]
        set: String,
        /// Take the four files from this folder instead of the network
        #[arg(long, value_name = "FOLDER")]
        from: Option<PathBuf>,
        /// The folder to put data sets in [default: the user's data folder]
        #[arg(long, value_name = "FOLDER")]
        data_dir: Option<PathBuf>,
    },
}

pub(crate) fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "f32" => Ok(Precision::F32),
        "f64" => Ok(Precision::F64),
        _ => Err("f32 or f64".into()),
    }
}

/// The seeds there are: what TOML holds, in which they are written down.
pub(crate) fn seed() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(..=i64::MAX as u64)
}

/// The exit code where nobody reads the output any more: that of a process that the signal SIGPIPE ends.
const CLOSED: u8 = 128 + 13;

/// Runs a command and says in one line why it failed, if it did.
pub fn run(cli: Cli) -> ExitCode {
    // A panic is a defect of the program: one line with a request, not a backtrace. Where output cannot be written, it
    // is none.
    let default = std::panic::take_hook();
    let traced = std::env::var_os("RUST_BACKTRACE").is_some();
    std::panic::set_hook(Box::new(move |panic| {
        if traced && unwritten(message(panic.payload())).is_none() {
            default(panic);
        }
    }));
    crate::signals::watch();
    let outcome = std::panic::catch_unwind(|| dispatch(cli.command));
    // `eprintln!` would panic where stderr cannot be written.
    let say = |text: &dyn std::fmt::Display| {
        // Names in it may come from files.
        let _ = writeln!(std::io::stderr(), "widenet: {}", widenet_store::text::visible(&text.to_string()));
    };
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            say(&error);
            ExitCode::from(error.exit_code())
        }
        Err(panic) => {
            let text = message(&*panic);
            match unwritten(text) {
                Some(problem) if problem.contains("Broken pipe") => return ExitCode::from(CLOSED),
                Some(problem) => say(&problem),
                None => {
                    let request = "a defect in the program, please report it (RUST_BACKTRACE=1 shows where)";
                    say(&format!("{request}: {}", widenet_store::text::one_line(text)));
                }
            }
            ExitCode::FAILURE
        }
    }
}

/// What a panic says.
fn message(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}

/// Which stream could not be written and why, if that is what `println!` or `eprintln!` panicked for.
fn unwritten(panic: &str) -> Option<&str> {
    panic.strip_prefix("failed printing to ")
}

fn dispatch(command: Command) -> Result<(), Error> {
    match command {
        Command::Train(args) => train_command(args),
        Command::Reproduce(args) => reproduce_command(args),
        Command::Compare(args) => compare_command(args),
        Command::Study(args) => study_command(args),
        Command::Kernel(args) => kernel_command(*args),
        Command::Fit(args) => fit_command(*args),
        Command::Predict(args) => predict_command(args),
        Command::Certify(args) => certify_command(*args),
        Command::Backends { json } => backends(json),
        Command::Data(args) => match args.action {
            None => data(args.json),
            Some(DataAction::Fetch { from, data_dir, .. }) => fetch(from, data_dir),
        },
        Command::Probe { backend, quick } => {
            probe::run_child(backend, quick);
            Ok(())
        }
    }
}

fn train_command(args: TrainArgs) -> Result<(), Error> {
    let mut config: Config = args.run.load("train")?;
    args.run.apply(&mut config.backend, &mut config.precision, &mut config.seed);
    if args.start_from_machine {
        config.training.start = Start::Machine;
    }
    if args.run.print_config {
        print!("{}", config.to_toml_with_absent());
        return Ok(());
    }
    let mut places = Places { stop_at: args.stop_at, ..args.run.places(&config.name) };
    if args.resume {
        places.existing = Existing::resume_or_start(&places.run);
    }
    train(&config, &places)?.print(args.run.json);
    Ok(())
}

fn study_command(args: StudyArgs) -> Result<(), Error> {
    let mut config: StudyConfig = args.run.load("study")?;
    args.run.apply(&mut config.backend, &mut config.precision, &mut config.seed);
    if args.run.print_config {
        print!("{}", to_toml(&config));
        return Ok(());
    }
    let mut places = args.run.places(&config.name);
    if args.resume {
        places.existing = Existing::resume_or_start(&places.run);
    }
    if places.existing == Existing::Resume
        && let Some(finished) = finished_with(&places.run, &config)?
    {
        finished.print(args.run.json);
        return Ok(());
    }
    study(&config, &places)?.finished.print(args.run.json);
    Ok(())
}

fn reproduce_command(args: ReproduceArgs) -> Result<(), Error> {
    let name = format!("reproduce-{}-{}", args.target.name(), args.scale.name());
    let run = args.out.unwrap_or_else(|| PathBuf::from("artifacts").join(name));
    let places = Places {
        data: args.data_dir,
        existing: match (args.resume, args.force) {
            (true, _) => Existing::resume_or_start(&run),
            (_, true) => Existing::Replace,
            _ => Existing::Refuse,
        },
        run,
        stop_at: None,
    };
    reproduce(args.target, &Options { scale: args.scale, backend: args.backend, places })?.print(args.json);
    Ok(())
}

fn compare_command(args: CompareArgs) -> Result<(), Error> {
    let mut config: CompareConfig = args.run.load("compare")?;
    args.run.apply(&mut config.backend, &mut config.precision, &mut config.seed);
    if args.run.print_config {
        print!("{}", to_toml(&config));
        return Ok(());
    }
    let finished = compare(&config, &args.run.places(&config.name)).map_err(Error::without_resuming)?;
    finished.print(args.run.json);
    Ok(())
}

fn backends(as_json: bool) -> Result<(), Error> {
    let mut rows = Vec::new();
    for backend in Backend::ALL {
        let outcome = probe::in_child(backend, false);
        if !as_json {
            match &outcome {
                Ok(working) => println!(
                    "{:8} works: {}, {}, {:.0} GFLOP/s (f32 matrix product)",
                    backend.name(),
                    working.device,
                    if working.f64 { "f32 and f64" } else { "f32" },
                    working.gflops.unwrap_or(0.0)
                ),
                Err(error) => println!("{:8} {error}", backend.name()),
            }
        }
        rows.push(match outcome {
            Ok(working) => json!({ "backend": backend.name(), "works": true, "device": working.device,
                "f64": working.f64, "gflops": working.gflops }),
            Err(error) => json!({ "backend": backend.name(), "works": false, "why": error.to_string() }),
        });
    }
    if as_json {
        println!("{}", serde_json::to_string_pretty(&rows).expect("plain data"));
    }
    Ok(())
}

fn data(as_json: bool) -> Result<(), Error> {
    let entries = widenet_data::catalogue();
    if as_json {
        let rows: Vec<_> = entries
            .iter()
            .map(|entry| {
                json!({ "name": entry.name, "present": entry.present, "place": entry.place.to_string(),
                    "train": entry.train, "test": entry.test, "origin": entry.origin, "licence": entry.licence })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows).expect("plain data"));
        return Ok(());
    }
    for entry in entries {
        let state = if entry.present { "here" } else { "not here" };
        println!("{:8} {state}: {}; {} training and {} test images", entry.name, entry.place, entry.train, entry.test);
        println!("{:8} {}. Licence: {}", "", entry.origin, entry.licence);
    }
    println!("\n`widenet data fetch mnist` gets all ten digits.");
    Ok(())
}

fn fetch(from: Option<PathBuf>, data_dir: Option<PathBuf>) -> Result<(), Error> {
    let to = match data_dir {
        Some(folder) => folder.join("mnist"),
        None => widenet_data::mnist_folder()?,
    };
    let mut bar: Option<indicatif::ProgressBar> = None;
    widenet_data::fetch_mnist(&to, from.as_deref(), &widenet_data::MNIST_MIRRORS, &mut |event| match event {
        FetchEvent::Kept { path } => eprintln!("{} is there already", path.display()),
        FetchEvent::Started { url, resumed_at, total } => {
            eprintln!("{url}");
            let next = indicatif::ProgressBar::new(total.unwrap_or(0));
            next.set_position(resumed_at);
            bar = Some(next);
        }
        FetchEvent::Received { bytes, .. } => {
            if let Some(bar) = &bar {
                bar.set_position(bytes);
            }
        }
        FetchEvent::Failed { url, problem } => eprintln!("{url}: {problem}"),
        FetchEvent::Done { path } => {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
            eprintln!("{} done", path.display());
        }
        _ => (),
    })?;
    println!("mnist is in {}", to.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::CommandFactory;

    use super::*;

    /// Every command with its subcommands.
    fn each(command: &clap::Command, visit: &mut dyn FnMut(&clap::Command)) {
        visit(command);
        command.get_subcommands().for_each(|command| each(command, visit));
    }

    #[test]
    fn configurations_in_help_exist() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut found = 0;
        each(&Cli::command(), &mut |command| {
            let help = command.clone().render_long_help().to_string();
            for name in help.split_whitespace().filter(|word| word.starts_with("configs/")) {
                assert!(root.join(name).is_file(), "{} names {name}", command.get_name());
                found += 1;
            }
        });
        assert!(found > 10, "{found}");
    }

    /// What the squared loss is, wherever a configuration or an option names it.
    #[test]
    fn help_says_that_the_squared_loss_has_no_half() {
        for name in ["train", "study", "compare", "fit"] {
            let mut cli = Cli::command();
            let help = cli.find_subcommand_mut(name).expect("a command").render_long_help().to_string();
            let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(words.contains("without a factor 1/2: alpha of scikit-learn's KernelRidge is"), "{name}: {help}");
        }
    }

    #[test]
    fn examples_are_not_wrapped() {
        // The help is wrapped at 100 columns, and a wrapped example would be two commands.
        each(&Cli::command(), &mut |command| {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines() {
                assert!(line.chars().count() <= 96, "{}: {line}", command.get_name());
            }
        });
    }
}
