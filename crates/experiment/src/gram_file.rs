//! Saved kernel matrices: the npz file that `widenet kernel` writes.
//!
//! | key | shape | what |
//! |---|---|---|
//! | `limit` | `[n, n]` | the infinite-width kernel on the training samples |
//! | `limit_test` | `[m, n]` | the same, test samples against training samples |
//! | `width_256`, ... | `[n, n]` | the empirical kernel at this width, a mean over networks |
//! | `width_256_test`, ... | `[m, n]` | the same, test samples against training samples |
//! | `labels`, `labels_test` | `[n]`, `[m]` | the classes, -1 and +1 |
//! | `metadata` | bytes | a JSON document in UTF-8: [`Metadata`] |
//!
//! Numbers are f64. A matrix is there when it was asked for. In Python:
//! `json.loads(numpy.load(FILE)["metadata"].tobytes())`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Seek, Write};
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, ArrayView2, Dimension};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use widenet_model::{Architecture, Precision};
use widenet_store::arrays::{ArrayError, Element, NpzReader, NpzWriter};
use widenet_store::text::{one_line, quoted, shown};
use widenet_tangent::Method;

use crate::backend::Backend;
use crate::kernel::KernelKind;

/// What a saved kernel was computed from. It decides every number in the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// The version of the program.
    pub widenet: String,
    /// The architecture, as configured; `width_m` holds it at width `m`. As TOML text, whose numbers are read back
    /// exactly.
    #[serde(with = "toml_text")]
    pub architecture: Architecture,
    /// Which kernel.
    pub kind: KernelKind,
    /// Whether the limit is in the file.
    pub limit: bool,
    /// The widths whose empirical kernels are in the file.
    pub widths: Vec<usize>,
    /// The seed of the first network of every width; the next ones count up.
    pub seed: u64,
    /// Networks per width.
    pub samples: usize,
    /// Where the networks lived.
    pub backend: Backend,
    /// Their number format. The limit is always computed in f64.
    pub precision: Precision,
    /// How their kernels were computed.
    #[serde(default)]
    pub method: Method,
    /// The data set, as in a configuration.
    pub source: String,
    /// The two classes.
    pub classes: [u8; 2],
    /// Training samples, the first so many.
    pub n: usize,
    /// Test samples, the first so many; 0 without test matrices.
    pub test: usize,
    /// [`hash`] of the training samples.
    pub hash: String,
    /// [`hash`] of the test samples, if there are any.
    pub hash_test: Option<String>,
}

/// An architecture as TOML text inside JSON: serde_json reads 17 digits back only to within one unit in the last
/// place, and that is another architecture.
mod toml_text {
    use serde::{Deserialize, Deserializer, Serializer, de, ser};
    use widenet_model::Architecture;

    pub fn serialize<S: Serializer>(architecture: &Architecture, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&toml_edit::ser::to_string(architecture).map_err(ser::Error::custom)?)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Architecture, D::Error> {
        let text = String::deserialize(deserializer)?;
        toml_edit::de::from_str(&text).map_err(|error| de::Error::custom(error.message()))
    }
}

impl Metadata {
    /// The keys of the matrices on training samples.
    pub fn keys(&self) -> Vec<String> {
        let limit = self.limit.then(|| "limit".to_string());
        limit.into_iter().chain(self.widths.iter().map(|width| format!("width_{width}"))).collect()
    }
}

/// The 64-bit FNV-1a hash of samples: of the little-endian bytes of their f64 values, row by row, as 16 hexadecimal
/// digits. It tells data sets apart; it does not protect against intent.
pub fn hash(samples: ArrayView2<f64>) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in samples.iter().flat_map(|value| value.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    format!("{hash:016x}")
}

