//! Empirical kernels against brute force: one backward pass per sample and output, all parameters flattened.

use std::num::NonZeroUsize;

use burn::tensor::Device;
use ndarray::{Array2, s};
use proptest::prelude::*;
use rand::RngExt;
use rand_distr::StandardNormal;
use widenet_model::{
    Activation, Architecture, ArchitectureConfig, Conv, Dense, Layer, Network, Pool, Precision, Purpose, Residual,
    Shape, stream, to_host, to_tensor,
};
use widenet_tangent::{EmpiricalKernel, EmpiricalKind, Kernel, Method, TangentFeatures, jacobian};

fn architecture(config: &str, input: Shape) -> Architecture {
    toml_edit::de::from_str::<ArchitectureConfig>(config).unwrap().build(input).unwrap()
}

/// The architectures every empirical kernel is checked on, with one and with three outputs.
fn cases(outputs: usize) -> Vec<(&'static str, Architecture)> {
    let image = Shape::Image([2, 6, 5]);
    let mlp = format!("mlp = {{ hidden = [7, 5], outputs = {outputs}, sigma_w = 1.3, sigma_b = 0.4 }}");
    let flatten = format!(
        "cnn = {{ channels = [3, 4], head = 'flatten', activation = 'gelu', outputs = {outputs}, sigma_b = 0.2 }}"
    );
    let pooling = format!("cnn = {{ channels = [4, 3], outputs = {outputs}, activation = 'erf' }}");
    let resnet = format!(
        "resnet = {{ stem = 3, blocks = [{{ channels = 3 }}, {{ channels = 5, stride = 2 }}], outputs = {outputs}, \
         sigma_b = 0.3 }}"
    );
    // Few positions and many weights: the sum over pairs of positions is the cheaper way.
    let pairs = format!(
        "layers = [{{ conv = {{ channels = 9, kernel = 3, stride = 3, padding = 1, sigma_b = 0.2 }} }}, \
         {{ activation = 'relu' }}, {{ conv = {{ channels = 8, kernel = 2, padding = 1 }} }}, 'flatten', \
         {{ dense = {{ units = {outputs}, sigma_b = 0.1 }} }}]"
    );
    // Enough channels for minimal filtering.
    let filtered = format!(
        "resnet = {{ stem = 16, blocks = [{{ channels = 16 }}, {{ channels = 32, stride = 2 }}], outputs = {outputs}, \
         sigma_b = 0.3 }}"
    );
    vec![
        ("mlp", architecture(&mlp, Shape::Flat(6))),
        ("cnn by pairs of positions", architecture(&pairs, image)),
        ("cnn with flatten", architecture(&flatten, image)),
        ("cnn with pooling", architecture(&pooling, image)),
        ("strided resnet", architecture(&resnet, image)),
        ("strided resnet of many channels", architecture(&filtered, image)),
    ]
}

fn samples(n: usize, d: usize, seed: u64) -> Array2<f64> {
    let mut rng = stream(seed, Purpose::Batches, 0);
    Array2::from_shape_fn((n, d), |_| rng.sample(StandardNormal))
}

fn relative_error(found: &Array2<f64>, expected: &Array2<f64>) -> f64 {
    let difference = (found - expected).mapv(|v| v * v).sum().sqrt();
    difference / expected.mapv(|v| v * v).sum().sqrt()
}

fn check(precision: Precision, tolerance: f64) {
    for outputs in [1, 3] {
        for (name, architecture) in cases(outputs) {
            let d = architecture.input().size();
            let network = Network::init(&architecture, 11, precision, &Device::flex());
            let (a, b) = (samples(5, d, 1), samples(4, d, 2));
            let (left, right) = (jacobian(&network, a.view()).unwrap(), jacobian(&network, b.view()).unwrap());
            let expected = left.dot(&right.t());
            // The kernel of the contract is the mean of the diagonal blocks; tiles are parts of the whole.
            let mut mean = Array2::zeros((5, 4));
            for o in 0..outputs {
                mean += &(&expected.slice(s![o..;outputs, o..;outputs]) / outputs as f64);
            }
            for method in [Method::Auto, Method::Structured, Method::Jacobian] {
                let kernel = EmpiricalKernel::new(&network).with_method(method);
                let what = format!("{name}, {outputs} outputs, {method:?}, {precision:?}");
                let error = relative_error(&kernel.gram_outputs(a.view(), b.view()).unwrap(), &expected);
                assert!(error <= tolerance, "{what}: relative error {error:e}");
                let error = relative_error(&kernel.with_tile(2).gram(a.view(), b.view()).unwrap(), &mean);
                assert!(error <= tolerance, "{what}, tiled: relative error {error:e}");
            }
        }
    }
}

