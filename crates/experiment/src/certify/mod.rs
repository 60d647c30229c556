//! `widenet certify`: certified radii and attacks, sample by sample.

mod command;
mod model;
mod output;
mod pictures;

use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use ndarray::{Array2, ArrayView1};
use rayon::prelude::*;
use widenet_certify::{Effort, Threat};
use widenet_data::Samples as Table;
use widenet_machine::{Classes, is_right};
use widenet_store::numbers::count;
use widenet_store::text::{quoted, visible};

use crate::backend::Backend;
use crate::config::DataConfig;
use crate::data_source;
use crate::error::Error;
use crate::run_folder::{self, Early, RunFolder, refuse_inputs};
use crate::train::{Finished, Places};
use crate::understood;

pub(crate) use command::{CertifyArgs, certify_command};
pub use command::{CertifyConfig, MethodName};
pub use model::{MACHINE_START, Model, NETWORK_START, Outcome};

/// Certifies and attacks test samples as `config` says.
///
/// # Errors
///
/// When anything asked for is impossible (nothing is written then), or when the run folder cannot be written.
pub fn certify(config: &CertifyConfig, places: &Places) -> Result<Finished, Error> {
    RunFolder::check(&places.run, places.existing)?;
    refuse_inputs(&places.run, &[&config.model, Path::new(&config.data)])?;
    let threat = Threat { norm: config.norm, domain: config.domain };
    let model = Model::read(&config.model)?;
    config.methods.iter().try_for_each(|method| model.check(*method, threat))?;
    if config.budget.is_some() && matches!(model, Model::Network { .. }) {
        return Err(Error::Setting("--budget is for machines: bounds of networks have nothing to branch on".into()));
    }
    let samples = Samples::load(config, places, &model)?;
    let count = count(samples.len(), "sample");
    eprintln!("{}: {}; {count}", visible(&config.model.to_string_lossy()), model.describe());

    check_memory(&model, samples.len())?;
    let _looking = crate::signals::Job::looking();
    let configuration = crate::config::to_toml(config);
    let folder = RunFolder::create(&places.run, places.existing, &configuration, Early::Removed)?;
    let started = Instant::now();
    let outcomes = outcomes(config, &model, &samples, threat)?;
    understood::warn_of_zeros(outcomes.iter().map(|outcome| &outcome.value), samples.inputs.view());
    let certified = Certified { config, model, samples, outcomes, seconds: started.elapsed().as_secs_f64() };
    let finished = output::finish(&folder, &certified)?;
    run_folder::finish(folder, finished)
}

/// Refuses a model whose bounds do not fit: every thread has a few matrices of its features beside its stack.
fn check_memory(model: &Model, samples: usize) -> Result<(), Error> {
    let (features, threads) = (model.features() as u64, rayon::current_num_threads().min(samples) as u64);
    let needed =
        features.saturating_mul(features).saturating_mul(4 * 8).saturating_add(2 << 20).saturating_mul(threads);
    let what = || format!("certifying samples of {features} features, {threads} at a time,");
    crate::memory::check(Backend::Flex, needed, what, |_| {
        (threads > 1).then(|| "RAYON_NUM_THREADS=1 needs less".into())
    })
}

/// Evenly spaced samples.
struct Samples {
    /// `[n, d]`.
    inputs: Array2<f64>,
    /// -1 and +1.
    labels: Vec<f64>,
    /// What the labels stand for.
    classes: [String; 2],
    /// Positions among all samples.
    positions: Vec<usize>,
    /// Channels, rows, columns.
    shape: [usize; 3],
}

impl Samples {
    fn load(config: &CertifyConfig, places: &Places, model: &Model) -> Result<Self, Error> {
        let path = Path::new(&config.data);
        if path.is_file() || config.data == "-" {
            return Self::of_table(path, config, model);
        }
        data_source::check_no_table(&config.told, &config.data)?;
        let digits = model.digits(config.classes)?;
        let data = DataConfig { source: config.data.clone(), classes: digits, train: None, test: None };
        let split = data_source::load(&data, places.data.as_deref())?;
        let line = understood::split(&data, &split);
        let test = split.test;
        let (found, expected) = (test.inputs.ncols(), model.features());
        if found != expected {
            let problem = format!("an image of {} has {}, the model {expected}", config.data, count(found, "feature"));
            return Err(Error::Setting(format!("{problem}: --data names its samples")));
        }
        eprintln!("{line}");
        let classes = digits.map(|digit| digit.to_string());
        Ok(Self::spaced(config, &test.inputs, test.labels.to_vec(), classes, test.shape))
    }

