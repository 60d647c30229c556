//! Progress on stderr.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use widenet_machine::Progress;

/// A bar of so many steps, drawn by one of indicatif's templates; nothing when stderr is not a terminal.
pub(crate) fn bar(steps: usize, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps as u64).with_style(style)
}

/// Since when solvers are watched, and the line about them.
static SOLVER: LazyLock<(Instant, ProgressBar)> =
    LazyLock::new(|| (Instant::now(), bar(0, "{spinner} {elapsed} {msg}")));

/// Says how far a solver is, once it has taken two seconds.
pub(crate) fn solver(progress: &Progress) {
    let (started, line) = &*SOLVER;
    if started.elapsed() > Duration::from_secs(2) {
        let Progress { unit, iterations, relative_gap } = progress;
        line.set_message(format!("{iterations} {unit}, relative duality gap {relative_gap:.1e}"));
    }
}

/// Takes the line away.
pub(crate) fn solver_done() {
    SOLVER.1.finish_and_clear();
}
