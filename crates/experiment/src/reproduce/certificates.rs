//! Certified radii of machines and of networks of finite width, beside an attack: what Tables 2 and 3 are made of.

use ndarray::{ArrayView1, ArrayView2, s};
use serde::{Deserialize, Serialize};
use widenet_certify::{
    AttackEffort, CentredNetwork, CertifyError, DenseMachine, Effort, Method, NetworkMethod, Norm, Profile, Sample,
    Threat,
};
use widenet_data::Dataset;
use widenet_machine::is_right;

use super::Scale;
use super::figure::{Run, figure_a1_run};
use crate::certify::{MACHINE_START, NETWORK_START, check_sound, each, evenly_spaced};
use crate::error::Error;
use crate::judgement::DASH;

/// The paper's radii are in the l_inf norm, without a domain.
const THREAT: Threat = Threat { norm: Norm::Inf, domain: None };

/// How many test samples every method takes.
pub fn samples(scale: Scale) -> usize {
    match scale {
        Scale::Smoke => 4,
        Scale::Paper => 100,
    }
}

/// A machine under every method. Radii are means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineRow {
    pub model: String,
    /// Of the sum form.
    pub lambda: f64,
    /// On all test samples.
    pub test_accuracy: f64,
    pub sum_abs_alpha: f64,
    pub support: usize,
    /// Evenly spaced test samples, for what is not said to be otherwise.
    pub samples: usize,
    /// By the published code, on all test samples.
    pub interval_published: f64,
    pub published_samples: usize,
    pub interval: f64,
    pub relaxation: f64,
    pub taylor: f64,
    pub best: f64,
    pub attack: f64,
    pub best_over_attack: f64,
    pub least_best_over_attack: f64,
    /// Processor seconds of a thread, for the three certificates together.
    pub seconds_per_image: f64,
}

/// A network of finite width under every method. Radii are means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkRow {
    pub width: usize,
    /// Trained, or started at the machine's solution.
    pub trained: bool,
    pub test_accuracy: f64,
    pub samples: usize,
    pub interval_published: f64,
    pub interval: f64,
    pub relaxation: f64,
    pub attack: f64,
    /// Processor seconds of a thread, for all methods and the attack.
    pub seconds_per_image: f64,
}

