//! No result depends on the number of threads: the same bits with 1, 2 and 4.

use ndarray::{Array1, Array2, Axis};
use widenet_machine::{
    Classes, Decay, Descent, EpsilonInsensitive, GradientFlow, Hinge, Labels, LossConfig, Machines, Objective, Options,
    Scheme, calibrate, conjugate_gradients, solve,
};

/// Enough samples that work is shared.
const N: usize = 600;

/// `n` samples.
fn kernel(n: usize) -> (Array2<f64>, Array1<f64>) {
    let x = Array2::from_shape_fn((n, 3), |(i, j)| ((7 * i + 13 * j + 1) as f64 * 0.618_034).sin());
    let gram = Array2::from_shape_fn((n, n), |(i, j)| {
        let distance: f64 = x.row(i).iter().zip(x.row(j)).map(|(a, b)| (a - b).powi(2)).sum();
        (-distance).exp() + if i == j { 1e-3 } else { 0.0 }
    });
    let values = x.map_axis(Axis(1), |x| x[0] * x[1] + 0.3 * x[2] + 0.05);
    (gram, values)
}

/// Everything that is computed, one number after the other.
fn everything(gram: &Array2<f64>, values: &Array1<f64>) -> Vec<(String, Vec<u64>)> {
    let objective = Objective::new(1e-3, N).unwrap();
    let signs = values.mapv(f64::signum);
    let bits = |values: &Array1<f64>| values.iter().map(|value| value.to_bits()).collect::<Vec<u64>>();
    let mut all = Vec::new();
    let tube = LossConfig::EpsilonInsensitive(EpsilonInsensitive::new(0.05).unwrap());
    for loss in [LossConfig::Hinge, LossConfig::SquaredHinge, tube, LossConfig::Squared, LossConfig::Logistic] {
        let labels = if loss.loss().labels() == Labels::Classes { &signs } else { values };
        for intercept in [false, true] {
            let options = Options { intercept, ..Options::default() };
            let found = solve(gram.view(), labels.view(), loss, objective, &options).unwrap();
            let mut numbers = bits(&found.coefficients);
            numbers.extend(bits(&found.outputs));
            numbers.extend([found.intercept, found.objectives.primal, found.objectives.dual].map(f64::to_bits));
            all.push((format!("{loss:?} {intercept}"), numbers));
        }
        let mut flow = GradientFlow::new(gram.view(), labels.view(), loss, objective, 1e-6).unwrap();
        flow.advance(0.05).unwrap();
        all.push((format!("flow {loss:?}"), bits(&flow.outputs().to_owned())));
    }
    // Scales that want the interior point method.
    let scale = Array1::from_shape_fn(N, |i| if i % 3 == 0 { 1e4 } else { 1.0 });
    let rough = gram * &scale * scale.view().insert_axis(Axis(1));
    let options = Options { intercept: true, max_iterations: usize::MAX, ..Options::default() };
    let c = Objective::new(1e-9, N).unwrap();
    let found = solve(rough.view(), signs.view(), LossConfig::Hinge, c, &options).unwrap();
    all.push(("rough".into(), bits(&found.coefficients)));

    let targets = values.clone().insert_axis(Axis(1));
    let found = conjugate_gradients(&gram.view(), targets.view(), objective, &options, 50).unwrap();
    all.push(("conjugate gradients".into(), bits(&found[0].coefficients)));

    let mut descent = Descent::new(objective, 0.5, Decay::Pegasos).unwrap();
    let batch: Vec<usize> = (0..N).collect();
    (0..20).for_each(|_| descent.step(gram.view(), signs.view(), &Hinge, &batch));
    all.push(("descent".into(), bits(&descent.coefficients().to_owned())));

    let names: Vec<&str> = values
        .iter()
        .map(|v| {
            if *v < -0.2 {
                "a"
            } else if *v < 0.2 {
                "b"
            } else {
                "c"
            }
        })
        .collect();
    let classes = Classes::new(&names).unwrap();
    let folds: Vec<usize> = (0..N).map(|i| i % 5).collect();
    for scheme in [Scheme::OneVersusOne, Scheme::OneVersusRest] {
        let hinge = LossConfig::Hinge;
        let options = Options::default();
        let machines = Machines::of_classes(gram.view(), &classes, scheme, hinge, objective, &options).unwrap();
        all.push((format!("{scheme:?}"), machines.coefficients.iter().map(|value| value.to_bits()).collect()));
        let sigmoids = calibrate(gram.view(), &classes, scheme, hinge, objective, &options, &folds).unwrap();
        let numbers = sigmoids.iter().flat_map(|sigmoid| [sigmoid.a.to_bits(), sigmoid.b.to_bits()]).collect();
        all.push((format!("sigmoids {scheme:?}"), numbers));
    }
    all
}

/// What factorisations give where they are cut in more parts than there are threads.
fn factored(gram: &Array2<f64>, values: &Array1<f64>) -> Vec<(String, Vec<u64>)> {
    let objective = Objective::new(1e-3, values.len()).unwrap();
    let signs = values.mapv(f64::signum);
    let one = |(loss, labels): (LossConfig, &Array1<f64>)| {
        let options = Options { intercept: true, ..Options::default() };
        let found = solve(gram.view(), labels.view(), loss, objective, &options).unwrap();
        (format!("{loss:?}"), found.coefficients.iter().chain(&found.outputs).map(|value| value.to_bits()).collect())
    };
    [(LossConfig::Squared, values), (LossConfig::Logistic, &signs)].map(one).into()
}

fn same(compute: impl Fn() -> Vec<(String, Vec<u64>)> + Sync) {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&compute)
    };
    let one = with(1);
    for threads in [2, 4] {
        for ((what, one), (_, many)) in one.iter().zip(with(threads)) {
            assert!(*one == many, "{what} with {threads} threads");
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (gram, values) = kernel(N);
    same(|| everything(&gram, &values));
    let (gram, values) = kernel(2 * N);
    same(|| factored(&gram, &values));
}
