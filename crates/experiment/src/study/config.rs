//! The configuration of a study.

use std::num::NonZeroUsize;

use serde::{Deserialize, Deserializer, Serialize};
use widenet_machine::LossConfig;
use widenet_model::{ArchitectureConfig, Precision};

use crate::backend::Backend;
use crate::config::{
    DataConfig, KernelName, Parameters, Regulariser, TrainingConfig, ascending, component, defaults, not_negative,
    once, points, positive,
};

/// Everything that decides what `widenet study` computes. Read from TOML; unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// The name of the study and, by default, of its folder.
    #[serde(deserialize_with = "component")]
    pub name: String,
    /// The one seed that every random choice hangs off.
    #[serde(default = "defaults::seed")]
    pub seed: u64,
    /// Where tensors live.
    #[serde(default)]
    pub backend: Backend,
    /// The networks' number format. Kernels and machines are always f64.
    #[serde(default)]
    pub precision: Precision,
    /// What is learned.
    pub data: DataConfig,
    /// The networks, scaled to every width.
    pub architecture: ArchitectureConfig,
    /// How networks and machines are trained, where a row does not say otherwise.
    pub training: TrainingConfig,
    /// What is measured.
    pub study: StudyKind,
}

/// What a study measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StudyKind {
    /// The gap between networks and machines over widths, regularisations and seeds (Theorems 3.4 and 3.5, Table 1).
    Gap(GapConfig),
    /// How fast the objective approaches its optimum (Theorems 3.1, 3.2 and 3.3).
    Objective(ObjectiveConfig),
    /// The path kernel of a network (Theorem 4.1).
    PathKernel(PathKernelConfig),
    /// The generalisation bound along training (Section 4.2).
    Generalisation(GeneralisationConfig),
    /// Networks that start at the machine's solution.
    FromMachine(FromMachineConfig),
}

/// Gaps over widths, regularisations and seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapConfig {
    /// Widths of the narrowest hidden layer, in ascending order; the others keep their ratio to it.
    #[serde(deserialize_with = "ascending")]
    pub widths: Vec<NonZeroUsize>,
    /// Regularisations in the mean form, each in place of the rows' own.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lambdas")]
    pub lambdas: Vec<f64>,
    /// Networks per width; 5 by default.
    #[serde(default = "five")]
    pub seeds: NonZeroUsize,
    /// About so many records of each run, evenly spaced on a logarithmic axis of steps.
    #[serde(default = "defaults::points", deserialize_with = "points")]
    pub points: NonZeroUsize,
    /// What is trained.
    #[serde(deserialize_with = "rows")]
    pub rows: Vec<RowConfig>,
}

/// One kind of network and machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowConfig {
    /// Its name in tables and legends.
    pub name: String,
    /// The loss of network and machine.
    #[serde(default)]
    pub loss: LossConfig,
    /// Regularisation in the mean form (`lambda = n lambda_mean`, `C = 1/lambda`).
    #[serde(deserialize_with = "not_negative")]
    pub lambda_mean: f64,
    /// What the network is held to.
    #[serde(default)]
    pub regulariser: Regulariser,
    /// Which parameters of the network are trained.
    #[serde(default)]
    pub parameters: Parameters,
    /// The machine's kernel: `limit` or `nngp`.
    #[serde(default)]
    pub kernel: KernelName,
    /// In place of `training.learning_rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<Positive>,
    /// In place of `training.steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<NonZeroUsize>,
}

/// A finite number > 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Positive(#[serde(deserialize_with = "positive")] pub f64);

/// Distances to the optimum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// About so many records, evenly spaced on a logarithmic axis of steps.
    #[serde(default = "defaults::points", deserialize_with = "points")]
    pub points: NonZeroUsize,
    /// What is trained, one after the other.
    #[serde(deserialize_with = "rows")]
    pub rows: Vec<RowConfig>,
}