#[test]
fn equals_brute_force_in_f64() {
    check(Precision::F64, 1e-10);
}

#[test]
fn equals_brute_force_in_f32() {
    check(Precision::F32, 1e-4);
}

/// Samples enough for the matrix to be filled block by block, a core each.
#[test]
fn blocks_equal_brute_force() {
    let architecture = architecture("mlp = { hidden = [6, 5], sigma_b = 0.4 }", Shape::Flat(4));
    let network = Network::init(&architecture, 11, Precision::F64, &Device::flex());
    let (a, b) = (samples(300, 4, 1), samples(281, 4, 2));
    let (left, right) = (jacobian(&network, a.view()).unwrap(), jacobian(&network, b.view()).unwrap());
    let kernel = EmpiricalKernel::new(&network);
    assert!(relative_error(&kernel.gram(a.view(), b.view()).unwrap(), &left.dot(&right.t())) <= 1e-10);
    assert!(relative_error(&kernel.gram_symmetric(a.view()).unwrap(), &left.dot(&left.t())) <= 1e-10);
}

#[test]
fn last_layer_is_the_last_columns_of_the_jacobian() {
    for (name, architecture) in cases(1) {
        let network = Network::init(&architecture, 3, Precision::F64, &Device::flex());
        let x = samples(4, architecture.input().size(), 5);
        let mut last: usize = network.parameters().last().unwrap().dims()[0];
        if architecture.has_bias() {
            // The last parameter is the bias; the weights before it belong to the last layer too.
            let parameters = network.parameters();
            last += parameters[parameters.len() - 2].dims()[0];
        }
        let full = jacobian(&network, x.view()).unwrap();
        let columns = full.slice(s![.., full.ncols() - last..]);
        let found = EmpiricalKernel::of_kind(&network, EmpiricalKind::LastLayer).gram_symmetric(x.view()).unwrap();
        assert!(relative_error(&found, &columns.dot(&columns.t())) < 1e-12, "{name}");
    }
}

#[test]
fn products_with_the_jacobian() {
    for outputs in [1, 3] {
        for (name, architecture) in cases(outputs) {
            let device = Device::flex();
            let network = Network::init(&architecture, 11, Precision::F64, &device);
            let x = samples(5, architecture.input().size(), 1);
            let full = jacobian(&network, x.view()).unwrap();
            let features = TangentFeatures::of(&network, x.view()).unwrap();

            // Another draw of the same network is a direction in weight space.
            let direction = Network::init(&architecture, 12, Precision::F64, &device).parameters();
            let flat = to_host(burn::tensor::Tensor::cat(direction.clone(), 0).unsqueeze_dim::<2>(1)).unwrap();
            let expected = full.dot(&flat).into_shape_with_order((5, outputs)).unwrap();
            let found = to_host(features.apply(&direction)).unwrap();
            assert!(relative_error(&found, &expected) < 1e-12, "{name}, {outputs} outputs: J v");

            let coefficients = samples(5, outputs, 3);
            let column = coefficients.clone().into_shape_with_order((5 * outputs, 1)).unwrap();
            let adjoint = features.adjoint(to_tensor(coefficients.view(), Precision::F64, &device));
            let lengths: Vec<usize> = adjoint.iter().map(|vector| vector.dims()[0]).collect();
            let expected_lengths: Vec<usize> = direction.iter().map(|vector| vector.dims()[0]).collect();
            assert_eq!(lengths, expected_lengths, "{name}");
            let found = to_host(burn::tensor::Tensor::cat(adjoint, 0).unsqueeze_dim::<2>(1)).unwrap();
            assert!(relative_error(&found, &full.t().dot(&column)) < 1e-12, "{name}, {outputs} outputs: J^T c");
        }
    }
}

