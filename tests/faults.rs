//! A run that is stopped at any of its file operations goes on, with the same bytes.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[path = "common/runs.rs"]
mod runs;
use runs::*;

/// The library that stops a run at a file operation; none where there is no C compiler.
fn faults(folder: &Path) -> PathBuf {
    let library = folder.join("faults.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/faults.c");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).arg("-ldl").status();
    assert!(built.unwrap().success());
    library
}

/// Runs a command with a fault at the `at`-th file operation below `under`; `None` when it did not come so far.
fn faulty(library: &Path, folder: &Path, args: &[&str], at: usize, kind: &str) -> Output {
    program(folder, args)
        .env("LD_PRELOAD", library)
        .env("FAULT_AT", at.to_string())
        .env("FAULT_KIND", kind)
        .env("FAULT_UNDER", folder)
        .output()
        .unwrap()
}

fn stopped_everywhere(name: &str, command: &[&str], prepare: Option<&[&str]>, stride: usize) {
    let (tools, whole) = (tempfile::tempdir().unwrap(), folder());
    let library = faults(tools.path());
    let out = |folder: &Path| folder.join(name);
    let prepared = |folder: &Path| {
        if let Some(prepare) = prepare {
            succeeds(run(folder, prepare));
        }
    };
    prepared(whole.path());
    succeeds(run(whole.path(), command));
    let expected = read(&out(whole.path()));
    let resume: Vec<&str> = command.iter().copied().filter(|word| *word != "--force").chain(["--resume"]).collect();
    let (mut at, mut stops) = (1, 0);
    loop {
        // The kinds take turns.
        let kind = ["kill", "ENOSPC", "EIO"][stops % 3];
        let folder = folder();
        prepared(folder.path());
        let output = faulty(&library, folder.path(), command, at, kind);
        let reached = stderr(&output).contains("fault:") || !output.status.success();
        if !reached {
            break;
        }
        if prepare.is_some() && !out(folder.path()).exists() {
            assert!(folder.path().join(format!(".{name}.old")).exists(), "{kind} at {at} lost the old run");
        }
        let resumed = run(folder.path(), &resume);
        assert!(resumed.status.success(), "{kind} at {at}: {}\nthen {}", stderr(&output), stderr(&resumed));
        assert!(read(&out(folder.path())) == expected, "{kind} at {at}: other bytes");
        assert_eq!(names(folder.path()), names(whole.path()), "{kind} at {at}: leftovers");
        assert!(
            walk_files(folder.path()).iter().all(|file| {
                let name = file.file_name().unwrap().to_string_lossy().into_owned();
                !name.ends_with(".partial") && !name.ends_with(".lock")
            }),
            "{kind} at {at}: leftovers"
        );
        (at, stops) = (at + stride, stops + 1);
    }
    assert!(stops > 5, "only {stops} stops");
    eprintln!("{stops} stops");
}

#[test]
fn a_training_run_stopped_anywhere_is_resumed() {
    stopped_everywhere("run", &["train", "train.toml", "--out", "run"], None, 17);
}

#[test]
fn a_run_that_replaces_another_stopped_anywhere_is_resumed() {
    // The old run is of the same configuration, so that what is resumed may be either.
    let command = ["train", "train.toml", "--out", "run", "--force"];
    stopped_everywhere("run", &command, Some(&["train", "train.toml", "--out", "run"]), 29);
}

#[test]
fn a_study_stopped_anywhere_is_resumed() {
    stopped_everywhere("study", &["study", "study.toml", "--out", "study"], None, 13);
}

#[test]
fn a_kernel_stopped_anywhere_is_resumed() {
    let command = ["kernel", "--arch", "mlp = { hidden = [4] }", "--n", "6", "--width", "4", "--out", "k.npz"];
    stopped_everywhere("k.npz", &command, None, 4);
}
