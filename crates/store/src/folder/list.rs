//! The list of what was written in a folder, and what lies there beside.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::checksum::read;
use crate::error::StoreError;
use crate::write::partial_of;

/// The list of files, one a line, relative to the folder. A line that ends in `/` is a folder in which other listed
/// folders may lie. A name comes on the list before the file is made.
pub(super) const LIST: &str = "manifest.txt";
pub(super) const LIST_HEAD: &str = "# What widenet wrote here. Nothing else is ever removed by it.\n";
pub(super) const LOCK: &str = ".widenet.lock";

/// What a folder holds that widenet did not write: everything, where there is no list. Nothing where there is no folder.
///
/// # Errors
///
/// When it cannot be read.
pub(crate) fn foreign_at(path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        // In place of a folder.
        Ok(found) if !found.is_dir() => return Ok(vec![path.file_name().unwrap_or_default().into()]),
        _ => {}
    }
    foreign(path, &read_list(path)?)
}

/// Whether a folder has a list. Others have files of that name, too: ours is known by its first line.
pub(crate) fn is_listed(path: &Path) -> bool {
    let mut head = [0; LIST_HEAD.len()];
    let read = File::open(path.join(LIST)).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head == *LIST_HEAD.as_bytes()
}

/// Whether a folder has a list and no line of it was cut short, as when a process was killed.
pub(super) fn is_whole(path: &Path) -> Result<bool, StoreError> {
    Ok(is_listed(path) && read(&path.join(LIST))?.is_some_and(|text| text.ends_with(b"\n")))
}

/// The whole lines of a folder's list; none where there is no list.
pub(crate) fn read_list(path: &Path) -> Result<BTreeSet<String>, StoreError> {
    if !is_listed(path) {
        return Ok(BTreeSet::new());
    }
    let path = path.join(LIST);
    let text = fs::read_to_string(&path).map_err(StoreError::io(path))?;
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    Ok(whole.filter(|line| !line.is_empty() && !line.starts_with('#')).map(String::from).collect())
}

pub(super) fn entries(path: &Path) -> Result<Vec<fs::DirEntry>, StoreError> {
    let read = fs::read_dir(path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = read.map_err(StoreError::io(path))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    Ok(entries)
}

pub(super) fn name_of(entry: &fs::DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

/// What is not on the list, below a folder.
pub(super) fn foreign(path: &Path, list: &BTreeSet<String>) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    walk(path, "", list, &mut |path, known| {
        if !known {
            found.push(path.to_path_buf());
        }
        Ok(())
    })?;
    Ok(found.iter().map(|file| file.strip_prefix(path).unwrap_or(file).to_path_buf()).collect())
}

/// Removes what is on the list below a folder, and the folder if nothing is left.
pub(super) fn remove_known(path: &Path, prefix: &str, list: &BTreeSet<String>) -> Result<(), StoreError> {
    let mut folders = vec![path.to_path_buf()];
    walk(path, prefix, list, &mut |path, known| {
        match (known, path.is_dir() && !path.is_symlink()) {
            (false, _) => {}
            (true, true) => folders.push(path.to_path_buf()),
            (true, false) => fs::remove_file(path).map_err(StoreError::io(path))?,
        }
        Ok(())
    })?;
    // From the innermost outwards.
    for folder in folders.iter().rev() {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => removed.map_err(StoreError::io(folder))?,
        }
    }
    Ok(())
}

/// Calls `visit` with everything below a folder and whether it is on the list; folders come before what is in them.
pub(super) fn walk(
    path: &Path,
    prefix: &str,
    list: &BTreeSet<String>,
    visit: &mut dyn FnMut(&Path, bool) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for entry in entries(path)? {
        let (path, name) = (entry.path(), format!("{prefix}{}", name_of(&entry)));
        let is_dir = entry.file_type().map_err(StoreError::io(&path))?.is_dir();
        if !is_dir {
            visit(&path, is_known(&path, &name, prefix, list))?;
            continue;
        }
        let below = format!("{name}/");
        let holds_folders = list.iter().any(|entry| entry.ends_with('/') && below.starts_with(entry.as_str()));
        if holds_folders && is_listed(&path) {
            visit(&path, true)?;
            walk(&path, "", &read_list(&path)?, visit)?;
        } else if list.range(below.clone()..).next().is_some_and(|entry| entry.starts_with(&below)) || holds_folders {
            visit(&path, true)?;
            walk(&path, &below, list, visit)?;
        } else {
            visit(&path, false)?;
        }
    }
    Ok(())
}

/// Whether a file is on the list, or the rest of one that is.
fn is_known(path: &Path, name: &str, prefix: &str, list: &BTreeSet<String>) -> bool {
    let own = |name: &str| prefix.is_empty() && [LIST, LOCK].contains(&name);
    let is_list = name == LIST && prefix.is_empty();
    if list.contains(name) || own(name) && (!is_list || path.parent().is_some_and(is_listed)) {
        return true;
    }
    let partial = path.file_name().unwrap_or_default().to_string_lossy();
    let Some(of) = partial.strip_prefix('.').and_then(|name| name.strip_suffix(".partial")) else { return false };
    let whole = format!("{prefix}{of}");
    let shortened = || list.iter().any(|entry| partial_of(Path::new(entry)) == Path::new(name));
    list.contains(&whole) || own(&whole) || shortened()
}
