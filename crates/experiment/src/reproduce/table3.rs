//! Table 3: nine machines, and what their certificates measure.

use std::time::Instant;

use ndarray::Array1;
use serde_json::json;
use widenet_data::Split;
use widenet_machine::{Descent, LossConfig, Objective, Options as Solving, solve};
use widenet_model::{Architecture, Shape};
use widenet_tangent::{Kernel, LimitKernel, LimitKind};

use super::certificates::{MachineRow, dense_machine, measure_machine, published_run, samples, sensible};
use super::cost::Cost;
use super::{Claim, Options, Reproduced, Scale, agrees};
use crate::config::Config;
use crate::data_source;
use crate::error::Error;
use crate::judgement::times;
use crate::plot::{Axis, Figure, Mark, Series};
use crate::report::Block;
use crate::run_folder::Parts;
use crate::train::Kernels;
use crate::train::batches::Batches;

/// How a machine is trained.
#[derive(Clone, Copy, PartialEq)]
enum Training {
    /// Kernel ridge regression with a `lambda` of the sum form.
    Ridge(f64),
    /// The paper's published training of the support vector machine.
    Published,
    /// The optimum that this stops short of.
    Optimum,
}

/// A row of the table: the name of the machine, its training, and the published accuracy and radius.
struct Entry(&'static str, Training, Option<(&'static str, f64)>);

const MACHINES: [Entry; 10] = [
    Entry("krr-0", Training::Ridge(0.0), Some(("99.95 %", 3.30202e-5))),
    Entry("krr-0.001", Training::Ridge(0.001), Some(("99.95 %", 3.756122e-5))),
    Entry("krr-0.01", Training::Ridge(0.01), Some(("99.95 %", 6.505500e-5))),
    Entry("krr-0.1", Training::Ridge(0.1), Some(("99.95 %", 2.229960e-4))),
    Entry("krr-1", Training::Ridge(1.0), Some(("99.95 %", 0.001005))),
    Entry("krr-10", Training::Ridge(10.0), Some(("99.91 %", 0.005181))),
    Entry("krr-100", Training::Ridge(100.0), Some(("99.86 %", 0.020456))),
    Entry("krr-1000", Training::Ridge(1000.0), Some(("99.76 %", 0.026088))),
    Entry("svm-batch-decay", Training::Published, Some(("99.95 %", 0.008054))),
    Entry("svm-exact", Training::Optimum, None),
];

/// Rows that are compared with each other.
const UNREGULARISED: usize = 0;
const RIDGE_OF_ONE: usize = 4;
const STRONGEST: usize = 7;
const PUBLISHED_SVM: usize = 8;

impl Entry {
    fn published(&self) -> f64 {
        self.2.map_or(f64::NAN, |(_, radius)| radius)
    }

    /// As in the paper's table, in one piece.
    fn name(&self, row: &MachineRow) -> String {
        match self.1 {
            Training::Ridge(lambda) => format!("KRR\u{a0}{lambda}"),
            Training::Published => format!("SVM\u{a0}{:.3}", row.lambda),
            Training::Optimum => format!("SVM\u{a0}{:.3}\u{a0}(optimum)", row.lambda),
        }
    }
}

/// What the machines are trained on.
struct Trainer {
    config: Config,
    data: Split,
    architecture: Architecture,
    /// Computed when it is first needed.
    kernels: Option<Kernels>,
}

impl Trainer {
    fn new(options: &Options) -> Result<Self, Error> {
        let config = published_run(options.scale, 1)?.config;
        let data = data_source::load(&config.data, options.places.data.as_deref())?;
        let architecture = config.architecture.build(Shape::Image(data.train.shape))?;
        Ok(Self { config, data, architecture, kernels: None })
    }

    fn kernel(&self) -> Result<LimitKernel, Error> {
        Ok(LimitKernel::new(&self.architecture, LimitKind::Ntk)?)
    }

