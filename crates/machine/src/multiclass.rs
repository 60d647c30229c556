//! Machines that tell several classes apart, each output of which tells two.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, aview1};
use serde::{Deserialize, Serialize};

use crate::calibration::Sigmoid;
use crate::check::check_outputs;
use crate::classes::{Classes, sign};
use crate::duality::Objectives;
use crate::error::MachineError;
use crate::loss::LossConfig;
use crate::objective::Objective;
use crate::saved::{Task, pairs};
use crate::solver::{self, Options, Solution, Stop, output_terms};

/// How machines that tell two classes apart make one that tells several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// A machine per class, against all others: the class with the largest output.
    OneVersusRest,
    /// A machine per pair of classes, on their samples alone: the class with most votes. It is LIBSVM's way.
    #[default]
    OneVersusOne,
}

/// Machines over the same training samples, one per output, and how each was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Machines {
    /// What the outputs mean.
    pub task: Task,
    /// `alpha`, `[n, k]`.
    pub coefficients: Array2<f64>,
    /// `b`, `[k]`.
    pub intercepts: Array1<f64>,
    /// How each output was found, `[k]`.
    pub outcomes: Vec<Outcome>,
}

/// What a solver tells beside coefficients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Primal and dual objective, in the C form.
    pub objectives: Objectives,
    /// Samples with a coefficient other than 0.
    pub support: usize,
    /// `1 / |beta|`.
    pub margin: f64,
    /// Steps that the solver took, in its own unit.
    pub iterations: usize,
    /// Why it stopped.
    pub stop: Stop,
}

impl From<&Solution> for Outcome {
    fn from(solution: &Solution) -> Self {
        let Solution { objectives, iterations, stop, .. } = *solution;
        Self { objectives, support: solution.support().len(), margin: solution.margin(), iterations, stop }
    }
}

impl Machines {
    /// Regression of targets `[n, k]`: see [`solve_columns`](crate::solve_columns).
    ///
    /// # Errors
    ///
    /// As for [`solve`](crate::solve).
    pub fn of_values(
        gram: ArrayView2<f64>,
        targets: ArrayView2<f64>,
        loss: LossConfig,
        objective: Objective,
        options: &Options,
    ) -> Result<Self, MachineError> {
        let solutions = solver::solve_columns(gram, targets, loss, objective, options)?;
        Ok(Self::of_solutions(Task::Regression, &solutions))
    }

    /// Solutions over the same training samples, one per output.
    pub fn of_solutions(task: Task, solutions: &[Solution]) -> Self {
        let n = solutions.first().map_or(0, |solution| solution.coefficients.len());
        let mut machines = Self::empty(task, n);
        let all: Vec<usize> = (0..n).collect();
        solutions.iter().for_each(|solution| machines.push(solution, &all));
        machines
    }

    /// What rounding may add to each output of a sample whose kernel with itself is at most the largest of the training
    /// samples', `[k]`, from the diagonal of their Gram matrix, `[n]`: `eps sum_i |alpha_i| sqrt(K_ii) max_j sqrt(K_jj)`,
    /// with `|K(x, x_i)|` bounded by Cauchy and Schwarz. Near the size of the outputs themselves, these say nothing.
    pub fn rounding(&self, diagonal: ArrayView1<f64>) -> Array1<f64> {
        let most = |alpha| output_terms(diagonal, alpha).fold(0.0, |most: f64, &terms| most.max(terms));
        self.coefficients.columns().into_iter().map(|alpha| f64::EPSILON * most(alpha)).collect()
    }

