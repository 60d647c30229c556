//! Kernels do not depend on the number of threads: the same bits on 1, 2, 3, 4 and 7.

use burn::tensor::Device;
use ndarray::Array2;
use rayon::ThreadPoolBuilder;
use widenet_model::{Architecture, ArchitectureConfig, Network, Precision, Shape};
use widenet_tangent::{EmpiricalKernel, Kernel, LimitKernel, LimitKind, Method};

const CONFIGS: [(&str, &str); 4] = [
    ("mlp", "mlp = { hidden = [96, 80] }"),
    ("tanh", "mlp = { hidden = [96], activation = 'tanh' }"),
    ("cnn", "cnn = { channels = [12, 16] }"),
    ("resnet", "resnet = { stem = 8, blocks = [{ channels = 8 }, { channels = 16, stride = 2 }] }"),
];

fn architecture(config: &str) -> Architecture {
    let config: ArchitectureConfig = toml_edit::de::from_str(config).unwrap();
    config.build(Shape::Image([1, 12, 12])).unwrap()
}

/// Samples spread evenly over `[-0.5, 1]`, without visible pattern.
fn samples(n: usize) -> Array2<f64> {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    Array2::from_shape_fn((n, 144), |(i, j)| (golden * ((i * 144 + j) as f64).powi(2)).fract() * 1.5 - 0.5)
}

/// The bits of a Gram matrix of all samples, of one beside the first seven, and of the diagonal.
fn bits(kernel: &dyn Kernel, n: usize) -> Vec<u64> {
    let (x, y) = (samples(n), samples(7));
    let gram = kernel.gram_symmetric(x.view()).unwrap();
    let cross = kernel.gram(y.view(), x.view()).unwrap();
    let diagonal = kernel.diagonal(x.view()).unwrap();
    gram.iter().chain(&cross).chain(&diagonal).map(|value| value.to_bits()).collect()
}

#[track_caller]
fn assert_same_on_all(name: &str, run: impl Fn() -> Vec<u64> + Sync) {
    let on = |threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(&run);
    let one = on(1);
    for threads in [2, 3, 4, 7] {
        let other = on(threads);
        let different = one.iter().zip(&other).filter(|(a, b)| a != b).count();
        assert!(different == 0, "{name}: {different} of {} numbers differ on {threads} threads", one.len());
    }
}

#[test]
fn limit_kernels() {
    for (name, config) in CONFIGS {
        for n in if name == "mlp" { vec![5, 131, 700] } else { vec![5, 11] } {
            for kind in [LimitKind::Ntk, LimitKind::Nngp] {
                let kernel = LimitKernel::new(&architecture(config), kind).unwrap();
                assert_same_on_all(&format!("{name}, {n}, {kind:?}"), || bits(&kernel, n));
            }
        }
    }
}

#[test]
fn empirical_kernels() {
    for (name, config) in CONFIGS {
        for precision in [Precision::F32, Precision::F64] {
            let network = Network::init(&architecture(config), 1, precision, &Device::flex());
            for method in [Method::Auto, Method::Structured, Method::Jacobian] {
                for n in if name == "mlp" { vec![3, 70, 140, 300, 520] } else { vec![3, 33, 130] } {
                    // Every run reads the weights anew.
                    let run = || bits(&EmpiricalKernel::new(&network).with_method(method), n);
                    assert_same_on_all(&format!("{name}, {n}, {precision:?}, {method:?}"), run);
                }
            }
        }
    }
}
