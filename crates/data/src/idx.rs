//! IDX files: the form in which MNIST and its relatives are given out.
//!
//! A file is a header and then raw bytes. The header is a magic number (two zero bytes, the type
//! of the values, the number of dimensions) and one 32-bit size for each dimension, all
//! big-endian. Only unsigned bytes (type 8) are read here.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use widenet_store::arrays::unfolds;
use widenet_store::memory::{self, MemoryError};

use crate::DataError;

/// The first two bytes of every gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Bytes behind the end are counted no further.
const COUNTED: u64 = 1 << 20;

/// The content of an IDX file of unsigned bytes with `N` dimensions.
///
/// Labels are an `Idx<1>`, `[n]`. Grey images are an `Idx<3>`, `[n, height, width]`.
/// No dimension is zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx<const N: usize> {
    dims: [u32; N],
    data: Vec<u8>,
}

/// What is wrong with the bytes of an IDX file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdxError {
    /// The file begins like gzip but cannot be unpacked: damaged or cut short.
    #[error("corrupt gzip: {0}")]
    CorruptGzip(String),

    /// The content ends too early.
    #[error("truncated: {expected} bytes expected, {actual} found")]
    Truncated {
        /// How many bytes the header promises, itself included.
        expected: u64,
        /// How many there are.
        actual: u64,
    },

    /// The content goes on after its end.
    #[error("{extra}{} bytes too many after the {expected} that the header promises", if *extra == COUNTED { " or more" } else { "" })]
    Trailing {
        /// How many bytes the header promises, itself included.
        expected: u64,
        /// How many follow them, counted up to 1 MiB.
        extra: u64,
    },

    /// The header promises more than so few packed bytes are believed to hold.
    #[error("{packed} packed bytes are said to hold {unpacked}; if that is meant, unpack the file")]
    Unfolded {
        /// How many bytes the file has.
        packed: u64,
        /// How many its header promises.
        unpacked: u64,
    },

    /// There is not enough memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),

    /// The file is of another kind, or its values are of another type.
    #[error(
        "magic number is {found:#010x}, expected {expected:#010x} (unsigned bytes, dimensions: {})",
        expected & 0xff
    )]
    Magic {
        /// The magic number there.
        found: u32,
        /// The magic number of an IDX file of bytes with this many dimensions.
        expected: u32,
    },

    /// The dimensions are no possible size: one is zero, or the product is too large.
    #[error("dimensions {dims:?} are impossible: one is zero or the product is too large")]
    Dimensions {
        /// The dimensions.
        dims: Vec<u32>,
    },

    /// The number of values is not the product of the dimensions.
    #[error("{found} values do not fill dimensions {dims:?}")]
    Length {
        /// The dimensions.
        dims: Vec<u32>,
        /// How many values were given.
        found: usize,
    },
}

impl<const N: usize> Idx<N> {
    const MAGIC: u32 = 0x0800 | N as u32;
    const HEADER: u64 = 4 + 4 * N as u64;

    /// Values with their dimensions, the last one running fastest.
    ///
    /// # Errors
    ///
    /// [`IdxError::Dimensions`] when a dimension is zero or the product overflows, and
    /// [`IdxError::Length`] when the number of values is not that product.
    pub fn new(dims: [u32; N], data: Vec<u8>) -> Result<Self, IdxError> {
        if volume(&dims)? != data.len() as u64 {
            return Err(IdxError::Length { dims: dims.to_vec(), found: data.len() });
        }
        Ok(Self { dims, data })
    }

    /// The dimensions. The first one is the number of items.
    pub fn dims(&self) -> [usize; N] {
        self.dims.map(|dim| dim as usize)
    }

