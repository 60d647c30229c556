//! Signals that end the program: what was computed is kept first.
//!
//! At SIGINT and SIGTERM the program ends at once, but not while a file is half written: what is on the disk then is
//! what `--resume` goes on with. Jobs that have more in memory than on the disk, or that clean up, look at [`caught`]
//! or [`check`] between their steps, and end there. A second signal ends the program wherever it is. What was kept and how
//! to go on is said in one line.

use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use crate::error::Error;

/// The first signal; 0 before.
static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// Jobs at work that look.
static LOOKING: AtomicUsize = AtomicUsize::new(0);

/// Jobs at work that can be resumed.
static RESUMABLE: AtomicUsize = AtomicUsize::new(0);

/// Jobs at work that have written nothing so far.
static UNWRITTEN: AtomicUsize = AtomicUsize::new(0);

/// A job at work, until this is dropped.
pub(crate) struct Job(&'static AtomicUsize);

impl Job {
    /// One that looks between its steps.
    pub(crate) fn looking() -> Self {
        Self::of(&LOOKING)
    }

    /// One that can be resumed.
    pub(crate) fn resumable() -> Self {
        Self::of(&RESUMABLE)
    }

    /// One that writes at its end, until it does.
    pub(crate) fn unwritten() -> Self {
        Self::of(&UNWRITTEN)
    }

    fn of(jobs: &'static AtomicUsize) -> Self {
        jobs.fetch_add(1, Ordering::SeqCst);
        Self(jobs)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The signal that asked the program to end, if any did.
pub(crate) fn caught() -> Option<i32> {
    Some(CAUGHT.load(Ordering::SeqCst)).filter(|&signal| signal != 0)
}

/// Ends a job between two of its steps when a signal asks for that. What it wrote is removed.
pub(crate) fn check() -> Result<(), Error> {
    match caught() {
        None => Ok(()),
        Some(signal) => Err(Error::Interrupted { signal, what: "; nothing is left of it".into() }),
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
        let say = |line: String| {
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("widenet: {line}\n").as_bytes());
        };
        std::thread::spawn(move || {
            for signal in signals.forever() {
                let first = CAUGHT.swap(signal, Ordering::SeqCst) == 0;
                if first && LOOKING.load(Ordering::SeqCst) > 0 {
                    say("stopping after this step; a second signal ends at once".into());
                    continue;
                }
                if first {
                    widenet_store::write::rest(std::time::Duration::from_secs(2));
                }
                let what = match (RESUMABLE.load(Ordering::SeqCst), UNWRITTEN.load(Ordering::SeqCst)) {
                    (0, 0) => "",
                    (0, _) => "; nothing was written",
                    _ => "; the same command with --resume goes on",
                };
                say(format!("stopped by {}{what}", name(signal)));
                std::process::exit(128 + signal);
            }
        });
    }
}
