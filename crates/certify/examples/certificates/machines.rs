//! The machines of the paper's Tables 2 and 3: on MNIST 0/1, with the two-layer limit kernel.

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use widenet_certify::Profile;
use widenet_machine::{Decay, Descent, Hinge, LossConfig, Objective, Options, solve};

use super::Failure;

const LAMBDA_MEAN: f64 = 0.001;

/// The lower triangle from the upper one, to the last bit.
pub fn symmetric(mut gram: Array2<f64>) -> Array2<f64> {
    for i in 0..gram.nrows() {
        for j in 0..i {
            gram[[i, j]] = gram[[j, i]];
        }
    }
    gram
}

/// The two-layer tangent kernel `|x| |x'| p(u)/(2d)`, `[n, m]`.
pub fn kernel(a: ArrayView2<f64>, b: ArrayView2<f64>, profile: Profile) -> Array2<f64> {
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
pub fn train(model: &str, gram: &Array2<f64>, labels: &Array1<f64>) -> Result<(Array1<f64>, f64), Failure> {
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
        "svm-exact" => optimum(gram, labels, LossConfig::Hinge, Objective::new(LAMBDA_MEAN, n)?),
        _ => {
            let lambda: f64 = model.strip_prefix("krr-").ok_or("unknown model")?.parse()?;
            optimum(gram, labels, LossConfig::Squared, Objective::new(lambda / n as f64, n)?)
        }
    }
}

fn optimum(
    gram: &Array2<f64>,
    labels: &Array1<f64>,
    loss: LossConfig,
    objective: Objective,
) -> Result<(Array1<f64>, f64), Failure> {
    let solution = solve(gram.view(), labels.view(), loss, objective, &Options::default())?;
    Ok((solution.coefficients, objective.lambda()))
}
