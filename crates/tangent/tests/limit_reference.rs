//! The infinite-width kernels against an independent library, in double precision.
//!
//! `tests/reference/limit_kernels.py` makes the file of reference values.

use std::path::Path;

use ndarray::Array2;
use serde_json::Value;
use widenet_model::Architecture;
use widenet_tangent::{Kernel, LimitKernel, LimitKind};

fn reference() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/limit_kernels.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn matrix(value: &Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(value.clone()).unwrap();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

/// The samples of a case: two different batches, or the same images twice.
fn samples(group: &Value) -> [Array2<f64>; 2] {
    match group.get("pixels") {
        Some(pixels) => [pixels, pixels].map(|pixels| matrix(pixels) / 255.0),
        None => [&group["a"], &group["b"]].map(matrix),
    }
}

/// The largest relative difference between two matrices.
fn distance(values: &Array2<f64>, expected: &Array2<f64>) -> f64 {
    assert_eq!(values.dim(), expected.dim());
    values.iter().zip(expected).map(|(value, expected)| ((value - expected) / expected).abs()).fold(0.0, f64::max)
}

#[test]
fn every_architecture_agrees_with_the_reference() {
    let reference = reference();
    let cases = reference["cases"].as_array().unwrap();
    assert!(cases.len() >= 14);
    for case in cases {
        let (name, key) = (case["name"].as_str().unwrap(), case["samples"].as_str().unwrap());
        let architecture: Architecture = serde_json::from_value(case["architecture"].clone()).unwrap();
        let [a, b] = samples(&reference["samples"][key]);
        for (kind, field) in [(LimitKind::Nngp, "nngp"), (LimitKind::Ntk, "ntk")] {
            let kernel = LimitKernel::new(&architecture, kind).unwrap();
            let distance = distance(&kernel.gram(a.view(), b.view()).unwrap(), &matrix(&case[field]));
            println!("{name}, {field}: {distance:.1e}");
            // The reference itself is only this good for an image with itself (the square root of the rounding error).
            let tolerance = if key == "mnist" { 1e-8 } else { 1e-12 };
            assert!(distance <= tolerance, "{name}, {field}: relative error {distance:e}");
        }
    }
}

#[test]
fn two_known_matrices_on_mnist() {
    let reference = reference();
    let [images, _] = samples(&reference["samples"]["mnist"]);
    let expected = [
        (
            "mnist depth 2",
            [
                [0.13241259, 0.0319611, 0.03064668],
                [0.0319611, 0.07449594, 0.02481349],
                [0.03064668, 0.02481349, 0.07857104],
            ],
        ),
        (
            "mnist depth 3",
            [
                [0.09930944, 0.0252032, 0.0247279],
                [0.0252032, 0.05587195, 0.01951785],
                [0.0247279, 0.01951785, 0.05892828],
            ],
        ),
    ];
    for (name, expected) in expected {
        let case = reference["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap();
        let architecture: Architecture = serde_json::from_value(case["architecture"].clone()).unwrap();
        let gram = LimitKernel::new(&architecture, LimitKind::Ntk).unwrap().gram_symmetric(images.view()).unwrap();
        for (value, expected) in gram.iter().zip(expected.as_flattened()) {
            assert!((value - expected).abs() < 1e-8, "{name}: {value} is not {expected}");
        }
    }
}