    /// Classification, with any loss; the labels of each output are -1 and +1. Every output has the `lambda` of the
    /// objective (the sum form), whatever the number of samples it is trained on, as LIBSVM has one `C` for all.
    ///
    /// Two classes take one output, positive for the second, whatever the scheme.
    ///
    /// ```
    /// use ndarray::array;
    /// use widenet_machine::{Classes, LossConfig, Machines, Objective, Options, Scheme};
    ///
    /// let x = array![[3.0, 0.0], [0.0, 3.0], [-2.0, -2.0]];
    /// let (gram, classes) = (x.dot(&x.t()), Classes::new(&["a", "b", "c"])?);
    /// let objective = Objective::new(0.01, 3)?;
    /// let options = Options::default();
    /// let machines =
    ///     Machines::of_classes(gram.view(), &classes, Scheme::OneVersusRest, LossConfig::Hinge, objective, &options)?;
    /// // Each class's own output is the positive one.
    /// let outputs = gram.dot(&machines.coefficients);
    /// assert!((0..3).all(|i| (0..3).all(|j| (outputs[[i, j]] > 0.0) == (i == j))));
    /// # Ok::<(), widenet_machine::MachineError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`solve`](crate::solve).
    pub fn of_classes(
        gram: ArrayView2<f64>,
        classes: &Classes,
        scheme: Scheme,
        loss: LossConfig,
        objective: Objective,
        options: &Options,
    ) -> Result<Self, MachineError> {
        let n = classes.of().len();
        solver::check_but_labels(gram, n, loss, objective)?;
        let mut machines = Self::empty(Task::of(classes.count(), scheme), n);
        for Problem { samples, labels } in Problem::all(classes, scheme) {
            for solution in solve_part(gram, &samples, labels.view(), loss, objective, options)? {
                machines.push(&solution, &samples);
            }
        }
        Ok(machines)
    }

    fn empty(task: Task, n: usize) -> Self {
        Self { task, coefficients: Array2::zeros((n, 0)), intercepts: Array1::zeros(0), outcomes: Vec::new() }
    }

    fn push(&mut self, solution: &Solution, samples: &[usize]) {
        let mut column = Array1::zeros(self.coefficients.nrows());
        samples.iter().zip(&solution.coefficients).for_each(|(&i, &alpha)| column[i] = alpha);
        self.coefficients.push_column(column.view()).expect("a coefficient per sample");
        self.intercepts.append(Axis(0), aview1(&[solution.intercept])).expect("one number");
        self.outcomes.push(solution.into());
    }
}

/// Platt's sigmoid for every output of [`Machines::of_classes`] with the same arguments.
///
/// They are fitted to decision values of machines that have not seen the samples: the samples of each fold get theirs
/// from machines trained on all other folds, as in LIBSVM. `folds: [n]` tells every sample's fold; see [`deal`]. Where
/// the other folds have one class alone, the value is its label.
///
/// # Errors
///
/// As for [`Machines::of_classes`].
pub fn calibrate(
    gram: ArrayView2<f64>,
    classes: &Classes,
    scheme: Scheme,
    loss: LossConfig,
    objective: Objective,
    options: &Options,
    folds: &[usize],
) -> Result<Vec<Sigmoid>, MachineError> {
    let n = classes.of().len();
    if folds.len() != n {
        return Err(MachineError::Count { what: "fold", found: folds.len(), samples: n });
    }
    solver::check_but_labels(gram, n, loss, objective)?;
    let mut sigmoids = Vec::new();
    for problem in Problem::all(classes, scheme) {
        let held_out = problem.held_out(gram, loss, objective, options, folds)?;
        check_outputs(held_out.view())?;
        sigmoids.extend(
            held_out
                .columns()
                .into_iter()
                .zip(problem.labels.columns())
                .map(|(values, labels)| Sigmoid::fit(&values.to_vec(), &labels.to_vec())),
        );
    }
    Ok(sigmoids)
}

/// Deals samples out to `count` folds, class by class, in the given order of all samples: every fold has its share of
/// every class. A random order makes the folds random.
pub fn deal(classes: &Classes, order: &[usize], count: usize) -> Vec<usize> {
    let mut folds = vec![0; classes.of().len()];
    let mut next = 0;
    for class in 0..classes.count() {
        for &i in order.iter().filter(|&&i| classes.of()[i] == class) {
            folds[i] = next;
            next = (next + 1) % count;
        }
    }
    folds
}

/// Outputs that are trained on the same samples.
struct Problem {
    /// Positions, ascending, `[p]`.
    samples: Vec<usize>,
    /// -1 and +1, a column for each output, `[p, k]`.
    labels: Array2<f64>,
}

