//! The plots of a certification, and the report that shows them.

use ndarray::{Array2, ArrayView1};
use widenet_store::numbers::{count, decimals};

use super::command::name_of;
use super::output::{HEADER, table, winners};
use super::{ATTACK, Certified, MethodName, Model};
use crate::error::Error;
use crate::plot::{Axis, Figure, HeatMaps, Mark, Series};
use crate::report::Report;
use crate::run_folder::RunFolder;

/// The bins of the histograms.
const BINS: usize = 30;

/// Draws every figure as SVG and PNG into `plots/`, and writes report.html.
pub fn write(folder: &RunFolder, certified: &Certified) -> Result<(), Error> {
    let Certified { config, model, samples, .. } = certified;
    let mut report = Report::new("Certified radii", format!("{}, {}", config.model.display(), model.describe()));
    report.key_values([
        ("samples", format!("{} of {}, evenly spaced", samples.len(), config.data)),
        ("norm", format!("l_{}", name_of(config.norm))),
        ("domain", config.domain.map_or("none".into(), |(low, high)| format!("[{low}, {high}]"))),
        ("accuracy", format!("{:.4}", certified.clean_accuracy())),
    ]);
    report.paragraph(meaning(certified));
    report.table(HEADER, table(certified));
    if let Some(winners) = winners(certified) {
        report.paragraph(format!("Sample by sample, {winners}."));
    }
    let names: Vec<String> = certified.columns().iter().map(|(name, _)| (*name).into()).collect();
    report.heading("Certified accuracy");
    report.table(
        [vec!["radius".to_string()], names].concat(),
        config.radii.iter().map(|&radius| {
            let columns = certified.columns();
            let cells = columns.iter().map(|(_, radii)| format!("{:.4}", certified.accuracy(radii, radius)));
            [radius.to_string()].into_iter().chain(cells).collect::<Vec<_>>()
        }),
    );
    report.figure(accuracy(certified));
    report.heading("Radii");
    report.figure(histograms(certified));
    report.figure(scatter(certified));
    looseness(&mut report, certified);
    if let Some(maps) = adversaries(certified) {
        report.heading("What the attack found");
        report.blocks.push(crate::report::Block::HeatMaps(maps));
    }
    report.write(folder)
}

/// What the numbers say.
fn meaning(certified: &Certified) -> String {
    let published = certified.config.methods.contains(&MethodName::Published);
    let proof = match published {
        true => {
            "A certificate is a proof: no input within the radius is decided differently. The published code's radius is \
                 none where it is large."
        }
        false => "A certificate is a proof: no input within the radius is decided differently.",
    };
    let between = match certified.unattacked() {
        0 => "The true radius lies between certificate and attack.".into(),
        missing => format!(
            "The true radius lies between certificate and attack; of {missing} of {}, where no attack \
             succeeded, nothing is known from above.",
            count(certified.samples.len(), "sample")
        ),
    };
    format!("{proof} An attack is a counterexample at its radius. {between}")
}

/// What a bound says about a model, and what it says about itself.
fn looseness(report: &mut Report, certified: &Certified) {
    let model = &certified.model;
    let Some((methods, attack)) = certified.beside_attack() else { return };
    let (Some(loosest), Some(tightest)) = (methods.first(), methods.last()) else { return };
    // The published code is no bound where it is above another.
    if !(0.0 < loosest.1 && loosest.1 < tightest.1 && tightest.1 <= attack) {
        return;
    }
    report.heading("What a small certificate means");
    let why = match model {
        Model::Machine { sum_abs_alpha, .. } => format!(
            "A bound that goes support vector by support vector gives something away at each, in proportion to \
             |alpha|, so that it shrinks as the sum of all |alpha| grows, here {}, however robust the \
             model is. Table 3 of the paper compares models by such a bound: its ranking is one of sums of |alpha| \
             as much as of robustness.",
            four_digits(*sum_abs_alpha)
        ),
        Model::Network { .. } => "A bound that goes neuron by neuron gives something away at each, so that it shrinks \
             as 1/\u{221a}m with the width m, while the function that the network computes converges."
            .into(),
    };
    report.paragraph(why);
    report.paragraph(format!(
        "On the samples where the attack succeeds {} gives a mean radius of {:.2e}, {} {:.2e}, and the attack succeeds at {attack:.2e}. The \
         first is {:.3} of the attack's, the second {:.3}: what lies between them is looseness of a bound, not \
         fragility of the model.",
        loosest.0.name(),
        loosest.1,
        tightest.0.name(),
        tightest.1,
        loosest.1 / attack,
        tightest.1 / attack
    ));
}

/// A positive number to four digits, without an exponent as long as it is not longer for it.
fn four_digits(value: f64) -> String {
    let decimals = 3 - value.log10().floor() as i32;
    if (0..7).contains(&decimals) { format!("{value:.*}", decimals as usize) } else { format!("{value:.3e}") }
}

