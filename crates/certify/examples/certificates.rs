//! Certificates and attacks for the machines of the paper's Tables 2 and 3, on MNIST 0/1.
//!
//!     cargo run --release -p widenet-certify --example certificates -- OUT.json IMAGES [MODEL ...]
//!
//! Trains each machine with the two-layer limit kernel on all 12 665 images, takes IMAGES test images (evenly spaced)
//! and writes a row of means per model, after each model. Radii are in the l_inf norm, without a domain, as in the
//! paper. Models: `svm-batch-decay`, `svm-exact`, `krr-LAMBDA`.

use std::time::Instant;

use faer::linalg::solvers::Solve;
use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use widenet_certify::{AttackEffort, DenseMachine, Effort, Method, Norm, Profile, Sample, Threat};
use widenet_machine::{Decay, Descent, Hinge, Objective};

const LAMBDA_MEAN: f64 = 0.001;
/// More test images than this share are not needed for the published bound's mean where support vectors are many.
const PUBLISHED_EVERY: usize = 5;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, images, models @ ..] = arguments.as_slice() else {
        return Err("usage: certificates OUT.json IMAGES [MODEL ...]".into());
    };
    let images: usize = images.parse()?;
    let all = [
        "svm-exact",
        "svm-batch-decay",
        "krr-1000",
        "krr-1",
        "krr-0",
        "krr-100",
        "krr-10",
        "krr-0.1",
        "krr-0.01",
        "krr-0.001",
    ];
    let models = if models.is_empty() { all.map(String::from).to_vec() } else { models.to_vec() };

    let data = widenet_data::mnist01();
    let profile = Profile::new(1)?;
    let (inputs, labels) = (&data.train.inputs, &data.train.labels);
    let gram = kernel(inputs.view(), inputs.view(), profile);
    let tests = kernel(data.test.inputs.view(), inputs.view(), profile);
    eprintln!("kernel done");
    let mut rows = Vec::new();
    for model in &models {
        let started = Instant::now();
        let (coefficients, lambda) = train(model, &gram, labels)?;
        let outputs = tests.dot(&coefficients);
        let right = outputs.iter().zip(&data.test.labels).filter(|(g, y)| *g * *y > 0.0).count();
        let accuracy = right as f64 / outputs.len() as f64;
        eprintln!("{model} trained in {:.0} s", started.elapsed().as_secs_f64());
        let machine = DenseMachine::new(inputs.view(), coefficients.view(), 0.0, profile, 1.0)?;
        rows.push(row(model, lambda, accuracy, &machine, data.test.inputs.view(), images)?);
        eprintln!("{}", rows[rows.len() - 1]);
        std::fs::write(out, format!("[\n  {}\n]\n", rows.join(",\n  ")))?;
    }
    Ok(())
}

/// The two-layer tangent kernel `|x| |x'| p(u)/(2d)`, `[n, m]`.
fn kernel(a: ArrayView2<f64>, b: ArrayView2<f64>, profile: Profile) -> Array2<f64> {
    let norms = |x: ArrayView2<f64>| x.map_axis(Axis(1), |row| row.dot(&row).sqrt());
    let (na, nb) = (norms(a), norms(b));
    let mut k = a.dot(&b.t());
    let scale = 0.5 / a.ncols() as f64;
    Zip::from(k.rows_mut()).and(&na).par_for_each(|mut row, na| {
        Zip::from(&mut row).and(&nb).for_each(|k, nb| {
            let size = na * nb;
            *k = scale * size * profile.value((*k / size).clamp(-1.0, 1.0));
        });
    });
    k
}

/// The coefficients of a model, and its `lambda` in the sum form.
fn train(model: &str, gram: &Array2<f64>, labels: &Array1<f64>) -> Result<(Array1<f64>, f64), Failure> {
    let n = labels.len();
    match model {
        // The paper's published training: 64 images a step, learning rate 1, 300 epochs.
        "svm-batch-decay" => {
            let objective = Objective::new(LAMBDA_MEAN, n)?;
            let mut machine = Descent::new(objective, 1.0, Decay::BatchDecay)?;
            let mut order: Vec<usize> = (0..n).collect();
            let mut random = ChaCha8Rng::seed_from_u64(1);
            for _ in 0..300 {
                order.shuffle(&mut random);
                order.chunks(64).for_each(|batch| machine.step(gram.view(), labels.view(), &Hinge, batch));
            }
            Ok((machine.coefficients().to_owned(), 64.0 * LAMBDA_MEAN))
        }
        "svm-exact" => Ok((exact(gram, labels, n as f64 * LAMBDA_MEAN), n as f64 * LAMBDA_MEAN)),
        _ => {
            let lambda: f64 = model.strip_prefix("krr-").ok_or("unknown model")?.parse()?;
            // (K + lambda/2 I)^-1 y.
            let regularised = faer::Mat::from_fn(n, n, |i, j| gram[[i, j]] + if i == j { lambda / 2.0 } else { 0.0 });
            let right = faer::Mat::from_fn(n, 1, |i, _| labels[i]);
            let factor = regularised.llt(faer::Side::Lower).map_err(|error| format!("{error:?}"))?;
            let solution = factor.solve(&right);
            Ok((Array1::from_shape_fn(n, |i| solution[(i, 0)]), lambda))
        }
    }
}

