//! Gram matrices of limit kernels are positive semidefinite up to rounding, whatever the inputs are.

use faer::{Mat, Side};
use ndarray::{Array2, ArrayView2, Axis, concatenate, s};
use widenet_model::Architecture;
use widenet_tangent::{Kernel, LimitKernel, LimitKind};

const ACTIVATIONS: [&str; 9] = [
    "'identity'",
    "'relu'",
    "{ leaky_relu = { slope = 0.1 } }",
    "{ abrelu = { a = -0.3, b = 1.7 } }",
    "'erf'",
    "'gelu'",
    "'sine'",
    "'tanh'",
    "'silu'",
];

fn kernel(activation: &str, depth: usize, bias: f64, features: usize, kind: LimitKind) -> LimitKernel {
    let dense = |units: usize| format!("{{ dense = {{ units = {units}, sigma_w = 1.4, sigma_b = {bias:?} }} }}");
    let hidden = format!("{}, {{ activation = {activation} }}, ", dense(4)).repeat(depth);
    let text = format!("input = {{ flat = {features} }}\nlayers = [ {hidden}{} ]", dense(1));
    LimitKernel::new(&toml_edit::de::from_str::<Architecture>(&text).unwrap(), kind).unwrap()
}

/// Numbers spread evenly over `[-1, 1]`, without visible pattern.
fn spread(n: usize, d: usize) -> Array2<f64> {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    Array2::from_shape_fn((n, d), |(i, j)| 2.0 * (golden * ((i * d + j + 1) as f64).powi(2)).fract() - 1.0)
}

/// The smallest eigenvalue, beside the largest times `n`.
fn least(kernel: &LimitKernel, x: ArrayView2<f64>) -> f64 {
    let gram = kernel.gram_symmetric(x).unwrap();
    let n = gram.nrows();
    // Eigenvalues beside the largest: none leaves the range of numbers on the way.
    let scale = gram.diag().iter().fold(0.0, |most: f64, value| most.max(*value));
    let matrix = Mat::from_fn(n, n, |i, j| gram[[i, j]] / scale);
    let eigenvalues = matrix.self_adjoint_eigenvalues(Side::Lower).unwrap();
    eigenvalues[0] / (n as f64 * eigenvalues[n - 1])
}

/// How precise [`LimitKernel`] says that it is: the angle of nearly parallel inputs is carried through rectifiers alone.
fn rounding(activation: &str, depth: usize) -> f64 {
    let rectifier = activation.contains("relu") || activation.contains("identity");
    if rectifier || depth == 1 { 1e-12 } else { 1e-10 }
}

/// Of all kernels on samples of each kind.
#[track_caller]
fn assert_semidefinite(sets: &[(&str, Array2<f64>)]) {
    let mut failed = Vec::new();
    for activation in ACTIVATIONS {
        for kind in [LimitKind::Ntk, LimitKind::Nngp] {
            for (depth, bias) in [(1, 0.0), (1, 0.5), (4, 0.0)] {
                let kernel = kernel(activation, depth, bias, sets[0].1.ncols(), kind);
                for (what, x) in sets {
                    let least = least(&kernel, x.view());
                    if least.is_nan() || least < -rounding(activation, depth) {
                        failed.push(format!("{what}: {activation}, {kind:?}, depth {depth}, bias {bias}: {least:.1e}"));
                    }
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn nearly_parallel_inputs() {
    // A few directions, each with neighbours at angles from 0.1 to 1e-14, a copy, a multiple and the opposite.
    let (base, across) = (spread(2, 6), spread(5, 6).slice(s![3.., ..]).to_owned());
    let near = (1..=14).map(|k| &base + &(&across * 10f64.powi(-k)));
    let mut all: Vec<Array2<f64>> = near.collect();
    all.extend([base.clone(), &base * 3.0, -&base, base]);
    let views: Vec<ArrayView2<f64>> = all.iter().map(|part| part.view()).collect();
    let x = concatenate(Axis(0), &views).unwrap();
    let (large, small) = (&x * 1e3, &x * 1e-3);
    assert_semidefinite(&[
        ("nearly parallel", x),
        ("nearly parallel and large", large),
        ("nearly parallel and small", small),
    ]);
}

#[test]
fn badly_scaled_features() {
    let mut million = spread(24, 5);
    million.column_mut(0).mapv_inplace(|x| 1e6 + x);
    let mut times = spread(24, 5);
    times.column_mut(4).iter_mut().enumerate().for_each(|(i, x)| *x = 1.7e9 + 60.0 * i as f64);
    let mut scales = spread(24, 5);
    scales.indexed_iter_mut().for_each(|((_, j), x)| *x *= 10f64.powi(3 * j as i32 - 6));
    let mut rows = spread(24, 5);
    rows.indexed_iter_mut().for_each(|((i, _), x)| *x *= 10f64.powi(i as i32 % 9 - 4));
    assert_semidefinite(&[
        ("a column of a million", million),
        ("a column of Unix times", times),
        ("scales from 1e-6 to 1e6", scales),
        ("samples from 1e-4 to 1e4", rows),
    ]);
}
