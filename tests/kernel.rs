//! `widenet kernel` as a user runs it.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use burn::tensor::Device;
use ndarray::{Array1, Array2, s};
use ndarray_npy::NpzReader;
use serde_json::Value;
use widenet::gram_file::{GramFile, GramFileError};
use widenet_model::{Architecture, ArchitectureConfig, Network, Precision, Shape};
use widenet_tangent::{EmpiricalKernel, EmpiricalKind, Kernel, LimitKernel, LimitKind};

const QUICKSTART: &str = "../../configs/quickstart.toml";
const ARCH: &str = "mlp = { hidden = [32] }";

/// `widenet kernel` with the small architecture, into `out`.
fn kernel(out: &Path, more: &[&str]) -> Output {
    plain(out, &[&["--arch", ARCH], more].concat())
}

fn plain(out: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_widenet"));
    command.args(["kernel", "--out", out.to_str().unwrap()]).args(arguments);
    command.env_remove("RUST_BACKTRACE").output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeds(output: Output) -> Output {
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

/// Asserts that a command failed with this code and one line of error that has all the words.
fn fails(output: &Output, code: i32, words: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(output.stdout.is_empty(), "nothing on stdout");
    assert!(!text.contains("panicked") && !text.contains("defect"), "{text}");
    let errors = text.lines().filter(|line| line.starts_with("widenet: ") || line.starts_with("error"));
    assert_eq!(errors.count(), 1, "{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("kernel.npz");
    (folder, out)
}

fn partial(out: &Path) -> PathBuf {
    out.with_extension("npz.partial")
}

/// The first training and test samples.
fn samples(n: usize, m: usize) -> (Array2<f64>, Array2<f64>) {
    let split = widenet_data::mnist01().unwrap();
    (split.train.first(n).unwrap().inputs, split.test.first(m).unwrap().inputs)
}

fn architecture() -> Architecture {
    let config: ArchitectureConfig = toml_edit::de::from_str(ARCH).unwrap();
    config.build(Shape::Image([1, 28, 28])).unwrap()
}

/// The mean kernel over networks of this width with these seeds.
fn empirical(width: usize, seeds: &[u64], kind: EmpiricalKind, a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
    let architecture = architecture().with_width(NonZeroUsize::new(width).unwrap()).unwrap();
    let kernel = |&seed: &u64| {
        let network = Network::init(&architecture, seed, Precision::F64, &Device::flex());
        EmpiricalKernel::of_kind(&network, kind).gram(a.view(), b.view()).unwrap()
    };
    seeds.iter().map(kernel).reduce(|sum, kernel| sum + kernel).unwrap() / seeds.len() as f64
}

/// The largest difference, relative to the largest entry.
fn difference(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    let largest = b.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    a.iter().zip(b).fold(0.0, |m: f64, (a, b)| m.max((a - b).abs())) / largest
}

#[test]
fn the_file_holds_what_it_promises() {
    let (_folder, out) = folder();
    let more = ["--n", "20", "--test", "7", "--limit", "--width", "64,16", "--samples", "2", "--seed", "5", "--json"];
    let output = succeeds(kernel(&out, &more));
    assert!(!partial(&out).exists());
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["matrices"][0]["key"], "limit");
    assert_eq!(printed["matrices"].as_array().unwrap().len(), 6);

    // As any reader of npz files sees it.
    let mut npz = NpzReader::new(std::fs::File::open(&out).unwrap()).unwrap();
    let mut names = npz.names().unwrap();
    names.sort();
    let expected = [
        "labels",
        "labels_test",
        "limit",
        "limit_test",
        "metadata",
        "width_16",
        "width_16_test",
        "width_64",
        "width_64_test",
    ];
    assert_eq!(names, expected);
    let metadata: Array1<u8> = npz.by_name("metadata").unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.to_vec()).unwrap();
    assert_eq!(metadata, printed["metadata"]);
    for (key, value) in [("kind", "ntk"), ("backend", "flex"), ("precision", "f64"), ("source", "mnist01")] {
        assert_eq!(metadata[key], value);
    }
    for (key, value) in [("n", 20), ("test", 7), ("seed", 5), ("samples", 2)] {
        assert_eq!(metadata[key], value);
    }
    let labels: Array1<f64> = npz.by_name("labels").unwrap();
    assert_eq!(labels, widenet_data::mnist01().unwrap().train.labels.slice(s![..20]));
    let labels: Array1<f64> = npz.by_name("labels_test").unwrap();
    assert_eq!(labels.len(), 7);

    // The numbers are those of the library.
    let (train, test) = samples(20, 7);
    let limit = LimitKernel::new(&architecture(), LimitKind::Ntk).unwrap();
    let matrix: Array2<f64> = npz.by_name("limit").unwrap();
    assert!(difference(&matrix, &limit.gram_symmetric(train.view()).unwrap()) < 1e-14);
    assert_eq!(matrix, matrix.t());
    let trace = printed["matrices"][0]["trace"].as_f64().unwrap();
    assert!((trace - matrix.diag().sum()).abs() < 1e-12);
    let matrix: Array2<f64> = npz.by_name("limit_test").unwrap();
    assert!(difference(&matrix, &limit.gram(test.view(), train.view()).unwrap()) < 1e-14);
    for width in [16, 64] {
        let matrix: Array2<f64> = npz.by_name(&format!("width_{width}")).unwrap();
        assert!(difference(&matrix, &empirical(width, &[5, 6], EmpiricalKind::Tangent, &train, &train)) < 1e-13);
        assert_eq!(matrix, matrix.t());
        let matrix: Array2<f64> = npz.by_name(&format!("width_{width}_test")).unwrap();
        assert!(difference(&matrix, &empirical(width, &[5, 6], EmpiricalKind::Tangent, &test, &train)) < 1e-13);
    }

    // The reader knows its samples.
    let file = GramFile::read(&out).unwrap();
    assert_eq!(file.matrices.len(), 6);
    file.check(train.view()).unwrap();
    file.check_test(test.view()).unwrap();
    for other in [samples(19, 1).0, &train * 2.0] {
        let error = file.check(other.view()).unwrap_err();
        assert!(matches!(error, GramFileError::OtherSamples { .. }));
        assert!(error.to_string().contains("was computed on other samples"), "{error}");
    }
}

#[test]
fn the_last_layer_alone() {
    let (_folder, out) = folder();
    succeeds(kernel(&out, &["--n", "9", "--kind", "nngp", "--limit", "--width", "16"]));
    let file = GramFile::read(&out).unwrap();
    let (train, _) = samples(9, 1);
    let limit = LimitKernel::new(&architecture(), LimitKind::Nngp).unwrap();
    assert!(difference(&file.matrices["limit"], &limit.gram_symmetric(train.view()).unwrap()) < 1e-14);
    let expected = empirical(16, &[1], EmpiricalKind::LastLayer, &train, &train);
    assert!(difference(&file.matrices["width_16"], &expected) < 1e-13);
    assert!(file.check_test(train.view()).is_err(), "there are no test samples in it");
    fails(&kernel(&out, &["--n", "9"]), 1, &["exists", "--force", "--out"]);
}

#[test]
fn a_configuration_decides() {
    let (_folder, out) = folder();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join(QUICKSTART);
    let config = ["--config", config.to_str().unwrap()];
    succeeds(plain(&out, &[&config[..], &["--set", "data.train=12", "--set", "seed=9"]].concat()));
    let metadata = GramFile::read(&out).unwrap().metadata;
    assert_eq!((metadata.n, metadata.seed, metadata.precision, metadata.limit), (12, 9, Precision::F32, true));
    assert_eq!(metadata.architecture.width(), Some(1024));
    succeeds(plain(&out, &[&config[..], &["--n", "5", "--force"]].concat()));
    assert_eq!(GramFile::read(&out).unwrap().metadata.n, 5);
}

/// Memory in MiB that leaves half a MiB beside 300 samples and their matrix: the rows come in several blocks.
const TIGHT: [&str; 4] = ["--n", "300", "--memory", "3.0"];

#[test]
fn little_memory_gives_the_same_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let (large, small) = (folder.path().join("large.npz"), folder.path().join("small.npz"));
    let more = ["--limit", "--width", "16", "--samples", "2"];
    succeeds(kernel(&large, &[&["--n", "300"], &more[..]].concat()));
    let output = succeeds(kernel(&small, &[&TIGHT[..], &more[..]].concat()));
    assert!(!stderr(&output).contains("blocks of 300 rows"), "{}", stderr(&output));
    let (large, small) = (GramFile::read(&large).unwrap(), GramFile::read(&small).unwrap());
    assert_eq!(large.metadata, small.metadata);
    for key in ["limit", "width_16"] {
        assert!(difference(&small.matrices[key], &large.matrices[key]) < 1e-13, "{key}");
        assert_eq!(small.matrices[key], small.matrices[key].t(), "{key}");
    }
    // All at once, in the library.
    let (train, _) = samples(300, 1);
    let whole = LimitKernel::new(&architecture(), LimitKind::Ntk).unwrap().gram_symmetric(train.view()).unwrap();
    assert!(difference(&small.matrices["limit"], &whole) < 1e-13);
}

