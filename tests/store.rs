//! Nothing lost, nothing torn: two processes on one folder, signals, and parts that are damaged or gone.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

#[path = "common/runs.rs"]
mod runs;
use runs::*;

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
        let child = program(path, command).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&path.join(begun));
        kill(signal, child.id());
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

/// What a person can remove and a process that is killed cannot have.
#[test]
fn what_was_lost_is_missed_by_name() {
    let train = ["train", "train.toml", "--out", "out"];
    let study = ["study", "study.toml", "--out", "out"];
    let kernel = ["kernel", "--arch", "mlp = { hidden = [4] }", "--n", "6", "--limit", "--width", "4", "--out", "out"];
    let jobs = [
        (&train[..], &["--stop-at", "3"][..], "out/checkpoint.toml"),
        (&train, &["--stop-at", "3"], "out/config.toml"),
        (&study, &[], "out/config.toml"),
        (&kernel, &["--stop-after-blocks", "1"], "out.partial/job.json"),
    ];
    for (command, stop, lost) in jobs {
        let (whole, folder) = (folder(), folder());
        let path = folder.path();
        let again = |more: &[&str]| run(path, &[command, more].concat());
        succeeds(run(whole.path(), command));
        let same = || read(&path.join("out")) == read(&whole.path().join("out"));
        succeeds(again(stop));
        // A study is stopped by nothing but a signal: this one has all its parts.
        std::fs::remove_file(path.join("out/results.json")).ok();
        let file = path.join(lost);
        let bytes = std::fs::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let before = everything(path);
        let ways: &[&[&str]] = if lost.ends_with("checkpoint.toml") { &[&["--resume"]] } else { &[&["--resume"], &[]] };
        for more in ways {
            let named = format!("{lost}: is missing, though parts of what it was written for are there");
            fails(&again(more), &[&named, "; put it back, or start anew by --force"]);
            assert!(everything(path) == before, "{command:?} {more:?}: a refusal changed something");
        }
        // Both ways that it names lead on.
        succeeds(again(&["--force"]));
        assert!(same(), "{command:?}: other bytes by --force");
        if path.join("out").is_dir() {
            std::fs::remove_dir_all(path.join("out"))
        } else {
            std::fs::remove_file(path.join("out"))
        }
        .unwrap();
        for (name, bytes) in &before {
            std::fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
            std::fs::write(path.join(name), bytes).unwrap();
        }
        std::fs::write(&file, bytes).unwrap();
        succeeds(again(&["--resume"]));
        assert!(same(), "{command:?}: other bytes by --resume");
        assert_eq!(names(path), names(whole.path()));
    }
    // A finished run is not started anew either.
    let folder = folder();
    succeeds(run(folder.path(), &train));
    std::fs::remove_file(folder.path().join("out/config.toml")).unwrap();
    fails(&run(folder.path(), &train), &["out/config.toml: is missing"]);
}

/// Of a run that is to be replaced nothing changes before the new one is whole.
#[test]
fn a_run_that_is_not_replaced_stays_as_it_was() {
    let folder = folder();
    let path = folder.path();
    succeeds(run(path, &["train", "train.toml", "--out", "run"]));
    let old = everything(&path.join("run"));
    let long = ["train", "train.toml", "--out", "run", "--set", "training.steps=30000", "--force"];
    let from_machine = [&long[..], &["--start-from-machine", "--set", "data.train=2000"]].concat();
    for (command, begun, signal) in [
        (&long[..], "dynamics.csv", "-INT"),
        (&long, "config.toml", "-KILL"),
        (&from_machine, "config.toml", "-INT"),
        (&from_machine, "config.toml", "-KILL"),
    ] {
        let mut child = program(path, command).stderr(Stdio::null()).spawn().unwrap();
        wait_for(&path.join(".run.new").join(begun));
        kill(signal, child.id());
        assert!(!child.wait().unwrap().success());
        assert!(everything(&path.join("run")) == old, "{signal} {command:?}");
        // What is left of the new one is in nobody's way.
        let refused = run(path, &[&long[..], &["--set", "architecture.mlp.sigma_w=1e300"]].concat());
        assert!(!refused.status.success());
        assert!(everything(&path.join("run")) == old, "{signal} {command:?}");
        if signal == "-KILL" {
            std::fs::remove_dir_all(path.join("left")).ok();
            std::fs::rename(path.join(".run.new"), path.join("left")).unwrap();
        }
    }
    assert_eq!(names(path), ["left", "run", "study.toml", "train.toml"]);
    std::fs::rename(path.join("left"), path.join(".run.new")).unwrap();
    succeeds(run(path, &["train", "train.toml", "--out", "run", "--force"]));
    assert_eq!(names(path), ["run", "study.toml", "train.toml"]);
}

