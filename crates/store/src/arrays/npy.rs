//! One array: a header in the words of Python, and its numbers.

use std::io::{self, Read, Write};

use ndarray::{Array, ArrayBase, Data, Dimension, IxDyn, ShapeBuilder};

use super::ArrayError;
use super::element::{Element, Kind};
use crate::memory;
use crate::text::quoted;

/// Every file begins so.
const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header that is read, in bytes; numpy reads no longer one of its own accord either.
const LONGEST: usize = 10_000;

/// Bytes on their way between file and array.
const CHUNK: usize = 1 << 16;

/// Reads an `.npy` file of `length` bytes. `name` is for messages.
///
/// # Errors
///
/// When it is no such file, its header promises another length, or its numbers are none of `T`.
pub fn read_npy<T: Element, D: Dimension>(
    reader: impl Read,
    length: u64,
    name: &str,
) -> Result<Array<T, D>, ArrayError> {
    Npy::new(reader, length, name)?.array()
}

/// Writes an `.npy` file.
///
/// # Errors
///
/// When the writer refuses.
pub fn write_npy<T: Element, D: Dimension>(
    mut writer: impl Write,
    array: &ArrayBase<impl Data<Elem = T>, D>,
) -> Result<(), ArrayError> {
    writer.write_all(&Header::of(array).to_bytes())?;
    write_numbers(&mut writer, array)?;
    Ok(writer.flush()?)
}

/// Whether an array's numbers stand in memory with the first index running fastest, and not also the last.
fn is_fortran<T, D: Dimension>(array: &ArrayBase<impl Data<Elem = T>, D>) -> bool {
    !array.is_standard_layout() && array.t().is_standard_layout()
}

/// The numbers of an array, in the order that its header says.
pub(super) fn write_numbers<T: Element, D: Dimension>(
    writer: &mut impl Write,
    array: &ArrayBase<impl Data<Elem = T>, D>,
) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(CHUNK + 8);
    let mut put = |value: &T| {
        value.write(&mut bytes);
        if bytes.len() < CHUNK {
            return Ok(());
        }
        let written = writer.write_all(&bytes);
        bytes.clear();
        written
    };
    match is_fortran(array) {
        true => array.t().iter().try_for_each(&mut put)?,
        false => array.iter().try_for_each(&mut put)?,
    }
    writer.write_all(&bytes)
}

