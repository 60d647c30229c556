//! Whether results can be written, told before there is work to lose.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::run_folder::{folder_of, refuse_existing, write_whole};

/// Refuses files that could not be written, or that would take the place of each other or of a file that is read. Each
/// of `outputs` comes with the option that names it.
pub(super) fn check(outputs: &[(&str, &Path)], inputs: &[&Path], force: bool) -> Result<(), Error> {
    for (i, &(option, path)) in outputs.iter().enumerate() {
        let refused = |problem: String| Err(Error::file(path, problem));
        if path.is_dir() || path.to_string_lossy().ends_with(std::path::is_separator) {
            return refused(format!("is a folder: give {option} the name of a file"));
        }
        let target = absolute(path);
        if inputs.iter().any(|input| input.is_file() && absolute(input) == target) {
            return refused(format!("is read, so it is not replaced: name another file by {option}"));
        }
        if let Some((other, _)) = outputs[..i].iter().find(|(_, other)| absolute(other) == target) {
            return refused(format!("is named by both {other} and {option}: name two files"));
        }
        if widenet_store::is_stream(path) {
            continue;
        }
        refuse_existing(path, force)?;
        let folder = folder_of(path);
        if !folder.is_dir() {
            return refused(format!("there is no folder {}: make it, or name another by {option}", folder.display()));
        }
        // Only the attempt tells whether it can be written to; nothing of it stays.
        if let Err(error) = tempfile::Builder::new().prefix(".partial-").tempfile_in(folder) {
            return refused(format!("cannot be written ({}): name another file by {option}", error.kind()));
        }
    }
    Ok(())
}

/// Writes a file whole that [`check`] found free. Another process may have written it since.
pub(super) fn write(path: &Path, bytes: &[u8], force: bool) -> Result<(), Error> {
    refuse_existing(path, force)?;
    Ok(write_whole(path, bytes)?)
}

/// [`write`] for what is never whole in memory.
pub(super) fn write_with(
    path: &Path,
    force: bool,
    fill: impl FnOnce(&mut File) -> Result<(), Error>,
) -> Result<(), Error> {
    refuse_existing(path, force)?;
    widenet_store::write_with(path, fill)
}

/// The same for every spelling of a path, whether the file is there or not.
fn absolute(path: &Path) -> PathBuf {
    let in_folder = || Some(folder_of(path).canonicalize().ok()?.join(path.file_name()?));
    path.canonicalize().ok().or_else(in_folder).unwrap_or_else(|| path.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("in.csv"), "1").unwrap();
        std::fs::write(at("old.npz"), "1").unwrap();
        let told = |names: &[&str], force: bool| {
            let paths: Vec<PathBuf> = names.iter().map(|name| at(name)).collect();
            let outputs: Vec<(&str, &Path)> =
                ["--out", "--libsvm"].into_iter().zip(paths.iter().map(PathBuf::as_path)).collect();
            let error = check(&outputs, &[&at("in.csv"), &at("none")], force).err();
            error.map(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
        };
        assert_eq!(told(&["new.npz", "new.model"], false), None);
        assert_eq!(told(&["old.npz"], true), None);
        assert_eq!(told(&["none"], false), None);
        assert_eq!(told(&["old.npz"], false).unwrap(), "old.npz: exists; --force replaces it, --out names another");
        assert_eq!(told(&["."], true).unwrap(), ".: is a folder: give --out the name of a file");
        assert_eq!(told(&["a/"], true).unwrap(), "a/: is a folder: give --out the name of a file");
        let read = "is read, so it is not replaced: name another file by --out";
        assert_eq!(told(&["./in.csv"], true).unwrap(), format!("./in.csv: {read}"));
        assert_eq!(told(&["a", "./a"], true).unwrap(), "./a: is named by both --out and --libsvm: name two files");
        assert_eq!(
            told(&["a", "no/b"], true).unwrap(),
            "no/b: there is no folder no: make it, or name another by --libsvm"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
