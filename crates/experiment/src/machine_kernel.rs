//! Which kernel a saved machine has.

use serde::{Deserialize, Serialize};
use widenet_model::{Architecture, Network, Precision};
use widenet_tangent::{EmpiricalKernel, Kernel, LimitKernel};

use crate::backend::Backend;
use crate::error::Error;
use crate::kernel::KernelKind;

/// The kernel of a saved machine: enough to compute it again. It stands in the file as TOML text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum MachineKernel {
    /// The infinite-width limit.
    Limit {
        /// Tangent kernel or Gaussian process kernel.
        kind: KernelKind,
        /// The network.
        architecture: Architecture,
    },
    /// A finite network's own kernel at its initialisation.
    Empirical {
        /// All layers or the last one.
        kind: KernelKind,
        /// The network.
        architecture: Architecture,
        /// What its initialisation was drawn from.
        seed: u64,
        /// Its number format.
        precision: Precision,
        /// Where it lived.
        backend: Backend,
    },
}

impl MachineKernel {
    /// The kernel itself.
    ///
    /// # Errors
    ///
    /// When the architecture has no limit, or the backend of its network is not there.
    pub fn build(&self) -> Result<Box<dyn Kernel>, Error> {
        Ok(match self {
            MachineKernel::Limit { kind, architecture } => Box::new(LimitKernel::new(architecture, kind.limit())?),
            MachineKernel::Empirical { kind, architecture, seed, precision, backend } => {
                let network = Network::init(architecture, *seed, *precision, &backend.open(*precision)?.autodiff());
                Box::new(EmpiricalKernel::of_kind(&network.initial(), kind.empirical()))
            }
        })
    }

    /// As TOML.
    pub fn to_toml(&self) -> String {
        toml_edit::ser::to_string_pretty(self).expect("plain data")
    }

    /// From TOML.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line.
    pub fn parse(text: &str) -> Result<Self, String> {
        toml_edit::de::from_str(text).map_err(|error| widenet_store::text::one_line(error.message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use widenet_model::{ArchitectureConfig, Shape};

    #[test]
    fn what_is_written_is_read() {
        let config: ArchitectureConfig = toml_edit::de::from_str("mlp = { hidden = [8], sigma_w = 0.3 }").unwrap();
        let architecture = config.build(Shape::Flat(4)).unwrap();
        let kernel = MachineKernel::Empirical {
            kind: KernelKind::Ntk,
            architecture: architecture.clone(),
            seed: 7,
            precision: Precision::F64,
            backend: Backend::Flex,
        };
        assert_eq!(MachineKernel::parse(&kernel.to_toml()).unwrap(), kernel);
        let kernel = MachineKernel::Limit { kind: KernelKind::Nngp, architecture };
        assert_eq!(MachineKernel::parse(&kernel.to_toml()).unwrap(), kernel);
        assert!(MachineKernel::parse("limit = 3").is_err());
    }
}
