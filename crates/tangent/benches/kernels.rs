//! How long kernels take: one JSON document per case on stdout, median of several runs after one to warm up.
//!
//!     cargo bench -p widenet -p widenet-tangent --bench kernels [-- CASE...]

use std::time::Instant;

use burn::tensor::Device;
use ndarray::Array2;
use rand::RngExt;
use widenet_model::{Architecture, ArchitectureConfig, Network, Precision, Purpose, Shape, stream};
use widenet_tangent::{EmpiricalKernel, Kernel, LimitKernel, LimitKind};

const RUNS: usize = 7;

/// Images like MNIST's in size, range and sparsity.
fn images(n: usize) -> Array2<f64> {
    let mut rng = stream(0, Purpose::Batches, 0);
    Array2::from_shape_fn((n, 784), |_| if rng.random::<f64>() < 0.2 { rng.random::<f64>() } else { 0.0 })
}

fn architecture(config: &str) -> Architecture {
    let config: ArchitectureConfig = toml_edit::de::from_str(config).expect("a valid configuration");
    config.build(Shape::Image([1, 28, 28])).expect("a valid architecture")
}

/// The median of several runs, in seconds.
fn median(mut run: impl FnMut()) -> f64 {
    run();
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            run();
            started.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

fn empirical(config: &str, n: usize) -> f64 {
    let network = Network::init(&architecture(config), 1, Precision::F32, &Device::flex());
    let (kernel, x) = (EmpiricalKernel::new(&network), images(n));
    median(|| {
        kernel.gram_symmetric(x.view()).expect("finite samples");
    })
}

fn limit(config: &str, n: usize) -> f64 {
    let (kernel, x) = (LimitKernel::new(&architecture(config), LimitKind::Ntk).expect("has a limit"), images(n));
    median(|| {
        kernel.gram_symmetric(x.view()).expect("finite samples");
    })
}

type Case = (&'static str, fn(&str, usize) -> f64, &'static str, usize);

const RESNET: &str = "resnet = { stem = 32, blocks = [{ channels = 32 }, { channels = 64, stride = 2 }] }";

fn main() {
    let cases: [Case; 8] = [
        ("empirical-mlp-1024-n256", empirical, "mlp = { hidden = [1024, 1024] }", 256),
        ("empirical-mlp-1024-n1024", empirical, "mlp = { hidden = [1024, 1024] }", 1024),
        ("empirical-mlp-4096-n128", empirical, "mlp = { hidden = [4096, 4096] }", 128),
        ("empirical-cnn-n64", empirical, "cnn = { channels = [64, 64, 64] }", 64),
        ("empirical-resnet-n64", empirical, RESNET, 64),
        ("limit-two-layer-n4000", limit, "mlp = { hidden = [1] }", 4000),
        ("limit-two-layer-n12665", limit, "mlp = { hidden = [1] }", 12_665),
        ("limit-cnn-flatten-n200", limit, "cnn = { channels = [1, 1, 1], head = 'flatten' }", 200),
    ];
    // Cargo passes --bench; every other word chooses cases by a part of their names.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    for (name, run, config, n) in cases {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            println!("{{\"case\": \"{name}\", \"seconds\": {:.6}}}", run(config, n));
        }
    }
}
