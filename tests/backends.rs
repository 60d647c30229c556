//! One program, several backends: the same network, the same numbers.
//!
//! wgpu runs where WIDENET_TEST_WGPU is set (as in CI, over a software Vulkan driver); it is left out elsewhere.

use std::path::Path;
use std::process::{Command, Output};

use burn::tensor::Device;
use ndarray::{Array2, s};
use serde_json::Value;
use widenet::backend::Backend;
use widenet_model::{ArchitectureConfig, Network, Precision, Shape, to_host};
use widenet_tangent::{EmpiricalKernel, Kernel};

/// Backends to compare with flex, in this build and on this machine.
fn others() -> Vec<Backend> {
    let mut backends = Vec::new();
    if cfg!(feature = "ndarray") {
        backends.push(Backend::Ndarray);
    }
    if cfg!(feature = "wgpu") && std::env::var_os("WIDENET_TEST_WGPU").is_some() {
        backends.push(Backend::Wgpu);
    }
    backends
}

/// One device per backend and process: a driver is opened once.
fn devices() -> &'static [(Backend, Device)] {
    static DEVICES: std::sync::OnceLock<Vec<(Backend, Device)>> = std::sync::OnceLock::new();
    DEVICES.get_or_init(|| {
        let open = |backend: Backend| (backend, backend.open(Precision::F32).unwrap());
        others().into_iter().map(open).collect()
    })
}

fn networks(device: &Device) -> Vec<Network> {
    let configs = ["mlp = { hidden = [9, 7], sigma_b = 0.5 }", "cnn = { channels = [3, 4] }"];
    let build = |config: &str| {
        let config: ArchitectureConfig = toml_edit::de::from_str(config).unwrap();
        Network::init(&config.build(Shape::Image([1, 28, 28])).unwrap(), 5, Precision::F32, device)
    };
    configs.into_iter().map(build).collect()
}

#[test]
fn one_seed_is_the_same_network_everywhere() {
    let values = |network: &Network| -> Vec<Array2<f64>> {
        network.parameters().into_iter().map(|parameter| to_host(parameter.unsqueeze()).unwrap()).collect()
    };
    for (backend, device) in devices() {
        for (here, there) in networks(&Device::flex()).iter().zip(&networks(device)) {
            assert_eq!(values(here), values(there), "{}", backend.name());
        }
    }
}

#[test]
fn outputs_and_empirical_kernels_agree() {
    let data = widenet_data::mnist01().unwrap();
    let x = data.train.inputs.slice(s![..6, ..]);
    for (backend, device) in devices() {
        for (here, there) in networks(&Device::flex()).iter().zip(&networks(device)) {
            let output = |network: &Network| to_host(network.forward(network.samples(x))).unwrap();
            let kernel = |network: &Network| EmpiricalKernel::new(network).gram_symmetric(x).unwrap();
            for (a, b) in [(output(here), output(there)), (kernel(here), kernel(there))] {
                let size = a.iter().fold(0.0f64, |most, v| most.max(v.abs()));
                let difference = (&a - &b).iter().fold(0.0f64, |most, v| most.max(v.abs()));
                assert!(difference < 1e-4 * size, "{}: {difference} of {size}", backend.name());
            }
        }
    }
}

fn train(out: &Path, backend: Backend) -> Output {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_widenet"));
    command.arg("train").arg(config).arg("--out").arg(out).args(["--backend", backend.name()]);
    for set in [
        "data.train=24",
        "data.test=40",
        "training.steps=12",
        "training.batch_size=16",
        "architecture.mlp.hidden=[32]",
        "machine.kernel=empirical",
        "record.points=4",
        "record.kernel_samples=8",
    ] {
        command.args(["--set", set]);
    }
    command.output().unwrap()
}

#[test]
fn training_agrees() {
    let folder = tempfile::tempdir().unwrap();
    let results = |backend: Backend| -> Value {
        let out = folder.path().join(backend.name());
        let output = train(&out, backend);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap()
    };
    let flex = results(Backend::Flex);
    for backend in others() {
        let other = results(backend);
        assert_eq!(other["backend"], backend.name());
        for path in ["/network/train_loss", "/machine/train_loss", "/gap/train_rms", "/output/train_max_abs"] {
            let (a, b) =
                (flex.pointer(path).unwrap().as_f64().unwrap(), other.pointer(path).unwrap().as_f64().unwrap());
            assert!((a - b).abs() < 1e-3 * (1.0 + a.abs()), "{}: {path} is {b}, on flex {a}", backend.name());
        }
    }
}

#[test]
fn backends_are_tried_one_by_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_widenet")).args(["backends", "--json"]).output().unwrap();
    assert!(output.status.success());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), Backend::ALL.len());
    assert_eq!((&rows[0]["backend"], &rows[0]["works"], &rows[0]["f64"]), (&"flex".into(), &true.into(), &true.into()));
    assert!(rows[0]["gflops"].as_f64().unwrap() > 0.0);
    for row in &rows {
        let name = row["backend"].as_str().unwrap();
        if row["works"] == false {
            let why = row["why"].as_str().unwrap();
            assert!(!why.contains('\n') && why.contains(name), "{why}");
        }
    }
    if std::env::var_os("WIDENET_TEST_WGPU").is_some() {
        let row = rows.iter().find(|row| row["backend"] == "wgpu").unwrap();
        assert_eq!(row["works"], cfg!(feature = "wgpu"), "{row}");
    }
}

#[cfg(all(feature = "wgpu", target_os = "linux"))]
#[test]
fn an_unusable_backend_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/quickstart.toml");
    // No driver is to be found where these point.
    let output = Command::new(env!("CARGO_BIN_EXE_widenet"))
        .arg("train")
        .arg(config)
        .args(["--backend", "wgpu", "--out"])
        .arg(folder.path().join("run"))
        .env("VK_DRIVER_FILES", "/nowhere")
        .env("VK_ICD_FILENAMES", "/nowhere")
        .env("__EGL_VENDOR_LIBRARY_FILENAMES", "/nowhere")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("widenet: backend wgpu does not work here: "), "{text}");
    assert!(!folder.path().join("run").exists());
}
