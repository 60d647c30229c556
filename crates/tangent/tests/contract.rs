//! The contract that every kernel keeps: one test, run over all of them.

use burn::tensor::Device;
use faer::{Mat, Side};
use ndarray::{Array2, Axis, concatenate, s};
use widenet_model::{Architecture, ArchitectureConfig, Network, Precision, Shape};
use widenet_tangent::{EmpiricalKernel, EmpiricalKind, Kernel, KernelError, LimitKernel, LimitKind, Method};

/// Samples spread evenly over `[-0.5, 1]`, without visible pattern.
fn samples(n: usize, d: usize) -> Array2<f64> {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    Array2::from_shape_fn((n, d), |(i, j)| (golden * ((i * d + j) as f64).powi(2)).fract() * 1.5 - 0.5)
}

#[track_caller]
fn assert_near(name: &str, a: &Array2<f64>, b: &Array2<f64>, tolerance: f64) {
    assert_eq!(a.dim(), b.dim(), "{name}");
    let scale = b.iter().fold(0.0f64, |scale, value| scale.max(value.abs()));
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= tolerance * scale, "{name}: {a} is not {b}");
    }
}

/// What everything downstream of a kernel relies on. `rounding` is what the kernel's number format allows, relative to
/// the largest entry.
fn keeps_the_contract(name: &str, kernel: &dyn Kernel, d: usize, rounding: f64) {
    let x = samples(9, d);
    // Repeated, scaled and opposite samples make the matrix singular or nearly so; zeros are samples too.
    let part = x.slice(s![..2, ..]);
    let x = concatenate![Axis(0), x, part, &part * 2.0, -&part, Array2::zeros((1, d))];
    let n = x.nrows();

    // Symmetric: exactly, and as a cross matrix up to rounding.
    let symmetric = kernel.gram_symmetric(x.view()).unwrap();
    assert_eq!(symmetric, symmetric.t(), "{name}: exactly symmetric");
    let whole = kernel.gram(x.view(), x.view()).unwrap();
    assert_near(name, &whole, &symmetric, rounding);
    // The diagonal without the matrix.
    let diagonal = kernel.diagonal(x.view()).unwrap().insert_axis(Axis(1));
    assert_near(name, &diagonal, &symmetric.diag().to_owned().insert_axis(Axis(1)), rounding);
    // A tile is a part of the whole.
    let tile = kernel.gram(x.slice(s![2..5, ..]), x.slice(s![4.., ..])).unwrap();
    assert_near(name, &tile, &whole.slice(s![2..5, 4..]).to_owned(), rounding);
    // Positive semidefinite.
    let matrix = Mat::from_fn(n, n, |i, j| symmetric[[i, j]]);
    let eigenvalues = matrix.self_adjoint_eigenvalues(Side::Lower).unwrap();
    let (least, largest) = (eigenvalues[0], eigenvalues[n - 1]);
    assert!(least >= -(n as f64) * rounding * largest, "{name}: eigenvalue {least} beside {largest}");
    // A sample given twice is the same sample.
    let row = |i: usize| whole.row(i).to_owned().insert_axis(Axis(0));
    assert_near(name, &row(9), &row(0), rounding);

    // Nothing in, nothing out; and bad samples are refused by name.
    let none = Array2::zeros((0, d));
    assert_eq!(kernel.gram(x.view(), none.view()).unwrap().dim(), (n, 0), "{name}");
    assert_eq!(kernel.gram_symmetric(none.view()).unwrap().dim(), (0, 0), "{name}");
    assert_eq!(kernel.diagonal(none.view()).unwrap().len(), 0, "{name}");
    let short = Array2::zeros((2, d - 1));
    let expected = KernelError::InputSize { expected: d, found: d - 1 };
    assert_eq!(kernel.gram(x.view(), short.view()), Err(expected), "{name}");
    let mut bad = x.clone();
    bad[[1, 2]] = f64::NAN;
    for result in [kernel.gram(x.view(), bad.view()).map(drop), kernel.diagonal(bad.view()).map(drop)] {
        assert!(matches!(result, Err(KernelError::NotFinite { row: 1, column: 2, .. })), "{name}");
    }
}