/// Why a saved kernel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GramFileError {
    /// The file cannot be opened.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is truncated, damaged, or no npz file.
    #[error("{}: not a whole npz file of widenet: {problem}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The file is another npz file.
    #[error("{}: holds no kernel of `widenet kernel`", path.display())]
    Other {
        /// The file.
        path: PathBuf,
    },
    /// An array is not there.
    #[error("{}: has no array {}", path.display(), quoted(key))]
    Missing {
        /// The file.
        path: PathBuf,
        /// The array's name.
        key: String,
    },
    /// An array has another shape than the metadata say.
    #[error("{}: {} is {found:?}, but the metadata say {expected:?}", path.display(), quoted(key))]
    Shape {
        /// The file.
        path: PathBuf,
        /// The array's name.
        key: String,
        /// Its shape.
        found: Vec<usize>,
        /// What it should be.
        expected: Vec<usize>,
    },
    /// The file belongs to other samples.
    #[error("{}: was computed on other samples ({found}, but these are {expected})", path.display())]
    OtherSamples {
        /// The file.
        path: PathBuf,
        /// Number and hash of the file's samples.
        found: String,
        /// Number and hash of the samples given.
        expected: String,
    },
}

/// A saved kernel, read whole.
#[derive(Clone, Debug)]
pub struct GramFile {
    path: PathBuf,
    /// What it was computed from.
    pub metadata: Metadata,
    /// The classes of the training samples.
    pub labels: Array1<f64>,
    /// The classes of the test samples, if there are any.
    pub labels_test: Option<Array1<f64>>,
    /// The matrices by key.
    pub matrices: BTreeMap<String, Array2<f64>>,
}

impl GramFile {
    /// Reads a file and checks that everything its metadata promise is there, in the right shape.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is damaged, or lacks something.
    pub fn read(path: &Path) -> Result<Self, GramFileError> {
        let mut arrays = Arrays::open(path)?;
        let other = || GramFileError::Other { path: path.into() };
        let text: Array1<u8> = match arrays.get("metadata", None) {
            Err(GramFileError::Missing { .. }) => return Err(other()),
            text => text?,
        };
        // Other files of this program have metadata that are no JSON.
        let metadata: Value = serde_json::from_slice(&text.to_vec()).map_err(|_| other())?;
        let metadata = Metadata::deserialize(metadata).map_err(|error| arrays.corrupt(error))?;
        let (n, m) = (metadata.n, metadata.test);
        let labels = arrays.get("labels", Some(&[n]))?;
        let labels_test = if m == 0 { None } else { Some(arrays.get("labels_test", Some(&[m]))?) };
        let mut matrices = BTreeMap::new();
        for key in metadata.keys() {
            if m > 0 {
                let key = test_key(&key);
                matrices.insert(key.clone(), arrays.get(&key, Some(&[m, n]))?);
            }
            let matrix = arrays.get(&key, Some(&[n, n]))?;
            matrices.insert(key, matrix);
        }
        Ok(Self { path: path.into(), metadata, labels, labels_test, matrices })
    }

    /// Checks that the file was computed on these training samples.
    ///
    /// # Errors
    ///
    /// [`GramFileError::OtherSamples`].
    pub fn check(&self, train: ArrayView2<f64>) -> Result<(), GramFileError> {
        self.same((self.metadata.n, &self.metadata.hash), train)
    }

    /// Checks that the file was computed on these test samples.
    ///
    /// # Errors
    ///
    /// [`GramFileError::OtherSamples`], also when the file has no test samples.
    pub fn check_test(&self, test: ArrayView2<f64>) -> Result<(), GramFileError> {
        self.same((self.metadata.test, self.metadata.hash_test.as_deref().unwrap_or("no hash")), test)
    }

    /// Takes a matrix out.
    ///
    /// # Errors
    ///
    /// [`GramFileError::Missing`].
    pub fn take(&mut self, key: &str) -> Result<Array2<f64>, GramFileError> {
        let missing = || GramFileError::Missing { path: self.path.clone(), key: key.into() };
        self.matrices.remove(key).ok_or_else(missing)
    }

    fn same(&self, (n, stored): (usize, &str), samples: ArrayView2<f64>) -> Result<(), GramFileError> {
        let given = hash(samples);
        if n == samples.nrows() && stored == given {
            return Ok(());
        }
        Err(GramFileError::OtherSamples {
            path: self.path.clone(),
            found: format!("{n} with hash {}", shown(stored)),
            expected: format!("{} with hash {given}", samples.nrows()),
        })
    }
}

