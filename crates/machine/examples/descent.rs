//! Minibatch subgradient descent of a machine, with the Gram matrix in f32 in memory.
//!
//!     cargo run --release -p widenet-machine --example descent GRAM.npy ORDER.npy ALPHA.npy
//!
//! `GRAM.npy` is what the example `mnist01` saves, `ORDER.npy` (i64, `[epochs, n]`) the samples' order in every epoch. The
//! coefficients after the first epoch and after the last go to `ALPHA.npy` (`[2, n]`); one JSON document on stdout.

use std::error::Error;
use std::time::Instant;

use ndarray::{Array2, ArrayView1, ArrayView2, Axis, stack};
use rayon::prelude::*;
use serde_json::json;
use widenet_machine::{Decay, Descent, Hinge, Objective};

const BATCH: usize = 64;
/// Of the paper's published code, which also decays the batch's coefficients alone.
const LEARNING_RATE: f64 = 1.0;
const LAMBDA_MEAN: f64 = 0.001;

/// Bytes a second that all cores together read from a matrix larger than their caches: the best of some passes.
fn bandwidth(gram: ArrayView2<f32>) -> f64 {
    let pass = || {
        let started = Instant::now();
        let sum = |row: ArrayView1<f32>| row.iter().fold(0u32, |sum, value| sum.wrapping_add(value.to_bits()));
        let sum = gram.axis_iter(Axis(0)).into_par_iter().map(sum).reduce(|| 0, u32::wrapping_add);
        std::hint::black_box(sum);
        started.elapsed().as_secs_f64()
    };
    let best = (0..5).map(|_| pass()).fold(f64::INFINITY, f64::min);
    size_of_val(&gram[[0, 0]]) as f64 * gram.len() as f64 / best
}

fn main() -> Result<(), Box<dyn Error>> {
    let [gram, order, out] = std::env::args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "three file names")?;
    let gram: Array2<f64> = ndarray_npy::read_npy(gram)?;
    let gram = gram.mapv(|value| value as f32);
    let order: Array2<i64> = ndarray_npy::read_npy(order)?;
    let digits = widenet_data::mnist01()?;
    let labels = digits.train.labels.view();
    let n = labels.len();

    let mut machine = Descent::new(Objective::new(LAMBDA_MEAN, n)?, LEARNING_RATE, Decay::BatchDecay)?;
    let mut first = machine.coefficients().to_owned();
    let started = Instant::now();
    for (epoch, order) in order.outer_iter().enumerate() {
        let order: Vec<usize> = order.iter().map(|&i| i as usize).collect();
        order.chunks(BATCH).for_each(|batch| machine.step(gram.view(), labels, &Hinge, batch));
        if epoch == 0 {
            first.assign(&machine.coefficients());
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    ndarray_npy::write_npy(out, &stack(Axis(0), &[first.view(), machine.coefficients()])?)?;
    // Every sample's row once an epoch.
    let bytes = order.nrows() as f64 * size_of::<f32>() as f64 * gram.len() as f64;
    let document = json!({
        "samples": n, "epochs": order.nrows(), "batch": BATCH, "learning_rate": LEARNING_RATE,
        "lambda_mean": LAMBDA_MEAN, "seconds": seconds, "bytes": bytes, "bandwidth": bandwidth(gram.view()),
    });
    println!("{}", serde_json::to_string_pretty(&document)?);
    Ok(())
}
