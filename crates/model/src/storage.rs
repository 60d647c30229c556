//! Networks on disk, as safetensors.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use burn::store::{ModuleSnapshot, SafetensorsStore};
use burn::tensor::Device;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use widenet_store::memory;
use widenet_store::text::{one_line, quoted};

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
    #[error(transparent)]
    Store(#[from] widenet_store::StoreError),
    /// The weights could not be brought into a file.
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

/// The key of the file's metadata. There is one entry only: the order of several would change from run to run.
const KEY: &str = "widenet";

/// What a file says about its network beside the weights, as JSON.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    architecture: Architecture,
    seed: u64,
    precision: Precision,
}

/// Calls `change` with every part of a JSON value that has no parts itself.
fn each_value(value: &mut Value, change: &dyn Fn(&mut Value)) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| each_value(value, change)),
        Value::Object(entries) => entries.values_mut().for_each(|value| each_value(value, change)),
        value => change(value),
    }
}

/// Numbers with a point are stored as text: serde_json reads 17 digits back only to within one unit in the last
/// place, and a scale that is off by that much gives another network.
fn float_to_text(value: &mut Value) {
    if let Some(float) = value.as_f64().filter(|_| value.is_f64()) {
        *value = Value::String(format!("{float:?}"));
    }
}

/// Back from [`float_to_text`]. No name in an architecture reads as a number.
fn text_to_float(value: &mut Value) {
    if let Some(float) = value.as_str().and_then(|text| text.parse::<f64>().ok()) {
        *value = Value::from(float);
    }
}

impl Network {
    /// Saves the weights, `nodes.0.Dense.weight` and so on, with the architecture, the seed and the precision as JSON
    /// under `widenet` in the file's metadata. One network always gives the same bytes. PyTorch and numpy read the
    /// file through the `safetensors` package; dense weights are `[fan_in, units]`, convolutions
    /// `[out, in, kernel, kernel]`.
    ///
    /// # Errors
    ///
    /// When the file cannot be written. Nothing is left half written.
    pub fn save(&self, path: &Path) -> Result<(), StorageError> {
        Ok(widenet_store::write_whole(path, &self.to_safetensors(path)?)?)
    }

    /// The bytes of [`Network::save`]; `path` is for messages.
    ///
    /// # Errors
    ///
    /// When the weights cannot be read from their device.
    pub fn to_safetensors(&self, path: &Path) -> Result<Vec<u8>, StorageError> {
        let problem = |problem: String| StorageError::Write { path: path.into(), problem };
        let architecture = self.architecture().clone();
        let description = Description { architecture, seed: self.seed(), precision: self.precision() };
        let mut description = serde_json::to_value(&description).map_err(|error| problem(error.to_string()))?;
        each_value(&mut description, &float_to_text);
        let mut store = SafetensorsStore::from_bytes(None).clear_metadata().metadata(KEY, description.to_string());
        self.save_into(&mut store).map_err(|error| problem(error.to_string()))?;
        store.get_bytes().map_err(|error| problem(error.to_string()))
    }

    /// Loads a network saved by [`Network::save`]. Its initial weights are drawn again from the seed. On a device with
    /// autodiff the weights require gradients.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is damaged, or was not saved by widenet.
    pub fn load(path: &Path, device: &Device) -> Result<Self, StorageError> {
        let format = |problem: String| StorageError::Format { path: path.into(), problem: one_line(&problem) };
        let bytes = whole(path).map_err(|source| StorageError::Read { path: path.into(), source })?.map_err(format)?;
        Self::from_safetensors(bytes, path, device)
    }

    /// [`Network::load`] from the file's bytes; `path` is for messages.
    ///
    /// # Errors
    ///
    /// As for [`Network::load`].
    pub fn from_safetensors(bytes: Vec<u8>, path: &Path, device: &Device) -> Result<Self, StorageError> {
        let format = |problem: String| StorageError::Format { path: path.into(), problem: one_line(&problem) };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| format(error.to_string()))?;
        let description = header.metadata().as_ref().and_then(|metadata| metadata.get(KEY));
        let description = description.ok_or_else(|| format(format!("no entry {KEY} in its metadata")))?;
        let unreadable = |error| format(format!("{KEY} in its metadata: {error}"));
        let mut description = serde_json::from_str(description).map_err(unreadable)?;
        each_value(&mut description, &text_to_float);
        let Description { architecture, seed, precision } = serde_json::from_value(description).map_err(unreadable)?;

        // The file's own size bounds what is allocated for it: count before drawing a network.
        let tensors = header.tensors();
        let size = |shape: &[usize]| shape.iter().fold(1_usize, |size, &side| size.saturating_mul(side));
        let found = tensors.values().fold(0_usize, |sum, tensor| sum.saturating_add(size(&tensor.shape)));
        let expected = architecture.parameter_count();
        if found != expected {
            return Err(format(format!("it holds {found} weights but its architecture has {expected}")));
        }
        let dtype = match precision {
            Precision::F32 => Dtype::F32,
            Precision::F64 => Dtype::F64,
        };
        if let Some((name, tensor)) = tensors.iter().find(|(_, tensor)| tensor.dtype != dtype) {
            let name = quoted(name);
            return Err(format(format!("{name} is {:?} in a network of {}", tensor.dtype, precision.name())));
        }

        let mut network = Network::init(&architecture, seed, precision, device);
        for expected in network.collect(None, None, false) {
            let (name, shape) = (&expected.name, expected.shape.as_slice());
            match tensors.get(name) {
                None => return Err(format(format!("{name} is not in it"))),
                Some(found) if found.shape != shape => {
                    return Err(format(format!("{name} has shape {:?} instead of {shape:?}", found.shape)));
                }
                Some(_) => {}
            }
        }
        let mut store = SafetensorsStore::from_bytes(Some(bytes));
        network.load_from(&mut store).map_err(|error| format(error.to_string()))?;
        Ok(network)
    }
}

/// The bytes of a file whose header fits it and which fits the memory, with the network that is made from it. The inner
/// error says why not.
fn whole(path: &Path) -> std::io::Result<Result<Vec<u8>, String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut start = Vec::new();
    (&mut file).take(8).read_to_end(&mut start)?;
    if let Ok(header) = <[u8; 8]>::try_from(&start[..]) {
        let header = u64::from_le_bytes(header);
        if header > length.saturating_sub(8) {
            let there = length.saturating_sub(8);
            return Ok(Err(format!("its header is said to be {header} bytes long, but {there} follow")));
        }
    }
    if let Err(error) = memory::check(length.saturating_mul(2), || format!("a network of {length} bytes")) {
        return Ok(Err(error.to_string()));
    }
    file.read_to_end(&mut start)?;
    Ok(Ok(start))
}
