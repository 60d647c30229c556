//! The network on the host against Burn's autodiff.

use burn::tensor::{Device, Tensor};
use ndarray::Array2;
use proptest::prelude::*;
use widenet_model::host::{HostNetwork, Pass, Real};
use widenet_model::{Architecture, ArchitectureConfig, Network, Shape, to_host, to_tensor};

/// Numbers without a pattern in [-1, 1].
fn numbers(rows: usize, columns: usize) -> Array2<f64> {
    Array2::from_shape_fn((rows, columns), |(i, j)| ((1 + 7 * i + 13 * j) as f64 * 1.7).sin())
}

/// The gradient of `sum_{i,o} c_io f_o(x_i)` by autodiff, all parameters one after the other.
fn by_autodiff(network: &Network, x: &Array2<f64>, c: &Array2<f64>) -> Vec<f64> {
    let c = to_tensor(c.view(), network.precision(), &network.device());
    let sum = (network.forward(network.samples(x.view())) * c).sum();
    let gradients = network.gradients(&sum.backward());
    gradients.into_iter().flat_map(|gradient| to_host(gradient.unsqueeze_dim(0)).unwrap()).collect()
}

/// The same from what the host's layers give: a step along it, read back as a network.
fn by_layers<T: Real>(network: &Network, x: &Array2<f64>, c: &Array2<f64>, at_once: bool) -> (Vec<f64>, Vec<f64>) {
    let mut host = HostNetwork::<T>::new(network);
    let (x, c) = (x.mapv(T::of), c.mapv(T::of));
    let mut pass = Pass::default();
    // Once for nothing: memory that is used again must not be seen.
    host.forward(x.mapv(|v| v + T::one()).as_slice().unwrap(), &mut pass);
    host.pull_back(c.as_slice().unwrap(), &mut pass, &mut |_| ());
    let outputs = host.forward(x.as_slice().unwrap(), &mut pass).iter().map(|&f| f.wide()).collect();

    let mut sums: Vec<[Vec<T>; 2]> = host
        .layers()
        .iter()
        .map(|layer| [&layer.weight, &layer.bias].map(|like| vec![T::zero(); like.len()]))
        .collect();
    host.pull_back(c.as_slice().unwrap(), &mut pass, &mut |mut layer| {
        let [weight, bias] = &mut sums[layer.index];
        if at_once {
            layer.add_weight_derivative(weight);
        }
        for sample in 0..layer.samples() {
            if !at_once {
                let mut one = vec![T::of(f64::NAN); weight.len()];
                layer.weight_derivative(sample, &mut one);
                weight.iter_mut().zip(one).for_each(|(sum, one)| *sum += one);
            }
            if !bias.is_empty() {
                layer.add_bias_derivative(sample, bias);
            }
        }
    });
    host.update(|layers| {
        for (layer, [weight, bias]) in layers.iter_mut().zip(sums) {
            let scaled = |values: Vec<T>, scale: f64| values.into_iter().map(|v| v * T::of(scale)).collect();
            layer.weight = scaled(weight, layer.w_scale);
            layer.bias = scaled(bias, layer.b_scale);
        }
    });
    let parameters = host.network(network.initial()).parameters();
    let flat = |tensor: Tensor<1>| to_host(tensor.unsqueeze_dim(0)).unwrap();
    (outputs, parameters.into_iter().flat_map(flat).collect())
}

/// Relative to the largest number, or to `least` where all are smaller.
fn close(found: &[f64], expected: &[f64], tolerance: f64, least: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let size = expected.iter().fold(least, |size, v| size.max(v.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * size, "{what}: {found} is not {expected}");
    }
}

fn check<T: Real>(architecture: &Architecture, seed: u64, n: usize, tolerance: f64) {
    let network = Network::init(architecture, seed, T::PRECISION, &Device::flex().autodiff());
    let (x, c) = (numbers(n, architecture.input().size()), numbers(n, architecture.output_size()));
    let expected = by_autodiff(&network, &x, &c);
    let outputs = to_host(network.forward(network.samples(x.view())).inner()).unwrap();
    for at_once in [false, true] {
        let (found_outputs, found) = by_layers::<T>(&network, &x, &c, at_once);
        let what = format!("{architecture:?}");
        // Outputs are sums of terms of the size of 1, which may cancel.
        close(&found_outputs, outputs.as_slice().unwrap(), tolerance, 1.0, &what);
        close(&found, &expected, tolerance, 1e-3, &what);
    }
}