/// What stands before an array's numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The type of number, in numpy's words.
    kind: String,
    /// Whether the first index runs fastest.
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    pub fn of<T: Element, D: Dimension>(array: &ArrayBase<impl Data<Elem = T>, D>) -> Self {
        Self { kind: T::KIND.into(), fortran: is_fortran(array), shape: array.shape().to_vec() }
    }

    /// Padded with spaces to a multiple of 64 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { kind, fortran, shape } = self;
        let fortran = if *fortran { "True" } else { "False" };
        let shape = match &shape[..] {
            [one] => format!("({one},)"),
            shape => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
        };
        let mut text = format!("{{'descr': '{kind}', 'fortran_order': {fortran}, 'shape': {shape}}}");
        // Magic, version and length take ten bytes, and the line ends.
        text.push_str(&" ".repeat(64 - (10 + text.len() + 1) % 64));
        text.push('\n');
        let length = u16::try_from(text.len()).expect("an array has few dimensions");
        [MAGIC, &[1, 0], &length.to_le_bytes(), text.as_bytes()].concat()
    }

    /// Reads a header, and tells how many bytes it took. The error says what is wrong.
    fn read(reader: &mut impl Read) -> io::Result<Result<(Self, u64), String>> {
        let mut start = [0; 8];
        reader.read_exact(&mut start)?;
        if &start[..6] != MAGIC {
            return Ok(Err("does not begin as numpy's files do".into()));
        }
        let (length, before) = match start[6..] {
            [1, 0] => {
                let mut length = [0; 2];
                reader.read_exact(&mut length)?;
                (usize::from(u16::from_le_bytes(length)), 10)
            }
            [2 | 3, 0] => {
                let mut length = [0; 4];
                reader.read_exact(&mut length)?;
                (u32::from_le_bytes(length) as usize, 12)
            }
            [major, minor, ..] => {
                return Ok(Err(format!("is of version {major}.{minor}, but 1.0 to 3.0 are read here")));
            }
            _ => unreachable!("eight bytes were read"),
        };
        if length > LONGEST {
            return Ok(Err(format!("its header is said to be {length} bytes long; at most {LONGEST} are read")));
        }
        let mut text = vec![0; length];
        reader.read_exact(&mut text)?;
        let header = std::str::from_utf8(&text).map_err(|error| error.to_string()).and_then(Self::parse);
        Ok(header.map(|header| (header, before + length as u64)))
    }

    /// From Python's words: `{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }`, the keys in any order.
    fn parse(text: &str) -> Result<Self, String> {
        let damaged = || format!("its header is damaged: {}", quoted(text.trim()));
        let mut rest = text.trim().strip_prefix('{').ok_or_else(damaged)?.trim_start();
        let (mut kind, mut fortran, mut shape) = (None, None, None);
        while !rest.starts_with('}') {
            let (key, after) = string(rest).ok_or_else(damaged)?;
            rest = after.trim_start().strip_prefix(':').ok_or_else(damaged)?.trim_start();
            match key {
                "descr" if rest.starts_with('[') => return Err("holds records: plain numbers are read here".into()),
                "descr" => {
                    let (text, after) = string(rest).ok_or_else(damaged)?;
                    (kind, rest) = (Some(text), after);
                }
                "fortran_order" => {
                    let yes = rest.strip_prefix("True").map(|after| (true, after));
                    let (value, after) =
                        yes.or_else(|| Some((false, rest.strip_prefix("False")?))).ok_or_else(damaged)?;
                    (fortran, rest) = (Some(value), after);
                }
                "shape" => {
                    let (numbers, after) =
                        rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).ok_or_else(damaged)?;
                    let number = |text: &str| {
                        let text = text.trim();
                        // Python 2 wrote an L behind long ones.
                        text.strip_suffix('L').unwrap_or(text).parse().map_err(|_| damaged())
                    };
                    let numbers = numbers.trim().trim_end_matches(',');
                    let numbers: Result<Vec<usize>, String> = match numbers {
                        "" => Ok(Vec::new()),
                        numbers => numbers.split(',').map(number).collect(),
                    };
                    (shape, rest) = (Some(numbers?), after);
                }
                _ => return Err(damaged()),
            }
            rest = rest.trim_start();
            match rest.strip_prefix(',') {
                Some(after) => rest = after.trim_start(),
                None if rest.starts_with('}') => (),
                None => return Err(damaged()),
            }
        }
        match (kind, fortran, shape) {
            (Some(kind), Some(fortran), Some(shape)) if rest == "}" => Ok(Self { kind: kind.into(), fortran, shape }),
            _ => Err(damaged()),
        }
    }
}

/// A string of Python at the beginning of a text, without escapes, and what follows it.
fn string(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|&c| matches!(c, '\'' | '"'))?;
    let (content, after) = text[1..].split_once(quote)?;
    (!content.contains('\\')).then_some((content, after))
}

/// An array being read: its header is read and believed by now, its numbers are to come.
pub(super) struct Npy<R: Read> {
    reader: R,
    name: String,
    header: Header,
    kind: Kind,
    /// Numbers in the array.
    count: usize,
}

impl<R: Read> Npy<R> {
    /// Reads the header of an array that takes `length` bytes with it.
    pub fn new(mut reader: R, length: u64, name: &str) -> Result<Self, ArrayError> {
        let format = |problem: String| ArrayError::Format { name: name.into(), problem };
        let header = Header::read(&mut reader).map_err(|error| format(read_error(&error)))?;
        let (header, before) = header.map_err(format)?;
        let kind = Kind::parse(&header.kind).map_err(format)?;
        let found = length.saturating_sub(before);
        let count = header.shape.iter().try_fold(1_u128, |count, &side| count.checked_mul(side as u128));
        let needed = count.and_then(|count| count.checked_mul(kind.size as u128)).unwrap_or(u128::MAX);
        if needed != u128::from(found) || needed > isize::MAX as u128 {
            let (shape, kind) = (header.shape, quoted(&header.kind));
            return Err(ArrayError::Size { name: name.into(), shape, kind, needed, found });
        }
        let count = needed as usize / kind.size;
        Ok(Self { reader, name: name.into(), header, kind, count })
    }

