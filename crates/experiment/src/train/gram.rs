//! The machine's kernel from a file of `widenet kernel`.

use std::num::NonZeroUsize;
use std::path::Path;

use widenet_data::Split;
use widenet_model::{Architecture, Precision};
use widenet_store::numbers::count;

use crate::config::{Config, KernelName, Parameters};
use crate::error::Error;
use crate::gram_file::{GramFile, test_key};
use crate::kernel::{KernelKind, check_alive};
use crate::train::Kernels;

/// Reads the kernel that `machine.kernel` names: `limit`, or `width_m` with the network's width, of this network alone.
///
/// # Errors
///
/// When the file cannot be read, or belongs to other samples, another architecture or another network.
pub fn load(path: &Path, config: &Config, architecture: &Architecture, data: &Split) -> Result<Kernels, Error> {
    let mut file = GramFile::read(path)?;
    file.check(data.train.inputs.view())?;
    let other = |what: String| Error::Setting(format!("machine.gram: {} is {what}", path.display()));
    let width = architecture.width().and_then(NonZeroUsize::new);
    let key = match (config.machine.kernel, width) {
        (KernelName::Limit | KernelName::Nngp, _) => "limit".to_string(),
        (KernelName::Empirical, Some(width)) => format!("width_{width}"),
        (KernelName::Empirical, None) => return Err(Error::Setting("machine.gram: there is no width to find".into())),
    };
    let (train, test) = (file.take(&key)?, file.take(&test_key(&key))?);
    file.check_test(data.test.inputs.view())?;

    let metadata = &file.metadata;
    // Widths do not matter: the file's architecture is brought to this one's.
    let same = match width {
        Some(width) if metadata.architecture.width().is_some() => metadata.architecture.with_width(width).ok(),
        _ => Some(metadata.architecture.clone()),
    };
    if same.as_ref() != Some(architecture) {
        return Err(other("of another architecture".into()));
    }
    let kind = kind(config);
    if metadata.kind != kind {
        return Err(other(format!("the {} kernel, not the {}", metadata.kind.name(), kind.name())));
    }
    let one = (config.seed, 1);
    if config.machine.kernel == KernelName::Empirical && (metadata.seed, metadata.samples) != one {
        let (seed, samples) = (metadata.seed, metadata.samples);
        let found = format!("the kernel of {} from seed {seed}", count(samples, "network"));
        return Err(other(format!("{found}, not of the one with seed {}", config.seed)));
    }
    let whose = format!("machine.gram: {key} of {}", path.display());
    check_alive(&whose, train.diag(), data.train.inputs.view(), Precision::F64)?;
    Ok(Kernels { train, test })
}

/// Which kernel the machine of a configuration has.
pub fn kind(config: &Config) -> KernelKind {
    match (config.machine.kernel, config.training.parameters) {
        (KernelName::Limit, _) | (KernelName::Empirical, Parameters::All) => KernelKind::Ntk,
        (KernelName::Nngp, _) | (KernelName::Empirical, Parameters::LastLayer) => KernelKind::Nngp,
    }
}
