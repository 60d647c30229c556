//! One writer at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// A file that its holder alone has, until it is dropped or the process ends, however it ends.
///
/// The file goes with its holder. That of a process that was killed stays, for nobody is left to remove it; nobody has
/// it then, and the next holder takes it away. It is the folder's own, never somebody else's.
///
/// Where a file system has no locks, nothing is refused.
#[derive(Debug)]
pub struct Lock {
    path: PathBuf,
    /// Closing it gives the lock back.
    _file: File,
}

impl Lock {
    /// Takes the lock at `path` on behalf of `owner`, which the refusal names.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] when another process has it; [`StoreError::Io`] when the file cannot be made.
    pub fn take(path: &Path, owner: &Path) -> Result<Self, StoreError> {
        Ok(Self { path: path.into(), _file: claim(path, owner)? })
    }

    /// Whether another process has the lock at `path` just now.
    pub fn is_taken(path: &Path) -> bool {
        let file = OpenOptions::new().write(true).open(path);
        file.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// The lock's file was moved along with its folder.
    pub(crate) fn moved(&mut self, path: PathBuf) {
        self.path = path;
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before the lock is given back: who finds the file gone makes another.
        let _ = fs::remove_file(&self.path);
    }
}

/// A new and empty file that is locked. One that a process left behind when it was ended is taken away first.
pub(crate) fn claim(path: &Path, owner: &Path) -> Result<File, StoreError> {
    let failed = |source: io::Error| StoreError::Io { path: owner.into(), source };
    // Each turn follows a change that another process made just then.
    for _ in 0..100 {
        match OpenOptions::new().read(true).write(true).create_new(true).open(path) {
            Ok(file) => match lock(&file, owner)? {
                () if is_at(&file, path) => return Ok(file),
                () => continue,
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(StoreError::Foreign { path: owner.into(), files: vec![path.into()] });
        }
        match OpenOptions::new().write(true).open(path) {
            Ok(file) => {
                lock(&file, owner)?;
                if is_at(&file, path) {
                    fs::remove_file(path).map_err(failed)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(StoreError::Locked { path: owner.into() })
}

fn lock(file: &File, owner: &Path) -> Result<(), StoreError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: owner.into() }),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(source)) => Err(StoreError::Io { path: owner.into(), source }),
    }
}

/// Whether this open file is still the one that the path leads to.
fn is_at(file: &File, path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let of = |found: io::Result<fs::Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
        of(file.metadata()) == of(fs::symlink_metadata(path))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let (path, owner) = (folder.path().join("lock"), Path::new("run"));
        assert!(!Lock::is_taken(&path));
        let first = Lock::take(&path, owner).unwrap();
        assert!(Lock::is_taken(&path));
        let refused = Lock::take(&path, owner).unwrap_err();
        assert_eq!(refused.to_string(), "run: is being written by another process");
        drop(first);
        assert!(!path.exists());
        // What a process left that was killed: a file that nobody has.
        fs::write(&path, "left").unwrap();
        assert!(!Lock::is_taken(&path));
        let again = Lock::take(&path, owner).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        drop(again);
        fs::create_dir(&path).unwrap();
        assert!(matches!(Lock::take(&path, owner), Err(StoreError::Foreign { .. })));
    }
}
