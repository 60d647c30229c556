//! Nothing lost, nothing torn: two processes on one folder, signals, flipped bits, and stops at every file operation.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const TRAIN: &str = "name = 'small'\n[data]\ntrain = 12\ntest = 6\n[architecture.mlp]\nhidden = [8]\n[objective]\n\
                     lambda_mean = 0.1\n[training]\nlearning_rate = 0.5\nsteps = 6\n[record]\nkernel_samples = 4\n\
                     points = 4\nprobes = [0]\n";

const STUDY: &str = "name = 'study'\n[data]\ntrain = 12\ntest = 6\n[architecture.mlp]\nhidden = [8]\n[training]\n\
                     learning_rate = 0.5\nsteps = 4\n[study.gap]\nwidths = [4, 8]\nseeds = 1\n[[study.gap.rows]]\n\
                     name = 'a'\nlambda_mean = 0.1\n";

fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_widenet"));
    command.current_dir(folder).args(args).stdin(Stdio::null());
    command
}

fn run(folder: &Path, args: &[&str]) -> Output {
    program(folder, args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeds(output: Output) -> String {
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fails(output: &Output, words: &[&str]) {
    let text = stderr(output);
    let last = text.lines().last().unwrap_or_default();
    assert!(!output.status.success() && words.iter().all(|word| last.contains(word)), "{words:?} in {text}");
}

/// A folder with both configurations.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.toml"), TRAIN).unwrap();
    std::fs::write(folder.path().join("study.toml"), STUDY).unwrap();
    folder
}

/// Every file below a folder with its bytes, but for those that hold times.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().into(), std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    // Seconds are in both, and the list has the checkpoints of an interrupted run.
    found.retain(|path, _| {
        !path.ends_with("timing.json") && !path.starts_with("parts") && !path.ends_with("manifest.txt")
    });
    found
}

/// What a command left: a file, or the files of a folder.
fn read(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    match out.is_dir() {
        true => files(out),
        false => BTreeMap::from([(PathBuf::new(), std::fs::read(out).unwrap())]),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_is_written_by_one_process() {
    let folder = folder();
    succeeds(run(folder.path(), &["train", "train.toml", "--out", "run"]));
    let long = ["train", "train.toml", "--out", "run", "--force", "--set", "training.steps=30000"];
    let mut children: Vec<_> =
        (0..3).map(|_| program(folder.path(), &long).stderr(Stdio::piped()).spawn().unwrap()).collect();
    // The two that are refused end first.
    let started = Instant::now();
    while children.iter_mut().filter_map(|child| child.try_wait().unwrap()).count() < 2 {
        assert!(started.elapsed() < Duration::from_secs(300));
        std::thread::sleep(Duration::from_millis(20));
    }
    let outputs: Vec<Output> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let refused: Vec<&Output> = outputs.iter().filter(|output| !output.status.success()).collect();
    assert_eq!(refused.len(), 2);
    refused.iter().for_each(|output| fails(output, &["run", "is being written by another process"]));
    assert_eq!(names(folder.path()), ["run", "study.toml", "train.toml"]);
}

#[test]
fn what_was_not_written_here_stays() {
    let folder = folder();
    let path = folder.path();
    let train = |out: &str, more: &[&str]| run(path, &[&["train", "train.toml", "--out", out], more].concat());
    // A project with a file of that name.
    std::fs::create_dir(path.join("project")).unwrap();
    for (name, text) in [("config.toml", TRAIN), ("manifest.txt", "config.toml\nmine.rs\n"), ("mine.rs", "")] {
        std::fs::write(path.join("project").join(name), text).unwrap();
    }
    for more in [&[][..], &["--force"], &["--resume"]] {
        fails(&train("project", more), &["project: is not a run folder", "config.toml, manifest.txt, mine.rs"]);
    }
    fails(&train(".", &["--force"]), &["left alone"]);
    succeeds(train("run", &[]));
    std::fs::write(path.join("run/plots/mine.png"), "").unwrap();
    fails(&train("run", &["--force"]), &["plots/mine.png", "left alone"]);
    std::fs::remove_file(path.join("run/plots/mine.png")).unwrap();
    let inside = run(&path.join("run"), &["train", "../train.toml", "--out", ".", "--force"]);
    fails(&inside, &["the program runs in this folder"]);
    // A run that fails leaves the old one.
    let before = files(&path.join("run"));
    let diverges = train(
        "run",
        &[
            "--force",
            "--set",
            "training.learning_rate=1e300",
            "--set",
            "objective.loss=squared",
            "--set",
            "objective.lambda_mean=0",
        ],
    );
    fails(&diverges, &["diverged", ".run.new"]);
    assert_eq!(files(&path.join("run")), before);
    assert!(path.join(".run.new/dynamics.csv").exists());
    // Its folder is where a stopped one is resumed.
    succeeds(train("run", &["--force", "--seed", "2", "--stop-at", "3"]));
    assert_eq!(files(&path.join("run")), before);
    fails(&train("run", &["--resume"]), &[".run.new", "another configuration", "seed was 2 and is 1 now"]);
    succeeds(train("run", &["--resume", "--seed", "2"]));
    assert_ne!(files(&path.join("run")), before);
    assert_eq!(names(path), ["project", "run", "study.toml", "train.toml"]);
    let told = succeeds(train("run", &["--resume", "--seed", "2"]));
    assert!(told.contains("run is finished"), "{told}");
}

#[test]
fn every_flipped_bit_of_a_checkpoint_is_refused_by_name() {
    let folder = folder();
    let path = folder.path();
    succeeds(run(path, &["train", "train.toml", "--out", "run", "--stop-at", "3"]));
    succeeds(run(path, &["study", "study.toml", "--out", "study"]));
    std::fs::remove_file(path.join("study/results.json")).unwrap();
    let kernel =
        ["kernel", "--arch", "mlp = { hidden = [4] }", "--n", "6", "--limit", "--width", "4", "--out", "k.npz"];
    succeeds(run(path, &[&kernel[..], &["--stop-after-blocks", "1"]].concat()));
    let train = ["train", "train.toml", "--out", "run"];
    let study = ["study", "study.toml", "--out", "study"];
    let jobs = [("run", &train[..], "checkpoint"), ("study", &study, "parts"), ("k.npz.partial", &kernel, "")];
    for (place, command, prefix) in jobs {
        let resume = [command, &["--resume"]].concat();
        let kept: Vec<PathBuf> = walk_files(&path.join(place));
        let kept = kept.iter().filter(|file| {
            let name = file.strip_prefix(path.join(place)).unwrap().to_string_lossy().into_owned();
            name.starts_with(prefix) && !name.starts_with("manifest.txt")
        });
        let mut seen = 0;
        for file in kept {
            let whole = std::fs::read(file).unwrap();
            for at in [0, whole.len() / 2, whole.len() - 1] {
                let mut flipped = whole.clone();
                flipped[at] ^= 1;
                std::fs::write(file, flipped).unwrap();
                fails(&run(path, &resume), &[file.file_name().unwrap().to_str().unwrap(), "damaged"]);
            }
            std::fs::write(file, whole).unwrap();
            seen += 1;
        }
        assert!(seen > 0, "{place}");
    }
    // A missing part, and one that two configurations have exchanged.
    let weights = walk_files(&path.join("run")).into_iter().find(|file| file.ends_with("weights.safetensors")).unwrap();
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::remove_file(&weights).unwrap();
    fails(&run(path, &[&train[..], &["--resume"]].concat()), &["weights.safetensors", "missing"]);
    std::fs::write(&weights, bytes).unwrap();
    succeeds(run(path, &["train", "train.toml", "--out", "other", "--seed", "2", "--stop-at", "3"]));
    std::fs::copy(path.join("other/checkpoint.toml"), path.join("run/checkpoint.toml")).unwrap();
    fails(&run(path, &[&train[..], &["--resume"]].concat()), &["checkpoint.toml", "another configuration"]);
}

fn walk_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk_files(&path)) } else { found.push(path) }
    }
    found
}

