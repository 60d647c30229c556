//! The folder of a run: written whole file by whole file, never overwritten by accident.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{difference, parse};
use crate::error::Error;

/// What to do when the folder is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    #[default]
    Refuse,
    /// Go on where it stopped.
    Resume,
    /// Remove it and start anew.
    Replace,
}

impl Existing {
    /// Go on with the run at `path`, or start one where there is none.
    pub fn resume_or_start(path: &Path) -> Self {
        if There::at(path) == There::Run { Existing::Resume } else { Existing::Refuse }
    }
}

/// What is at the place of a run folder.
#[derive(PartialEq)]
enum There {
    /// Nothing, or an empty folder.
    Nothing,
    /// A run folder.
    Run,
    /// Anything else, which is never touched.
    Other,
}

impl There {
    fn at(path: &Path) -> Self {
        let empty = std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        match path.join(CONFIG).is_file() {
            true => There::Run,
            false if empty || !path.exists() => There::Nothing,
            false => There::Other,
        }
    }
}

/// The folder of a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    path: PathBuf,
}

/// The file that marks a folder as a run folder.
const CONFIG: &str = "config.toml";

impl RunFolder {
    /// Checks that a run may be written to `path`, without touching anything. An empty folder is as good as none.
    ///
    /// # Errors
    ///
    /// When there is a run that may not be replaced or resumed; when there is nothing to resume; when there is
    /// something that is not a run folder.
    pub fn check(path: &Path, existing: Existing) -> Result<(), Error> {
        match (There::at(path), existing) {
            (There::Nothing, Existing::Resume) => Err(Error::file(path, "there is no run to resume here")),
            (There::Run, Existing::Refuse) => Err(Error::Exists { path: path.into() }),
            (There::Nothing | There::Run, _) => Ok(()),
            (There::Other, _) => {
                let problem = "is not a run folder (it has no config.toml), so it is left alone; --out names another";
                Err(Error::file(path, problem))
            }
        }
    }

    /// Checks that the run at `path` was started with this configuration.
    ///
    /// # Errors
    ///
    /// When it was started with another one, or its own cannot be read.
    pub fn check_config<T>(path: &Path, config: &T) -> Result<(), Error>
    where
        T: PartialEq + Serialize + DeserializeOwned,
    {
        let stored: T = parse(&Self::read_config(path)?, &path.join(CONFIG))?;
        if stored == *config {
            return Ok(());
        }
        let difference = difference(&stored, config);
        Err(Error::Setting(format!(
            "{} was started with another configuration ({}); --force replaces it, --out names another",
            path.display(),
            difference.as_deref().unwrap_or("see its config.toml")
        )))
    }

    /// Makes the folder, after [`RunFolder::check`].
    ///
    /// # Errors
    ///
    /// As for [`RunFolder::check`], and when the folder cannot be written to.
    pub fn create(path: &Path, existing: Existing) -> Result<Self, Error> {
        Self::check(path, existing)?;
        if existing == Existing::Replace && There::at(path) == There::Run {
            std::fs::remove_dir_all(path).map_err(|error| Error::file(path, error))?;
        }
        std::fs::create_dir_all(path).map_err(|error| Error::file(path, error))?;
        Ok(Self { path: path.into() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the configuration a run was started with.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn read_config(path: &Path) -> Result<String, Error> {
        let file = path.join(CONFIG);
        std::fs::read_to_string(&file).map_err(|error| Error::file(file, error))
    }

    /// Writes the configuration, which marks the folder as a run folder.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_config(&self, text: &str) -> Result<(), Error> {
        self.write(CONFIG, text.as_bytes())
    }

    /// Writes a file whole: under a temporary name first, then renamed.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        write_whole(&self.path.join(name), bytes)
    }

    /// Writes a JSON document whole, for people to read too.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn write_json(&self, name: &str, value: &serde_json::Value) -> Result<(), Error> {
        let mut bytes = serde_json::to_vec_pretty(value).expect("plain data");
        bytes.push(b'\n');
        self.write(name, &bytes)
    }

    /// Writes a file whole through a function that wants a path.
    ///
    /// # Errors
    ///
    /// When `fill` fails or the file cannot be written.
    pub fn write_through(&self, name: &str, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
        let temporary = tempfile::tempdir_in(&self.path).map_err(|error| Error::file(&self.path, error))?;
        let (from, to) = (temporary.path().join(name), self.path.join(name));
        fill(&from)?;
        std::fs::rename(from, &to).map_err(|error| Error::file(to, error))
    }

