//! Optimal machines agree with scikit-learn's (and so LIBSVM's) to 1e-5: see tests/reference/machines.py.

mod common;

use common::gram;
use ndarray::Array1;
use serde::Deserialize;
use widenet_machine::{EpsilonInsensitive, LossConfig, Objective, Options, solve};

#[derive(Deserialize)]
struct Reference {
    epsilon: f64,
    sets: Vec<Set>,
}

#[derive(Deserialize)]
struct Set {
    name: String,
    inputs: Vec<Vec<f64>>,
    classes: Vec<f64>,
    values: Vec<f64>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    loss: String,
    lambda_mean: f64,
    intercept: bool,
    decision: Vec<f64>,
    /// Where scikit-learn tells them.
    alpha: Option<Vec<f64>>,
    b: f64,
}

#[test]
fn machines_agree_with_scikit_learn() {
    let reference: Reference = serde_json::from_str(include_str!("../../../tests/reference/machines.json")).unwrap();
    assert_eq!(reference.sets.len(), 3);
    for Set { name, inputs, classes, values, cases } in &reference.sets {
        let gram = gram(inputs);
        for case in cases {
            let loss = match case.loss.as_str() {
                "hinge" => LossConfig::Hinge,
                "squared hinge" => LossConfig::SquaredHinge,
                "squared" => LossConfig::Squared,
                "logistic" => LossConfig::Logistic,
                _ => LossConfig::EpsilonInsensitive(EpsilonInsensitive::new(reference.epsilon).unwrap()),
            };
            let regression = matches!(loss, LossConfig::Squared | LossConfig::EpsilonInsensitive(_));
            let labels = Array1::from_vec(if regression { values } else { classes }.clone());
            let objective = Objective::new(case.lambda_mean, labels.len()).unwrap();
            // Coefficients are as far off as the square root of the gap: as near as rounding allows.
            let options = Options { intercept: case.intercept, tolerance: 0.0, ..Options::default() };
            let solution = solve(gram.view(), labels.view(), loss, objective, &options).unwrap();
            let what = format!("{name}, {}, lambda_mean {}, intercept {}", case.loss, case.lambda_mean, case.intercept);
            let agree = |ours: f64, theirs: f64| (ours - theirs).abs() <= 1e-5 * theirs.abs().max(1.0);
            for (&ours, &theirs) in solution.outputs.iter().zip(&case.decision) {
                assert!(agree(ours, theirs), "{what}: decision {ours}, but {theirs}");
            }
            for (&ours, &theirs) in solution.coefficients.iter().zip(case.alpha.iter().flatten()) {
                assert!(agree(ours, theirs), "{what}: coefficient {ours}, but {theirs}");
            }
            assert!(agree(solution.intercept, case.b), "{what}: intercept {}, but {}", solution.intercept, case.b);
        }
    }
}