/// One architecture of every kind, all on samples with 72 features.
fn architectures() -> Vec<(String, Architecture)> {
    let flat = ["relu", "erf", "gelu", "sine", "tanh", "silu", "identity"].map(|activation| {
        let config = format!("mlp = {{ hidden = [8, 8], sigma_b = 0.2, activation = '{activation}' }}");
        (format!("mlp, {activation}"), config, Shape::Flat(72))
    });
    let images = [
        ("cnn, flatten", "cnn = { channels = [4, 3], head = 'flatten', sigma_b = 0.1 }"),
        ("cnn, pooling, three outputs", "cnn = { channels = [4, 4], outputs = 3 }"),
        ("resnet", "resnet = { stem = 3, blocks = [{ channels = 3 }, { channels = 4, stride = 2 }], sigma_b = 0.3 }"),
        (
            "average pooling",
            "layers = [{ conv = { channels = 4, kernel = 3, padding = 1 } }, { activation = 'relu' }, \
             { average_pool = { window = 2 } }, 'flatten', { dense = { units = 1 } }]",
        ),
    ];
    let images = images.map(|(name, config)| (name.to_string(), config.to_string(), Shape::Image([2, 6, 6])));
    let all = flat.into_iter().chain(images);
    all.map(|(name, config, input)| {
        let config: ArchitectureConfig = toml_edit::de::from_str(&config).unwrap();
        (name, config.build(input).unwrap())
    })
    .collect()
}

#[test]
fn limit_kernels() {
    for (name, architecture) in architectures() {
        for kind in [LimitKind::Ntk, LimitKind::Nngp] {
            let kernel = LimitKernel::new(&architecture, kind).unwrap();
            keeps_the_contract(&format!("limit of {name}, {kind:?}"), &kernel, 72, 1e-13);
        }
    }
}

#[test]
fn empirical_kernels() {
    for (name, architecture) in architectures() {
        for (precision, rounding) in [(Precision::F64, 1e-13), (Precision::F32, 1e-5)] {
            let network = Network::init(&architecture, 3, precision, &Device::flex());
            for method in [Method::Auto, Method::Structured, Method::Jacobian] {
                // Tiles smaller than the samples.
                let kernel = EmpiricalKernel::new(&network).with_method(method).with_tile(4);
                keeps_the_contract(&format!("{name}, {method:?}, {precision:?}"), &kernel, 72, rounding);
            }
            let last = EmpiricalKernel::of_kind(&network, EmpiricalKind::LastLayer).with_tile(4);
            keeps_the_contract(&format!("{name}, last layer, {precision:?}"), &last, 72, rounding);
        }
    }
}

#[test]
fn single_precision_is_close_to_double() {
    let x = samples(9, 72);
    let single = x.mapv(|value| value as f32);
    for (name, architecture) in architectures() {
        for kind in [LimitKind::Ntk, LimitKind::Nngp] {
            let kernel = LimitKernel::new(&architecture, kind).unwrap();
            let expected = kernel.gram_symmetric(x.view()).unwrap();
            let cross = kernel.gram_f32(single.view(), single.view()).unwrap();
            assert_near(&name, &cross.mapv(f64::from), &expected, 1e-5);
            let symmetric = kernel.gram_symmetric_f32(single.view()).unwrap();
            assert_eq!(symmetric, symmetric.t());
            assert_near(&name, &symmetric.mapv(f64::from), &expected, 1e-5);
        }
        let [double, single] = [Precision::F64, Precision::F32].map(|precision| {
            let network = Network::init(&architecture, 3, precision, &Device::flex());
            EmpiricalKernel::new(&network).gram_symmetric(x.view()).unwrap()
        });
        assert_near(&name, &single, &double, 1e-4);
    }
}

/// The mean over seeds of empirical kernels tends to the limit. At width 64 one network is a few tenths away, and so is
/// the mean over 30 of them by a few hundredths (the bias of order `1/m` and what is left of the scatter).
#[test]
fn empirical_kernels_tend_to_the_limit() {
    let x = samples(5, 72);
    for (name, architecture) in architectures() {
        let wide = architecture.with_width(std::num::NonZeroUsize::new(64).unwrap()).unwrap();
        let limit = LimitKernel::new(&architecture, LimitKind::Ntk).unwrap().gram_symmetric(x.view()).unwrap();
        let seeds = 30;
        let mut mean = Array2::zeros((5, 5));
        for seed in 0..seeds {
            let network = Network::init(&wide, seed, Precision::F32, &Device::flex());
            mean += &(EmpiricalKernel::new(&network).gram_symmetric(x.view()).unwrap() / seeds as f64);
        }
        let norm = |matrix: &Array2<f64>| matrix.mapv(|value| value * value).sum().sqrt();
        let error = norm(&(&mean - &limit)) / norm(&limit);
        assert!(error < 0.15, "{name}: relative error {error}");
    }
}
