//! The processor's time, which does not run while others have the processor.

use std::io::{Error, ErrorKind, Result};

/// Seconds that this thread has had a processor for (Linux).
pub fn thread_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: Option<f64> = text.split(' ').next().and_then(|word| word.parse().ok());
    Ok(1e-9 * nanoseconds.ok_or_else(|| Error::new(ErrorKind::InvalidData, text))?)
}
