//! Whether what is read is what was written.

use std::path::Path;
use std::{fmt, fs, io};

use sha2::{Digest, Sha256};

use crate::error::StoreError;

/// The SHA-256 of some bytes; shown in 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum([u8; 32]);

impl Checksum {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The bytes of a file; nothing where there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(path)(error)),
    }
}

/// The bytes of a file that was written once: where there is none, it was lost.
pub(crate) fn read_written(path: &Path) -> Result<Vec<u8>, StoreError> {
    read(path)?.ok_or_else(|| StoreError::damaged(path, "it is missing"))
}

/// Puts a line before a body that says what it is, which configuration it belongs to, and both checksums:
/// `# widenet NAME configuration SHA256 content SHA256`. TOML takes it for a comment.
pub fn seal(name: &str, configuration: Checksum, body: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, configuration, body).into_bytes();
    bytes.extend(body);
    bytes
}

/// The body of what [`seal`] made.
///
/// # Errors
///
/// [`StoreError::Damaged`] when a bit was changed, or it is something else; [`StoreError::Other`] when it belongs to
/// another configuration.
pub fn unseal<'a>(path: &Path, name: &str, configuration: Checksum, bytes: &'a [u8]) -> Result<&'a [u8], StoreError> {
    let damaged = || StoreError::damaged(path, "its checksum is another");
    let end = bytes.iter().position(|&byte| byte == b'\n').ok_or_else(damaged)?;
    let (line, body) = bytes.split_at(end + 1);
    if line == header(name, configuration, body).as_bytes() {
        return Ok(body);
    }
    // Whole, but of another configuration: its header says which, and fits its content.
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let theirs = words.iter().position(|word| *word == b"configuration").and_then(|at| words.get(at + 1));
    let theirs = theirs.and_then(|word| std::str::from_utf8(word).ok()).and_then(parse);
    match theirs {
        Some(theirs) if theirs != configuration && line == header(name, theirs, body).as_bytes() => {
            Err(StoreError::Other { path: path.into() })
        }
        _ => Err(damaged()),
    }
}

fn header(name: &str, configuration: Checksum, body: &[u8]) -> String {
    let mut content = Sha256::new();
    content.update(name.as_bytes());
    content.update(configuration.0);
    content.update(body);
    let content = Checksum(content.finalize().into());
    format!("# widenet {name} configuration {configuration} content {content}\n")
}

fn parse(text: &str) -> Option<Checksum> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(Checksum(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_the_published_one() {
        // FIPS 180-4, example "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Checksum::of(b"abc").to_string(), abc);
        assert_eq!(parse(abc), Some(Checksum::of(b"abc")));
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let (path, config) = (Path::new("part.toml"), Checksum::of(b"config"));
        let sealed = seal("part", config, b"a = 1\n");
        assert_eq!(unseal(path, "part", config, &sealed).unwrap(), b"a = 1\n");
        for bit in 0..8 * sealed.len() {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = unseal(path, "part", config, &flipped).unwrap_err().to_string();
            assert_eq!(error, "part.toml: damaged: its checksum is another", "bit {bit}");
        }
        assert!(matches!(unseal(path, "other", config, &sealed), Err(StoreError::Damaged { .. })));
        assert!(matches!(unseal(path, "part", Checksum::of(b""), &sealed), Err(StoreError::Other { .. })));
        assert!(matches!(unseal(path, "part", config, b""), Err(StoreError::Damaged { .. })));
    }
}
