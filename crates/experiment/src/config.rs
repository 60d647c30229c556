//! The configuration of a run: every default in one place.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;
use toml_edit::DocumentMut;
use widenet_machine::{Decay, LossConfig};
use widenet_model::{ArchitectureConfig, Precision};
use widenet_store::numbers::number;
use widenet_store::text::{one_line, shown};

use crate::backend::Backend;
use crate::overrides::override_with;
pub use crate::toml_text::to_toml;

/// Everything that decides what a run computes. Read from TOML; unknown keys are errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the run and, by default, of its folder.
    #[serde(deserialize_with = "component")]
    pub name: String,
    /// The one seed that every random choice hangs off.
    #[serde(default = "defaults::seed")]
    pub seed: u64,
    /// Where tensors live.
    #[serde(default)]
    pub backend: Backend,
    /// The network's number format. Kernels of the limit and the machine are always f64.
    #[serde(default)]
    pub precision: Precision,
    /// What is learned.
    pub data: DataConfig,
    /// The network, and with it the limit kernel.
    pub architecture: ArchitectureConfig,
    /// What is minimised.
    pub objective: ObjectiveConfig,
    /// How.
    pub training: TrainingConfig,
    /// The kernel machine beside the network.
    #[serde(default)]
    pub machine: MachineConfig,
    /// What is written down on the way.
    #[serde(default)]
    pub record: RecordConfig,
}

/// What is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `mnist01` (in the program), `mnist` (after `widenet data fetch mnist`), or a folder with four IDX files named
    /// as MNIST's.
    #[serde(default = "defaults::source")]
    pub source: String,
    /// The two digits: the first becomes -1, the second +1.
    #[serde(default = "defaults::classes", deserialize_with = "two_classes")]
    pub classes: [u8; 2],
    /// Training samples, the first so many; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<NonZeroUsize>,
    /// Test samples, the first so many; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<NonZeroUsize>,
}

/// What is minimised: `lambda_mean/2 (regulariser) + (1/n) sum_i loss`.
///
/// The squared loss is `(z - y)^2`, without a factor 1/2: the `alpha` of scikit-learn's `KernelRidge` is
/// `n lambda_mean / 2`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveConfig {
    /// The loss of network and machine.
    #[serde(default)]
    pub loss: LossConfig,
    /// Regularisation in the mean form (`lambda = n lambda_mean`, `C = 1/lambda`).
    #[serde(deserialize_with = "not_negative")]
    pub lambda_mean: f64,
    /// What the network is held to; the machine always has `|beta|^2`.
    #[serde(default)]
    pub regulariser: Regulariser,
}

/// What the network's regulariser measures, in the units of its trained parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Regulariser {
    /// `|w - w_0|^2`: in the linear regime the output decays at the machine's own rate, so the network follows it.
    #[default]
    DistanceToInit,
    /// `|w_{L+1} / sqrt(m)|^2`, the paper's (Eq. 6): the output decays at `lambda / m` only, which vanishes as the
    /// width `m` grows.
    LastLayer,
    /// Nothing.
    None,
}

impl Regulariser {
    /// The name in configurations and captions.
    pub fn name(self) -> &'static str {
        match self {
            Regulariser::DistanceToInit => "distance-to-init",
            Regulariser::LastLayer => "last-layer",
            Regulariser::None => "none",
        }
    }
}

/// How network and machine are trained: the same steps on the same batches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Step size in the mean form (in the lambda form it is `learning_rate / n`).
    #[serde(deserialize_with = "positive")]
    pub learning_rate: f64,
    /// Number of steps.
    pub steps: NonZeroUsize,
    /// Samples in a batch; the full training set if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<NonZeroUsize>,
    /// Which of the network's parameters are trained.
    #[serde(default)]
    pub parameters: Parameters,
    /// Where network and machine start.
    #[serde(default)]
    pub start: Start,
}

/// Where network and machine start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// The network at random weights, the machine at 0.
    #[default]
    Init,
    /// The machine at the optimum of its objective, and the network at the weights that realise it to first order,
    /// `w_0 + sum_i alpha_i grad f(w_0, x_i)`.
    Machine,
}

