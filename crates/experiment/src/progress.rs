//! Progress on stderr.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of so many steps, drawn by one of indicatif's templates; nothing when stderr is not a terminal.
pub(crate) fn bar(steps: usize, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps as u64).with_style(style)
}
