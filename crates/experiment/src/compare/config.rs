//! The configuration of a comparison.

use std::num::NonZeroUsize;

use serde::{Deserialize, Deserializer, Serialize};
use widenet_machine::LossConfig;
use widenet_model::{ArchitectureConfig, Precision};

use crate::backend::Backend;
use crate::config::{ascending, component, defaults, positive};

/// Everything that decides what `widenet compare` computes. Read from TOML; unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompareConfig {
    /// The name of the run and, by default, of its folder.
    #[serde(deserialize_with = "component")]
    pub name: String,
    /// The one seed that every random choice hangs off.
    #[serde(default = "defaults::seed")]
    pub seed: u64,
    /// Where the networks live.
    #[serde(default)]
    pub backend: Backend,
    /// The number format of the networks and their kernels; f64 by default. The limit is always f64.
    #[serde(default = "double")]
    pub precision: Precision,
    /// The samples the kernels are compared on.
    pub data: SamplesConfig,
    /// The networks at one width; [`WidthsConfig::widths`] scales them.
    pub architecture: ArchitectureConfig,
    /// Which networks.
    pub compare: WidthsConfig,
    /// Training, for the change of the kernel on the way; left out if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<MovementConfig>,
}

/// The samples the kernels are compared on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplesConfig {
    /// `mnist01` (in the program), `mnist` (after `widenet data fetch mnist`), or a folder with four IDX files named
    /// as MNIST's.
    #[serde(default = "defaults::source")]
    pub source: String,
    /// The two digits.
    #[serde(default = "defaults::classes", deserialize_with = "crate::config::two_classes")]
    pub classes: [u8; 2],
    /// The first so many training samples.
    pub samples: NonZeroUsize,
}

/// Which networks are compared with their limit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WidthsConfig {
    /// The widths, in ascending order: units or channels of the narrowest hidden layer. The others keep their ratio
    /// to it.
    #[serde(deserialize_with = "several")]
    pub widths: Vec<NonZeroUsize>,
    /// Networks per width; 5 by default.
    #[serde(default = "five")]
    pub seeds: NonZeroUsize,
}

/// Gradient descent on the samples, full batch, on the mean of losses without regularisation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MovementConfig {
    /// The loss.
    #[serde(default)]
    pub loss: LossConfig,
    /// Step size for the mean of losses.
    #[serde(deserialize_with = "positive")]
    pub learning_rate: f64,
    /// Number of steps.
    pub steps: NonZeroUsize,
}

fn double() -> Precision {
    Precision::F64
}

fn five() -> NonZeroUsize {
    NonZeroUsize::new(5).expect("5 is not 0")
}

fn several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NonZeroUsize>, D::Error> {
    let widths = ascending(deserializer)?;
    match widths.len() {
        0 | 1 => Err(serde::de::Error::custom("a slope needs at least two widths")),
        _ => Ok(widths),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{parse, to_toml};

    const SMALL: &str = "name = 'x'\n[data]\nsamples = 8\n[architecture.mlp]\nhidden = [4]\n[compare]\n\
                         widths = [8, 16]\n";

    fn read(text: &str) -> Result<CompareConfig, String> {
        parse(text, Path::new("c.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_written_out_and_read_back() {
        let config = read(SMALL).unwrap();
        assert_eq!((config.compare.seeds.get(), config.precision), (5, Precision::F64));
        let text = to_toml(&config);
        assert!(text.contains("seeds = 5") && text.contains("precision = \"f64\""), "{text}");
        assert_eq!(read(&text).unwrap(), config);
    }

    #[test]
    fn errors_point_at_the_line() {
        let refused = |from: &str, to: &str| read(&SMALL.replace(from, to)).unwrap_err();
        let error = refused("samples", "train");
        assert!(error.starts_with("c.toml:3: unknown field `train`"), "{error}");
        let error = refused("[8, 16]", "[0, 16]");
        assert!(error.starts_with("c.toml:7: ") && error.contains("zero"), "{error}");
        assert_eq!(refused("[8, 16]", "[]"), "c.toml:7: a slope needs at least two widths");
        assert_eq!(refused("[8, 16]", "[8, 8]"), "c.toml:7: widths must ascend, but 8 follows 8");
        let error = read(&format!("{SMALL}seeds = 0\n")).unwrap_err();
        assert!(error.starts_with("c.toml:8: ") && error.contains("zero"), "{error}");
        let error = read(&format!("{SMALL}[training]\nlearning_rate = 0.0\nsteps = 1\n")).unwrap_err();
        assert_eq!(error, "c.toml:9: 0 is not a finite number > 0");
    }
}
