//! The folder of a run, which is never overwritten by accident and replaced only when the new one is whole.
//!
//! A run that replaces another is made beside it: in `.NAME.new`, where its checkpoints are and where it is resumed.
//! When it is finished it takes the place, and the old one, `.NAME.old` for that moment, is removed. Until then nothing
//! is touched in it, nor is it locked: who writes the one beside has both, and whoever writes either looks at both.

mod site;

use std::fs;
use std::path::{Path, PathBuf};

use crate::checksum::{Checksum, read};
use crate::error::StoreError;
use crate::folder::{Folder, foreign_at, read_list};
use crate::write::rename;
use site::{Site, There};

/// What to do when the folder is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    #[default]
    Refuse,
    /// Go on where it stopped.
    Resume,
    /// Put the new run in its place.
    Replace,
}

/// What a run that ends early leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// What there is, to be resumed.
    Kept,
    /// Nothing.
    Removed,
}

/// The file that marks a folder as a run folder: the run's configuration.
const CONFIG: &str = "config.toml";

/// The file that marks a run as finished. It is the last to be written.
const RESULTS: &str = "results.json";

/// The folder of a run, while it is written. No other process writes it.
#[derive(Debug)]
pub struct RunFolder {
    folder: Folder,
    site: Site,
    configuration: String,
    early: Early,
}

impl Existing {
    /// Go on with the run at `path`, or start one where there is none.
    pub fn resume_or_start(path: &Path) -> Self {
        let resumes = Site::of(path).is_ok_and(|site| site.check(Existing::Resume).is_ok());
        if resumes { Existing::Resume } else { Existing::Refuse }
    }
}

impl RunFolder {
    /// Checks that a run may be written to `path`, without touching anything. An empty folder is as good as none.
    ///
    /// # Errors
    ///
    /// When there is a run that may not be replaced or resumed; when there is nothing to resume; when there is
    /// something that is not a run folder, or holds what widenet did not write and would have to be removed.
    pub fn check(path: &Path, existing: Existing) -> Result<(), StoreError> {
        Site::of(path)?.check(existing)
    }

    /// The folder of the run that [`Existing::Resume`] goes on with at `path`.
    ///
    /// # Errors
    ///
    /// When the path is a link to nothing.
    pub fn to_resume(path: &Path) -> Result<PathBuf, StoreError> {
        let site = Site::of(path)?;
        let beside = There::at(&site.new)? == There::Run;
        Ok(if beside {
            site.new
        } else if site.is_half_swapped() {
            site.old
        } else {
            site.place
        })
    }

    /// Opens the folder, or makes one. The configuration is written down, and marks it as a run folder; see
    /// [`RunFolder::read_config`] for whether a run to be resumed has the same.
    ///
    /// # Errors
    ///
    /// As for [`RunFolder::check`], when another process writes it, and when the folder cannot be written to.
    pub fn create(path: &Path, existing: Existing, configuration: &str, early: Early) -> Result<Self, StoreError> {
        let site = Site::of(path)?;
        site.check(existing)?;
        let open = |path: &Path| Folder::open(path, CONFIG);
        // Whoever comes second of two that write either folder sees that the first one does.
        let alone = |other: &Path| match Folder::is_written(other) {
            true => Err(StoreError::Locked { path: site.place.clone() }),
            false => Ok(()),
        };
        let beside = site.new.exists().then(|| open(&site.new)).transpose()?;
        if site.old.exists() {
            drop(beside);
            site.settle()?;
            return Self::create(path, existing, configuration, early);
        }
        let beside_is_run = There::at(&site.new)? == There::Run;
        let folder = match (There::at(&site.place)?, existing, beside) {
            (_, Existing::Resume, Some(beside)) if beside_is_run => {
                alone(&site.place)?;
                beside
            }
            (There::Run | There::Lost, Existing::Replace, beside) => {
                let new = beside.map_or_else(|| open(&site.new), Ok)?;
                alone(&site.place)?;
                new.clear()?;
                // What others may see of it, they may see of the new one, from now on.
                copy_mode(&site.place, &site.new)?;
                new
            }
            (there, _, beside) => {
                beside.map_or(Ok(()), Folder::delete)?;
                let folder = open(&site.place)?;
                alone(&site.new)?;
                if there == There::Nothing {
                    // Another process may have been there between the look and the lock.
                    match There::at(&site.place)? {
                        There::Nothing => folder.clear()?,
                        there => site.check_found(there, existing)?,
                    }
                }
                folder
            }
        };
        let run = Self { folder, site, configuration: configuration.into(), early };
        // A run that cannot be resumed is none before it is finished.
        if early == Early::Kept && !run.folder.path().join(CONFIG).is_file() {
            run.write_config()?;
        }
        Ok(run)
    }

