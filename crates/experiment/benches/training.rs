//! How long a step of training takes (forward, backward, update): one JSON document per case on stdout, median of
//! several steps after some to warm up.
//!
//!     cargo bench -p widenet --bench training [-- CASE...]

use std::time::Instant;

use burn::tensor::Device;
use ndarray::{Array1, Array2};
use rand::RngExt;
use widenet::config::{Parameters, Regulariser};
use widenet::train::network::{NetworkDescent, Rule, Samples};
use widenet_machine::EpsilonInsensitive;
use widenet_model::{ArchitectureConfig, Network, Precision, Purpose, Shape, stream};

const STEPS: usize = 15;

/// Images like MNIST's in size, range and sparsity.
fn images(n: usize) -> Array2<f64> {
    let mut rng = stream(0, Purpose::Batches, 0);
    Array2::from_shape_fn((n, 784), |_| if rng.random::<f64>() < 0.2 { rng.random::<f64>() } else { 0.0 })
}

struct Case {
    name: &'static str,
    architecture: &'static str,
    /// Samples in the training set, and in a batch.
    samples: usize,
    batch: usize,
    /// One sample in so many is pushed by the loss; the others are where it is 0.
    pushed: usize,
    regulariser: Regulariser,
}

/// Seconds of one step.
fn step_seconds(case: &Case) -> f64 {
    let config: ArchitectureConfig = toml_edit::de::from_str(case.architecture).expect("a valid configuration");
    let architecture = config.build(Shape::Image([1, 28, 28])).expect("a valid architecture");
    let network = Network::init(&architecture, 1, Precision::F32, &Device::flex().autodiff());
    let samples = Samples::new(&network, images(case.samples).view()).expect("finite samples");
    let label = |i: usize| if i.is_multiple_of(case.pushed) { 1.0 } else { 0.0 };
    let labels = Array1::from_shape_fn(case.samples, label);
    // Small enough that no sample gets there, or away from there, on the way.
    let rule =
        Rule { regulariser: case.regulariser, lambda_mean: 1e-3, learning_rate: 1e-6, parameters: Parameters::All };
    let loss = EpsilonInsensitive::default();
    let mut descent = NetworkDescent::new(network, &samples, labels.view(), &loss, rule, None);
    let mut times = Vec::new();
    for step in 0..STEPS + 3 {
        let batch: Vec<usize> = (0..case.batch).map(|i| (step * case.batch + i) % case.samples).collect();
        let started = Instant::now();
        descent.step(&batch).expect("finite weights");
        times.push(started.elapsed().as_secs_f64());
    }
    let mut times = times.split_off(3);
    times.sort_by(f64::total_cmp);
    times[STEPS / 2]
}

const TWO: &str = "mlp = { hidden = [10000] }";
const THREE: &str = "mlp = { hidden = [4096, 4096] }";
const WIDE: &str = "mlp = { hidden = [10000, 10000] }";
const CNN: &str = "cnn = { channels = [64, 64], head = 'flatten', sigma_w = 1.4142135623730951 }";
const RESNET: &str = "resnet = { stem = 32, blocks = [{ channels = 32 }, { channels = 64, stride = 2 }], \
                      head = 'flatten', sigma_w = 1.4142135623730951 }";

fn main() {
    use Regulariser::{DistanceToInit, None};
    let case = |name, architecture, samples, batch, pushed, regulariser| Case {
        name,
        architecture,
        samples,
        batch,
        pushed,
        regulariser,
    };
    let cases = [
        case("two-layer-10000-b64", TWO, 1024, 64, 1, None),
        case("two-layer-10000-b64-distance", TWO, 1024, 64, 1, DistanceToInit),
        case("two-layer-10000-b64-distance-eighth-pushed", TWO, 1024, 64, 8, DistanceToInit),
        case("two-layer-10000-n128-distance", TWO, 128, 128, 1, DistanceToInit),
        case("three-layer-4096-b128", THREE, 1024, 128, 1, None),
        case("three-layer-4096-b128-distance", THREE, 1024, 128, 1, DistanceToInit),
        case("three-layer-4096-b128-distance-eighth-pushed", THREE, 1024, 128, 8, DistanceToInit),
        case("three-layer-10000-n128-distance-eighth-pushed", WIDE, 128, 128, 8, DistanceToInit),
        case("cnn-b32", CNN, 64, 32, 1, None),
        case("resnet-b32", RESNET, 64, 32, 1, None),
    ];
    // Cargo passes --bench; every other word chooses a case by its name.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    for case in &cases {
        if wanted.is_empty() || wanted.iter().any(|word| case.name == word) {
            println!("{{\"case\": \"{}\", \"seconds\": {:.6}}}", case.name, step_seconds(case));
        }
    }
}
