//! Networks as a whole: what they compute, how they start, how they change.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use ndarray::{Array2, Axis, array};
use rand::RngExt;
use rand_distr::StandardNormal;
use widenet_model::{Architecture, ArchitectureConfig, Network, Precision, Purpose, Shape, stream, to_host};

fn architecture(config: &str, input: Shape) -> Architecture {
    toml_edit::de::from_str::<ArchitectureConfig>(config).unwrap().build(input).unwrap()
}

fn double(architecture: &Architecture, seed: u64) -> Network {
    Network::init(architecture, seed, Precision::F64, &Device::flex())
}

/// One small architecture of every kind, with every kind of layer among them.
fn cases() -> Vec<(&'static str, Architecture)> {
    let image = Shape::Image([2, 6, 4]);
    let mixed = "layers = [
        { conv = { channels = 4, kernel = 3, padding = 1, sigma_b = 0.1 } }, { activation = 'tanh' },
        { max_pool = { window = 2 } }, { conv = { channels = 3, kernel = 2 } }, { activation = 'gelu' },
        { average_pool = { window = 1 } }, 'flatten', { dense = { units = 5, sigma_w = 1.5 } },
        { residual = { branch = [{ activation = 'sine' }, { dense = { units = 5, sigma_b = 0.2 } }] } },
        { activation = { abrelu = { a = -0.5, b = 1.0 } } }, { dense = { units = 2, sigma_b = 0.3 } },
    ]";
    let resnet = "resnet = { stem = 3, blocks = [{ channels = 3 }, { channels = 5, stride = 2 }], sigma_b = 0.3 }";
    vec![
        ("linear", architecture("mlp = { hidden = [] }", Shape::Flat(7))),
        ("mlp", architecture("mlp = { hidden = [6, 5], outputs = 3, sigma_b = 0.5 }", Shape::Flat(7))),
        ("mlp on images", architecture("mlp = { hidden = [6], activation = 'erf' }", image)),
        ("cnn", architecture("cnn = { channels = [3, 4], head = 'flatten', activation = 'silu' }", image)),
        ("resnet", architecture(resnet, image)),
        ("mixed", architecture(mixed, image)),
    ]
}

fn samples(n: usize, d: usize, seed: u64) -> Array2<f64> {
    let mut rng = stream(seed, Purpose::Batches, 0);
    Array2::from_shape_fn((n, d), |_| rng.sample(StandardNormal))
}

fn outputs(network: &Network, x: &Array2<f64>) -> Array2<f64> {
    to_host(network.forward(network.samples(x.view()))).unwrap()
}

fn host(values: Tensor<1>) -> Vec<f64> {
    to_host(values.unsqueeze::<2>()).unwrap().into_raw_vec_and_offset().0
}

fn parameters(network: &Network) -> Vec<Vec<f64>> {
    network.parameters().into_iter().map(host).collect()
}

/// The network with these parameters.
fn with_parameters(network: Network, values: &[Vec<f64>]) -> Network {
    network.map_parameters(&mut |index, old| {
        let new = Array2::from_shape_vec((1, values[index].len()), values[index].clone()).unwrap();
        widenet_model::to_tensor(new.view(), Precision::F64, &old.device()).squeeze_dim(0)
    })
}

/// The network one step away: every parameter moves a little.
fn moved(network: &Network) -> Network {
    network.clone().map_parameters(&mut |index, value| value * 0.9 + 0.01 * (index + 1) as f64)
}

fn largest(difference: Array2<f64>) -> f64 {
    difference.iter().fold(0.0, |largest, v| v.abs().max(largest))
}

#[test]
fn a_dense_network_by_hand() {
    let mlp = architecture("mlp = { hidden = [4], sigma_w = 3.0 }", Shape::Flat(4));
    let weights: Vec<f64> = vec![1., 2., 3., 4., 0., 0., 0., 0., 9., 9., 9., 9., 4., 2., 0., -1.];
    let network = with_parameters(double(&mlp, 0), &[weights, vec![7., 7., 1., 2.]]);
    // z = 3/2 * 2 * ([1, 2, 3, 4] - [4, 2, 0, -1]) = [-9, 0, 9, 15]; f = 3/2 * (9 * 1 + 15 * 2).
    assert_eq!(outputs(&network, &array![[2.0, 0.0, 0.0, -2.0]]), array![[58.5]]);
}

#[test]
fn a_dense_network_with_biases_by_hand() {
    let mlp = architecture("mlp = { hidden = [1], sigma_b = 0.5 }", Shape::Flat(4));
    let network = with_parameters(double(&mlp, 0), &[vec![1., 2., 3., 4.], vec![2.0], vec![2.0], vec![-4.0]]);
    // z = (1 - 2 + 6) / 2 + 0.5 * 2 = 3.5, f = 2 * 3.5 - 0.5 * 4; the second sample is cut off by the ReLU.
    let x = array![[1.0, -1.0, 2.0, 0.0], [-9.0, 0.0, 0.0, 0.0]];
    assert_eq!(outputs(&network, &x), array![[5.0], [-2.0]]);
}

