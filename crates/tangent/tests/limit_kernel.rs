//! What every infinite-width kernel keeps to, and values worked by hand.

use std::f64::consts::PI;

use ndarray::{Array2, Axis, array, concatenate, s};
use widenet_model::Architecture;
use widenet_tangent::{Kernel, KernelError, LimitKernel, LimitKind};

const KINDS: [LimitKind; 2] = [LimitKind::Ntk, LimitKind::Nngp];

fn architecture(input: &str, layers: &str) -> Architecture {
    toml_edit::de::from_str(&format!("input = {{ {input} }}\nlayers = [ {layers} ]")).unwrap()
}

/// One architecture of every kind, all on samples with 72 features.
fn architectures() -> Vec<Architecture> {
    let conv = "{ conv = { channels = 4, kernel = 3, padding = 1, sigma_b = 0.1 } }";
    let block = format!("{{ residual = {{ branch = [ {{ activation = 'relu' }}, {conv} ] }} }}");
    let mut all: Vec<_> = ["relu", "erf", "gelu", "sine", "tanh", "silu", "identity"]
        .map(|activation| {
            let hidden = format!("{{ dense = {{ units = 8, sigma_b = 0.2 }} }}, {{ activation = '{activation}' }}");
            architecture("flat = 72", &format!("{hidden}, {hidden}, {{ dense = {{ units = 1 }} }}"))
        })
        .into();
    let heads = ["'flatten'", "'global_average_pool'", "{ average_pool = { window = 2 } }, 'flatten'"];
    all.extend(heads.map(|head| {
        let layers = format!("{conv}, {block}, {{ activation = 'relu' }}, {head}, {{ dense = {{ units = 3 }} }}");
        architecture("image = [2, 6, 6]", &layers)
    }));
    all
}

fn kernels() -> impl Iterator<Item = LimitKernel> {
    architectures().into_iter().flat_map(|all| KINDS.map(|kind| LimitKernel::new(&all, kind).unwrap()))
}

/// Samples spread evenly over `[-0.5, 1]`, without visible pattern.
fn samples(n: usize, d: usize) -> Array2<f64> {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    Array2::from_shape_fn((n, d), |(i, j)| (golden * ((i * d + j) as f64).powi(2)).fract() * 1.5 - 0.5)
}

#[track_caller]
fn assert_near(a: &Array2<f64>, b: &Array2<f64>, tolerance: f64) {
    assert_eq!(a.dim(), b.dim());
    let scale = b.iter().fold(0.0f64, |scale, value| scale.max(value.abs()));
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance * scale, "{a} is not {b}");
    }
}

fn two_layer(d: usize) -> LimitKernel {
    let layers = "{ dense = { units = 8 } }, { activation = 'relu' }, { dense = { units = 1 } }";
    LimitKernel::new(&architecture(&format!("flat = {d}"), layers), LimitKind::Ntk).unwrap()
}

#[test]
fn two_layer_relu_is_theorem_4_2() {
    // |x||x'| / (2 pi d) h(u), h(u) = 2 u (pi - arccos u) + sqrt(1 - u^2)
    let x = samples(9, 5);
    let gram = two_layer(5).gram(x.view(), x.view()).unwrap();
    for ((i, j), value) in gram.indexed_iter() {
        let (a, b) = (x.row(i), x.row(j));
        let norms = (a.dot(&a) * b.dot(&b)).sqrt();
        let u = if i == j { 1.0 } else { a.dot(&b) / norms };
        let h = 2.0 * u * (PI - u.acos()) + (1.0 - u * u).sqrt();
        assert!((value - norms * h / (10.0 * PI)).abs() < 1e-15 * norms, "{i}, {j}");
    }
}

#[test]
fn values_by_hand() {
    // Equal: h(1) = 2 pi. Orthogonal: h(0) = 1. Opposite: h(-1) = 0. Sixty degrees: h(1/2) = 2 pi / 3 + sqrt(3) / 2.
    let x = array![[1.0, 0.0], [0.0, 2.0], [1.0, 0.0], [-3.0, 0.0], [0.5, 0.75f64.sqrt()]];
    let gram = two_layer(2).gram(x.slice(s![..1, ..]), x.view()).unwrap();
    let sixty = (2.0 * PI / 3.0 + 0.75f64.sqrt()) / (4.0 * PI);
    assert_near(&gram, &array![[0.5, 0.5 / PI, 0.5, 0.0, sixty]], 1e-15);
}

