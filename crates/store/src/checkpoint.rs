//! A run on the way, to be gone on with.
//!
//! A checkpoint is a folder of parts, and the file `checkpoint.toml` that points to it, with the checksum of every part.
//! The next one is written to another folder before the pointer is swapped, so that there is always a whole one. Before
//! the first there is a pointer to none: where there are parts and no pointer, it was lost.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checksum::{Checksum, read, read_written, seal, unseal};
use crate::error::StoreError;
use crate::folder::Folder;
use crate::run_folder::RunFolder;

const POINTER: &str = "checkpoint.toml";

/// Two folders take turns.
const FOLDERS: [&str; 2] = ["checkpoint-a", "checkpoint-b"];

#[derive(Default, Deserialize, Serialize)]
struct Pointer {
    /// None before the first checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
    parts: BTreeMap<String, String>,
}

/// Whether a file of a run is of its checkpoint.
pub(crate) fn is_part(name: &str) -> bool {
    name == POINTER || name.split_once('/').is_some_and(|(folder, _)| FOLDERS.contains(&folder))
}

impl RunFolder {
    /// Writes a checkpoint in place of the one before. Parts are files by name.
    ///
    /// # Errors
    ///
    /// When it cannot be written: the one before is still there.
    pub fn save_checkpoint(&self, parts: &[(&str, &[u8])]) -> Result<(), StoreError> {
        // A pointer that cannot be read was refused when the run was resumed.
        let pointer = self.pointer().ok().flatten();
        if pointer.is_none() {
            self.point(&Pointer::default())?;
        }
        let before = pointer.and_then(|pointer| pointer.folder);
        let folder = if before.as_deref() == Some(FOLDERS[0]) { FOLDERS[1] } else { FOLDERS[0] };
        // The rest of one that was never pointed to.
        self.files().remove(folder)?;
        for (name, bytes) in parts {
            self.write(&format!("{folder}/{name}"), bytes)?;
        }
        let sums = parts.iter().map(|(name, bytes)| (name.to_string(), Checksum::of(bytes).to_string()));
        self.point(&Pointer { folder: Some(folder.into()), parts: sums.collect() })?;
        before.map_or(Ok(()), |before| self.files().remove(&before))
    }

    fn point(&self, pointer: &Pointer) -> Result<(), StoreError> {
        let text = toml_edit::ser::to_string(pointer);
        let text = text.map_err(|error| StoreError::damaged(&self.path().join(POINTER), error.to_string()))?;
        self.write(POINTER, &seal("checkpoint", self.configuration(), text.as_bytes()))
    }

    /// Reads the parts of the checkpoint, if there is one.
    ///
    /// # Errors
    ///
    /// When it belongs to another configuration, or the pointer to it or a part is missing or is not what was written.
    pub fn load_checkpoint(&self) -> Result<Option<BTreeMap<String, Vec<u8>>>, StoreError> {
        let Some(Pointer { folder, parts: sums }) = self.pointer()? else {
            return match FOLDERS.iter().any(|folder| self.path().join(folder).exists()) {
                true => Err(StoreError::Lost { path: self.path().join(POINTER) }),
                false => Ok(None),
            };
        };
        let Some(folder) = folder else { return Ok(None) };
        let mut parts = BTreeMap::new();
        for (name, sum) in sums {
            let path = self.path().join(&folder).join(&name);
            let bytes = read_written(&path)?;
            if Checksum::of(&bytes).to_string() != sum {
                return Err(StoreError::damaged(&path, "its checksum is another"));
            }
            parts.insert(name, bytes);
        }
        Ok(Some(parts))
    }

    fn pointer(&self) -> Result<Option<Pointer>, StoreError> {
        let path = self.path().join(POINTER);
        let Some(bytes) = read(&path)? else { return Ok(None) };
        let text = unseal(&path, "checkpoint", self.configuration(), &bytes)?;
        let pointer = std::str::from_utf8(text).ok().and_then(|text| toml_edit::de::from_str::<Pointer>(text).ok());
        let pointer = pointer.filter(|Pointer { folder, .. }| folder.iter().all(|folder| FOLDERS.contains(&&**folder)));
        pointer.map(Some).ok_or_else(|| StoreError::damaged(&path, "it is no checkpoint"))
    }
}

/// Removes a finished run's checkpoint: first the pointer, then what it pointed to.
pub(crate) fn remove(files: &Folder) -> Result<(), StoreError> {
    files.remove(POINTER)?;
    FOLDERS.iter().try_for_each(|folder| files.remove(folder))
}
