//! Certificates and attacks for the machines of the paper's Tables 2 and 3, on MNIST 0/1.
//!
//!     cargo run --release -p widenet-certify --example certificates -- OUT.json IMAGES MODEL [MODEL ...]
//!
//! Trains each machine with the two-layer limit kernel on all 12 665 images, takes IMAGES test images (evenly spaced)
//! and puts a row of means per model into OUT.json, in the place of the model's former row. Radii are in the l_inf norm,
//! without a domain, as in the paper. `seconds_per_image` is the processor time of a thread, for `relaxation` and
//! `taylor` together. Models: `svm-batch-decay`, `svm-exact`, `krr-LAMBDA`.

mod clock;
mod machines;

use std::time::Instant;

use clock::thread_seconds;
use machines::{kernel, symmetric, train};
use ndarray::ArrayView2;
use rayon::prelude::*;
use serde_json::{Value, json};
use widenet_certify::{AttackEffort, CertifyError, DenseMachine, Effort, Method, Norm, Profile, Sample, Threat};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, images, models @ ..] = arguments.as_slice() else {
        return Err("usage: certificates OUT.json IMAGES MODEL [MODEL ...]".into());
    };
    let images: usize = images.parse()?;

    let data = widenet_data::mnist01();
    let profile = Profile::new(1)?;
    let (inputs, labels) = (&data.train.inputs, &data.train.labels);
    let gram = symmetric(kernel(inputs.view(), inputs.view(), profile));
    let tests = kernel(data.test.inputs.view(), inputs.view(), profile);
    for model in models {
        let started = Instant::now();
        let (coefficients, lambda) = train(model, &gram, labels)?;
        let outputs = tests.dot(&coefficients);
        let right = outputs.iter().zip(&data.test.labels).filter(|(g, y)| *g * *y > 0.0).count();
        let accuracy = right as f64 / outputs.len() as f64;
        eprintln!("{model} trained in {:.0} s, test accuracy {accuracy:.5}", started.elapsed().as_secs_f64());
        let machine = DenseMachine::new(inputs.view(), coefficients.view(), 0.0, profile, 1.0)?;
        let mut row =
            json!({ "model": model, "lambda": lambda, "support": machine.support(), "test_accuracy": accuracy });
        let measured = measure(&machine, data.test.inputs.view(), images)?;
        row.as_object_mut().expect("an object").extend(measured.as_object().expect("an object").clone());
        eprintln!("{row}");
        put(out, row)?;
    }
    Ok(())
}

/// Puts a row into a file of rows, one on a line.
fn put(path: &str, row: Value) -> Result<(), Failure> {
    let mut rows: Vec<Value> = match std::fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    match rows.iter_mut().find(|old| old["model"] == row["model"]) {
        Some(old) => *old = row,
        None => rows.push(row),
    }
    let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
    Ok(std::fs::write(path, format!("[\n  {}\n]\n", lines.join(",\n  ")))?)
}

/// Means over the test images.
fn measure(machine: &DenseMachine, tests: ArrayView2<f64>, images: usize) -> Result<Value, Failure> {
    // An image on a thread.
    faer::set_global_parallelism(faer::Par::Seq);
    let threat = Threat::new(Norm::Inf);
    let count = tests.nrows();
    let published: Vec<f64> = (0..count)
        .into_par_iter()
        .map(|i| Sample::new(machine, tests.row(i), threat).map(|sample| sample.published(0.05)))
        .collect::<Result<_, CertifyError>>()?;
    let radii: Vec<[f64; 6]> = (0..images)
        .into_par_iter()
        .map(|k| -> Result<_, Box<dyn std::error::Error + Send + Sync>> {
            let sample = Sample::new(machine, tests.row(k * count / images), threat)?;
            let attack = sample.attack(AttackEffort::default(), 0).map_or(f64::INFINITY, |found| found.radius);
            let started = thread_seconds()?;
            let lines = Effort { halvings: 0, ..Effort::default() };
            let relaxation = sample.certify(Method::Relaxation, lines, None).radius;
            let taylor = sample.certify(Method::Taylor, Effort::default(), Some(attack)).radius;
            let seconds = thread_seconds()? - started;
            let interval = sample.certify(Method::Interval, Effort::default(), None).radius;
            let best = interval.max(relaxation).max(taylor);
            assert!(best <= attack, "image {k}: {best} is certified, but an attack succeeded at {attack}");
            Ok([interval, relaxation, taylor, best, attack, seconds])
        })
        .collect::<Result<_, _>>()
        .map_err(|error: Box<dyn std::error::Error + Send + Sync>| error.to_string())?;
    let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count as f64;
    let column = |k: usize| mean(&mut radii.iter().map(|r| r[k]), radii.len());
    Ok(json!({
        "samples": radii.len(),
        "published_samples": published.len(),
        "interval_published": mean(&mut published.iter().copied(), published.len()),
        "interval": column(0),
        "relaxation": column(1),
        "taylor": column(2),
        "best": column(3),
        "attack": column(4),
        "best_over_attack": column(3) / column(4),
        "least_best_over_attack": radii.iter().map(|r| r[3] / r[4]).fold(f64::INFINITY, f64::min),
        "seconds_per_image": column(5),
    }))
}
