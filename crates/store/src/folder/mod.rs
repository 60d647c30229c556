//! A folder that one process writes, and that knows what was written in it.

mod list;

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use crate::checksum::read;
use crate::error::StoreError;
use crate::lock::Lock;
use crate::write::{partial_of, rename, sync_folder, write_whole, write_with};
use list::{LIST, LIST_HEAD, LOCK, entries, foreign, is_whole, name_of, remove_known, walk};
pub(crate) use list::{foreign_at, is_listed, read_list};

/// A folder that this process alone writes, until it is dropped. Files in it appear whole or not at all, and each is on
/// the folder's list, so that nobody else's is ever removed.
///
/// Its head is the file that says what the folder is. It is written before all others, and they are nothing without it:
/// a folder that holds its head alone when it is dropped is removed, and one that has others alone [has lost
/// it](Folder::has_lost).
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    head: &'static str,
    /// None when the folder was removed.
    lock: Option<Lock>,
    list: Mutex<BTreeSet<String>>,
    /// The folders that were made for it, itself first; they are removed with it.
    made: Vec<PathBuf>,
}

impl Folder {
    /// Opens a folder for writing, or makes one.
    ///
    /// # Errors
    ///
    /// When another process writes it, it holds files and no list of them, or it cannot be written to.
    pub fn open(path: &Path, head: &'static str) -> Result<Self, StoreError> {
        if !is_listed(path) {
            let files = foreign_at(path)?;
            if !files.is_empty() {
                return Err(StoreError::Foreign { path: path.into(), files });
            }
        }
        // An empty folder that was there before is somebody's.
        let is_new = |folder: &&Path| !folder.exists() || *folder == path && is_listed(path);
        let named = path.ancestors().filter(|folder| !folder.as_os_str().is_empty());
        let made = named.take_while(is_new).map(Path::to_path_buf).collect();
        fs::create_dir_all(path).map_err(StoreError::io(path))?;
        let lock = Some(Lock::take(&path.join(LOCK), path)?);
        let folder = Self { path: path.into(), head, lock, list: Mutex::new(read_list(path)?), made };
        if !is_whole(path)? {
            folder.rewrite_list()?;
        }
        Ok(folder)
    }

    /// Whether a folder has parts of what its head is of, and not its head. A process that was ended never leaves that.
    ///
    /// # Errors
    ///
    /// When its list cannot be read.
    pub fn has_lost(path: &Path, head: &str, is_part: impl Fn(&str) -> bool) -> Result<bool, StoreError> {
        let head = path.join(head);
        if head.exists() || partial_of(&head).exists() {
            return Ok(false);
        }
        Ok(read_list(path)?.iter().any(|name| is_part(name) && path.join(name).exists()))
    }

    /// Whether another process writes the folder just now.
    pub fn is_written(path: &Path) -> bool {
        Lock::is_taken(&path.join(LOCK))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file whole; `name` may be a path below the folder, with `/` between its parts.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        write_whole(&self.prepare(name)?, bytes)
    }

    /// [`Folder::write`] for what is too large to be held in memory.
    ///
    /// # Errors
    ///
    /// As for [`Folder::write`], and what `fill` says.
    pub fn write_with<T, E: From<StoreError>>(
        &self,
        name: &str,
        fill: impl FnOnce(&mut File) -> Result<T, E>,
    ) -> Result<T, E> {
        write_with(&self.prepare(name)?, fill)
    }

    /// Says that folders with a list of their own may lie below this one.
    ///
    /// # Errors
    ///
    /// When the list cannot be written.
    pub fn hold_folders(&self, name: &str) -> Result<(), StoreError> {
        self.enter(&format!("{name}/"))
    }

