//! How long kernels take: one JSON document per case on stdout, median of several runs after one to warm up. Beside it
//! what bounds it: the operations of the matrix products that are taken, and how many a second a large product takes
//! of the same number type, measured in the same process just before.
//!
//!     cargo bench -p widenet -p widenet-tangent --bench kernels [-- CASE...]

use std::time::Instant;

use burn::tensor::Device;
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par};
use ndarray::Array2;
use rand::RngExt;
use widenet_model::host::{HostLayer, HostNetwork, Real};
use widenet_model::{Architecture, ArchitectureConfig, Network, Precision, Purpose, Shape, stream};
use widenet_tangent::{Contraction, EmpiricalKernel, Kernel, LayerPlan, LimitKernel, LimitKind};

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

/// Operations a second of a large product, in 10^9: the best of several.
fn rate<T: Real>() -> f64 {
    const SIDE: usize = 1536;
    let values = |k: usize| Mat::from_fn(SIDE, SIDE, |i, j| T::of(((i * k + j) % 17) as f64));
    let (a, b, mut out) = (values(3), values(5), values(7));
    let once = |out: &mut Mat<T>| {
        let started = Instant::now();
        matmul(out, Accum::Replace, &a, &b, T::one(), Par::rayon(0));
        started.elapsed().as_secs_f64()
    };
    let best = (0..RUNS).map(|_| once(&mut out)).fold(f64::INFINITY, f64::min);
    2e-9 * (SIDE as f64).powi(3) / best
}

/// What a case found.
struct Found {
    seconds: f64,
    /// 10^9 operations of matrix products, of those that are taken.
    products_gflop: Option<f64>,
    /// See [`rate`].
    gflops: f64,
}

fn empirical(config: &str, n: usize) -> Found {
    let network = Network::init(&architecture(config), 1, Precision::F32, &Device::flex());
    let (kernel, x) = (EmpiricalKernel::new(&network), images(n));
    let gflops = rate::<f32>();
    let seconds = median(|| {
        kernel.gram_symmetric(x.view()).expect("finite samples");
    });
    let host = HostNetwork::<f32>::new(&network);
    let of_layer = |(index, (layer, plan)): (usize, (&HostLayer<f32>, &LayerPlan))| {
        let products = plan.contraction == Contraction::Products;
        // Forward; the derivative with respect to the input, which the first layer does not need; that of the weights.
        let passes = 1 + usize::from(index > 0) + usize::from(products);
        let width = if products { layer.fan_in * layer.units } else { layer.fan_in + layer.units };
        // Of the Gram matrix the lower triangle.
        n as f64 * passes as f64 * layer.operations() + (n * n * width) as f64
    };
    let operations: f64 = host.layers().iter().zip(kernel.plan()).enumerate().map(of_layer).sum();
    Found { seconds, products_gflop: Some(1e-9 * operations), gflops }
}

fn limit(config: &str, n: usize) -> Found {
    let architecture = architecture(config);
    let (kernel, x) = (LimitKernel::new(&architecture, LimitKind::Ntk).expect("has a limit"), images(n));
    let gflops = rate::<f64>();
    let seconds = median(|| {
        kernel.gram_symmetric(x.view()).expect("finite samples");
    });
    // The Gram matrix of the samples is the one product of a dense limit; one with convolutions has none.
    let dense = architecture.weighted_layers().iter().all(|layer| layer.positions == 1);
    Found { seconds, products_gflop: dense.then(|| 1e-9 * (n * n * x.ncols()) as f64), gflops }
}

type Case = (&'static str, fn(&str, usize) -> Found, &'static str, usize);

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
            let Found { seconds, products_gflop, gflops } = run(config, n);
            let products = products_gflop.map_or(String::new(), |gflop| format!(", \"products_gflop\": {gflop:.4}"));
            println!("{{\"case\": \"{name}\", \"seconds\": {seconds:.6}{products}, \"gflops\": {gflops:.1}}}");
        }
    }
}
