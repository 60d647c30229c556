//! The plots of a comparison, and the report that shows them.

use ndarray::{Array2, Axis as Dimension};
use widenet_store::numbers::{count, decimals, number};

use super::output::slopes;
use super::{Comparison, LEADING, Measures, MovementConfig, Run, Setup, Slope, Width};
use crate::error::Error;
use crate::judgement::{beside_theory, percent, told, with_width};
use crate::plot::{Axis, Figure, HeatMaps, Mark, Series};
use crate::report::{Block, Report};
use crate::run_folder::RunFolder;

/// Samples shown in a picture of a kernel, so that the report stays small.
const SHOWN: usize = 40;
/// The most bins of a histogram.
const BINS: usize = 24;

/// Draws every figure as SVG and PNG into `plots/`, and writes report.html.
pub fn write(folder: &RunFolder, setup: &Setup, comparison: &Comparison) -> Result<(), Error> {
    report(setup, comparison, pictures(setup, comparison)).write(folder)
}

/// The figures, in the order of the report.
fn pictures(setup: &Setup, comparison: &Comparison) -> Vec<Block> {
    let mut blocks = vec![
        Block::Figure(error(comparison)),
        Block::HeatMaps(kernels(setup, comparison)),
        Block::Figure(histogram(comparison)),
        Block::Figure(spectra(comparison)),
        Block::Figure(directions(comparison)),
    ];
    if let Some(training) = &setup.config.training {
        blocks.push(Block::Figure(movement(comparison, training)));
    }
    blocks
}

fn widths() -> Axis {
    Axis::log("width m")
}

/// One value for every width.
fn over_widths(comparison: &Comparison, value: impl Fn(&Width) -> f64) -> Vec<(f64, f64)> {
    comparison.widths.iter().map(|width| (width.width as f64, value(width))).collect()
}

/// The mean of a measure over the networks of a width.
fn mean(width: &Width, value: fn(&Measures) -> f64) -> f64 {
    width.runs.iter().map(|run| value(&run.measures)).sum::<f64>() / width.runs.len() as f64
}

/// The fitted line, from the narrowest to the widest network.
fn fitted(comparison: &Comparison, label: &str, slope: Option<Slope>) -> Series {
    let line = |slope: &Slope| over_widths(comparison, |width| slope.at(width.width as f64));
    let legend = slope.map(|slope| format!("{label}: slope {slope}"));
    Series::new(legend.unwrap_or_default(), slope.as_ref().map(line).unwrap_or_default())
}

fn error(comparison: &Comparison) -> Figure {
    let single = |run: &Run| run.measures.relative_error;
    let below =
        comparison.widths.iter().filter(|width| width.of_mean.relative_error < mean(width, |m| m.relative_error));
    let slope = comparison.slope(single);
    let caption = format!(
        "The error of single networks {}; theory says \u{2212}1/2 (1/\u{221a}m), {}. The mean kernel over the seeds has a \
         smaller error than the seeds' mean at {} of {} widths. In brackets: 95 % confidence intervals.",
        with_width(slope.as_ref()),
        beside_theory(slope.as_ref(), -0.5),
        below.count(),
        comparison.widths.len()
    );
    let figure =
        Figure::new("error", "Distance from the limit", widths(), Axis::log("|K \u{2212} L| / |L|, Frobenius norm"))
            .caption(caption)
            .series(Series::new("single networks", comparison.points(single)).mark(Mark::Markers).slot(4))
            .series(fitted(comparison, "single networks", comparison.slope(single)).slot(4))
            .series(
                Series::new("their mean", over_widths(comparison, |width| mean(width, |m| m.relative_error)))
                    .mark(Mark::Markers)
                    .slot(0),
            );
    if comparison.widest().runs.len() == 1 {
        return figure;
    }
    figure
        .series(
            Series::new("mean kernel", over_widths(comparison, |width| width.of_mean.relative_error))
                .mark(Mark::Markers)
                .slot(1),
        )
        .series(fitted(comparison, "mean kernel", comparison.slope_of_mean()).mark(Mark::Dashed).slot(1))
}

