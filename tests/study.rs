//! `widenet study` and `widenet reproduce` as a user runs them.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn widenet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_widenet")).args(arguments).env_remove("RUST_BACKTRACE").output().unwrap()
}

/// `widenet study configs/study-NAME.toml` on 16 training and 12 test images, into `out`.
fn study(name: &str, out: &Path, overrides: &[&str], more: &[&str]) -> Output {
    let config = root().join(format!("configs/study-{name}.toml"));
    let mut arguments = vec!["study", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
    for set in ["data.train=16", "data.test=12"].iter().chain(overrides) {
        arguments.extend(["--set", set]);
    }
    arguments.extend(more);
    widenet(&arguments)
}

fn succeeds(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn results(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap()
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} in {value}"))
}

#[test]
fn gaps_fall_with_the_width_for_every_loss() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let sets = ["study.gap.widths=[16, 256]", "study.gap.seeds=3", "training.steps=60", "training.learning_rate=1.0"];
    let output = study("table1", &out, &sets, &["--json"]);
    succeeds(&output);
    let results = results(&out);
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), results);
    let rows = results["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 7);
    for row in rows {
        let slope = number(row, "/largest/slope/slope");
        assert!(slope < -0.25, "{}: {slope}", row["name"]);
        // The largest gap over all steps is at least that at the end, and at most the sum of its two parts.
        let at = |measure: &str, width: usize| number(row, &format!("/{measure}/means/{width}/mean"));
        for width in 0..2 {
            assert!(at("largest", width) >= at("last", width));
        }
    }
    let csv = std::fs::read_to_string(out.join("gap.csv")).unwrap();
    assert!(csv.starts_with("row,width,seed,step,train_max"), "{csv}");
    for file in ["report.html", "plots/gap.svg", "plots/gap.png", "config.toml"] {
        assert!(out.join(file).is_file(), "{file}");
    }
}

#[test]
fn regularisers_do_what_is_predicted_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    // A strong regulariser: lambda_mean * time = 0.02 * 100 = 2.
    let sets = [
        "study.gap.widths=[512]",
        "study.gap.seeds=1",
        "study.gap.lambdas=[0.02]",
        "training.steps=100",
        "training.learning_rate=1.0",
    ];
    succeeds(&study("regularisers", &out, &sets, &[]));
    let csv = std::fs::read_to_string(out.join("gap.csv")).unwrap();
    let last = |regulariser: &str| -> Vec<f64> {
        let line = csv.lines().rfind(|line| line.contains(regulariser)).unwrap();
        // The name has a comma and is quoted.
        line.rsplit(',').take(5).map(|cell| cell.parse().unwrap()).collect()
    };
    let (follows, paper) = (last("distance-to-init"), last("last-layer"));
    // predicted, output, test_max, train_rms, train_max: the decay alone explains most of the gap of last-layer.
    assert_eq!(follows[0], 0.0);
    assert!(follows[4] < 0.5 * paper[4], "{follows:?}, {paper:?}");
    assert!((paper[0] - paper[4]).abs() < 0.5 * paper[4], "{paper:?}");
}

#[test]
fn an_interrupted_study_goes_on_and_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let sets = ["study.gap.widths=[8, 32]", "study.gap.seeds=2", "training.steps=20"];
    succeeds(&study("last-layer", &whole, &sets, &[]));
    succeeds(&study("last-layer", &parts, &sets, &[]));
    // As if it had been interrupted after three of its eight networks.
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(parts.join("parts")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 8);
    files[3..].iter().for_each(|file| std::fs::remove_file(file).unwrap());
    std::fs::remove_file(parts.join("results.json")).unwrap();
    let before = std::fs::read(&files[0]).unwrap();
    succeeds(&study("last-layer", &parts, &sets, &["--resume"]));
    assert_eq!(std::fs::read(&files[0]).unwrap(), before, "what was there is kept");
    for file in ["results.json", "gap.csv"] {
        assert!(std::fs::read(whole.join(file)).unwrap() == std::fs::read(parts.join(file)).unwrap(), "{file} differs");
    }
    let other = study("last-layer", &parts, &["training.steps=30"], &["--resume"]);
    assert_eq!(other.status.code(), Some(2));
}