#[test]
fn a_convolutional_network_by_hand() {
    let layers = "layers = [{ conv = { channels = 1, kernel = 2 } }, 'flatten', { dense = { units = 1 } }]";
    let network = double(&architecture(layers, Shape::Image([1, 3, 3])), 0);
    let network = with_parameters(network, &[vec![1., 2., 3., 4.], vec![1., 10., 100., 1000.]]);
    let x = array![[1., 2., 3., 4., 5., 6., 7., 8., 9.]];
    // The convolution gives 37/2, 47/2, 67/2, 77/2; the output layer divides by sqrt(4).
    assert_eq!(outputs(&network, &x), array![[(37. + 470. + 6700. + 77000.) / 4.0]]);
}

#[test]
fn a_residual_sum_by_hand() {
    let layers = "layers = [{ residual = { branch = [{ dense = { units = 4 } }] } }, { dense = { units = 1 } }]";
    let network = double(&architecture(layers, Shape::Flat(4)), 0);
    let mut twice = vec![0.0; 16];
    twice.iter_mut().step_by(5).for_each(|diagonal| *diagonal = 4.0);
    let network = with_parameters(network, &[twice, vec![1., 0., 0., -1.]]);
    // The branch is 4 x / 2, the sum 3 x.
    assert_eq!(outputs(&network, &array![[5.0, 1.0, 1.0, 1.0]]), array![[3.0 * (5.0 - 1.0) / 2.0]]);
}

/// The mean of f^2 over networks and outputs.
fn mean_square(config: &str, input: Shape, x: &Array2<f64>) -> f64 {
    let architecture = architecture(config, input);
    let networks = 400;
    let mean = |seed| outputs(&double(&architecture, seed), x).mapv(|f| f * f).mean().unwrap();
    (0..networks).map(mean).sum::<f64>() / networks as f64
}

#[test]
fn outputs_have_the_size_of_the_limit_at_every_width() {
    // S = |x|^2 / d; dense: sigma_w^2 S + sigma_b^2; ReLU: S / 2. With 64 outputs and 400 networks the mean is known
    // to about 1 to 2 %.
    let x = array![[2.0, -1.0, 0.0, 1.0]];
    let size = 6.0 / 4.0;
    let check = |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.06, "{found}, not {expected}");
    for width in [16, 128] {
        let config = format!("mlp = {{ hidden = [{width}], outputs = 64 }}");
        check(mean_square(&config, Shape::Flat(4), &x), size / 2.0);
    }
    check(mean_square("mlp = { hidden = [64, 64], outputs = 64 }", Shape::Flat(4), &x), size / 4.0);
    let config = "mlp = { hidden = [64], outputs = 64, sigma_w = 1.3, sigma_b = 0.5 }";
    check(mean_square(config, Shape::Flat(4), &x), 1.69 * (1.69 * size + 0.25) / 2.0 + 0.25);
    let config = "cnn = { channels = [64], kernel = 2, stride = 2, head = 'flatten', outputs = 64 }";
    // Padded by one, each of the 2 x 2 windows of a 2 x 2 image holds one of its four numbers.
    check(mean_square(config, Shape::Image([1, 2, 2]), &x), 6.0 / 4.0 / 4.0 / 2.0);
}

#[test]
fn samples_do_not_see_each_other() {
    for (name, architecture) in cases() {
        let network = double(&architecture, 5);
        let x = samples(6, architecture.input().size(), 1);
        let together = outputs(&network, &x);
        for (i, alone) in x.axis_chunks_iter(Axis(0), 1).enumerate() {
            let alone = outputs(&network, &alone.to_owned());
            assert!(largest(alone - together.row(i)) < 1e-12, "{name}, sample {i}");
        }
    }
}

#[test]
fn the_centred_output_starts_at_zero_and_follows_the_weights() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        for (name, architecture) in cases() {
            let network = Network::init(&architecture, 5, Precision::F64, &device);
            let x = network.samples(samples(4, architecture.input().size(), 1).view());
            let zero = to_host(network.centred(x.clone())).unwrap();
            assert_eq!(zero, Array2::<f64>::zeros(zero.dim()), "{name}");

            let changed = moved(&network);
            let before = to_host(network.forward(x.clone())).unwrap();
            let after = to_host(changed.forward(x.clone())).unwrap();
            assert!(largest(&after - &before) > 1e-3, "{name}: the outputs did not move");
            assert_eq!(to_host(changed.forward_initial(x.clone())).unwrap(), before, "{name}");
            assert_eq!(to_host(changed.centred(x.clone())).unwrap(), &after - &before, "{name}");
            let initial = changed.initial();
            assert_eq!(to_host(initial.forward(x.clone().inner())).unwrap(), before, "{name}");
            assert!(!initial.forward(x.inner()).is_autodiff(), "{name}");
        }
    }
}