    /// Makes a folder inside whole: `fill` writes into a temporary one, which then takes the name.
    ///
    /// # Errors
    ///
    /// When `fill` fails or the folder cannot be written.
    pub fn write_folder(&self, name: &str, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
        let temporary = tempfile::tempdir_in(&self.path).map_err(|error| Error::file(&self.path, error))?;
        fill(temporary.path())?;
        let target = self.path.join(name);
        if target.exists() {
            std::fs::remove_dir_all(&target).map_err(|error| Error::file(&target, error))?;
        }
        // Past this point the folder belongs to the run, not to the temporary handle.
        std::fs::rename(temporary.keep(), &target).map_err(|error| Error::file(&target, error))
    }
}

/// Refuses to write a file that is there already.
///
/// # Errors
///
/// When it is, unless it may be replaced by `force`.
pub(crate) fn refuse_existing(path: &Path, force: bool) -> Result<(), Error> {
    if path.exists() && !force { Err(Error::exists(path)) } else { Ok(()) }
}

/// The folder that a file lies in, or would lie in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file whole: under a temporary name in the same folder first, then renamed.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |error: std::io::Error| Error::file(path, error);
    let mut file = tempfile::Builder::new().prefix(".partial-").tempfile_in(folder_of(path)).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Temporary files are private; results are for everybody who may enter the folder.
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644)).map_err(failed)?;
    }
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// What was computed under this name before, or now: a finished part of a long computation is never computed twice. It
/// lies in the folder `parts`.
///
/// TOML rather than JSON: its numbers are read back exactly, so that a resumed run gives the same results.
///
/// # Errors
///
/// When the part cannot be computed, read or written.
pub fn part<T: Serialize + DeserializeOwned>(
    folder: &Path,
    name: &str,
    compute: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    let parts = folder.join("parts");
    std::fs::create_dir_all(&parts).map_err(|error| Error::file(&parts, error))?;
    let path: &Path = &parts.join(format!("{name}.toml"));
    if path.exists() {
        let text = std::fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
        return toml_edit::de::from_str(&text)
            .map_err(|error: toml_edit::de::Error| Error::file(path, error.message()));
    }
    let value = compute()?;
    let text = toml_edit::ser::to_string(&value).map_err(|error| Error::file(path, error))?;
    write_whole(path, text.as_bytes())?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_folders_are_respected() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("run");
        assert!(matches!(RunFolder::check(&path, Existing::Resume), Err(Error::File { .. })));
        assert_eq!(Existing::resume_or_start(&path), Existing::Refuse);
        let folder = RunFolder::create(&path, Existing::Refuse).unwrap();
        for existing in [Existing::Refuse, Existing::Replace] {
            RunFolder::create(&path, existing).expect("an empty folder is as good as none");
        }
        assert!(matches!(RunFolder::check(&path, Existing::Resume), Err(Error::File { .. })));
        folder.write("old.txt", b"old").unwrap();
        for existing in [Existing::Refuse, Existing::Replace, Existing::Resume, Existing::resume_or_start(&path)] {
            let error = RunFolder::create(&path, existing).unwrap_err().to_string();
            assert!(error.contains("is not a run folder") && !error.contains("--force"), "{error}");
        }
        folder.write_config("a = 1").unwrap();
        assert_eq!(Existing::resume_or_start(&path), Existing::Resume);
        assert!(matches!(RunFolder::create(&path, Existing::Refuse), Err(Error::Exists { .. })));
        RunFolder::create(&path, Existing::Resume).unwrap();
        assert!(path.join("old.txt").exists());
        RunFolder::create(&path, Existing::Replace).unwrap();
        assert!(!path.join("old.txt").exists());
    }

    #[test]
    fn folders_inside_appear_whole_or_not_at_all() {
        let root = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(&root.path().join("run"), Existing::Refuse).unwrap();
        let failed = folder.write_folder("state", |path| {
            std::fs::write(path.join("a"), "1").unwrap();
            Err(Error::Setting("no".into()))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        for text in ["1", "2"] {
            folder.write_folder("state", |path| write_whole(&path.join("a"), text.as_bytes())).unwrap();
        }
        assert_eq!(std::fs::read_to_string(folder.path().join("state/a")).unwrap(), "2");
    }
}