#[test]
fn the_last_layer_alone_follows_the_nngp_machine_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let sets = ["study.gap.widths=[1024]", "study.gap.seeds=1", "training.steps=50", "training.learning_rate=1.0"];
    succeeds(&study("last-layer", &out, &sets, &[]));
    let results = results(&out);
    let gap = |row: usize| number(&results, &format!("/rows/{row}/largest/means/0/mean"));
    assert!(gap(0) < 0.5 * gap(1), "{} and {}", gap(0), gap(1));
    // Its output is linear in what is trained: it is its linearised network.
    assert!(number(&results, "/rows/0/to_linearised/means/0/mean") < 1e-4);
}

#[test]
fn a_trained_network_is_its_path_kernel_machine() {
    let folder = tempfile::tempdir().unwrap();
    let error = |steps: usize, rate: f64| {
        let out = folder.path().join(steps.to_string());
        let (steps, rate) = (format!("training.steps={steps}"), format!("training.learning_rate={rate}"));
        // The last row has a step size of its own, and is left to the configuration.
        let rows = "study.path-kernel.rows=[{ name = 'a', lambda_mean = 0.01, regulariser = 'last-layer' }, \
                    { name = 'b', lambda_mean = 0.01, loss = 'logistic', regulariser = 'none' }]";
        succeeds(&study("path-kernel", &out, &[rows, &steps, &rate, "architecture.mlp.hidden=[64]"], &[]));
        let results = results(&out);
        for row in 0..2 {
            assert_eq!(number(&results, &format!("/rows/{row}/sign_changes")), 0.0);
            let (train, test) = ("reconstruction/train", "reconstruction/test");
            let output = number(&results, &format!("/rows/{row}/largest_output"));
            for which in [train, test] {
                assert!(number(&results, &format!("/rows/{row}/{which}")) < 0.02 * output, "{results}");
            }
        }
        number(&results, "/rows/1/reconstruction/train")
    };
    // The error is that of the steps: it falls with them, at the same time t = 4.
    let (coarse, fine) = (error(8, 0.5), error(32, 0.125));
    assert!(fine < 0.5 * coarse, "{coarse:e}, {fine:e}");
}

#[test]
fn the_objective_falls_as_fast_as_it_must() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    // lambda_mean * time = 0.05 * 60 = 3.
    let rows = "study.objective.rows=[{ name = 'a', loss = 'squared', lambda_mean = 0.05 }, \
                { name = 'b', loss = 'logistic', lambda_mean = 0.05 }, { name = 'c', loss = 'hinge', lambda_mean = 0.05 }]";
    let sets = [rows, "training.steps=600", "architecture.mlp.hidden=[64]"];
    succeeds(&study("objective", &out, &sets, &[]));
    let results = results(&out);
    for row in 0..2 {
        // Smooth losses: never above the line, and never below the optimum.
        assert!(number(&results, &format!("/rows/{row}/largest_ratio")) < 1.0 + 1e-6, "{results}");
        assert!(number(&results, &format!("/rows/{row}/last/machine")) > -1e-7, "{results}");
    }
    assert!(number(&results, "/rows/2/last/machine") < 0.05, "{results}");
    for row in 0..3 {
        // The flow: for every loss.
        assert!(number(&results, &format!("/rows/{row}/largest_ratio_of_flow")) < 1.0 + 1e-6, "{results}");
        assert!(number(&results, &format!("/rows/{row}/last/flow")) > -1e-7, "{results}");
    }
    let refused = study("objective", &out, &["study.objective.rows=[{ name = 'a', lambda_mean = 0.0 }]"], &["--force"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn the_bound_knows_random_labels_from_learned_ones() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let sets = ["data.train=200", "data.test=200", "architecture.mlp.hidden=[256]", "training.steps=100"];
    succeeds(&study("generalisation", &out, &sets, &[]));
    let results = results(&out);
    for who in ["network", "machine"] {
        let of = |labels: &str, what: &str| number(&results, &format!("/{labels}/{who}/{what}"));
        // A smaller probability of failure costs more, and a bound is above what it bounds.
        assert!(of("labels", "bounds/0/bound") > of("labels", "bounds/1/bound"));
        assert!(of("labels", "bounds/0/bound") > of("labels", "test_risk"));
        assert!(of("random_labels", "bounds/0/bound") > of("labels", "bounds/0/bound"));
        assert!(of("random_labels", "test_risk") > of("labels", "test_risk") + 0.2);
    }
}

#[test]
fn networks_started_at_the_machine_come_closer_with_the_width() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let sets = ["study.from-machine.widths=[64, 4096]"];
    succeeds(&study("from-machine", &out, &sets, &[]));
    let results = results(&out);
    let at = |what: &str, width: usize| number(&results, &format!("/{what}/means/{width}/mean"));
    for what in ["train", "test"] {
        assert!(at(what, 1) < 0.3 * at(what, 0), "{results}");
    }
    assert!(at("train", 1) < 0.1 * number(&results, "/largest_output"));
}

