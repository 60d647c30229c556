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
    #[serde(default)]
    inputs: Vec<Vec<f64>>,
    #[serde(default)]
    triangle: Vec<f64>,
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

/// The tangent kernel of one hidden ReLU layer, with angles by Kahan's formula.
fn kernel(inputs: &[Vec<f64>]) -> Array2<f64> {
    let (n, d) = (inputs.len(), inputs[0].len());
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    let unit = |x: &Vec<f64>| x.iter().map(|v| if norm(x) > 0.0 { v / norm(x) } else { 0.0 }).collect::<Vec<f64>>();
    let units: Vec<Vec<f64>> = inputs.iter().map(unit).collect();
    Array2::from_shape_fn((n, n), |(i, j)| {
        let s = inputs[i].iter().zip(&inputs[j]).map(|(a, b)| a * b).sum::<f64>() / d as f64;
        let norms = norm(&inputs[i]) * norm(&inputs[j]) / d as f64;
        let both = |sign: f64| norm(&units[i].iter().zip(&units[j]).map(|(a, b)| a + sign * b).collect::<Vec<f64>>());
        let angle = 2.0 * both(-1.0).atan2(both(1.0));
        (norms * (angle.sin() + (PI - angle) * angle.cos()) + s * (PI - angle)) / PI
    })
}

/// A symmetric matrix from its upper triangle, row by row.
fn symmetric(triangle: &[f64], n: usize) -> Array2<f64> {
    let mut values = triangle.iter();
    let mut matrix = Array2::zeros((n, n));
    for i in 0..n {
        for j in i..n {
            let value = values.next().expect("n (n + 1) / 2 values");
            (matrix[[i, j]], matrix[[j, i]]) = (*value, *value);
        }
    }
    matrix
}

#[test]
fn solvers_end_at_the_optimum_of_others() {
    let reference: Reference =
        serde_json::from_str(include_str!("../../../tests/reference/ill_conditioned.json")).unwrap();
    assert_eq!(reference.sets.len(), 4);
    for Set { name, inputs, triangle, labels, cases } in &reference.sets {
        let n = labels.len();
        let gram = if inputs.is_empty() { symmetric(triangle, n) } else { kernel(inputs) };
        let labels = Array1::from_vec(labels.clone());
        assert!(!cases.is_empty());
        for Case { loss, c, intercept, optimum } in cases {
            let config = if loss == "hinge" { LossConfig::Hinge } else { LossConfig::Logistic };
            let objective = Objective::new(1.0 / (c * n as f64), n).unwrap();
            let options = Options { intercept: *intercept, ..Options::default() };
            let found = solve(gram.view(), labels.view(), config, objective, &options).unwrap();
            eprintln!(
                "{name} {loss} {c} {intercept} gap {:e} b {:e} primal {:e} {:e} most {:e}",
                found.relative_gap(),
                found.intercept,
                found.objectives.primal,
                found.objectives.primal / optimum - 1.0,
                gram.diag().fold(0.0, |m: f64, v| m.max(*v))
            );
            let what = format!("{name}, {loss}, C = {c}, intercept {intercept}");
            assert!(found.relative_gap().abs() <= 1e-6, "{what}: gap {:e}", found.relative_gap());
            assert_ne!(found.stop, Stop::IterationLimit, "{what}");
            let off = (found.objectives.primal / optimum - 1.0).abs();
            // Entries of 7e12 are rounded by 1e-3, which is a tenth of what regularisation adds: so much moves that optimum.
            let known = if name == "logistic-mixed" { 1e-3 } else { 2e-6 };
            assert!(off <= known, "{what}: {} instead of {optimum}", found.objectives.primal);
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

/// Equal samples of both classes keep the losses above a bound however little is regularised, which the machine comes
/// near: of a pair with both labels `2 log 2`.
#[test]
fn equal_samples_of_both_classes() {
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for i in 0..20_i32 {
        let wave = |step: f64| (f64::from(i) * step).sin();
        for copy in 0..2 {
            inputs.push(vec![40.0 + 5.0 * wave(1.7), 50_000.0 * (1.0 + 0.6 * wave(2.9)), 12.0 * wave(0.6)]);
            labels.push(if i % 4 == 0 || copy == 0 { 1.0 } else { -1.0 });
        }
    }
    let (gram, labels, n) = (kernel(&inputs), Array1::from_vec(labels), inputs.len());
    let least = 15.0 * 2.0 * 2.0_f64.ln();
    for c in [1e4, 1e6, 1e8, 1e12] {
        for intercept in [false, true] {
            let objective = Objective::new(1.0 / (c * n as f64), n).unwrap();
            let options = Options { intercept, ..Options::default() };
            let found = solve(gram.view(), labels.view(), LossConfig::Logistic, objective, &options).unwrap();
            let cost = found.objectives.primal / c;
            // Rounding tells copies apart a little where coefficients are large. Beyond 1e6 what is regularised is below the
            // rounding of the kernel, whose entries are up to 1e9: then it is not much worse than no coefficients at all.
            let most = 2.0 * if c <= 1e6 { least } else { n as f64 * 2.0_f64.ln() };
            assert!(cost > 0.99 * least && cost < most, "C = {c:e}, intercept {intercept}: {cost} for {least}");
            assert!(found.objectives.dual <= found.objectives.primal * (1.0 + 1e-12));
        }
    }
}
