//! What tests of the program share. Each takes what it needs.
#![allow(dead_code)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// An architecture that costs little.
pub const ARCH: &str = "mlp = { hidden = [1] }";

/// Runs the program in a folder.
pub fn widenet(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_widenet"));
    command.current_dir(folder).args(arguments).env_remove("RUST_BACKTRACE").output().unwrap()
}

/// What a command printed that ended well.
pub fn json(output: Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The last line of what a command said on stderr; asserts that those before it tell what was understood of samples.
pub fn last_line(text: &str) -> &str {
    let (understood, last) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    assert!(understood.lines().all(|line| line.contains(" samples")), "{text}");
    last
}

/// Asserts that a command failed with this code, and that the last line on stderr has the words.
pub fn fails(output: Output, code: i32, words: &str) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = text.lines().last().unwrap_or_default();
    assert!(output.status.code() == Some(code) && last.starts_with("widenet: ") && last.contains(words), "{text}");
}