    fn of_table(path: &Path, config: &CertifyConfig, model: &Model) -> Result<Self, Error> {
        if config.classes.is_some() {
            return Err(Error::Setting("--classes is for images: a table's classes are the model's".into()));
        }
        let classes = model.classes();
        let table: Table = data_source::table(path, &config.told, Some(&model.known()), None)?;
        if table.target.known().next().is_none() {
            return Err(Error::file(table.origin.path, "has no labels: certified accuracy is about right decisions"));
        }
        eprintln!("{}", understood::samples(&table, understood::Labels::of_classes(&classes, &table)));
        let label = |(i, label): (usize, &Option<String>)| {
            let Some(label) = label else { return Err(Error::file(table.origin.place(i), "the label is missing")) };
            match Classes::position(&classes, label) {
                Some(class) => Ok(if class == 0 { -1.0 } else { 1.0 }),
                None => {
                    let (label, classes) = (quoted(label), understood::list(&classes));
                    let problem = format!("sample {}: {label} is not one of the model's classes {classes}", i + 1);
                    Err(Error::file(table.origin.place(i), problem))
                }
            }
        };
        let labels = table.target.labels.iter().enumerate().map(label).collect::<Result<_, _>>()?;
        let shape = [1, 1, table.inputs.ncols()];
        Ok(Self::spaced(config, &table.inputs, labels, classes, shape))
    }

    /// Those that are taken.
    fn spaced(
        config: &CertifyConfig,
        inputs: &Array2<f64>,
        labels: Vec<f64>,
        classes: [String; 2],
        shape: [usize; 3],
    ) -> Self {
        let positions = evenly_spaced(config.n.get(), labels.len());
        Self {
            inputs: inputs.select(ndarray::Axis(0), &positions),
            labels: positions.iter().map(|&i| labels[i]).collect(),
            classes,
            positions,
            shape,
        }
    }

    fn len(&self) -> usize {
        self.positions.len()
    }

    fn input(&self, k: usize) -> ArrayView1<'_, f64> {
        self.inputs.row(k)
    }
}

/// The positions of `count` of `n` samples, or all of them.
pub fn evenly_spaced(count: usize, n: usize) -> Vec<usize> {
    let count = count.min(n);
    (0..count).map(|k| k * n / count).collect()
}

/// Everything that was computed.
struct Certified<'a> {
    config: &'a CertifyConfig,
    model: Model,
    samples: Samples,
    /// One for each sample.
    outcomes: Vec<Outcome>,
    seconds: f64,
}

impl Certified<'_> {
    /// Whether a sample is decided as its label says.
    fn right(&self, k: usize) -> bool {
        is_right(self.outcomes[k].value, self.samples.labels[k])
    }

    /// The radii of the method at a position of the configuration, sample by sample.
    fn radii(&self, method: usize) -> Vec<f64> {
        self.outcomes.iter().map(|outcome| outcome.radii[method]).collect()
    }

    /// The attack's radii; infinite where it found nothing.
    fn attacks(&self) -> Vec<f64> {
        self.outcomes.iter().map(|outcome| outcome.adversary.as_ref().map_or(f64::INFINITY, |a| a.radius)).collect()
    }

    /// Every method with its radii, and the attack, which is no method but an upper bound.
    fn columns(&self) -> Vec<(&'static str, Vec<f64>)> {
        let methods = self.config.methods.iter().enumerate();
        let mut columns: Vec<_> = methods.map(|(k, method)| (method.name(), self.radii(k))).collect();
        columns.push((ATTACK, self.attacks()));
        columns
    }

    /// How many samples the attack left as they are decided.
    fn unattacked(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.adversary.is_none()).count()
    }

    /// The mean radius of every method, and that of the attack, over the samples where the attack found something; none
    /// where it found nothing.
    fn beside_attack(&self) -> Option<(Vec<(MethodName, f64)>, f64)> {
        let found: Vec<(&Outcome, f64)> =
            self.outcomes.iter().filter_map(|outcome| Some((outcome, outcome.adversary.as_ref()?.radius))).collect();
        let count = found.len() as f64;
        let mean = |k: usize| found.iter().map(|(outcome, _)| outcome.radii[k]).sum::<f64>() / count;
        let methods = self.config.methods.iter().enumerate().map(|(k, method)| (*method, mean(k))).collect();
        (!found.is_empty()).then(|| (methods, found.iter().map(|(_, attack)| attack).sum::<f64>() / count))
    }

    /// The share of samples that are decided rightly.
    fn clean_accuracy(&self) -> f64 {
        self.accuracy(&vec![0.0; self.samples.len()], 0.0)
    }

    /// The share of samples that are decided rightly, and still are within a radius.
    fn accuracy(&self, radii: &[f64], radius: f64) -> f64 {
        let kept = (0..radii.len()).filter(|&k| self.right(k) && radii[k] >= radius).count();
        kept as f64 / radii.len() as f64
    }
}

