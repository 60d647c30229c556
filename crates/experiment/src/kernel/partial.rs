//! The finished row blocks of an unfinished job: the folder `FILE.npz.partial`. A job whose matrices go to a device or a
//! pipe is not resumed: its blocks are in a temporary folder.

use std::path::{Path, PathBuf};

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use widenet_store::{Checksum, Folder, StoreError, seal, unseal};

use crate::config::difference;
use crate::error::Error;
use crate::gram_file::Metadata;
use crate::kernel::tiling::Tiling;

/// The folder. `job.json` says what is computed and in which blocks; `KEY-BLOCK-COUNT.f64` holds a block's rows, the
/// sum over the first `COUNT` networks, as little-endian f64, after a line with checksums. This process alone writes it.
pub struct Partial {
    folder: Folder,
    job: Checksum,
    /// In which the folder is, if it goes when this does.
    #[expect(dead_code, reason = "held until the folder is not needed")]
    temporary: Option<TempDir>,
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

/// The end of a block's name.
const BLOCK: &str = ".f64";

impl Partial {
    /// The folder that belongs to a file.
    pub fn place(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".partial");
        name.into()
    }

    /// Whether there is an interrupted job at `path`.
    ///
    /// # Errors
    ///
    /// When there are blocks, and not the job that they are of.
    pub fn interrupted(path: &Path) -> Result<bool, StoreError> {
        match Folder::has_lost(path, JOB, |name| name.ends_with(BLOCK))? {
            true => Err(StoreError::Lost { path: path.join(JOB) }),
            false => Ok(path.join(JOB).is_file()),
        }
    }

    /// Starts a folder, in place of one that is there.
    pub fn create(path: &Path, job: &Job) -> Result<Self, Error> {
        let folder = Folder::open(path, JOB)?;
        folder.clear()?;
        let (text, sum) = sealed(job);
        folder.write(JOB, &text)?;
        Ok(Self { folder, job: sum, temporary: None })
    }

    /// Starts a folder that nothing is left of.
    pub fn temporary(job: &Job) -> Result<Self, Error> {
        let folder = tempfile::tempdir().or_else(|_| tempfile::tempdir_in("."));
        let folder = folder.map_err(|error| Error::file("a temporary folder", error))?;
        let partial = Self::create(&folder.path().join("partial"), job)?;
        Ok(Self { temporary: Some(folder), ..partial })
    }

    /// Opens the folder of an interrupted job and checks that it belongs to this one.
    pub fn resume(path: &Path, metadata: &Metadata) -> Result<(Self, Job), Error> {
        let folder = Folder::open(path, JOB)?;
        let file = path.join(JOB);
        let text = std::fs::read(&file).map_err(|error| Error::file(&file, error))?;
        let damaged = |problem: &str| StoreError::Damaged { path: file.clone(), problem: problem.into() };
        let Sealed { job, .. } = serde_json::from_slice(&text).map_err(|_| damaged("it is not a whole job"))?;
        let (same, sum) = sealed(&job);
        if text != same {
            return Err(damaged("its checksum is another").into());
        }
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
        Ok((Self { folder, job: sum, temporary: None }, job))
    }

    fn name(key: &str, block: usize, count: usize) -> String {
        format!("{key}-{block}-{count}{BLOCK}")
    }

    /// Whether a block holds the sum over so many networks, or more.
    pub fn has(&self, key: &str, block: usize, count: usize, networks: usize) -> bool {
        (count..=networks).any(|count| self.folder.path().join(Self::name(key, block, count)).exists())
    }

    /// Writes the sum over so many networks, then drops the one before.
    pub fn store(&self, key: &str, block: usize, count: usize, values: &Array2<f64>) -> Result<(), Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let name = Self::name(key, block, count);
        self.folder.write(&name, &seal(&name, self.job, &bytes))?;
        Ok(self.folder.remove(&Self::name(key, block, count - 1))?)
    }

    /// Reads the sum over so many networks.
    pub fn load(&self, key: &str, block: usize, count: usize, shape: (usize, usize)) -> Result<Array2<f64>, Error> {
        let name = Self::name(key, block, count);
        let file = self.folder.path().join(&name);
        let damaged = |problem: String| Error::file(&file, format!("damaged: {problem}; --force starts anew"));
        let bytes = std::fs::read(&file).map_err(|error| Error::file(&file, error))?;
        let bytes = unseal(&file, &name, self.job, &bytes)?;
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

    /// Removes what is left of a folder whose removal was cut short.
    pub fn remove_rest(path: &Path) -> Result<(), Error> {
        if !path.exists() {
            return Ok(());
        }
        match Folder::open(path, JOB).and_then(Folder::delete) {
            // Somebody else's.
            Err(StoreError::Foreign { .. }) => Ok(()),
            removed => Ok(removed?),
        }
    }

    /// Removes the folder: the job is done.
    pub fn remove(self) -> Result<(), Error> {
        Ok(self.folder.delete()?)
    }
}

/// What is in the job's file.
#[derive(Serialize, Deserialize)]
struct Sealed {
    sha256: String,
    job: Job,
}

/// The job's file and its checksum.
fn sealed(job: &Job) -> (Vec<u8>, Checksum) {
    let sum = Checksum::of(&serde_json::to_vec(job).expect("plain data"));
    let sealed = Sealed { sha256: sum.to_string(), job: job.clone() };
    let mut text = serde_json::to_vec(&sealed).expect("plain data");
    text.push(b'\n');
    (text, sum)
}
