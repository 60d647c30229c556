//! What is written down of a run at one step.

use ndarray::ArrayView1;
use serde::{Deserialize, Serialize};
use widenet_machine::{Loss, is_right};

/// How well one of the two does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean loss over the training samples.
    pub train_loss: f64,
    /// Mean loss over the test samples.
    pub test_loss: f64,
    /// Fraction of training samples that are decided as their label says.
    pub train_accuracy: f64,
    /// Fraction of test samples that are.
    pub test_accuracy: f64,
}

/// How far network and machine are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Largest `|network - machine|` over the training samples.
    pub train_max: f64,
    /// Root mean square of it.
    pub train_rms: f64,
    /// Largest over the test samples.
    pub test_max: f64,
    /// Root mean square of it.
    pub test_rms: f64,
}

/// The linearised network between the two. The gap splits at it: from the network by the change of its kernel, from the
/// machine by the kernel's difference from the machine's, at initialisation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinearisedRecord {
    /// How well it does.
    pub scores: Scores,
    /// How far it is from the network.
    pub to_network: Gap,
    /// How far it is from the machine.
    pub to_machine: Gap,
}

/// Network and machine at one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Steps taken.
    pub step: usize,
    /// The network.
    pub network: Scores,
    /// The kernel machine.
    pub machine: Scores,
    /// Their distance.
    pub gap: Gap,
    /// The linearised network, if it is trained too.
    pub linearised: Option<LinearisedRecord>,
    /// Largest |centred output| of the network over the training samples.
    pub output_train_max_abs: f64,
    /// `|K_t - K_0|_F / |K_0|_F` of the empirical kernel, where it is measured.
    pub kernel_change: Option<f64>,
    /// Outputs of network and machine on each probe.
    pub probes: Vec<[f64; 2]>,
}

/// What is no longer finite, and of which of the trained things.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence {
    /// `network`, `machine` or `linearised network`.
    pub who: &'static str,
    /// What of it.
    pub what: &'static str,
    /// NaN or infinite.
    pub value: f64,
}

/// The names of what is trained, in the order of [`Record::sides`].
pub const NAMES: [&str; 3] = ["network", "machine", "linearised network"];

impl Record {
    /// The scores of network, machine and linearised network, if it is trained.
    pub fn sides(&self) -> [Option<&Scores>; 3] {
        [Some(&self.network), Some(&self.machine), self.linearised.as_ref().map(|linearised| &linearised.scores)]
    }

    /// What of the record is not finite, if anything is. Such a record is not written down.
    pub fn divergence(&self) -> Option<Divergence> {
        let sides = || NAMES.into_iter().zip(self.sides()).filter_map(|(who, scores)| Some((who, scores?)));
        let of_scores = sides().find_map(|(who, scores)| {
            let losses = [("loss", scores.train_loss), ("test loss", scores.test_loss)];
            let (what, value) = losses.into_iter().find(|(_, loss)| !loss.is_finite())?;
            Some(Divergence { who, what, value })
        });
        of_scores.or_else(|| {
            // Every loss is finite, but a square or a difference of outputs is not: the one with the largest loss.
            let parts = self.linearised.iter().flat_map(|l| [&l.to_network, &l.to_machine]);
            let gaps = std::iter::once(&self.gap).chain(parts);
            let distances = gaps.flat_map(|gap| [gap.train_max, gap.train_rms, gap.test_max, gap.test_rms]);
            let value = distances.chain([self.output_train_max_abs]).find(|value| !value.is_finite())?;
            let (who, _) = sides().max_by(|a, b| a.1.train_loss.total_cmp(&b.1.train_loss))?;
            Some(Divergence { who, what: "distance from the others", value })
        })
    }
}

/// The outputs of one of the two on all samples.
pub struct Outputs<'a> {
    /// On the training samples.
    pub train: ArrayView1<'a, f64>,
    /// On the test samples.
    pub test: ArrayView1<'a, f64>,
}

impl Scores {
    /// Scores outputs against labels.
    pub fn of(outputs: &Outputs, train_labels: ArrayView1<f64>, test_labels: ArrayView1<f64>, loss: &dyn Loss) -> Self {
        Self {
            train_loss: mean_loss(outputs.train, train_labels, loss),
            test_loss: mean_loss(outputs.test, test_labels, loss),
            train_accuracy: accuracy(outputs.train, train_labels),
            test_accuracy: accuracy(outputs.test, test_labels),
        }
    }
}

impl Gap {
    /// The distance between two machines' outputs.
    pub fn of(a: &Outputs, b: &Outputs) -> Self {
        let (train_max, train_rms) = distance(a.train, b.train);
        let (test_max, test_rms) = distance(a.test, b.test);
        Self { train_max, train_rms, test_max, test_rms }
    }
}