/// Which of a network's parameters are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Parameters {
    /// All of them: the wide network becomes the machine with the tangent kernel.
    #[default]
    All,
    /// The output layer's alone: the wide network becomes the machine with the NNGP kernel.
    LastLayer,
}

impl Parameters {
    /// Why a network of which these parameters are trained does not follow a machine with this kernel, if it does not.
    pub fn mismatch(self, kernel: KernelName) -> Option<&'static str> {
        match (self, kernel) {
            (Parameters::LastLayer, KernelName::Limit) => Some(
                "of the network the last layer alone is trained, but the machine has the tangent kernel, of all layers: \
                 the network does not follow it, however wide (kernel = \"nngp\" is the last layer's)",
            ),
            (Parameters::All, KernelName::Nngp) => Some(
                "of the network all layers are trained, but the machine has the nngp kernel, of the last layer alone: the \
                 network does not follow it, however wide (kernel = \"limit\" is that of all layers)",
            ),
            _ => None,
        }
    }
}

/// The kernel machine beside the network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineConfig {
    /// Its kernel.
    #[serde(default)]
    pub kernel: KernelName,
    /// A file of `widenet kernel` on the same training and test samples, which has the kernel; computed if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gram: Option<PathBuf>,
    /// Which coefficients shrink in a minibatch step.
    #[serde(default)]
    pub decay: Decay,
}

/// The kernels a machine can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KernelName {
    /// The infinite-width tangent kernel of the architecture.
    #[default]
    Limit,
    /// The infinite-width covariance of the architecture's outputs over random weights, which is the kernel of a network
    /// of which the output layer alone is trained.
    Nngp,
    /// The network's own kernel at initialisation: of the parameters that are trained.
    Empirical,
}

impl KernelName {
    /// The name in configurations and captions.
    pub fn name(self) -> &'static str {
        match self {
            KernelName::Limit => "limit",
            KernelName::Nngp => "nngp",
            KernelName::Empirical => "empirical",
        }
    }
}

/// What is written down on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordConfig {
    /// About so many records, evenly spaced on a logarithmic axis of steps.
    #[serde(default = "defaults::points", deserialize_with = "points")]
    pub points: NonZeroUsize,
    /// Test samples whose outputs are followed, by position.
    #[serde(default = "defaults::probes", deserialize_with = "probes")]
    pub probes: Vec<usize>,
    /// Training samples on which the change of the empirical kernel is measured; 0 leaves it out.
    #[serde(default = "defaults::kernel_samples")]
    pub kernel_samples: usize,
    /// Train the linearised network too, which needs the network's own kernel at initialisation: the gap splits in
    /// two, the change of the network's kernel and that kernel's difference from the machine's.
    #[serde(default = "defaults::linearised")]
    pub linearised: bool,
}

impl Default for RecordConfig {
    fn default() -> Self {
        Self {
            points: defaults::points(),
            probes: defaults::probes(),
            kernel_samples: defaults::kernel_samples(),
            linearised: defaults::linearised(),
        }
    }
}

/// The defaults, in one place.
pub(crate) mod defaults {
    use std::num::NonZeroUsize;

    pub fn seed() -> u64 {
        1
    }

    pub fn source() -> String {
        "mnist01".into()
    }

    pub fn classes() -> [u8; 2] {
        [0, 1]
    }

    pub fn points() -> NonZeroUsize {
        NonZeroUsize::new(40).expect("40 is not 0")
    }

    pub fn probes() -> Vec<usize> {
        vec![0, 1, 2, 3]
    }

    pub fn kernel_samples() -> usize {
        64
    }

    pub fn linearised() -> bool {
        true
    }
}

pub(crate) fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(serde::de::Error::custom(format!("{} is not a finite number > 0", number(value))))
}

pub(crate) fn not_negative<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let value = f64::deserialize(deserializer)?;
    if value.is_finite() && value >= 0.0 {
        return Ok(value);
    }
    Err(serde::de::Error::custom(format!("{} is not a finite number >= 0", number(value))))
}

/// The most records of a run.
const MOST_POINTS: usize = 100_000;

/// A number of records that anybody can mean.
pub(crate) fn points<'de, D: Deserializer<'de>>(deserializer: D) -> Result<NonZeroUsize, D::Error> {
    let points = NonZeroUsize::deserialize(deserializer)?;
    if points.get() <= MOST_POINTS {
        return Ok(points);
    }
    Err(serde::de::Error::custom(format!("points is {points}: at most {MOST_POINTS} records are kept")))
}

