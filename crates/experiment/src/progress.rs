//! Progress on stderr.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use widenet_machine::{Options, Progress};

use crate::backend::Backend;
use crate::memory;

/// A bar of so many steps, drawn by one of indicatif's templates; nothing when stderr is not a terminal.
pub(crate) fn bar(steps: usize, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps as u64).with_style(style)
}

/// Since when a solver is watched, and the line about it.
static SOLVER: Mutex<Option<(Instant, ProgressBar)>> = Mutex::new(None);

/// Runs a solver with options that say how far it is, once it has taken two seconds, and that know the memory.
pub(crate) fn solving<T>(solver: impl FnOnce(Options) -> T) -> T {
    let spare = |bytes| memory::check(Backend::Flex, bytes, String::new, |_| None).is_ok();
    let result = solver(Options { watch: Some(heard), spare: Some(spare), ..Options::default() });
    if let Some((_, line)) = lock().take() {
        line.finish_and_clear();
    }
    result
}

fn heard(progress: &Progress) {
    let mut watched = lock();
    let (started, line) = watched.get_or_insert_with(|| (Instant::now(), bar(0, "{spinner} {elapsed} {msg}")));
    if started.elapsed() > Duration::from_secs(2) {
        let Progress { unit, iterations, relative_gap } = progress;
        line.set_message(format!("{iterations} {unit}, relative duality gap {relative_gap:.1e}"));
    }
}

fn lock() -> MutexGuard<'static, Option<(Instant, ProgressBar)>> {
    SOLVER.lock().unwrap_or_else(PoisonError::into_inner)
}