    /// The coefficients of a machine, and its `lambda` in the sum form.
    fn coefficients(&mut self, training: Training) -> Result<(Array1<f64>, f64), Error> {
        let kernels = match self.kernels.take() {
            Some(kernels) => kernels,
            None => Kernels::of(&self.kernel()?, &self.data)?,
        };
        let gram = self.kernels.insert(kernels).train.view();
        let (config, labels, n) = (&self.config, self.data.train.labels.view(), self.data.train.len());
        let mean = Objective::new(config.objective.lambda_mean, n)?;
        let optimum = |loss, objective: Objective| -> Result<_, Error> {
            Ok((solve(gram, labels, loss, objective, &Solving::default())?.coefficients, objective.lambda()))
        };
        match training {
            Training::Ridge(lambda) => optimum(LossConfig::Squared, Objective::new(lambda / n as f64, n)?),
            Training::Optimum => optimum(config.objective.loss, mean),
            Training::Published => {
                let mut machine = Descent::new(mean, config.training.learning_rate, config.machine.decay)?;
                let size = config.training.batch_size.map(std::num::NonZero::get);
                let mut batches = Batches::new(config.seed, n, size);
                for step in 0..config.training.steps.get() {
                    machine.step(gram, labels, config.objective.loss.loss(), batches.at(step));
                }
                // The decay of the batch alone has the fixed point of this lambda.
                Ok((machine.coefficients().to_owned(), size.unwrap_or(n) as f64 * mean.lambda_mean()))
            }
        }
    }
}

/// What the table costs: from one sample of a machine that only adds up its classes, and from the decomposition of a
/// part of the kernel.
pub fn cost(options: &Options) -> Result<Cost, Error> {
    let trainer = Trainer::new(options)?;
    let (train, test) = (&trainer.data.train, &trainer.data.test);
    let n = train.len();
    let alpha = &train.labels / n as f64;
    let started = Instant::now();
    let machine = dense_machine(train.inputs.view(), alpha.view())?;
    measure_machine("calibration", 0.0, &machine, &test.first(1)?, 1)?;
    let threads = rayon::current_num_threads() as f64;
    let certificates = started.elapsed().as_secs_f64() * samples(options.scale) as f64 / threads;

    let part = train.first(n.div_ceil(8))?;
    let gram = trainer.kernel()?.gram_symmetric(part.inputs.view())?;
    let objective = Objective::new(trainer.config.objective.lambda_mean, part.len())?;
    let started = Instant::now();
    solve(gram.view(), part.labels.view(), LossConfig::Squared, objective, &Solving::default())?;
    let solution = started.elapsed().as_secs_f64() * (n as f64 / part.len() as f64).powi(3);
    Ok(Cost {
        seconds: MACHINES.len() as f64 * (certificates + solution),
        // The kernels, and the decomposition.
        bytes: 8 * n as u64 * (2 * n + test.len()) as u64,
    })
}