/// Path kernels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathKernelConfig {
    /// About so many records, evenly spaced on a logarithmic axis of steps.
    #[serde(default = "defaults::points", deserialize_with = "points")]
    pub points: NonZeroUsize,
    /// What is trained, one after the other.
    #[serde(deserialize_with = "rows")]
    pub rows: Vec<RowConfig>,
}

/// The generalisation bound along training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneralisationConfig {
    /// The bound fails with at most this probability; several are shown side by side.
    #[serde(default = "both_deltas", deserialize_with = "deltas")]
    pub deltas: Vec<f64>,
    /// About so many records, evenly spaced on a logarithmic axis of steps.
    #[serde(default = "defaults::points", deserialize_with = "points")]
    pub points: NonZeroUsize,
    /// What is trained, once on the labels and once on random ones.
    pub row: RowConfig,
}

/// Networks that start at the machine's solution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FromMachineConfig {
    /// Widths of the narrowest hidden layer, in ascending order; the others keep their ratio to it.
    #[serde(deserialize_with = "ascending")]
    pub widths: Vec<NonZeroUsize>,
    /// Networks per width; 5 by default.
    #[serde(default = "five")]
    pub seeds: NonZeroUsize,
    /// The machine.
    pub row: RowConfig,
}

fn five() -> NonZeroUsize {
    NonZeroUsize::new(5).expect("5 is not 0")
}

fn both_deltas() -> Vec<f64> {
    vec![0.05, 0.99]
}

fn lambdas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    once(deserializer, "lambda", |lambda| *lambda)
}

fn deltas<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    once(deserializer, "delta", |delta| *delta)
}

/// Rows are told apart by their names.
fn rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RowConfig>, D::Error> {
    once(deserializer, "row", |row: &RowConfig| row.name.clone())
}

impl RowConfig {
    /// Step size in the mean form.
    pub fn learning_rate(&self, training: &TrainingConfig) -> f64 {
        self.learning_rate.map_or(training.learning_rate, |rate| rate.0)
    }

    /// Number of steps.
    pub fn steps(&self, training: &TrainingConfig) -> usize {
        self.steps.unwrap_or(training.steps).get()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    const GAP: &str = "name = 'x'\n[data]\n[architecture.mlp]\nhidden = [4]\n[training]\nlearning_rate = 1.0\n\
                       steps = 2\n[study.gap]\nwidths = [4, 8]\nlambdas = [0.2, 0.1]\n[[study.gap.rows]]\nname = 'a'\n\
                       lambda_mean = 0.1\n[[study.gap.rows]]\nname = 'b'\nlambda_mean = 0.1\n";

    #[test]
    fn what_is_there_twice_is_refused() {
        let read = |from: &str, to: &str| {
            parse::<StudyConfig>(&GAP.replace(from, to), Path::new("s.toml")).map_err(|error| error.to_string())
        };
        let refused = |from: &str, to: &str| read(from, to).unwrap_err();
        assert!(read("", "").is_ok());
        assert_eq!(refused("[4, 8]", "[8, 8]"), "s.toml:9: widths must ascend, but 8 follows 8");
        assert_eq!(refused("[4, 8]", "[8, 4]"), "s.toml:9: widths must ascend, but 4 follows 8");
        assert_eq!(refused("[0.2, 0.1]", "[0.1, 1e-1]"), "s.toml:10: the lambda 0.1 is there twice");
        assert!(refused("'b'", "'a'").ends_with(": the row \"a\" is there twice"));
        let at = GAP.find("[study.gap]").unwrap();
        let row = "row = { name = 'a', lambda_mean = 0.1 }\n";
        let other = |table: &str| read(&GAP[at..], &format!("{table}{row}"));
        assert!(other("[study.generalisation]\ndeltas = [0.5, 0.1]\n").is_ok());
        assert!(
            other("[study.generalisation]\ndeltas = [0.5, 0.5]\n")
                .unwrap_err()
                .contains("the delta 0.5 is there twice")
        );
        assert!(other("[study.from-machine]\nwidths = [8, 8]\n").unwrap_err().contains("8 follows 8"));
    }
}