fn accuracy(certified: &Certified) -> Figure {
    let mut figure = Figure::new(
        "accuracy",
        "Certified accuracy",
        Axis::log(format!("radius, l_{}", name_of(certified.config.norm))),
        Axis::linear("share decided rightly within the radius"),
    )
    .caption(
        "The curve of a method that proves is a lower bound of the accuracy under the best attack; the attack's is an upper \
         one. The published code proves nothing where its radii are large.",
    );
    for (name, radii) in certified.columns() {
        figure = figure.series(styled(name, Series::new(name, falling(certified, &radii))));
    }
    figure
}

/// The accuracy at every radius where it falls, as steps.
fn falling(certified: &Certified, radii: &[f64]) -> Vec<(f64, f64)> {
    let share = 1.0 / radii.len() as f64;
    let mut kept: Vec<f64> = (0..radii.len()).filter(|&k| certified.right(k)).map(|k| radii[k]).collect();
    kept.sort_by(f64::total_cmp);
    let all = kept.len();
    kept.into_iter()
        .enumerate()
        .filter(|(_, radius)| *radius > 0.0 && radius.is_finite())
        .flat_map(|(before, radius)| {
            let left = (all - before) as f64 * share;
            [(radius, left), (radius, left - share)]
        })
        .collect()
}

/// The attack is dashed and grey: it is no certificate.
fn styled(name: &str, series: Series) -> Series {
    if name == ATTACK { series.mark(Mark::Dashed).grey() } else { series }
}

fn histograms(certified: &Certified) -> Figure {
    let columns = certified.columns();
    let positive = |radius: &f64| *radius > 0.0 && radius.is_finite();
    let all = columns.iter().flat_map(|(_, radii)| radii.iter().copied().filter(positive)).map(f64::ln);
    let (low, high) = all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    let bin = ((high - low) / BINS as f64).max(1e-3);
    let mut figure = Figure::new(
        "radii",
        "Radii of all methods",
        Axis::log(format!("radius, l_{}", name_of(certified.config.norm))),
        Axis::linear("share of samples per bin"),
    )
    .caption("Bins of equal ratio. The further right, the better; what is not yet at the attack's may be looseness.");
    for (name, radii) in &columns {
        let mut counts = vec![0_usize; BINS];
        for radius in radii.iter().filter(|radius| positive(radius)) {
            counts[(((radius.ln() - low) / bin) as usize).min(BINS - 1)] += 1;
        }
        // Where there is no radius there are no bins.
        let counts = if low <= high { counts } else { Vec::new() };
        let outline = counts.into_iter().enumerate().flat_map(|(k, count)| {
            let share = count as f64 / radii.len() as f64;
            let left = low + k as f64 * bin;
            [(left.exp(), share), ((left + bin).exp(), share)]
        });
        let label = match radii.iter().filter(|radius| !positive(radius)).count() {
            0 => (*name).to_string(),
            none => format!("{name} ({none} left out)"),
        };
        figure = figure.series(styled(name, Series::new(label, outline.collect())));
    }
    figure
}

fn scatter(certified: &Certified) -> Figure {
    let attacks = certified.attacks();
    let finite = attacks.iter().copied().filter(|radius| radius.is_finite());
    let (low, high) = finite.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
    let mut figure = Figure::new(
        "scatter",
        "Certificate against attack",
        Axis::log("radius of the attack"),
        Axis::log("certified radius"),
    )
    .caption("One mark for every sample and method, where both radii are above 0. On the line nothing is left to gain; what is \
         above it is no proof.");
    let line = if low <= high { vec![(low, low), (high, high)] } else { Vec::new() };
    figure = figure.series(Series::new("certificate = attack", line).grey());
    for (k, method) in certified.config.methods.iter().enumerate() {
        let points = attacks.iter().copied().zip(certified.radii(k)).collect();
        figure = figure.series(Series::new(method.name(), points).mark(Mark::Markers).slot(k));
    }
    figure
}

/// A sample of each class beside its adversary, when they are pictures.
fn adversaries(certified: &Certified) -> Option<HeatMaps> {
    let [channels, rows, columns] = certified.samples.shape;
    if channels != 1 || rows < 2 || columns < 2 {
        return None;
    }
    let picture = |x: ArrayView1<f64>| Array2::from_shape_fn((rows, columns), |(i, j)| x[i * columns + j]);
    let mut maps = HeatMaps::new("adversaries", "Samples and the nearest inputs of the other class found", "pixel");
    for label in [-1.0, 1.0] {
        let found = (0..certified.samples.len()).find_map(|k| {
            let adversary = certified.outcomes[k].adversary.as_ref()?;
            (certified.samples.labels[k] == label && certified.right(k)).then_some((k, adversary))
        });
        if let Some((k, adversary)) = found {
            maps = maps
                .panel(format!("sample {}", certified.samples.positions[k]), picture(certified.samples.input(k)))
                .panel(format!("moved by {}", decimals(adversary.radius, 3)), picture(adversary.input.view()));
        }
    }
    (!maps.panels.is_empty()).then(|| {
        maps.caption("Left of each pair a sample, right of it what the attack made of it: decided differently.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_by_hand() {
        for (value, text) in [(189.12, "189.1"), (1.5, "1.500"), (0.01234567, "0.01235"), (7.6123e4, "7.612e4")] {
            assert_eq!(four_digits(value), text);
        }
    }
}