/// A command that is refused can be corrected and given again.
#[test]
fn a_refusal_leaves_nothing() {
    let folder = folder();
    let path = folder.path();
    let compare = TRAIN.split("[objective]").next().unwrap().replace("train = 12\ntest = 6", "samples = 6")
        + "[compare]\nwidths = [4, 8]\nseeds = 1\n";
    std::fs::write(path.join("compare.toml"), compare).unwrap();
    let rows: String = (0..12).map(|i| format!("{},{},{}\n", i, (i * i) % 7, i % 2)).collect();
    std::fs::write(path.join("table.csv"), rows).unwrap();
    let before = everything(path);
    let large = "architecture.mlp.sigma_w=1e300";
    let out = ["--out", "above/run"];
    let [right, wrong] = ["mlp = { hidden = [4] }", "mlp = { hidden = [4], sigma_w = 1e300 }"];
    let commands = [
        (&["train", "train.toml", "--set", large][..], &["train", "train.toml"][..]),
        (&["train", "train.toml", "--set", "machine.kernel=empirical", "--set", large], &["train", "train.toml"]),
        (&["train", "train.toml", "--set", "architecture.mlp.hidden=[90000000000]"], &["train", "train.toml"]),
        (&["study", "study.toml", "--set", large], &["study", "study.toml"]),
        (&["study", "study.toml", "--set", "architecture.mlp.sigma_w=1e-200"], &["study", "study.toml"]),
        (&["study", "study.toml", "--set", "study.gap.widths=[90000000000]"], &["study", "study.toml"]),
        (&["compare", "compare.toml", "--set", large], &["compare", "compare.toml"]),
    ];
    for (wrong, right) in commands {
        let refused = run(path, &[wrong, &out].concat());
        assert!(matches!(refused.status.code(), Some(1 | 2)), "{wrong:?}: {}", stderr(&refused));
        assert!(everything(path) == before && !path.join("above").exists(), "{wrong:?}");
        succeeds(run(path, &[right, &out].concat()));
        std::fs::remove_dir_all(path.join("above")).unwrap();
    }
    for command in [&["kernel", "--n", "6", "--out", "k.npz"][..], &["fit", "table.csv", "--c", "1", "--out", "m.npz"]]
    {
        let refused = run(path, &[command, &["--arch", wrong]].concat());
        assert!(matches!(refused.status.code(), Some(1 | 2)), "{command:?}: {}", stderr(&refused));
        assert!(everything(path) == before, "{command:?}");
        succeeds(run(path, &[command, &["--arch", right]].concat()));
        std::fs::remove_file(path.join(command.last().unwrap())).unwrap();
    }
    assert_eq!(names(path), ["compare.toml", "study.toml", "table.csv", "train.toml"]);
}

/// A job that is not resumed says that nothing was written, and nothing was.
#[test]
fn a_signal_leaves_nothing_of_what_cannot_be_resumed() {
    let folder = folder();
    let path = folder.path();
    std::fs::create_dir(path.join("temporary")).unwrap();
    let rows: String = (0..3000).map(|i| format!("{},{},{}\n", i % 97, (i * i) % 89, i % 2)).collect();
    std::fs::write(path.join("table.csv"), rows).unwrap();
    let before = names(path);
    let deep = "mlp = { hidden = [1, 1, 1, 1, 1, 1], activation = 'tanh' }";
    let fit = ["fit", "table.csv", "--arch", deep, "--c", "1", "--out", "m.npz"];
    let wide = "mlp = { hidden = [256, 256] }";
    let kernel = ["kernel", "--arch", wide, "--n", "1000", "--width", "256", "--samples", "1000", "--out", "/dev/null"];
    for (index, (command, begun, words)) in
        [(&fit[..], "hinge loss", "; nothing was written"), (&kernel, "memory: ", "; nothing is left of it")]
            .into_iter()
            .enumerate()
    {
        let (signal, code) = [("-TERM", 143), ("-INT", 130)][index];
        let mut child =
            program(path, command).env("TMPDIR", path.join("temporary")).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains(begun)), "{command:?}");
        kill(signal, child.id());
        let last = lines.last().unwrap_or_default();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{command:?}: {last}");
        assert!(last.starts_with("widenet: stopped by SIG") && last.ends_with(words), "{last}");
        assert_eq!((names(path), names(&path.join("temporary"))), (before.clone(), Vec::new()), "{command:?}");
    }
}