/// In every phase: as soon as there is something to resume, the next thing is a kernel, a solver, or steps.
#[test]
fn a_signal_leaves_what_resume_goes_on_with() {
    let cnn = TRAIN.replace("mlp]\nhidden = [8]", "cnn]\nchannels = [4]").replace("steps = 6", "steps = 300");
    let arch = "mlp = { hidden = [4] }";
    let train = ["train", "train.toml", "--out", "run", "--set", "training.steps=20000"];
    let from_machine = [&train[..], &["--start-from-machine"]].concat();
    let study = ["study", "study.toml", "--out", "run", "--set", "training.steps=8000"];
    let kernel = ["kernel", "--arch", arch, "--n", "400", "--width", "1024", "--samples", "12", "--memory", "64"];
    let kernel = [&kernel[..], &["--out", "run"]].concat();
    let cnn_train = ["train", "cnn.toml", "--out", "run"];
    let jobs = [
        (&train[..], "run/config.toml"),
        (&train, "run/dynamics.csv"),
        (&from_machine, "run/config.toml"),
        (&cnn_train, "run/config.toml"),
        (&study, "run/config.toml"),
        (&kernel, "run.partial/job.json"),
    ];
    for (index, (command, begun)) in jobs.into_iter().enumerate() {
        let (whole, folder) = (folder(), folder());
        for path in [whole.path(), folder.path()] {
            std::fs::write(path.join("cnn.toml"), &cnn).unwrap();
        }
        let path = folder.path();
        succeeds(run(whole.path(), command));
        let (signal, code) = [("-INT", 130), ("-TERM", 143)][index % 2];
        let mut child = program(path, command).stderr(Stdio::piped()).spawn().unwrap();
        let started = Instant::now();
        while !path.join(begun).exists() && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(2));
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{command:?}: {}", stderr(&output));
        fails(&output, &["stopped by SIG", "the same command with --resume goes on"]);
        succeeds(run(path, &[command, &["--resume"]].concat()));
        assert!(read(&path.join("run")) == read(&whole.path().join("run")), "{command:?}: other bytes");
        assert_eq!(names(path), names(whole.path()));
    }
}

