//! The program as a user runs it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn widenet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_widenet")).args(arguments).env_remove("RUST_BACKTRACE").output().unwrap()
}

/// A small run: 64 training images, 200 test images, width 64, 40 steps.
const SMALL: [&str; 8] = [
    "--set",
    "data.train=64",
    "--set",
    "data.test=200",
    "--set",
    "training.steps=40",
    "--set",
    "architecture.mlp.hidden=[64]",
];

/// `widenet train configs/quickstart.toml` at small scale, into `out`.
fn train(out: &Path, more: &[&str]) -> Output {
    let config = root().join("configs/quickstart.toml");
    let mut arguments = vec!["train", config.to_str().unwrap(), "--out", out.to_str().unwrap()];
    arguments.extend(SMALL);
    arguments.extend(more);
    widenet(&arguments)
}

fn results(out: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that a command failed with this code and one line on stderr that has all the words; returns the line.
fn fails(output: &Output, code: i32, words: &[&str]) -> String {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(output.stdout.is_empty(), "nothing on stdout");
    let last = text.lines().last().unwrap_or_default().to_string();
    assert!(!text.contains("panicked") && !text.contains("defect"), "{text}");
    assert!(
        text.lines().filter(|line| line.starts_with("widenet: ") || line.starts_with("error")).count() == 1,
        "{text}"
    );
    for word in words {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    last
}

#[test]
fn a_run_leaves_what_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = train(&out, &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let results = results(&out);
    assert_eq!(printed, results, "--json prints the results and nothing else");
    for path in [
        "/network/test_accuracy",
        "/machine/test_accuracy",
        "/gap/train_max",
        "/gap/train_rms",
        "/gap/test_max",
        "/output/train_max_abs",
        "/kernel_change",
    ] {
        assert!(results.pointer(path).is_some_and(Value::is_f64), "{path} in {results}");
    }
    assert_eq!(results["seed"], 1);
    assert_eq!(results["backend"], "flex");
    assert_eq!(results["precision"], "f32");
    for file in ["config.toml", "timing.json", "weights.safetensors", "machine.npz", "dynamics.csv", "report.html"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let partial = std::fs::read_dir(&out)
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(partial.count(), 0, "no temporary files are left");
    let html = std::fs::read_to_string(out.join("report.html")).unwrap();
    for reference in ["<script", "<link", "src=\"http", "@import"] {
        assert!(!html.contains(reference), "the report needs nothing from outside: {reference}");
    }
    let csv = std::fs::read_to_string(out.join("dynamics.csv")).unwrap();
    let last = csv.lines().last().unwrap();
    assert!(last.starts_with("40,40,"), "{last}");
    assert!(csv.lines().next().unwrap().contains("network_probe_0,machine_probe_0"));

    // The machine is readable: coefficients and inputs of its support among the 64 training images.
    let machine = widenet_machine::SavedMachine::read(&out.join("machine.npz")).unwrap();
    assert!(machine.support.iter().all(|&position| position < 64));
    assert_eq!(machine.inputs.dim(), (machine.support.len(), 784));
    assert_eq!(machine.classes, ["0", "1"]);
    assert!((machine.objective.c() - 1.0 / 0.064).abs() < 1e-9);

    // The configuration in the folder repeats the run, byte for byte.
    let again = folder.path().join("again");
    let config = out.join("config.toml");
    let output = widenet(&["train", config.to_str().unwrap(), "--out", again.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    for file in ["results.json", "dynamics.csv", "config.toml", "weights.safetensors", "machine.npz"] {
        assert!(std::fs::read(out.join(file)).unwrap() == std::fs::read(again.join(file)).unwrap(), "{file} differs");
    }
}

#[test]
fn every_architecture_trains_beside_its_machine() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["mlp", "cnn", "resnet"] {
        let out = folder.path().join(name);
        let config = root().join(format!("configs/{name}.toml"));
        let mut arguments = vec!["train", config.to_str().unwrap(), "--out", out.to_str().unwrap(), "--json"];
        arguments.extend(["--set", "data.train=12", "--set", "data.test=20", "--set", "training.steps=4"]);
        arguments.extend(["--set", "record.kernel_samples=4"]);
        let output = widenet(&arguments);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let results = results(&out);
        let gap = results["gap"]["train_max"].as_f64().unwrap();
        let size = results["output"]["train_max_abs"].as_f64().unwrap();
        assert!(size > 0.0 && gap < 0.5 * size, "{name}: gap {gap}, output {size}");
    }
}

#[test]
fn minibatches_and_regularisers() {
    let folder = tempfile::tempdir().unwrap();
    let gap = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let mut arguments = vec!["--set", "training.batch_size=24", "--set", "architecture.mlp.hidden=[512]"];
        arguments.extend(more);
        let output = train(&out, &arguments);
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        results(&out)["gap"]["train_max"].as_f64().unwrap()
    };
    // A strong regulariser shows which network follows the machine: lambda_mean * time = 0.05 * 40 = 2.
    let strong = ["--set", "objective.lambda_mean=0.05", "--set", "objective.regulariser=distance-to-init"];
    let follows = gap("distance", &strong);
    for regulariser in ["last-layer", "none"] {
        let set = format!("objective.regulariser={regulariser}");
        let other = gap(regulariser, &["--set", "objective.lambda_mean=0.05", "--set", &set]);
        assert!(follows < 0.5 * other, "distance-to-init {follows}, {regulariser} {other}");
    }
}

#[test]
fn every_loss_trains_beside_its_machine() {
    let folder = tempfile::tempdir().unwrap();
    let losses =
        ["'hinge'", "'squared_hinge'", "{ epsilon_insensitive = { epsilon = 0.1 } }", "'squared'", "'logistic'"];
    for (index, loss) in losses.into_iter().enumerate() {
        let out = folder.path().join(index.to_string());
        let loss = format!("objective.loss={loss}");
        let output = train(&out, &["--set", &loss, "--set", "architecture.mlp.hidden=[512]"]);
        assert!(output.status.success(), "{loss}: {}", stderr(&output));
        let results = results(&out);
        let at = |path: &str| results.pointer(path).and_then(Value::as_f64).unwrap();
        let (gap, size) = (at("/gap/train_max"), at("/output/train_max_abs"));
        assert!(gap < 0.25 * size, "{loss}: gap {gap}, output {size}");
        // The linearised network stands between the two, and the gap is at most the sum of its parts.
        let (left, right) = (at("/linearised/to_network/train_max"), at("/linearised/to_machine/train_max"));
        assert!(gap <= left + right + 1e-9 && left < gap + right, "{loss}: {gap} of {left} and {right}");
    }
}

#[test]
fn with_its_own_kernel_the_machine_is_the_linearised_network() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    assert!(train(&out, &["--set", "machine.kernel=empirical"]).status.success());
    assert!(results(&out)["linearised"]["to_machine"]["test_max"].as_f64().unwrap() < 1e-12);
    let out = folder.path().join("without");
    assert!(train(&out, &["--set", "record.linearised=false"]).status.success());
    assert!(results(&out)["linearised"].is_null());
}

#[test]
fn a_network_can_start_at_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let wide = ["--set", "architecture.mlp.hidden=[2048]", "--set", "training.steps=40", "--start-from-machine"];
        let output = train(&out, &[&wide, more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        (out, String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (whole, text) = run("whole", &[]);
    assert!(text.contains("started at the machine's solution"), "{text}");
    let results = results(&whole);
    let (start, size) = (&results["start"]["gap"]["train_max"], &results["output"]["train_max_abs"]);
    let (start, size) = (start.as_f64().unwrap(), size.as_f64().unwrap());
    assert!(start > 0.0 && start < 0.25 * size, "{start} of {size}");
    let (parts, _) = run("parts", &["--stop-at", "11"]);
    let output = train(
        &parts,
        &["--set", "architecture.mlp.hidden=[2048]", "--set", "training.steps=40", "--start-from-machine", "--resume"],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    for file in ["results.json", "dynamics.csv", "weights.safetensors"] {
        assert!(std::fs::read(whole.join(file)).unwrap() == std::fs::read(parts.join(file)).unwrap(), "{file} differs");
    }
}

#[test]
fn the_gap_falls_with_width() {
    let folder = tempfile::tempdir().unwrap();
    let mean_gap = |width: usize| {
        let gaps = (1..=3).map(|seed: u64| {
            let out = folder.path().join(format!("{width}-{seed}"));
            let (hidden, seed) = (format!("architecture.mlp.hidden=[{width}]"), seed.to_string());
            let output = train(&out, &["--set", &hidden, "--seed", &seed, "--set", "record.kernel_samples=0"]);
            assert!(output.status.success(), "{}", stderr(&output));
            results(&out)["gap"]["train_max"].as_f64().unwrap()
        });
        gaps.sum::<f64>() / 3.0
    };
    let (narrow, middle, wide) = (mean_gap(64), mean_gap(256), mean_gap(1024));
    assert!(narrow > middle && middle > wide, "{narrow}, {middle}, {wide}");
}

#[test]
fn a_stopped_run_resumed_is_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let batches = ["--set", "training.batch_size=24"];
    assert!(train(&whole, &batches).status.success());
    let output = train(&parts, &[&batches[..], &["--stop-at", "17"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!parts.join("results.json").exists());
    let output = train(&parts, &[&batches[..], &["--resume"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    for file in ["results.json", "dynamics.csv", "weights.safetensors", "machine.npz"] {
        assert!(std::fs::read(whole.join(file)).unwrap() == std::fs::read(parts.join(file)).unwrap(), "{file} differs");
    }
    fails(&train(&parts, &["--resume"]), 2, &["another configuration", "training.batch_size was 24 and is absent now"]);
}

#[test]
fn existing_run_folders_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let short = ["--set", "training.steps=1"];
    assert!(train(&out, &short).status.success());
    let before = std::fs::read(out.join("results.json")).unwrap();
    fails(&train(&out, &[]), 1, &["exists", "--resume", "--force", "--out"]);
    assert_eq!(std::fs::read(out.join("results.json")).unwrap(), before);
    assert!(train(&out, &["--force", "--set", "training.steps=2"]).status.success());
    assert_ne!(std::fs::read(out.join("results.json")).unwrap(), before);
    let other = folder.path().join("precious");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("thesis.tex"), "all of it").unwrap();
    for more in [&[][..], &["--force"], &["--resume"]] {
        let line = fails(&train(&other, more), 1, &["not a run folder", "--out"]);
        assert!(!line.contains("--force") && !line.contains("--resume"), "{line}");
    }
    assert!(other.join("thesis.tex").exists());
}

#[test]
fn empty_folders_and_new_ones_take_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let short = ["--set", "training.steps=1"];
    for more in [&[][..], &["--force"], &["--resume"]] {
        let out = folder.path().join(format!("empty{}", more.concat()));
        std::fs::create_dir(&out).unwrap();
        let output = train(&out, &[&short[..], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
    }
    // One command line starts and goes on, in every command that resumes.
    let study = root().join("configs/study-table1.toml");
    let study = ["study", study.to_str().unwrap(), "--set", "data.train=8", "--set", "data.test=8"];
    let study = [&study[..], &["--set", "study.gap.widths=[8]", "--set", "study.gap.seeds=1"], &short[..]].concat();
    let quickstart = root().join("configs/quickstart.toml");
    let quickstart = [&["train", quickstart.to_str().unwrap()], &SMALL[..], &short[..]].concat();
    for command in [&quickstart, &study] {
        let out = folder.path().join(format!("{}-anew", command[0]));
        for _ in 0..2 {
            let output = widenet(&[&command[..], &["--out", out.to_str().unwrap(), "--resume"]].concat());
            assert!(output.status.success(), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_printed_configuration_is_whole_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let print = |config: &Path, more: &[&str]| {
        let output = widenet(&[&["train", config.to_str().unwrap(), "--print-config"], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let quickstart = root().join("configs/quickstart.toml");
    let text = print(&quickstart, &[]);
    for key in ["batch_size", "decay", "points", "probes", "kernel_samples", "linearised", "gram", "start"] {
        assert!(text.contains(&format!("{key} = ")) || text.contains(&format!("# {key}: absent")), "{key}: {text}");
    }
    let copy = folder.path().join("copy.toml");
    std::fs::write(&copy, &text).unwrap();
    assert_eq!(print(&copy, &[]), text);
    let text = print(&copy, &["--set", "training.batch_size=16", "--seed", "7", "--start-from-machine"]);
    for line in ["batch_size = 16", "seed = 7", "start = \"machine\""] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    // The architectures in the help are ones.
    let help = String::from_utf8(widenet(&["train", "--help"]).stdout).unwrap();
    for kind in ["mlp", "cnn", "resnet", "layers"] {
        let line = help.lines().find(|line| line.starts_with(&format!("  {kind} = "))).expect(kind);
        let text = print(&quickstart, &["--set", &format!("architecture={{ {line} }}")]);
        assert!(text.contains(&format!("[architecture.{kind}]")) || kind == "layers", "{text}");
    }
    // The other commands print theirs, too.
    for (command, name) in [("study", "study-table1"), ("compare", "compare-mlp")] {
        let config = root().join(format!("configs/{name}.toml"));
        let output = widenet(&[command, config.to_str().unwrap(), "--print-config"]);
        assert!(String::from_utf8_lossy(&output.stdout).contains("backend = \"flex\""), "{}", stderr(&output));
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_defect() {
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    for arguments in [&["data"][..], &["data", "--json"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_widenet"));
        let output = command.args(arguments).env("RUST_BACKTRACE", "1").stdout(closed()).output().unwrap();
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(141), ""));
    }
    // Both, as in `2>&1 | true`.
    let mut command = Command::new(env!("CARGO_BIN_EXE_widenet"));
    let status = command.arg("data").stdout(closed()).stderr(closed()).status().unwrap();
    assert_eq!(status.code(), Some(141));
    let status = Command::new(env!("CARGO_BIN_EXE_widenet")).arg("train").arg("none").stderr(closed()).status();
    assert_eq!(status.unwrap().code(), Some(2));
}

#[test]
fn bad_settings_are_one_line_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let quickstart = std::fs::read_to_string(root().join("configs/quickstart.toml")).unwrap();
    let with = |from: &str, to: &str| {
        assert!(quickstart.contains(from));
        let config = folder.path().join("bad.toml");
        std::fs::write(&config, quickstart.replace(from, to)).unwrap();
        widenet(&["train", config.to_str().unwrap(), "--out", out.to_str().unwrap()])
    };
    let line = |text: &str| {
        let line = quickstart.lines().position(|line| line.starts_with(text)).unwrap() + 1;
        format!("bad.toml:{line}: ")
    };
    fails(&with("hidden =", "hiden ="), 2, &[&line("hidden"), "unknown field `hiden`"]);
    fails(&with("[1024]", "[0]"), 2, &[&line("hidden"), "zero"]);
    fails(&with("= 1.0 ", "= -1.0 "), 2, &[&line("learning_rate"), "-1 is not a finite number > 0"]);
    fails(&with("steps = 2000", "steps = 'x'"), 2, &[&line("steps"), "invalid type"]);
    fails(&with("[training]", "[training"), 2, &[&line("[training]")]);
    fails(&train(&out, &["--set", "record.probes=[200]"]), 2, &["record.probes", "200"]);
    fails(&train(&out, &["--set", "data.classes=[3,8]"]), 2, &["data.classes", "[3, 8]"]);
    fails(&train(&out, &["--set", "data.train=20000"]), 1, &["20000", "12665"]);
    fails(&train(&out, &["--set", "architecture.mlp.outputs=3"]), 2, &["3 outputs"]);
    fails(&train(&out, &["--set", "architecture.mlp.hidden=[4000000000]"]), 1, &["3140000000000 parameters", "GiB"]);
    fails(&train(&out, &["--set", "objective.lambda_mean=2"]), 2, &["learning rate 1", "lambda_mean 2"]);
    fails(&train(&out, &["--set", "backend=tpu"]), 2, &["unknown variant `tpu`"]);
    // Of many settings the one at fault is named, and no other.
    let told =
        fails(&train(&out, &["--set", "seed=9223372036854775808", "--set", "seed=1"]), 2, &["-2^63 to 2^63 - 1"]);
    assert!(told.starts_with("widenet: --set seed=9223372036854775808: ") && !told.contains("data.train"), "{told}");
    let told = fails(&train(&out, &["--set", "seed=-1"]), 2, &["--set seed=-1: ", "-1"]);
    assert!(!told.contains("data.train") && !told.contains("string"), "{told}");
    fails(&with("seed = 1", "seed = 9223372036854775808"), 2, &[&line("seed")]);
    let output = train(&out, &["--backend", "tpu"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("'tpu'"), "{}", stderr(&output));
    fails(&train(&out, &["--backend", "cuda"]), 2, &["backend cuda is not in this build", "--features cuda"]);
    fails(&widenet(&["train", "nowhere.toml"]), 2, &["nowhere.toml"]);
    fails(&train(&out, &["--set", "architecture={ mpl = {} }"]), 2, &["`mpl`", "`mlp`, `cnn`, `resnet`, `layers`"]);
    for (name, command) in [("study-table1", "study"), ("compare-mlp", "compare")] {
        let config = root().join(format!("configs/{name}.toml"));
        fails(&widenet(&["train", config.to_str().unwrap()]), 2, &[&format!("this file is for `widenet {command}`")]);
    }
    assert!(!out.exists(), "nothing was written");
}

#[test]
fn architectures_that_do_not_fit_name_the_layer() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(root().join("configs/quickstart.toml")).unwrap();
    let with = |layers: &str| {
        let config = folder.path().join("bad.toml");
        let text = text.replace("[architecture.mlp]\nhidden = [1024]", &format!("[architecture]\nlayers = [{layers}]"));
        std::fs::write(&config, text).unwrap();
        widenet(&["train", config.to_str().unwrap(), "--out", folder.path().join("run").to_str().unwrap()])
    };
    fails(&with("{ dense = { units = 3 } }"), 2, &["layer 1 (dense)", "flatten"]);
    fails(&with("'batch_norm', 'flatten', { dense = { units = 1 } }"), 2, &["layer 1 (batch_norm)", "couples"]);
    let pool = "{ max_pool = { window = 2 } }, 'flatten', { dense = { units = 1 } }";
    fails(&with(pool), 2, &["layer 1 (max_pool)"]);
}

#[test]
fn bad_data_is_one_line_and_leaves_nothing() {
    use widenet_data::Idx;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let data = folder.path().join("digits");
    std::fs::create_dir(&data).unwrap();
    let set = format!("data.source={}", data.to_str().unwrap());
    let train =
        || train(&out, &["--set", &set, "--set", "data.train=2", "--set", "data.test=2", "--set", "record.probes=[0]"]);
    fails(&train(), 1, &["train-images-idx3-ubyte"]);
    let table = folder.path().join("two.csv");
    std::fs::write(&table, "1,2\n").unwrap();
    for (path, word) in [(table, "is a file, but images come from a folder"), ("none".into(), "no such folder")] {
        let set = format!("data.source={}", path.to_str().unwrap());
        fails(&crate::train(&out, &["--set", &set]), 1, &[path.to_str().unwrap(), word]);
    }
    let write = |set: &str, images: u32, labels: &[u8]| {
        let pixels = (0..images * 4).map(|k| (k * 37 % 256) as u8).collect();
        Idx::new([images, 2, 2], pixels).unwrap().write(&data.join(format!("{set}-images-idx3-ubyte"))).unwrap();
        let labels = Idx::new([labels.len() as u32], labels.to_vec()).unwrap();
        labels.write(&data.join(format!("{set}-labels-idx1-ubyte"))).unwrap();
    };
    write("train", 4, &[0, 1, 0]);
    write("t10k", 4, &[0, 1, 0, 1]);
    fails(&train(), 1, &["4", "3"]);
    write("train", 4, &[0, 1, 0, 1]);
    let images = data.join("train-images-idx3-ubyte");
    let whole = std::fs::read(&images).unwrap();
    std::fs::write(&images, &whole[..whole.len() - 3]).unwrap();
    fails(&train(), 1, &["train-images-idx3-ubyte"]);
    let mut magic = whole.clone();
    magic[2] = 0x0d;
    std::fs::write(&images, &magic).unwrap();
    fails(&train(), 1, &["train-images-idx3-ubyte", "magic"]);
    std::fs::write(&images, [0x1f, 0x8b, 8, 0, 1, 2, 3]).unwrap();
    fails(&train(), 1, &["train-images-idx3-ubyte", "gz"]);
    assert!(!out.exists(), "nothing was written");
    std::fs::write(&images, &whole).unwrap();
    let output = train();
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn divergence_stops_with_the_step_and_keeps_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let more = ["--set", "training.learning_rate=1e30", "--set", "objective.lambda_mean=0"];
    let line = fails(&train(&out, &more), 1, &["diverged at step", "last finite", "training.learning_rate"]);
    assert!(line.contains(out.to_str().unwrap()), "{line}");
    let csv = std::fs::read_to_string(out.join("dynamics.csv")).unwrap();
    assert!(csv.lines().nth(1).unwrap().starts_with("0,"), "{csv}");
    assert!(!out.join("results.json").exists());
}

/// Steps far too long: the network leaves its machine, and no sentence says otherwise.
#[test]
fn a_bad_run_gets_no_good_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = train(&out, &["--set", "training.learning_rate=1000"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    let summary = String::from_utf8(output.stdout).unwrap();
    for text in [&report, &summary] {
        assert!(text.contains("the network does not follow its machine"), "{text}");
        assert!(!text.contains("the network follows"), "{text}");
    }
    assert!(report.contains("The losses part: at most"), "what the losses do is said");
    let gap = results(&out);
    let ratio = gap["gap"]["train_max"].as_f64().unwrap() / gap["output"]["train_max_abs"].as_f64().unwrap();
    assert!(ratio > 0.25, "{ratio}");
}

/// Steps so short that nothing moves: no sentence says that network and machine agree.
#[test]
fn a_run_in_which_nothing_moves_gets_no_good_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let output = train(&out, &["--set", "training.learning_rate=1e-9"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = std::fs::read_to_string(out.join("report.html")).unwrap();
    let summary = String::from_utf8(output.stdout).unwrap();
    for text in [&report, &summary] {
        assert!(text.contains("neither has moved to speak of"), "{text}");
        assert!(!text.contains("the network follows"), "{text}");
    }
    assert!(!report.contains("\u{2014} of the"), "{report}");
    assert!(report.contains("the network's stays (") || report.contains("the network&#39;s stays ("), "{report}");
}

/// The last layer alone beside the machine of all layers, and the other way round: said in one line and in the report.
#[test]
fn a_machine_of_other_parameters_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("last-layer", "limit", "warning: of the network the last layer"),
        ("all", "nngp", "warning: of the network all"),
    ];
    for (parameters, kernel, words) in cases {
        let out = folder.path().join(kernel);
        let [parameters, kernel] =
            [format!("training.parameters='{parameters}'"), format!("machine.kernel='{kernel}'")];
        let output = train(&out, &["--set", &parameters, "--set", &kernel]);
        assert!(output.status.success() && stderr(&output).contains(words), "{}", stderr(&output));
        let report = std::fs::read_to_string(out.join("report.html")).unwrap();
        assert!(report.contains("Warning: of the network"));
        // No theory says that these two agree.
        assert!(!report.contains("In theory it vanishes"));
    }
    let output = train(
        &folder.path().join("right"),
        &["--set", "training.parameters='last-layer'", "--set", "machine.kernel='nngp'"],
    );
    assert!(output.status.success() && !stderr(&output).contains("warning"), "{}", stderr(&output));
    let report = std::fs::read_to_string(folder.path().join("right/report.html")).unwrap();
    assert!(report.contains("In theory it vanishes"));
}

/// Kernels that are 0: of the limit, and of a network of single precision where the limit is none.
#[test]
fn a_kernel_from_which_nothing_is_learned_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("run");
    let set = |value: &'static str| ["--force", "--set", value];
    fails(
        &train(&out, &set("architecture.mlp.sigma_w=1e-200")),
        1,
        &["mnist01: image 1: sample 0 (counted from 0) is lost on the way"],
    );
    assert!(!out.exists(), "nothing was written");
    let single = fails(&train(&out, &set("architecture.mlp.sigma_w=1e-25")), 1, &["the network's kernel is at most"]);
    assert!(single.contains("too small for f32") && single.contains("raise sigma_w"), "{single}");
}

/// What is not finite before the first step is not blamed on the learning rate.
#[test]
fn outputs_beyond_numbers_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let output = train(&folder.path().join("run"), &["--set", "architecture.mlp.sigma_w=1e200"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!stderr(&output).contains("learning_rate") && !stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn a_place_that_cannot_be_written_is_named() {
    // Root may write anywhere, but not below a file or in /proc.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    fails(&train(&file.join("run"), &[]), 1, &["file/run"]);
    fails(&train(Path::new("/proc/widenet/run"), &[]), 1, &["/proc/widenet/run"]);
}

#[test]
fn data_says_what_is_here() {
    let output = widenet(&["data"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("mnist01") && text.contains("12665 training and 2115 test images"), "{text}");
    let rows: Value = serde_json::from_slice(&widenet(&["data", "--json"]).stdout).unwrap();
    assert_eq!(rows[0]["present"], true);
}

#[test]
fn help_has_examples_and_bad_usage_is_code_2() {
    for arguments in [&["--help"][..], &["train", "--help"]] {
        let output = widenet(arguments);
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("widenet train configs/quickstart.toml"));
    }
    assert_eq!(widenet(&["trian"]).status.code(), Some(2));
    assert_eq!(widenet(&["train"]).status.code(), Some(2));
}
