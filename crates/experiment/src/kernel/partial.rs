//! The finished row blocks of an unfinished job: the folder `FILE.npz.partial`.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::config::difference;
use crate::error::Error;
use crate::gram_file::Metadata;
use crate::kernel::tiling::Tiling;
use crate::run_folder::write_whole;

/// The folder. `job.json` says what is computed and in which blocks; `KEY-BLOCK-COUNT.f64` holds a block's rows, the
/// sum over the first `COUNT` networks, as little-endian f64.
pub struct Partial {
    path: PathBuf,
}

/// What a partial belongs to, and how it is cut.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The job's fingerprint.
    pub metadata: Metadata,
    /// How the limit is cut.
    pub limit: Option<Tiling>,
    /// How the empirical kernels are cut, by width.
    pub widths: Vec<Tiling>,
}

const JOB: &str = "job.json";

impl Partial {
    /// The folder that belongs to a file.
    pub fn place(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".partial");
        name.into()
    }

    /// Whether there is an interrupted job at `path`.
    pub fn interrupted(path: &Path) -> bool {
        path.join(JOB).is_file()
    }

    /// Starts a folder, in place of one that is there.
    pub fn create(path: PathBuf, job: &Job) -> Result<Self, Error> {
        let failed = |error: std::io::Error| Error::file(&path, error);
        // Only what this program made is removed, or an empty folder.
        if Self::interrupted(&path) {
            std::fs::remove_dir_all(&path).map_err(failed)?;
        } else if path.exists() && std::fs::remove_dir(&path).is_err() {
            return Err(Error::file(&path, "is not an interrupted job (it has no job.json), so it is left alone"));
        }
        std::fs::create_dir(&path).map_err(failed)?;
        write_whole(&path.join(JOB), &serde_json::to_vec_pretty(job).expect("plain data"))?;
        Ok(Self { path })
    }

    /// Opens the folder of an interrupted job and checks that it belongs to this one.
    pub fn resume(path: PathBuf, metadata: &Metadata) -> Result<(Self, Job), Error> {
        let file = path.join(JOB);
        let text = std::fs::read(&file).map_err(|error| Error::file(&file, error))?;
        let job: Job = serde_json::from_slice(&text).map_err(|error| {
            Error::file(
                &file,
                format!("damaged: {}; --force starts anew", widenet_store::text::one_line(&error.to_string())),
            )
        })?;
        if job.metadata != *metadata {
            let difference = difference(&job.metadata, metadata);
            let difference = difference.as_deref().unwrap_or("see its job.json");
            let problem =
                format!("belongs to another job ({difference}); --force starts anew, --out names another file");
            return Err(Error::file(path, problem));
        }
        let tilings = job.limit.iter().chain(&job.widths);
        let whole = job.limit.is_some() == metadata.limit && job.widths.len() == metadata.widths.len();
        if !whole || tilings.clone().any(|tiling| tiling.rows == 0 || tiling.columns == 0) {
            return Err(Error::file(file, "damaged: its blocks make no sense; --force starts anew"));
        }
        Ok((Self { path }, job))
    }

    fn file(&self, key: &str, block: usize, count: usize) -> PathBuf {
        self.path.join(format!("{key}-{block}-{count}.f64"))
    }

    /// Whether a block holds the sum over so many networks, or more.
    pub fn has(&self, key: &str, block: usize, count: usize, networks: usize) -> bool {
        (count..=networks).any(|count| self.file(key, block, count).exists())
    }

    /// Writes the sum over so many networks, then drops the one before.
    pub fn store(&self, key: &str, block: usize, count: usize, values: &Array2<f64>) -> Result<(), Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        write_whole(&self.file(key, block, count), &bytes)?;
        let before = self.file(key, block, count - 1);
        match std::fs::remove_file(&before) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::file(before, error)),
            _ => Ok(()),
        }
    }

    /// Reads the sum over so many networks.
    pub fn load(&self, key: &str, block: usize, count: usize, shape: (usize, usize)) -> Result<Array2<f64>, Error> {
        let file = self.file(key, block, count);
        let damaged = |problem: String| Error::file(&file, format!("damaged: {problem}; --force starts anew"));
        let bytes = std::fs::read(&file).map_err(|error| Error::file(&file, error))?;
        let expected = 8 * shape.0 * shape.1;
        if bytes.len() != expected {
            return Err(damaged(format!("{} bytes instead of {expected}", bytes.len())));
        }
        let values: Vec<f64> = bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(damaged("not all of it is finite".into()));
        }
        Ok(Array2::from_shape_vec(shape, values).expect("the length was checked"))
    }

    /// Removes the folder: the job is done.
    pub fn remove(self) -> Result<(), Error> {
        std::fs::remove_dir_all(&self.path).map_err(|error| Error::file(&self.path, error))
    }
}
