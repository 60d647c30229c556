//! The arguments of `widenet kernel`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use widenet_model::{ArchitectureConfig, Precision};
use widenet_tangent::Method;

use super::{KernelConfig, KernelKind, KernelPlaces, kernel};
use crate::backend::Backend;
use crate::commands::precision;
use crate::config::{Config, DataConfig, defaults, parse};
use crate::error::Error;
use crate::run_folder::say;

/// Training samples where no configuration says how many.
const SAMPLES: NonZeroUsize = NonZeroUsize::new(256).expect("256 is not 0");

/// Compute a kernel matrix and save it
///
/// The file is a numpy archive (npz) of f64 matrices:
///   limit            [n, n]  the infinite-width kernel on the training samples
///   limit_test       [m, n]  the same, test samples against training samples
///   width_256, ...   [n, n]  the empirical kernel at this width, a mean over networks
///   width_256_test   [m, n]  the same, test samples against training samples
///   labels           [n]     the training samples' classes, -1 and +1
///   labels_test      [m]     the test samples' classes
///   metadata         bytes   a JSON document in UTF-8: architecture (TOML text), kind, seed, samples,
///                            backend, precision, data, and the 64-bit FNV-1a hash of the
///                            samples' little-endian f64 bytes
///
/// In Python: json.loads(numpy.load(FILE)["metadata"].tobytes())
#[derive(Args)]
#[command(verbatim_doc_comment, group(ArgGroup::new("network").required(true).args(["config", "arch"])), after_help = "Examples:
  widenet kernel --arch 'mlp = { hidden = [1024] }' --n 512 --out kernel.npz
  widenet kernel --config configs/cnn.toml --limit --width 64,256 --samples 10 --out kernel.npz
  widenet kernel --config configs/mlp.toml --test 100 --memory 2048 --out kernel.npz --resume")]
pub(crate) struct KernelArgs {
    /// Take architecture, data, seed, backend and precision from a training configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The architecture, for instance 'mlp = { hidden = [1024] }'
    #[arg(long, value_name = "TOML")]
    arch: Option<String>,
    /// Override a key of the configuration (repeatable)
    #[arg(long = "set", value_name = "KEY.PATH=VALUE", requires = "config", conflicts_with = "arch")]
    overrides: Vec<String>,
    /// The data: mnist01, mnist, or a folder with four IDX files [default: the configuration's, or mnist01]
    #[arg(long, value_name = "NAME|FOLDER")]
    data: Option<String>,
    /// The two digits of mnist or a folder [default: the configuration's, or 0,1]
    #[arg(long, value_name = "DIGIT,DIGIT", value_parser = classes)]
    classes: Option<[u8; 2]>,
    /// The folder with downloaded data sets [default: the user's data folder]
    #[arg(long, value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// Training samples, the first so many [default: the configuration's, or 256]
    #[arg(long, value_name = "N")]
    n: Option<NonZeroUsize>,
    /// Also the first so many test samples against the training samples
    #[arg(long, value_name = "M")]
    test: Option<NonZeroUsize>,
    /// The infinite-width kernel (the default without --width)
    #[arg(long)]
    limit: bool,
    /// Empirical kernels of networks of these widths
    #[arg(long, value_name = "M,M,...", value_delimiter = ',')]
    width: Vec<NonZeroUsize>,
    /// Which kernel: all layers trained (ntk) or the last one only (nngp)
    #[arg(long, value_enum, default_value_t)]
    kind: KernelKind,
    /// Networks per width, with seeds counting up; their kernels' mean is saved [default: 1]
    #[arg(long, value_name = "S", requires = "width")]
    samples: Option<NonZeroUsize>,
    /// The seed of the first network [default: the configuration's, or 1]
    #[arg(long, value_parser = crate::commands::seed())]
    seed: Option<u64>,
    /// Where networks live: flex, ndarray, wgpu, vulkan or cuda [default: the configuration's, or flex]
    #[arg(long)]
    backend: Option<Backend>,
    /// The networks' number format: f32 or f64 [default: the configuration's, or f64]
    #[arg(long, value_parser = precision)]
    precision: Option<Precision>,
    /// How empirical kernels are computed: auto (for each layer what takes fewer operations), structured (no Jacobian for
    /// dense layers) or jacobian. The numbers are the same up to rounding [default: auto]
    #[arg(long, value_parser = method)]
    method: Option<Method>,
    /// Memory for samples, one matrix and one block [default: half of what is free]
    #[arg(long, value_name = "MIB", value_parser = mebibytes)]
    memory: Option<u64>,
    /// The file, for instance kernel.npz; unfinished parts go to a folder FILE.partial beside it
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Go on with an interrupted job, or start where there is none
    #[arg(long)]
    resume: bool,
    /// Replace an existing file; without --resume, also start an interrupted job anew
    #[arg(long)]
    force: bool,
    /// Stop after so many row blocks, leaving a partial to --resume from
    #[arg(long, value_name = "K")]
    stop_after_blocks: Option<usize>,
    /// The summary as one JSON document on stdout
    #[arg(long)]
    json: bool,
}

