//! Files of other people as `widenet fit`, `predict` and `certify` read them: nothing is guessed that is not said.

mod common;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{ARCH, fails, json, widenet};

/// The line about the samples.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    text.lines().next().unwrap_or_default().into()
}

/// A folder with files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| std::fs::write(folder.path().join(name), bytes).unwrap());
    folder
}

fn fit(folder: &Path, more: &[&str]) -> Output {
    widenet(folder, &[&["fit", "--arch", ARCH, "--c", "10", "--force", "--json"], more].concat())
}

fn predict(folder: &Path, more: &[&str]) -> Output {
    widenet(folder, &[&["predict", "machine.npz", "--force", "--json"], more].concat())
}

fn predictions(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("predictions.csv")).unwrap()
}

/// Two classes, apart.
const ROWS: [(f64, f64, u8); 4] = [(1.5, 0.25, 1), (-0.5, 1.5, 0), (2.5, 0.5, 1), (-1.5, 0.75, 0)];

fn rows(header: &str, row: impl Fn(f64, f64, u8) -> String) -> String {
    ROWS.iter().fold(header.to_string(), |text, &(a, b, class)| text + &row(a, b, class) + "\n")
}

#[test]
fn the_same_table_in_every_way() {
    let plain = rows("a,b,y\n", |a, b, y| format!("{a},{b},{y}"));
    let semicolons = rows("a;b;y\n", |a, b, y| format!("{a};{b};{y}").replace('.', ","));
    let wide = |text: &str| {
        "\u{feff}"
            .chars()
            .chain(text.chars())
            .collect::<String>()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect::<Vec<u8>>()
    };
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(plain.as_bytes()).unwrap();
    let files: Vec<(&str, Vec<u8>)> = vec![
        ("plain.csv", plain.clone().into()),
        ("a.dat", plain.replace(',', "\t").into()),
        ("pipe.txt", plain.replace(',', "|").into()),
        ("marked.CSV", format!("\u{feff}{}", plain.replace('\n', "\r\n")).into()),
        ("wide.csv", wide(&plain.replace('\n', "\r\n"))),
        ("packed", packer.finish().unwrap()),
        (
            "pandas.csv",
            rows(",a,b,y\n", |a, b, y| format!("{a},{b},{y}"))
                .lines()
                .enumerate()
                .map(|(i, line)| if i == 0 { format!("{line}\n") } else { format!("{},{line}\n", i - 1) })
                .collect::<String>()
                .into(),
        ),
        ("t.svm", rows("", |a, b, y| format!("{y} 1:{a} 2:{b}")).into()),
        ("zero.svm", rows("", |a, b, y| format!("{y} qid:1 0:{a} 1:{b} # x")).into()),
    ];
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let folder = folder(&files);
    let path = folder.path();
    std::fs::write(path.join("excel.csv"), semicolons).unwrap();
    let mut expected: Option<String> = None;
    for (name, told, words) in [
        (
            "plain.csv",
            &[][..],
            r#"plain.csv: 4 samples, 2 features (a, b), label "y" (column 3): 2 classes: "0" 2, "1" 2"#,
        ),
        ("a.dat", &[], "separated by tabs"),
        ("pipe.txt", &[], "separated by |"),
        ("marked.CSV", &[], "4 samples, 2 features (a, b)"),
        ("wide.csv", &[], "in UTF-16LE"),
        ("packed", &[], "4 samples, 2 features (a, b)"),
        ("pandas.csv", &[], "column 1 left out, which has no name and numbers the rows"),
        ("excel.csv", &["--decimal", "comma"], "separated by semicolons; decimal commas"),
        ("t.svm", &[], r#"2 features, label first: 2 classes: "0" 2, "1" 2"#),
        ("zero.svm", &[], "indices from 0; qid left out"),
    ] {
        let output = fit(path, &[&[name], told].concat());
        assert!(said(&output).contains(words), "{name}: {}", said(&output));
        assert_eq!(json(output)["samples"], 4);
        // What was told to fit is not told again.
        let output = predict(path, &[name]);
        assert!(said(&output).contains(words), "{name}: {}", said(&output));
        assert_eq!(json(output)["score"]["accuracy"], 1.0, "{name}");
        let found = predictions(path);
        assert_eq!(*expected.get_or_insert_with(|| found.clone()), found, "{name}");
    }
    fails(fit(path, &["excel.csv"]), 1, "excel.csv:2: column 1: \"1,5\" is not a finite number; --decimal comma");
}

#[test]
fn standard_input_is_read() {
    let folder = folder(&[]);
    let text = rows("", |a, b, y| format!("{a},{b},{y}"));
    let with = |arguments: &[&str], text: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_widenet"));
        command.current_dir(folder.path()).args(arguments).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = with(&["fit", "-", "--arch", ARCH, "--c", "10", "--json"], &text);
    assert!(said(&output).starts_with("standard input: 4 samples, 2 features, label in column 3"), "{}", said(&output));
    json(output);
    assert_eq!(json(with(&["predict", "machine.npz", "-", "--json"], "1.5,0.25\n"))["samples"], 1);
    assert_eq!(predictions(folder.path()).lines().nth(1).unwrap().split(',').next(), Some("1"));
    fails(with(&["predict", "machine.npz", "-", "--force"], "1.5\n2\n"), 1, "standard input:1: 0 features in each row");
}

#[test]
fn column_numbers_are_a_header() {
    let classes = rows("0,1,target\n", |a, b, y| format!("{a},{b},{y}"));
    let values = rows("0,1,2\n", |a, b, _| format!("{a},{b},{:?}", a - b));
    let whole = "0,1,2,3\n4,5,6,7\n8,0,1,3\n";
    let folder = folder(&[("t.csv", classes.as_bytes()), ("v.csv", values.as_bytes()), ("w.csv", whole.as_bytes())]);
    let path = folder.path();
    for label in [&[][..], &["--label", "target"]] {
        let fitted = json(fit(path, &[&["t.csv"], label].concat()));
        assert_eq!((&fitted["samples"], &fitted["classes"]), (&4.into(), &serde_json::json!(["0", "1"])));
        assert_eq!(json(predict(path, &["t.csv"]))["score"]["accuracy"], 1.0);
        assert_eq!(predictions(path).lines().count(), 5);
    }
    assert_eq!(json(fit(path, &["v.csv", "--loss", "squared"]))["samples"], 4);
    let words =
        "w.csv:1: the line counts columns, so it may be a header, and it may be a sample; --header yes or --header no";
    fails(fit(path, &["w.csv", "--loss", "squared"]), 1, words);
    for (header, samples) in [("yes", 2), ("no", 3)] {
        assert_eq!(json(fit(path, &["w.csv", "--loss", "squared", "--header", header]))["samples"], samples);
    }
    fails(fit(path, &["mnist01", "--header", "no"]), 2, "--header: mnist01 is no table");
}

#[test]
fn predict_takes_the_column_that_fit_took() {
    let first = rows("", |a, b, _| format!("{},{a},{b}", 3.0 * a));
    let (named, files) = (format!("price,a,b\n{first}"), ["price,a,b", "a,b"]);
    let unlabelled = rows("a,b\n", |a, b, _| format!("{a},{b}"));
    let folder = folder(&[("f.csv", first.as_bytes()), ("n.csv", named.as_bytes()), ("u.csv", unlabelled.as_bytes())]);
    let path = folder.path();
    for (name, label) in [("f.csv", "1"), ("n.csv", "price"), ("n.csv", "1")] {
        json(fit(
            path,
            &[name, "--label", label, "--loss", "squared", "--c", "1e6"]
                .into_iter()
                .filter(|word| *word != "--c" && *word != "1e6")
                .collect::<Vec<_>>(),
        ));
        for table in ["f.csv", "n.csv"] {
            let error = json(predict(path, &[table]))["score"]["root_mean_squared_error"].as_f64().unwrap();
            assert!(error < 0.3, "{name} {table}: {error}");
        }
        assert!(json(predict(path, &["u.csv"]))["score"].is_null(), "{files:?}");
    }
    std::fs::write(path.join("other.csv"), "weight,a,b\n1,2,3\n").unwrap();
    fails(predict(path, &["other.csv"]), 1, "there is no column \"price\" for the label");
}

#[test]
fn missing_labels_are_refused_or_left_out_of_the_score() {
    let csv = "a,b,y\n1.5,0.5,yes\n-0.5,1.5,no\n2.5,0.5,?\n";
    let folder = folder(&[("t.csv", csv.as_bytes()), ("t.svm", b"1 1:1\n-1 2:1\n\nnan 1:2\n")]);
    let path = folder.path();
    fails(fit(path, &["t.csv"]), 1, "t.csv:4: the label is missing");
    fails(fit(path, &["t.svm"]), 1, "t.svm:4: the label is missing");
    json(fit(path, &["t.csv", "--n", "2"]));
    let output = predict(path, &["t.csv"]);
    assert!(said(&output).ends_with("\"no\" 1, \"yes\" 1; 1 without a label"), "{}", said(&output));
    let document = json(output);
    assert_eq!((&document["samples"], &document["labelled"]), (&3.into(), &2.into()));
    assert_eq!((&document["score"]["accuracy"], predictions(path).lines().count()), (&1.0.into(), 4));
    fails(
        widenet(path, &["certify", "machine.npz", "--data", "t.csv", "--out", "c"]),
        1,
        "t.csv:4: the label is missing",
    );
    // LIBSVM's format has something in the label's place even where there is none.
    json(fit(path, &["t.svm", "--n", "2"]));
    for (text, null) in [
        ("0 1:1\n0 2:1\n", true),
        ("-1 1:1\n-1 2:1\n", false),
        ("? 1:1\n? 2:1\n", true),
        ("1:1\n2:1\n", true),
        ("0 1:1\n1 2:1\n", false),
    ] {
        std::fs::write(path.join("new.svm"), text).unwrap();
        assert_eq!(json(predict(path, &["new.svm"]))["score"].is_null(), null, "{text:?}");
    }
}

#[test]
fn features_that_training_did_not_have_are_left_out() {
    let svm = rows("", |a, b, y| format!("{y} 1:{a} 2:{b}"));
    let more = rows("", |a, b, y| format!("{y} 1:{a} 2:{b} 4:1 9:2"));
    let folder = folder(&[("t.svm", svm.as_bytes()), ("more.svm", more.as_bytes())]);
    let path = folder.path();
    json(fit(path, &["t.svm"]));
    json(predict(path, &["t.svm"]));
    let expected = predictions(path);
    let output = predict(path, &["more.svm"]);
    assert!(said(&output).ends_with("2 features beyond the 2 known left out, 8 values"), "{}", said(&output));
    assert_eq!((json(output)["score"]["accuracy"].clone(), predictions(path)), (1.0.into(), expected));
}

#[test]
fn a_huge_index_is_a_clear_error() {
    let folder = folder(&[("idx32.svm", b"1 4294967295:1\n-1 1:1\n")]);
    fails(fit(folder.path(), &["idx32.svm"]), 1, "idx32.svm: 2 samples x 4294967295 features take 64.0 GiB");
}

#[test]
fn numbers_are_no_classes_unless_it_is_said() {
    let table =
        |n: usize, classes: usize| (0..n).map(|i| format!("{}.5,{},{}\n", i, i * i, i % classes)).collect::<String>();
    let folder = folder(&[
        ("many.csv", table(40, 20).as_bytes()),
        ("few.csv", table(40, 19).as_bytes()),
        ("rare.csv", table(100, 20).as_bytes()),
    ]);
    let path = folder.path();
    let words = "many.csv: the labels are 20 different numbers in 40 samples, which the hinge loss takes for classes: --loss squared";
    fails(fit(path, &["many.csv"]), 1, words);
    assert_eq!(
        json(fit(path, &["many.csv", "--multiclass", "one-versus-rest"]))["classes"].as_array().unwrap().len(),
        20
    );
    for name in ["few.csv", "rare.csv"] {
        assert!(json(fit(path, &[name]))["classes"].as_array().unwrap().len() >= 19, "{name}");
    }
}

#[test]
fn labels_are_shown_without_harm() {
    let evil = "a,b,y\n1,0,\"\u{1b}[31m\nred\"\n0,1,=1+1\n2,0,\"\u{1b}[31m\nred\"\n0,2,=1+1\n";
    let long = format!("1,0,{}\n0,1,b\n", "x".repeat(10_000));
    let folder = folder(&[("evil.csv", evil.as_bytes()), ("long.csv", long.as_bytes())]);
    let path = folder.path();
    let output = fit(path, &["evil.csv", "--probabilities"]);
    assert!(said(&output).contains("\"=1+1\" 2") && said(&output).contains("\\u{1b}[31m\\nred"), "{}", said(&output));
    assert!(!output.stderr.contains(&0x1b));
    // Exact in JSON.
    assert_eq!(json(output)["classes"][1], "=1+1");
    json(predict(path, &["evil.csv"]));
    let text = predictions(path);
    assert!(!text.contains('\u{1b}') && text.lines().count() == 5, "{text}");
    assert!(text.contains("\n'=1+1,") && !text.contains(",=") && !text.contains("\n="), "{text}");
    let output = fit(path, &["long.csv"]);
    assert!(said(&output).len() < 300, "{}", said(&output));
}

#[test]
fn other_encodings_are_told() {
    let folder =
        folder(&[("latin.csv", b"gr\xf6\xdfe,b,y\n1,0,ja\n0,1,nein\n"), ("wide.csv", b"1\0,\x002\0,\0a\0\n\0")]);
    let path = folder.path();
    fails(
        fit(path, &["latin.csv"]),
        1,
        "latin.csv:1: byte 0xf6 is not UTF-8: it is another encoding; --encoding names it",
    );
    fails(fit(path, &["wide.csv"]), 1, "wide.csv:1: a byte 0");
    let output = fit(path, &["latin.csv", "--encoding", "latin-1"]);
    assert!(
        said(&output).contains("(größe, b)") && said(&output).ends_with("; in Latin-1 (windows-1252)"),
        "{}",
        said(&output)
    );
    json(output);
    // The machine knows.
    assert_eq!(json(predict(path, &["latin.csv"]))["score"]["accuracy"], 1.0);
    let output = fit(path, &["latin.csv", "--encoding", "klingon"]);
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("no known encoding"));
}

