//! Results do not depend on the number of threads: every command, with 1, 2 and 4 of them, leaves the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Runs a command in a folder of its own with so many threads, and returns every file that it left, by name.
fn files(threads: usize, commands: &[Vec<String>]) -> BTreeMap<PathBuf, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    for arguments in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_widenet"))
            .args(arguments)
            .current_dir(folder.path())
            .env("RAYON_NUM_THREADS", threads.to_string())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let mut files = BTreeMap::new();
    collect(folder.path(), folder.path(), &mut files);
    files
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Timing, and the parts of studies, which hold seconds, are not results.
        if path.is_dir() && name != "parts" {
            collect(root, &path, files);
        } else if path.is_file() && name != "timing.json" {
            files.insert(path.strip_prefix(root).unwrap().into(), std::fs::read(path).unwrap());
        }
    }
}

/// Asserts that commands leave the same files whatever the number of threads.
fn same(commands: &[Vec<String>]) {
    let one = files(1, commands);
    assert!(!one.is_empty());
    for threads in [2, 4] {
        let more = files(threads, commands);
        assert_eq!(one.keys().collect::<Vec<_>>(), more.keys().collect::<Vec<_>>());
        let differ: Vec<_> = one.keys().filter(|name| one[*name] != more[*name]).collect();
        assert!(differ.is_empty(), "with {threads} threads other bytes than with one: {differ:?}, {commands:?}");
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(String::from).collect()
}

/// A command on a configuration of the repository, with settings.
fn configured(command: &str, config: &str, out: &str, set: &[&str]) -> Vec<String> {
    let config = root().join("configs").join(config);
    let mut arguments = words(&format!("{command} {} --out {out}", config.display()));
    set.iter().for_each(|set| arguments.extend(["--set".to_string(), set.to_string()]));
    arguments
}

#[test]
fn dense_networks_train_alike() {
    for precision in ["precision='f32'", "precision='f64'"] {
        // Wide enough that products are spread over threads; with weights in coordinates of the samples, and without.
        let small = ["data.train=96", "data.test=100", "training.steps=12", precision];
        let wide =
            configured("train", "quickstart.toml", "run", &[&small[..], &["architecture.mlp.hidden=[640]"]].concat());
        same(&[wide]);
        let deep = ["architecture.mlp.hidden=[300, 200]", "training.batch_size=50", "data.train=900"];
        same(&[configured(
            "train",
            "quickstart.toml",
            "run",
            &[&small[..], &deep, &["record.linearised=false"]].concat(),
        )]);
    }
}

#[test]
fn convolutional_and_residual_networks_train_alike() {
    for precision in ["precision='f32'", "precision='f64'"] {
        let small = ["data.train=21", "data.test=10", "training.steps=3", "record.kernel_samples=5", precision];
        let cnn =
            configured("train", "cnn.toml", "cnn", &[&small[..], &["architecture.cnn.channels=[12, 12]"]].concat());
        let blocks = "architecture.resnet.blocks=[{ channels = 8 }, { channels = 12, stride = 2 }]";
        let resnet = configured(
            "train",
            "resnet.toml",
            "resnet",
            &[&small[..], &["architecture.resnet.stem=8", blocks]].concat(),
        );
        same(&[cnn, resnet]);
    }
}

#[test]
fn studies_and_comparisons_are_alike() {
    let small =
        ["data.train=64", "data.test=64", "training.steps=8", "study.gap.widths=[64, 256]", "study.gap.seeds=1"];
    let study = configured("study", "study-table1.toml", "study", &small);
    let compare = configured(
        "compare",
        "compare-mlp.toml",
        "compare",
        &["data.samples=64", "compare.widths=[64, 256]", "compare.seeds=2", "training.steps=5"],
    );
    same(&[study, compare]);
}

#[test]
fn kernels_machines_and_certificates_are_alike() {
    let arch = |text: &str| vec!["--arch".to_string(), text.to_string()];
    let mut commands = Vec::new();
    // Limits of convolutions go through every pair of positions.
    for (name, architecture, n) in
        [("mlp", "mlp = { hidden = [200, 200] }", 300), ("cnn", "cnn = { channels = [8] }", 12)]
    {
        for kind in ["ntk", "nngp"] {
            commands.push(
                [words(&format!("kernel --n {n} --kind {kind} --out {name}-{kind}.npz")), arch(architecture)].concat(),
            );
        }
        commands.push(
            [words(&format!("kernel --n 70 --width 200 --samples 2 --out {name}-finite.npz")), arch(architecture)]
                .concat(),
        );
    }
    for loss in ["hinge", "squared", "logistic", "squared-hinge"] {
        let fit = format!("fit mnist01 --n 300 --loss {loss} --c 10 --out {loss}.npz");
        let fit = if loss == "squared" { format!("{fit} --multiclass one-versus-one") } else { fit };
        commands.push([words(&fit), arch("mlp = { hidden = [1] }")].concat());
        if loss == "hinge" {
            commands.push(words("certify hinge.npz --n 2 --out certify"));
        }
    }
    same(&commands);
}