/// The name of the attack's column.
const ATTACK: &str = "attack";

fn outcomes(config: &CertifyConfig, model: &Model, samples: &Samples, threat: Threat) -> Result<Vec<Outcome>, Error> {
    let effort = Effort {
        budget: config.budget.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)),
        ..Effort::default()
    };
    let progress = crate::progress::bar(samples.len(), "{bar:30} {pos} of {len} samples, ETA {eta}");
    each(&progress, (0..samples.len()).collect(), |k| {
        let position = samples.positions[k];
        let outcome = model.certify(samples.input(k), &config.methods, threat, effort);
        let outcome = outcome.map_err(|source| Error::Sample { position, source })?;
        sound(config, position, &outcome)?;
        Ok(outcome)
    })
}

/// Computes something for every sample, in parallel, one step of a progress bar each.
pub fn each<T: Send>(
    progress: &ProgressBar,
    samples: Vec<usize>,
    compute: impl Fn(usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let found =
        samples.into_par_iter().map(|k| crate::signals::check().and_then(|()| compute(k)).inspect(|_| progress.inc(1)));
    let found = found.collect();
    progress.finish_and_clear();
    found
}

/// Checks every method that promises something.
fn sound(config: &CertifyConfig, position: usize, outcome: &Outcome) -> Result<(), Error> {
    let attack = outcome.adversary.as_ref().map_or(f64::INFINITY, |adversary| adversary.radius);
    let methods = config.methods.iter().zip(&outcome.radii).filter(|(method, _)| **method != MethodName::Published);
    methods.into_iter().try_for_each(|(method, radius)| check_sound(method.name(), position, *radius, attack))
}

/// No proof stands against a counterexample: a certificate above a successful attack is a defect of this program.
pub fn check_sound(who: &str, position: usize, proven: f64, attack: f64) -> Result<(), Error> {
    if proven <= attack {
        return Ok(());
    }
    Err(Error::Numerics(format!(
        "a certificate of sample {position}: {who} proves {proven}, but an attack succeeds at {attack}; please report it"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use std::path::PathBuf;
    use widenet_certify::{Adversary, Norm};
    use widenet_data::Told;

    fn config(methods: Vec<MethodName>) -> CertifyConfig {
        CertifyConfig {
            model: PathBuf::from("machine.npz"),
            data: "mnist01".into(),
            told: Told::default(),
            classes: None,
            n: 1.try_into().unwrap(),
            methods,
            norm: Norm::Inf,
            domain: None,
            budget: None,
            radii: vec![],
        }
    }

    #[test]
    fn a_certificate_above_an_attack_is_told() {
        let adversary = Some(Adversary { input: array![0.0], radius: 0.1 });
        let outcome =
            |radius: f64| Outcome { value: 1.0, radii: vec![radius], winner: None, adversary: adversary.clone() };
        assert!(sound(&config(vec![MethodName::Interval]), 7, &outcome(0.1)).is_ok());
        let error = sound(&config(vec![MethodName::Interval]), 7, &outcome(0.11)).unwrap_err().to_string();
        assert!(error.contains("sample 7") && error.contains("0.11"), "{error}");
        // The published code promises nothing.
        assert!(sound(&config(vec![MethodName::Published]), 7, &outcome(0.11)).is_ok());
    }
}