/// Widths, from the narrowest on, each once.
pub(crate) fn ascending<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<NonZeroUsize>, D::Error> {
    let widths = Vec::<NonZeroUsize>::deserialize(deserializer)?;
    match widths.windows(2).find(|pair| pair[0] >= pair[1]) {
        None => Ok(widths),
        Some(pair) => Err(serde::de::Error::custom(format!("widths must ascend, but {} follows {}", pair[1], pair[0]))),
    }
}

/// Values of a list of which each is there once; `what` names one, and `key` is what is told apart.
pub(crate) fn once<'de, D, T, K>(deserializer: D, what: &str, key: impl Fn(&T) -> K) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
    K: PartialEq + std::fmt::Debug,
{
    let values = Vec::<T>::deserialize(deserializer)?;
    let keys: Vec<K> = values.iter().map(key).collect();
    match (1..keys.len()).find(|&i| keys[..i].contains(&keys[i])) {
        None => Ok(values),
        Some(i) => Err(serde::de::Error::custom(format!("the {what} {:?} is there twice", keys[i]))),
    }
}

fn probes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<usize>, D::Error> {
    once(deserializer, "probe", |probe| *probe)
}

/// A name that a folder can have: one component of a path.
pub(crate) fn component<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let one = Path::new(&name).file_name().is_some_and(|file| file == name.as_str());
    if one && name.len() <= 200 && !name.contains(['/', '\\']) && !name.chars().any(char::is_control) {
        return Ok(name);
    }
    Err(serde::de::Error::custom(format!("the name {name:?} is not the name of a folder: no /, nor . or .. alone")))
}

/// Exactly two: of a longer list serde would take the first two.
pub(crate) fn two_classes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 2], D::Error> {
    let classes = Vec::<u8>::deserialize(deserializer)?;
    classes.try_into().map_err(|classes: Vec<u8>| {
        let problem = format!("{classes:?} is not two classes: more or fewer than two are not supported yet");
        serde::de::Error::custom(problem)
    })
}

/// Why a configuration was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is not a configuration.
    #[error("{}{}: {problem}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Text {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong, in one line.
        problem: String,
    },
    /// An override is not `key.path=value`, or sets what cannot be.
    #[error("--set {}: {problem}", shown(text))]
    Override {
        /// The override as given.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl Config {
    /// Reads a configuration file; see [`load`].
    ///
    /// # Errors
    ///
    /// As for [`load`].
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        load(path, overrides)
    }

    /// Reads a configuration from text; `path` is for messages.
    ///
    /// # Errors
    ///
    /// As for [`load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        parse(text, path)
    }

    /// The configuration as TOML, with every default written out.
    pub fn to_toml(&self) -> String {
        to_toml(self)
    }

    /// [`Config::to_toml`] for people who look for a key: those that are absent stand as comments in their tables.
    pub fn to_toml_with_absent(&self) -> String {
        let mut text = self.to_toml();
        for (table, key, meaning) in ABSENT {
            let header = format!("[{table}]\n");
            let document: DocumentMut = text.parse().expect("written by to_toml");
            if document.get(table).and_then(|table| table.get(key)).is_none() {
                text = text.replacen(&header, &format!("{header}# {key}: absent, {meaning}\n"), 1);
            }
        }
        text
    }
}

/// The keys that may be absent, and what that means.
const ABSENT: [(&str, &str, &str); 4] = [
    ("data", "test", "all test samples are taken"),
    ("data", "train", "all training samples are taken"),
    ("training", "batch_size", "every step takes all training samples"),
    ("machine", "gram", "the kernel is computed"),
];

impl ConfigError {
    /// The same error as `command` tells it: of another command's file it says whose it is.
    pub(crate) fn of_command(self, command: &str) -> Self {
        match self {
            ConfigError::Text { path, line, problem } => {
                let problem = match command_of(&path).filter(|&other| other != command) {
                    Some(other) => format!("{problem}; this file is for `widenet {other}`"),
                    None => problem,
                };
                ConfigError::Text { path, line, problem }
            }
            error => error,
        }
    }
}