    fn write_config(&self) -> Result<(), StoreError> {
        self.folder.write(CONFIG, self.configuration.as_bytes())
    }

    /// Where it is written: its place, or beside it while it replaces another run.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where it will be when it is finished.
    pub fn place(&self) -> &Path {
        &self.site.place
    }

    /// The checksum of its configuration.
    pub fn configuration(&self) -> Checksum {
        Checksum::of(self.configuration.as_bytes())
    }

    /// What is written in it.
    pub fn files(&self) -> &Folder {
        &self.folder
    }

    /// Reads the configuration a run was started with.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read_config(path: &Path) -> Result<String, StoreError> {
        let file = path.join(CONFIG);
        fs::read_to_string(&file).map_err(StoreError::io(file))
    }

    /// The results of a run that is finished.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn read_results(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        read(&path.join(RESULTS))
    }

    /// Writes a file whole.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.folder.write(name, bytes)
    }

    /// Ends the run: its results are written, which marks it as finished, what only an unfinished run needs is removed,
    /// and it takes its place.
    ///
    /// # Errors
    ///
    /// When a file cannot be written, or the run that it replaces has got files since that widenet did not write.
    pub fn finish(mut self, results: &[u8]) -> Result<(), StoreError> {
        if self.early == Early::Removed {
            self.write_config()?;
        }
        self.folder.write(RESULTS, results)?;
        self.early = Early::Kept;
        self.settle()
    }

    /// The same for a run whose results were written before it was stopped.
    ///
    /// # Errors
    ///
    /// As for [`RunFolder::finish`].
    pub fn settle(mut self) -> Result<(), StoreError> {
        crate::checkpoint::remove(&self.folder)?;
        self.folder.settle()?;
        let Site { place, new, old } = &self.site;
        if self.folder.path() != new {
            return Ok(());
        }
        let replaces = place.exists();
        if replaces {
            // What was put there while this run went on.
            let files = foreign_at(place)?;
            if !files.is_empty() {
                return Err(StoreError::Foreign { path: place.clone(), files });
            }
            read_list(place)?.iter().try_for_each(|name| copy_mode(&place.join(name), &new.join(name)))?;
            rename(place, old).map_err(StoreError::io(place))?;
        }
        rename(new, place).map_err(StoreError::io(place))?;
        self.folder.moved(place.clone());
        if replaces { Folder::open(old, CONFIG)?.delete() } else { Ok(()) }
    }
}

