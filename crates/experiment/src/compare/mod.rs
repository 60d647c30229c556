//! `widenet compare`: the tangent kernels of finite networks against their limit, over widths and seeds.

mod config;
mod measures;
mod movement;
mod output;
mod pictures;

use std::time::Instant;

use burn::tensor::Device;
use indicatif::ProgressBar;
use ndarray::Array2;
use rand::Rng;
use widenet_data::Dataset;
use widenet_model::{Architecture, Network, Purpose, Shape, stream};
use widenet_store::numbers::{count, number};
use widenet_tangent::{EmpiricalKernel, Kernel, LimitKernel, LimitKind};

use crate::config::DataConfig;
use crate::data_source;
use crate::error::Error;
use crate::run_folder::{self, Early, RunFolder};
use crate::train::{Finished, Places};

pub use crate::slope::{Slope, student};
pub use config::{CompareConfig, MovementConfig, SamplesConfig, WidthsConfig};
pub use measures::{LEADING, Measures, Spectrum, alignment, largest_error, relative_error};

/// Compares networks with their limit as `config` says.
///
/// # Errors
///
/// When anything asked for is impossible (nothing is written then), or when the run folder cannot be written.
pub fn compare(config: &CompareConfig, places: &Places) -> Result<Finished, Error> {
    RunFolder::check(&places.run, places.existing)?;
    let device = crate::probe::open(config.backend, config.precision)?;
    let data = samples(config, places)?;
    let architecture = config.architecture.build(Shape::Image(data.shape))?;
    let limit = LimitKernel::new(&architecture, LimitKind::Ntk)?;
    if architecture.width().is_none() {
        return Err(Error::Setting("architecture: without a hidden layer there is no width to vary".into()));
    }
    let networks: Vec<Architecture> =
        config.compare.widths.iter().map(|&width| architecture.with_width(width)).collect::<Result<_, _>>()?;
    check_seeds("compare.seeds", config.compare.seeds.get())?;
    networks.last().map_or(Ok(()), |widest| check_memory(config, widest))?;

    let _looking = crate::signals::Job::looking();
    let configuration = crate::config::to_toml(config);
    let folder = RunFolder::create(&places.run, places.existing, &configuration, Early::Removed)?;
    let setup = Setup { config, data: &data, networks, device };
    setup.announce();
    let comparison = setup.compute(&limit)?;
    let finished = output::finish(&folder, &setup, &comparison)?;
    run_folder::finish(folder, finished)
}

/// What is compared, all of it checked.
struct Setup<'a> {
    config: &'a CompareConfig,
    data: &'a Dataset,
    /// The architecture at every width, in ascending order.
    networks: Vec<Architecture>,
    device: Device,
}

/// Everything that was computed.
struct Comparison {
    /// The limit's kernel matrix.
    limit: Array2<f64>,
    limit_spectrum: Spectrum,
    /// In ascending order, at least two.
    widths: Vec<Width>,
    limit_seconds: f64,
}

/// All networks of one width.
struct Width {
    width: usize,
    parameters: usize,
    runs: Vec<Run>,
    /// The mean kernel over the seeds, against the limit.
    of_mean: Measures,
    /// The kernel of the first network, and its spectrum.
    first: Array2<f64>,
    first_spectrum: Spectrum,
    /// `|K(T) - K(0)|_F / |K(0)|_F` of the first network after training.
    movement: Option<f64>,
    seconds: f64,
}

/// One network.
struct Run {
    seed: u64,
    /// Its kernel against the limit.
    measures: Measures,
    /// The relative Frobenius error against the mean kernel over the seeds; none for a single seed.
    to_mean: Option<f64>,
}