/// The command that takes a file, by the table that no other command's files have.
fn command_of(path: &Path) -> Option<&'static str> {
    let document: DocumentMut = std::fs::read_to_string(path).ok()?.parse().ok()?;
    let tables = [("study", "study"), ("compare", "compare"), ("objective", "train")];
    tables.into_iter().find_map(|(table, command)| document.contains_key(table).then_some(command))
}

/// Reads a command's configuration file and applies overrides of the form `key.path=value`, where the value is TOML,
/// or else a string.
///
/// # Errors
///
/// When the file cannot be read, is not TOML, or has an unknown key or a value of the wrong type or range; the
/// message has the line.
pub fn load<T: DeserializeOwned>(path: &Path, overrides: &[String]) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
    load_text(&text, path, overrides)
}

/// [`load`] from text; `path` is for messages.
///
/// # Errors
///
/// As for [`load`].
pub fn load_text<T: DeserializeOwned>(text: &str, path: &Path, overrides: &[String]) -> Result<T, ConfigError> {
    // The file as it is comes first: what is wrong in it is reported at its own lines.
    let config = parse(text, path)?;
    if overrides.is_empty() {
        return Ok(config);
    }
    let document = text.parse().map_err(|error| text_error(text, path, &error))?;
    override_with(overrides, document, config)
}

/// Reads a configuration from text; `path` is for messages.
///
/// # Errors
///
/// As for [`load`].
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml_edit::de::from_str(text).map_err(|error: toml_edit::de::Error| ConfigError::Text {
        path: path.into(),
        line: error.span().map(|span| line_of(text, span.start)),
        problem: one_line(error.message()),
    })
}

/// The first key at which two configurations differ, with both values.
pub(crate) fn difference(before: &impl Serialize, now: &impl Serialize) -> Option<String> {
    fn at(key: &str, before: Option<&Json>, now: Option<&Json>) -> Option<String> {
        if before == now {
            return None;
        }
        if let (Some(Json::Object(before)), Some(Json::Object(now))) = (before, now) {
            let below = |name: &String| if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
            let mut names = before.keys().chain(now.keys());
            return names.find_map(|name| at(&below(name), before.get(name), now.get(name)));
        }
        let text = |value: Option<&Json>| value.map_or("absent".into(), Json::to_string);
        Some(one_line(&format!("{key} was {} and is {} now", text(before), text(now))))
    }
    let [before, now] = [serde_json::to_value(before), serde_json::to_value(now)];
    at("", before.ok().as_ref(), now.ok().as_ref())
}

