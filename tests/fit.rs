//! `widenet fit` and `widenet predict` as a user runs them.

mod common;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use widenet_data::Idx;

use common::{ARCH, fails, json, widenet};

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

#[test]
fn labels_that_the_machine_does_not_know_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
    write("two.csv", "x,y,class\n1,2,0\n-1,0.3,1\n2,2,0\n-2,0,1\n");
    write("pets.csv", "x,y,class\n1,2,0\n-1,0.3,cat\n");
    write("three.svm", "0 1:1\n\n1 2:1\n2 1:1\n");
    write("values.csv", "1,2,0.5\n-1,0.3,1.5\n");
    let fit = |more: &[&str]| json(widenet(path, &[&["fit", "--arch", ARCH, "--force", "--json"], more].concat()));
    let predict = |more: &[&str]| widenet(path, &[&["predict", "--force", "--json"], more].concat());
    fit(&["two.csv", "--c", "1"]);
    for (name, right, told) in [
        ("pets.csv", 0.5, r#"2 classes: "0" 1, "1" 0; of classes that the machine does not know: "cat" 1"#),
        ("three.svm", 1.0 / 3.0, r#"2 classes: "0" 1, "1" 1; of classes that the machine does not know: "2" 1"#),
    ] {
        let output = predict(&["machine.npz", name]);
        assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{output:?}");
        let document = json(output);
        assert_eq!((&document["score"]["accuracy"], &document["of_unknown_classes"]), (&right.into(), &1.into()));
    }
    assert_eq!(json(predict(&["machine.npz", "two.csv"]))["score"]["accuracy"], 1.0);
    // Without known labels, the format of LIBSVM has zeros.
    write("yes-no.csv", "1,2,yes\n-1,0.3,no\n");
    write("none.svm", "0 1:1\n0 2:1\n");
    fit(&["yes-no.csv", "--c", "1", "--out", "yes-no.npz"]);
    assert!(json(predict(&["yes-no.npz", "none.svm"]))["score"].is_null());
    // A machine of numbers wants numbers.
    fit(&["values.csv", "--loss", "squared", "--c", "1", "--out", "v.npz"]);
    fails(predict(&["v.npz", "pets.csv"]), 1, r#"pets.csv:3: label "cat" is not a finite number"#);

    // Images of 3 and 8 that differ in one pixel, beside others.
    let images = path.join("idx");
    std::fs::create_dir(&images).unwrap();
    for part in ["train", "t10k"] {
        let labels: Vec<u8> = (0..20).map(|i| [3, 8, 0, 1][i % 4]).collect();
        let pixels = labels.iter().flat_map(|&label| [label * 20, 100, 0, 50]).collect();
        Idx::new([20, 2, 2], pixels).unwrap().write(&images.join(format!("{part}-images-idx3-ubyte"))).unwrap();
        Idx::new([20], labels).unwrap().write(&images.join(format!("{part}-labels-idx1-ubyte"))).unwrap();
    }
    fit(&["idx", "--classes", "3,8", "--c", "100", "--out", "m38.npz"]);
    let own = json(predict(&["m38.npz", "idx"]));
    assert_eq!((&own["samples"], &own["score"]["accuracy"]), (&10.into(), &1.0.into()));
    let known = r#"--classes: 0 is not one of the machine's classes ["3", "8"]"#;
    fails(predict(&["m38.npz", "idx", "--classes", "0,1"]), 2, known);
    write("words.csv", "1,2,3,0,cat\n-1,0.3,1,0,dog\n");
    fit(&["words.csv", "--c", "1", "--out", "words.npz"]);
    fails(predict(&["words.npz", "idx"]), 2, r#"classes ["cat", "dog"] are not two digits"#);
}

#[test]
fn a_solver_that_stopped_early_says_so() {
    let folder = tempfile::tempdir().unwrap();
    // One sample in both classes: with this C nothing is left of its coefficients' difference.
    std::fs::write(folder.path().join("two.csv"), "1,2,0\n1,2,1\n2,2,0\n-2,0,1\n").unwrap();
    let loss = ["--loss", "squared-hinge"];
    let fit = |c: &str| {
        widenet(folder.path(), &[&["fit", "two.csv", "--arch", ARCH, "--force", "--c", c][..], &loss].concat())
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let early = fit("1e14");
    let (told, summary) = (text(&early.stderr), text(&early.stdout));
    let warnings: Vec<&str> = told.lines().filter(|line| line.starts_with("warning: ")).collect();
    assert!(early.status.success() && warnings.len() == 1 && folder.path().join("machine.npz").exists(), "{told}");
    assert!(warnings[0].contains("the solver stopped early because") && warnings[0].contains("smaller --c"), "{told}");
    assert!(summary.contains("in the support; stopped early because"), "{summary}");
    // The optimum is found with twice the digits, but a machine's outputs are plain sums.
    let lossy = widenet(folder.path(), &["fit", "two.csv", "--arch", ARCH, "--force", "--c", "1e16"]);
    assert!(text(&lossy.stderr).contains("warning: the coefficients are so large that their sums lose digits"));
    let whole = fit("1");
    assert!(!text(&whole.stderr).contains("warning: "));
    assert!(text(&whole.stdout).contains("in the support; converged, largest relative duality gap"));
}

#[test]
fn files_that_cannot_be_written_are_told_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    table(path);
    let fit = |more: &[&str]| widenet(path, &[&["fit", "--arch", ARCH, "--c", "1"], more].concat());
    fails(fit(&["a.svm", "--out", "no/y.npz"]), 1, "no/y.npz: there is no folder no");
    fails(fit(&["a.svm", "--out", ".", "--force"]), 1, "is a folder");
    fails(fit(&["a.svm", "--out", "m.npz", "--libsvm", "./m.npz"]), 1, "named by both --out and --libsvm");
    let before = std::fs::read(path.join("a.csv")).unwrap();
    fails(fit(&["a.csv", "--out", "./a.csv", "--force"]), 1, "is read, so it is not replaced");
    let libsvm = |more: &[&str]| fit(&[&["a.svm", "--libsvm", "m.model"], more].concat());
    fails(libsvm(&["--loss", "squared"]), 2, "the squared loss: take --loss hinge");
    let rest = libsvm(&["--multiclass", "one-versus-rest"]);
    fails(rest, 2, "of the kind one-versus-rest: take --multiclass one-versus-one");
    // Before the work: the line about the samples comes first otherwise.
    let told = libsvm(&["--multiclass", "one-versus-rest"]).stderr;
    assert_eq!(String::from_utf8_lossy(&told).lines().count(), 1);
    assert!(!path.join("machine.npz").exists() && !path.join("m.npz").exists());

    json(fit(&["a.csv", "--json"]));
    let onto = |out: &str| widenet(path, &["predict", "machine.npz", "a.csv", "--out", out, "--force"]);
    fails(onto("a.csv"), 1, "a.csv: is read, so it is not replaced");
    fails(onto("machine.npz"), 1, "machine.npz: is read, so it is not replaced");
    assert_eq!(std::fs::read(path.join("a.csv")).unwrap(), before);
}

#[test]
fn rows_and_labels_that_may_be_slips_are_told() {
    let folder = tempfile::tempdir().unwrap();
    table(folder.path());
    std::fs::write(folder.path().join("slip.csv"), "1,2,oops,0\n1,2,3,1\n0,1,2,0\n").unwrap();
    let fit = |more: &[&str]| widenet(folder.path(), &[&["fit", "--arch", ARCH, "--c", "1"], more].concat());
    fails(
        fit(&["slip.csv"]),
        1,
        r#"slip.csv:1: column 3: "oops" is not a number, but column 1 is "1": neither a header"#,
    );
    let told =
        r#"has a fraction, but the hinge loss takes classes: numbers are fitted by --loss squared or --loss epsi"#;
    fails(fit(&["values.csv"]), 1, told);
    // sin 2
    fails(fit(&["values.csv"]), 1, "values.csv:2: label \"0.909297426825681");
    fails(fit(&["values.csv"]), 1, "if they are classes, say so by --multiclass");
}

/// Where classes are asked for, 0.5 and 1.5 are two.
#[test]
fn fractions_are_classes_where_classes_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "1,2,0.5\n-1,0.3,1.50\n2,2,0.5\n-2,0,1.5\n").unwrap();
    for loss in ["hinge", "squared"] {
        let fit = ["fit", "a.csv", "--arch", ARCH, "--c", "1", "--loss", loss, "--multiclass", "one-versus-one"];
        let fitted = json(widenet(folder.path(), &[&fit[..], &["--force", "--json"]].concat()));
        assert_eq!((&fitted["classes"], &fitted["task"]), (&serde_json::json!(["0.5", "1.50"]), &"two-classes".into()));
        let predicted = json(widenet(folder.path(), &["predict", "machine.npz", "a.csv", "--force", "--json"]));
        assert_eq!(predicted["score"]["accuracy"], 1.0);
    }
}

/// An output of exactly 0 decides for the first class, in what is written as in every accuracy.
#[test]
fn an_output_of_0_has_one_class() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    // Without an intercept the kernel of a row of zeros is 0, and so is its output.
    std::fs::write(path.join("a.csv"), "3,1,yes\n1,3,no\n6,2,yes\n2,6,no\n").unwrap();
    json(widenet(path, &["fit", "a.csv", "--arch", ARCH, "--c", "10", "--json"]));
    for (label, accuracy) in [("no", 1.0), ("yes", 0.5)] {
        std::fs::write(path.join("b.csv"), format!("0,0,{label}\n3,1,yes\n")).unwrap();
        let predicted = json(widenet(path, &["predict", "machine.npz", "b.csv", "--force", "--json"]));
        assert_eq!(predicted["score"]["accuracy"], accuracy);
        let text = std::fs::read_to_string(path.join("predictions.csv")).unwrap();
        assert!(text.starts_with("prediction,output_0\nno,0\nyes,"), "{text}");
        let certified = ["certify", "machine.npz", "--data", "b.csv", "--out", "c", "--force", "--json"];
        assert_eq!(json(widenet(path, &certified))["accuracy"], accuracy);
    }
}

