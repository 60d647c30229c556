//! Finished parts of a long computation, which are never computed twice.

use std::fs;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::checksum::{seal, unseal};
use crate::error::StoreError;
use crate::run_folder::RunFolder;

/// The parts of a run, or of a section of it.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    run: &'a RunFolder,
    folder: String,
}

impl RunFolder {
    /// The run's parts: files in the folder `parts`.
    pub fn parts(&self) -> Parts<'_> {
        Parts { run: self, folder: "parts".into() }
    }

    /// The parts of a section of the run: files in `SECTION/parts`.
    pub fn parts_of(&self, section: &str) -> Parts<'_> {
        Parts { run: self, folder: format!("{section}/parts") }
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
        if path.exists() {
            let bytes = fs::read(&path).map_err(StoreError::io(&path))?;
            let text = unseal(&path, &label, self.run.configuration(), &bytes)?;
            let text = std::str::from_utf8(text).map_err(|error| damaged(&error.to_string()))?;
            return Ok(toml_edit::de::from_str(text).map_err(|error| damaged(error.message()))?);
        }
        let value = compute()?;
        let text = toml_edit::ser::to_string(&value).map_err(|error| damaged(&error.to_string()))?;
        self.run.write(&file, &seal(&label, self.run.configuration(), text.as_bytes()))?;
        Ok(value)
    }
}
