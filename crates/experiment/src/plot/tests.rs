//! Whole figures.

use super::*;

fn sample(x: Axis, y: Axis, points: Vec<(f64, f64)>) -> Figure {
    Figure::new("sample", "A title", x, y).series(Series::new("series", points))
}

/// Checks what a viewer would: every tag closed in order, nothing unescaped, no number that is not one.
fn assert_well_formed(svg: &str) {
    let mut open = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        assert!(!rest[..start].contains('>'), "stray >: {}", &rest[..start]);
        let end = start + rest[start..].find('>').expect("an unclosed tag");
        let tag = &rest[start + 1..end];
        assert!(!tag.contains('<'), "{tag}");
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap_or_default());
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!svg.contains("NaN") && !svg.contains("inf\""));
    let entities = ["&amp;", "&lt;", "&gt;", "&quot;", "&apos;", "&#39;"];
    let known: usize = entities.iter().map(|entity| svg.matches(entity).count()).sum();
    assert_eq!(svg.matches('&').count(), known);
}

#[test]
fn odd_data_is_drawn_without_complaint() {
    let odd = [
        vec![],
        vec![(1.0, 1.0)],
        vec![(0.0, 0.0)],
        vec![(-1.0, -1.0), (-2.0, -2.0)],
        vec![(1.0, 0.5), (2.0, 0.5), (3.0, 0.5)],
        vec![(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)],
        vec![(f64::NAN, 1.0), (1.0, f64::INFINITY), (f64::NEG_INFINITY, f64::NAN)],
        vec![(1.0, 1.0), (2.0, f64::NAN), (3.0, 3.0), (4.0, 4.0)],
        vec![(1e-320, f64::MAX), (1e300, -1e300), (f64::MIN_POSITIVE, 1e299)],
        vec![(1.0, 1.0), (1.0 + f64::EPSILON, 1.0 + f64::EPSILON)],
    ];
    for points in odd {
        for mark in [Mark::Line, Mark::Dashed, Mark::Markers, Mark::LineMarkers] {
            for (x, y) in [
                (Axis::linear("x"), Axis::linear("y")),
                (Axis::log("x"), Axis::linear("y")),
                (Axis::linear("x"), Axis::log("y")),
                (Axis::log("x"), Axis::log("y")),
            ] {
                let mut figure = sample(x, y, points.clone()).horizontal(0.0, "zero").vertical(f64::NAN, "none");
                figure.series[0].mark = mark;
                assert_well_formed(&figure.svg().expect("an SVG"));
            }
        }
    }
}

#[test]
fn the_same_figure_gives_the_same_bytes() {
    let points = (1..200).map(|i| (f64::from(i), f64::from(i).sqrt())).collect();
    let figure = sample(Axis::log("x"), Axis::log("y"), points);
    assert_eq!(figure.svg().expect("an SVG"), figure.clone().svg().expect("an SVG"));
    assert_eq!(figure.png().expect("a PNG"), figure.clone().png().expect("a PNG"));
}

#[test]
fn a_png_has_the_promised_size() {
    let png = sample(Axis::linear("x"), Axis::linear("y"), vec![(0.0, 0.0), (1.0, 1.0)]).png().expect("a PNG");
    assert_eq!(&png[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes([png[at], png[at + 1], png[at + 2], png[at + 3]]);
    assert_eq!((number(16), number(20)), (SIZE.0 * DENSITY, SIZE.1 * DENSITY));
}

#[test]
fn zeros_on_a_log_axis_are_left_out_and_counted() {
    let figure = sample(Axis::log("x"), Axis::log("y"), vec![(0.0, 1.0), (1.0, 0.0), (10.0, 1.0), (100.0, 2.0)]);
    let svg = figure.svg().expect("an SVG");
    assert!(svg.contains("Not shown: 2 points, 1 at x ≤ 0 (log axis), 1 at y ≤ 0 (log axis)."));
    let all_positive = sample(Axis::log("x"), Axis::log("y"), vec![(1.0, 1.0), (2.0, 2.0)]);
    assert!(!all_positive.svg().expect("an SVG").contains("Not shown"));
}

#[test]
fn a_figure_without_data_says_so() {
    let figure = Figure::new("empty", "Empty", Axis::log("x"), Axis::linear("y"));
    assert!(figure.svg().expect("an SVG").contains("no data to show"));
    assert!(figure.png().is_ok());
}

#[test]
fn text_is_escaped() {
    let mut figure = Figure::new("x", "a < b & \"c\" > 'd'", Axis::linear("<x>"), Axis::linear("&y;"));
    figure = figure.caption("<script>\u{0}").series(Series::new("</text>", vec![(0.0, 0.0), (1.0, 1.0)]));
    let svg = figure.svg().expect("an SVG");
    assert_well_formed(&svg);
    assert!(!svg.contains("<script>") && svg.contains("&lt;/text&gt;"));
}

#[test]
fn series_in_one_slot_share_a_color() {
    let line = |slot| Series::new("", vec![(0.0, 0.0), (1.0, 1.0)]).slot(slot);
    let figure = |a, b| Figure::new("x", "", Axis::linear(""), Axis::linear("")).series(line(a)).series(line(b));
    let colors = |figure: Figure| {
        let svg = figure.svg().expect("an SVG");
        ["#0072B2", "#E69F00"].map(|color| svg.matches(color).count())
    };
    assert_eq!(colors(figure(0, 0)), [2, 0]);
    assert_eq!(colors(figure(0, 1)), [1, 1]);
}

#[test]
fn a_hundred_series_and_long_labels_stay_in_the_picture() {
    let mut figure =
        Figure::new("x", "long ".repeat(80), Axis::linear("x ".repeat(200)), Axis::linear("y".repeat(200)));
    for i in 0..100 {
        let points = vec![(0.0, f64::from(i)), (1.0, f64::from(i))];
        figure.series.push(Series::new(format!("the series with the very long name, number {i}"), points));
    }
    let svg = figure.svg().expect("an SVG");
    assert!(svg.contains(" more"));
    assert_well_formed(&svg);
}

#[test]
fn many_points_make_a_small_file() {
    let points = (0..200_000).map(|i| (f64::from(i), (f64::from(i) * 0.37).sin())).collect();
    let svg = sample(Axis::linear("x"), Axis::linear("y"), points).svg().expect("an SVG");
    assert!(svg.len() < 60_000, "{} bytes", svg.len());
}