#[test]
fn parameters_come_in_the_order_in_which_they_are_replaced() {
    for (name, architecture) in cases() {
        let network = double(&architecture, 5);
        let listed = parameters(&network);
        assert_eq!(listed.iter().map(Vec::len).sum::<usize>(), architecture.parameter_count(), "{name}");
        let mut seen = Vec::new();
        let same = network.map_parameters(&mut |index, value| {
            assert_eq!(index, seen.len(), "{name}");
            seen.push(host(value.clone()));
            value
        });
        assert_eq!(seen, listed, "{name}");
        assert_eq!(parameters(&same), listed, "{name}");
        // What is written is what is read, shapes and all.
        let numbered: Vec<Vec<f64>> =
            listed.iter().enumerate().map(|(i, p)| (0..p.len()).map(|j| (1000 * i + j) as f64).collect()).collect();
        assert_eq!(parameters(&with_parameters(same, &numbered)), numbered, "{name}");
    }
}

#[test]
fn a_residual_networks_parameters_are_listed_branch_first() {
    let layers = "layers = [{ dense = { units = 2 } }, { residual = {
        branch = [{ dense = { units = 3, sigma_b = 0.1 } }, { dense = { units = 4 } }],
        shortcut = [{ dense = { units = 4, sigma_b = 0.1 } }] } }, { dense = { units = 1 } }]";
    let network = double(&architecture(layers, Shape::Flat(5)), 0);
    let sizes: Vec<usize> = parameters(&network).iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 6, 3, 12, 8, 4, 4]);
}

#[test]
fn one_seed_is_one_network_in_both_precisions() {
    for (name, architecture) in cases() {
        let double = double(&architecture, 17);
        let single = Network::init(&architecture, 17, Precision::F32, &Device::flex());
        assert_eq!((single.seed(), single.precision()), (17, Precision::F32));
        assert_eq!(single.architecture(), &architecture);
        for (d, s) in parameters(&double).iter().flatten().zip(parameters(&single).iter().flatten()) {
            assert_eq!(*d as f32 as f64, *s, "{name}");
        }
        let x = samples(3, architecture.input().size(), 2);
        assert!(largest(outputs(&double, &x) - outputs(&single, &x)) < 1e-4, "{name}");
        assert_eq!(outputs(&double, &x), outputs(&self::double(&architecture, 17), &x), "{name}");
        assert_ne!(outputs(&double, &x), outputs(&self::double(&architecture, 18), &x), "{name}");
    }
}

/// A loss that every output enters.
fn loss(network: &Network, x: &Array2<f64>) -> Tensor<1> {
    (network.centred(network.samples(x.view())) - 1.0).powi_scalar(2).sum()
}

#[test]
fn gradients_reach_every_parameter_and_are_right() {
    let device = Device::flex().autodiff();
    for (name, architecture) in cases() {
        let network = Network::init(&architecture, 5, Precision::F64, &device);
        let x = samples(4, architecture.input().size(), 3);
        // A second time after a change: the new weights must be leaves of the graph again.
        for network in [network.clone(), moved(&network)] {
            let gradients = network.gradients(&loss(&network, &x).backward());
            let gradients: Vec<Vec<f64>> = gradients.into_iter().map(host).collect();
            let values = parameters(&network);
            assert_eq!(gradients.len(), values.len(), "{name}");
            for (index, (gradient, value)) in gradients.iter().zip(&values).enumerate() {
                assert_eq!(gradient.len(), value.len(), "{name}, parameter {index}");
                assert!(gradient.iter().any(|g| *g != 0.0), "{name}, parameter {index}: no gradient");
                // Along a direction through the whole parameter, against a central difference.
                let direction: Vec<f64> = (0..value.len()).map(|j| (1.0 + j as f64).sin()).collect();
                let slope: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
                let at = |step: f64| {
                    let mut values = values.clone();
                    values[index].iter_mut().zip(&direction).for_each(|(v, d)| *v += step * d);
                    host(loss(&with_parameters(network.clone(), &values), &x))[0]
                };
                let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
                let error = (slope - difference).abs() / (1.0 + slope.abs());
                assert!(error < 1e-6, "{name}, parameter {index}: {slope}, not {difference}");
            }
        }
    }
}

#[test]
fn weights_without_gradients_stay_without_them() {
    let architecture = architecture("mlp = { hidden = [3] }", Shape::Flat(2));
    let network = Network::init(&architecture, 5, Precision::F64, &Device::flex().autodiff());
    let still = moved(&network.clone().no_grad());
    assert!(still.parameters().iter().all(|value| !value.is_require_grad()));
    let x = still.samples(array![[1.0, 2.0]].view()).require_grad();
    let gradients = still.gradients(&still.forward(x).sum().backward());
    assert!(gradients.into_iter().flat_map(host).all(|gradient| gradient == 0.0));
}

#[test]
fn an_empty_batch_has_no_outputs() {
    for (name, architecture) in cases() {
        let x = Array2::zeros((0, architecture.input().size()));
        assert_eq!(outputs(&double(&architecture, 5), &x).dim(), (0, architecture.output_size()), "{name}");
    }
}