/// What goes to standard output is the file and nothing else, without a temporary folder, too.
#[test]
fn standard_output_holds_the_file_alone() {
    let folder = folder();
    let path = folder.path();
    let rows: String = (0..12).map(|i| format!("{},{},{}\n", i, (i * i) % 7, i % 2)).collect();
    std::fs::write(path.join("table.csv"), rows).unwrap();
    let arch = "mlp = { hidden = [4] }";
    let fit = ["fit", "table.csv", "--arch", arch, "--c", "1", "--out"];
    let kernel = ["kernel", "--arch", arch, "--n", "6", "--width", "4", "--out"];
    let predict = ["predict", "fit", "table.csv", "--out"];
    for (command, name) in [(&fit[..], "fit"), (&kernel, "kernel"), (&predict, "predict")] {
        succeeds(run(path, &[command, &[name]].concat()));
        for out in ["-", "/dev/stdout"] {
            let mut command = program(path, &[command, &[out]].concat());
            let output = command.env("TMPDIR", "/nonexistent").output().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
            assert!(output.stdout == std::fs::read(path.join(name)).unwrap(), "{name} to {out}");
        }
    }
    assert_eq!(names(path), ["fit", "kernel", "predict", "study.toml", "table.csv", "train.toml"]);
}

#[test]
fn a_seed_works_or_is_refused_at_once() {
    let folder = folder();
    let path = folder.path();
    let largest = i64::MAX.to_string();
    succeeds(run(path, &["train", "train.toml", "--out", "run", "--seed", &largest, "--stop-at", "2"]));
    succeeds(run(path, &["train", "train.toml", "--out", "run", "--seed", &largest, "--resume"]));
    succeeds(run(path, &["study", "study.toml", "--out", "study", "--seed", &largest]));
    let arch = "mlp = { hidden = [4] }";
    let kernel = ["kernel", "--arch", arch, "--n", "4", "--width", "4", "--samples", "2", "--out", "k.npz", "--seed"];
    succeeds(run(path, &[&kernel[..], &[&largest]].concat()));
    for seed in ["9223372036854775808", "18446744073709551615"] {
        for command in [
            &["train", "train.toml", "--out", "no", "--seed"][..],
            &["study", "study.toml", "--out", "no", "--seed"],
            &kernel,
        ] {
            let output = run(path, &[command, &[seed]].concat());
            assert_eq!(output.status.code(), Some(2));
            assert!(
                stderr(&output).starts_with(&format!("error: invalid value '{seed}' for '--seed <")),
                "{}",
                stderr(&output)
            );
        }
    }
    assert!(!path.join("no").exists());
}

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
