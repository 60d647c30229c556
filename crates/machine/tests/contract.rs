//! What every machine keeps, whatever its loss: one contract over all of them, with and without an intercept.

use ndarray::{Array1, Array2, ArrayView1, Axis, array};
use proptest::prelude::*;
use widenet_machine::{
    Decay, Descent, EpsilonInsensitive, GradientFlow, Labels, LossConfig, MachineError, Objective, Options, Solution,
    Stop, solve,
};

const N: usize = 12;

fn every_loss() -> [LossConfig; 5] {
    [
        LossConfig::Hinge,
        LossConfig::SquaredHinge,
        LossConfig::EpsilonInsensitive(EpsilonInsensitive::new(0.2).unwrap()),
        LossConfig::Squared,
        LossConfig::Logistic,
    ]
}

/// A positive definite Gram matrix and labels that fit the loss.
#[derive(Clone, Debug)]
struct Problem {
    gram: Array2<f64>,
    values: Array1<f64>,
}

impl Problem {
    /// The values themselves, or their signs with both classes present.
    fn labels(&self, loss: LossConfig) -> Array1<f64> {
        match loss.loss().labels() {
            Labels::Values => self.values.clone(),
            Labels::Classes => {
                let mut labels = self.values.mapv(f64::signum);
                (labels[0], labels[1]) = (1.0, -1.0);
                labels
            }
        }
    }

    fn solve(&self, loss: LossConfig, lambda_mean: f64, intercept: bool) -> Solution {
        solve_with(&self.gram, &self.labels(loss), loss, lambda_mean, intercept)
    }
}

fn solve_with(
    gram: &Array2<f64>,
    labels: &Array1<f64>,
    loss: LossConfig,
    lambda_mean: f64,
    intercept: bool,
) -> Solution {
    let objective = Objective::new(lambda_mean, labels.len()).unwrap();
    let options = Options { intercept, tolerance: 1e-12, ..Options::default() };
    solve(gram.view(), labels.view(), loss, objective, &options).unwrap()
}

fn problems() -> impl Strategy<Value = Problem> {
    let features = proptest::collection::vec(-1.0..1.0f64, N * 4);
    (features, proptest::collection::vec(-1.0..1.0f64, N)).prop_map(|(features, values)| {
        let features = Array2::from_shape_vec((N, 4), features).unwrap();
        // Definite, so that the coefficients are unique and can be compared.
        let gram = features.dot(&features.t()) + Array2::<f64>::eye(N) * 0.1;
        Problem { gram, values: Array1::from_vec(values) }
    })
}

/// The same with a kernel of rank 4.
fn singular_problems() -> impl Strategy<Value = Problem> {
    problems().prop_map(|problem| Problem { gram: problem.gram - Array2::<f64>::eye(N) * 0.1, ..problem })
}

fn distance(a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
    (&a - &b).iter().fold(0.0, |largest: f64, value| largest.max(value.abs()))
}

