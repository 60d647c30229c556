//! Arrays on disk: numpy's `.npy` and `.npz`.
//!
//! No size is believed. What a header promises is compared with the bytes that are there, and with the memory that is
//! free, before anything is allocated; packed data may not unfold to more than [`MOST_UNFOLDED`] times their size where
//! that is much.
//!
//! ```
//! use std::io::Cursor;
//!
//! use ndarray::{Array2, array};
//! use widenet_store::arrays::{NpzReader, NpzWriter};
//!
//! let mut npz = NpzWriter::new(Cursor::new(Vec::new()));
//! npz.add("gram", &array![[2.0, 0.5], [0.5, 1.0]])?;
//! let bytes = npz.finish()?;
//!
//! let gram: Array2<f64> = NpzReader::new(bytes)?.array("gram")?;
//! assert_eq!(gram[[1, 0]], 0.5);
//! # Ok::<(), widenet_store::arrays::ArrayError>(())
//! ```

mod element;
mod npy;
mod npz;

pub use element::Element;
pub use npy::{read_npy, write_npy};
pub use npz::{NpzReader, NpzWriter};

use crate::memory::MemoryError;
use crate::text::quoted;

/// Packed data that unfold to more than this times their size, and to more than [`UNFOLDED_FREELY`] bytes, are refused.
pub const MOST_UNFOLDED: u64 = 200;

/// So many bytes may be unfolded from as little as there is.
pub const UNFOLDED_FREELY: u64 = 64 << 20;

/// Why an array was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArrayError {
    /// The system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The file is no archive of arrays, or a damaged one.
    #[error("no npz file, or a damaged one: {0}")]
    Archive(String),
    /// An array is not there.
    #[error("has no array {}", quoted(.0))]
    Missing(String),
    /// The bytes are no array, or one that is not read here.
    #[error("array {}: {problem}", quoted(name))]
    Format {
        /// The array.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// An array promises another number of bytes than there are.
    #[error("array {}: shape {shape:?} of {kind} takes {needed} bytes, but {found} are there", quoted(name))]
    Size {
        /// The array.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its type of number, as numpy writes it.
        kind: String,
        /// The bytes that shape and type take.
        needed: u128,
        /// The bytes that are there.
        found: u64,
    },
    /// An array has another number of dimensions than wanted.
    #[error("array {}: shape {shape:?} has {} dimensions, but {wanted} are wanted", quoted(name), shape.len())]
    Dimensions {
        /// The array.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The dimensions wanted.
        wanted: usize,
    },
    /// A number is not one of those wanted.
    #[error("array {}: {value} of {kind} is not a number of {wanted}", quoted(name))]
    Value {
        /// The array.
        name: String,
        /// The number.
        value: String,
        /// Its type, as numpy writes it.
        kind: String,
        /// The type wanted.
        wanted: &'static str,
    },
    /// Packed data unfold to more than is believed.
    #[error(
        "array {}: {packed} packed bytes are said to hold {unpacked}, which is more than {MOST_UNFOLDED} times as much; if \
         that is meant, save it without compression",
        quoted(name)
    )]
    Unfolded {
        /// The array.
        name: String,
        /// Bytes in the file.
        packed: u64,
        /// Bytes they are said to hold.
        unpacked: u64,
    },
    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// Whether packed bytes are believed to hold so many.
pub fn unfolds(packed: u64, unpacked: u64) -> bool {
    unpacked <= believed(packed)
}

/// The most bytes that so many packed ones are believed to hold.
pub fn believed(packed: u64) -> u64 {
    UNFOLDED_FREELY.max(packed.saturating_mul(MOST_UNFOLDED))
}
