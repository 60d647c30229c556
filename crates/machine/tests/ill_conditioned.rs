//! On badly scaled features and near duplicates every solver ends at the optimum that others find: see
//! tests/reference/ill_conditioned.py.

use std::f64::consts::PI;

use ndarray::{Array1, Array2, array};
use serde::Deserialize;
use widenet_machine::{LossConfig, Objective, Options, Stop, solve};

#[derive(Deserialize)]
struct Reference {
    sets: Vec<Set>,
}

#[derive(Deserialize)]
struct Set {
    name: String,
    inputs: Vec<Vec<f64>>,
    labels: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    loss: String,
    c: f64,
    intercept: bool,
    optimum: f64,
}

/// The tangent kernel of one hidden ReLU layer, by the arc cosine.
fn kernel(inputs: &[Vec<f64>]) -> Array2<f64> {
    let n = inputs.len();
    let product =
        |i: usize, j: usize| inputs[i].iter().zip(&inputs[j]).map(|(a, b)| a * b).sum::<f64>() / inputs[0].len() as f64;
    Array2::from_shape_fn((n, n), |(i, j)| {
        let (s, norms) = (product(i, j), (product(i, i) * product(j, j)).sqrt());
        let cosine = if norms > 0.0 { (s / norms).clamp(-1.0, 1.0) } else { 0.0 };
        let angle = cosine.acos();
        (norms * (angle.sin() + (PI - angle) * cosine) + s * (PI - angle)) / PI
    })
}

#[test]
fn solvers_end_at_the_optimum_of_others() {
    let reference: Reference =
        serde_json::from_str(include_str!("../../../tests/reference/ill_conditioned.json")).unwrap();
    assert_eq!(reference.sets.len(), 4);
    for Set { name, inputs, labels, cases } in &reference.sets {
        let (gram, n) = (kernel(inputs), labels.len());
        let labels = Array1::from_vec(labels.clone());
        assert!(!cases.is_empty());
        for Case { loss, c, intercept, optimum } in cases {
            let config = if loss == "hinge" { LossConfig::Hinge } else { LossConfig::Logistic };
            let objective = Objective::new(1.0 / (c * n as f64), n).unwrap();
            let options = Options { intercept: *intercept, ..Options::default() };
            let found = solve(gram.view(), labels.view(), config, objective, &options).unwrap();
            let what = format!("{name}, {loss}, C = {c}, intercept {intercept}");
            assert!(found.relative_gap().abs() <= 1e-6, "{what}: gap {:e}", found.relative_gap());
            assert_ne!(found.stop, Stop::IterationLimit, "{what}");
            let off = (found.objectives.primal / optimum - 1.0).abs();
            assert!(off <= 2e-6, "{what}: {} instead of {optimum}", found.objectives.primal);
            // Far fewer than the 10^8 steps that were taken once.
            assert!(found.iterations <= 110_000, "{what}: {} steps", found.iterations);
        }
    }
}

/// Regularisation may be as small as numbers are: separable classes have an optimum all the same.
#[test]
fn a_huge_c_ends() {
    let gram = array![[2.0, 0.5, -1.0], [0.5, 1.0, 0.25], [-1.0, 0.25, 3.0]];
    let labels = array![1.0, -1.0, 1.0];
    for loss in [LossConfig::Hinge, LossConfig::SquaredHinge, LossConfig::Logistic] {
        for intercept in [false, true] {
            for scale in [1e-8, 1.0, 1e8] {
                let objective = Objective::new(scale * 1e-16 / 3.0, 3).unwrap();
                let options = Options { intercept, ..Options::default() };
                let found = solve((&gram * scale).view(), labels.view(), loss, objective, &options).unwrap();
                assert!(found.relative_gap().abs() <= 1e-6, "{loss:?} {intercept} {scale:e}: {found:?}");
                assert!(labels.iter().zip(&found.outputs).all(|(y, g)| y * g > 0.99));
            }
        }
    }
}