/// `-lambda alpha_i` is a subgradient of the loss at output i: it lies between the slopes on both sides. With an
/// intercept the coefficients sum to 0.
fn optimality(solution: &Solution, labels: &Array1<f64>, loss: LossConfig, lambda: f64, intercept: bool) -> f64 {
    let slack = 1e-5;
    let slope = |z: f64, y: f64| loss.loss().derivative(z, y);
    let outside = |i: usize| {
        let (u, z, y) = (-lambda * solution.coefficients[i], solution.outputs[i], labels[i]);
        (slope(z - slack, y) - u).max(u - slope(z + slack, y))
    };
    let worst = (0..labels.len()).map(outside).fold(0.0, f64::max);
    worst.max(if intercept { solution.coefficients.sum().abs() } else { 0.0 })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn optimality_conditions_hold(problem in problems(), lambda_mean in 0.01..1.0f64) {
        for loss in every_loss() {
            for intercept in [false, true] {
                let solution = problem.solve(loss, lambda_mean, intercept);
                prop_assert!(solution.stop != Stop::IterationLimit, "{loss:?}");
                prop_assert!(solution.relative_gap().abs() <= 1e-8, "{loss:?} {}", solution.relative_gap());
                let expected = problem.gram.dot(&solution.coefficients) + solution.intercept;
                prop_assert!(distance(expected.view(), solution.outputs.view()) < 1e-9);
                let labels = problem.labels(loss);
                let outside = optimality(&solution, &labels, loss, lambda_mean * N as f64, intercept);
                prop_assert!(outside < 1e-4, "{loss:?} {intercept}: {outside}");
            }
        }
    }

    #[test]
    fn permuting_samples_permutes_coefficients(problem in problems(), shift in 1..N) {
        let order: Vec<usize> = (0..N).map(|i| (5 * i + shift) % N).collect();
        let gram = problem.gram.select(Axis(0), &order).select(Axis(1), &order);
        for loss in every_loss() {
            for intercept in [false, true] {
                let solution = problem.solve(loss, 0.05, intercept);
                let labels = problem.labels(loss).select(Axis(0), &order);
                let permuted = solve_with(&gram, &labels, loss, 0.05, intercept);
                let expected = solution.coefficients.select(Axis(0), &order);
                prop_assert!(distance(permuted.coefficients.view(), expected.view()) < 1e-4, "{loss:?} {intercept}");
                prop_assert!((permuted.objectives.primal / solution.objectives.primal - 1.0).abs() < 1e-9);
            }
        }
    }

    /// Every sample twice with the same lambda_mean is the same mean objective: the twins' coefficients sum to the one's.
    #[test]
    fn duplicated_samples_share(problem in problems()) {
        let twice: Vec<usize> = (0..2 * N).map(|i| i / 2).collect();
        let gram = problem.gram.select(Axis(0), &twice).select(Axis(1), &twice);
        for loss in every_loss() {
            let solution = problem.solve(loss, 0.05, false);
            let doubled = solve_with(&gram, &problem.labels(loss).select(Axis(0), &twice), loss, 0.05, false);
            let shared = Array1::from_iter((0..N).map(|i| doubled.coefficients[2 * i] + doubled.coefficients[2 * i + 1]));
            prop_assert!(distance(shared.view(), solution.coefficients.view()) < 1e-4, "{loss:?}");
        }
    }

    /// With the kernel and lambda both `s` times as large, the same function: coefficients `1/s` times.
    #[test]
    fn scaling_kernel_and_lambda_changes_nothing(problem in problems(), scale in 0.1..10.0f64) {
        for loss in every_loss() {
            for intercept in [false, true] {
                let solution = problem.solve(loss, 0.05, intercept);
                let labels = problem.labels(loss);
                let scaled = solve_with(&(&problem.gram * scale), &labels, loss, 0.05 * scale, intercept);
                prop_assert!(distance(scaled.outputs.view(), solution.outputs.view()) < 1e-4, "{loss:?} {intercept}");
            }
        }
    }
}

#[test]
fn descent_run_long_reaches_the_optimum() {
    let x = array![[1.0, 0.2], [0.4, 1.0], [-0.8, 0.3], [-0.5, -1.0], [0.3, -0.4], [-0.1, 0.6]];
    let problem = Problem { gram: x.dot(&x.t()), values: array![0.9, 0.7, -0.6, -0.8, 0.4, -0.2] };
    let objective = Objective::new(0.05, 6).unwrap();
    for loss in every_loss() {
        let labels = problem.labels(loss);
        let optimum = solve_with(&problem.gram, &labels, loss, 0.05, false);
        // Losses with a kink need ever smaller steps, smooth ones none such.
        let smooth = loss.loss().smoothness().is_some();
        let mut machine = Descent::new(objective, 0.2, Decay::Pegasos).unwrap();
        for divisor in [1.0, 10.0, 100.0, 1000.0] {
            let rate = if smooth { 0.2 } else { 0.2 / divisor };
            let coefficients = machine.coefficients().to_owned();
            machine = Descent::new(objective, rate, Decay::Pegasos).unwrap().resume(coefficients);
            for _ in 0..20_000 {
                machine.step(problem.gram.view(), labels.view(), loss.loss(), &[0, 1, 2, 3, 4, 5]);
            }
        }
        let outputs = machine.outputs(problem.gram.view());
        assert!(distance(outputs.view(), optimum.outputs.view()) < 1e-2, "{loss:?}");
    }
}