fn kernels(setup: &Setup, comparison: &Comparison) -> HeatMaps {
    let labels = &setup.data.labels;
    let mut order: Vec<usize> = (0..labels.len().min(SHOWN)).collect();
    order.sort_by(|&i, &j| labels[i].total_cmp(&labels[j]));
    let sorted = |kernel: &Array2<f64>| kernel.select(Dimension(0), &order).select(Dimension(1), &order);
    let (narrowest, widest) = (comparison.narrowest(), comparison.widest());
    HeatMaps::new("kernels", "The kernels on the samples, sorted by class", "K(x, x')")
        .panel(format!("width {}", narrowest.width), sorted(&narrowest.first))
        .panel(format!("width {}", widest.width), sorted(&widest.first))
        .panel("limit", sorted(&comparison.limit))
        .caption(format!(
            "The centred kernels' alignment with the limit's (CKA, 1 for the same up to a factor) is {} at width {} and {} at \
             width {}, means over the networks ({}).",
            told(mean(narrowest, |m| m.alignment), |value| decimals(value, 4)),
            narrowest.width,
            told(mean(widest, |m| m.alignment), |value| decimals(value, 4)),
            widest.width,
            match order.len() {
                shown if shown < labels.len() => format!("shown: the first {}", count(shown, "sample")),
                shown => format!("shown: all {}", count(shown, "sample")),
            }
        ))
}

fn histogram(comparison: &Comparison) -> Figure {
    let mut figure = Figure::new(
        "entries",
        "Errors of the entries",
        Axis::linear("K(x, x') \u{2212} L(x, x')"),
        Axis::linear("density"),
    )
    .caption(format!(
        "Root mean squares: {} at width {}, {} at width {}.",
        told(spread(comparison.narrowest(), comparison), |value| decimals(value, 4)),
        comparison.narrowest().width,
        told(spread(comparison.widest(), comparison), |value| decimals(value, 4)),
        comparison.widest().width
    ))
    .vertical(0.0, "");
    for width in [comparison.narrowest(), comparison.widest()] {
        let difference = &width.first - &comparison.limit;
        // The matrices are symmetric: every pair once.
        let errors = difference.indexed_iter().filter(|((i, j), _)| i <= j).map(|(_, &error)| error);
        figure = figure.series(Series::new(format!("width {}", width.width), steps(&errors.collect::<Vec<_>>())));
    }
    figure
}

/// The root mean square error of the entries of the first network's kernel.
fn spread(width: &Width, comparison: &Comparison) -> f64 {
    let difference = &width.first - &comparison.limit;
    (difference.iter().map(|error| error * error).sum::<f64>() / difference.len() as f64).sqrt()
}

/// The outline of a histogram whose bars have the area 1 together.
fn steps(values: &[f64]) -> Vec<(f64, f64)> {
    let (low, high) =
        values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)));
    // As many values per bin as there are bins, about.
    let bins = ((values.len() as f64).sqrt() as usize).clamp(1, BINS);
    let bin = (high - low) / bins as f64;
    if !bin.is_finite() || bin <= 0.0 {
        return Vec::new();
    }
    let mut counts = vec![0_usize; bins];
    for value in values {
        counts[(((value - low) / bin) as usize).min(bins - 1)] += 1;
    }
    let mut outline = vec![(low, 0.0)];
    for (index, count) in counts.into_iter().enumerate() {
        let density = count as f64 / (values.len() as f64 * bin);
        let left = low + index as f64 * bin;
        outline.extend([(left, density), (left + bin, density)]);
    }
    outline.push((high, 0.0));
    outline
}

