//! Signals that end the program: what was computed is kept first.
//!
//! SIGINT and SIGTERM are told to jobs that can be resumed, or that clean up: they look at [`check`] between steps. All
//! others end at once, but not while a file is half written. A second signal ends the program wherever it is.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::error::Error;

/// The first signal; 0 before.
static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// Jobs at work that look.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// A job that looks at [`check`] between its steps, until this is dropped.
pub(crate) struct Looking;

impl Looking {
    pub(crate) fn begin() -> Self {
        LOOKING.fetch_add(1, Ordering::SeqCst);
        Looking
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        LOOKING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The signal that asked the program to end, if any did.
pub(crate) fn caught() -> Option<i32> {
    Some(CAUGHT.load(Ordering::Relaxed)).filter(|&signal| signal != 0)
}

/// Ends a job between two of its steps when a signal asks for that.
pub(crate) fn check() -> Result<(), Error> {
    match caught() {
        None => Ok(()),
        Some(signal) => Err(Error::Interrupted { signal, what: "; the same command with --resume goes on".into() }),
    }
}

/// The name of a signal.
pub(crate) fn name(signal: i32) -> &'static str {
    match signal {
        2 => "SIGINT",
        15 => "SIGTERM",
        _ => "a signal",
    }
}

/// Watches for signals from now on.
pub(crate) fn watch() {
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM]) else { return };
        std::thread::spawn(move || {
            for signal in signals.forever() {
                let first = CAUGHT.swap(signal, Ordering::SeqCst) == 0;
                if first && LOOKING.load(Ordering::SeqCst) > 0 {
                    let note = "widenet: stopping after this step; a second signal ends at once";
                    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{note}\n").as_bytes());
                    continue;
                }
                if first {
                    widenet_store::write::rest(std::time::Duration::from_secs(2));
                }
                std::process::exit(128 + signal);
            }
        });
    }
}