#[test]
fn a_linear_model_is_the_scalar_product() {
    let x = samples(4, 6);
    for kind in KINDS {
        let model = architecture("flat = 6", "{ dense = { units = 1, sigma_w = 2.0, sigma_b = 1.5 } }");
        let gram = LimitKernel::new(&model, kind).unwrap().gram_symmetric(x.view()).unwrap();
        assert_near(&gram, &(x.dot(&x.t()) * (4.0 / 6.0) + 2.25), 1e-15);
    }
}

#[test]
fn memory_order_does_not_matter() {
    let x = samples(5, 72);
    let columns = x.t().as_standard_layout().reversed_axes().to_owned();
    let kernel = kernels().next().unwrap();
    assert_eq!(kernel.gram_symmetric(x.view()).unwrap(), kernel.gram_symmetric(columns.view()).unwrap());
    let half = x.slice(s![..;2, ..]);
    assert_near(
        &kernel.gram(half, half).unwrap(),
        &kernel.gram(x.view(), x.view()).unwrap().slice(s![..;2, ..;2]).to_owned(),
        1e-14,
    );
}

#[test]
fn many_samples_agree_with_few() {
    // More than one run, one task and one block of every loop.
    let x = samples(1100, 3);
    let kernel = two_layer(3);
    let gram = kernel.gram_symmetric(x.view()).unwrap();
    assert_near(&gram, &kernel.gram(x.view(), x.view()).unwrap(), 1e-14);
    for row in [0, 255, 256, 257, 1023, 1024, 1099] {
        let one = kernel.gram(x.slice(s![row..=row, ..]), x.view()).unwrap();
        assert_near(&one, &gram.slice(s![row..=row, ..]).to_owned(), 1e-14);
    }
}

#[test]
fn zero_equal_and_opposite_samples() {
    let x = samples(1, 72);
    let batch = concatenate![Axis(0), x, x, -&x, Array2::zeros((2, 72))];
    for kernel in kernels() {
        let gram = kernel.gram(batch.view(), batch.view()).unwrap();
        assert!(gram.iter().all(|value| value.is_finite()), "{kernel:?}");
        assert_near(&gram, &kernel.gram_symmetric(batch.view()).unwrap(), 1e-13);
        let rows = |i: usize| gram.row(i).to_owned().insert_axis(Axis(0));
        assert_near(&rows(0), &rows(1), 1e-15);
        assert_near(&rows(3), &rows(4), 1e-15);
    }
    // Without biases nothing comes out of nothing.
    let gram = two_layer(72).gram_symmetric(batch.view()).unwrap();
    assert!(gram.row(3).iter().all(|&value| value == 0.0));
}

/// Two ways to write one network.
#[track_caller]
fn assert_same(input: &str, one: &str, other: &str) {
    let output = "{ dense = { units = 1 } }";
    for kind in KINDS {
        let [one, other] = [one, other].map(|layers| {
            let architecture = architecture(input, &format!("{layers}, {output}"));
            let x = samples(4, architecture.input().size());
            LimitKernel::new(&architecture, kind).unwrap().gram_symmetric(x.view()).unwrap()
        });
        assert_near(&one, &other, 1e-13);
    }
}

#[test]
fn networks_that_are_the_same() {
    let (conv, relu) =
        ("{ conv = { channels = 4, kernel = 3, padding = 1, sigma_b = 0.3 } }", "{ activation = 'relu' }");
    let image = "image = [2, 4, 4]";
    assert_same(image, &format!("{conv}, {relu}, 'flatten'"), &format!("{conv}, 'flatten', {relu}"));
    let windows = |side| format!("{{ average_pool = {{ window = {side} }} }}");
    let pooled = |pool: &str| format!("{conv}, {relu}, {pool}, 'flatten', {{ dense = {{ units = 8 }} }}, {relu}");
    assert_same(image, &pooled("'global_average_pool'").replace("'flatten', ", ""), &pooled(&windows(4)));
    assert_same(image, &pooled(&windows(4)), &pooled(&format!("{}, {}", windows(2), windows(2))));
    assert_same(image, &pooled(&windows(2)), &pooled(&format!("{}, {}", windows(2), windows(1))));
    // A convolution over the whole image is a dense layer; a 1x1 convolution of a single position too.
    let whole = "{ conv = { channels = 4, kernel = 4, sigma_b = 0.3 } }";
    let dense = "{ dense = { units = 4, sigma_b = 0.3 } }";
    assert_same(image, &format!("{whole}, {relu}, 'flatten'"), &format!("'flatten', {dense}, {relu}"));
    let point = "{ conv = { channels = 4, kernel = 1, sigma_b = 0.3 } }";
    assert_same(
        image,
        &format!("{whole}, {relu}, {point}, {relu}, 'flatten'"),
        &format!("{whole}, {relu}, 'flatten', {dense}, {relu}"),
    );
    // The identity is no activation.
    assert_same(
        image,
        &format!("{conv}, {{ activation = 'identity' }}, {relu}, 'flatten'"),
        &format!("{conv}, {relu}, 'flatten'"),
    );
    // Two branches with weights of their own are one layer with twice the variance.
    let double = "{ residual = { branch = [ { dense = { units = 4 } } ], shortcut = [ { dense = { units = 4 } } ] } }";
    assert_same(
        "flat = 3",
        &format!("{double}, {relu}"),
        &format!("{{ dense = {{ units = 4, sigma_w = {} }} }}, {relu}", 2f64.sqrt()),
    );
}