#[test]
fn the_hard_margin_is_the_limit_of_small_regularisation() {
    let x = array![[2.0, 0.5], [1.0, 1.5], [-1.0, -0.5], [-2.0, 1.0]];
    let (gram, labels) = (x.dot(&x.t()), array![1.0, 1.0, -1.0, -1.0]);
    for intercept in [false, true] {
        let hard = solve_with(&gram, &labels, LossConfig::Hinge, 0.0, intercept);
        let soft = solve_with(&gram, &labels, LossConfig::Hinge, 1e-6, intercept);
        assert!(distance(hard.outputs.view(), soft.outputs.view()) < 1e-4);
        let smallest = labels.iter().zip(&hard.outputs).map(|(y, g)| y * g).fold(f64::INFINITY, f64::min);
        assert!((smallest - 1.0).abs() < 1e-5 && hard.relative_gap() < 1e-8);
    }
    // Two opposite labels at one place: nothing separates them.
    let same = array![[1.0, 1.0], [1.0, 1.0]];
    let options = Options { max_iterations: 10_000, ..Options::default() };
    let free = Objective::new(0.0, 2).unwrap();
    for intercept in [false, true] {
        let options = Options { intercept, ..options };
        let error = solve(same.view(), array![1.0, -1.0].view(), LossConfig::Hinge, free, &options);
        assert!(matches!(error, Err(MachineError::NotSeparable { .. })), "{error:?}");
    }
}

#[test]
fn bad_input_is_told() {
    let gram = array![[2.0, 0.5], [0.5, 2.0]];
    let attempt = |gram: &Array2<f64>, labels: &[f64], loss, lambda_mean| {
        let objective = Objective::new(lambda_mean, labels.len()).unwrap();
        solve(gram.view(), ArrayView1::from(labels), loss, objective, &Options::default()).unwrap_err().to_string()
    };
    for loss in [LossConfig::Hinge, LossConfig::SquaredHinge, LossConfig::Logistic] {
        assert_eq!(attempt(&gram, &[1.0, 2.0], loss, 0.1), "label 1 is 2: labels must be -1 or +1");
        assert!(attempt(&gram, &[1.0, 1.0], loss, 0.1).starts_with("every label is 1"));
    }
    for loss in every_loss() {
        assert!(attempt(&gram, &[1.0, f64::NAN], loss, 0.1).starts_with("label 1 is NaN"));
        assert!(attempt(&array![[1.0, f64::NAN], [0.0, 1.0]], &[1.0, -1.0], loss, 0.1).contains("(0, 1) is NaN"));
        assert!(attempt(&array![[1.0, 0.5], [0.0, 1.0]], &[1.0, -1.0], loss, 0.1).contains("not symmetric"));
        assert!(attempt(&gram, &[1.0, -1.0, 1.0], loss, 0.1).contains("2 x 2 for 3 labels"));
    }
    assert!(attempt(&gram, &[1.0, -1.0], LossConfig::Logistic, 0.0).contains("needs a regularisation > 0"));
    let tube = LossConfig::EpsilonInsensitive(EpsilonInsensitive::default());
    assert!(attempt(&gram, &[1.0, -1.0], tube, 0.0).contains("needs a regularisation > 0"));
    let singular = array![[1.0, 1.0], [1.0, 1.0]];
    assert!(attempt(&singular, &[1.0, -1.0], LossConfig::Squared, 0.0).contains("singular to rounding"));
}

