//! How widenet keeps things on disk: whole files, locks, checksums, run folders, parts, arrays.
//!
//! Whatever happens while something is written, be it a full disk, a failing one, a signal or the end of the process,
//! what was there before is there still, or the new is there whole; and what is read is what was written.
//!
//! - [`mod@write`]: a file is there whole or not at all.
//! - [`lock`]: one writer at a time.
//! - [`checksum`]: whether what is read is what was written, and under which configuration.
//! - [`folder`]: a folder that one process writes, and that knows what was written in it.
//! - [`run_folder`]: the folder of a run: refused, resumed, or replaced when the new run is whole.
//! - [`checkpoint`]: a run on the way. [`parts`]: finished parts of a long computation.
//! - [`arrays`]: numpy's `.npy` and `.npz`, whose sizes are checked before anything is allocated.
//! - [`memory`]: how much there is.
//! - [`text`]: text from files, made fit to be shown; and [`numbers`].
//!
//! A run that is stopped and resumed:
//!
//! ```
//! use widenet_store::{Early, Existing, RunFolder, StoreError};
//!
//! # fn main() -> Result<(), StoreError> {
//! # let root = tempfile::tempdir().unwrap();
//! let path = root.path().join("run");
//! let configuration = "steps = 2\n";
//! let run = RunFolder::create(&path, Existing::Refuse, configuration, Early::Kept)?;
//! run.save_checkpoint(&[("state.toml", b"step = 1\n")])?;
//! // Nobody else writes it meanwhile.
//! let second = RunFolder::create(&path, Existing::Resume, configuration, Early::Kept);
//! assert!(matches!(second, Err(StoreError::Locked { .. })));
//! drop(run);
//!
//! let run = RunFolder::create(&path, Existing::Resume, configuration, Early::Kept)?;
//! let parts = run.load_checkpoint()?.unwrap();
//! assert_eq!(parts["state.toml"], b"step = 1\n");
//! run.write("dynamics.csv", b"step\n1\n2\n")?;
//! run.finish(b"{}\n")?;
//!
//! // It is there now, and not replaced by accident.
//! let again = RunFolder::create(&path, Existing::Refuse, configuration, Early::Kept);
//! assert!(matches!(again, Err(StoreError::Exists { .. })));
//! # Ok(())
//! # }
//! ```

pub mod arrays;
pub mod checkpoint;
pub mod checksum;
mod error;
pub mod folder;
pub mod lock;
pub mod memory;
pub mod numbers;
pub mod parts;
pub mod run_folder;
pub mod text;
pub mod write;

pub use checksum::{Checksum, seal, unseal};
pub use error::StoreError;
pub use folder::Folder;
pub use lock::Lock;
pub use parts::Parts;
pub use run_folder::{Early, Existing, RunFolder};
pub use write::{folder_of, is_stdout, is_stream, write_whole, write_with};
