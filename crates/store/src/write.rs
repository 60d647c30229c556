//! Files that are there whole or not at all.
//!
//! A file is written beside its place under the name `.NAME.partial`, which its writer has locked, and renamed when it
//! and all its bytes are on the disk. Whatever happens on the way, its place holds the old bytes or the new ones. A
//! rest of a writer that was killed is taken away by the next one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{RwLock, RwLockReadGuard, TryLockError};
use std::time::{Duration, Instant};

use crate::error::StoreError;
use crate::lock::claim;

/// Writes a file whole. A link stays and its target is replaced; a device, a pipe and the program's own output (`-` or
/// `/dev/stdout`) are written to. A file that is replaced keeps its mode, a new one gets the user's.
///
/// # Errors
///
/// When it cannot be written, or another process is writing it. The file that was there is left as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let _writing = writing();
    match Place::of(path).map_err(StoreError::io(path))? {
        Place::Stream(mut stream) => {
            stream.write_all(bytes).and_then(|()| stream.flush()).map_err(StoreError::io(path))
        }
        Place::File(target) => replace(path, &target, |file| file.write_all(bytes).map_err(StoreError::io(path))),
    }
}

/// [`write_whole`] for what is too large to be held in memory: `fill` writes into a file, and may seek in it.
///
/// # Errors
///
/// As for [`write_whole`], and what `fill` says.
pub fn write_with<T, E: From<StoreError>>(path: &Path, fill: impl FnOnce(&mut File) -> Result<T, E>) -> Result<T, E> {
    let _writing = writing();
    match Place::of(path).map_err(StoreError::io(path))? {
        Place::File(target) => replace(path, &target, fill),
        Place::Stream(mut stream) => {
            let file = tempfile::tempfile().or_else(|_| tempfile::tempfile_in("."));
            let mut file = file.map_err(StoreError::io(path))?;
            let value = fill(&mut file)?;
            let sent = file.rewind().and_then(|()| io::copy(&mut file, &mut stream)).and_then(|_| stream.flush());
            sent.map_err(StoreError::io(path))?;
            Ok(value)
        }
    }
}

