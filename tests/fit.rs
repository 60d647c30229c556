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

/// A test image's decision value, and the share of right classes.
fn predict_images(folder: &Path, machine: &str) -> (f64, f64) {
    let predicted = json(widenet(folder, &["predict", machine, "mnist01", "--n", "40", "--force", "--json"]));
    assert_eq!(predicted["samples"], 40);
    let text = std::fs::read_to_string(folder.join("predictions.csv")).unwrap();
    let first = text.lines().nth(1).unwrap().split(',').nth(1).unwrap().parse().unwrap();
    (first, predicted["score"]["accuracy"].as_f64().unwrap())
}

#[test]
fn images_are_fitted_from_a_configuration_or_a_saved_kernel() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
    let fit = |more: &[&str]| widenet(path, &[&["fit", "mnist01", "--n", "60", "--c", "1", "--json"], more].concat());
    let config = config.to_str().unwrap();
    let fitted = json(fit(&["--config", config, "--libsvm", "a.model"]));
    assert_eq!((&fitted["samples"], &fitted["classes"]), (&60.into(), &serde_json::json!(["0", "1"])));
    let (output, accuracy) = predict_images(path, "machine.npz");
    assert!(accuracy > 0.9, "{accuracy}");

    let model = std::fs::read_to_string(path.join("a.model")).unwrap();
    assert!(
        model.starts_with("svm_type c_svc\nkernel_type precomputed\nnr_class 2\n") && model.contains("\nlabel 1 0\n")
    );
    let support = model.lines().filter(|line| line.contains(" 0:")).count();
    assert_eq!(fitted["support"], support);

    // The same kernel from a file: of one hidden layer, whose width does not matter.
    let kernel = ["kernel", "--config", config, "--n", "60", "--out", "k.npz", "--json"];
    json(widenet(path, &kernel));
    let same = json(fit(&["--gram", "k.npz", "--out", "b.npz"]));
    let primal = |document: &Value| document["outputs"][0]["primal"].as_f64().unwrap();
    assert!((primal(&same) / primal(&fitted) - 1.0).abs() < 1e-7);
    assert!((predict_images(path, "b.npz").0 - output).abs() < 1e-4);
    // A network's own.
    json(widenet(
        path,
        &["kernel", "--arch", "mlp = { hidden = [1] }", "--width", "64", "--n", "60", "--out", "w.npz", "--json"],
    ));
    json(fit(&["--gram", "w.npz", "--out", "c.npz"]));
    assert!(predict_images(path, "c.npz").1 > 0.9);

    fails(
        widenet(path, &["fit", "mnist01", "--n", "50", "--c", "1", "--gram", "k.npz", "--force"]),
        1,
        "other samples",
    );
    fails(fit(&["--gram", "k.npz", "--label", "x", "--force"]), 2, "mnist01 is no table");
    fails(fit(&["--arch", ARCH, "--out", "d.npz", "--libsvm", "a.model"]), 1, "a.model: exists");
}

#[test]
fn a_machine_that_was_trained_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
    let sets = ["training.steps=50", "data.train=60", "data.test=40", "architecture.mlp.hidden=[32]"];
    let mut arguments = vec!["train", config.to_str().unwrap(), "--out", "run", "--json"];
    sets.iter().for_each(|set| arguments.extend(["--set", set]));
    let trained = json(widenet(folder.path(), &arguments));
    let (output, accuracy) = predict_images(folder.path(), "run/machine.npz");
    assert_eq!(trained["machine"]["test_accuracy"], accuracy);
    // The first test image's output when training ended.
    let dynamics = std::fs::read_to_string(folder.path().join("run/dynamics.csv")).unwrap();
    let column = dynamics.lines().next().unwrap().split(',').position(|name| name == "machine_probe_0").unwrap();
    let last: f64 = dynamics.lines().last().unwrap().split(',').nth(column).unwrap().parse().unwrap();
    assert!((output - last).abs() < 1e-12 && output != 0.0, "{output}, but {last}");
}

#[test]
fn ridge_without_the_matrix_is_ridge() {
    let folder = tempfile::tempdir().unwrap();
    table(folder.path());
    let common = ["--arch", ARCH, "--loss", "squared", "--lambda-mean", "1e-3", "--intercept", "--force", "--json"];
    let cases: [&[&str]; 2] = [&["values.csv", "--label", "1"], &["a.csv", "--multiclass", "one-versus-rest"]];
    for case in cases {
        let fit = |solver: &str| json(widenet(folder.path(), &[&["fit", "--solver", solver], case, &common].concat()));
        let (exact, iterated) = (fit("exact"), fit("conjugate-gradients"));
        assert_eq!(exact["task"], iterated["task"]);
        // With fewer rows to precondition it takes more iterations.
        let few = json(widenet(
            folder.path(),
            &[&["fit", "--solver", "conjugate-gradients", "--rank", "2"], case, &common].concat(),
        ));
        let iterations = |of: &Value| of["outputs"][0]["iterations"].as_u64().unwrap();
        assert!(iterations(&few) > iterations(&iterated), "{few}");
        for (a, b) in exact["outputs"].as_array().unwrap().iter().zip(iterated["outputs"].as_array().unwrap()) {
            assert_eq!(b["stop"], "Converged");
            assert!((a["primal"].as_f64().unwrap() / b["primal"].as_f64().unwrap() - 1.0).abs() < 1e-7);
        }
    }
    let refused = |more: &[&str]| {
        let common = ["fit", "a.csv", "--arch", ARCH, "--c", "1", "--solver", "conjugate-gradients", "--force"];
        widenet(folder.path(), &[&common, more].concat())
    };
    fails(refused(&[]), 2, "is for --loss squared");
    fails(refused(&["--loss", "squared", "--multiclass", "one-versus-one"]), 2, "by --multiclass one-versus-rest");
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
    fails(fit(&["a.csv", "--c", "1", "--classes", "0,1"]), 2, "--classes is for images");
    fails(fit(&["a.csv", "--c", "1", "--n", "31"]), 1, "30 samples, but 31 are wanted");
    fails(fit(&["a.csv", "--c", "1", "--libsvm", "a.model"]), 2, "LIBSVM's labels are whole numbers");
    std::fs::write(folder.path().join("machine.npz"), "no machine").unwrap();
    fails(fit(&["a.csv", "--c", "1"]), 1, "machine.npz: exists");
    fails(widenet(folder.path(), &["predict", "machine.npz", "a.csv"]), 1, "not a whole machine");
}