/// Table 3.
pub fn table3(options: &Options, parts: &Parts) -> Result<Reproduced, Error> {
    let mut trainer = Trainer::new(options)?;
    let rows = MACHINES.iter().map(|Entry(model, training, _)| {
        parts.part(model, || {
            let (coefficients, lambda) = trainer.coefficients(*training)?;
            let machine = dense_machine(trainer.data.train.inputs.view(), coefficients.view())?;
            measure_machine(model, lambda, &machine, &trainer.data.test, samples(options.scale))
        })
    });
    let rows: Vec<MachineRow> = rows.collect::<Result<_, Error>>()?;
    let [first, last] = [UNREGULARISED, STRONGEST].map(|k| &rows[k]);
    let gain = |value: fn(&MachineRow) -> f64| times(value(first), value(last));
    let shares = rows.iter().map(|row| row.best_over_attack);
    let blocks = vec![
        Block::Paragraph(format!(
            "The paper certifies machines term by term: each support vector's kernel value is bounded alone, so that \
             something is given away at each, in proportion to |\u{3b1}|. From no regularisation to \u{3bb} = 1000 the \
             sum of |\u{3b1}| {}, from {} to {}; the published bound {}, and the radius at which an attack succeeds {}, \
             from {} to {}. The best certificates keep the cancellation \
             between coefficients of opposite sign (taylor) or the joint convexity of the kernel (relaxation): they \
             prove between {:.0} % and {:.0} % of the radius at which the attack succeeds, in the mean over images.",
            times(first.sum_abs_alpha, last.sum_abs_alpha),
            sensible(first.sum_abs_alpha),
            sensible(last.sum_abs_alpha),
            gain(|row| row.interval_published),
            gain(|row| row.attack),
            sensible(first.attack),
            sensible(last.attack),
            100.0 * shares.clone().fold(f64::INFINITY, f64::min),
            100.0 * shares.fold(0.0, f64::max)
        )),
        table(&rows),
        Block::Paragraph(format!(
            "Mean radii in the l_inf norm, pixels between 0 and 1 but free to leave that range, as in the paper. The \
             published bound on all {} test images, the other methods on {} evenly spaced ones. KRR: kernel ridge \
             regression; SVM: support vector machine, by the published training, whose decay of the batch alone has \
             the fixed point of \u{3bb} = {:.3}, and at its exact optimum for \u{3bb}/n = {}.",
            first.published_samples, first.samples, rows[PUBLISHED_SVM].lambda, trainer.config.objective.lambda_mean
        )),
        Block::Figure(over_lambda(&rows)),
        Block::Figure(over_sum(&rows)),
    ];
    let share = |row: &MachineRow| format!("{} %", sensible(100.0 * row.interval_published / row.attack));
    let finding = format!(
        "From \u{3bb} = 0 to 1000 the published bound {}, from {} to {} of the radius at which an attack succeeds; that \
         radius {}.",
        gain(|row| row.interval_published),
        share(first),
        share(last),
        gain(|row| row.attack)
    );
    Ok(Reproduced { finding, claims: claims(&rows, options.scale), blocks, results: json!({ "rows": rows }) })
}

fn claims(rows: &[MachineRow], scale: Scale) -> Vec<Claim> {
    let (least, first) = (MACHINES[UNREGULARISED].published(), &rows[UNREGULARISED]);
    let of = |(entry, row): (&Entry, &MachineRow)| {
        let published = entry.2.map_or("not given".into(), |(_, radius)| {
            format!("{radius:.3e}, {:.1} times that of \u{3bb} = 0", radius / least)
        });
        let (radius, gain) = (row.interval_published, row.interval_published / first.interval_published);
        Claim::new(
            format!("mean radius of {} by the published bound", entry.name(row)),
            published,
            format!(
                "{radius:.3e}, {gain:.1} times; proven {}, attacked at {}",
                sensible(row.best),
                sensible(row.attack)
            ),
        )
        .holds(agrees(scale, radius, entry.published()))
    };
    let compare = |more: usize, less: usize| {
        let name = |k: usize| MACHINES[k].name(&rows[k]);
        let what = format!("{} is more robust than {}", name(more), name(less));
        let published = MACHINES[more].published() / MACHINES[less].published();
        let ratio = |value: fn(&MachineRow) -> f64| value(&rows[more]) / value(&rows[less]);
        // Every true radius lies between the certificate and the attack.
        let (more, less) = (&rows[more], &rows[less]);
        let (low, high) = (more.best / less.attack, more.attack / less.best);
        Claim::new(
            what,
            format!("{published:.1} times"),
            format!(
                "{:.1} times by the published bound, {:.2} times by the attack; the true ratio lies between {low:.2} and \
                 {high:.2}",
                ratio(|row| row.interval_published),
                ratio(|row| row.attack)
            ),
        )
        .holds((scale == Scale::Paper && high.is_finite()).then_some(low <= published && published <= high))
    };
    let mut claims: Vec<Claim> = MACHINES.iter().zip(rows).map(of).collect();
    claims.push(compare(STRONGEST, UNREGULARISED));
    claims.push(compare(PUBLISHED_SVM, RIDGE_OF_ONE));
    claims
}