fn text_error(text: &str, path: &Path, error: &toml_edit::TomlError) -> ConfigError {
    ConfigError::Text {
        path: path.into(),
        line: error.span().map(|span| line_of(text, span.start)),
        problem: one_line(error.message()),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use widenet_machine::EpsilonInsensitive;

    const QUICK: &str = "name = 'x'\n[data]\ntrain = 8\n[architecture.mlp]\nhidden = [4]\n[objective]\n\
                         lambda_mean = 0.1\n[training]\nlearning_rate = 1.0\nsteps = 10\n";

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("c.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_are_written_out_and_read_back() {
        let config = parse(QUICK).unwrap();
        assert_eq!(config.objective.regulariser, Regulariser::DistanceToInit);
        let text = config.to_toml();
        assert!(text.contains("kernel = \"limit\""), "{text}");
        assert_eq!(parse(&text).unwrap(), config);
    }

    #[test]
    fn a_name_is_one_component_of_a_path() {
        for name in ["", ".", "..", "/", "a/b", "../a", "a/", "a\\\\b", "a\\nb"] {
            let error = parse(&QUICK.replace("'x'", &format!("\"{name}\""))).unwrap_err();
            assert!(error.starts_with("c.toml:1: the name \""), "{error}");
        }
        assert_eq!(parse(&QUICK.replace("'x'", "'.a b-ü'")).unwrap().name, ".a b-ü");
    }

    #[test]
    fn errors_point_at_the_line() {
        let error = parse(&QUICK.replace("hidden", "hiden")).unwrap_err();
        assert!(error.starts_with("c.toml:5: unknown field `hiden`"), "{error}");
        let error = parse(&QUICK.replace("[4]", "[0]")).unwrap_err();
        assert!(error.starts_with("c.toml:5: ") && error.contains("zero"), "{error}");
        let error = parse(&QUICK.replace("1.0", "-1.0")).unwrap_err();
        assert_eq!(error, "c.toml:9: -1 is not a finite number > 0");
        let error = parse(&QUICK.replace("steps = 10", "steps = 'many'")).unwrap_err();
        assert!(error.starts_with("c.toml:10: invalid type"), "{error}");
        let error = parse(&format!("{QUICK}\n[record]\npoints = 9223372036854775807\n")).unwrap_err();
        assert_eq!(error, "c.toml:13: points is 9223372036854775807: at most 100000 records are kept");
        let error = parse(&QUICK.replace("[data]", "[data")).unwrap_err();
        assert!(error.starts_with("c.toml:2"), "{error}");
        let error = parse(&format!("{QUICK}\n[machine]\nkernel = 'rbf'\n")).unwrap_err();
        assert!(error.starts_with("c.toml:13: unknown variant `rbf`"), "{error}");
    }

    #[test]
    fn what_is_there_twice_is_refused() {
        let with = |probes: &str| parse(&format!("{QUICK}\n[record]\nprobes = {probes}\n"));
        assert_eq!(with("[3, 1]").unwrap().record.probes, [3, 1]);
        assert_eq!(with("[3, 1, 3]").unwrap_err(), "c.toml:13: the probe 3 is there twice");
    }

    #[test]
    fn keys_are_shown_in_one_short_line() {
        let error = parse(&format!("{QUICK}\"\\u001b[2J\\n{}\" = 1\n", "x".repeat(10_000))).unwrap_err();
        assert!(error.starts_with("c.toml:11: unknown field `\\u{1b}[2J xxx"), "{error}");
        assert!(error.len() < 500 && error.ends_with("..."), "{error}");
    }

    #[test]
    fn losses_have_names_and_parameters() {
        let with = |loss: &str| parse(&QUICK.replace("lambda_mean", &format!("loss = {loss}\nlambda_mean")));
        let loss = |text: &str| with(text).unwrap().objective.loss;
        assert_eq!(loss("'squared_hinge'"), LossConfig::SquaredHinge);
        let epsilon = |epsilon| LossConfig::EpsilonInsensitive(EpsilonInsensitive::new(epsilon).unwrap());
        assert_eq!(loss("{ epsilon_insensitive = { epsilon = 0.5 } }"), epsilon(0.5));
        assert_eq!(loss("{ epsilon_insensitive = {} }"), epsilon(0.1));
        let config = with("{ epsilon_insensitive = { epsilon = 0.5 } }").unwrap();
        assert_eq!(parse(&config.to_toml()).unwrap(), config);
        let error = with("{ epsilon_insensitive = { epsilon = -1.0 } }").unwrap_err();
        assert_eq!(error, "c.toml:7: epsilon is -1: it must be a finite number >= 0");
        assert!(with("'huber'").unwrap_err().starts_with("c.toml:7: unknown variant `huber`"));
    }

    #[test]
    fn absent_keys_stand_as_comments() {
        let config = parse(QUICK).unwrap();
        let text = config.to_toml_with_absent();
        assert_eq!(parse(&text).unwrap(), config);
        for key in ["test", "batch_size", "gram"] {
            assert!(text.contains(&format!("\n# {key}: absent")), "{text}");
        }
        assert!(text.contains("\ntrain = 8\n") && !text.contains("# train"), "{text}");
        // Every table that has such keys is written.
        assert_eq!(text.lines().filter(|line| line.starts_with('#')).count(), ABSENT.len() - 1);
    }

    #[test]
    fn the_first_difference_is_named_with_both_values() {
        let config = parse(QUICK).unwrap();
        let to = |from: &str, to: &str| difference(&config, &parse(&QUICK.replace(from, to)).unwrap());
        assert_eq!(to("steps = 10", "steps = 10"), None);
        assert_eq!(to("steps = 10", "steps = 20").unwrap(), "training.steps was 10 and is 20 now");
        assert_eq!(to("train = 8", "").unwrap(), "data.train was 8 and is absent now");
        assert_eq!(to("[4]", "[4, 4]").unwrap(), "architecture.mlp.hidden was [4] and is [4,4] now");
    }
}