#[test]
fn a_resumed_job_is_the_same_job() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole.npz"), folder.path().join("parts.npz"));
    let more = [&TIGHT[..], &["--test", "3", "--limit", "--width", "16", "--samples", "3"]].concat();
    succeeds(kernel(&whole, &more));
    let resume = [&more[..], &["--resume"]].concat();
    // Without an interrupted job it starts, also where an empty folder was left.
    std::fs::create_dir(partial(&parts)).unwrap();
    let output = succeeds(kernel(&parts, &[&resume[..], &["--stop-after-blocks", "2"]].concat()));
    assert!(String::from_utf8_lossy(&output.stdout).contains("stopped after 2 of"));
    assert!(!parts.exists() && partial(&parts).is_dir());
    fails(&kernel(&parts, &more), 1, &["interrupted job", "--resume", "--force"]);
    fails(&kernel(&parts, &[&resume[..], &["--seed", "2"]].concat()), 1, &["another job", "seed was 1 and is 2 now"]);
    // In the middle of the mean over networks, and with another cap: the blocks stay as they are.
    succeeds(kernel(&parts, &[&resume[..], &["--stop-after-blocks", "20"]].concat()));
    let other: Vec<&str> = resume.iter().map(|&word| if word == TIGHT[3] { "500" } else { word }).collect();
    succeeds(kernel(&parts, &other));
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&parts).unwrap(), "resumed and uninterrupted differ");
    assert!(!partial(&parts).exists());
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "no temporary files are left");
}