fn table(rows: &[MachineRow]) -> Block {
    let header = [
        "model, \u{3bb}",
        "\u{3a3} |\u{3b1}|",
        "accuracy",
        "paper",
        "radius in the paper",
        "published bound",
        "interval",
        "relaxation",
        "taylor",
        "best",
        "attack",
        "best / attack",
    ];
    let cells = |(entry, row): (&Entry, &MachineRow)| {
        let (accuracy, radius) = entry.2.map_or(("", String::new()), |(accuracy, r)| (accuracy, sensible(r)));
        let measured = format!("{:.2} %", 100.0 * row.test_accuracy);
        let start = [entry.name(row), sensible(row.sum_abs_alpha), measured, accuracy.into(), radius];
        let radii = [row.interval_published, row.interval, row.relaxation, row.taylor, row.best, row.attack];
        start.into_iter().chain(radii.map(sensible)).chain([format!("{:.3}", row.best_over_attack)]).collect()
    };
    Block::Table { header: header.map(String::from).to_vec(), rows: MACHINES.iter().zip(rows).map(cells).collect() }
}

/// What is drawn of a machine: what it is called, and its radius.
type Radius = (&'static str, fn(&MachineRow) -> f64);

/// Above all certificates, and none itself.
const ATTACK: Radius = ("attack", |row| row.attack);
const RADII: [Radius; 3] = [
    ("best certificate", |row| row.best),
    ("interval", |row| row.interval),
    ("published bound", |row| row.interval_published),
];

/// A figure with a series for the attack and for every bound.
fn with_radii(figure: Figure, series: impl Fn(Radius) -> Series) -> Figure {
    let figure = figure.series(series(ATTACK).grey());
    RADII.into_iter().enumerate().fold(figure, |figure, (slot, radius)| figure.series(series(radius).slot(slot)))
}

fn over_lambda(rows: &[MachineRow]) -> Figure {
    // There is no place for lambda = 0 on a logarithmic axis.
    let ridge = |(entry, row): (&Entry, &MachineRow)| match entry.1 {
        Training::Ridge(lambda) if lambda > 0.0 => Some((lambda, entry.published(), row.clone())),
        _ => None,
    };
    let ridge: Vec<(f64, f64, MachineRow)> = MACHINES.iter().zip(rows).filter_map(ridge).collect();
    let line = |(label, value): Radius| {
        Series::new(label, ridge.iter().map(|(lambda, _, row)| (*lambda, value(row))).collect()).mark(Mark::LineMarkers)
    };
    let figure = Figure::new(
        "radii-over-lambda",
        "Kernel ridge regression: radii over the regularisation",
        Axis::log("\u{3bb} (sum of losses)"),
        Axis::log("mean radius, l_inf"),
    )
    .caption("The true radius lies between the best certificate and the attack. Markers without a line: the paper's Table 3.");
    let paper = ridge.iter().map(|(lambda, published, _)| (*lambda, *published)).collect();
    with_radii(figure, line).series(Series::new("paper", paper).mark(Mark::Markers).slot(RADII.len()))
}

fn over_sum(rows: &[MachineRow]) -> Figure {
    let points = |(label, value): Radius| {
        Series::new(label, rows.iter().map(|row| (row.sum_abs_alpha, value(row))).collect()).mark(Mark::Markers)
    };
    let figure = Figure::new(
        "radii-over-alpha",
        "All machines: radii over the sum of |\u{3b1}|",
        Axis::log("\u{3a3} |\u{3b1}|"),
        Axis::log("mean radius, l_inf"),
    )
    .caption("The published bound gives something away at every support vector, in proportion to its |\u{3b1}|.");
    with_radii(figure, points)
}