impl Problem {
    fn all(classes: &Classes, scheme: Scheme) -> Vec<Self> {
        let (of, count) = (classes.of(), classes.count());
        let all: Vec<usize> = (0..of.len()).collect();
        match (count, scheme) {
            (2, _) | (_, Scheme::OneVersusRest) => vec![Self { samples: all, labels: classes.signs() }],
            (_, Scheme::OneVersusOne) => {
                let problem = |(a, b)| {
                    let samples: Vec<usize> = all.iter().copied().filter(|&i| of[i] == a || of[i] == b).collect();
                    let labels = Array2::from_shape_fn((samples.len(), 1), |(i, _)| sign(of[samples[i]] == a));
                    Self { samples, labels }
                };
                pairs(count).map(problem).collect()
            }
        }
    }

    /// The outputs `[p, k]` on samples of each fold, of machines trained on the others.
    fn held_out(
        &self,
        gram: ArrayView2<f64>,
        loss: LossConfig,
        objective: Objective,
        options: &Options,
        folds: &[usize],
    ) -> Result<Array2<f64>, MachineError> {
        let mut values = Array2::zeros(self.labels.dim());
        let mut names: Vec<usize> = self.samples.iter().map(|&i| folds[i]).collect();
        names.sort_unstable();
        names.dedup();
        for fold in names {
            let (held, kept): (Vec<usize>, Vec<usize>) =
                (0..self.samples.len()).partition(|&p| folds[self.samples[p]] == fold);
            let place = |part: &[usize]| part.iter().map(|&p| self.samples[p]).collect::<Vec<usize>>();
            let (held_samples, kept_samples) = (place(&held), place(&kept));
            let labels = self.labels.select(Axis(0), &kept);
            let one_class = |k: usize| labels.column(k).iter().all(|&y| y == labels[[0, k]]);
            let (single, several): (Vec<usize>, Vec<usize>) = (0..labels.ncols()).partition(|&k| one_class(k));
            for k in single {
                let value = labels.column(k).first().copied().unwrap_or(0.0);
                held.iter().for_each(|&p| values[[p, k]] = value);
            }
            if several.is_empty() {
                continue;
            }
            let solutions =
                solve_part(gram, &kept_samples, labels.select(Axis(1), &several).view(), loss, objective, options)?;
            let cross = gram.select(Axis(0), &held_samples).select(Axis(1), &kept_samples);
            for (k, solution) in several.into_iter().zip(solutions) {
                let outputs = cross.dot(&solution.coefficients) + solution.intercept;
                held.iter().zip(outputs).for_each(|(&p, output)| values[[p, k]] = output);
            }
        }
        Ok(values)
    }
}