fn spectra(comparison: &Comparison) -> Figure {
    let by_rank = |values: &ndarray::Array1<f64>| -> Vec<(f64, f64)> {
        values.iter().enumerate().map(|(rank, &value)| ((rank + 1) as f64, value)).collect()
    };
    let (narrowest, widest) = (comparison.narrowest(), comparison.widest());
    let smallest = |width: &Width| percent(width.first_spectrum.smallest(), comparison.limit_spectrum.smallest());
    let figure =
        Figure::new("spectra", "Spectra", Axis::linear("rank of the eigenvalue"), Axis::log("eigenvalue")).caption(format!(
            "Dashed: the limit; one network per width. The smallest eigenvalue, which decides how well conditioned a kernel \
             machine is, is {} of the limit's at width {} and {} at width {}.",
            smallest(narrowest),
            narrowest.width,
            smallest(widest),
            widest.width
        ));
    // Neighbouring curves nearly coincide: a few widths are enough to see where they go.
    let stride = comparison.widths.len().div_ceil(6);
    let shown = comparison.widths.iter().rev().step_by(stride);
    let shown: Vec<&Width> = shown.collect::<Vec<_>>().into_iter().rev().collect();
    let curve = |width: &&Width| Series::new(format!("width {}", width.width), by_rank(&width.first_spectrum.values));
    let figure = shown.iter().map(curve).fold(figure, Figure::series);
    figure.series(Series::new("limit", by_rank(&comparison.limit_spectrum.values)).mark(Mark::Dashed).grey())
}

fn directions(comparison: &Comparison) -> Figure {
    let unlike = |value: fn(&Measures) -> f64| over_widths(comparison, |width| 1.0 - mean(width, value));
    let of_mean = |value: fn(&Measures) -> f64| over_widths(comparison, |width| 1.0 - value(&width.of_mean));
    let count = comparison.limit_spectrum.leading.ncols();
    let spans = format!("1 \u{2212} overlap of {count} leading eigenvectors");
    Figure::new("directions", "Directions, whatever the scale", widths(), Axis::log("1 \u{2212} similarity"))
        .caption(format!(
            "1 \u{2212} CKA (of whole centred kernels) {}; theory says about \u{2212}1, as the square of the error. 1 \u{2212} \
             overlap (of the spans of the leading eigenvectors) {}; it depends on how close together eigenvalues lie.",
            with_width(comparison.slope(|run| 1.0 - run.measures.alignment).as_ref()),
            with_width(comparison.slope(|run| 1.0 - run.measures.overlap).as_ref())
        ))
        .series(Series::new("1 \u{2212} CKA", unlike(|m| m.alignment)).mark(Mark::LineMarkers).slot(0))
        .series(Series::new("the same, mean kernel", of_mean(|m| m.alignment)).mark(Mark::Dashed).slot(0))
        .series(Series::new(spans, unlike(|m| m.overlap)).mark(Mark::LineMarkers).slot(1))
        .series(Series::new("the same, mean kernel", of_mean(|m| m.overlap)).mark(Mark::Dashed).slot(1))
}

fn movement(comparison: &Comparison, training: &MovementConfig) -> Figure {
    let points = over_widths(comparison, |width| width.movement.unwrap_or(f64::NAN));
    Figure::new("movement", "Change of the kernel by training", widths(), Axis::log("|K(T) \u{2212} K(0)| / |K(0)|"))
        .caption(format!(
            "How far the kernel moves during {} of training (one network per width) {}.",
            count(training.steps.get(), "step"),
            with_width(comparison.slope_of_movement().as_ref())
        ))
        .series(Series::new("networks", points).mark(Mark::Markers).slot(0))
        .series(fitted(comparison, "fit", comparison.slope_of_movement()).slot(0))
}

