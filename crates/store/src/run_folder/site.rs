//! Where a run is, and what is there and beside it.

use std::path::{Path, PathBuf};

use super::{CONFIG, Existing, RESULTS};
use crate::error::StoreError;
use crate::folder::{Folder, foreign_at, is_listed};
use crate::write::{folder_of, rename};

/// The place of a run, and what may lie beside it.
#[derive(Debug)]
pub(super) struct Site {
    pub place: PathBuf,
    pub new: PathBuf,
    pub old: PathBuf,
}

/// What is at the place of a run folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing, or the rest of a run that had not begun.
    Nothing,
    /// A run.
    Run,
    /// A run without its configuration.
    Lost,
    /// Anything else, which is never touched.
    Other,
}

/// Whether a file of a run, or a folder of runs, was written after the run's configuration.
fn is_part(name: &str) -> bool {
    name == RESULTS || name.ends_with('/') || crate::checkpoint::is_part(name) || crate::parts::is_part(name)
}

impl There {
    pub fn at(path: &Path) -> Result<Self, StoreError> {
        match is_listed(path) && path.join(CONFIG).is_file() {
            true => Ok(There::Run),
            false if !foreign_at(path)?.is_empty() => Ok(There::Other),
            false => Ok(if Folder::has_lost(path, CONFIG, is_part)? { There::Lost } else { There::Nothing }),
        }
    }
}

impl Site {
    pub fn of(path: &Path) -> Result<Self, StoreError> {
        // Without a `/` at the end, which would hide that it is a link.
        let plain: PathBuf = path.components().collect();
        let place = match plain.is_symlink() || plain.file_name().is_none() {
            true => plain.canonicalize().map_err(StoreError::io(path))?,
            false => plain,
        };
        let name = place.file_name().unwrap_or_default().to_os_string();
        let beside = |end: &str| {
            let mut hidden = std::ffi::OsString::from(".");
            hidden.push(&name);
            hidden.push(end);
            folder_of(&place).join(hidden)
        };
        Ok(Self { new: beside(".new"), old: beside(".old"), place })
    }

    /// Whether a run was put in another's place but for the last steps.
    pub fn is_half_swapped(&self) -> bool {
        !self.place.exists() && self.old.exists()
    }

    pub fn check(&self, existing: Existing) -> Result<(), StoreError> {
        let there = There::at(&self.place)?;
        self.check_unwritten()?;
        self.check_found(there, existing)
    }

    /// Refuses what another process writes just now, and what is in the way of a run that replaces another.
    fn check_unwritten(&self) -> Result<(), StoreError> {
        for path in [&self.new, &self.old, &self.place] {
            if Folder::is_written(path) {
                return Err(StoreError::Locked { path: self.place.clone() });
            }
            if path != &self.place && There::at(path)? == There::Other {
                return Err(StoreError::Foreign { path: path.clone(), files: foreign_at(path)? });
            }
        }
        Ok(())
    }

    pub fn check_found(&self, there: There, existing: Existing) -> Result<(), StoreError> {
        if self.is_half_swapped() {
            return match existing {
                Existing::Refuse => Err(StoreError::Unfinished { path: self.new.clone() }),
                Existing::Resume | Existing::Replace => Ok(()),
            };
        }
        let beside = There::at(&self.new)?;
        match (there, existing) {
            (There::Other, _) => Err(StoreError::NotARun { path: self.place.clone(), files: foreign_at(&self.place)? }),
            (_, Existing::Refuse | Existing::Resume) if beside == There::Lost => {
                Err(StoreError::Lost { path: self.new.join(CONFIG) })
            }
            (There::Nothing, Existing::Resume) if beside != There::Run => {
                Err(StoreError::Nothing { path: self.place.clone() })
            }
            (There::Nothing, Existing::Refuse) if beside == There::Run => {
                Err(StoreError::Unfinished { path: self.new.clone() })
            }
            (There::Run, Existing::Refuse) => Err(StoreError::Exists { path: self.place.clone() }),
            (There::Lost, Existing::Refuse | Existing::Resume) if beside != There::Run => {
                Err(StoreError::Lost { path: self.place.join(CONFIG) })
            }
            (There::Run | There::Lost, Existing::Replace) => {
                self.check_elsewhere()?;
                let files = foreign_at(&self.place)?;
                if files.is_empty() { Ok(()) } else { Err(StoreError::Foreign { path: self.place.clone(), files }) }
            }
            _ => Ok(()),
        }
    }

    /// The program's own folder, or one that it lies in, cannot be exchanged.
    fn check_elsewhere(&self) -> Result<(), StoreError> {
        let (here, place) = (std::env::current_dir(), self.place.canonicalize());
        match (here, place) {
            (Ok(here), Ok(place)) if here.starts_with(&place) => Err(StoreError::Here { path: self.place.clone() }),
            _ => Ok(()),
        }
    }

    /// Ends a swap that was cut short: a finished run goes to its place, and what it replaced is removed.
    pub fn settle(&self) -> Result<(), StoreError> {
        if !self.place.exists() {
            let finished = self.new.join(RESULTS).is_file();
            let from = if finished { &self.new } else { &self.old };
            rename(from, &self.place).map_err(StoreError::io(&self.place))?;
            if !finished {
                return Ok(());
            }
        }
        Folder::open(&self.old, CONFIG)?.delete()
    }
}