/// The soft-margin SVM without intercept, to the optimum: coordinate descent in the dual, whose box is
/// `0 <= y_i alpha_i <= 1/lambda`.
fn exact(gram: &Array2<f64>, labels: &Array1<f64>, lambda: f64) -> Array1<f64> {
    let n = labels.len();
    let (mut alpha, mut outputs) = (Array1::<f64>::zeros(n), Array1::<f64>::zeros(n));
    let mut order: Vec<usize> = (0..n).collect();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..2000 {
        let mut violation = 0.0f64;
        order.shuffle(&mut random);
        for &i in &order {
            let (y, old) = (labels[i], labels[i] * alpha[i]);
            let slope = y * outputs[i] - 1.0;
            let new = (old - slope / gram[[i, i]]).clamp(0.0, 1.0 / lambda);
            if new != old {
                violation = violation.max((new - old).abs() * gram[[i, i]]);
                alpha[i] = y * new;
                outputs.scaled_add(y * (new - old), &gram.row(i));
            }
        }
        if violation < 1e-7 {
            break;
        }
    }
    alpha
}

/// Means over the test images.
fn row(
    model: &str,
    lambda: f64,
    accuracy: f64,
    machine: &DenseMachine,
    tests: ArrayView2<f64>,
    images: usize,
) -> Result<String, Failure> {
    let threat = Threat::new(Norm::Inf);
    let count = tests.nrows();
    let every = if machine.support() > 9000 { PUBLISHED_EVERY } else { 1 };
    let published: Vec<f64> = (0..count)
        .into_par_iter()
        .step_by(every)
        .map(|i| Sample::new(machine, tests.row(i), threat).map(|sample| sample.published(0.05)))
        .collect::<Result<_, _>>()?;
    let radii: Vec<[f64; 6]> = (0..images)
        .into_par_iter()
        .map(|k| {
            let sample = Sample::new(machine, tests.row(k * count / images), threat)?;
            let attack = sample.attack(AttackEffort::default(), 0).map_or(f64::INFINITY, |found| found.radius);
            let started = Instant::now();
            let lines = Effort { halvings: 0, ..Effort::default() };
            let relaxation = sample.certify(Method::Relaxation, lines, None).radius;
            let taylor = sample.certify(Method::Taylor, Effort::default(), Some(attack)).radius;
            let seconds = started.elapsed().as_secs_f64();
            let interval = sample.certify(Method::Interval, Effort::default(), None).radius;
            let best = relaxation.max(taylor);
            assert!(best <= attack, "image {k}: {best} is certified, but an attack succeeded at {attack}");
            Ok([interval, relaxation, taylor, best, attack, seconds])
        })
        .collect::<Result<_, widenet_certify::CertifyError>>()?;
    let mean = |column: usize| radii.iter().map(|r| r[column]).sum::<f64>() / radii.len() as f64;
    let [interval, relaxation, taylor, best, attack, seconds] = [0, 1, 2, 3, 4, 5].map(mean);
    let size: f64 = published.len() as f64;
    let published = published.iter().sum::<f64>() / size;
    let worst = radii.iter().map(|r| r[3] / r[4]).fold(f64::INFINITY, f64::min);
    let sizes = (machine.support(), accuracy, radii.len());
    Ok(format!(
        "{{\"model\": \"{model}\", \"lambda\": {lambda}, \"support\": {}, \"test_accuracy\": {:.5}, \"samples\": {}, \
         \"published_samples\": {size}, \"interval_published\": {published:.5e}, \"interval\": {interval:.5e}, \
         \"relaxation\": {relaxation:.5}, \"taylor\": {taylor:.5}, \"best\": {best:.5}, \"attack\": {attack:.5}, \
         \"best_over_attack\": {:.4}, \"least_best_over_attack\": {worst:.4}, \"seconds_per_image\": {seconds:.3}}}",
        sizes.0,
        sizes.1,
        sizes.2,
        best / attack
    ))
}