#[test]
fn a_sample_of_norm_zero_does_not_disturb() {
    let gram = array![[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [-1.0, 0.0, 2.0]];
    for loss in every_loss() {
        for intercept in [false, true] {
            let solution = solve_with(&gram, &array![1.0, 1.0, -1.0], loss, 0.1, intercept);
            assert!(solution.coefficients.iter().all(|alpha| alpha.is_finite()), "{loss:?}");
            assert!(solution.relative_gap() < 1e-8, "{loss:?} {intercept}: {:?}", solution);
        }
    }
}

/// `lambda/2 alpha^T K alpha + sum_i l(g_i, y_i)`.
fn value(flow: &GradientFlow, labels: &Array1<f64>, loss: LossConfig, lambda: f64) -> f64 {
    let losses: f64 = flow.outputs().iter().zip(labels).map(|(&z, &y)| loss.loss().value(z, y)).sum();
    lambda / 2.0 * flow.coefficients().dot(&flow.outputs()) + losses
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Theorems 3.1 and 3.3: along the gradient flow the distance to the optimal value falls at least like `e^{-2 lambda t}`, and at last the flow is
    /// at the optimum.
    #[test]
    fn the_flow_converges_at_the_rate_of_the_theorem(problem in singular_problems(), lambda_mean in 0.02..0.5f64) {
        let objective = Objective::new(lambda_mean, N).unwrap();
        let lambda = objective.lambda();
        for loss in every_loss() {
            let labels = problem.labels(loss);
            let options = Options { tolerance: 1e-13, ..Options::default() };
            let optimum = solve(problem.gram.view(), labels.view(), loss, objective, &options).unwrap();
            let best = lambda * optimum.objectives.dual;
            let mut flow = GradientFlow::new(problem.gram.view(), labels.view(), loss, objective, 1e-9).unwrap();
            let start = value(&flow, &labels, loss, lambda) - best;
            for _ in 0..20 {
                flow.advance(0.1 / lambda).unwrap();
                let bound = start * (-2.0 * lambda * flow.time()).exp();
                let left = value(&flow, &labels, loss, lambda) - best;
                prop_assert!(left <= bound + 1e-7, "{loss:?} at {}: {left:e} > {bound:e}", flow.time());
            }
            flow.advance(40.0 / lambda).unwrap();
            let left = value(&flow, &labels, loss, lambda) - best;
            prop_assert!(left.abs() < 1e-8, "{loss:?}: {left:e} above the optimum");
            let off = distance(flow.outputs(), optimum.outputs.view());
            prop_assert!(off < 1e-4, "{loss:?}: {off:e}");
        }
    }

    /// Coefficients and outputs belong together, and stopping on the way changes nothing.
    #[test]
    fn the_flow_may_stop_on_the_way(problem in singular_problems(), lambda_mean in 0.0..0.2f64) {
        let objective = Objective::new(lambda_mean, N).unwrap();
        for loss in every_loss() {
            let labels = problem.labels(loss);
            let new = || GradientFlow::new(problem.gram.view(), labels.view(), loss, objective, 1e-10).unwrap();
            let (mut whole, mut parts) = (new(), new());
            whole.advance(3.0).unwrap();
            for part in [0.3, 0.0, 1.2, 1.5] {
                parts.advance(part).unwrap();
            }
            prop_assert!(distance(whole.outputs(), parts.outputs()) < 1e-7, "{loss:?}");
            let product = problem.gram.dot(&whole.coefficients());
            prop_assert!(distance(product.view(), whole.outputs()) < 1e-9, "{loss:?}");
        }
    }

    /// Small steps of subgradient descent come ever nearer, in proportion to their size.
    #[test]
    fn the_flow_is_the_limit_of_small_steps(problem in singular_problems()) {
        let objective = Objective::new(0.05, N).unwrap();
        let all: Vec<usize> = (0..N).collect();
        for loss in every_loss() {
            let labels = problem.labels(loss);
            let mut flow = GradientFlow::new(problem.gram.view(), labels.view(), loss, objective, 1e-10).unwrap();
            flow.advance(1.0).unwrap();
            let steps = 2000;
            // A step of the mean form is n times one of the sum form.
            let mut descent = Descent::new(objective, N as f64 / f64::from(steps), Decay::Pegasos).unwrap();
            (0..steps).for_each(|_| descent.step(problem.gram.view(), labels.view(), loss.loss(), &all));
            let off = distance(descent.outputs(problem.gram.view()).view(), flow.outputs());
            prop_assert!(off < 5e-2, "{loss:?}: {off:e}");
        }
    }
}