#[test]
fn damage_is_found() {
    let (folder, out) = folder();
    let stop = ["--n", "10", "--width", "8", "--samples", "2", "--stop-after-blocks", "1"];
    let resume = ["--n", "10", "--width", "8", "--samples", "2", "--resume"];
    succeeds(kernel(&out, &stop));
    let block = partial(&out).join("width_8-0-1.f64");
    std::fs::write(&block, &std::fs::read(&block).unwrap()[..100]).unwrap();
    fails(&kernel(&out, &resume), 1, &["width_8-0-1.f64", "damaged", "--force"]);
    std::fs::write(partial(&out).join("job.json"), "{").unwrap();
    fails(&kernel(&out, &resume), 1, &["job.json", "damaged", "--force"]);
    succeeds(kernel(&out, &["--n", "10", "--force"]));
    assert!(!partial(&out).exists());

    let bytes = std::fs::read(&out).unwrap();
    let broken = folder.path().join("broken.npz");
    std::fs::write(&broken, &bytes[..bytes.len() / 2]).unwrap();
    let corrupt = |path: &Path| match GramFile::read(path) {
        Err(GramFileError::Corrupt { .. }) => (),
        other => panic!("{other:?}"),
    };
    corrupt(&broken);
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    std::fs::write(&broken, &flipped).unwrap();
    corrupt(&broken);
    assert!(matches!(GramFile::read(&folder.path().join("none.npz")), Err(GramFileError::Open { .. })));
    let mut npz = ndarray_npy::NpzWriter::new(std::fs::File::create(&broken).unwrap());
    npz.add_array("limit", &Array2::<f64>::zeros((2, 2))).unwrap();
    npz.finish().unwrap();
    let other = GramFile::read(&broken).unwrap_err();
    assert!(other.to_string().ends_with("holds no kernel of `widenet kernel`"), "{other}");
}