/// Two digits of a set of images.
pub(crate) fn classes(text: &str) -> Result<[u8; 2], String> {
    let digits = text.split_once(',').and_then(|(a, b)| Some([a.trim().parse().ok()?, b.trim().parse().ok()?]));
    digits.ok_or("two digits, such as 3,8".into())
}

fn method(text: &str) -> Result<Method, String> {
    let all = [Method::Auto, Method::Structured, Method::Jacobian];
    all.into_iter().find(|method| method.name() == text).ok_or("auto, structured or jacobian".into())
}

fn mebibytes(text: &str) -> Result<u64, String> {
    match text.parse::<f64>() {
        Ok(size) if size.is_finite() && size > 0.0 => Ok((size * f64::from(1 << 20)) as u64),
        _ => Err("a number > 0, in MiB".into()),
    }
}

/// Runs the command.
pub(crate) fn kernel_command(args: KernelArgs) -> Result<(), Error> {
    if let Some(samples) = args.samples {
        crate::compare::check_seeds("--samples", samples.get())?;
    }
    let mut widths = args.width.clone();
    widths.sort_unstable();
    if let Some(pair) = widths.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Error::Setting(format!("--width: {} is there twice", pair[0])));
    }
    let of_networks = [
        ("--seed", args.seed.is_some()),
        ("--backend", args.backend.is_some()),
        ("--precision", args.precision.is_some()),
        ("--method", args.method.is_some()),
    ];
    if let Some((flag, _)) = of_networks.iter().find(|(_, given)| *given && widths.is_empty()) {
        return Err(Error::Setting(format!("{flag} is for the networks of --width: the limit does not depend on it")));
    }
    let mut config = match (&args.config, &args.arch) {
        (Some(path), _) => {
            let config = Config::load(path, &args.overrides).map_err(|error| error.of_command("train"))?;
            let Config { seed, backend, precision, .. } = config;
            KernelConfig { seed, backend, precision, ..base(config.architecture, config.data) }
        }
        (None, arch) => {
            let architecture = parse(arch.as_deref().unwrap_or_default(), Path::new("--arch"))?;
            let (source, classes) = (defaults::source(), defaults::classes());
            base(architecture, DataConfig { source, classes, train: Some(SAMPLES), test: None })
        }
    };
    config.data.source = args.data.unwrap_or(config.data.source);
    config.data.classes = args.classes.unwrap_or(config.data.classes);
    config.data.train = args.n.or(config.data.train);
    config.data.test = args.test;
    config.test = args.test.is_some();
    config.limit = args.limit || widths.is_empty();
    config.widths = widths;
    config.kind = args.kind;
    config.samples = args.samples.unwrap_or(config.samples);
    config.seed = args.seed.unwrap_or(config.seed);
    config.backend = args.backend.unwrap_or(config.backend);
    config.precision = args.precision.unwrap_or(config.precision);
    config.method = args.method.unwrap_or(config.method);
    let places = KernelPlaces {
        data: args.data_dir,
        out: args.out,
        resume: args.resume,
        force: args.force,
        memory: args.memory,
        stop_after: args.stop_after_blocks,
    };
    let finished = kernel(&config, &places)?;
    say(&places.out, &finished.text(args.json));
    Ok(())
}

/// The defaults.
fn base(architecture: ArchitectureConfig, data: DataConfig) -> KernelConfig {
    KernelConfig {
        architecture,
        data,
        test: false,
        limit: true,
        widths: Vec::new(),
        kind: KernelKind::Ntk,
        samples: NonZeroUsize::MIN,
        seed: defaults::seed(),
        backend: Backend::Flex,
        precision: Precision::F64,
        method: Method::Auto,
    }
}
