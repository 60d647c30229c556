//! `widenet fit` and `widenet predict` as a user runs them.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const ARCH: &str = "mlp = { hidden = [1] }";

fn widenet(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_widenet"));
    command.current_dir(folder).args(arguments).env_remove("RUST_BACKTRACE").output().unwrap()
}

fn json(output: Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn fails(output: Output, code: i32, words: &str) {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = text.lines().last().unwrap_or_default();
    assert!(output.status.code() == Some(code) && last.starts_with("widenet: ") && last.contains(words), "{text}");
}

/// Three classes on a circle, ten samples each; `z` stands for the value `10 x`.
fn table(folder: &Path) {
    let (mut csv, mut svm, mut bare, mut values) =
        ("x,y,class\n".to_string(), String::new(), String::new(), String::new());
    for i in 0..30 {
        let (class, angle) = (i % 3, f64::from(i % 3) * 2.0 + f64::from(i / 3) * 0.05);
        let (x, y) = (angle.cos(), angle.sin());
        writeln!(csv, "{x},{y},{}", ["north", "south", "west"][class as usize]).unwrap();
        writeln!(svm, "{} 1:{x} 2:{y}", class + 5).unwrap();
        writeln!(bare, "{x},{y}").unwrap();
        writeln!(values, "{},{x},{y}", 10.0 * x).unwrap();
    }
    for (name, text) in [("a.csv", csv), ("a.svm", svm), ("bare.csv", bare), ("values.csv", values)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn classes_are_fitted_saved_and_predicted() {
    let folder = tempfile::tempdir().unwrap();
    table(folder.path());
    for (scheme, outputs) in [("one-versus-one", 3), ("one-versus-rest", 3)] {
        let common = ["--arch", ARCH, "--c", "10", "--intercept", "--probabilities", "--force", "--json"];
        let arguments = [&["fit", "a.csv", "--multiclass", scheme], common.as_slice()].concat();
        let fitted = json(widenet(folder.path(), &arguments));
        assert_eq!(fitted["classes"], serde_json::json!(["north", "south", "west"]));
        assert_eq!((&fitted["task"], &fitted["train"]["accuracy"]), (&scheme.into(), &1.0.into()));
        assert!(fitted["outputs"].as_array().unwrap().iter().all(|one| one["relative_gap"].as_f64().unwrap() <= 1e-8));
        // The same machine, byte for byte.
        let first = std::fs::read(folder.path().join("machine.npz")).unwrap();
        json(widenet(folder.path(), &arguments));
        assert_eq!(std::fs::read(folder.path().join("machine.npz")).unwrap(), first);

        let predicted = json(widenet(folder.path(), &["predict", "machine.npz", "a.csv", "--force", "--json"]));
        assert_eq!(predicted["score"]["accuracy"], 1.0);
        let text = std::fs::read_to_string(folder.path().join("predictions.csv")).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!((rows.len(), rows[0].len()), (31, 1 + outputs + 3));
        for (i, row) in rows[1..].iter().enumerate() {
            assert_eq!(row[0], ["north", "south", "west"][i % 3]);
            let chances: Vec<f64> = row[1 + outputs..].iter().map(|cell| cell.parse().unwrap()).collect();
            assert!((chances.iter().sum::<f64>() - 1.0).abs() < 1e-9 && chances[i % 3] > 0.5, "{row:?}");
        }
        // The same without labels.
        let bare = json(widenet(folder.path(), &["predict", "machine.npz", "bare.csv", "--force", "--json"]));
        assert_eq!(bare["score"], Value::Null);
        assert_eq!(std::fs::read_to_string(folder.path().join("predictions.csv")).unwrap(), text);
    }
}

#[test]
fn libsvm_files_and_values_too() {
    let folder = tempfile::tempdir().unwrap();
    table(folder.path());
    let fitted = json(widenet(folder.path(), &["fit", "a.svm", "--arch", ARCH, "--lambda-mean", "0.01", "--json"]));
    assert_eq!(fitted["classes"], serde_json::json!(["5", "6", "7"]));
    let common = ["--label", "1", "--arch", ARCH, "--loss", "squared", "--lambda-mean", "1e-6", "--force", "--json"];
    json(widenet(folder.path(), &[&["fit", "values.csv"], common.as_slice()].concat()));
    let predict = ["predict", "machine.npz", "values.csv", "--label", "1", "--json"];
    let error = json(widenet(folder.path(), &predict))["score"]["root_mean_squared_error"].as_f64().unwrap();
    assert!(error < 0.1, "{error}");
}

#[test]
fn what_is_wrong_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    table(folder.path());
    let fit = |more: &[&str]| widenet(folder.path(), &[&["fit", "--arch", ARCH], more].concat());
    fails(fit(&["none.csv", "--c", "1"]), 1, "none.csv: ");
    fails(fit(&["a.csv", "--c", "0"]), 2, "--c 0: not a finite number > 0");
    fails(fit(&["a.csv", "--c", "1", "--label", "q"]), 1, "a.csv:1: there is no column \"q\"");
    fails(fit(&["a.csv", "--c", "1", "--loss", "squared"]), 1, "label \"north\" is not a finite number");
    fails(fit(&["a.csv", "--c", "1", "--loss", "squared", "--probabilities"]), 2, "--probabilities");
    fails(fit(&["a.csv", "--c", "1", "--epsilon", "0.1"]), 2, "--epsilon is for");
    std::fs::write(folder.path().join("machine.npz"), "no machine").unwrap();
    fails(fit(&["a.csv", "--c", "1"]), 1, "machine.npz: exists");
    fails(widenet(folder.path(), &["predict", "machine.npz", "a.csv"]), 1, "not a whole machine");
}
