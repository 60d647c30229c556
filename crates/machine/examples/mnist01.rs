//! Exact machines on all 12 665 digits 0 and 1 of MNIST, with the two-layer infinite-width tangent kernel.
//!
//!     cargo run --release -p widenet-machine --example mnist01 [GRAM.npy]
//!
//! One JSON document on stdout. With a file name the Gram matrix is saved too, for other programs to solve.

use std::f64::consts::PI;
use std::time::Instant;

use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;
use serde_json::{Value, json};
use widenet_machine::{LossConfig, Objective, Options, Solution, is_right, solve};

/// `|x||x'|/(2 pi d) h(u)`, `h(u) = 2u (pi - arccos u) + sqrt(1 - u^2)` (Theorem 4.2), `[n_a, n_b]`.
fn kernel(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    let norms = |x: ArrayView2<f64>| x.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect::<Vec<f64>>();
    let (norm_a, norm_b, scale) = (norms(a), norms(b), 2.0 * PI * a.ncols() as f64);
    let mut gram = a.dot(&b.t());
    gram.outer_iter_mut().into_par_iter().zip(&norm_a).for_each(|(mut row, p)| {
        for (value, q) in row.iter_mut().zip(&norm_b) {
            let u = (*value / (p * q)).clamp(-1.0, 1.0);
            *value = p * q / scale * (2.0 * u * (PI - u.acos()) + (1.0 - u * u).sqrt());
        }
    });
    gram
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let digits = widenet_data::mnist01()?;
    let (inputs, labels) = (digits.train.inputs.view(), digits.train.labels.view());
    let n = labels.len();
    let mut gram = kernel(inputs, inputs);
    for i in 0..n {
        for j in 0..i {
            gram[[i, j]] = gram[[j, i]];
        }
    }
    let test = kernel(digits.test.inputs.view(), inputs);
    if let Some(path) = std::env::args().nth(1) {
        ndarray_npy::write_npy(path, &gram)?;
    }
    let accuracy = |solution: &Solution| {
        let outputs: Array1<f64> = test.dot(&solution.coefficients) + solution.intercept;
        let right = outputs.iter().zip(&digits.test.labels).filter(|&(&g, &y)| is_right(g, y)).count();
        right as f64 / outputs.len() as f64
    };
    let row = |loss: LossConfig, lambda_mean: f64, intercept: bool| -> Result<Value, Box<dyn std::error::Error>> {
        let objective = Objective::new(lambda_mean, n)?;
        let started = Instant::now();
        let solution = solve(gram.view(), labels, loss, objective, &Options { intercept, ..Options::default() })?;
        let seconds = started.elapsed().as_secs_f64();
        eprintln!("{} loss, {objective}: {seconds:.2} s", loss.name());
        Ok(json!({
            "loss": loss.name(), "lambda_mean": lambda_mean, "lambda": objective.lambda(), "intercept": intercept,
            "primal": solution.objectives.primal, "dual": solution.objectives.dual,
            "relative_gap": solution.relative_gap(), "iterations": solution.iterations,
            "stop": format!("{:?}", solution.stop), "support": solution.support().len(),
            "sum_abs_alpha": solution.coefficients.iter().map(|alpha| alpha.abs()).sum::<f64>(),
            "b": solution.intercept, "test_accuracy": accuracy(&solution), "seconds": seconds,
        }))
    };
    let mut rows = Vec::new();
    for intercept in [false, true] {
        for loss in [LossConfig::Hinge, LossConfig::SquaredHinge] {
            rows.push(row(loss, 0.001, intercept)?);
        }
    }
    for lambda in [0.0, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0] {
        rows.push(row(LossConfig::Squared, lambda / n as f64, false)?);
    }
    println!("{}", serde_json::to_string_pretty(&json!({ "samples": n, "rows": rows }))?);
    Ok(())
}