/// Gives a file or a folder the mode of another, if both are there.
fn copy_mode(from: &Path, to: &Path) -> Result<(), StoreError> {
    let (Ok(from), Ok(found)) = (fs::metadata(from), fs::metadata(to)) else { return Ok(()) };
    match from.permissions() == found.permissions() {
        true => Ok(()),
        false => fs::set_permissions(to, from.permissions()).map_err(StoreError::io(to)),
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.early == Early::Removed {
            let _ = self.folder.take_away();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(path: &Path, existing: Existing) -> Result<RunFolder, StoreError> {
        RunFolder::create(path, existing, "", Early::Kept)
    }

    #[test]
    fn a_run_that_is_written_is_told_as_such() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        let told = |existing| RunFolder::check(&path, existing).unwrap_err().to_string();
        let run = create(&path, Existing::Refuse).unwrap();
        for existing in [Existing::Refuse, Existing::Resume, Existing::Replace] {
            assert_eq!(told(existing), format!("{}: is being written by another process", path.display()));
        }
        run.finish(b"1").unwrap();
        assert_eq!(told(Existing::Refuse), format!("{} exists", path.display()));
        let _new = create(&path, Existing::Replace).unwrap();
        assert!(told(Existing::Refuse).ends_with("is being written by another process"));
    }

    #[test]
    fn what_lies_beside_and_is_not_ours_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        create(&path, Existing::Refuse).unwrap().finish(b"1").unwrap();
        for beside in [".run.old", ".run.new"] {
            fs::create_dir(root.path().join(beside)).unwrap();
            fs::write(root.path().join(beside).join("mine"), "").unwrap();
            let error = create(&path, Existing::Replace).unwrap_err().to_string();
            assert!(error.contains(&format!("{beside}: holds what widenet did not write (mine)")), "{error}");
            fs::remove_dir_all(root.path().join(beside)).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_new_run_has_the_modes_and_the_link_of_the_old() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        create(&path, Existing::Refuse).unwrap().finish(b"1").unwrap();
        let results = path.join(RESULTS);
        for (path, mode) in [(&path, 0o700), (&results, 0o600)] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink("run", root.path().join("link")).unwrap();
        create(&root.path().join("link/"), Existing::Replace).unwrap().finish(b"2").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((fs::read(&results).unwrap(), mode(&path), mode(&results)), (b"2".to_vec(), 0o700, 0o600));
        assert!(root.path().join("link").is_symlink());
    }

    #[test]
    fn a_run_that_lost_its_configuration_is_neither_gone_on_with_nor_removed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        let lost = |existing| match create(&path, existing) {
            Err(StoreError::Lost { path }) => path.strip_prefix(root.path()).unwrap().to_path_buf(),
            other => panic!("{other:?}"),
        };
        let part =
            |run: &RunFolder| run.parts().part("a", || Ok::<_, StoreError>([("x".to_string(), 1)].into())).unwrap();
        let _: std::collections::BTreeMap<String, i32> = part(&create(&path, Existing::Refuse).unwrap());
        fs::remove_file(path.join(CONFIG)).unwrap();
        for existing in [Existing::Refuse, Existing::Resume] {
            assert_eq!(lost(existing), Path::new("run/config.toml"));
        }
        // What replaces it is made beside it, as beside any run, and may lose its own.
        let _: std::collections::BTreeMap<String, i32> = part(&create(&path, Existing::Replace).unwrap());
        assert!(path.join("parts/a.toml").exists());
        drop(create(&path, Existing::Resume).unwrap());
        fs::remove_file(root.path().join(".run.new/config.toml")).unwrap();
        for existing in [Existing::Refuse, Existing::Resume] {
            assert_eq!(lost(existing), Path::new(".run.new/config.toml"));
        }
        create(&path, Existing::Replace).unwrap().finish(b"1").unwrap();
        // So may a finished run.
        fs::remove_file(path.join(CONFIG)).unwrap();
        assert_eq!(lost(Existing::Refuse), Path::new("run/config.toml"));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_checkpoint_that_lost_its_pointer_is_missed() {
        let root = tempfile::tempdir().unwrap();
        let run = create(&root.path().join("run"), Existing::Refuse).unwrap();
        let pointer = run.path().join("checkpoint.toml");
        // Before the first there is a pointer to none, beside which parts may be left by a process that was killed.
        run.save_checkpoint(&[("a", b"1")]).unwrap();
        run.save_checkpoint(&[("a", b"2")]).unwrap();
        assert_eq!(run.load_checkpoint().unwrap().unwrap()["a"], b"2");
        let kept = fs::read(&pointer).unwrap();
        fs::remove_file(&pointer).unwrap();
        let lost = run.load_checkpoint();
        assert!(matches!(lost, Err(StoreError::Lost { ref path }) if *path == pointer), "{lost:?}");
        fs::write(&pointer, kept).unwrap();
        assert_eq!(run.load_checkpoint().unwrap().unwrap()["a"], b"2");
    }

    #[test]
    fn the_old_run_is_not_touched_before_the_new_one_is_whole() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        let run = create(&path, Existing::Refuse).unwrap();
        ["z", "a"].iter().for_each(|name| run.write(name, b"1").unwrap());
        run.save_checkpoint(&[("part", b"1")]).unwrap();
        run.finish(b"1").unwrap();
        let list = || fs::read_to_string(path.join("manifest.txt")).unwrap();
        assert!(list().ends_with("\na\nconfig.toml\nresults.json\nz\n"), "{}", list());
        // As lists of older runs were.
        let unsorted = list().replace("\na\n", "\n") + "a\n";
        fs::write(path.join("manifest.txt"), &unsorted).unwrap();
        let new = create(&path, Existing::Replace).unwrap();
        new.write("b", b"2").unwrap();
        let names = || {
            let mut names: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(
            (list(), names()),
            (unsorted, ["a", "config.toml", "manifest.txt", "results.json", "z"].map(Into::into).to_vec())
        );
        new.finish(b"2").unwrap();
        assert_eq!(names(), ["b", "config.toml", "manifest.txt", "results.json"]);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_run_that_wrote_nothing_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("above/run");
        drop(create(&path, Existing::Refuse).unwrap());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        create(&path, Existing::Refuse).unwrap().finish(b"1").unwrap();
        drop(create(&path, Existing::Replace).unwrap());
        assert_eq!(fs::read_dir(root.path().join("above")).unwrap().count(), 1);
    }
}