fn build(config: &str, shape: [usize; 3]) -> Architecture {
    let config: ArchitectureConfig = toml_edit::de::from_str(config).unwrap();
    config.build(Shape::Image(shape)).unwrap()
}

#[test]
fn outputs_and_derivatives_are_those_of_tensors() {
    let cases = [
        ("mlp = { hidden = [7, 5], sigma_b = 0.4, outputs = 3 }", [1, 3, 4]),
        ("cnn = { channels = [16, 32], sigma_b = 0.3 }", [1, 6, 5]),
        ("cnn = { channels = [16, 16, 16], head = 'flatten', outputs = 2 }", [2, 5, 7]),
        ("cnn = { channels = [16, 8], kernel = 5, stride = 2 }", [3, 9, 8]),
        (
            "resnet = { stem = 16, blocks = [{ channels = 16 }, { channels = 32, stride = 2 }], sigma_b = 0.2 }",
            [1, 7, 6],
        ),
    ];
    for (config, shape) in cases {
        check::<f64>(&build(config, shape), 3, 3, 1e-12);
        check::<f32>(&build(config, shape), 3, 3, 1e-5);
    }
}

#[test]
fn every_activation_and_pool_is_known() {
    for activation in [
        "'identity'",
        "'relu'",
        "{ leaky_relu = { slope = 0.2 } }",
        "{ abrelu = { a = -1.0, b = 0.5 } }",
        "'erf'",
        "'gelu'",
        "'sine'",
        "'tanh'",
        "'silu'",
    ] {
        for pool in
            ["{ max_pool = { window = 2 } }, 'flatten'", "{ average_pool = { window = 2 } }, 'global_average_pool'"]
        {
            let config = format!(
                "layers = [{{ conv = {{ channels = 16, kernel = 3, padding = 1 }} }}, {{ activation = {activation} }}, \
                 {{ conv = {{ channels = 16, kernel = 3, padding = 2, sigma_b = 0.5 }} }}, {pool}, \
                 {{ dense = {{ units = 2 }} }}]"
            );
            check::<f64>(&build(&config, [1, 4, 6]), 5, 2, 1e-12);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn filtered_convolutions_of_all_sizes(
        padding in 0..4_usize,
        [channels, units] in [(0..2_usize), 0..2].prop_map(|choice| choice.map(|i| [16, 48][i])),
        [height, width] in [3..11_usize, 3..11],
        n in 1..3_usize,
        seed in 0..100_u64,
    ) {
        let config = format!(
            "layers = [{{ conv = {{ channels = {channels}, kernel = 1 }} }}, {{ activation = 'relu' }}, \
             {{ conv = {{ channels = {units}, kernel = 3, padding = {padding}, sigma_b = 0.1 }} }}, \
             {{ activation = 'relu' }}, 'flatten', {{ dense = {{ units = 1 }} }}]"
        );
        check::<f64>(&build(&config, [2, height, width]), seed, n, 1e-11);
        check::<f32>(&build(&config, [2, height, width]), seed, n, 1e-4);
    }

    #[test]
    fn convolutions_of_all_shapes(
        [kernel, stride, padding] in [1..5_usize, 1..4, 0..4],
        [channels, units] in [(0..3_usize), 0..3].prop_map(|choice| choice.map(|i| [3, 16, 48][i])),
        [height, width] in [4..9_usize, 4..9],
        n in 1..4_usize,
        seed in 0..100_u64,
    ) {
        let config = format!(
            "layers = [{{ conv = {{ channels = {channels}, kernel = 1 }} }}, {{ activation = 'relu' }}, \
             {{ conv = {{ channels = {units}, kernel = {kernel}, stride = {stride}, padding = {padding}, \
             sigma_b = 0.1 }} }}, {{ activation = 'relu' }}, 'flatten', {{ dense = {{ units = 1 }} }}]"
        );
        check::<f64>(&build(&config, [2, height, width]), seed, n, 1e-11);
    }
}