#[test]
fn more_classes_than_two_are_not_supported_yet() {
    let folder = folder(&[]);
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
    for classes in ["data.classes=[0,1,2]", "data.classes=[0]"] {
        let output = widenet(folder.path(), &["train", config.to_str().unwrap(), "--set", classes, "--out", "run"]);
        assert!(output.status.code() == Some(2) && !folder.path().join("run").exists(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("is not two classes"), "{output:?}");
    }
}

#[test]
fn every_command_says_what_it_read() {
    let folder = folder(&[]);
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
    let sets = ["training.steps=2", "data.train=30", "data.test=10", "architecture.mlp.hidden=[8]"];
    let mut arguments = vec!["train", config.to_str().unwrap(), "--out", "run", "--json"];
    sets.iter().for_each(|set| arguments.extend(["--set", set]));
    let trained = widenet(folder.path(), &arguments);
    let line = "mnist01: 30 samples to train and 10 to test, 784 features (1 x 28 x 28), label the digit: 0 (-1) ";
    assert!(said(&trained).starts_with(line), "{}", said(&trained));
    json(trained);
    let kernel = widenet(folder.path(), &["kernel", "--arch", ARCH, "--limit", "--n", "5", "--out", "k.npz", "--json"]);
    assert!(said(&kernel).starts_with("mnist01: 5 samples to train"), "{}", said(&kernel));
    json(kernel);
    let certified = widenet(folder.path(), &["certify", "run/machine.npz", "--n", "2", "--out", "c", "--json"]);
    assert!(said(&certified).starts_with("mnist01: "), "{}", said(&certified));
    json(certified);
}
