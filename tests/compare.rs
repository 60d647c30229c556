//! `widenet compare` as a user runs it.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// `widenet compare` with the configuration of this name, into `out`.
fn compare(name: &str, out: &Path, more: &[&str]) -> Output {
    let config = root().join(format!("configs/compare-{name}.toml"));
    compare_file(&config, out, more)
}

fn compare_file(config: &Path, out: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_widenet"));
    command.args(["compare", config.to_str().unwrap(), "--out", out.to_str().unwrap()]).args(more);
    command.env_remove("RUST_BACKTRACE").output().unwrap()
}

/// Few samples, narrow networks, a short training.
const SMALL: [&str; 8] = [
    "--set",
    "data.samples=16",
    "--set",
    "compare.widths=[16,64,256]",
    "--set",
    "compare.seeds=6",
    "--set",
    "training.steps=3",
];

fn results(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that a command failed with this code, and that the last line on stderr, after what was understood of the
/// samples, has all the words.
fn fails(output: &Output, code: i32, words: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(output.stdout.is_empty(), "nothing on stdout");
    assert!(!text.contains("panicked") && !text.contains("defect"), "{text}");
    let last = common::last_line(&text);
    for word in words {
        assert!(last.contains(word), "no {word:?} in {text}");
    }
}

#[test]
fn a_comparison_leaves_what_it_promises_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (out, again) = (folder.path().join("run"), folder.path().join("again"));
    let output = compare("mlp", &out, &[&SMALL[..], &["--json"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let results = results(&out);
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, results, "--json prints the results and nothing else");

    for file in ["config.toml", "timing.json", "compare.csv", "report.html"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    for plot in ["error", "kernels", "entries", "spectra", "directions", "movement"] {
        let read = |extension: &str| std::fs::read(out.join(format!("plots/{plot}.{extension}"))).unwrap();
        assert!(read("svg").starts_with(b"<svg") && read("png").starts_with(b"\x89PNG"), "{plot}");
    }
    let html = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert_eq!(html.matches("<figure ").count(), 6);
    for reference in ["<script", "<link", "src=\"http", "@import"] {
        assert!(!html.contains(reference), "the report needs nothing from outside: {reference}");
    }
    let csv = std::fs::read_to_string(out.join("compare.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 3 * 6, "one row per width and seed");
    assert!(csv.starts_with("width,seed,relative_error,"), "{csv}");
    assert_eq!(results["widths"][2]["width"], 256);
    assert_eq!(results["widths"][2]["runs"].as_array().unwrap().len(), 6);
    assert_eq!((&results["backend"], &results["precision"]), (&"flex".into(), &"f64".into()));

    // The configuration in the folder repeats the run, byte for byte.
    let output = compare_file(&out.join("config.toml"), &again, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("relative Frobenius error"));
    for file in ["results.json", "compare.csv", "config.toml", "report.html", "plots/kernels.svg"] {
        assert!(std::fs::read(out.join(file)).unwrap() == std::fs::read(again.join(file)).unwrap(), "{file} differs");
    }
}

#[test]
fn kernels_close_in_on_their_limit() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = compare("mlp", &out, &SMALL);
    assert!(output.status.success(), "{}", stderr(&output));
    let results = results(&out);
    let slope = &results["slopes"]["relative_error"];
    let number = |key: &str| slope[key].as_f64().unwrap();
    assert!((-0.8..-0.25).contains(&number("slope")), "{slope}");
    assert!(number("low") < number("slope") && number("slope") < number("high"), "{slope}");
    assert_eq!(slope["points"], 18);

    let of = |width: usize, path: &str| results["widths"][width].pointer(path).and_then(Value::as_f64).unwrap();
    for width in 0..3 {
        // The mean of the kernels is nearer than the mean of their distances: the norm is convex.
        assert!(of(width, "/of_mean_kernel/relative_error") < of(width, "/mean/relative_error"));
        for path in ["/mean/alignment", "/mean/overlap"] {
            assert!(of(width, path) > 0.5 && of(width, path) <= 1.0, "{width} {path}");
        }
    }
    assert!(of(2, "/mean/alignment") > of(0, "/mean/alignment"));
    assert!(of(2, "/kernel_change") < of(0, "/kernel_change"));
}

#[test]
fn every_configuration_runs() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["cnn", "resnet"] {
        let out = folder.path().join(name);
        let small = ["data.samples=3", "compare.widths=[4,16]", "compare.seeds=1"];
        let set: Vec<&str> = small.into_iter().flat_map(|text| ["--set", text]).collect();
        let output = compare(name, &out, &set);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let results = results(&out);
        // One network of each width: no mean to compare with, and two points have no interval.
        assert!(results["slopes"].get("to_mean").is_none(), "{results}");
        assert!(results["slopes"]["relative_error"]["slope"].is_f64());
        assert!(results["slopes"]["relative_error"]["low"].is_null());
    }
}

#[test]
fn single_precision_is_close_to_double() {
    let folder = tempfile::tempdir().unwrap();
    let error = |precision: &str| {
        let out = folder.path().join(precision);
        let output = compare("mlp", &out, &[&SMALL[..], &["--precision", precision]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        results(&out)["widths"][0]["mean"]["relative_error"].as_f64().unwrap()
    };
    let (single, double) = (error("f32"), error("f64"));
    assert!((single - double).abs() < 1e-5 && single != double, "{single} {double}");
}

#[test]
fn bad_settings_are_one_line_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let good = std::fs::read_to_string(root().join("configs/compare-mlp.toml")).unwrap();
    let with = |from: &str, to: &str| {
        assert!(good.contains(from));
        let config = folder.path().join("bad.toml");
        std::fs::write(&config, good.replace(from, to)).unwrap();
        compare_file(&config, &out, &[])
    };
    let line = |text: &str| {
        let line = good.lines().position(|line| line.starts_with(text)).unwrap() + 1;
        format!("bad.toml:{line}: ")
    };
    fails(&with("seeds =", "seed ="), 2, &[&line("seeds"), "unknown field `seed`"]);
    fails(&with("widths = [64", "widths = [0"), 2, &[&line("widths"), "zero"]);
    fails(&with("widths = [64", "widths = [640"), 2, &[&line("widths"), "128 follows 640"]);
    fails(&compare("mlp", &out, &["--set", "compare.widths=[]"]), 2, &["--set", "at least two widths"]);
    fails(&compare("mlp", &out, &["--set", "architecture.mlp.hidden=[]"]), 2, &["without a hidden layer"]);
    fails(&compare("mlp", &out, &["--set", "data.samples=20000"]), 1, &["20000", "12665"]);
    let many = ["--set", "compare.seeds=9223372036854775807"];
    fails(&compare("mlp", &out, &many), 2, &["compare.seeds is 9223372036854775807", "at most 100000 networks"]);
    let pool =
        "layers = [{ max_pool = { window = 4 } }, 'flatten', { dense = { units = 8 } }, { dense = { units = 1 } }]";
    let layers = |layers: &str| with("[architecture.mlp]\nhidden = [64]", &format!("[architecture]\n{layers}"));
    fails(&layers(pool), 2, &["layer 1 (max_pool)"]);
    let tied =
        "layers = ['flatten', { residual = { branch = [{ dense = { units = 784 } }] } }, { dense = { units = 1 } }]";
    fails(&layers(tied), 2, &["layer 2 (residual)"]);
    let wide = ["--set", "compare.widths=[64, 4000000000000000000]"];
    fails(&compare("mlp", &out, &wide), 2, &["layer 2 (dense)", "4000000000000000000"]);
    fails(&compare_file(&root().join("configs/mlp.toml"), &out, &[]), 2, &["this file is for `widenet train`"]);
    let wide = ["--set", "compare.widths=[64, 4000000000000]"];
    fails(&compare("mlp", &out, &wide), 1, &["parameters", "memory"]);
    assert!(!out.exists(), "nothing was written");
}

/// Weights without size: the limit is 0, and nothing is compared with it.
#[test]
fn a_limit_of_zeros_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let more = [&SMALL[..], &["--set", "architecture.mlp.sigma_w=1e-200"]].concat();
    fails(&compare("mlp", &folder.path().join("run"), &more), 1, &["sample 0", "is lost on the way", "raise sigma_w"]);
}

#[test]
fn existing_run_folders_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    assert!(compare("mlp", &out, &SMALL).status.success());
    let before = std::fs::read(out.join("results.json")).unwrap();
    let output = compare("mlp", &out, &SMALL);
    fails(&output, 1, &["exists", "--force", "--out"]);
    assert!(!stderr(&output).contains("--resume"), "there is nothing to resume");
    assert!(compare("mlp", &out, &[&SMALL[..], &["--force", "--seed", "2"]].concat()).status.success());
    assert_ne!(std::fs::read(out.join("results.json")).unwrap(), before);
}
