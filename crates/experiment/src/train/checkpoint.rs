//! Saving a run on the way, and going on from there.

use burn::tensor::Device;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use widenet_model::Network;
use widenet_store::StoreError;
use widenet_store::arrays::{read_npy, write_npy};
use widenet_store::numbers::count;

use crate::error::Error;
use crate::run_folder::RunFolder;
use crate::train::linearised::Linearised;
use crate::train::record::Record;

const WEIGHTS: &str = "weights.safetensors";
const COORDINATES: &str = "coordinates.npy";
const STATE: &str = "state.toml";

/// A run as it was after some step. Everything else follows from the configuration and its seed.
pub struct Checkpoint {
    /// Steps taken.
    pub step: usize,
    /// The network, at that step.
    pub network: Network,
    /// What its descent needs beside the weights, see [`crate::train::network::Engine::coordinates`].
    pub coordinates: Option<Array2<f64>>,
    /// The machine's coefficients, `[n]`.
    pub coefficients: Array1<f64>,
    /// The linearised network, if it is trained too.
    pub linearised: Option<Linearised>,
    /// What was recorded so far.
    pub records: Vec<Record>,
}

#[derive(Serialize, Deserialize)]
struct State {
    step: usize,
    coefficients: Vec<f64>,
    linearised: Option<Linearised>,
    records: Vec<Record>,
}

impl Checkpoint {
    /// Writes a checkpoint whole, in place of the one before.
    pub fn save(&self, folder: &RunFolder) -> Result<(), Error> {
        let state = State {
            step: self.step,
            coefficients: self.coefficients.to_vec(),
            linearised: self.linearised.clone(),
            records: self.records.clone(),
        };
        let path = folder.path();
        let weights = self.network.to_safetensors(&path.join(WEIGHTS))?;
        // TOML rather than JSON: its numbers are read back exactly, so that a resumed run is the same run.
        let state = toml_edit::ser::to_string(&state).map_err(|error| Error::file(path.join(STATE), error))?;
        let mut parts: Vec<(&str, &[u8])> = vec![(WEIGHTS, &weights), (STATE, state.as_bytes())];
        let mut bytes = Vec::new();
        if let Some(coordinates) = &self.coordinates {
            write_npy(&mut bytes, coordinates).map_err(|error| Error::file(path.join(COORDINATES), error))?;
            parts.push((COORDINATES, &bytes));
        }
        Ok(folder.save_checkpoint(&parts)?)
    }

    /// Reads the checkpoint of a run, if it has one. `samples` is the number of training samples.
    pub fn load(folder: &RunFolder, samples: usize, device: &Device) -> Result<Option<Self>, Error> {
        let Some(mut parts) = folder.load_checkpoint()? else { return Ok(None) };
        let mut part = |name: &str| (parts.remove(name), folder.path().join(name));
        let missing = |path| StoreError::Damaged { path, problem: "it is missing".into() };
        let (state, file) = part(STATE);
        let state = state.ok_or_else(|| missing(file.clone()))?;
        let state: State = toml_edit::de::from_str(&String::from_utf8_lossy(&state))
            .map_err(|error: toml_edit::de::Error| Error::file(&file, error.message()))?;
        if state.coefficients.len() != samples {
            let problem = format!(
                "has {} for {}",
                count(state.coefficients.len(), "coefficient"),
                count(samples, "training sample")
            );
            return Err(Error::file(file, problem));
        }
        let (weights, file) = part(WEIGHTS);
        let weights = weights.ok_or_else(|| missing(file.clone()))?;
        let network = Network::from_safetensors(weights, &file, device)?;
        let (coordinates, file) = part(COORDINATES);
        let read = |bytes: Vec<u8>| {
            read_npy(&bytes[..], bytes.len() as u64, COORDINATES).map_err(|error| Error::file(&file, error))
        };
        let coordinates: Option<Array2<f64>> = coordinates.map(read).transpose()?;
        if let Some(values) = coordinates.as_ref().filter(|values| values.nrows() != samples) {
            return Err(Error::file(
                file,
                format!("has {} for {}", count(values.nrows(), "row"), count(samples, "training sample")),
            ));
        }
        let coefficients = Array1::from_vec(state.coefficients);
        let State { step, linearised, records, .. } = state;
        Ok(Some(Self { step, network, coordinates, coefficients, linearised, records }))
    }
}
