//! The infinite-width kernels where double precision needs care, against values with 60 digits.
//!
//! `tests/reference/extreme_kernels.py` makes the file of reference values: one hidden layer at variances from 1e-6 to
//! 1e6, images at such, and inputs that are nearly parallel or opposite.

use std::path::Path;

use ndarray::{Array2, array};
use serde_json::Value;
use widenet_model::Architecture;
use widenet_tangent::{Kernel, LimitKernel, LimitKind};

const KINDS: [(LimitKind, &str); 2] = [(LimitKind::Nngp, "nngp"), (LimitKind::Ntk, "ntk")];

/// A pair of samples, and the reference `[K(x, x), K(x, x'), K(x', x')]`.
struct Pair {
    x: Vec<f64>,
    y: Vec<f64>,
    expected: [f64; 3],
}

/// Every case of a group and both kernels: its name, depth, kernel and pairs.
fn cases(group: &str) -> Vec<(String, f64, LimitKernel, Vec<Pair>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/extreme_kernels.json");
    let reference: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = reference[group].as_array().unwrap();
    let numbers = |value: &Value| -> Vec<f64> { serde_json::from_value(value.clone()).unwrap() };
    let of_case = |case: &Value| {
        let architecture: Architecture = serde_json::from_value(case["architecture"].clone()).unwrap();
        KINDS.map(|(kind, field)| {
            let pair = |pair: &Value| Pair {
                x: numbers(&pair["x"]),
                y: numbers(&pair["y"]),
                expected: numbers(&pair[field]).try_into().unwrap(),
            };
            let pairs = case["pairs"].as_array().unwrap().iter().map(pair).collect();
            let name = format!("{}, depth {}, {field}", case["name"].as_str().unwrap(), case["depth"]);
            (name, case["depth"].as_f64().unwrap(), LimitKernel::new(&architecture, kind).unwrap(), pairs)
        })
    };
    cases.iter().flat_map(of_case).collect()
}

/// `[K(x, x), K(x, x'), K(x', x')]` as the kernel of one matrix, after all ways to it were seen to agree bit by bit.
fn computed(kernel: &LimitKernel, pair: &Pair) -> [f64; 3] {
    let row = |x: &[f64]| Array2::from_shape_vec((1, x.len()), x.to_vec()).unwrap();
    let (x, y) = (row(&pair.x), row(&pair.y));
    let both = ndarray::concatenate![ndarray::Axis(0), x, y];
    let gram = kernel.gram_symmetric(both.view()).unwrap();
    let (there, back) = (kernel.gram(x.view(), y.view()).unwrap(), kernel.gram(y.view(), x.view()).unwrap());
    assert_eq!(there, back);
    assert_eq!(there[[0, 0]], gram[[0, 1]]);
    assert_eq!(gram[[0, 1]], gram[[1, 0]]);
    assert_eq!(kernel.diagonal(both.view()).unwrap(), array![gram[[0, 0]], gram[[1, 1]]]);
    [gram[[0, 0]], gram[[0, 1]], gram[[1, 1]]]
}

/// The largest error over pairs of a case, as `error` measures it.
fn worst(kernel: &LimitKernel, pairs: &[Pair], error: impl Fn([f64; 3], [f64; 3]) -> f64) -> f64 {
    let errors = pairs.iter().map(|pair| {
        let found = computed(kernel, pair);
        let error = error(found, pair.expected);
        if std::env::var_os("EVERY_PAIR").is_some() {
            println!("  {:?} {:?}: {:?} for {:?}, {error:.1e}", pair.x, pair.y, found, pair.expected);
        }
        error
    });
    errors.fold(0.0, f64::max)
}

/// Asserts that the error of every case of a group is within its tolerance, and says them all.
#[track_caller]
fn assert_within(group: &str, error: impl Fn([f64; 3], [f64; 3]) -> f64, tolerance: impl Fn(&str, f64) -> f64) {
    let mut failed = Vec::new();
    for (name, depth, kernel, pairs) in cases(group) {
        let error = worst(&kernel, &pairs, &error);
        println!("{name}: {error:.1e}");
        if error.is_nan() || error > tolerance(&name, depth) {
            failed.push((name, error));
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

/// The largest error, relative to `sqrt(K(x, x) K(x', x'))`.
fn of_scale(found: [f64; 3], expected: [f64; 3]) -> f64 {
    let scale = (expected[0] * expected[2]).sqrt();
    let own = |i: usize| (found[i] / expected[i] - 1.0).abs();
    ((found[1] - expected[1]) / scale).abs().max(own(0)).max(own(2))
}

#[test]
fn every_activation_at_small_and_large_variances() {
    assert_within("large variances", of_scale, |_, _| 1e-12);
}

#[test]
fn large_variances_in_every_layer() {
    assert_within("large variances in every layer", of_scale, |_, _| 1e-10);
}

/// Behind pooling the angle is that of the covariance: the tangent kernel of the ReLU family is right to 1e-7, that of the
/// others to 1e-16 times the variance.
#[test]
fn images_at_small_and_large_variances() {
    let tolerance = |name: &str, _| if name.contains("relu, global average pool") { 1e-7 } else { 1e-10 };
    assert_within("images at large variances", of_scale, tolerance);
}

#[test]
fn nearly_parallel_inputs() {
    let relative = |found: [f64; 3], expected: [f64; 3]| {
        // The kernel of opposite inputs is nothing beside theirs with themselves.
        let least = 1e-3 * (expected[0] * expected[2]).sqrt();
        let error = |(found, expected): (&f64, f64)| (found - expected).abs() / expected.abs().max(least);
        found.iter().zip(expected).map(error).fold(0.0, f64::max)
    };
    // Behind pooling the angle is that of the covariance.
    let tolerance = |name: &str, depth| if name.contains("pool and relu") { 1e-7 } else { 1e-12 * depth };
    assert_within("nearly parallel", relative, tolerance);
}
