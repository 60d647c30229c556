//! Why something was not read from disk or written to it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why something was not read from disk or written to it. One line each, which says what is wrong and no more: what to
/// do depends on the program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{}: is being written by another process", path.display())]
    Locked {
        /// The file or folder.
        path: PathBuf,
    },
    /// It is there already.
    #[error("{} exists", path.display())]
    Exists {
        /// The file or run folder.
        path: PathBuf,
    },
    /// A run that was started in place of another and never ended.
    #[error("{} holds an unfinished run", path.display())]
    Unfinished {
        /// Its folder.
        path: PathBuf,
    },
    /// There is nothing to go on with.
    #[error("{}: there is no run to resume here", path.display())]
    Nothing {
        /// Where one was sought.
        path: PathBuf,
    },
    /// A folder that was not made here.
    #[error("{}: is not a run folder: it holds what widenet did not write ({}), so it is left alone", path.display(), Names(files))]
    NotARun {
        /// The folder.
        path: PathBuf,
        /// What it holds, relative to it.
        files: Vec<PathBuf>,
    },
    /// A folder that was not made here, or holds what was not written here.
    #[error("{}: holds what widenet did not write ({}), so it is left alone", path.display(), Names(files))]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What it holds, relative to it.
        files: Vec<PathBuf>,
    },
    /// A folder that cannot be exchanged.
    #[error("{}: the program runs in this folder, so it is not replaced", path.display())]
    Here {
        /// The folder.
        path: PathBuf,
    },
    /// What is read is not what was written.
    #[error("{}: damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// What other files are parts of is not there, though they are.
    #[error("{}: is missing, though parts of what it was written for are there", path.display())]
    Lost {
        /// The file that is missing.
        path: PathBuf,
    },
    /// It was written under another configuration.
    #[error("{}: belongs to another configuration", path.display())]
    Other {
        /// The file.
        path: PathBuf,
    },
}

impl StoreError {
    /// What the system says of a path.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> StoreError {
        |source| StoreError::Io { path: path.into(), source }
    }

    pub(crate) fn damaged(path: &Path, problem: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: path.into(), problem: problem.into() }
    }
}

/// The first few of many names, fit for one line.
struct Names<'a>(&'a [PathBuf]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        const SHOWN: usize = 3;
        for (i, path) in self.0.iter().take(SHOWN).enumerate() {
            let name = path.to_string_lossy();
            let plain = name.chars().all(|c| !c.is_control());
            let comma = if i > 0 { ", " } else { "" };
            if plain { write!(f, "{comma}{name}")? } else { write!(f, "{comma}{name:?}")? }
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
