//! Where bytes come from: a file or standard input, plain or packed by gzip.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use widenet_store::arrays::believed;

use crate::idx::{is_gzip, unpacked};
use crate::{DataError, TableError};

/// A place that is read once, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// Standard input, named `-`.
    StandardInput,
}

impl Source {
    /// The source of this name.
    pub fn new(name: &Path) -> Self {
        if name.as_os_str() == "-" { Self::StandardInput } else { Self::File(name.into()) }
    }

    /// The path that stands in messages.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            Self::StandardInput => "standard input".into(),
        }
    }

    /// All bytes, unpacked where they begin as gzip does, whatever the name. With a limit of `memory` bytes nothing grows
    /// beyond it, however much is packed.
    pub(crate) fn read(&self, memory: Option<u64>) -> Result<Vec<u8>, DataError> {
        let path = self.path();
        let too_large =
            || DataError::Table { path: path.clone(), problem: TableError::Memory { bytes: memory.unwrap_or(0) } };
        let limit = memory.unwrap_or(u64::MAX);
        let bytes = match self {
            Self::File(path) => {
                let file = File::open(path).map_err(DataError::io(path))?;
                let length = file.metadata().map_err(DataError::io(path))?.len();
                if length > limit {
                    return Err(too_large());
                }
                up_to(file, length, limit)
            }
            Self::StandardInput => up_to(io::stdin().lock(), 0, limit),
        };
        let bytes = bytes.map_err(DataError::io(&path))?.ok_or_else(too_large)?;
        if !is_gzip(&bytes) {
            return Ok(bytes);
        }
        let corrupt =
            |error: io::Error| DataError::Table { path: path.clone(), problem: TableError::Gzip(error.to_string()) };
        // Where so many would not fit or are not believed, they are counted before they are kept.
        let believed = believed(bytes.len() as u64);
        let bound = limit.min(believed);
        if bound / 1032 < bytes.len() as u64 {
            let length = io::copy(&mut unpacked(&bytes).take(bound.saturating_add(1)), &mut io::sink());
            match length.map_err(corrupt)? {
                length if length <= bound => {}
                _ if believed < limit => {
                    let problem = TableError::Unfolded { packed: bytes.len() as u64, believed };
                    return Err(DataError::Table { path, problem });
                }
                _ => return Err(too_large()),
            }
        }
        let mut content = Vec::new();
        unpacked(&bytes).read_to_end(&mut content).map_err(corrupt)?;
        Ok(content)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}

/// All bytes of a source, `length` as it seems, unless they are more than `limit`.
fn up_to(source: impl Read, length: u64, limit: u64) -> io::Result<Option<Vec<u8>>> {
    // One more, so that the end is seen without growing.
    let mut bytes = Vec::with_capacity(length as usize + 1);
    source.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= limit).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idx::gzip as packed;

    #[test]
    fn gzip_is_known_by_its_content_in_any_number_of_members() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, [packed(b"1,2\n"), packed(b"3,4\n")].concat()).unwrap();
        assert_eq!(Source::new(&path).read(None).unwrap(), b"1,2\n3,4\n");
        std::fs::write(&path, &packed(b"1,2\n")[..15]).unwrap();
        let error = Source::new(&path).read(None).unwrap_err().to_string();
        assert!(error.contains("a.csv: corrupt gzip: "), "{error}");
    }

    #[test]
    fn no_more_than_the_memory_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.gz");
        // 4 MB in 4 kB.
        let bomb = packed(&vec![b'0'; 4_000_000]);
        assert!(bomb.len() < 5_000);
        std::fs::write(&path, &bomb).unwrap();
        let read = |memory| Source::new(&path).read(Some(memory));
        assert_eq!(read(4_000_000).unwrap().len(), 4_000_000);
        for memory in [0, 1000, 3_999_999] {
            let error = read(memory).unwrap_err();
            assert!(matches!(error, DataError::Table { problem: TableError::Memory { bytes }, .. } if bytes == memory));
        }
    }

    #[test]
    fn more_than_is_believed_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv.gz");
        let most = believed(0) as usize;
        let read = |length: usize| {
            std::fs::write(&path, packed(&vec![b'0'; length])).unwrap();
            Source::new(&path).read(None)
        };
        assert_eq!(read(most).unwrap().len(), most);
        let error = read(most + 1).unwrap_err();
        assert!(matches!(error, DataError::Table { problem: TableError::Unfolded { .. }, .. }), "{error}");
        assert!(error.to_string().ends_with("if that is meant, unpack the file"), "{error}");
    }

    #[test]
    fn a_dash_is_standard_input() {
        assert_eq!(Source::new(Path::new("-")), Source::StandardInput);
        assert_eq!(Source::StandardInput.to_string(), "standard input");
        assert!(matches!(Source::new(Path::new("/no/such")).read(None), Err(DataError::Io { .. })));
    }
}
