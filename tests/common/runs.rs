//! Small runs, and what they leave: shared by the tests of what is on the disk.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const TRAIN: &str = "name = 'small'\n[data]\ntrain = 12\ntest = 6\n[architecture.mlp]\nhidden = [8]\n[objective]\n\
                     lambda_mean = 0.1\n[training]\nlearning_rate = 0.5\nsteps = 6\n[record]\nkernel_samples = 4\n\
                     points = 4\nprobes = [0]\n";

pub const STUDY: &str = "name = 'study'\n[data]\ntrain = 12\ntest = 6\n[architecture.mlp]\nhidden = [8]\n[training]\n\
                     learning_rate = 0.5\nsteps = 4\n[study.gap]\nwidths = [4, 8]\nseeds = 1\n[[study.gap.rows]]\n\
                     name = 'a'\nlambda_mean = 0.1\n";

pub fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_widenet"));
    command.current_dir(folder).args(args).stdin(Stdio::null());
    command
}

pub fn run(folder: &Path, args: &[&str]) -> Output {
    program(folder, args).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn fails(output: &Output, words: &[&str]) {
    let text = stderr(output);
    let last = text.lines().last().unwrap_or_default();
    assert!(!output.status.success() && words.iter().all(|word| last.contains(word)), "{words:?} in {text}");
}

/// A folder with both configurations.
pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.toml"), TRAIN).unwrap();
    std::fs::write(folder.path().join("study.toml"), STUDY).unwrap();
    folder
}

/// Every file below a folder with its bytes, but for the one of times.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = everything(folder);
    found.remove(Path::new("timing.json"));
    found
}

/// Every file below a folder with its bytes.
pub fn everything(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let name = |path: &Path| path.strip_prefix(folder).unwrap().to_path_buf();
    walk_files(folder).into_iter().map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

/// What a command left: a file, or the files of a folder.
pub fn read(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    match out.is_dir() {
        true => files(out),
        false => BTreeMap::from([(PathBuf::new(), std::fs::read(out).unwrap())]),
    }
}

pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every file below a folder.
pub fn walk_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk_files(&path)) } else { found.push(path) }
    }
    found
}

/// Waits until a process that was started has made a file.
pub fn wait_for(file: &Path) {
    let started = Instant::now();
    while !file.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "no {}", file.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Sends a signal.
pub fn kill(signal: &str, process: u32) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}
