//! Machines for several classes and their probabilities agree with scikit-learn's: see tests/reference/multiclass.py.

mod common;

use common::gram;
use ndarray::{Array2, ArrayView2};
use serde::Deserialize;
use widenet_machine::{Classes, LossConfig, Machines, Objective, Options, Scheme, calibrate};

#[derive(Deserialize)]
struct Reference {
    lambda: f64,
    folds: usize,
    sets: Vec<Set>,
}

#[derive(Deserialize)]
struct Set {
    name: String,
    inputs: Vec<Vec<f64>>,
    classes: Vec<usize>,
    one_versus_one: Case,
    one_versus_rest: Case,
    ridge: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Case {
    decision: Vec<Vec<f64>>,
    predicted: Vec<usize>,
    sigmoids: Vec<Vec<f64>>,
    probabilities: Option<Vec<Vec<f64>>>,
}

fn agree(what: &str, ours: ArrayView2<f64>, theirs: &[Vec<f64>], tolerance: f64) {
    assert_eq!(ours.dim(), (theirs.len(), theirs[0].len()), "{what}");
    for (&ours, &theirs) in ours.iter().zip(theirs.iter().flatten()) {
        assert!((ours - theirs).abs() <= tolerance * theirs.abs().max(1.0), "{what}: {ours}, but {theirs}");
    }
}

#[test]
fn several_classes_agree_with_scikit_learn() {
    let reference: Reference = serde_json::from_str(include_str!("../../../tests/reference/multiclass.json")).unwrap();
    assert_eq!(reference.sets.len(), 3);
    for set in &reference.sets {
        let gram = gram(&set.inputs);
        let n = set.classes.len();
        let objective = Objective::new(reference.lambda / n as f64, n).unwrap();
        let names: Vec<String> = set.classes.iter().map(ToString::to_string).collect();
        let classes = Classes::new(&names).unwrap();
        let folds: Vec<usize> = (0..n).map(|i| i % reference.folds).collect();
        let options = Options { intercept: true, tolerance: 0.0, ..Options::default() };
        let hinge = LossConfig::Hinge;
        let cases = [(Scheme::OneVersusOne, &set.one_versus_one), (Scheme::OneVersusRest, &set.one_versus_rest)];
        for (scheme, case) in cases {
            let what = format!("{}, {scheme:?}", set.name);
            let machines = Machines::of_classes(gram.view(), &classes, scheme, hinge, objective, &options).unwrap();
            let outputs = gram.dot(&machines.coefficients) + &machines.intercepts;
            agree(&what, outputs.view(), &case.decision, 1e-5);
            assert_eq!(machines.task.predictions(outputs.view(), classes.count()), case.predicted, "{what}");

            let sigmoids = calibrate(gram.view(), &classes, scheme, hinge, objective, &options, &folds).unwrap();
            let both = Array2::from_shape_fn((sigmoids.len(), 2), |(i, j)| [sigmoids[i].a, sigmoids[i].b][j]);
            // Theirs stops at a gradient of 1e-6 or so.
            agree(&what, both.view(), &case.sigmoids, 1e-4);
            let ours = machines.task.probabilities(outputs.view(), &sigmoids, classes.count());
            assert!(ours.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-12));
            if let Some(theirs) = &case.probabilities {
                agree(&what, ours.view(), theirs, 1e-4);
            }
        }
        let options = Options { intercept: false, ..options };
        let rest = Scheme::OneVersusRest;
        let ridge =
            Machines::of_classes(gram.view(), &classes, rest, LossConfig::Squared, objective, &options).unwrap();
        agree(&set.name, ridge.coefficients.view(), &set.ridge, 1e-8);
    }
}