    pub fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// Reads the numbers, and that nothing follows them.
    pub fn array<T: Element, D: Dimension>(mut self) -> Result<Array<T, D>, ArrayError> {
        let Header { shape, fortran, kind } = self.header;
        let name = self.name;
        let wanted = D::NDIM.unwrap_or(shape.len());
        // An empty array may have sides that no memory has.
        let sides = shape.iter().filter(|&&side| side > 0).try_fold(1_usize, |size, &side| size.checked_mul(side));
        if wanted != shape.len() || sides.is_none_or(|size| size > isize::MAX as usize / 8) {
            return Err(ArrayError::Dimensions { name, shape, wanted });
        }
        let size = self.count.saturating_mul(size_of::<T>()) as u64;
        memory::check(size, || format!("array {}", quoted(&name)))?;
        let format = |problem: String| ArrayError::Format { name: name.clone(), problem };
        let mut values: Vec<T> = Vec::new();
        values.try_reserve_exact(self.count).map_err(|error| format(error.to_string()))?;
        let mut bytes = vec![0; CHUNK];
        let mut left = self.count * self.kind.size;
        while left > 0 {
            // A whole number of numbers: their sizes are powers of two.
            let chunk = &mut bytes[..left.min(CHUNK)];
            self.reader.read_exact(chunk).map_err(|error| format(read_error(&error)))?;
            self.kind.decode(chunk, &mut values).map_err(|value| ArrayError::Value {
                name: name.clone(),
                value,
                kind: kind.clone(),
                wanted: T::KIND,
            })?;
            left -= chunk.len();
        }
        // Going to the end also makes an archive check its sum.
        if self.reader.read(&mut bytes[..1]).map_err(|error| format(read_error(&error)))? > 0 {
            return Err(format("more bytes follow its numbers".into()));
        }
        let array = Array::from_shape_vec(IxDyn(&shape).set_f(fortran), values).expect("the sizes were compared");
        Ok(array.into_dimensionality().expect("the dimensions were compared"))
    }
}