/// The machine of the published training, and its network: Figure A.1 has them too.
pub fn published_run(scale: Scale, width: usize) -> Result<Run, Error> {
    figure_a1_run(scale, width, "last-layer", "batch-decay")
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

/// Seconds for which this thread has had a processor; NaN where the system does not tell.
fn thread_seconds() -> f64 {
    let started = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = started.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or(f64::NAN, |nanoseconds| 1e-9 * nanoseconds)
}

/// Computes something for every one of some samples.
fn over<T: Send>(
    what: &str,
    samples: Vec<usize>,
    compute: impl Fn(usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let progress = crate::progress::bar(samples.len(), "{msg:24} {bar:30} {pos} of {len} samples, ETA {eta}");
    each(&progress.with_message(what.to_string()), samples, compute)
}

/// Every method on a machine with the two-layer limit kernel.
pub fn measure_machine(
    model: &str,
    lambda: f64,
    (machine, sum_abs_alpha): &(DenseMachine, f64),
    test: &Dataset,
    samples: usize,
) -> Result<MachineRow, Error> {
    let sample = |i: usize| -> Result<_, CertifyError> { Sample::new(machine, test.inputs.row(i), THREAT) };
    let published = over(model, (0..test.len()).collect(), |i| {
        let sample = sample(i)?;
        Ok((sample.published(MACHINE_START), is_right(sample.value(), test.labels[i])))
    })?;
    let radii = over(model, evenly_spaced(samples, test.len()), |i| {
        let sample = sample(i)?;
        let attack = sample.attack(AttackEffort::default(), 0).map_or(f64::INFINITY, |found| found.radius);
        let started = thread_seconds();
        let [interval, relaxation, taylor] =
            Method::SINGLE.map(|method| sample.certify(method, Effort::default(), Some(attack)).radius);
        let seconds = thread_seconds() - started;
        let best = interval.max(relaxation).max(taylor);
        check_sound(model, i, best, attack)?;
        Ok([interval, relaxation, taylor, best, attack, seconds])
    })?;
    let column = |k: usize| mean(radii.iter().map(|r| r[k]));
    Ok(MachineRow {
        model: model.into(),
        lambda,
        test_accuracy: mean(published.iter().map(|(_, right)| f64::from(u8::from(*right)))),
        sum_abs_alpha: *sum_abs_alpha,
        support: machine.support(),
        samples: radii.len(),
        interval_published: mean(published.iter().map(|(radius, _)| *radius)),
        published_samples: published.len(),
        interval: column(0),
        relaxation: column(1),
        taylor: column(2),
        best: column(3),
        attack: column(4),
        best_over_attack: column(3) / column(4),
        least_best_over_attack: radii.iter().map(|r| r[3] / r[4]).fold(f64::INFINITY, f64::min),
        seconds_per_image: column(5),
    })
}

/// Every method on a network, less its initialisation.
pub fn measure_network(
    (width, trained): (usize, bool),
    network: CentredNetwork,
    test: &Dataset,
    samples: usize,
) -> Result<NetworkRow, Error> {
    let model = format!("width {width}");
    let radii = over(&model, evenly_spaced(samples, test.len()), |i| {
        let x = test.inputs.row(i);
        let started = thread_seconds();
        let attack = network.attack(x, THREAT, AttackEffort::default(), 0)?;
        let attack = attack.map_or(f64::INFINITY, |found| found.radius);
        let published = network.published(x, NETWORK_START);
        let [interval, relaxation] = [NetworkMethod::Interval, NetworkMethod::Crown]
            .map(|method| network.certify(x, THREAT, method, Effort::default().precision));
        let (interval, relaxation) = (interval?, relaxation?);
        check_sound(&model, i, interval.max(relaxation), attack)?;
        Ok([published, interval, relaxation, attack, thread_seconds() - started])
    })?;
    // So many together that the weights of a wide network are not read for every sample.
    const TOGETHER: usize = 64;
    let starts = (0..test.len()).step_by(TOGETHER).collect();
    let right = over(&model, starts, |start| {
        let rows = start..test.len().min(start + TOGETHER);
        let values = network.values(test.inputs.slice(s![rows.clone(), ..]));
        Ok(values.iter().zip(test.labels.slice(s![rows])).filter(|(value, label)| is_right(**value, **label)).count())
    })?;
    let column = |k: usize| mean(radii.iter().map(|r| r[k]));
    Ok(NetworkRow {
        width,
        trained,
        test_accuracy: right.iter().sum::<usize>() as f64 / test.len() as f64,
        samples: radii.len(),
        interval_published: column(0),
        interval: column(1),
        relaxation: column(2),
        attack: column(3),
        seconds_per_image: column(4),
    })
}

/// A machine on samples `[n, d]`, with the kernel of infinite width of one hidden layer, and `sum_i |alpha_i|`.
pub fn dense_machine(inputs: ArrayView2<f64>, coefficients: ArrayView1<f64>) -> Result<(DenseMachine, f64), Error> {
    let sum = coefficients.iter().map(|alpha| alpha.abs()).sum();
    Ok((DenseMachine::new(inputs, coefficients, 0.0, Profile::new(1)?, 1.0)?, sum))
}

/// Three digits or more, without an exponent where none is needed; a dash where there is no number.
pub fn sensible(value: f64) -> String {
    match value {
        // An attack that found nothing has no radius.
        v if !v.is_finite() => DASH.into(),
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 1.0 => format!("{v:.1}"),
        v if v >= 0.01 => format!("{v:.3}"),
        v => format!("{v:.2e}"),
    }
}