#[test]
fn samples_of_another_size_and_nan_are_refused() {
    let network = Network::init(&cases(1)[0].1, 3, Precision::F64, &Device::flex());
    let kernel = EmpiricalKernel::new(&network);
    let error = kernel.gram_symmetric(samples(2, 5, 0).view()).unwrap_err();
    assert_eq!(error.to_string(), "samples of size 5, but the kernel's architecture reads those of size 6");
    let error = kernel.clone().with_memory(100).unwrap_err().to_string();
    assert!(error.starts_with("100 bytes of memory are too few"), "{error}");
    assert!(kernel.clone().with_memory(1 << 20).unwrap().tile() > 1);
    let mut bad = samples(2, 6, 0);
    bad[[1, 4]] = f64::NAN;
    let error = kernel.diagonal(bad.view()).unwrap_err();
    assert_eq!(error.to_string(), "sample 1, feature 4 (counted from 0) is NaN: every input must be finite");
}

/// Small architectures: any layers that fit, on vectors or images.
fn architectures() -> impl Strategy<Value = Architecture> {
    let count = |most: usize| (1..=most).prop_map(|n| NonZeroUsize::new(n).unwrap());
    let sigma_b = || prop_oneof![Just(0.0), 0.1..1.0];
    let dense = move || {
        (count(4), 0.5..1.5, sigma_b())
            .prop_map(|(units, sigma_w, sigma_b)| Layer::Dense(Dense { units, sigma_w, sigma_b }))
    };
    let conv = (count(4), count(3), count(3), 0_usize..4, 0.5..1.5, sigma_b()).prop_map(
        |(channels, kernel, stride, padding, sigma_w, sigma_b)| {
            Layer::Conv(Conv { channels, kernel, stride, padding, sigma_w, sigma_b })
        },
    );
    let activation = prop_oneof![
        Just(Activation::Relu),
        Just(Activation::LeakyRelu { slope: 0.2 }),
        Just(Activation::Erf),
        Just(Activation::Gelu),
        Just(Activation::Silu),
    ];
    let pool = (any::<bool>(), count(2)).prop_map(|(mean, window)| match mean {
        true => Layer::AveragePool(Pool { window }),
        false => Layer::MaxPool(Pool { window }),
    });
    let leaf = prop_oneof![4 => conv, 2 => dense(), 4 => activation.prop_map(Layer::Activation), 1 => pool];
    let layer = leaf.prop_recursive(1, 6, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..3);
        (list(), list()).prop_map(|(branch, shortcut)| Layer::Residual(Residual { branch, shortcut }))
    });
    let input = prop_oneof![
        1 => (2_usize..6).prop_map(Shape::Flat),
        4 => (1_usize..3, 2_usize..7, 2_usize..7).prop_map(|(c, h, w)| Shape::Image([c, h, w])),
    ];
    let head = prop_oneof![Just(vec![]), Just(vec![Layer::Flatten]), Just(vec![Layer::GlobalAveragePool])];
    let parts = (input, prop::collection::vec(layer, 0..4), head, dense());
    parts.prop_filter_map("layers that do not fit", |(input, layers, head, output)| {
        Architecture::new(input, [layers, head, vec![output]].concat()).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_architecture_equals_brute_force(architecture in architectures(), seed in 0_u64..100) {
        let d = architecture.input().size();
        let network = Network::init(&architecture, seed, Precision::F64, &Device::flex());
        let (a, b) = (samples(3, d, seed), samples(2, d, seed + 1));
        let expected = jacobian(&network, a.view()).unwrap().dot(&jacobian(&network, b.view()).unwrap().t());
        let scale = expected.iter().fold(1e-300_f64, |most, value| most.max(value.abs()));
        for method in [Method::Auto, Method::Jacobian] {
            let kernel = EmpiricalKernel::new(&network).with_method(method);
            let found = kernel.gram_outputs(a.view(), b.view()).unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                prop_assert!((found - expected).abs() <= 1e-10 * scale, "{:?}: {} is not {}", method, found, expected);
            }
        }
    }
}