    /// The values, the last dimension running fastest.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Read the bytes of a file, gzip-compressed or plain.
    ///
    /// Its first two bytes tell which of both it is. No size in the header is believed: memory is
    /// taken only for bytes that are there.
    ///
    /// # Errors
    ///
    /// Every [`IdxError`] but [`IdxError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdxError> {
        Self::read(unpacked(bytes), bytes.len() as u64, is_gzip(bytes)).map_err(|problem| match problem {
            Problem::Read(problem) => IdxError::CorruptGzip(problem.to_string()),
            Problem::Format(problem) => problem,
        })
    }

    /// Read a file, gzip-compressed or plain, whatever its name.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] when it cannot be read, [`DataError::Idx`] when it is not such a file.
    pub fn from_path(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io(path))?;
        let length = file.metadata().map_err(DataError::io(path))?.len();
        let mut file = BufReader::new(file);
        let packed = is_gzip(file.fill_buf().map_err(DataError::io(path))?);
        let read = match packed {
            true => Self::read(MultiGzDecoder::new(file), length, true),
            false => Self::read(file, length, false),
        };
        let wrong = |problem| DataError::Idx { path: path.to_path_buf(), problem };
        read.map_err(|problem| match problem {
            Problem::Read(problem) if packed => wrong(IdxError::CorruptGzip(problem.to_string())),
            Problem::Read(problem) => DataError::io(path)(problem),
            Problem::Format(problem) => wrong(problem),
        })
    }

    /// The bytes of the plain file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let numbers = std::iter::once(Self::MAGIC).chain(self.dims);
        let mut bytes: Vec<u8> = numbers.flat_map(u32::to_be_bytes).collect();
        bytes.extend_from_slice(&self.data);
        bytes
    }

    /// Write a file: compressed when its name ends in `.gz`, else plain.
    ///
    /// # Errors
    ///
    /// [`DataError::Io`] when it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), DataError> {
        let bytes = self.to_bytes();
        if path.extension().is_some_and(|end| end == "gz") { write_gzip(path, &bytes) } else { fs::write(path, bytes) }
            .map_err(DataError::io(path))
    }

    /// Reads the content of a file of `length` bytes, unpacked where it is `packed`.
    fn read(mut source: impl Read, length: u64, packed: bool) -> Result<Self, Problem> {
        let header = read_up_to(&mut source, Self::HEADER)?;
        let mut numbers = header.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
        // The magic number comes first: for a file of another kind a missing size means nothing.
        if let Some(found) = numbers.next()
            && found != Self::MAGIC
        {
            return Err(IdxError::Magic { found, expected: Self::MAGIC }.into());
        }
        let actual = header.len() as u64;
        if actual < Self::HEADER {
            return Err(IdxError::Truncated { expected: Self::HEADER, actual }.into());
        }
        let mut dims = [0; N];
        dims.iter_mut().zip(numbers).for_each(|(dim, number)| *dim = number);

        let size = volume(&dims)?;
        let expected = Self::HEADER + size;
        match packed {
            true if !unfolds(length, expected) => {
                return Err(IdxError::Unfolded { packed: length, unpacked: expected }.into());
            }
            false if length < expected => return Err(IdxError::Truncated { expected, actual: length }.into()),
            _ => memory::check(size, || format!("IDX data of dimensions {dims:?}")).map_err(IdxError::from)?,
        }
        let data = read_up_to(&mut source, size)?;
        let actual = Self::HEADER + data.len() as u64;
        if actual < expected {
            return Err(IdxError::Truncated { expected, actual }.into());
        }
        // Going to the end also makes gzip check its own sum.
        let extra = io::copy(&mut source.take(COUNTED), &mut io::sink())?;
        if extra > 0 {
            return Err(IdxError::Trailing { expected, extra }.into());
        }
        Ok(Self { dims, data })
    }
}

/// Why a read stopped: the bytes would not come, or they say something wrong.
enum Problem {
    Read(io::Error),
    Format(IdxError),
}

impl From<io::Error> for Problem {
    fn from(problem: io::Error) -> Self {
        Self::Read(problem)
    }
}

impl From<IdxError> for Problem {
    fn from(problem: IdxError) -> Self {
        Self::Format(problem)
    }
}

/// The product of the dimensions, which also fits memory addresses (with room for the header).
fn volume(dims: &[u32]) -> Result<u64, IdxError> {
    dims.iter()
        .try_fold(1_u64, |product, &dim| product.checked_mul(u64::from(dim)))
        .filter(|&product| product > 0 && product <= isize::MAX as u64 / 2)
        .ok_or_else(|| IdxError::Dimensions { dims: dims.to_vec() })
}

/// The next `count` bytes, or fewer when the source ends before.
fn read_up_to(source: &mut impl Read, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(count).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether these are the first bytes of a gzip file.
pub(crate) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&GZIP_MAGIC)
}

