//! Arrays by name: a zip archive of `.npy` files.

use std::io::{Read, Seek, SeekFrom, Write};

use ndarray::{Array, ArrayBase, Data, Dimension};
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::element::Element;
use super::npy::{Header, Npy, write_numbers};
use super::{ArrayError, unfolds};
use crate::text::one_line;

fn archive(error: ZipError) -> ArrayError {
    match error {
        ZipError::Io(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => ArrayError::Io(error),
        error => ArrayError::Archive(one_line(&error.to_string())),
    }
}

/// An archive being read, as `np.savez` and `np.savez_compressed` write it.
///
/// One array at a time is in memory.
pub struct NpzReader<R> {
    zip: ZipArchive<R>,
    /// Bytes in the file.
    length: u64,
}

impl<R: Read + Seek> NpzReader<R> {
    /// Reads which arrays there are.
    ///
    /// # Errors
    ///
    /// When the file is no archive, or its end is damaged.
    pub fn new(mut reader: R) -> Result<Self, ArrayError> {
        let length = reader.seek(SeekFrom::End(0))?;
        reader.rewind()?;
        let zip = ZipArchive::new(reader).map_err(archive)?;
        Ok(Self { zip, length })
    }

    /// The arrays' names, in the file's order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.zip.file_names().map(|name| name.strip_suffix(".npy").unwrap_or(name))
    }

    /// Whether there is an array of this name.
    pub fn has(&self, name: &str) -> bool {
        self.index(name).is_some()
    }

    /// The shape of an array, whose numbers are not read.
    ///
    /// # Errors
    ///
    /// When it is not there or damaged.
    pub fn shape(&mut self, name: &str) -> Result<Vec<usize>, ArrayError> {
        Ok(self.open(name)?.shape().to_vec())
    }

    /// Reads an array.
    ///
    /// # Errors
    ///
    /// When it is not there, is damaged, has other dimensions, does not fit the memory, or has a number that `T` has not.
    pub fn array<T: Element, D: Dimension>(&mut self, name: &str) -> Result<Array<T, D>, ArrayError> {
        self.open(name)?.array()
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.zip.index_for_name(&format!("{name}.npy")).or_else(|| self.zip.index_for_name(name))
    }

    fn open(&mut self, name: &str) -> Result<Npy<impl Read>, ArrayError> {
        let index = self.index(name).ok_or_else(|| ArrayError::Missing(name.into()))?;
        let file = self.zip.by_index(index).map_err(archive)?;
        let (packed, unpacked) = (file.compressed_size(), file.size());
        let format = |problem: &str| Err(ArrayError::Format { name: name.into(), problem: problem.into() });
        if packed > self.length.saturating_sub(file.data_start()) {
            return format("is said to be longer than the file");
        }
        match file.compression() {
            CompressionMethod::Stored if packed != unpacked => return format("is not packed, but has two sizes"),
            CompressionMethod::Stored => (),
            _ if !unfolds(packed, unpacked) => {
                return Err(ArrayError::Unfolded { name: name.into(), packed, unpacked });
            }
            _ => (),
        }
        Npy::new(file, unpacked, name)
    }
}

/// An archive being written, as `np.savez` does: not packed. The same arrays give the same bytes.
///
/// An array is written from where it is, so that one at a time needs to be in memory.
pub struct NpzWriter<W: Write + Seek>(ZipWriter<W>);

impl<W: Write + Seek> NpzWriter<W> {
    /// Starts an archive.
    pub fn new(writer: W) -> Self {
        Self(ZipWriter::new(writer))
    }

    /// Adds an array. Arrays of 4 GiB and more get sizes of 64 bits.
    ///
    /// # Errors
    ///
    /// When the writer refuses, or has an array of this name.
    pub fn add<T: Element, D: Dimension>(
        &mut self,
        name: &str,
        array: &ArrayBase<impl Data<Elem = T>, D>,
    ) -> Result<(), ArrayError> {
        let size = (array.len() as u64).saturating_mul(size_of::<T>() as u64);
        // With room for the header.
        self.add_sized(name, array, size > u64::from(u32::MAX) - (1 << 16))
    }