/// What goes to a device is not resumed, so nothing of it is kept.
#[test]
fn a_full_device_leaves_nothing() {
    let folder = folder();
    let path = folder.path();
    let kernel = ["kernel", "--arch", "mlp = { hidden = [4] }", "--n", "6", "--out", "/dev/full"];
    for more in [&[][..], &["--resume"], &["--force"]] {
        fails(&run(path, &[&kernel[..], more].concat()), &["/dev/full", "No space left on device"]);
        assert_eq!(names(path), ["study.toml", "train.toml"]);
    }
    fails(
        &run(path, &[&kernel[..], &["--stop-after-blocks", "1"]].concat()),
        &["--stop-after-blocks: --out is no file"],
    );
}

/// Too little memory is a refusal, not the end of the process in the middle of its work.
#[test]
fn too_little_address_space_is_refused() {
    let folder = folder();
    let path = folder.path();
    succeeds(run(path, &["train", "train.toml", "--out", "run"]));
    let before = everything(path);
    let limited = |kibibytes: u64, command: &str| limited(path, kibibytes, command);
    let commands = ["certify run/machine.npz --n 4 --out new", "train train.toml --out new"];
    for command in commands {
        for kibibytes in [200_000, 250_000, 300_000, 350_000, 400_000] {
            let refused = limited(kibibytes, command);
            fails(&refused, &["needs about ", "of memory are free"]);
            assert_eq!(refused.status.code(), Some(1), "{command} in {kibibytes} KiB");
            assert!(everything(path) == before, "{command} in {kibibytes} KiB left something");
        }
        succeeds(limited(2_000_000, command));
        std::fs::remove_dir_all(path.join("new")).unwrap();
    }
}

/// The program with so much address space, and two threads.
fn limited(path: &Path, kibibytes: u64, command: &str) -> Output {
    let script = format!("ulimit -v {kibibytes}; exec {} {command}", env!("CARGO_BIN_EXE_widenet"));
    Command::new("sh").current_dir(path).env("RAYON_NUM_THREADS", "2").args(["-c", &script]).output().unwrap()
}

/// A wide table fits, or is refused; so is a part of it that is said to fit.
#[test]
fn a_wide_table_fits_or_is_refused() {
    let folder = folder();
    let path = folder.path();
    let rows = (0..300).map(|i| format!("{} {}:1 {}:0.5 20000:1\n", i % 2, i + 1, 400 + 7 * i));
    std::fs::write(path.join("wide.svm"), rows.collect::<String>()).unwrap();
    let options = "wide.svm --arch 'mlp = { hidden = [1] }' --force";
    let commands = [
        format!("fit {options} --out m.npz --c 1"),
        "predict m.npz wide.svm --out p.csv --force".into(),
        format!("fit {options} --out r.npz --loss squared --solver conjugate-gradients --lambda-mean 1e-3"),
    ];
    succeeds(limited(path, 4_000_000, &commands[0]));
    let (mut fits, mut parts) = (0, 0);
    for kibibytes in (450_000..950_000).step_by(50_000) {
        for command in &commands {
            let output = limited(path, kibibytes, command);
            let said = stderr(&output);
            let refused = |output: &Output| output.status.code() == Some(1) && stderr(output).contains("of memory");
            assert!(output.status.success() || refused(&output), "{command} in {kibibytes} KiB: {said}");
            fits += usize::from(output.status.success());
            let part = said.split("the first ").nth(1).and_then(|rest| rest.split(' ').next());
            if let Some(part) = part {
                let output = limited(path, kibibytes, &format!("{command} --n {part}"));
                assert!(
                    output.status.success() || refused(&output),
                    "{command} --n {part} in {kibibytes} KiB: {output:?}"
                );
                parts += 1;
            }
        }
    }
    assert!(fits > 0 && parts > 0);
}