/// Whether bytes written to this path go to a device, a pipe or the program's own output: nothing is replaced there,
/// and nothing is in the way.
pub fn is_stream(path: &Path) -> bool {
    own_stream(path).is_some()
        || is_descriptor(path)
        || fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Whether bytes written to this path go to the program's standard output.
pub fn is_stdout(path: &Path) -> bool {
    STDOUT.iter().any(|name| path == Path::new(name))
}

/// The folder that a file lies in, or would lie in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Waits until no file is half written, at most for a moment. While the program ends after this, none is begun.
pub fn rest(at_most: Duration) {
    let started = Instant::now();
    while started.elapsed() < at_most {
        match WRITING.try_write() {
            // Kept for good.
            Ok(guard) => return std::mem::forget(guard),
            Err(TryLockError::Poisoned(_)) => return,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Held for reading by whoever writes a file.
static WRITING: RwLock<()> = RwLock::new(());

fn writing() -> RwLockReadGuard<'static, ()> {
    WRITING.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Where bytes go.
enum Place {
    /// A file, there or not, that is no link.
    File(PathBuf),
    /// Something that takes bytes.
    Stream(Box<dyn Write>),
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        if let Some(stream) = own_stream(path) {
            return Ok(Place::Stream(stream));
        }
        match fs::metadata(path) {
            Ok(_) if is_descriptor(path) => Ok(Place::Stream(Box::new(OpenOptions::new().append(true).open(path)?))),
            Ok(found) if found.is_file() => {
                Ok(Place::File(if path.is_symlink() { path.canonicalize()? } else { path.into() }))
            }
            Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(_) => Ok(Place::Stream(Box::new(OpenOptions::new().write(true).open(path)?))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Place::File(end_of_links(path)?)),
            Err(error) => Err(error),
        }
    }
}

/// The names of standard output.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// The program's own output, by any of its names.
fn own_stream(path: &Path) -> Option<Box<dyn Write>> {
    match path.to_str()? {
        name if STDOUT.contains(&name) => Some(Box::new(io::stdout())),
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Some(Box::new(io::stderr())),
        _ => None,
    }
}

/// Whether a path stands for an open file of a process, whatever that is.
fn is_descriptor(path: &Path) -> bool {
    path.starts_with("/dev/fd") || path.starts_with("/proc")
}

/// Where a file would be made whose path is a link to nothing.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut end = path.to_path_buf();
    // As many as Linux follows.
    for _ in 0..40 {
        match fs::read_link(&end) {
            Ok(target) => end = folder_of(&end).join(target),
            Err(_) => return Ok(end),
        }
    }
    Err(io::Error::other("too many links"))
}

/// The name under which a file is written.
pub(crate) fn partial_of(path: &Path) -> PathBuf {
    // Most file systems take names of 255 bytes.
    const LONGEST: usize = 200;
    let name = path.file_name().unwrap_or_default();
    let mut partial = OsString::from(".");
    if name.len() <= LONGEST {
        partial.push(name);
    } else {
        partial.push(crate::checksum::Checksum::of(name.as_encoded_bytes()).to_string());
    }
    partial.push(".partial");
    folder_of(path).join(partial)
}

fn replace<T, E: From<StoreError>>(
    path: &Path,
    target: &Path,
    fill: impl FnOnce(&mut File) -> Result<T, E>,
) -> Result<T, E> {
    let partial = partial_of(target);
    let mut file = claim(&partial, path)?;
    let done = fill_and_rename(&mut file, &partial, target, fill, path);
    if done.is_err() {
        let _ = fs::remove_file(&partial);
    }
    done
}

fn fill_and_rename<T, E: From<StoreError>>(
    file: &mut File,
    partial: &Path,
    target: &Path,
    fill: impl FnOnce(&mut File) -> Result<T, E>,
    path: &Path,
) -> Result<T, E> {
    if let Ok(old) = fs::metadata(target) {
        file.set_permissions(old.permissions()).map_err(StoreError::io(path))?;
    }
    let value = fill(file)?;
    file.sync_all().map_err(StoreError::io(path))?;
    rename(partial, target).map_err(StoreError::io(path))?;
    Ok(value)
}

/// Renames, and has the folder on the disk before and after.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    sync_folder(folder_of(from))?;
    fs::rename(from, to)?;
    sync_folder(folder_of(to))
}

/// Makes what happened in a folder last.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    match File::open(folder)?.sync_all() {
        // A file system that knows no such thing.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_whole(&path, b"old").unwrap();
        let failed = write_with(&path, |file| {
            file.write_all(b"half").unwrap();
            Err::<(), _>(StoreError::Nothing { path: path.clone() })
        });
        assert!(matches!(failed, Err(StoreError::Nothing { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        // A rest of a writer that was killed.
        fs::write(partial_of(&path), "left").unwrap();
        write_whole(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(write_whole(folder.path(), b"").is_err());
        assert!(write_whole(&folder.path().join("no/file"), b"").is_err());
        let long = folder.path().join("x".repeat(250));
        write_whole(&long, b"long").unwrap();
        assert_eq!(fs::read(&long).unwrap(), b"long");
    }

    #[test]
    fn a_file_is_written_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let refused = write_with(&path, |_| write_whole(&path, b"second"));
        assert!(matches!(refused, Err(StoreError::Locked { .. })));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn links_modes_and_pipes_stay_what_they_are() {
        use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
        fs::write(at("plain"), "").unwrap();
        write_whole(&at("new"), b"1").unwrap();
        assert_eq!(mode("new"), mode("plain"), "the user's umask");
        fs::set_permissions(at("new"), fs::Permissions::from_mode(0o604)).unwrap();
        symlink("new", at("link")).unwrap();
        write_whole(&at("link"), b"2").unwrap();
        assert!(at("link").is_symlink());
        assert_eq!((fs::read(at("new")).unwrap(), mode("new")), (b"2".to_vec(), 0o604));
        // A link to nothing yet, through another.
        symlink("far", at("near")).unwrap();
        symlink("target", at("far")).unwrap();
        write_whole(&at("near"), b"3").unwrap();
        assert_eq!(fs::read(at("target")).unwrap(), b"3");
        symlink("loop", at("loop")).unwrap();
        assert!(write_whole(&at("loop"), b"").is_err());

        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        let pipe = at("pipe");
        for large in [false, true] {
            let reader = std::thread::spawn({
                let pipe = pipe.clone();
                move || fs::read(pipe).unwrap()
            });
            match large {
                false => write_whole(&pipe, b"through").unwrap(),
                true => write_with(&pipe, |file| file.write_all(b"through").map_err(StoreError::io(&pipe))).unwrap(),
            }
            assert_eq!(reader.join().unwrap(), b"through");
        }
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        write_whole(Path::new("/dev/null"), b"gone").unwrap();
        assert!(is_stream(&pipe) && is_stream(Path::new("-")) && is_stream(Path::new("/dev/stdout")));
        assert!(!is_stream(&at("new")) && !is_stream(folder.path()) && !is_stream(&at("none")));
    }
}