impl Setup<'_> {
    /// Says on stderr what will be computed.
    fn announce(&self) {
        let config = self.config;
        let widths: Vec<String> = config.compare.widths.iter().map(ToString::to_string).collect();
        eprintln!(
            "{}: {} of {}; {} of each width {}; seed {}, {} on {}",
            config.name,
            count(self.data.len(), "sample"),
            self.data.name,
            count(config.compare.seeds.get(), "network"),
            widths.join(", "),
            config.seed,
            config.precision.name(),
            config.backend.name()
        );
    }

    fn compute(&self, limit: &LimitKernel) -> Result<Comparison, Error> {
        let started = Instant::now();
        let limit = limit.gram_symmetric(self.data.inputs.view())?;
        measurable("the limit", &limit)?;
        let limit_spectrum = Spectrum::of(limit.view())?;
        let limit_seconds = started.elapsed().as_secs_f64();
        let progress = self.progress_bar();
        let width = |architecture| self.width(architecture, (&limit, &limit_spectrum), &progress);
        let widths = self.networks.iter().map(width).collect::<Result<_, _>>()?;
        progress.finish_and_clear();
        Ok(Comparison { limit, limit_spectrum, widths, limit_seconds })
    }

    fn width(
        &self,
        architecture: &Architecture,
        (limit, limit_spectrum): (&Array2<f64>, &Spectrum),
        progress: &ProgressBar,
    ) -> Result<Width, Error> {
        let started = Instant::now();
        let width = architecture.width().expect("checked by compare");
        let seeds = seeds(self.config.seed, width, self.config.compare.seeds.get());
        let mut kernels = Vec::new();
        for (index, &seed) in seeds.iter().enumerate() {
            progress.set_message(format!("width {width}, network {} of {}", index + 1, seeds.len()));
            crate::signals::check()?;
            let network = Network::init(architecture, seed, self.config.precision, &self.device);
            kernels.push(EmpiricalKernel::new(&network).gram_symmetric(self.data.inputs.view())?);
            measurable(&format!("a network of width {width}, seed {seed}"), &kernels[index])?;
            progress.inc(architecture.parameter_count() as u64);
        }
        let movement = match &self.config.training {
            None => None,
            Some(training) => {
                progress.set_message(format!("width {width}, training"));
                Some(movement::relative_change(self, architecture, seeds[0], training)?)
            }
        };

        let measure = |kernel: &Array2<f64>| {
            let spectrum = Spectrum::of(kernel.view())?;
            Ok::<_, Error>((Measures::of(kernel, &spectrum, limit, limit_spectrum), spectrum))
        };
        let mean = kernels.iter().fold(Array2::zeros(limit.dim()), |sum, kernel| sum + kernel) / kernels.len() as f64;
        let run = |(&seed, kernel): (&u64, &Array2<f64>)| {
            let to_mean = (kernels.len() > 1).then(|| relative_error(kernel, &mean));
            Ok::<_, Error>(Run { seed, measures: measure(kernel)?.0, to_mean })
        };
        let runs = seeds.iter().zip(&kernels).map(run).collect::<Result<_, _>>()?;
        let of_mean = measure(&mean)?.0;
        let first = kernels.swap_remove(0);
        Ok(Width {
            width,
            parameters: architecture.parameter_count(),
            runs,
            of_mean,
            first_spectrum: Spectrum::of(first.view())?,
            first,
            movement,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// A bar on stderr that counts parameters, which the time goes with; nothing when stderr is not a terminal.
    fn progress_bar(&self) -> ProgressBar {
        let parameters: usize = self.networks.iter().map(Architecture::parameter_count).sum();
        crate::progress::bar(parameters * self.config.compare.seeds.get(), "{bar:30} {percent} % ETA {eta}  {msg}")
    }
}

impl Comparison {
    /// How the error of single networks falls with the width, over all of them.
    fn slope(&self, value: impl Fn(&Run) -> f64) -> Option<Slope> {
        Slope::fit(self.points(value))
    }

    /// How the error of the mean kernel falls with the width.
    fn slope_of_mean(&self) -> Option<Slope> {
        Slope::fit(self.widths.iter().map(|width| (width.width as f64, width.of_mean.relative_error)))
    }

    /// How the change of the kernel by training falls with the width.
    fn slope_of_movement(&self) -> Option<Slope> {
        Slope::fit(self.widths.iter().filter_map(|width| Some((width.width as f64, width.movement?))))
    }

    /// `(width, value)` of every network.
    fn points(&self, value: impl Fn(&Run) -> f64) -> Vec<(f64, f64)> {
        let runs = self.widths.iter().flat_map(|width| width.runs.iter().map(move |run| (width.width as f64, run)));
        runs.map(|(width, run)| (width, value(run))).collect()
    }

    fn narrowest(&self) -> &Width {
        &self.widths[0]
    }

    fn widest(&self) -> &Width {
        &self.widths[self.widths.len() - 1]
    }
}

/// Refuses a kernel beside which no share can be told: one that is 0, or whose squares leave the range of numbers.
fn measurable(whose: &str, kernel: &Array2<f64>) -> Result<(), Error> {
    let squares: f64 = kernel.iter().map(|value| value * value).sum();
    if squares.is_normal() {
        return Ok(());
    }
    Err(Error::Numerics(format!(
        "the kernel of {whose}: the sum of its squared entries is {}, and errors relative to it mean nothing; bring \
         sigma_w and sigma_b near 1",
        number(squares)
    )))
}

/// The samples, as the kernels see them.
fn samples(config: &CompareConfig, places: &Places) -> Result<Dataset, Error> {
    let SamplesConfig { source, classes, samples } = config.data.clone();
    let data = DataConfig { source, classes, train: Some(samples), test: None };
    Ok(data_source::open(&data, places.data.as_deref())?.train)
}

/// The most networks of a width.
const MOST_SEEDS: usize = 100_000;

/// Refuses more networks of a width than anybody means.
pub(crate) fn check_seeds(setting: &str, count: usize) -> Result<(), Error> {
    if count > MOST_SEEDS {
        return Err(Error::Setting(format!("{setting} is {count}: at most {MOST_SEEDS} networks of a width")));
    }
    Ok(())
}

/// The seeds of a width's networks. They do not repeat over widths, so that all networks are independent.
pub(crate) fn seeds(seed: u64, width: usize, count: usize) -> Vec<u64> {
    let mut stream = stream(seed, Purpose::Networks, width as u64);
    // 32 bits: such a number is the same in TOML, JSON and everything that reads them.
    (0..count).map(|_| u64::from(stream.next_u32())).collect()
}

/// Refuses a network whose weights, with a copy and a derivative of the same size, cannot fit, and kernels that cannot:
/// the limit's, one of each width, those of a width's seeds with their mean, and three for eigenvalues.
fn check_memory(config: &CompareConfig, widest: &Architecture) -> Result<(), Error> {
    let parameters = widest.parameter_count();
    let what = || format!("a network of {}", count(parameters, "parameter"));
    crate::memory::check_weights(config.backend, parameters, 3 * config.precision.bytes(), what)?;
    let matrices = (1 + config.compare.widths.len() + config.compare.seeds.get() + 1 + 3) as u64;
    let bytes = |n: u64| n.saturating_mul(n).saturating_mul(8 * matrices);
    crate::memory::check_samples(config.data.samples.get(), "data.samples", bytes)
}
