//! The arguments of `widenet certify`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use widenet_certify::Norm;
use widenet_data::Told;

use super::certify;
use crate::data_source::TableArgs;
use crate::error::Error;
use crate::kernel::classes;
use crate::run_folder::Existing;
use crate::train::Places;

/// Certify how far inputs may be moved before a decision changes, and attack it
///
/// MODEL is a machine (npz) with the limit tangent kernel of a dense ReLU network without biases, or
/// a dense ReLU network with one output (safetensors), of which f - f_0 is certified. `train` writes
/// both; machines of `fit` for two classes are certified too.
///
/// Methods, most often from loose to tight:
///   published   the paper's published code; for large radii it proves nothing (two layers, norm inf)
///   interval    every kernel value, or neuron, by an interval
///   relaxation  every kernel value by a line; of networks: linear bounds going backward (CROWN)
///   taylor      every kernel value by a parabola (machines only)
///   best        the largest radius of the three before, and which it was
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "Examples:
  widenet certify artifacts/quickstart/machine.npz --n 20
  widenet certify artifacts/quickstart/machine.npz --method published,interval,best --domain 0,1
  widenet certify artifacts/quickstart/weights.safetensors --norm 2 --radii 0.1,0.5,1 \\
    --out artifacts/l2
  widenet certify machine.npz --data heart.csv --label disease --n 500
  widenet fit mnist01 --arch 'mlp = { hidden = [1] }' --loss squared \\
    --multiclass one-versus-one --lambda-mean 1e-3 --out ridge.npz
  widenet certify ridge.npz --n 20 --out artifacts/certify-ridge"
)]
pub(crate) struct CertifyArgs {
    /// The machine or network
    model: PathBuf,
    /// The samples: mnist01, mnist, or a folder with four IDX files named as MNIST's, of which test samples are taken; or a
    /// table with labels: CSV and its relatives or LIBSVM's format, - for standard input
    #[arg(long, default_value = "mnist01")]
    data: String,
    #[command(flatten)]
    table: TableArgs,
    /// For a network, which does not know them, the digits that were -1 and +1 [default: 0,1]; a machine knows its own
    #[arg(long, value_name = "DIGIT,DIGIT", value_parser = classes)]
    classes: Option<[u8; 2]>,
    /// How many samples, evenly spaced; all when there are fewer
    #[arg(long, default_value = "100")]
    n: NonZeroUsize,
    /// Methods, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', num_args = 1, default_value = "best")]
    method: Vec<MethodName>,
    /// How a perturbation is measured
    #[arg(long, value_enum, default_value = "inf")]
    norm: NormName,
    /// Perturbed features are kept between these (pixels: 0,1), or are free: none
    #[arg(long, default_value = "none", value_parser = domain, value_name = "LOW,HIGH|none", allow_hyphen_values = true)]
    domain: Domain,
    /// Seconds for a sample and a method (best: for each of its methods), after which a search ends with what it has;
    /// results then depend on the computer's speed. Machines only
    #[arg(long, value_parser = seconds, value_name = "SECONDS")]
    budget: Option<f64>,
    /// Certified accuracy is told at these radii [default: 0.01,0.02,0.05,0.1,0.2, or ten times that for --norm 2]
    #[arg(long, value_delimiter = ',', num_args = 1, value_parser = seconds, value_name = "RADIUS,...")]
    radii: Option<Vec<f64>>,
    /// The run folder [default: artifacts/certify-NAME, with the name of the model's folder]
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

/// A method on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MethodName {
    /// The paper's published code.
    Published,
    /// Intervals.
    Interval,
    /// Lines.
    Relaxation,
    /// Parabolas.
    Taylor,
    /// The best of all sound ones.
    Best,
}

impl MethodName {
    /// The name in results.
    pub fn name(self) -> &'static str {
        match self {
            MethodName::Published => "published",
            MethodName::Interval => "interval",
            MethodName::Relaxation => "relaxation",
            MethodName::Taylor => "taylor",
            MethodName::Best => "best",
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum NormName {
    Inf,
    #[value(name = "2")]
    Two,
}

/// A range of features, if any: a type of its own so that clap does not take it for an optional argument.
#[derive(Clone, Copy, Debug)]
struct Domain(Option<(f64, f64)>);

/// What is certified how: the configuration of a run.
#[derive(Clone, Debug, Serialize)]
pub struct CertifyConfig {
    /// The model's file.
    pub model: PathBuf,
    /// Where the samples come from.
    pub data: String,
    /// What is told of a table.
    #[serde(flatten)]
    pub told: Told,
    /// The two digits, for a network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<[u8; 2]>,
    /// The most samples.
    pub n: NonZeroUsize,
    /// In ascending order, each once.
    pub methods: Vec<MethodName>,
    /// `inf` or `2`.
    #[serde(serialize_with = "norm_name")]
    pub norm: Norm,
    /// Ends of every feature.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<(f64, f64)>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<f64>,
    /// Ascending.
    pub radii: Vec<f64>,
}

/// The norm as the command line names it.
pub(super) fn name_of(norm: Norm) -> &'static str {
    match norm {
        Norm::Inf => "inf",
        Norm::Two => "2",
    }
}

fn norm_name<S: serde::Serializer>(norm: &Norm, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name_of(*norm))
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(value) if f64::is_finite(value) && value > 0.0 => Ok(value),
        _ => Err("a number above 0".into()),
    }
}

fn domain(text: &str) -> Result<Domain, String> {
    if text == "none" {
        return Ok(Domain(None));
    }
    let ends: Result<Vec<f64>, _> = text.split(',').map(str::parse).collect();
    match ends.as_deref() {
        Ok(&[low, high]) if low.is_finite() && high.is_finite() && low < high => Ok(Domain(Some((low, high)))),
        _ => Err("two ascending numbers separated by a comma, or none".into()),
    }
}

/// Runs the command.
pub(crate) fn certify_command(args: CertifyArgs) -> Result<(), Error> {
    let norm = match args.norm {
        NormName::Inf => Norm::Inf,
        NormName::Two => Norm::Two,
    };
    let mut methods = args.method;
    methods.sort();
    methods.dedup();
    let mut radii = args.radii.unwrap_or_else(|| {
        let times = if norm == Norm::Two { 10.0 } else { 1.0 };
        [0.01, 0.02, 0.05, 0.1, 0.2].map(|radius| times * radius).to_vec()
    });
    radii.sort_by(f64::total_cmp);
    radii.dedup();
    let folder = args.model.parent().and_then(|folder| folder.file_name()).or(args.model.file_stem());
    let name = folder.map_or_else(|| "model".into(), |name| name.to_string_lossy().into_owned());
    let places = Places {
        data: args.data_dir,
        run: args.out.unwrap_or_else(|| PathBuf::from("artifacts").join(format!("certify-{name}"))),
        existing: if args.force { Existing::Replace } else { Existing::Refuse },
        stop_at: None,
    };
    let config = CertifyConfig {
        model: args.model,
        data: args.data,
        told: args.table.told(),
        classes: args.classes,
        // TOML has no larger numbers.
        n: args.n.min(NonZeroUsize::new(i64::MAX as usize).expect("not 0")),
        methods,
        norm,
        domain: args.domain.0,
        budget: args.budget,
        radii,
    };
    let finished = certify(&config, &places).map_err(Error::without_resuming)?;
    finished.print(args.json);
    Ok(())
}
