//! The numbers in an array, as numpy writes them.

/// A number that arrays are read into and written from.
///
/// What is read is the same number or an error: no digit is lost on the way.
pub trait Element: Copy {
    /// The type as numpy writes it: `<f8`.
    const KIND: &'static str;

    /// The number, from one with a point.
    fn from_f64(value: f64) -> Option<Self>;

    /// The number, from a whole one.
    fn from_i128(value: i128) -> Option<Self>;

    /// Adds its bytes, the least first.
    fn write(self, bytes: &mut Vec<u8>);
}

impl Element for f64 {
    const KIND: &'static str = "<f8";

    fn from_f64(value: f64) -> Option<Self> {
        Some(value)
    }

    fn from_i128(value: i128) -> Option<Self> {
        Some(value as f64).filter(|&float| float as i128 == value)
    }

    fn write(self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_le_bytes());
    }
}

macro_rules! whole {
    ($($type:ty, $kind:literal;)*) => {$(
        impl Element for $type {
            const KIND: &'static str = $kind;

            fn from_f64(_: f64) -> Option<Self> {
                None
            }

            fn from_i128(value: i128) -> Option<Self> {
                value.try_into().ok()
            }

            fn write(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

whole! {
    u8, "|u1";
    u64, "<u8";
    i64, "<i8";
}

/// The type of number of an array in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    letter: Letter,
    /// Bytes of one number.
    pub size: usize,
    /// Whether the greatest byte comes first.
    big: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letter {
    Bool,
    Signed,
    Unsigned,
    Float,
}

impl Kind {
    /// From numpy's text, if it is a type that is read here.
    pub fn parse(text: &str) -> Result<Self, String> {
        let unread =
            |what: &str| Err(format!("holds {what}: numbers, f4, f8, i1 to i8, u1 to u8 or b1, are read here"));
        let (big, rest) = match text.as_bytes() {
            [b'>', rest @ ..] => (true, rest),
            [b'<' | b'|', rest @ ..] => (false, rest),
            // The order of the computer that wrote it, which the file does not tell; today's have the least byte first.
            [b'=', rest @ ..] => (false, rest),
            rest => (false, rest),
        };
        let (letter, size) = match rest {
            b"f4" => (Letter::Float, 4),
            b"f8" => (Letter::Float, 8),
            b"b1" | b"?" => (Letter::Bool, 1),
            [b'i', size @ (b'1' | b'2' | b'4' | b'8')] => (Letter::Signed, usize::from(size - b'0')),
            [b'u', size @ (b'1' | b'2' | b'4' | b'8')] => (Letter::Unsigned, usize::from(size - b'0')),
            [b'O', ..] => return unread("Python objects"),
            [b'U' | b'S' | b'a', ..] => return unread("text"),
            [b'c', ..] => return unread("complex numbers"),
            _ => return unread(&crate::text::quoted(text)),
        };
        Ok(Self { letter, size, big })
    }

    /// Adds the numbers in `bytes`, a whole number of them, to `values`. The error is the number that `T` does not have.
    pub fn decode<T: Element>(self, bytes: &[u8], values: &mut Vec<T>) -> Result<(), String> {
        use Letter::{Bool, Float, Signed, Unsigned};
        let whole = |value: i128| T::from_i128(value).ok_or_else(|| value.to_string());
        let float = |value: f64| T::from_f64(value).ok_or_else(|| value.to_string());
        match (self.letter, self.size) {
            (Float, 8) => self.each(bytes, values, |b| float(f64::from_le_bytes(b))),
            (Float, _) => self.each(bytes, values, |b| float(f32::from_le_bytes(b).into())),
            (Bool, _) => self.each(bytes, values, |[b]| match b {
                0 | 1 => whole(b.into()),
                _ => Err(format!("{b}")),
            }),
            (Signed, 1) => self.each(bytes, values, |b| whole(i8::from_le_bytes(b).into())),
            (Signed, 2) => self.each(bytes, values, |b| whole(i16::from_le_bytes(b).into())),
            (Signed, 4) => self.each(bytes, values, |b| whole(i32::from_le_bytes(b).into())),
            (Signed, _) => self.each(bytes, values, |b| whole(i64::from_le_bytes(b).into())),
            (Unsigned, 1) => self.each(bytes, values, |b| whole(u8::from_le_bytes(b).into())),
            (Unsigned, 2) => self.each(bytes, values, |b| whole(u16::from_le_bytes(b).into())),
            (Unsigned, 4) => self.each(bytes, values, |b| whole(u32::from_le_bytes(b).into())),
            (Unsigned, _) => self.each(bytes, values, |b| whole(u64::from_le_bytes(b).into())),
        }
    }

    fn each<const N: usize, T>(
        self,
        bytes: &[u8],
        values: &mut Vec<T>,
        number: impl Fn([u8; N]) -> Result<T, String>,
    ) -> Result<(), String> {
        for &chunk in bytes.as_chunks::<N>().0 {
            let mut chunk = chunk;
            if self.big {
                chunk.reverse();
            }
            values.push(number(chunk)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode<T: Element>(kind: &str, bytes: &[u8]) -> Result<Vec<T>, String> {
        let mut values = Vec::new();
        Kind::parse(kind)?.decode(bytes, &mut values).map(|()| values)
    }

    #[test]
    fn numbers_by_hand() {
        // 1.5 = 0x3ff8... and 0x3fc00000, -2 in two bytes, 2^24 + 1 in four.
        assert_eq!(decode::<f64>("<f8", &[0, 0, 0, 0, 0, 0, 0xf8, 0x3f]).unwrap(), [1.5]);
        assert_eq!(decode::<f64>(">f8", &[0x3f, 0xf8, 0, 0, 0, 0, 0, 0]).unwrap(), [1.5]);
        assert_eq!(decode::<f64>("<f4", &[0, 0, 0xc0, 0x3f]).unwrap(), [1.5]);
        assert_eq!(decode::<f64>(">f4", &[0x3f, 0xc0, 0, 0]).unwrap(), [1.5]);
        assert_eq!(decode::<f64>("<i2", &[0xfe, 0xff, 3, 0]).unwrap(), [-2.0, 3.0]);
        assert_eq!(decode::<i64>(">u4", &[1, 0, 0, 1]).unwrap(), [16_777_217]);
        assert_eq!(decode::<u8>("|b1", &[0, 1]).unwrap(), [0, 1]);
        assert_eq!(decode::<i64>("|i1", &[0x80]).unwrap(), [-128]);
        assert_eq!(decode::<u64>("<u8", &[255; 8]).unwrap(), [u64::MAX]);
    }

    #[test]
    fn no_digit_is_lost() {
        // 2^53 is a double, 2^53 + 1 is none.
        let bytes = |value: i64| value.to_le_bytes();
        assert_eq!(decode::<f64>("<i8", &bytes(1 << 53)).unwrap(), [9_007_199_254_740_992.0]);
        assert_eq!(decode::<f64>("<i8", &bytes((1 << 53) + 1)).unwrap_err(), "9007199254740993");
        assert_eq!(decode::<f64>("<i8", &bytes(i64::MIN)).unwrap(), [-9_223_372_036_854_775_808.0]);
        assert_eq!(decode::<f64>("<u8", &[255; 8]).unwrap_err(), "18446744073709551615");
        assert_eq!(decode::<u64>("<i8", &bytes(-1)).unwrap_err(), "-1");
        assert_eq!(decode::<u8>("<i8", &bytes(256)).unwrap_err(), "256");
        assert_eq!(decode::<u64>("<f8", &1.0_f64.to_le_bytes()).unwrap_err(), "1");
        assert_eq!(decode::<f64>("|b1", &[2]).unwrap_err(), "2");
    }

    #[test]
    fn other_types_are_named() {
        assert!(Kind::parse("|O").unwrap_err().starts_with("holds Python objects"));
        assert!(Kind::parse("<U3").unwrap_err().starts_with("holds text"));
        assert!(Kind::parse("<c16").unwrap_err().starts_with("holds complex numbers"));
        for kind in ["<f2", "<f16", "<i3", "", "<", "f", "<\u{1b}", "<f88"] {
            assert!(Kind::parse(kind).unwrap_err().starts_with("holds \""), "{kind}");
        }
    }
}
