//! Any list of layers is either refused, by name, or it runs and has the shapes it promises.

use std::num::NonZeroUsize;

use burn::tensor::Device;
use ndarray::Array2;
use proptest::prelude::*;
use widenet_model::{
    Activation, Architecture, ArchitectureError, Conv, Dense, Layer, Network, Pool, Precision, Residual, Shape, to_host,
};

fn count(most: usize) -> impl Strategy<Value = NonZeroUsize> {
    (1..=most).prop_map(|n| NonZeroUsize::new(n).expect("counted from 1"))
}

fn sigma() -> impl Strategy<Value = f64> {
    prop_oneof![30 => 0.1..2.0, 3 => Just(0.0), 1 => Just(-1.0), 1 => Just(f64::NAN)]
}

fn dense() -> impl Strategy<Value = Layer> {
    (count(4), sigma(), prop_oneof![Just(0.0), 0.1..1.0])
        .prop_map(|(units, sigma_w, sigma_b)| Layer::Dense(Dense { units, sigma_w, sigma_b }))
}

fn activation() -> impl Strategy<Value = Activation> {
    prop_oneof![
        Just(Activation::Identity),
        Just(Activation::Relu),
        (-1.0..1.0).prop_map(|slope| Activation::LeakyRelu { slope }),
        (-1.0..1.0, -1.0..1.0).prop_map(|(a, b)| Activation::Abrelu { a, b }),
        Just(Activation::Erf),
        Just(Activation::Gelu),
        Just(Activation::Sine),
        Just(Activation::Tanh),
        Just(Activation::Silu),
    ]
}

fn layer() -> impl Strategy<Value = Layer> {
    let conv = (count(3), count(3), count(2), 0_usize..3, sigma(), prop_oneof![Just(0.0), 0.1..1.0]).prop_map(
        |(channels, kernel, stride, padding, sigma_w, sigma_b)| {
            Layer::Conv(Conv { channels, kernel, stride, padding, sigma_w, sigma_b })
        },
    );
    let pool = (any::<bool>(), count(2)).prop_map(|(mean, window)| {
        let pool = Pool { window };
        if mean { Layer::AveragePool(pool) } else { Layer::MaxPool(pool) }
    });
    let flat = prop_oneof![8 => Just(Layer::GlobalAveragePool), 8 => Just(Layer::Flatten), 1 => Just(Layer::BatchNorm)];
    let leaf = prop_oneof![
        4 => conv,
        2 => dense(),
        4 => activation().prop_map(Layer::Activation),
        2 => pool,
        1 => flat,
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 0..3);
        (list(), list()).prop_map(|(branch, shortcut)| Layer::Residual(Residual { branch, shortcut }))
    })
}

/// Small inputs, a list of layers, and an end that fits more often than chance would have it.
fn lists() -> impl Strategy<Value = (Shape, Vec<Layer>)> {
    let input = prop_oneof![
        1 => (0_usize..6).prop_map(Shape::Flat),
        4 => (1_usize..3, 1_usize..8, 1_usize..8).prop_map(|(c, h, w)| Shape::Image([c, h, w])),
    ];
    let head = prop_oneof![Just(vec![]), Just(vec![Layer::Flatten]), Just(vec![Layer::GlobalAveragePool])];
    let output = prop_oneof![9 => dense().prop_map(|layer| vec![layer]), 1 => Just(vec![])];
    (input, prop::collection::vec(layer(), 0..4), head, output)
        .prop_map(|(input, layers, head, output)| (input, [layers, head, output].concat()))
}

// About one list in six is an architecture.
proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_architecture_is_refused_by_name_or_runs((input, layers) in lists()) {
        let architecture = match Architecture::new(input, layers.clone()) {
            Ok(architecture) => architecture,
            Err(ArchitectureError::Layer { place, problem }) => {
                let number: usize = place["layer ".len()..].split(' ').next().unwrap().parse().unwrap();
                let name = layers[number - 1].name();
                prop_assert!(place.starts_with(&format!("layer {number} ({name})")), "{}", place);
                prop_assert!(!problem.is_empty());
                return Ok(());
            }
            Err(ArchitectureError::EmptyInput(shape)) => {
                prop_assert_eq!(shape.size(), 0);
                return Ok(());
            }
            Err(ArchitectureError::Output(last)) => {
                let dense = matches!(layers.last(), Some(Layer::Dense(_)));
                prop_assert!(!dense, "refused a dense output as {}", last);
                return Ok(());
            }
        };

        let network = Network::init(&architecture, 1, Precision::F32, &Device::flex());
        let weights: usize = network.parameters().iter().map(|value| value.dims()[0]).sum();
        prop_assert_eq!(weights, architecture.parameter_count());
        let x = Array2::from_shape_fn((3, input.size()), |(i, j)| (i as f64 + 1.0) * (j as f64 + 0.5).sin());
        let output = to_host(network.forward(network.samples(x.view()))).unwrap();
        prop_assert_eq!(output.dim(), (3, architecture.output_size()));
        prop_assert!(output.iter().all(|f| f.is_finite()));

        // A network cut off after any layer, with an output layer of its own, fits the shape promised there.
        for (index, shape) in architecture.shapes().into_iter().enumerate() {
            let mut cut = layers[..=index].to_vec();
            cut.extend(matches!(shape, Shape::Image(_)).then_some(Layer::Flatten));
            cut.push(Layer::Dense(Dense { units: NonZeroUsize::MIN, sigma_w: 1.0, sigma_b: 0.0 }));
            let cut = Network::init(&Architecture::new(input, cut).unwrap(), 1, Precision::F32, &Device::flex());
            prop_assert_eq!(cut.parameters().last().unwrap().dims(), [shape.size()]);
            prop_assert_eq!(cut.forward(cut.samples(x.view())).dims(), [3, 1]);
        }

        let text = toml_edit::ser::to_string(&architecture).unwrap();
        prop_assert_eq!(toml_edit::de::from_str::<Architecture>(&text).unwrap(), architecture);
    }
}