#[test]
fn what_cannot_be_studied_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let fails = |name: &str, set: &str, words: &str| {
        let output = study(name, &out, &[set], &[]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(common::last_line(&text).contains(words), "{text}");
        assert!(!out.exists());
    };
    fails("table1", "study.gap.widths=[]", "at least one row and one width");
    fails("table1", "study.gap.rows=[{ name = 'x', lambda_mean = 0.1, kernel = 'empirical' }]", "kernel `empirical`");
    fails("table1", "training.learning_rate=2000.0", "lambda_mean");
    fails("generalisation", "study.generalisation.deltas=[1.5]", "delta is 1.5");
    fails("cnn", "study.gap.foo=1", "foo");
}

#[test]
fn every_gap_configuration_runs() {
    let folder = tempfile::tempdir().unwrap();
    for (name, widths) in [("lambda", "[16]"), ("deep", "[8, 16]"), ("cnn", "[16, 32]")] {
        let out = folder.path().join(name);
        let widths = format!("study.gap.widths={widths}");
        succeeds(&study(name, &out, &[&widths, "study.gap.seeds=1", "training.steps=10"], &[]));
    }
}

/// Every target at smoke scale, with what it says checked against the theory.
#[test]
fn the_paper_is_reproduced_at_small_scale() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("all");
    succeeds(&widenet(&["reproduce", "all", "--out", out.to_str().unwrap()]));
    let results = results(&out);
    let claims = results["claims"].as_array().unwrap();
    let measured = |words: &[&str]| {
        let has = |claim: &&Value| words.iter().all(|word| claim["what"].as_str().unwrap().contains(word));
        claims.iter().find(has).unwrap_or_else(|| panic!("{words:?}"))["measured"].as_str().unwrap().to_string()
    };
    let gap = |width: &str, regulariser: &str| -> f64 {
        measured(&["figure1", &format!("width {width}, rate 0.1"), regulariser]).parse().unwrap()
    };
    assert!(gap("512", "distance-to-init") < gap("128", "distance-to-init"));
    let accuracy: f64 = measured(&["figure-a1", "network, distance-to-init"]).trim_end_matches(" %").parse().unwrap();
    assert!(accuracy > 99.0, "{accuracy}");
    for row in results["runs"]["table1"]["rows"].as_array().unwrap() {
        assert!(number(row, "/largest/slope/slope") < -0.3, "{row}");
    }
    // What is proven lies below the attack, of the strongly regularised machines not far; and the published bound
    // grows with the regularisation by far more than the attack does.
    let machines = results["runs"]["table3"]["rows"].as_array().unwrap();
    assert_eq!(machines.len(), 10);
    for row in machines {
        let [published, best, attack] = ["/interval_published", "/best", "/attack"].map(|column| number(row, column));
        assert!(published < best && best <= attack && best > 0.5 * attack, "{row}");
    }
    let gain = |column: &str| number(&machines[7], column) / number(&machines[0], column);
    assert!(gain("/interval_published") > 50.0 && gain("/attack") < 3.0, "{machines:?}");
    // Interval bounds fall with the width, and the attack does not.
    let networks: Vec<&Value> =
        results["runs"]["table2"]["rows"].as_array().unwrap().iter().filter(|row| row["trained"] == false).collect();
    let slope = |column: &str| {
        let [first, last] = [networks[0], networks[networks.len() - 1]]
            .map(|row| (number(row, "/width").ln(), number(row, column).ln()));
        (last.1 - first.1) / (last.0 - first.0)
    };
    assert!((slope("/interval") + 0.5).abs() < 0.15, "{networks:?}");
    assert!((slope("/interval_published") + 0.5).abs() < 0.15 && slope("/attack") > 0.0, "{networks:?}");
    let html = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(html.contains("Table 2") && html.contains("Table 3"));
    assert!(html.contains("Figure 1") && html.contains("Table 1") && html.contains("generalisation"));
    // A finished reproduction is not computed again.
    let again = widenet(&["reproduce", "all", "--out", out.to_str().unwrap(), "--resume"]);
    succeeds(&again);
    assert_eq!(self::results(&out), results);
}