/// The machines on some of the samples, with the `lambda` of the whole objective. Everything is checked.
fn solve_part(
    gram: ArrayView2<f64>,
    samples: &[usize],
    labels: ArrayView2<f64>,
    loss: LossConfig,
    objective: Objective,
    options: &Options,
) -> Result<Vec<Solution>, MachineError> {
    if samples.len() == gram.nrows() {
        return solver::solve_checked(gram, labels, loss, objective, options);
    }
    let part = gram.select(Axis(0), samples).select(Axis(1), samples);
    let objective = Objective::new(objective.lambda() / samples.len() as f64, samples.len())?;
    solver::solve_checked(part.view(), labels, loss, objective, options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn options() -> Options {
        Options::default()
    }

    /// Four samples that do not see each other, with norms 1: `alpha = y min(1, C)`.
    #[test]
    fn by_hand() {
        let gram = Array2::eye(4);
        let classes = Classes::new(&["b", "a", "c", "a"]).unwrap();
        let objective = Objective::new(0.5, 4).unwrap();
        let fit = |scheme| {
            Machines::of_classes(gram.view(), &classes, scheme, LossConfig::Hinge, objective, &options()).unwrap()
        };
        let rest = fit(Scheme::OneVersusRest);
        let expected = array![[-0.5, 0.5, -0.5], [0.5, -0.5, -0.5], [-0.5, -0.5, 0.5], [0.5, -0.5, -0.5]];
        assert_eq!((rest.task, rest.coefficients), (Task::OneVersusRest, expected));
        // Pairs (a, b), (a, c), (b, c), with the same C = 1/2 though they have fewer samples.
        let one = fit(Scheme::OneVersusOne);
        let expected = array![[-0.5, 0.0, 0.5], [0.5, 0.5, 0.0], [0.0, -0.5, -0.5], [0.5, 0.5, 0.0]];
        assert_eq!((one.task, one.coefficients), (Task::OneVersusOne, expected));
        assert_eq!(one.outcomes[0].support, 3);
    }

    #[test]
    fn two_classes_have_one_output() {
        let gram = array![[2.0, 1.0], [1.0, 2.0]];
        let classes = Classes::new(&["1", "0"]).unwrap();
        let objective = Objective::new(0.1, 2).unwrap();
        for loss in [LossConfig::Hinge, LossConfig::Squared, LossConfig::Logistic] {
            let machines =
                Machines::of_classes(gram.view(), &classes, Scheme::OneVersusRest, loss, objective, &options())
                    .unwrap();
            let expected = solver::solve(gram.view(), array![1.0, -1.0].view(), loss, objective, &options()).unwrap();
            assert_eq!(machines.task, Task::TwoClasses);
            assert_eq!(machines.coefficients.column(0), expected.coefficients);
        }
    }

    #[test]
    fn columns_are_solved_as_if_alone() {
        let gram = array![[2.0, 1.0, 0.2], [1.0, 2.0, 0.0], [0.2, 0.0, 1.0]];
        let targets = array![[1.0, 0.5], [-2.0, 3.0], [0.0, 1.0]];
        let objective = Objective::new(0.1, 3).unwrap();
        for loss in [LossConfig::Squared, LossConfig::EpsilonInsensitive(Default::default())] {
            let both = Machines::of_values(gram.view(), targets.view(), loss, objective, &options()).unwrap();
            for (column, labels) in both.coefficients.columns().into_iter().zip(targets.columns()) {
                let alone = solver::solve(gram.view(), labels, loss, objective, &options()).unwrap();
                assert!((&column - &alone.coefficients).iter().all(|d| d.abs() < 1e-14));
            }
        }
    }

    #[test]
    fn every_fold_has_its_share_of_every_class() {
        let classes = Classes::new(&["a", "b", "a", "b", "a", "a", "b"]).unwrap();
        // Class a in the order 5, 2, 0, 4 and then b in the order 6, 1, 3.
        let folds = deal(&classes, &[6, 5, 2, 1, 0, 3, 4], 3);
        assert_eq!(folds, [2, 2, 1, 0, 0, 0, 1]);
    }

    #[test]
    fn held_out_values_by_hand() {
        // Two folds; on each the machine of the other fold's two samples is y_i k(x, x_i) C.
        let gram = array![[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, 0.25], [0.5, 0.0, 1.0, 0.0], [0.0, 0.25, 0.0, 1.0]];
        let classes = Classes::new(&["-1", "1", "-1", "1"]).unwrap();
        let objective = Objective::new(0.5, 4).unwrap();
        let problem = Problem::all(&classes, Scheme::OneVersusOne).remove(0);
        let held = |folds: &[usize]| {
            problem.held_out(gram.view(), LossConfig::Hinge, objective, &options(), folds).unwrap().column(0).to_vec()
        };
        assert_eq!(held(&[0, 0, 1, 1]), [-0.25, 0.125, -0.25, 0.125]);
        // Each fold's complement has one class.
        assert_eq!(held(&[0, 1, 0, 1]), [1.0, -1.0, 1.0, -1.0]);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let (gram, classes) = (Array2::eye(3), Classes::new(&["a", "b"]).unwrap());
        let objective = Objective::new(0.5, 2).unwrap();
        let error = |n: usize, folds: &[usize]| {
            let gram = gram.slice(ndarray::s![..n, ..n]);
            let scheme = Scheme::default();
            calibrate(gram, &classes, scheme, LossConfig::Hinge, objective, &options(), folds).unwrap_err().to_string()
        };
        assert_eq!(error(3, &[0, 1]), "the Gram matrix is 3 x 3 for 2 labels");
        assert_eq!(error(2, &[0]), "1 fold for 2 samples");
    }
}
