//! Which kernel a machine is fitted with.

use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};
use indicatif::ProgressBar;
use ndarray::{Array1, Array2, ArrayView2, s};
use widenet_data::Samples;
use widenet_machine::{KernelRows, check_positive};
use widenet_model::{ArchitectureConfig, Precision};
use widenet_tangent::Kernel;

use crate::config::{Config, parse};
use crate::error::Error;
use crate::gram_file::{GramFile, Metadata};
use crate::kernel::{KernelKind, check_alive};
use crate::machine_kernel::MachineKernel;

/// A matrix from a file is looked at for negative eigenvalues up to so many samples, which takes some seconds.
const EIGENVALUES: usize = 2048;

/// Where the kernel comes from.
#[derive(Args)]
#[command(group(ArgGroup::new("network").required(true).args(["arch", "config", "gram"])))]
pub(crate) struct KernelSource {
    /// The architecture whose infinite-width kernel is taken (widths do not matter), for instance 'mlp = { hidden = [1] }'
    #[arg(long, value_name = "TOML")]
    arch: Option<String>,
    /// Take the architecture from a training configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Take the matrix of a file of `widenet kernel` on the same samples: its limit, or the one network's kernel it has
    #[arg(long, value_name = "FILE")]
    pub gram: Option<PathBuf>,
    /// Which kernel of the architecture: all layers trained (ntk) or the last one only (nngp) [default: ntk]
    #[arg(long, value_enum, conflicts_with = "gram")]
    kind: Option<KernelKind>,
}

impl KernelSource {
    /// The files that are read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.config.iter().chain(&self.gram).map(PathBuf::as_path)
    }

    /// The kernel on samples, and its matrix where it is from a file.
    pub fn load(&self, samples: &Samples) -> Result<(MachineKernel, Option<Array2<f64>>), Error> {
        if let Some(path) = &self.gram {
            return stored(path, samples);
        }
        let architecture: ArchitectureConfig = match &self.config {
            Some(path) => Config::load(path, &[]).map_err(|error| error.of_command("train"))?.architecture,
            None => parse(self.arch.as_deref().unwrap_or_default(), Path::new("--arch"))?,
        };
        let kind = self.kind.unwrap_or_default();
        Ok((MachineKernel::Limit { kind, architecture: architecture.build(super::samples::shape(samples))? }, None))
    }
}

/// The kernel of a file, if it is of these samples.
fn stored(path: &Path, samples: &Samples) -> Result<(MachineKernel, Option<Array2<f64>>), Error> {
    let mut file = GramFile::read(path)?;
    file.check(samples.inputs.view())?;
    let Metadata { architecture, kind, limit, widths, seed, samples: networks, precision, backend, .. } =
        &file.metadata;
    let (key, kernel) = match (limit, widths.as_slice(), networks) {
        (true, ..) => ("limit".to_string(), MachineKernel::Limit { kind: *kind, architecture: architecture.clone() }),
        (false, &[width], 1) => {
            let width = width.try_into().map_err(|_| Error::file(path, "a network of width 0"))?;
            let architecture = architecture.with_width(width)?;
            if i64::try_from(*seed).is_err() {
                return Err(Error::file(path, format!("its seed is {seed}, but a machine's is below 2^63")));
            }
            let kernel = MachineKernel::Empirical {
                kind: *kind,
                architecture,
                seed: *seed,
                precision: *precision,
                backend: *backend,
            };
            (format!("width_{width}"), kernel)
        }
        _ => {
            return Err(Error::file(
                path,
                "has kernels of several networks: predictions take the limit or that of one",
            ));
        }
    };
    let gram = file.take(&key)?;
    check_alive(&format!("{}: {key}", path.display()), gram.diag(), samples.inputs.view(), Precision::F64)?;
    if gram.nrows() <= EIGENVALUES {
        check_positive(gram.view())?;
    }
    Ok((kernel, Some(gram)))
}

/// A kernel on samples `[n, d]`, row by row.
pub(super) struct Rows<'a> {
    pub kernel: Box<dyn Kernel>,
    pub inputs: ArrayView2<'a, f64>,
    /// Counts the rows.
    pub progress: ProgressBar,
}

impl KernelRows for Rows<'_> {
    type Error = Error;

    fn diagonal(&self) -> Result<Array1<f64>, Error> {
        Ok(self.kernel.diagonal(self.inputs)?)
    }

    fn rows(&self, rows: Range<usize>) -> Result<Array2<f64>, Error> {
        self.progress.inc(rows.len() as u64);
        Ok(self.kernel.gram(self.inputs.slice(s![rows, ..]), self.inputs)?)
    }
}