/// The content of a file, unpacked where it is gzip. Only corrupt gzip makes a read fail.
pub(crate) fn unpacked(bytes: &[u8]) -> Box<dyn Read + '_> {
    if is_gzip(bytes) { Box::new(MultiGzDecoder::new(bytes)) } else { Box::new(bytes) }
}

/// Write bytes as a gzip file.
pub(crate) fn write_gzip(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut packer = GzEncoder::new(BufWriter::new(File::create(path)?), Compression::default());
    packer.write_all(bytes)?;
    packer.finish()?.flush()
}

/// The file `name.gz`, or else `name`, in a folder.
pub(crate) fn locate(folder: &Path, name: &str) -> Result<PathBuf, DataError> {
    [format!("{name}.gz"), name.to_owned()]
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| DataError::Missing { folder: folder.to_path_buf(), name: name.to_owned() })
}

/// Packed bytes.
#[cfg(test)]
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Two images of 1 × 3 pixels, written out byte by byte.
    const IMAGES: [u8; 22] = [
        0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, //
        10, 20, 30, 40, 50, 60,
    ];
    const LABELS: [u8; 10] = [0, 0, 8, 1, 0, 0, 0, 2, 7, 9];

    #[test]
    fn reads_plain_and_compressed() {
        for bytes in [IMAGES.to_vec(), gzip(&IMAGES)] {
            let images = Idx::<3>::from_bytes(&bytes).unwrap();
            assert_eq!(images.dims(), [2, 1, 3]);
            assert_eq!(images.data(), [10, 20, 30, 40, 50, 60]);
        }
        let labels = Idx::<1>::from_bytes(&LABELS).unwrap();
        assert_eq!((labels.dims(), labels.data()), ([2], &[7, 9][..]));
    }

    #[test]
    fn every_cut_is_truncated() {
        for actual in 0..IMAGES.len() {
            let expected = if actual < 16 { 16 } else { 22 };
            assert_eq!(
                Idx::<3>::from_bytes(&IMAGES[..actual]),
                Err(IdxError::Truncated { expected, actual: actual as u64 })
            );
            // The same content inside a sound gzip file.
            assert_eq!(
                Idx::<3>::from_bytes(&gzip(&IMAGES[..actual])),
                Err(IdxError::Truncated { expected, actual: actual as u64 })
            );
        }
    }

    #[test]
    fn bytes_after_the_end_are_refused() {
        let bytes = [&IMAGES[..], &[1, 2]].concat();
        let error = Err(IdxError::Trailing { expected: 22, extra: 2 });
        assert_eq!(Idx::<3>::from_bytes(&bytes), error);
        assert_eq!(Idx::<3>::from_bytes(&gzip(&bytes)), error);
    }

    #[test]
    fn another_magic_number_is_named() {
        let error = Idx::<3>::from_bytes(&LABELS).unwrap_err();
        assert_eq!(error, IdxError::Magic { found: 0x801, expected: 0x803 });
        assert_eq!(
            error.to_string(),
            "magic number is 0x00000801, expected 0x00000803 (unsigned bytes, dimensions: 3)"
        );
        // 32-bit floats instead of bytes; and text, shorter than a header.
        let floats = [0, 0, 0x0d, 1, 0, 0, 0, 1, 0, 0, 0, 0];
        let error = Err(IdxError::Magic { found: 0xd01, expected: 0x801 });
        assert_eq!(Idx::<1>::from_bytes(&floats), error);
        assert!(matches!(Idx::<3>::from_bytes(b"hello"), Err(IdxError::Magic { .. })));
    }

    #[test]
    fn impossible_dimensions_are_refused() {
        let with = |dims: [u32; 3]| {
            let numbers = [0x803, dims[0], dims[1], dims[2]];
            Idx::<3>::from_bytes(&numbers.map(u32::to_be_bytes).concat())
        };
        for dims in [[u32::MAX; 3], [0, 28, 28], [5, 0, 28], [u32::MAX, u32::MAX, 0]] {
            assert_eq!(with(dims), Err(IdxError::Dimensions { dims: dims.to_vec() }));
        }
        // Possible but not there: no memory is taken for it.
        assert_eq!(
            with([u32::MAX, 1 << 15, 1 << 10]),
            Err(IdxError::Truncated { expected: 16 + (u64::from(u32::MAX) << 25), actual: 16 })
        );
    }

    #[test]
    fn no_size_is_believed() {
        let with = |dims: [u32; 3], content: &[u8]| {
            let header: Vec<u8> = [0x803, dims[0], dims[1], dims[2]].map(u32::to_be_bytes).concat();
            Idx::<3>::from_bytes(&gzip(&[&header, content].concat()))
        };
        // Six gigabytes that a few bytes are said to hold: refused before they are unpacked, be they there or not.
        let packed = |content: &[u8]| with([8_000_000, 28, 28], content).unwrap_err();
        assert!(matches!(packed(&[]), IdxError::Unfolded { unpacked: 6_272_000_016, .. }));
        assert!(packed(&[0; 100_000]).to_string().ends_with("; if that is meant, unpack the file"));
        // What goes on behind the end is counted, but not for ever.
        let long = with([1, 1, 1], &vec![0; 5 << 20]).unwrap_err();
        assert_eq!(long, IdxError::Trailing { expected: 17, extra: 1 << 20 });
        assert!(long.to_string().starts_with("1048576 or more bytes too many"));
    }

    #[test]
    fn damaged_gzip_is_told_from_damaged_content() {
        let sound = gzip(&IMAGES);
        let mut wrong_sum = sound.clone();
        wrong_sum[sound.len() - 8] ^= 1;
        let garbage_after = [&sound[..], b"garbage, not gzip"].concat();
        for bytes in [&sound[..sound.len() - 1], &sound[..12], &wrong_sum, &garbage_after] {
            let error = Idx::<3>::from_bytes(bytes);
            assert!(matches!(error, Err(IdxError::CorruptGzip(_))), "{error:?}");
        }
    }

    #[test]
    fn new_checks_the_number_of_values() {
        let error = Idx::new([2, 2], vec![0; 3]);
        assert_eq!(error, Err(IdxError::Length { dims: vec![2, 2], found: 3 }));
        assert_eq!(Idx::new([0], vec![]), Err(IdxError::Dimensions { dims: vec![0] }));
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels");
        let error = Idx::<1>::from_path(&path).unwrap_err();
        assert!(matches!(&error, DataError::Io { path: p, .. } if *p == path), "{error}");

        fs::write(&path, &LABELS[..9]).unwrap();
        let error = Idx::<1>::from_path(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("{}: truncated: 10 bytes expected, 9 found", path.display()));
    }

    #[test]
    fn the_content_tells_whether_it_is_gzip() {
        let folder = tempfile::tempdir().unwrap();
        let labels = Idx::<1>::from_bytes(&LABELS).unwrap();
        let (packed, plain) = (folder.path().join("labels.gz"), folder.path().join("labels"));
        labels.write(&packed).unwrap();
        labels.write(&plain).unwrap();
        assert!(is_gzip(&fs::read(&packed).unwrap()) && fs::read(&plain).unwrap() == LABELS);
        assert_eq!(locate(folder.path(), "labels").unwrap(), packed);

        // Names that say the opposite of the content.
        fs::rename(&packed, folder.path().join("other")).unwrap();
        fs::rename(&plain, &packed).unwrap();
        assert_eq!(Idx::from_path(&packed).unwrap(), labels);
        assert_eq!(Idx::from_path(&folder.path().join("other")).unwrap(), labels);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Idx::<1>::from_bytes(&bytes);
            let _ = Idx::<3>::from_bytes(&bytes);
            let _ = Idx::<3>::from_bytes(&gzip(&bytes));
            let _ = Idx::<3>::from_bytes(&[&GZIP_MAGIC[..], &[8], &bytes].concat());
            let _ = Idx::<3>::from_bytes(&[&[0, 0, 8, 3][..], &bytes].concat());
        }

        #[test]
        fn what_is_written_is_read(
            dims in [1_u32..6, 1..6, 1..6],
            seed in prop::collection::vec(any::<u8>(), 125),
        ) {
            let size = dims.iter().product::<u32>() as usize;
            let idx = Idx::new(dims, seed[..size].to_vec()).unwrap();
            prop_assert_eq!(Idx::from_bytes(&idx.to_bytes()), Ok(idx.clone()));
            prop_assert_eq!(Idx::from_bytes(&gzip(&idx.to_bytes())), Ok(idx));
        }
    }
}
