//! How much memory there is.

use crate::backend::Backend;
use crate::error::Error;

/// Bytes that can be allocated without swapping, where the system tells (Linux).
pub fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Refuses what would not fit. A backend with a driver has memory of its own, which is not known here.
///
/// # Errors
///
/// When fewer than `needed` bytes are free for `what`.
pub fn check(backend: Backend, needed: u64, what: impl FnOnce() -> String) -> Result<(), Error> {
    match available() {
        Some(free) if needed > free && !backend.has_driver() => Err(Error::Memory { what: what(), needed, free }),
        _ => Ok(()),
    }
}

/// Bytes for people: `12.3 GiB`, `45 MiB`.
pub fn readable(bytes: u64) -> String {
    let mebibytes = bytes as f64 / (1u64 << 20) as f64;
    if mebibytes < 1024.0 { format!("{mebibytes:.0} MiB") } else { format!("{:.1} GiB", mebibytes / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(readable(45 << 20), "45 MiB");
        assert_eq!(readable(3 << 29), "1.5 GiB");
    }
}
