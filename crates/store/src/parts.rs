//! Finished parts of a long computation, which are never computed twice.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checksum::{Checksum, read, read_written, seal, unseal};
use crate::error::StoreError;
use crate::run_folder::RunFolder;

/// The folder of parts.
const PARTS: &str = "parts";

/// Whether a file of a run is a part of it or of a section.
pub(crate) fn is_part(name: &str) -> bool {
    Path::new(name).parent().is_some_and(|folder| folder.ends_with(PARTS))
}

/// The parts of a run, or of a section of it.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    run: &'a RunFolder,
    folder: String,
}

impl RunFolder {
    /// The run's parts: files in the folder `parts`.
    pub fn parts(&self) -> Parts<'_> {
        Parts { run: self, folder: PARTS.into() }
    }

    /// The parts of a section of the run: files in `SECTION/parts`.
    pub fn parts_of(&self, section: &str) -> Parts<'_> {
        Parts { run: self, folder: format!("{section}/{PARTS}") }
    }
}

impl Parts<'_> {
    /// What was computed under this name before, or now.
    ///
    /// TOML rather than JSON: its numbers are read back exactly, so that a resumed run gives the same results.
    ///
    /// # Errors
    ///
    /// When the part cannot be computed, read or written; when it is not what was written, or belongs to another
    /// configuration.
    pub fn part<T: Serialize + DeserializeOwned, E: From<StoreError>>(
        &self,
        name: &str,
        compute: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let file = format!("{}/{name}.toml", self.folder);
        let path = self.run.path().join(&file);
        // The name is part of what is summed up: a part under another's name is refused, too.
        let label = name.replace(char::is_whitespace, "-");
        let damaged = |problem: &str| StoreError::damaged(&path, problem.lines().next().unwrap_or_default());
        if let Some(bytes) = read(&path)? {
            let text = unseal(&path, &label, self.run.configuration(), &bytes)?;
            let text = std::str::from_utf8(text).map_err(|error| damaged(&error.to_string()))?;
            return Ok(toml_edit::de::from_str(text).map_err(|error| damaged(error.message()))?);
        }
        let value = compute()?;
        let text = toml_edit::ser::to_string(&value).map_err(|error| damaged(&error.to_string()))?;
        self.run.write(&file, &seal(&label, self.run.configuration(), text.as_bytes()))?;
        Ok(value)
    }

    /// Files of a folder that was made for this run, another run's for instance: the first call under this name keeps
    /// their checksums, later ones compare.
    ///
    /// # Errors
    ///
    /// When one is missing or is not what it was.
    pub fn files(&self, name: &str, folder: &Path, files: &[&str]) -> Result<(), StoreError> {
        let sums = || -> Result<BTreeMap<String, String>, StoreError> {
            let sum = |file: &&str| {
                let bytes = read_written(&folder.join(file))?;
                Ok((file.to_string(), Checksum::of(&bytes).to_string()))
            };
            files.iter().map(sum).collect()
        };
        let kept = self.part(name, sums)?;
        match sums()?.iter().find(|(file, sum)| kept.get(*file) != Some(sum)) {
            Some((file, _)) => Err(StoreError::damaged(&folder.join(file), "its checksum is another")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Early, Existing};

    #[test]
    fn a_part_is_computed_once_and_is_what_it_was() {
        let root = tempfile::tempdir().unwrap();
        let run = RunFolder::create(&root.path().join("run"), Existing::Refuse, "", Early::Kept).unwrap();
        let part = |name: &str, value: f64| {
            run.parts().part(name, || Ok::<_, StoreError>(BTreeMap::from([("x".to_string(), value)])))
        };
        assert_eq!(part("a", 0.1).unwrap()["x"], 0.1);
        assert_eq!(part("a", 0.2).unwrap()["x"], 0.1);
        std::fs::copy(run.path().join("parts/a.toml"), run.path().join("parts/b.toml")).unwrap();
        let exchanged = part("b", 0.3).unwrap_err().to_string();
        assert!(exchanged.ends_with("b.toml: damaged: its checksum is another"), "{exchanged}");

        let other = root.path().join("other");
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("weights"), "1").unwrap();
        let keep = || run.parts().files("other", &other, &["weights"]).map_err(|error| error.to_string());
        assert_eq!((keep(), keep()), (Ok(()), Ok(())));
        std::fs::write(other.join("weights"), "2").unwrap();
        assert!(keep().unwrap_err().ends_with("weights: damaged: its checksum is another"));
        std::fs::remove_file(other.join("weights")).unwrap();
        assert!(keep().unwrap_err().ends_with("weights: damaged: it is missing"));
    }
}