/// Features or weights that vanish in the kernel: refused with the line, not fitted to outputs of 0.
#[test]
fn what_is_lost_below_numbers_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let write = |name: &str, text: &str| std::fs::write(path.join(name), text).unwrap();
    write("good.csv", "1,2,a\n0,0,b\n3,1,a\n1,4,b\n");
    write("tiny.csv", "1,2,a\n0,0,b\n1e-160,2e-160,a\n1e-160,0,b\n");
    let fit = |name: &str, arch: &str, more: &[&str]| {
        widenet(path, &[&["fit", name, "--arch", arch, "--c", "1", "--force"], more].concat())
    };
    let lost = "sample 2 (counted from 0) is lost on the way";
    fails(fit("tiny.csv", ARCH, &[]), 1, &format!("tiny.csv:3: {lost}"));
    let rows = ["--loss", "squared", "--multiclass", "one-versus-rest", "--solver", "conjugate-gradients"];
    fails(fit("tiny.csv", ARCH, &rows), 1, &format!("tiny.csv:3: {lost}"));
    let deep = format!("mlp = {{ hidden = [{}1] }}", "1, ".repeat(1999));
    for arch in ["mlp = { hidden = [1], sigma_w = 1e-200 }", &deep] {
        fails(fit("good.csv", arch, &[]), 1, "good.csv:1: sample 0 (counted from 0) is lost on the way");
    }
    let output = fit("good.csv", ARCH, &[]);
    assert!(output.status.success(), "{output:?}");
    fails(widenet(path, &["predict", "machine.npz", "tiny.csv"]), 1, &format!("tiny.csv:3: {lost}"));
    fails(widenet(path, &["certify", "machine.npz", "--data", "tiny.csv"]), 2, "sizes must be 0 or from 1e-90 to 1e90");
    assert!(!path.join("predictions.csv").exists());
}

