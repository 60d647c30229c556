//! Saving a run on the way, and going on from there.

use std::path::Path;

use burn::tensor::Device;
use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};
use widenet_model::Network;
use widenet_store::arrays::{read_npy, write_npy};

use crate::error::Error;
use crate::run_folder::{RunFolder, write_whole};
use crate::train::linearised::Linearised;
use crate::train::record::Record;

const FOLDER: &str = "checkpoint";
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
        folder.write_folder(FOLDER, |path| {
            self.network.save(&path.join(WEIGHTS))?;
            if let Some(coordinates) = &self.coordinates {
                let mut bytes = Vec::new();
                write_npy(&mut bytes, coordinates).map_err(|error| Error::file(path, error))?;
                write_whole(&path.join(COORDINATES), &bytes)?;
            }
            // TOML rather than JSON: its numbers are read back exactly, so that a resumed run is the same run.
            let text = toml_edit::ser::to_string(&state).map_err(|error| Error::file(path, error))?;
            write_whole(&path.join(STATE), text.as_bytes())
        })
    }

    /// Reads the checkpoint of a run folder, if it has one. `samples` is the number of training samples.
    pub fn load(folder: &Path, samples: usize, device: &Device) -> Result<Option<Self>, Error> {
        let path = folder.join(FOLDER);
        if !path.exists() {
            return Ok(None);
        }
        let file = path.join(STATE);
        let text = std::fs::read_to_string(&file).map_err(|error| Error::file(&file, error))?;
        let state: State = toml_edit::de::from_str(&text)
            .map_err(|error: toml_edit::de::Error| Error::file(&file, error.message()))?;
        if state.coefficients.len() != samples {
            let problem = format!("has {} coefficients for {samples} training samples", state.coefficients.len());
            return Err(Error::file(file, problem));
        }
        let network = Network::load(&path.join(WEIGHTS), device)?;
        let coordinates = path.join(COORDINATES);
        let coordinates = match std::fs::read(&coordinates) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::file(coordinates, error)),
            Ok(bytes) => {
                let values: Array2<f64> = read_npy(&bytes[..], bytes.len() as u64, COORDINATES)
                    .map_err(|error| Error::file(&coordinates, error))?;
                if values.nrows() != samples {
                    let problem = format!("has {} rows for {samples} training samples", values.nrows());
                    return Err(Error::file(coordinates, problem));
                }
                Some(values)
            }
        };
        let coefficients = Array1::from_vec(state.coefficients);
        let State { step, linearised, records, .. } = state;
        Ok(Some(Self { step, network, coordinates, coefficients, linearised, records }))
    }
}