/// The key of the matrix of test against training samples.
pub fn test_key(key: &str) -> String {
    format!("{key}_test")
}

/// An npz file being read.
struct Arrays {
    path: PathBuf,
    npz: NpzReader<BufReader<File>>,
}

impl Arrays {
    fn open(path: &Path) -> Result<Self, GramFileError> {
        let file = File::open(path).map_err(|source| GramFileError::Open { path: path.into(), source })?;
        let npz = NpzReader::new(BufReader::new(file)).map_err(|error| corrupt(path, error))?;
        Ok(Self { path: path.into(), npz })
    }

    fn get<T: Element, D: Dimension>(
        &mut self,
        key: &str,
        shape: Option<&[usize]>,
    ) -> Result<ndarray::Array<T, D>, GramFileError> {
        let path = || self.path.clone();
        let failed = |error| match error {
            ArrayError::Missing(key) => GramFileError::Missing { path: path(), key },
            error => corrupt(&self.path, error),
        };
        let found = self.npz.shape(key).map_err(failed)?;
        match shape {
            Some(expected) if found != expected => {
                Err(GramFileError::Shape { path: path(), key: key.into(), found, expected: expected.to_vec() })
            }
            _ => self.npz.array(key).map_err(failed),
        }
    }

    fn corrupt(&self, problem: impl ToString) -> GramFileError {
        corrupt(&self.path, problem)
    }
}

fn corrupt(path: &Path, problem: impl ToString) -> GramFileError {
    GramFileError::Corrupt { path: path.into(), problem: one_line(&problem.to_string()) }
}

/// Writes a file array by array, so that one matrix at a time is in memory.
pub(crate) struct GramWriter<W: Write + Seek>(NpzWriter<W>);

impl<W: Write + Seek> GramWriter<W> {
    /// Starts with metadata and labels.
    pub fn new(
        writer: W,
        metadata: &Metadata,
        labels: &Array1<f64>,
        labels_test: Option<&Array1<f64>>,
    ) -> Result<Self, ArrayError> {
        let mut npz = NpzWriter::new(writer);
        let text = serde_json::to_vec(metadata).expect("plain data");
        npz.add("metadata", &Array1::from_vec(text))?;
        npz.add("labels", labels)?;
        if let Some(labels) = labels_test {
            npz.add("labels_test", labels)?;
        }
        Ok(Self(npz))
    }

    pub fn matrix(&mut self, key: &str, matrix: &Array2<f64>) -> Result<(), ArrayError> {
        self.0.add(key, matrix)
    }

    pub fn finish(self) -> Result<W, ArrayError> {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        // The published value for no bytes, and eight zero bytes multiplied by hand: offset * prime^8.
        assert_eq!(hash(Array2::zeros((0, 3)).view()), "cbf29ce484222325");
        let expected = (0..8).fold(0xcbf2_9ce4_8422_2325_u64, |hash, _| hash.wrapping_mul(0x0000_0100_0000_01b3));
        assert_eq!(hash(array![[0.0]].view()), format!("{expected:016x}"));
        assert_ne!(hash(array![[1.0, 2.0]].view()), hash(array![[2.0, 1.0]].view()));
    }
    #[test]
    fn an_architecture_is_read_back_exactly() {
        // A number that serde_json reads back one unit off.
        let text = "mlp = { hidden = [8], sigma_w = 0.45175395145262565 }";
        let config: widenet_model::ArchitectureConfig = toml_edit::de::from_str(text).unwrap();
        let architecture = config.build(widenet_model::Shape::Image([1, 2, 2])).unwrap();
        let metadata = Metadata {
            widenet: "0".into(),
            architecture,
            kind: KernelKind::Ntk,
            limit: true,
            widths: vec![8],
            seed: 1,
            samples: 1,
            backend: Backend::Flex,
            precision: Precision::F64,
            method: Method::Auto,
            source: "mnist01".into(),
            classes: [0, 1],
            n: 1,
            test: 0,
            hash: String::new(),
            hash_test: None,
        };
        let text = serde_json::to_string(&metadata).unwrap();
        assert_eq!(serde_json::from_str::<Metadata>(&text).unwrap(), metadata);
    }
}