/// Outputs that are all 0 are told, in words: here every target is within the error that is free.
#[test]
fn outputs_of_0_alone_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("a.csv"), "1,2,0.05\n-1,0.3,-0.05\n").unwrap();
    std::fs::write(path.join("zeros.csv"), "0,0\n").unwrap();
    let fit = ["fit", "a.csv", "--arch", ARCH, "--loss", "epsilon-insensitive", "--c", "1"];
    let warned = |arguments: &[&str]| {
        let output = widenet(path, arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
        text.contains("warning: every output is exactly 0")
    };
    assert!(warned(&fit));
    assert!(warned(&["predict", "machine.npz", "a.csv"]));
    assert!(!warned(&["predict", "machine.npz", "zeros.csv", "--force"]));
}

/// Classes that begin as a formula does, and those that look like them quoted, stay apart in every file.
#[test]
fn quoted_classes_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let classes = ["=1", "'=1", "''=1", "a\\nb"];
    let mut csv = String::from("x,y,class\n");
    for i in 0..20 {
        let angle = f64::from(i % 4) * 1.5 + f64::from(i / 4) * 0.02;
        writeln!(csv, "{},{},{}", angle.cos(), angle.sin(), classes[i as usize % 4]).unwrap();
    }
    std::fs::write(path.join("a.csv"), &csv).unwrap();
    let fitted = json(widenet(path, &["fit", "a.csv", "--arch", ARCH, "--c", "100", "--intercept", "--json"]));
    // Exact in the machine.
    assert_eq!(fitted["classes"], serde_json::json!(["''=1", "'=1", "=1", "a\\nb"]));
    assert_eq!(json(widenet(path, &["predict", "machine.npz", "a.csv", "--json"]))["score"]["accuracy"], 1.0);
    let text = std::fs::read_to_string(path.join("predictions.csv")).unwrap();
    let written: Vec<&str> = text.lines().skip(1).take(4).map(|row| row.split(',').next().unwrap()).collect();
    assert_eq!(written, ["'=1", "''=1", "'''=1", "a\\\\nb"]);
}