    /// Adds an array, with sizes of 64 bits or of 32.
    fn add_sized<T: Element, D: Dimension>(
        &mut self,
        name: &str,
        array: &ArrayBase<impl Data<Elem = T>, D>,
        large: bool,
    ) -> Result<(), ArrayError> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(large);
        self.0.start_file(format!("{name}.npy"), options).map_err(archive)?;
        self.0.write_all(&Header::of(array).to_bytes())?;
        write_numbers(&mut self.0, array)?;
        Ok(())
    }

    /// Writes the table of contents and gives the writer back.
    ///
    /// # Errors
    ///
    /// When the writer refuses.
    pub fn finish(self) -> Result<W, ArrayError> {
        let mut writer = self.0.finish().map_err(archive)?;
        writer.flush()?;
        Ok(writer)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{self, Cursor};

    use ndarray::{Array1, Array2, Ix1, Ix2, IxDyn, array};
    use proptest::prelude::*;

    use super::super::UNFOLDED_FREELY;
    use super::*;

    fn npz(add: impl FnOnce(&mut NpzWriter<Cursor<Vec<u8>>>)) -> Vec<u8> {
        let mut writer = NpzWriter::new(Cursor::new(Vec::new()));
        add(&mut writer);
        writer.finish().unwrap().into_inner()
    }

    fn packed(name: &str, content: &[u8]) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        zip.start_file(name, options).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap().into_inner()
    }

    fn npy<T: Element, D: Dimension>(array: &Array<T, D>) -> Vec<u8> {
        let mut bytes = Vec::new();
        super::super::write_npy(&mut bytes, array).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let (matrix, labels) = (array![[1.0, 2.0], [3.0, f64::MIN_POSITIVE]], Array1::from_vec(vec![1_u64, u64::MAX]));
        let bytes = npz(|npz| {
            npz.add("matrix", &matrix).unwrap();
            npz.add("labels", &labels).unwrap();
            assert!(npz.add("labels", &labels).is_err());
        });
        let mut reader = NpzReader::new(Cursor::new(&bytes)).unwrap();
        assert_eq!(reader.names().collect::<Vec<_>>(), ["matrix", "labels"]);
        assert_eq!(reader.shape("matrix").unwrap(), [2, 2]);
        assert_eq!(reader.array::<f64, Ix2>("matrix").unwrap(), matrix);
        assert_eq!(reader.array::<u64, Ix1>("labels").unwrap(), labels);
        assert!(reader.has("labels") && !reader.has("label"));
        assert_eq!(reader.array::<f64, Ix1>("lab\nel").unwrap_err().to_string(), "has no array \"lab\\nel\"");
    }

    #[test]
    fn bytes_are_those_of_another_library() {
        let (matrix, empty) = (array![[1.0, 2.0, 3.0]], Array2::<f64>::zeros((0, 2)));
        let ours = npz(|npz| {
            npz.add("matrix", &matrix).unwrap();
            npz.add("empty", &empty).unwrap();
        });
        let mut theirs = ndarray_npy::NpzWriter::new(Cursor::new(Vec::new()));
        theirs.add_array("matrix", &matrix).unwrap();
        theirs.add_array("empty", &empty).unwrap();
        assert_eq!(ours, theirs.finish().unwrap().into_inner());
    }

    #[test]
    fn packed_arrays_are_read() {
        let matrix = Array2::from_shape_fn((40, 30), |(i, j)| (i * j) as f64);
        let bytes = packed("a.npy", &npy(&matrix));
        assert!(bytes.len() < 40 * 30 * 8);
        assert_eq!(NpzReader::new(Cursor::new(bytes)).unwrap().array::<f64, Ix2>("a").unwrap(), matrix);
    }

    #[test]
    fn no_size_is_believed() {
        let error = |bytes: Vec<u8>| {
            let mut reader = NpzReader::new(Cursor::new(bytes)).unwrap();
            reader.array::<f64, IxDyn>("a").unwrap_err()
        };
        // Zeros that fill 128 MiB, in 130 kB: refused before they are unfolded.
        let zeros = packed("a.npy", &vec![0; 128 << 20]);
        assert!(matches!(error(zeros), ArrayError::Unfolded { unpacked: 0x800_0000, .. }));
        assert!(unfolds(1, UNFOLDED_FREELY) && !unfolds(1, UNFOLDED_FREELY + 1));
        assert!(unfolds(1 << 30, 200 << 30) && !unfolds(1 << 30, (200 << 30) + 1));
        // A shape of 2^80 numbers, in a packed file that is sound as a file.
        let text = npy(&Array1::<f64>::zeros(3));
        let huge = text.windows(4).position(|part| part == b"(3,)").unwrap();
        let huge = [&text[..huge], b"(1048576, 1048576, 1048576, 1048576)", &text[huge + 4..text.len()]].concat();
        let huge = {
            // The header's length, with what was put in.
            let mut huge = huge;
            huge[8] += 32;
            huge
        };
        assert!(matches!(error(packed("a.npy", &huge)), ArrayError::Size { found: 24, .. }));
        // A wrong sum.
        let mut bytes = npz(|npz| npz.add("a", &array![1.0]).unwrap());
        let place = bytes.windows(8).position(|part| part == 1.0_f64.to_le_bytes()).unwrap();
        bytes[place] ^= 1;
        assert!(error(bytes).to_string().contains("hecksum"));
        let cut = npz(|npz| npz.add("a", &array![1.0]).unwrap());
        assert!(matches!(NpzReader::new(Cursor::new(&cut[..cut.len() - 1])), Err(ArrayError::Archive(_))));
        assert!(NpzReader::new(Cursor::new(b"1,2,3\n")).is_err());
    }

    #[test]
    fn sizes_of_64_bits_are_read() {
        let bytes = npz(|npz| {
            npz.add_sized("a", &array![1.0, 2.0], true).unwrap();
            npz.add("b", &array![3.0]).unwrap();
        });
        // The sizes in the local header are full, and an extra field of kind 1 has the true ones.
        assert_eq!(&bytes[18..26], [255; 8]);
        let mut reader = NpzReader::new(Cursor::new(bytes)).unwrap();
        assert_eq!(reader.array::<f64, Ix1>("a").unwrap(), array![1.0, 2.0]);
        assert_eq!(reader.array::<f64, Ix1>("b").unwrap(), array![3.0]);
    }

    /// A file in memory that keeps only the blocks that are not all 0.
    #[derive(Default)]
    struct Sparse {
        blocks: BTreeMap<u64, Vec<u8>>,
        place: u64,
        length: u64,
    }

    const BLOCK: u64 = 1 << 16;

    impl Write for Sparse {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (block, start) = (self.place / BLOCK, (self.place % BLOCK) as usize);
            let count = bytes.len().min(BLOCK as usize - start);
            if self.blocks.contains_key(&block) || bytes[..count].iter().any(|&byte| byte != 0) {
                let content = self.blocks.entry(block).or_insert_with(|| vec![0; BLOCK as usize]);
                content[start..start + count].copy_from_slice(&bytes[..count]);
            }
            self.place += count as u64;
            self.length = self.length.max(self.place);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Sparse {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let (block, start) = (self.place / BLOCK, (self.place % BLOCK) as usize);
            let left = self.length.saturating_sub(self.place).min(BLOCK - start as u64);
            let count = bytes.len().min(left as usize);
            match self.blocks.get(&block) {
                Some(content) => bytes[..count].copy_from_slice(&content[start..start + count]),
                None => bytes[..count].fill(0),
            }
            self.place += count as u64;
            Ok(count)
        }
    }

    impl Seek for Sparse {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            let place = match to {
                SeekFrom::Start(place) => Some(place),
                SeekFrom::End(by) => self.length.checked_add_signed(by),
                SeekFrom::Current(by) => self.place.checked_add_signed(by),
            };
            self.place = place.ok_or(io::ErrorKind::InvalidInput)?;
            Ok(self.place)
        }
    }

    #[test]
    fn more_than_four_gibibytes_are_written_and_found() {
        // One row seen 23 200 times: 4.3 GB of numbers, none of which is in memory.
        let n = 23_200;
        let row = Array1::<f64>::zeros(n);
        let mut npz = NpzWriter::new(Sparse::default());
        npz.add("before", &array![1.0]).unwrap();
        npz.add("matrix", &row.broadcast((n, n)).unwrap()).unwrap();
        npz.add("behind", &array![2.0]).unwrap();
        let file = npz.finish().unwrap();
        assert!(file.length > 1 << 32 && file.blocks.len() < 10);
        let mut reader = NpzReader::new(file).unwrap();
        assert_eq!(reader.names().collect::<Vec<_>>(), ["before", "matrix", "behind"]);
        assert_eq!(reader.shape("matrix").unwrap(), [n, n]);
        assert_eq!(reader.array::<f64, Ix1>("before").unwrap(), array![1.0]);
        assert_eq!(reader.array::<f64, Ix1>("behind").unwrap(), array![2.0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn damage_never_panics(
            places in prop::collection::vec((0_usize..1000, any::<u8>()), 1..4), cut in 0_usize..2000, deflated: bool,
        ) {
            let matrix = array![[1.0, 2.0], [3.0, 4.0]];
            let mut bytes =
                if deflated { packed("a.npy", &npy(&matrix)) } else { npz(|npz| npz.add("a", &matrix).unwrap()) };
            bytes.truncate(cut);
            for (place, byte) in places {
                if let Some(found) = bytes.get_mut(place) {
                    *found = byte;
                }
            }
            if let Ok(mut reader) = NpzReader::new(Cursor::new(bytes))
                && let Ok(found) = reader.array::<f64, Ix2>("a")
            {
                prop_assert_eq!(found, matrix);
            }
        }
    }
}
