//! Networks on disk, as safetensors.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::Device;
use safetensors::SafeTensors;

use crate::architecture::Architecture;
use crate::network::Network;
use crate::precision::Precision;

/// Why a network was not saved or loaded.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The file could not be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file could not be written.
    #[error("{path}: could not be written: {problem}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        problem: String,
    },
    /// The file is not a network saved by widenet.
    #[error("{path}: not a network saved by widenet: {problem}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is missing or wrong.
        problem: String,
    },
}

const ARCHITECTURE: &str = "widenet.architecture";
const SEED: &str = "widenet.seed";
const PRECISION: &str = "widenet.precision";

impl Network {
    /// Saves the weights, `nodes.0.weight` and so on, with the architecture (JSON), the seed and the precision in
    /// the file's metadata. PyTorch and numpy read the file through the `safetensors` package; dense weights are
    /// `[fan_in, units]`, convolutions `[out, in, kernel, kernel]`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), StorageError> {
        let problem = |problem: String| StorageError::Write { path: path.into(), problem };
        let architecture = serde_json::to_string(self.architecture()).map_err(|error| problem(error.to_string()))?;
        let mut store = SafetensorsStore::from_file(path)
            .overwrite(true)
            .metadata(ARCHITECTURE, architecture)
            .metadata(SEED, self.seed().to_string())
            .metadata(PRECISION, self.precision().name());
        self.save_into(&mut store).map_err(|error| problem(error.to_string()))
    }

    /// Loads a network saved by [`Network::save`]. Its initial weights are drawn again from the seed.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is damaged, or was not saved by widenet.
    pub fn load(path: &Path, device: &Device) -> Result<Self, StorageError> {
        let format = |problem: String| StorageError::Format { path: path.into(), problem };
        let bytes = std::fs::read(path).map_err(|source| StorageError::Read { path: path.into(), source })?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| format(error.to_string()))?;
        // Checks the lengths of the tensors too, before anything trusts them.
        SafeTensors::deserialize(&bytes).map_err(|error| format(error.to_string()))?;
        let none = HashMap::new();
        let metadata = header.metadata().as_ref().unwrap_or(&none);
        let entry = |key: &str| metadata.get(key).ok_or_else(|| format(format!("no {key} in its metadata")));
        let architecture: Architecture =
            serde_json::from_str(entry(ARCHITECTURE)?).map_err(|error| format(format!("{ARCHITECTURE}: {error}")))?;
        let seed = entry(SEED)?.parse().map_err(|error| format(format!("{SEED}: {error}")))?;
        let precision = match entry(PRECISION)?.as_str() {
            "f32" => Precision::F32,
            "f64" => Precision::F64,
            other => return Err(format(format!("{PRECISION} is {other}, neither f32 nor f64"))),
        };
        let mut network = Network::init(&architecture, seed, precision, device);
        let mut store = SafetensorsStore::from_bytes(Some(bytes));
        network.load_from(&mut store).map_err(|error| format(error.to_string()))?;
        Ok(network)
    }
}
