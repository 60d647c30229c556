//! Trying a backend in a child process, so that a bad driver cannot kill the program.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use burn::tensor::{Device, FloatDType, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use widenet_model::Precision;

use crate::backend::{Backend, BackendError};

/// The hidden command that the child runs.
pub const COMMAND: &str = "probe-backend";

/// How long a child may take before its driver counts as hanging. Software drivers compile shaders slowly.
const LIMIT: Duration = Duration::from_secs(120);

/// What a backend that works can do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Working {
    /// The device's name.
    pub device: String,
    /// Whether it has double precision.
    pub f64: bool,
    /// Measured matrix products in f32, in GFLOP/s; absent in a quick probe.
    pub gflops: Option<f64>,
}

/// Opens a backend's device. One that goes through a driver is tried in a child first.
///
/// # Errors
///
/// When the backend is not compiled in, does not work here, or lacks the precision.
pub fn open(backend: Backend, precision: Precision) -> Result<Device, BackendError> {
    if backend.has_driver() && backend.compiled() {
        let working = in_child(backend, true)?;
        if precision == Precision::F64 && !working.f64 {
            return Err(BackendError::NoDouble { name: backend.name() });
        }
    }
    backend.open(precision)
}

/// Tries a backend in a child process: opens it and computes a product whose result is known. A quick probe leaves
/// out the measurement of speed.
///
/// # Errors
///
/// When it is not compiled in, or the child fails, crashes or hangs.
pub fn in_child(backend: Backend, quick: bool) -> Result<Working, BackendError> {
    let name = backend.name();
    if !backend.compiled() {
        return Err(BackendError::NotCompiled { name });
    }
    let unusable = |problem: String| BackendError::Unusable { name, problem: widenet_store::text::one_line(&problem) };
    let program = std::env::current_exe().map_err(|error| unusable(error.to_string()))?;
    let mut command = Command::new(program);
    command.args([COMMAND, name]).args(quick.then_some("--quick"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| unusable(error.to_string()))?;
    let started = Instant::now();
    while child.try_wait().map_err(|error| unusable(error.to_string()))?.is_none() {
        if started.elapsed() > LIMIT {
            let _ = child.kill();
            let _ = child.wait();
            return Err(unusable(format!("no answer within {} s", LIMIT.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().map_err(|error| unusable(error.to_string()))?;
    match serde_json::from_slice::<Result<Working, String>>(&output.stdout) {
        Ok(Ok(working)) => Ok(working),
        Ok(Err(problem)) => Err(unusable(problem)),
        Err(_) => Err(unusable(format!("its driver ended the trial process ({})", output.status))),
    }
}

/// What the child does: tries the backend and prints the outcome as one JSON document. Panics are outcomes too.
pub fn run_child(backend: Backend, quick: bool) {
    std::panic::set_hook(Box::new(|_| ()));
    let outcome = std::panic::catch_unwind(|| attempt(backend, quick)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(text.unwrap_or("it panicked").to_string())
    });
    println!("{}", serde_json::to_string(&outcome).expect("plain data"));
}

fn attempt(backend: Backend, quick: bool) -> Result<Working, String> {
    let device = match backend.open(Precision::F32) {
        Ok(device) => device,
        Err(BackendError::Unusable { problem, .. }) => return Err(problem),
        Err(error) => return Err(error.to_string()),
    };
    check_product(&device)?;
    let gflops = if quick { None } else { Some(speed(&device)?) };
    let f64 = device.supports_dtype(FloatDType::F64);
    Ok(Working { device: device_name(backend, &device), f64, gflops })
}

/// A product of small integers, which every backend must get exactly right: wrong drivers exist.
fn check_product(device: &Device) -> Result<(), String> {
    const N: usize = 64;
    let entry = |i: usize, j: usize| ((3 * i + 5 * j) % 7) as f32 - 3.0;
    let values: Vec<f32> = (0..N * N).map(|k| entry(k / N, k % N)).collect();
    let a = Tensor::<2>::from_data(TensorData::new(values, [N, N]), device);
    let product = a.clone().matmul(a);
    let found = product.try_into_data().map_err(|error| error.to_string())?;
    let found = found.try_to_vec::<f32>().map_err(|error| format!("{error:?}"))?;
    for (k, &value) in found.iter().enumerate() {
        let expected: f32 = (0..N).map(|l| entry(k / N, l) * entry(l, k % N)).sum();
        if value != expected {
            return Err(format!("its matrix product is wrong: entry {k} is {value}, not {expected}"));
        }
    }
    Ok(())
}

/// The best matrix-product rate over sizes 256, 512, 1024, 2048, stopping when a size takes long.
fn speed(device: &Device) -> Result<f64, String> {
    let mut best: f64 = 0.0;
    for n in [256, 512, 1024, 2048] {
        let size_started = Instant::now();
        // The first product compiles; each has its own values, so that a stale result shows.
        for repeat in 1..=4 {
            let a = Tensor::<2>::full([n, n], repeat as f32, device);
            device.sync().map_err(|error| error.to_string())?;
            let started = Instant::now();
            let product = a.clone().matmul(a);
            device.sync().map_err(|error| error.to_string())?;
            let corner = product.slice([n - 1..n, n - 1..n]).try_into_data().map_err(|error| error.to_string())?;
            let elapsed = started.elapsed();
            let corner = corner.try_to_vec::<f32>().map_err(|error| format!("{error:?}"))?[0];
            let expected = (n * repeat * repeat) as f32;
            if corner != expected {
                return Err(format!("its matrix product of size {n} is wrong: an entry is {corner}, not {expected}"));
            }
            if repeat > 1 {
                best = best.max(2.0 * (n as f64).powi(3) / elapsed.as_secs_f64() / 1e9);
            }
        }
        if size_started.elapsed() > Duration::from_secs(1) {
            break;
        }
    }
    Ok(best)
}

fn device_name(backend: Backend, device: &Device) -> String {
    #[cfg(feature = "wgpu")]
    if backend.has_driver() {
        return device.identity().map_or("unnamed device".into(), |identity| identity.name);
    }
    let _ = (backend, device);
    processor()
}

/// The processor's name and the number of threads.
pub fn processor() -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or(std::env::consts::ARCH, |(_, model)| model.trim());
    format!("{model}, {threads} threads")
}