/// What a reader said, in the words of files.
fn read_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "ends too early".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, ArrayD, array};
    use ndarray_npy::WriteNpyExt;
    use proptest::prelude::*;

    use super::*;

    /// A file with this header and these numbers.
    fn file(header: &str, numbers: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), numbers].concat()
    }

    fn read<T: Element, D: Dimension>(bytes: &[u8]) -> Result<Array<T, D>, String> {
        read_npy(bytes, bytes.len() as u64, "a").map_err(|error| error.to_string())
    }

    #[test]
    fn headers_by_hand() {
        let header = |text: &str| Header::parse(text);
        let expected = Header { kind: "<f8".into(), fortran: false, shape: vec![2, 3] };
        assert_eq!(header("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }   \n"), Ok(expected.clone()));
        assert_eq!(header("{\"shape\":(2,3),'fortran_order':False,'descr':'<f8'}"), Ok(expected.clone()));
        assert_eq!(header("{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L), }"), Ok(expected));
        let shape = |text: &str| header(&format!("{{'descr': '<f8', 'fortran_order': True, 'shape': {text}, }}"));
        assert_eq!(shape("()").unwrap().shape, [0; 0]);
        assert_eq!(shape("(7,)").unwrap().shape, [7]);
        for damaged in ["(", "(-1,)", "(1;2)", "[1]", "(,)x", "(1,,2)", "(99999999999999999999,)", "('x',)"] {
            assert!(shape(damaged).unwrap_err().starts_with("its header is damaged"), "{damaged}");
        }
        assert_eq!(header("{'descr': [('a', '<f8')], "), Err("holds records: plain numbers are read here".into()));
        for damaged in ["", "{", "{}", "{'descr': '<f8'}", "{'x': 1}", "[]", "{'descr': '<f8', 'fortran_order': 0}"] {
            assert!(header(damaged).unwrap_err().starts_with("its header is damaged"), "{damaged}");
        }
    }

    #[test]
    fn files_by_hand() {
        let text = "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n";
        let numbers = [1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0];
        // The first index runs fastest.
        let expected = array![[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]];
        assert_eq!(read::<f64, _>(&file(text, &numbers)), Ok(expected));
        assert_eq!(
            read::<f64, ndarray::Ix2>(&file(text, &numbers[..10])).unwrap_err(),
            "array \"a\": shape [2, 3] of \"<i2\" takes 12 bytes, but 10 are there"
        );
        let dimensions = read::<f64, ndarray::Ix1>(&file(text, &numbers)).unwrap_err();
        assert_eq!(dimensions, "array \"a\": shape [2, 3] has 2 dimensions, but 1 are wanted");
        let text = "{'descr': '|O', 'fortran_order': False, 'shape': (), }\n";
        assert!(read::<f64, ndarray::Ix0>(&file(text, b"x")).unwrap_err().contains("holds Python objects"));
        assert_eq!(read::<f64, ndarray::Ix0>(b"abc").unwrap_err(), "array \"a\": ends too early");
        assert_eq!(
            read::<f64, ndarray::Ix0>(b"PK\x03\x04abcdef").unwrap_err(),
            "array \"a\": does not begin as numpy's files do"
        );
        let version = [MAGIC, &[4, 0, 0, 0]].concat();
        assert!(read::<f64, ndarray::Ix0>(&version).unwrap_err().contains("version 4.0"));
    }

    #[test]
    fn no_size_is_believed() {
        for shape in ["(4294967296, 4294967296)", "(18446744073709551615,)", "(1000000, 1000000, 1000000, 1000000)"] {
            let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
            let error = read::<f64, IxDyn>(&file(&text, &[0; 16])).unwrap_err();
            assert!(error.contains("but 16 are there"), "{error}");
        }
        // A header of four gigabytes, in twelve bytes.
        let long = [MAGIC, &[2, 0, 255, 255, 255, 255]].concat();
        assert!(read::<f64, IxDyn>(&long).unwrap_err().contains("4294967295 bytes long"));
        // Nothing, in a shape that no memory has; its sides are no sizes that an array may have.
        for shape in ["(0, 18446744073709551615)", "(4294967296, 0, 4294967296)"] {
            let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}");
            assert!(read::<f64, IxDyn>(&file(&text, &[])).is_err());
        }
        // The length comes from the file: here it is wrong.
        let text = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }";
        let short = file(text, &[0; 8]);
        let error = read_npy::<f64, ndarray::Ix1>(&short[..], short.len() as u64 + 8, "a").unwrap_err();
        assert_eq!(error.to_string(), "array \"a\": ends too early");
        let long = file(text, &[0; 24]);
        let error = read_npy::<f64, ndarray::Ix1>(&long[..], long.len() as u64 - 8, "a").unwrap_err();
        assert_eq!(error.to_string(), "array \"a\": more bytes follow its numbers");
    }

    #[test]
    fn files_are_those_of_another_library() {
        fn same<T: Element + ndarray_npy::WritableElement, D: Dimension>(array: &ArrayBase<impl Data<Elem = T>, D>) {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            write_npy(&mut ours, array).unwrap();
            array.write_npy(&mut theirs).unwrap();
            assert!(ours == theirs, "{}", String::from_utf8_lossy(&theirs));
        }
        let matrix = Array2::from_shape_fn((300, 70), |(i, j)| i as f64 - 0.1 * j as f64);
        same(&matrix);
        same(&matrix.t());
        same(&matrix.slice(ndarray::s![..;2, 3..]));
        same(&matrix.broadcast((2, 300, 70)).unwrap());
        same(&Array1::from_vec(vec![1_u8; 3]));
        same(&Array1::from_vec(vec![u64::MAX]));
        same(&Array2::<i64>::zeros((0, 3)));
        same(&ndarray::Array0::from_elem((), 1.5));
        // Of every length, so that every padding is met.
        for dimensions in 1..30 {
            same(&ArrayD::<f64>::zeros(vec![1; dimensions]));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows in 0_usize..5, columns in 0_usize..5, seed in any::<[f64; 16]>(), turned: bool) {
            let array = Array2::from_shape_fn((rows, columns), |(i, j)| seed[4 * i.min(3) + j.min(3)]);
            let array = if turned { array.reversed_axes() } else { array };
            let mut bytes = Vec::new();
            write_npy(&mut bytes, &array).unwrap();
            let found = read::<f64, ndarray::Ix2>(&bytes).unwrap();
            prop_assert_eq!(found.dim(), array.dim());
            prop_assert!(found.iter().zip(&array).all(|(a, b)| a.to_bits() == b.to_bits()));
        }

        #[test]
        fn damage_never_panics(
            place in 0_usize..200, byte: u8, cut in 0_usize..200,
        ) {
            let mut bytes = Vec::new();
            write_npy(&mut bytes, &array![[1.0, 2.0], [3.0, 4.0]]).unwrap();
            bytes.truncate(cut);
            if let Some(found) = bytes.get_mut(place) {
                *found = byte;
            }
            let _ = read::<f64, IxDyn>(&bytes);
        }
    }
}