#[test]
fn mistakes_are_one_line_and_leave_nothing() {
    let (folder, out) = folder();
    fails(&kernel(&out, &["--n", "20000"]), 1, &["20000", "12665"]);
    fails(&kernel(&out, &["--test", "5000"]), 1, &["5000", "2115"]);
    fails(&kernel(&out, &["--n", "0"]), 2, &["--n"]);
    fails(&kernel(&out, &["--kind", "rbf"]), 2, &["rbf", "ntk", "nngp"]);
    fails(&kernel(&out, &["--config", "c.toml"]), 2, &["--arch", "--config"]);
    fails(&plain(&out, &["--n", "4"]), 2, &["--arch", "--config"]);
    fails(&plain(&out, &["--config", "none.toml"]), 2, &["none.toml"]);
    fails(&plain(&out, &["--arch", "mlp = { hiden = [4] }"]), 2, &["--arch:1", "hiden"]);
    fails(&kernel(&out, &["--width", "8,8"]), 2, &["--width", "8 is there twice"]);
    fails(&kernel(&out, &["--samples", "3"]), 2, &["--width"]);
    // 2^63 of anything.
    let many = "9223372036854775808";
    fails(&kernel(&out, &["--width", "4", "--samples", many]), 2, &["--samples", many, "at most 100000 networks"]);
    fails(&kernel(&out, &["--n", many]), 1, &[many, "between 1 and 12665"]);
    fails(&kernel(&out, &["--test", many]), 1, &[many, "between 1 and 2115"]);
    fails(
        &plain(&out, &["--arch", "mlp = { hidden = [1], sigma_w = 1e-200 }"]),
        1,
        &["sample 0", "is lost on the way"],
    );
    for flag in [["--backend", "wgpu"], ["--precision", "f32"], ["--method", "jacobian"], ["--seed", "2"]] {
        fails(&kernel(&out, &flag), 2, &[flag[0], "for the networks of --width"]);
    }
    fails(&kernel(&out, &["--data", "none"]), 1, &["none: there is no such folder"]);
    fails(&kernel(&out, &["--data", "Cargo.toml"]), 1, &["Cargo.toml: is a file"]);
    let study = "../../configs/study-table1.toml";
    fails(&plain(&out, &["--config", study]), 2, &["this file is for `widenet study`"]);
    fails(&kernel(&out, &["--classes", "3,8"]), 2, &["data.classes", "[3, 8]"]);
    fails(&plain(&out, &["--arch", "mlp = { hidden = [] }", "--width", "8"]), 2, &["no width"]);
    let pooled = r#"layers = ["flatten", { dense = { units = 4 } }, { activation = "relu" }, { activation = "relu" }, { dense = { units = 1 } }]"#;
    fails(&plain(&out, &["--arch", pooled]), 2, &["layer 4 (activation)"]);
    fails(&kernel(&out, &["--memory", "0.1"]), 2, &["--memory 0.100 is too small", "MiB together"]);
    fails(&kernel(&out, &["--memory", "lots"]), 2, &["MiB"]);
    fails(&kernel(&out, &["--width", "4000000000", "--memory", "500"]), 2, &["too small"]);
    fails(&kernel(&folder.path().join("none/kernel.npz"), &[]), 1, &["none: there is no such folder"]);
    fails(&kernel(folder.path(), &[]), 1, &["is a folder"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
}

/// A network's kernel may be 0: what was asked for is written, and nobody learns from it unawares.
#[test]
fn a_kernel_of_zeros_is_told() {
    let (_folder, out) = folder();
    let dead = ["--arch", "mlp = { hidden = [4], sigma_w = 1e-200 }", "--width", "4", "--n", "8"];
    let output = succeeds(plain(&out, &dead));
    assert!(stderr(&output).contains("warning: width_4 is at most 0e0 for every sample"), "{}", stderr(&output));
    let machine = out.with_extension("machine");
    let fit =
        ["fit", "mnist01", "--n", "8", "--c", "1", "--gram", out.to_str().unwrap(), "--out", machine.to_str().unwrap()];
    let output = Command::new(env!("CARGO_BIN_EXE_widenet")).args(fit).output().unwrap();
    fails(&output, 1, &["width_4 is at most 0e0 for every sample", "scale the features"]);
}

/// `widenet train` on 30 images, with settings.
fn train(out: &Path, settings: &[&str]) -> Output {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join(QUICKSTART);
    let mut command = Command::new(env!("CARGO_BIN_EXE_widenet"));
    command.args(["train", config.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let small = ["data.train=30", "data.test=20", "training.steps=10", "architecture.mlp.hidden=[32]"];
    for setting in small.iter().chain(settings) {
        command.args(["--set", setting]);
    }
    command.env_remove("RUST_BACKTRACE").output().unwrap()
}

#[test]
fn training_takes_a_saved_kernel() {
    let (folder, out) = folder();
    let more = ["--n", "30", "--test", "20", "--limit", "--width", "32", "--precision", "f32"];
    succeeds(kernel(&out, &more));
    let gram = format!("machine.gram='{}'", out.display());
    let results = |name: &str, settings: &[&str]| {
        let run = folder.path().join(name);
        succeeds(train(&run, settings));
        std::fs::read_to_string(run.join("dynamics.csv")).unwrap()
    };
    // Every number is the same up to rounding; here even the digits of the largest outputs.
    let numbers = |csv: &str| -> Vec<f64> {
        csv.lines().skip(1).flat_map(|line| line.split(',').filter_map(|value| value.parse().ok())).collect()
    };
    for kernel in ["machine.kernel=limit", "machine.kernel=empirical"] {
        let computed = numbers(&results(&format!("{kernel}-computed"), &[kernel]));
        let saved = numbers(&results(&format!("{kernel}-saved"), &[kernel, &gram]));
        assert_eq!(computed.len(), saved.len());
        for (a, b) in computed.iter().zip(&saved) {
            assert!((a - b).abs() < 1e-4, "{kernel}: {a}, {b}");
        }
    }
    let run = folder.path().join("run");
    fails(&train(&run, &[&gram, "data.train=29"]), 1, &["was computed on other samples"]);
    fails(&train(&run, &[&gram, "data.test=19"]), 1, &["was computed on other samples"]);
    fails(&train(&run, &[&gram, "architecture.mlp.activation=erf"]), 2, &["machine.gram", "another architecture"]);
    fails(&train(&run, &[&gram, "machine.kernel=empirical", "seed=2"]), 2, &["machine.gram", "seed 2"]);
    let hidden = "architecture.mlp.hidden=[16]";
    fails(&train(&run, &[&gram, "machine.kernel=empirical", hidden]), 1, &["width_16"]);
    fails(&train(&run, &["machine.gram=none.npz"]), 1, &["none.npz"]);
    let machine = folder.path().join("machine.kernel=limit-saved/machine.npz");
    let gram = format!("machine.gram='{}'", machine.display());
    fails(&train(&run, &[&gram]), 1, &["machine.npz: holds no kernel of `widenet kernel`"]);
    assert!(!run.exists());
}
