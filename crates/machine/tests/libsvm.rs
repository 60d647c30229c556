//! Model files in LIBSVM's format mean what scikit-learn's LIBSVM means: see tests/reference/libsvm.py.

mod common;

use common::gram;
use ndarray::{Array2, Axis};
use serde::Deserialize;
use widenet_machine::{Classes, LossConfig, Machines, Objective, Options, SavedMachine, Scheme};

#[derive(Deserialize)]
struct Reference {
    lambda: f64,
    sets: Vec<Set>,
}

#[derive(Deserialize)]
struct Set {
    name: String,
    model: String,
    decision: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct Samples {
    sets: Vec<SampleSet>,
}

#[derive(Deserialize)]
struct SampleSet {
    inputs: Vec<Vec<f64>>,
    classes: Vec<usize>,
}

#[test]
fn model_files_agree_with_scikit_learn() {
    let reference: Reference = serde_json::from_str(include_str!("../../../tests/reference/libsvm.json")).unwrap();
    let samples: Samples = serde_json::from_str(include_str!("../../../tests/reference/multiclass.json")).unwrap();
    assert_eq!(reference.sets.len(), 3);
    for (number, (set, samples)) in reference.sets.iter().zip(samples.sets).enumerate() {
        let (name, n) = (&set.name, set.decision.len());
        // The second set has only the first two classes.
        let kept = |class: usize| number != 1 || class < 2;
        let inputs: Vec<_> =
            samples.inputs.iter().zip(&samples.classes).filter(|(_, c)| kept(**c)).map(|(x, _)| x.clone()).collect();
        let classes: Vec<String> = samples.classes.iter().filter(|c| kept(**c)).map(ToString::to_string).collect();
        let gram = gram(&inputs);
        let objective = Objective::new(reference.lambda / n as f64, n).unwrap();

        // Theirs, read.
        let theirs = SavedMachine::from_libsvm(&set.model, objective).unwrap();
        let outputs = theirs.outputs(gram.select(Axis(1), &theirs.support).view()).unwrap();
        let decision = Array2::from_shape_fn(outputs.dim(), |(i, k)| set.decision[i][k]);
        assert!((&outputs - &decision).iter().all(|off| off.abs() < 1e-9), "{name}");

        // Ours, written.
        let classes = Classes::new(&classes).unwrap();
        let options = Options { intercept: true, tolerance: 0.0, ..Options::default() };
        let (hinge, pairs) = (LossConfig::Hinge, Scheme::OneVersusOne);
        let machines = Machines::of_classes(gram.view(), &classes, pairs, hinge, objective, &options).unwrap();
        let inputs = Array2::zeros((n, 0));
        let ours =
            SavedMachine::new(&machines, classes.names().to_vec(), inputs.view().into(), hinge, objective).unwrap();
        let text = ours.to_libsvm().unwrap();
        let lines = |text: &str, from: usize, to: usize| {
            text.lines().skip(from).take(to - from).map(String::from).collect::<Vec<_>>()
        };
        for (from, to) in [(0, 4), (5, 8)] {
            assert_eq!(lines(&text, from, to), lines(&set.model, from, to), "{name}");
        }
        let indices = |text: &str| -> Vec<String> {
            text.lines().skip(8).map(|line| line.trim().rsplit(' ').next().unwrap().to_string()).collect()
        };
        assert_eq!(indices(&text), indices(&set.model), "{name}");
        let read = SavedMachine::from_libsvm(&text, objective).unwrap();
        assert_eq!(read, ours, "{name}");
        assert!((&read.coefficients - &theirs.coefficients).iter().all(|off| off.abs() < 1e-5), "{name}");
    }
}