/// The largest |value|; NaN if any is.
pub fn max_abs<'a>(values: impl IntoIterator<Item = &'a f64>) -> f64 {
    // Once NaN, always NaN: f64::max would hide it.
    values
        .into_iter()
        .fold(0.0, |most: f64, value| if most.is_nan() || value.abs() <= most { most } else { value.abs() })
}

fn mean_loss(outputs: ArrayView1<f64>, labels: ArrayView1<f64>, loss: &dyn Loss) -> f64 {
    loss.mean(&outputs.to_vec(), &labels.to_vec())
}

fn accuracy(outputs: ArrayView1<f64>, labels: ArrayView1<f64>) -> f64 {
    let right = outputs.iter().zip(labels).filter(|&(&z, &y)| is_right(z, y)).count();
    right as f64 / labels.len() as f64
}

fn distance(a: ArrayView1<f64>, b: ArrayView1<f64>) -> (f64, f64) {
    let difference = &a - &b;
    (max_abs(&difference), (difference.mapv(|v| v * v).sum() / difference.len() as f64).sqrt())
}

/// The steps at which to record, of `steps`: 0, the last one, and about `points` evenly spaced on a logarithmic axis.
pub fn grid(steps: usize, points: usize) -> Vec<usize> {
    // So many points that the widest gap between them, the last one, is less than a step.
    if points as f64 > 2.0 + 2.0 * steps as f64 * (steps as f64 + 1.0).ln() {
        return (0..=steps).collect();
    }
    let mut grid: Vec<usize> = (0..points)
        .map(|k| (steps as f64).powf(k as f64 / (points.max(2) - 1) as f64).round() as usize)
        .chain([0, steps])
        .collect();
    grid.sort_unstable();
    grid.dedup();
    grid
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use widenet_machine::Hinge;

    #[test]
    fn values_by_hand() {
        let (a, b) = (array![1.0, -2.0], array![0.5, -2.0, 0.0]);
        let outputs = Outputs { train: a.view(), test: b.view() };
        let scores = Scores::of(&outputs, array![1.0, 1.0].view(), array![1.0, -1.0, 1.0].view(), &Hinge);
        assert_eq!(scores.train_loss, 1.5);
        assert_eq!(scores.test_loss, 0.5);
        assert_eq!(scores.train_accuracy, 0.5);
        assert_eq!(scores.test_accuracy, 2.0 / 3.0, "an output of 0 decides for -1");
        let zero = array![0.0];
        assert_eq!([-1.0, 1.0].map(|label| accuracy(zero.view(), array![label].view())), [1.0, 0.0]);
        let (c, d) = (array![1.0, 1.0], array![0.5, -2.0, 3.0]);
        let gap = Gap::of(&outputs, &Outputs { train: c.view(), test: d.view() });
        assert_eq!(gap, Gap { train_max: 3.0, train_rms: 4.5f64.sqrt(), test_max: 3.0, test_rms: 3f64.sqrt() });
        assert!(max_abs(&array![1.0, f64::NAN, 0.5]).is_nan(), "NaN must show");
    }

    #[test]
    fn a_divergence_is_of_the_one_that_diverged() {
        let finite = Scores { train_loss: 1.0, test_loss: 1.0, train_accuracy: 0.5, test_accuracy: 0.5 };
        let infinite = Scores { test_loss: f64::INFINITY, ..finite };
        let gap = Gap { train_max: 1.0, train_rms: 1.0, test_max: 1.0, test_rms: 1.0 };
        let linearised = |scores| Some(LinearisedRecord { scores, to_network: gap, to_machine: gap });
        let record = Record {
            step: 3,
            network: finite,
            machine: finite,
            gap,
            linearised: linearised(finite),
            output_train_max_abs: 1.0,
            kernel_change: None,
            probes: Vec::new(),
        };
        assert_eq!(record.divergence(), None);
        let who = |record: Record| record.divergence().map(|found| (found.who, found.what));
        assert_eq!(who(Record { machine: infinite, ..record.clone() }), Some(("machine", "test loss")));
        assert_eq!(
            who(Record { linearised: linearised(infinite), ..record.clone() }),
            Some(("linearised network", "test loss"))
        );
        let far = Gap { train_rms: f64::INFINITY, ..gap };
        let large = Scores { train_loss: 1e200, ..finite };
        assert_eq!(who(Record { gap: far, machine: large, ..record }), Some(("machine", "distance from the others")));
    }

    #[test]
    fn the_grid_is_logarithmic_with_both_ends() {
        assert_eq!(grid(1000, 4), [0, 1, 10, 100, 1000]);
        assert_eq!(grid(1, 40), [0, 1]);
        assert_eq!(grid(100, 1), [0, 1, 100]);
        let many = grid(5, 100);
        assert_eq!(many, [0, 1, 2, 3, 4, 5]);
    }
}