/// Numbers take no more room than they need.
#[test]
fn large_and_small_numbers_are_short() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("a.csv"), "1,2,1e150\n-1,0.3,-1e150\n0.1,1,3e-120\n").unwrap();
    let fit = ["fit", "a.csv", "--arch", ARCH, "--loss", "squared", "--lambda-mean", "1e-3"];
    let predict = ["predict", "machine.npz", "a.csv"];
    for arguments in [&fit[..], &predict] {
        let output = widenet(path, arguments);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
        assert!(output.status.success() && said.contains("numbers from -1e150 to 1e150"), "{said}");
        assert!(!said.contains("0000000000"), "{said}");
    }
    let text = std::fs::read_to_string(path.join("predictions.csv")).unwrap();
    assert!(text.lines().all(|line| line.len() < 60), "{text}");
    let bad = ["fit", "a.csv", "--arch", ARCH, "--loss", "squared", "--lambda-mean", "-1e300", "--force"];
    fails(widenet(path, &bad), 2, "lambda_mean is -1e300: it must be");
}

#[test]
fn options_that_would_change_nothing_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    table(folder.path());
    let fit = |more: &[&str]| widenet(folder.path(), &[&["fit", "--arch", ARCH], more].concat());
    fails(fit(&["a.csv", "--c", "1", "--rank", "3"]), 2, "--rank is for --solver conjugate-gradients");
    fails(fit(&["a.csv", "--c", "1", "--seed", "3"]), 2, "--seed is for --probabilities");
    fails(fit(&["a.svm", "--c", "1", "--label", "1"]), 1, "a.svm: has no column \"1\" for the label");
    fails(fit(&["a.csv", "--c", "-1"]), 2, "--c -1: not a finite number > 0");
    fails(fit(&["a.csv", "--lambda-mean", "-1"]), 2, "lambda_mean is -1: it must be");
    let epsilon = ["values.csv", "--c", "1", "--loss", "epsilon-insensitive", "--epsilon", "-1"];
    fails(fit(&epsilon), 2, "epsilon is -1: it must be");
}