fn report(setup: &Setup, comparison: &Comparison, pictures: Vec<Block>) -> Report {
    let Setup { config, data, .. } = setup;
    let (narrowest, widest) = (comparison.narrowest(), comparison.widest());
    let error = |width: &Width| {
        told(mean(width, |m| m.relative_error), |value| format!("{}\u{a0}%", decimals(100.0 * value, 2)))
    };
    let mut report = Report::new(&config.name, "Tangent kernels of finite networks against their infinite-width limit");
    report.paragraph(format!(
        "On {}, the tangent kernel of a network of width {} differs from the limit by {} (Frobenius norm, mean \
         of {}), that of width {} by {}.",
        count(data.len(), "sample"),
        narrowest.width,
        error(narrowest),
        count(config.compare.seeds.get(), "network"),
        widest.width,
        error(widest),
    ));
    report.table(
        ["slope on log-log axes", "value", "95 % interval", "points"],
        slopes(comparison).into_iter().map(|(_, what, slope)| {
            let number = |value: f64| decimals(value, 3).replace('-', "\u{2212}");
            let interval = match slope.low.is_finite() {
                true => format!("{} to {}", number(slope.low), number(slope.high)),
                false => "\u{2014}".into(),
            };
            [what.to_string(), number(slope.slope), interval, slope.points.to_string()]
        }),
    );
    report.table(
        ["width", "parameters", "relative error", "largest error", "error of the mean kernel", "CKA", "overlap"],
        comparison.widths.iter().map(|width| {
            [
                width.width.to_string(),
                width.parameters.to_string(),
                told(mean(width, |m| m.relative_error), |value| decimals(value, 5)),
                told(mean(width, |m| m.largest_error), |value| decimals(value, 5)),
                told(width.of_mean.relative_error, |value| decimals(value, 5)),
                told(mean(width, |m| m.alignment), |value| decimals(value, 6)),
                told(mean(width, |m| m.overlap), |value| decimals(value, 5)),
            ]
        }),
    );
    report.blocks.extend(pictures);
    report.heading("Eigenvalues and condition numbers");
    let row = |name: String, largest: f64, smallest: f64, condition: f64| {
        let condition = if condition.is_finite() { format!("{condition:.3e}") } else { "infinite".into() };
        [name, format!("{largest:.4e}"), format!("{smallest:.4e}"), condition]
    };
    let rows = comparison.widths.iter().map(|width| {
        let mean = Measures::mean(width.runs.iter().map(|run| &run.measures));
        row(width.width.to_string(), mean.largest_eigenvalue, mean.smallest_eigenvalue, mean.condition)
    });
    let limit = &comparison.limit_spectrum;
    let limit = row("\u{221e} (limit)".into(), limit.largest(), limit.smallest(), limit.condition());
    report.table(["width", "largest", "smallest", "condition number"], rows.chain([limit]).collect::<Vec<_>>());
    report.paragraph("Means over the networks of a width. The condition number is the largest over the smallest one.");
    report.heading("Conventions");
    report.key_values(conventions(setup));
    report
}

fn conventions(setup: &Setup) -> Vec<(&'static str, String)> {
    let Setup { config, data, .. } = setup;
    let mut pairs = vec![
        ("samples", format!("{}, the first {}", data.name, count(data.len(), "training image"))),
        ("width", "units or channels of the narrowest hidden layer; the others keep their ratio to it".into()),
        ("networks", format!("{} per width, independent over seeds and widths", config.compare.seeds)),
        ("K, L", "the empirical tangent kernel at initialisation, and its limit at infinite width (NTK)".into()),
        ("relative error", "|K \u{2212} L| / |L| in the Frobenius norm".into()),
        ("CKA", "centred kernel alignment, \u{27e8}HKH, HLH\u{27e9} / (|HKH| |HLH|) with H = I \u{2212} 11ᵀ/n".into()),
        ("overlap", format!("|UᵀV|² / k (Frobenius) of the k = {} leading eigenvectors", LEADING.min(data.len()))),
        (
            "slopes",
            "least squares of the logarithms over all networks (for the mean kernel: over the widths); intervals with \
             Student's t"
                .into(),
        ),
    ];
    if let Some(MovementConfig { loss, learning_rate, steps }) = &config.training {
        pairs.push(("training", {
            let steps = count(steps.get(), "full-batch step");
            format!("{} loss, {steps} of {} on the mean of losses", loss.name(), number(*learning_rate))
        }));
    }
    pairs.extend([
        ("seed", config.seed.to_string()),
        ("backend", format!("{}, {}", config.backend.name(), config.precision.name())),
        ("widenet", env!("CARGO_PKG_VERSION").into()),
    ]);
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_has_area_1() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(i * i)).collect();
        let outline = steps(&values);
        let area: f64 = outline.windows(2).map(|pair| (pair[1].0 - pair[0].0) * pair[1].1).sum();
        assert!((area - 1.0).abs() < 1e-12, "{area}");
        assert!(steps(&[]).is_empty() && steps(&[1.0, 1.0]).is_empty() && steps(&[f64::NAN, 1.0]).is_empty());
    }
}