    /// Removes a file or a folder of files of this folder, if it is there.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path.join(name);
        let found = match fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(StoreError::io(path)(error)),
        };
        if found.is_dir() {
            let list = self.list().clone();
            remove_known(&path, &format!("{name}/"), &list)
        } else {
            fs::remove_file(&path).map_err(StoreError::io(path))
        }
    }

    /// What the folder holds that is not on its list.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn foreign(&self) -> Result<Vec<PathBuf>, StoreError> {
        foreign(&self.path, &self.list())
    }

    /// Removes everything in it. Until all else is gone the head has the name of a file that is half written: what is
    /// half removed is neither whole nor has it lost its head.
    ///
    /// # Errors
    ///
    /// [`StoreError::Foreign`] when it holds anything that is not on its list: then nothing is removed.
    pub fn clear(&self) -> Result<(), StoreError> {
        let foreign = self.foreign()?;
        if !foreign.is_empty() {
            return Err(StoreError::Foreign { path: self.path.clone(), files: foreign });
        }
        let head = self.path.join(self.head);
        let going = partial_of(&head);
        if head.exists() {
            rename(&head, &going).map_err(StoreError::io(&head))?;
        }
        let list = self.list().clone();
        for entry in entries(&self.path)? {
            let (name, path) = (name_of(&entry), entry.path());
            if name == LIST || name == LOCK || path == going {
                continue;
            }
            match entry.file_type().map_err(StoreError::io(&path))?.is_dir() {
                true => remove_known(&path, &format!("{name}/"), &list)?,
                false => fs::remove_file(&path).map_err(StoreError::io(&path))?,
            }
        }
        if going.exists() {
            fs::remove_file(&going).map_err(StoreError::io(&going))?;
        }
        self.list().clear();
        self.rewrite_list()
    }

    /// Removes the folder with everything in it.
    ///
    /// # Errors
    ///
    /// As for [`Folder::clear`].
    pub fn delete(mut self) -> Result<(), StoreError> {
        if self.made.is_empty() {
            self.made.push(self.path.clone());
        }
        self.take_away()
    }

    /// Removes everything in it, and the folder if it was made here.
    pub(crate) fn take_away(&mut self) -> Result<(), StoreError> {
        self.clear()?;
        fs::remove_file(self.path.join(LIST)).map_err(StoreError::io(&self.path))?;
        self.lock = None;
        for folder in &self.made {
            match fs::remove_dir(folder) {
                // Another process came in just then: the folder is its own now.
                Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => {
                    break;
                }
                removed => removed.map_err(StoreError::io(folder))?,
            }
        }
        Ok(())
    }

    /// Takes from the list what is not there: it tells what the folder holds, whatever lay in it on the way.
    pub(crate) fn settle(&self) -> Result<(), StoreError> {
        self.list().retain(|name| self.path.join(name).symlink_metadata().is_ok());
        self.rewrite_list()
    }

    /// Whether there is nothing in it but its head and rests of half written files.
    fn is_idle(&self) -> bool {
        let own = [self.head, LIST, LOCK].map(|name| self.path.join(name));
        let is_rest = |path: &Path| path.extension().is_some_and(|extension| extension == "partial");
        let mut idle = true;
        let walked = walk(&self.path, "", &self.list(), &mut |path, known| {
            idle &= known && (path.is_dir() || is_rest(path) || own.iter().any(|own| own == path));
            Ok(())
        });
        walked.is_ok() && idle
    }

    /// The folder was renamed.
    pub(crate) fn moved(&mut self, path: PathBuf) {
        self.lock.iter_mut().for_each(|lock| lock.moved(path.join(LOCK)));
        self.made.clear();
        self.path = path;
    }

    /// Puts a file on the list and makes the folders it lies in.
    fn prepare(&self, name: &str) -> Result<PathBuf, StoreError> {
        self.enter(name)?;
        let path = self.path.join(name);
        if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
            fs::create_dir_all(parent).map_err(StoreError::io(parent))?;
            sync_folder(&self.path).map_err(StoreError::io(&self.path))?;
        }
        Ok(path)
    }

    fn enter(&self, name: &str) -> Result<(), StoreError> {
        let mut list = self.list();
        if list.contains(name) {
            return Ok(());
        }
        let path = self.path.join(LIST);
        let append = || {
            let mut file = OpenOptions::new().append(true).open(&path)?;
            file.write_all(format!("{name}\n").as_bytes())?;
            file.sync_data()
        };
        append().map_err(StoreError::io(&path))?;
        list.insert(name.into());
        Ok(())
    }

    /// Writes the list whole and in order, if it is not.
    fn rewrite_list(&self) -> Result<(), StoreError> {
        let lines: String = self.list().iter().map(|name| format!("{name}\n")).collect();
        let (path, text) = (self.path.join(LIST), format!("{LIST_HEAD}{lines}"));
        if read(&path)?.is_some_and(|found| found == text.as_bytes()) {
            return Ok(());
        }
        write_whole(&path, text.as_bytes())
    }

    fn list(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.list.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.lock.is_some() && self.is_idle() {
            let _ = self.take_away();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[PathBuf]) -> Vec<&str> {
        paths.iter().map(|path| path.to_str().unwrap()).collect()
    }

    #[test]
    fn what_was_not_written_here_is_never_removed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        let folder = Folder::open(&path, "a").unwrap();
        assert!(matches!(Folder::open(&path, "a"), Err(StoreError::Locked { .. })));
        folder.write("a", b"1").unwrap();
        folder.write("plots/gap.svg", b"2").unwrap();
        folder.hold_folders("runs").unwrap();
        Folder::open(&path.join("runs/first"), "c").unwrap().write("b", b"3").unwrap();
        // Rests of processes that were killed.
        fs::write(path.join("plots/.gap.svg.partial"), "").unwrap();
        fs::write(path.join(".manifest.txt.partial"), "").unwrap();
        assert_eq!(files(&folder.foreign().unwrap()), [""; 0]);
        for name in ["mine", "plots/mine.png", "runs/first/mine", "runs/.b.partial"] {
            fs::write(path.join(name), "").unwrap();
        }
        fs::create_dir(path.join("other")).unwrap();
        Folder::open(&path.join("second"), "c").unwrap().write("d", b"4").unwrap();
        let mine = ["mine", "other", "plots/mine.png", "runs/.b.partial", "runs/first/mine", "second"];
        assert_eq!(files(&folder.foreign().unwrap()), mine);
        let error = folder.clear().unwrap_err().to_string();
        assert!(error.contains("(mine, other, plots/mine.png and 3 more)"), "{error}");
        assert!(path.join("a").exists());
        folder.remove("plots").unwrap();
        assert!(!path.join("plots/gap.svg").exists() && path.join("plots/mine.png").exists());
        for name in ["mine", "plots/mine.png", "runs/first/mine", "runs/.b.partial"] {
            fs::remove_file(path.join(name)).unwrap();
        }
        fs::remove_dir(path.join("other")).unwrap();
        Folder::open(&path.join("second"), "c").unwrap().delete().unwrap();
        // An empty folder that is on no list is still somebody's.
        fs::remove_dir(path.join("plots")).unwrap();
        folder.delete().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_list_of_others_is_none() {
        let root = tempfile::tempdir().unwrap();
        for text in ["data.csv\nmanifest.txt\n", "", "# What widenet wrote here.\ndata.csv\n"] {
            fs::write(root.path().join("data.csv"), "").unwrap();
            fs::write(root.path().join(LIST), text).unwrap();
            assert_eq!(files(&foreign_at(root.path()).unwrap()), ["data.csv", LIST]);
            assert!(matches!(Folder::open(root.path(), "a"), Err(StoreError::Foreign { .. })));
        }
    }

    #[test]
    fn a_list_that_was_cut_short_is_mended() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        Folder::open(&path, "head").unwrap().write("a", b"1").unwrap();
        fs::write(path.join(LIST), format!("{LIST_HEAD}a\nhalf")).unwrap();
        let folder = Folder::open(&path, "head").unwrap();
        folder.write("b", b"1").unwrap();
        drop(folder);
        assert_eq!(fs::read_to_string(path.join(LIST)).unwrap(), format!("{LIST_HEAD}a\nb\n"));
    }

    #[test]
    fn a_head_alone_is_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("above/run");
        let open = |path: &Path| Folder::open(path, "head").unwrap();
        let folder = open(&path);
        folder.write("head", b"1").unwrap();
        fs::write(path.join(".head.partial"), "").unwrap();
        drop(folder);
        assert!(!root.path().join("above").exists(), "nor are the folders that were made for it");
        // A folder that somebody made stays, and one with anything else in it.
        fs::create_dir_all(&path).unwrap();
        open(&path).write("head", b"1").unwrap();
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        open(&path).write("parts/a", b"1").unwrap();
        let has_lost = || Folder::has_lost(&path, "head", |name| name.starts_with("parts/")).unwrap();
        assert!(path.join("parts/a").exists() && has_lost());
        open(&path).write("head", b"1").unwrap();
        assert!(!has_lost());
        fs::rename(path.join("head"), path.join(".head.partial")).unwrap();
        assert!(!has_lost(), "what is half removed has lost nothing");
        open(&path).clear().unwrap();
        assert!(!path.exists());
    }
}