#[test]
fn layers_without_a_limit_are_named() {
    let (dense, relu) = ("{ dense = { units = 4 } }", "{ activation = 'relu' }");
    let conv = "{ conv = { channels = 4, kernel = 3, padding = 1 } }";
    let pool = "{ max_pool = { window = 2 } }";
    let cases = [
        ("image = [1, 4, 4]", format!("{conv}, {relu}, {pool}, 'flatten'"), "layer 3 (max_pool): "),
        (
            "image = [1, 4, 4]",
            format!("{conv}, {{ residual = {{ branch = [ {pool} ], shortcut = [ {pool} ] }} }}, 'flatten'"),
            "layer 2 (residual), branch, layer 1 (max_pool): ",
        ),
        ("flat = 4", relu.to_string(), "layer 1 (activation): "),
        ("flat = 4", format!("{dense}, {relu}, {relu}"), "layer 3 (activation): "),
        ("flat = 4", format!("{{ residual = {{ branch = [ {dense} ] }} }}"), "layer 1 (residual): adds the input"),
        (
            "flat = 4",
            format!("{dense}, {{ residual = {{ branch = [ {relu} ] }} }}"),
            "layer 2 (residual): its branches",
        ),
        (
            "image = [1, 2, 2]",
            format!("{conv}, 'flatten', {{ residual = {{ branch = [ {relu}, {{ dense = {{ units = 16 }} }} ] }} }}"),
            "layer 3 (residual): adds a flattened image",
        ),
    ];
    for (input, layers, expected) in cases {
        let architecture = architecture(input, &format!("{layers}, {dense}"));
        let error = LimitKernel::new(&architecture, LimitKind::Ntk).unwrap_err();
        assert!(matches!(error, KernelError::Unsupported { .. }));
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

/// Scaling a sample scales the kernel of the ReLU family without biases, at any size of the features and the weights: of
/// `L` layers, with the images' convolutions and pooling among them, by `sigma_w^(2 L)`.
#[test]
fn rectifiers_are_homogeneous() {
    let layers = |activation: &str, head: &str, sigma_w: f64| {
        let conv = format!("{{ conv = {{ channels = 4, kernel = 3, padding = 1, sigma_w = {sigma_w:e} }} }}");
        let dense = format!("{{ dense = {{ units = 1, sigma_w = {sigma_w:e} }} }}");
        let activation = format!("{{ activation = {activation} }}");
        format!("{conv}, {activation}, {conv}, {activation}, {head}, {dense}")
    };
    let x = samples(4, 72);
    for activation in ["'relu'", "{ leaky_relu = { slope = 0.1 } }", "{ abrelu = { a = -0.3, b = 1.7 } }"] {
        for head in ["'flatten'", "'global_average_pool'", "{ average_pool = { window = 2 } }, 'flatten'"] {
            for kind in KINDS {
                let of = |sigma_w: f64, scale: f64| {
                    let architecture = architecture("image = [2, 6, 6]", &layers(activation, head, sigma_w));
                    let x = &x * scale;
                    LimitKernel::new(&architecture, kind).unwrap().gram_symmetric(x.view()).unwrap()
                };
                let gram = of(1.0, 1.0);
                // Powers of 2 change no digit: the exponent of 6 scalings by sigma_w and 2 by the features.
                for (sigma_w, scale) in [(1.0, 1024.0), (1.0, 1.0 / 1024.0), (64.0, 1.0), (1.0 / 64.0, 1048576.0)] {
                    let factor = f64::powi(sigma_w, 6) * scale * scale;
                    assert_eq!(of(sigma_w, scale), &gram * factor, "{activation}, {head}, {kind:?}");
                }
            }
        }
    }
}

/// What is lost below the normal numbers is refused by the sample's name; a sample of zeros is none.
#[test]
fn samples_lost_on_the_way_are_refused() {
    let lost = |row: usize, value: f64| Err(KernelError::Underflow { row, value });
    let x = array![[0.0, 0.0], [1e-150, 0.0], [1e-160, 1e-160]];
    let kernel = two_layer(2);
    let two = x.slice(s![..2, ..]);
    let gram = kernel.gram_symmetric(two).unwrap();
    assert_eq!((gram[[0, 0]], gram[[0, 1]]), (0.0, 0.0));
    assert!(gram[[1, 1]].is_normal());
    for result in [
        kernel.gram_symmetric(x.view()).map(drop),
        kernel.gram(x.view(), two).map(drop),
        kernel.gram(two, x.view()).map(drop),
        kernel.diagonal(x.view()).map(drop),
    ] {
        assert!(matches!(result, Err(KernelError::Underflow { row: 2, .. })), "{result:?}");
    }
    // Layers without end, and weights without size.
    let deep = "{ dense = { units = 8 } }, { activation = 'relu' }, ".repeat(2000) + "{ dense = { units = 1 } }";
    let small = "{ dense = { units = 8, sigma_w = 1e-200 } }, { activation = 'relu' }, { dense = { units = 1 } }";
    let image = "{ conv = { channels = 4, kernel = 3, sigma_w = 1e-200 } }, 'flatten', { dense = { units = 1 } }";
    for (input, layers) in [("flat = 9", deep.as_str()), ("flat = 9", small), ("image = [1, 3, 3]", image)] {
        for kind in KINDS {
            let kernel = LimitKernel::new(&architecture(input, layers), kind).unwrap();
            let mut x = Array2::zeros((2, 9));
            assert_eq!(kernel.gram_symmetric(x.view()).unwrap(), Array2::<f64>::zeros((2, 2)));
            x[[1, 4]] = 1.0;
            assert_eq!(kernel.gram_symmetric(x.view()).map(drop), lost(1, 0.0));
            let error = kernel.diagonal(x.view()).unwrap_err().to_string();
            assert!(error.contains("sample 1 (counted from 0)") && error.contains("scale the features"), "{error}");
        }
    }
    // With biases there is a kernel, but the features have no part in it.
    let biased = "{ dense = { units = 8, sigma_b = 1.0 } }, { activation = 'relu' }, { dense = { units = 1 } }";
    let biased = LimitKernel::new(&architecture("flat = 2", biased), LimitKind::Ntk).unwrap();
    assert!(matches!(biased.gram_symmetric(x.view()), Err(KernelError::Underflow { row: 2, .. })));
    // In single precision numbers end earlier.
    let small = array![[1e-25f32, 0.0]];
    assert!(matches!(kernel.gram_symmetric_f32(small.view()), Err(KernelError::Underflow { row: 0, .. })));
}

#[test]
fn bad_samples_are_refused() {
    let kernel = two_layer(3);
    let good = Array2::zeros((2, 3));
    let mut bad = good.clone();
    bad[[1, 2]] = f64::NAN;
    assert_eq!(
        kernel.gram(good.view(), Array2::zeros((2, 4)).view()),
        Err(KernelError::InputSize { expected: 3, found: 4 })
    );
    for result in [kernel.gram(good.view(), bad.view()).map(drop), kernel.diagonal(bad.view()).map(drop)] {
        assert!(matches!(result, Err(KernelError::NotFinite { row: 1, column: 2, .. })));
    }
    assert!(kernel.gram_f32(bad.mapv(|value| value as f32).view(), Array2::zeros((1, 3)).view()).is_err());
    assert_eq!(kernel.gram(good.view(), Array2::zeros((0, 3)).view()).unwrap().dim(), (2, 0));
    assert_eq!(kernel.gram_symmetric(Array2::zeros((0, 3)).view()).unwrap().dim(), (0, 0));
    assert_eq!(kernel.diagonal(Array2::zeros((0, 3)).view()).unwrap().len(), 0);
}
