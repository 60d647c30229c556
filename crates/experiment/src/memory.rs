//! Whether a computation fits the memory, and what would.

pub use widenet_store::memory::{available, readable};

use widenet_store::numbers::count;

use crate::backend::Backend;
use crate::error::Error;

/// Refuses what would not fit. A backend with a driver has memory of its own, which is not known here. `fits` says what
/// would fit in so many bytes, if anything would.
///
/// # Errors
///
/// When fewer than `needed` bytes are free for `what`.
pub fn check(
    backend: Backend,
    needed: u64,
    what: impl FnOnce() -> String,
    fits: impl FnOnce(u64) -> Option<String>,
) -> Result<(), Error> {
    if backend.has_driver() {
        return Ok(());
    }
    widenet_store::memory::check(needed, what).map_err(|error| {
        let advice = fits(error.free);
        Error::Memory { error, advice }
    })
}

/// Refuses a network whose weights take so many numbers of `bytes` each; `what` names it.
///
/// # Errors
///
/// As for [`check`].
pub fn check_weights(
    backend: Backend,
    parameters: usize,
    bytes: u64,
    what: impl FnOnce() -> String,
) -> Result<(), Error> {
    let fits = |_| Some("smaller widths in the configuration would fit".into());
    check(backend, (parameters as u64).saturating_mul(bytes), what, fits)
}

/// Refuses kernels on the host of `n` samples, which take `bytes(n)`, where `setting` sets their number.
///
/// # Errors
///
/// As for [`check`].
pub fn check_samples(n: usize, setting: &str, bytes: impl Fn(u64) -> u64) -> Result<(), Error> {
    let fits = |free| largest(n, free, &bytes).map(|n| format!("--set {setting}={n} would fit"));
    check(Backend::Flex, bytes(n as u64), || format!("the kernel of {}", count(n, "sample")), fits)
}

/// The largest `n` from 1 to `most` for which `bytes(n)`, which grows, is at most `free`.
pub fn largest(most: usize, free: u64, bytes: impl Fn(u64) -> u64) -> Option<usize> {
    let (mut fits, mut fails) = (0, most as u64 + 1);
    while fails - fits > 1 {
        let middle = fits + (fails - fits) / 2;
        if bytes(middle) <= free {
            fits = middle;
        } else {
            fails = middle;
        }
    }
    (fits > 0).then_some(fits as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_that_fits() {
        let bytes = |n: u64| 16 * n * n;
        assert_eq!(largest(1000, 16 * 100, bytes), Some(10));
        assert_eq!(largest(1000, 16 * 100 - 1, bytes), Some(9));
        assert_eq!(largest(5, 16 * 100, bytes), Some(5));
        assert_eq!(largest(5, 15, bytes), None);
    }

    #[test]
    fn a_refusal_says_what_fits() {
        let refused = |fits: fn(u64) -> Option<String>| {
            check(Backend::Flex, u64::MAX, || "everything".into(), fits).unwrap_err().to_string()
        };
        if available().is_some() {
            assert!(
                refused(|free| Some(format!("--n {} fits", u64::from(free > 0)))).ends_with(" are free; --n 1 fits")
            );
            assert!(refused(|_| None).ends_with(" of memory are free"));
        }
    }
}