#[test]
fn features_in_another_order_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    table(path);
    std::fs::write(path.join("turned.csv"), "y,x,class\n0,1,north\n").unwrap();
    std::fs::write(path.join("bare-turned.csv"), "y,x\n0,1\n").unwrap();
    json(widenet(path, &["fit", "a.csv", "--arch", ARCH, "--c", "1", "--json"]));
    for table in ["turned.csv", "bare-turned.csv"] {
        let told = r#"feature 1 is "y" in the header, but the machine's is "x""#;
        fails(widenet(path, &["predict", "machine.npz", table]), 1, told);
    }
    // Without names on one side there is nothing to compare.
    json(widenet(path, &["predict", "machine.npz", "bare.csv", "--json"]));
}

#[test]
fn the_example_of_a_ridge_classifier_works() {
    let folder = tempfile::tempdir().unwrap();
    let help = widenet(folder.path(), &["fit", "--help"]).stdout;
    let help = String::from_utf8(help).unwrap();
    let examples = &help[help.find("Examples:").unwrap()..];
    assert!(examples.lines().all(|line| line.len() <= 96), "{examples}");
    let pasted = examples.replace("\\\n    ", "");
    let line = pasted.lines().find(|line| line.ends_with("--out ridge.npz")).unwrap();
    // Quotes hold the architecture together.
    let [before, architecture, after] = line.split('\'').collect::<Vec<_>>().try_into().unwrap();
    let words = before.split_whitespace().skip(1).chain([architecture]).chain(after.split_whitespace());
    let arguments: Vec<&str> = words.chain(["--n", "40", "--json"]).collect();
    assert_eq!(json(widenet(folder.path(), &arguments))["task"], "two-classes");
    json(widenet(folder.path(), &["certify", "ridge.npz", "--n", "2", "--json"]));
}

#[test]
fn badly_scaled_features_end_at_the_optimum() {
    let reference: Value = serde_json::from_str(include_str!("reference/ill_conditioned.json")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for set in reference["sets"].as_array().unwrap() {
        let (Some(inputs), labels) = (set["inputs"].as_array(), set["labels"].as_array().unwrap()) else { continue };
        let mut csv = String::new();
        for (row, label) in inputs.iter().zip(labels) {
            row.as_array().unwrap().iter().for_each(|cell| write!(csv, "{cell},").unwrap());
            writeln!(csv, "{}", if label == &Value::from(1.0) { "yes" } else { "no" }).unwrap();
        }
        std::fs::write(folder.path().join("t.csv"), csv).unwrap();
        for case in set["cases"].as_array().unwrap() {
            // The kernel of this network is half of the reference's: with twice the C, the objective is twice as large.
            let c = (2.0 * case["c"].as_f64().unwrap()).to_string();
            let mut arguments = vec!["fit", "t.csv", "--arch", ARCH, "--force", "--json", "--c", &c];
            arguments.extend(["--loss", case["loss"].as_str().unwrap()]);
            if case["intercept"] == true {
                arguments.push("--intercept");
            }
            let fitted = json(widenet(folder.path(), &arguments));
            let found = &fitted["outputs"][0];
            let gap = found["relative_gap"].as_f64().unwrap();
            assert!(gap.abs() <= 1e-6 && found["stop"] != "IterationLimit", "{} {case}: {found}", set["name"]);
            let off = found["primal"].as_f64().unwrap() / (2.0 * case["optimum"].as_f64().unwrap()) - 1.0;
            // As far as the kernel's own rounding lets both be known.
            assert!(off.abs() <= 1e-3, "{} {case}: {found}", set["name"]);
            if set["name"] == "logistic-income" {
                assert_eq!((&found["stop"], &fitted["train"]["accuracy"]), (&"Converged".into(), &1.0.into()));
            }
        }
    }
}

#[test]
fn an_output_beyond_numbers_is_no_class() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.csv"), "1,2,1\n3,4,-1\n").unwrap();
    std::fs::write(folder.path().join("big.csv"), "1,2\n1e155,2\n").unwrap();
    let fitted = widenet(folder.path(), &["fit", "a.csv", "--arch", ARCH, "--c", "1", "--out", "m.npz"]);
    assert!(fitted.status.success(), "{}", String::from_utf8_lossy(&fitted.stderr));
    let output = widenet(folder.path(), &["predict", "m.npz", "big.csv", "--out", "p.csv"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("sample 1"), "{text}");
    assert!(!folder.path().join("p.csv").exists());
}
