//! Empirical kernels against brute force: one backward pass per sample and output, all parameters flattened.

use burn::tensor::Device;
use ndarray::{Array2, Axis, s};
use rand::RngExt;
use rand_distr::StandardNormal;
use widenet_model::{Architecture, ArchitectureConfig, Network, Precision, Purpose, Shape, stream, to_host, to_tensor};
use widenet_tangent::{EmpiricalKernel, EmpiricalKind, Kernel, TangentFeatures, jacobian};

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
    vec![
        ("mlp", architecture(&mlp, Shape::Flat(6))),
        ("cnn with flatten", architecture(&flatten, image)),
        ("cnn with pooling", architecture(&pooling, image)),
        ("strided resnet", architecture(&resnet, image)),
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
            let kernel = EmpiricalKernel::new(&network);
            let found = kernel.gram_outputs(a.view(), b.view()).unwrap();
            let error = relative_error(&found, &expected);
            assert!(error <= tolerance, "{name}, {outputs} outputs, {precision:?}: relative error {error:e}");

            // The kernel of the contract is the mean of the diagonal blocks; tiles are parts of the whole.
            let mut mean = Array2::zeros((5, 4));
            for o in 0..outputs {
                mean += &(&expected.slice(s![o..;outputs, o..;outputs]) / outputs as f64);
            }
            let error = relative_error(&kernel.clone().with_tile(2).gram(a.view(), b.view()).unwrap(), &mean);
            assert!(error <= tolerance, "{name}, {outputs} outputs, tiled, {precision:?}: relative error {error:e}");
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

#[test]
fn is_symmetric_and_knows_its_diagonal() {
    for (name, architecture) in cases(1) {
        let network = Network::init(&architecture, 3, Precision::F64, &Device::flex());
        let x = samples(6, architecture.input().size(), 5);
        for kind in [EmpiricalKind::Tangent, EmpiricalKind::LastLayer] {
            let kernel = EmpiricalKernel::of_kind(&network, kind).with_tile(4);
            let gram = kernel.gram_symmetric(x.view()).unwrap();
            assert_eq!(gram, gram.t(), "{name}");
            let diagonal = kernel.diagonal(x.view()).unwrap().insert_axis(Axis(1));
            let expected = gram.diag().to_owned().insert_axis(Axis(1));
            assert!(relative_error(&diagonal, &expected) < 1e-12, "{name}");
            assert!(relative_error(&kernel.gram(x.view(), x.view()).unwrap(), &gram) < 1e-12, "{name}");
        }
    }
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
    assert_eq!(error.to_string(), "samples have 5 features, but the kernel's architecture reads 6");
    let error = kernel.clone().with_memory(100).unwrap_err().to_string();
    assert!(error.starts_with("100 bytes of memory are too few"), "{error}");
    assert!(kernel.clone().with_memory(1 << 20).unwrap().tile() > 1);
    let mut bad = samples(2, 6, 0);
    bad[[1, 4]] = f64::NAN;
    let error = kernel.diagonal(bad.view()).unwrap_err();
    assert_eq!(error.to_string(), "sample 1, feature 4 is NaN: every input must be finite");
}
