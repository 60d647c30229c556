//! `widenet certify` as a user runs it.

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

/// Trains a small network and its machine into `out`.
fn train(out: &Path, more: &[&str]) {
    let config = root().join("configs/quickstart.toml");
    let set = ["data.train=64", "data.test=100", "architecture.mlp.hidden=[128]", "training.steps=100"];
    let mut arguments = vec!["train", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
    set.iter().chain(more).for_each(|value| arguments.extend(["--set", value]));
    let output = widenet(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
}

fn certify(model: &Path, out: &Path, more: &[&str]) -> Output {
    widenet(&[&["certify", model.to_str().unwrap(), "--out", out.to_str().unwrap()], more].concat())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that a command failed with this code, and that the last line on stderr, after what was understood of the
/// samples, has the words.
fn fails(output: &Output, code: i32, words: &str) {
    let text = stderr(output);
    assert!(output.status.code() == Some(code) && output.stdout.is_empty(), "{text}");
    assert!(common::last_line(&text).contains(words), "{text}");
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn machines_and_networks_are_certified() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, &[]);

    let (machine, out) = (run.join("machine.npz"), folder.path().join("machine"));
    let methods = ["--method", "published,interval,relaxation,taylor,best", "--n", "6", "--radii", "0.001,0.1,9"];
    let output = certify(&machine, &out, &[&methods[..], &["--json"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    let written: Value = serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap();
    assert_eq!(results, written);
    // A machine knows which digit is which.
    let turned = certify(&machine, &folder.path().join("turned"), &["--n", "6", "--json", "--classes", "1,0"]);
    let turned: Value = serde_json::from_slice(&turned.stdout).unwrap();
    assert_eq!((&turned["accuracy"], &turned["classes"]), (&results["accuracy"], &results["classes"]));
    let mean = |method: &str| number(&results["radii"][method]["mean"]);
    assert!(0.0 < mean("published") && mean("published") < mean("interval"));
    assert!(mean("interval") < mean("relaxation") && mean("relaxation") <= mean("best"));
    assert!(mean("best") < mean("attack"));
    let wins: f64 = results["best_is"].as_object().unwrap().values().map(number).sum();
    assert_eq!(wins, 6.0);
    // Near by every sample keeps its class; nobody keeps it at a radius of nine.
    let rows = results["certified_accuracy"].as_array().unwrap();
    assert_eq!(rows[0]["best"], results["accuracy"]);
    assert_eq!((number(&rows[2]["best"]), number(&rows[2]["attack"])), (0.0, 0.0));
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("What a small certificate means") && report.contains("What the attack found"));
    for plot in ["radii", "accuracy", "scatter", "adversaries"] {
        assert!(out.join(format!("plots/{plot}.svg")).exists(), "{plot}");
    }

    // The rows again, by an independent sum.
    let mut rows = csv::Reader::from_path(out.join("certificates.csv")).unwrap();
    let column = rows.headers().unwrap().iter().position(|name| name == "best").unwrap();
    let radii: Vec<f64> = rows.records().map(|row| row.unwrap()[column].parse().unwrap()).collect();
    assert!((radii.iter().sum::<f64>() / 6.0 - mean("best")).abs() < 1e-12);

    // Again: refused, then the same to the last bit.
    fails(&certify(&machine, &out, &methods), 1, "--force");
    let before = std::fs::read(out.join("certificates.csv")).unwrap();
    assert!(certify(&machine, &out, &[&methods[..], &["--force"]].concat()).status.success());
    assert_eq!(before, std::fs::read(out.join("certificates.csv")).unwrap());

    let (network, out) = (run.join("weights.safetensors"), folder.path().join("network"));
    let output = certify(&network, &out, &["--method", "published,interval,relaxation", "--n", "4", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let results: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mean = |method: &str| number(&results["radii"][method]["mean"]);
    assert!(0.0 < mean("interval") && mean("interval") < mean("relaxation"));
    assert!(mean("relaxation") < mean("attack"));

    // A pixel that stays one can be moved further, and so can a picture that is moved by so much in all.
    let means = [["--domain", "none"], ["--domain", "0,1"], ["--norm", "2"]].map(|more| {
        let out = folder.path().join(more.concat());
        let output = certify(&machine, &out, &[&["--method", "relaxation", "--n", "2", "--json"], &more[..]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let results: Value = serde_json::from_slice(&output.stdout).unwrap();
        let mean = |method: &str| number(&results["radii"][method]["mean"]);
        assert!(mean("relaxation") < mean("attack"));
        mean("relaxation")
    });
    assert!(means[0] < means[1] && means[0] < means[2], "{means:?}");
}

/// Two classes that exchanging the features exchanges: the machine is zero on the diagonal, so that the radius of (a, b)
/// is |a - b|/2 in the l_inf norm.
#[test]
fn machines_of_tables_are_certified() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let rows = [(3.0, 1.0, "yes"), (1.0, 3.0, "no"), (6.0, 2.0, "yes"), (2.0, 6.0, "no")];
    let csv: String = rows.iter().map(|(a, b, class)| format!("{class},{a},{b}\n")).collect();
    let svm: String = rows.iter().map(|(a, b, class)| format!("{} 1:{a} 2:{b}\n", u8::from(*class == "yes"))).collect();
    std::fs::write(path("t.csv"), format!("answer,a,b\n{csv}")).unwrap();
    std::fs::write(path("t.svm"), svm).unwrap();
    for (name, label, classes) in [("t.csv", &["--label", "answer"][..], ["no", "yes"]), ("t.svm", &[], ["0", "1"])] {
        let (table, machine) = (path(name), path(&format!("{name}.npz")));
        let fit = ["fit", &table, "--arch", "mlp = { hidden = [1] }", "--c", "10", "--out", &machine];
        let output = widenet(&[&fit[..], label].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let out = folder.path().join(format!("{name}.out"));
        let output = certify(Path::new(&machine), &out, &[&["--data", &table, "--json"], label].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let results: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&results["accuracy"], &results["classes"]), (&1.0.into(), &serde_json::json!(classes)));
        let mut certificates = csv::Reader::from_path(out.join("certificates.csv")).unwrap();
        let found: Vec<Vec<String>> =
            certificates.records().map(|row| row.unwrap().iter().map(String::from).collect()).collect();
        // Kernel ridge regression of the classes is certified too.
        let ridge = ["--loss", "squared", "--multiclass", "one-versus-one", "--force"];
        let output = widenet(&[&fit[..], label, &ridge].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let output = certify(Path::new(&machine), &out, &[&["--data", &table, "--force"], label].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        for (row, (a, b, class)) in found.iter().zip(rows) {
            // sample, label, output, best, attack
            let [label, output, best, attack] = [1, 2, 3, 4].map(|k| row[k].parse::<f64>().unwrap());
            let radius = f64::abs(a - b) / 2.0;
            assert!(label == if class == "yes" { 1.0 } else { -1.0 } && output * label > 0.0, "{row:?}");
            assert!(best <= radius && best > 0.9 * radius, "{row:?}");
            assert!(attack >= radius * (1.0 - 1e-9) && attack < 1.001 * radius, "{row:?}");
        }
    }
}

/// A row of zeros, for which a machine without intercept says 0: its radius is 0, and the other rows are certified. No
/// number of the results is infinite or none.
#[test]
fn a_row_of_zeros_has_the_radius_0() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    std::fs::write(path("t.csv"), "a,b,class\n3,1,1\n1,3,-1\n0,0,1\n6,2,1\n2,6,-1\n").unwrap();
    for intercept in [&[][..], &["--intercept"]] {
        let fit = [
            "fit",
            &path("t.csv"),
            "--arch",
            "mlp = { hidden = [1] }",
            "--c",
            "10",
            "--out",
            &path("m.npz"),
            "--force",
        ];
        let output = widenet(&[&fit[..], intercept].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        for norm in ["inf", "2"] {
            let out = folder.path().join(norm);
            let methods = if norm == "inf" {
                "published,interval,relaxation,taylor,best"
            } else {
                "interval,relaxation,taylor,best"
            };
            let more = ["--data", &path("t.csv"), "--norm", norm, "--method", methods, "--force"];
            let output = certify(Path::new(&path("m.npz")), &out, &more);
            assert!(output.status.success(), "{}", stderr(&output));
            let written =
                [String::from_utf8(output.stdout).unwrap(), std::fs::read_to_string(out.join("report.html")).unwrap()];
            assert!(written.iter().all(|text| !text.contains("NaN") && !text.contains(" inf")), "{written:?}");
            let results = std::fs::read_to_string(out.join("results.json")).unwrap();
            assert!(!results.replace("\"domain\": null", "").contains("null"), "{results}");
            let mut rows = csv::Reader::from_path(out.join("certificates.csv")).unwrap();
            for (k, row) in rows.records().map(Result::unwrap).enumerate() {
                let numbers: Vec<f64> = row
                    .iter()
                    .skip(2)
                    .take_while(|c| !c.is_empty() && c.parse::<f64>().is_ok())
                    .map(|c| c.parse().unwrap())
                    .collect();
                let (value, radii) = (numbers[0], &numbers[1..]);
                assert!(radii.len() >= methods.split(',').count() && numbers.iter().all(|v| v.is_finite()), "{row:?}");
                if value == 0.0 {
                    assert!(k == 2 && radii.iter().all(|radius| *radius == 0.0), "{row:?}");
                    assert_eq!(row.iter().next_back(), Some(""), "nobody has won");
                }
                assert!(k == 2 || radii.iter().all(|radius| *radius > 0.0), "{row:?}");
            }
        }
    }
}

/// What leaves the range of numbers is an error that names the sample.
#[test]
fn huge_features_are_refused_by_sample() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    std::fs::write(path("t.csv"), "3,1,1\n1,3,-1\n").unwrap();
    std::fs::write(path("huge.csv"), "3,1,1\n1e160,3,-1\n").unwrap();
    let fit = ["fit", &path("t.csv"), "--arch", "mlp = { hidden = [1] }", "--c", "10", "--out", &path("m.npz")];
    assert!(widenet(&fit).status.success());
    let out = folder.path().join("out");
    let output = certify(Path::new(&path("m.npz")), &out, &["--data", &path("huge.csv"), "--budget", "1e300"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("sample 1 (counted from 0): feature 0 of a sample is 1e160"),
        "{}",
        stderr(&output)
    );
    assert!(!out.exists(), "nothing is written");
}

#[test]
fn tables_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    write("two.csv", "1,0,a\n0,1,b\n");
    write("three.csv", "1,0,a\n0,1,b\n1,1,c\n");
    write("numbers.csv", "1,0,0.5\n0,1,0.25\n");
    write("bare.csv", "1,0\n");
    write("long.csv", "1,0,2,3\n");
    let fit = |table: &str, more: &[&str]| {
        let (table, machine) = (path(table), path(&format!("{table}.npz")));
        let fit = ["fit", &table, "--arch", "mlp = { hidden = [1] }", "--c", "1", "--out", &machine];
        let output = widenet(&[&fit[..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        machine
    };
    let (two, three, numbers) =
        (fit("two.csv", &[]), fit("three.csv", &[]), fit("numbers.csv", &["--loss", "squared"]));
    let out = folder.path().join("out");
    let certify = |machine: &str, table: &str| certify(Path::new(machine), &out, &["--data", &path(table)]);
    fails(&certify(&three, "three.csv"), 2, "3 classes");
    fails(&certify(&numbers, "numbers.csv"), 2, "fitted to numbers");
    fails(&certify(&two, "three.csv"), 1, "sample 3: \"c\" is not one of the model's classes [\"a\", \"b\"]");
    fails(&certify(&two, "bare.csv"), 1, "no labels");
    write("named.csv", "u,v,class\n1,0,a\n0,1,b\n");
    write("turned.csv", "v,u,class\n1,0,a\n0,1,b\n");
    let named = fit("named.csv", &[]);
    fails(&certify(&named, "turned.csv"), 1, "feature 1 is \"v\" in the header, but the machine's is \"u\"");
    fails(&certify(&two, "long.csv"), 1, "3 features in each row, but 2 are wanted");
    fails(&widenet(&["certify", &two, "--label", "a", "--out", &path("out")]), 2, "mnist01 is no table");
    fails(&widenet(&["certify", &two, "--out", &path("out")]), 2, "tells a and b apart, which are no digits");
    write("digits.csv", "1,0,0\n0,1,1\n");
    let digits = fit("digits.csv", &[]);
    fails(&widenet(&["certify", &digits, "--out", &path("out")]), 2, "784 features, the model 2: --data names");
    let output = widenet(&["certify", &two, "--data", &path("two.csv"), "--classes", "0,1", "--out", &path("out")]);
    fails(&output, 2, "--classes is for images");
    assert!(!out.exists(), "nothing is written");
}

#[test]
fn the_model_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, &["training.steps=1"]);
    for name in ["machine.npz", "weights.safetensors"] {
        fails(
            &certify(&run.join(name), &run, &["--n", "1", "--force"]),
            1,
            "is read, so the folder that holds it is not replaced",
        );
        assert!(run.join(name).exists() && run.join("dynamics.csv").exists());
    }
}

#[test]
fn what_cannot_be_certified_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (run, out) = (folder.path().join("run"), folder.path().join("out"));
    train(&run, &["architecture.mlp.hidden=[16, 16]"]);
    let machine = run.join("machine.npz");
    fails(&certify(&run, &out, &[]), 1, "machine.npz");
    fails(&certify(&run.join("results.json"), &out, &[]), 1, "neither");
    fails(&certify(&machine, &out, &["--method", "published"]), 2, "one hidden layer");
    fails(&certify(&run.join("weights.safetensors"), &out, &["--method", "taylor"]), 2, "relaxation");
    fails(&certify(&machine, &out, &["--method", "published", "--norm", "2"]), 2, "--norm inf");
    fails(&certify(&machine, &out, &["--classes", "3,8"]), 2, "tells 0 and 1 apart, not 3 and 8");
    fails(&certify(&run.join("weights.safetensors"), &out, &["--budget", "1"]), 2, "--budget is for machines");
    let output = certify(&machine, &out, &["--domain", "0.2,0.4", "--n", "1"]);
    assert!(output.status.code() == Some(2) && stderr(&output).contains("outside the domain [0.2, 0.4]"));
    assert!(!out.exists(), "nothing is written");

    let biased = folder.path().join("biased");
    train(&biased, &["architecture.mlp={hidden=[16], sigma_b=0.1}"]);
    fails(&certify(&biased.join("machine.npz"), &out, &[]), 2, "biases");
    fails(&certify(&biased.join("weights.safetensors"), &out, &[]), 2, "biases");
    let smooth = folder.path().join("smooth");
    train(&smooth, &["architecture.mlp={hidden=[16], activation=\"erf\"}"]);
    fails(&certify(&smooth.join("machine.npz"), &out, &[]), 2, "ReLU");
    let empirical = folder.path().join("empirical");
    train(&empirical, &["machine.kernel=\"empirical\""]);
    fails(&certify(&empirical.join("machine.npz"), &out, &[]), 2, "limit kernel");
}
