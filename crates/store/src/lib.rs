//! How widenet keeps things on disk: whole files, locks, checksums, run folders, parts, arrays.
//!
//! - [`write`]: a file is there whole or not at all.
//! - [`arrays`]: numpy's `.npy` and `.npz`, whose sizes are checked before anything is allocated.
//! - [`memory`]: how much there is.
//! - [`text`]: text from files, made fit to be shown.

pub mod arrays;
pub mod memory;
pub mod text;
pub mod write;
