//! From bytes to text: marks of the byte order, encodings, ends of lines.

use std::fmt;
use std::str::FromStr;

use encoding_rs::{UTF_8, UTF_16BE, UTF_16LE};
use serde::{Deserialize, Serialize};

use crate::TableError;
use crate::error::Fault;

/// How text is written in bytes, by the names that the web knows: `utf-8`, `utf-16le`, `latin1`, `shift_jis`, ...
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Encoding(&'static encoding_rs::Encoding);

impl Encoding {
    /// What is taken unless something else is said or found.
    pub const UTF_8: Self = Self(UTF_8);

    /// The name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }
}

impl Default for Encoding {
    fn default() -> Self {
        Self::UTF_8
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The web reads Latin-1 as the encoding that adds signs to it.
        let latin = self.0 == encoding_rs::WINDOWS_1252;
        f.write_str(if latin { "Latin-1 (windows-1252)" } else { self.name() })
    }
}

impl fmt::Debug for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Encoding {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        // `latin-1` and `utf16` are what people write.
        let spellings = [name.to_string(), name.replace('-', ""), name.to_lowercase().replace("utf16", "utf-16")];
        let found = spellings.iter().find_map(|name| encoding_rs::Encoding::for_label(name.as_bytes()));
        found.map(Self).ok_or_else(|| "no known encoding: utf-8, utf-16le, utf-16be, latin1, ...".into())
    }
}

impl TryFrom<String> for Encoding {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
    }
}

impl From<Encoding> for String {
    fn from(encoding: Encoding) -> Self {
        encoding.name().into()
    }
}

/// The text of a file, with `\n` at the ends of its lines, and its encoding: that of its mark of the byte order, or the
/// one that is told, or UTF-8. What is no UTF-8 is read in the encoding of `known` files of the kind, if there is one.
pub(crate) fn text(
    bytes: Vec<u8>,
    told: Option<Encoding>,
    known: Option<Encoding>,
) -> Result<(String, Encoding), Fault> {
    let marked = encoding_rs::Encoding::for_bom(&bytes);
    let (encoding, start) = match (marked, told) {
        (Some((encoding, length)), _) => (encoding, length),
        (None, Some(told)) => (told.0, 0),
        (None, None) => (UTF_8, 0),
    };
    let fallback = known.filter(|known| marked.is_none() && told.is_none() && known.0 != UTF_8).map(|known| known.0);
    let content = &bytes[start..];
    if let Some(other) = fallback.filter(|_| content.contains(&0) || std::str::from_utf8(content).is_err()) {
        return decoded(content, other);
    }
    if encoding != UTF_8 {
        return decoded(content, encoding);
    }
    let mut bytes = bytes;
    bytes.drain(..start);
    let bytes = with_line_feeds(bytes);
    check_zero(&bytes)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((text, Encoding(UTF_8))),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let byte = error.as_bytes()[at];
            Err(Fault::at(line_of(error.as_bytes(), at), TableError::NotUtf8 { byte }))
        }
    }
}

fn decoded(bytes: &[u8], encoding: &'static encoding_rs::Encoding) -> Result<(String, Encoding), Fault> {
    let whole = ![UTF_16LE, UTF_16BE].contains(&encoding) || bytes.len().is_multiple_of(2);
    let text = encoding.decode_without_bom_handling_and_without_replacement(bytes).filter(|_| whole);
    let text = text.ok_or_else(|| Fault::from(TableError::Encoding(Encoding(encoding))))?.into_owned();
    let bytes = with_line_feeds(text.into_bytes());
    check_zero(&bytes)?;
    let text = String::from_utf8(bytes).map_err(|_| Fault::from(TableError::Encoding(Encoding(encoding))))?;
    Ok((text, Encoding(encoding)))
}

/// `\r\n`, and `\r` alone, become `\n`.
fn with_line_feeds(mut bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.contains(&b'\r') {
        return bytes;
    }
    let (mut kept, mut i) = (0, 0);
    while i < bytes.len() {
        let byte = bytes[i];
        if byte == b'\r' {
            bytes[kept] = b'\n';
            i += usize::from(bytes.get(i + 1) == Some(&b'\n'));
        } else {
            bytes[kept] = byte;
        }
        (kept, i) = (kept + 1, i + 1);
    }
    bytes.truncate(kept);
    bytes
}

/// Refuses a byte 0.
fn check_zero(bytes: &[u8]) -> Result<(), Fault> {
    // Looks at many bytes at once.
    if !bytes.contains(&0) {
        return Ok(());
    }
    let at = bytes.iter().take_while(|&&byte| byte != 0).count();
    Err(Fault::at(line_of(bytes, at), TableError::Zero))
}

/// The line of a byte, from 1.
fn line_of(bytes: &[u8], at: usize) -> u64 {
    1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], told: Option<&str>) -> Result<(String, &'static str), (Option<u64>, String)> {
        text(bytes.to_vec(), told.map(|told| told.parse().unwrap()), None)
            .map(|(text, encoding)| (text, encoding.name()))
            .map_err(|fault| (fault.line, fault.problem.to_string()))
    }

    /// `é;1` in two lines, in UTF-16.
    fn wide(order: fn(u16) -> [u8; 2], text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(order).collect()
    }

    #[test]
    fn marks_of_the_byte_order_are_found() {
        assert_eq!(read(b"\xef\xbb\xbfa,b\n", None).unwrap(), ("a,b\n".into(), "UTF-8"));
        assert_eq!(read(&wide(u16::to_le_bytes, "\u{feff}é;1\r\n"), None).unwrap(), ("é;1\n".into(), "UTF-16LE"));
        assert_eq!(read(&wide(u16::to_be_bytes, "\u{feff}é;1\r\n"), None).unwrap(), ("é;1\n".into(), "UTF-16BE"));
        // The mark is surer than what is told.
        assert_eq!(read(b"\xef\xbb\xbfa", Some("latin-1")).unwrap(), ("a".into(), "UTF-8"));
    }

    #[test]
    fn other_encodings_are_told() {
        assert_eq!(read(b"caf\xe9", Some("latin-1")).unwrap(), ("café".into(), "windows-1252"));
        assert_eq!(read(&wide(u16::to_le_bytes, "a,b"), Some("utf-16")).unwrap(), ("a,b".into(), "UTF-16LE"));
        assert_eq!(
            read(b"a\ncaf\xe9", None).unwrap_err(),
            (Some(2), "byte 0xe9 is not UTF-8: it is another encoding".into())
        );
        let zero = read(&wide(u16::to_le_bytes, "a,b"), None).unwrap_err();
        assert_eq!(zero, (Some(1), "a byte 0: it is no text, or UTF-16 without a mark of the byte order".into()));
        assert_eq!(read(b"\xff\xfea\0b", None).unwrap_err().1, "it is not UTF-16LE");
        assert!("klingon".parse::<Encoding>().is_err());
    }

    #[test]
    fn an_encoding_known_from_before_is_the_second_choice() {
        let latin: Encoding = "latin1".parse().unwrap();
        let second = |bytes: &[u8]| text(bytes.to_vec(), None, Some(latin)).map(|(text, _)| text).unwrap();
        assert_eq!(second(b"caf\xe9"), "café");
        assert_eq!(second("café".as_bytes()), "café");
    }

    #[test]
    fn lines_end_in_every_way() {
        assert_eq!(read(b"a\r\nb\rc\nd\r", None).unwrap().0, "a\nb\nc\nd\n");
        assert_eq!(read(b"a\r\nb\r\n\xff", None).unwrap_err().0, Some(3));
    }
}
