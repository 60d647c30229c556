//! Lays a figure out and draws it.

use plotters::backend::DrawingBackend;
use plotters::style::RGBColor;

use super::canvas::{Anchor, Canvas, Lettering, Point, text_width};
use super::scale::{Range, Reading, Tick};
use super::style::{
    GRID, INK, LABEL_SIZE, LINE_MARKER_GAP, LINE_WIDTH, Look, MARKER_GAP, MINOR_GRID, MUTED, NOTE_SIZE, SIZE,
    TICK_SIZE, TITLE_SIZE,
};
use super::{Color, Direction, Figure, Mark, PlotError, Scale, Series};

/// Space between the figure's edge and what is in it.
const MARGIN: f64 = 16.0;
/// Height of a line of text over its size.
const LEADING: f64 = 1.3;
/// Length of the ticks outside the plot.
const TICK_LENGTH: f64 = 5.0;
/// Length of the line in a legend entry, and the gap between it and the text.
const SAMPLE: (f64, f64) = (32.0, 8.0);
/// The most room a legend's text may take.
const LEGEND_TEXT: f64 = 220.0;

/// Room that ticks and labels take below the plot, roughly: the legend ends above.
const BELOW_PLOT: f64 = 85.0;
/// Half the width of the widest tick label: the last one may stick out on the right.
const HALF_TICK: f64 = 32.0;

/// Draws the whole figure.
pub(super) fn figure<DB: DrawingBackend>(figure: &Figure, canvas: &Canvas<DB>) -> Result<(), PlotError> {
    let curves = curves(figure);
    let left_out = LeftOut::count(figure);
    let layout = Layout::new(figure, &curves, left_out.note());
    canvas.fill(RGBColor(255, 255, 255))?;
    layout.draw_axes(canvas)?;
    layout.draw_references(figure, canvas)?;
    curves.iter().try_for_each(|curve| layout.draw_curve(curve, canvas))?;
    layout.draw_legend(canvas)?;
    if curves.iter().all(|curve| curve.runs.is_empty()) {
        let centre = layout.at((0.5, 0.5));
        canvas.text("no data to show", centre, lettering(LABEL_SIZE, MUTED, Anchor::Center))?;
    }
    Ok(())
}

/// A series as it can be drawn: unbroken runs of points, already read by the axes.
struct Curve {
    runs: Vec<Vec<(f64, f64)>>,
    mark: Mark,
    look: Look,
}

fn curves(figure: &Figure) -> Vec<Curve> {
    let mut automatic = 0..;
    let mut look = |series: &Series| match series.color {
        Color::Auto => Look::of_slot(automatic.next().unwrap_or(0)),
        Color::Slot(slot) => Look::of_slot(slot),
        Color::Grey => Look::grey(),
    };
    let curve = |series: &Series| {
        let reads = series.points.iter().map(|&(x, y)| match (figure.x.scale.read(x), figure.y.scale.read(y)) {
            (Reading::At(x), Reading::At(y)) => Some((x, y)),
            _ => None,
        });
        let reads: Vec<_> = reads.collect();
        let runs = reads.split(Option::is_none).map(|run| run.iter().flatten().copied().collect::<Vec<_>>());
        Curve { runs: runs.filter(|run| !run.is_empty()).collect(), mark: series.mark, look: look(series) }
    };
    figure.series.iter().map(curve).collect()
}

/// How many points cannot be shown, and why.
#[derive(Default)]
struct LeftOut {
    not_finite: usize,
    x_not_positive: usize,
    y_not_positive: usize,
}

impl LeftOut {
    fn count(figure: &Figure) -> LeftOut {
        let mut left_out = LeftOut::default();
        for &(x, y) in figure.series.iter().flat_map(|series| &series.points) {
            match (figure.x.scale.read(x), figure.y.scale.read(y)) {
                (Reading::NotFinite, _) | (_, Reading::NotFinite) => left_out.not_finite += 1,
                (Reading::NotPositive, _) => left_out.x_not_positive += 1,
                (_, Reading::NotPositive) => left_out.y_not_positive += 1,
                (Reading::At(_), Reading::At(_)) => {}
            }
        }
        left_out
    }

    /// The note under the plot.
    fn note(&self) -> Option<String> {
        let reasons = [
            (self.x_not_positive, "at x ≤ 0 (log axis)"),
            (self.y_not_positive, "at y ≤ 0 (log axis)"),
            (self.not_finite, "not finite"),
        ];
        let reasons: Vec<_> = reasons.iter().filter(|(count, _)| *count > 0).collect();
        let total: usize = reasons.iter().map(|(count, _)| count).sum();
        let points = if total == 1 { "point" } else { "points" };
        match reasons[..] {
            [] => None,
            [(count, reason)] => Some(format!("Not shown: {count} {points} {reason}.")),
            _ => {
                let parts: Vec<_> = reasons.iter().map(|(count, reason)| format!("{count} {reason}")).collect();
                Some(format!("Not shown: {total} {points}, {}.", parts.join(", ")))
            }
        }
    }
}

/// Where everything goes. The plot is the rectangle between the axes.
struct Layout {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: Range,
    y: Range,
    x_ticks: Vec<Tick>,
    y_ticks: Vec<Tick>,
    title: Vec<String>,
    x_label: Vec<String>,
    y_label: Vec<String>,
    legend: Vec<Entry>,
    note: Option<String>,
}

/// One entry of the legend.
struct Entry {
    lines: Vec<String>,
    /// None for a remark that stands for no curve.
    mark: Option<Mark>,
    look: Look,
}

impl Layout {
    fn new(figure: &Figure, curves: &[Curve], note: Option<String>) -> Layout {
        let (width, height) = (f64::from(SIZE.0), f64::from(SIZE.1));
        let title = wrap(&figure.title, TITLE_SIZE, width - 2.0 * MARGIN, 3);
        let top = MARGIN + title.len() as f64 * TITLE_SIZE * LEADING + if title.is_empty() { 0.0 } else { 8.0 };

        let legend = legend(figure, curves, height - top - BELOW_PLOT);
        let text = |entry: &Entry| entry.lines.iter().map(|line| text_width(line, TICK_SIZE)).fold(0.0, f64::max);
        let legend_width = SAMPLE.0 + SAMPLE.1 + legend.iter().map(text).fold(0.0, f64::max);
        let right = width - MARGIN - if legend.is_empty() { HALF_TICK } else { legend_width + MARGIN };

        let x_label = wrap(&figure.x.label, LABEL_SIZE, right - 110.0, 3);
        let below_ticks = TICK_LENGTH + TICK_SIZE * LEADING + 4.0;
        let note_height = if note.is_some() { NOTE_SIZE * LEADING + 4.0 } else { 0.0 };
        let bottom = height - MARGIN - note_height - text_height(&x_label, LABEL_SIZE) - below_ticks;

        let (x, y) = (range(figure, curves, Direction::Vertical), range(figure, curves, Direction::Horizontal));
        let y_ticks = y.ticks(|ticks| {
            let label = |_: &Tick| TICK_SIZE;
            apart(ticks, bottom - top, 20.0, label) && count(ticks) <= 9
        });
        let widest = y_ticks.iter().map(label_width).fold(0.0, f64::max);
        let y_label = wrap(&figure.y.label, LABEL_SIZE, bottom - top, 3);
        let left = MARGIN + text_height(&y_label, LABEL_SIZE) + 6.0 + widest + 4.0 + TICK_LENGTH;
        let x_ticks = x.ticks(|ticks| apart(ticks, right - left, 18.0, label_width) && count(ticks) <= 10);
        Layout { left, right, top, bottom, x, y, x_ticks, y_ticks, title, x_label, y_label, legend, note }
    }

    /// A place in the plot, given as fractions of its sides, in pixels.
    fn at(&self, (across, up): (f64, f64)) -> Point {
        (self.left + across * (self.right - self.left), self.bottom - up * (self.bottom - self.top))
    }

    fn draw_axes<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Result<(), PlotError> {
        let major = |tick: &&Tick| tick.label.is_some();
        let minor = |tick: &&Tick| tick.label.is_none();
        let across = |tick: &Tick, color| canvas.line(&[self.at((0.0, tick.at)), self.at((1.0, tick.at))], color, 1.0);
        let up = |tick: &Tick, color| canvas.line(&[self.at((tick.at, 0.0)), self.at((tick.at, 1.0))], color, 1.0);
        self.y_ticks.iter().filter(minor).try_for_each(|tick| across(tick, MINOR_GRID))?;
        self.x_ticks.iter().filter(minor).try_for_each(|tick| up(tick, MINOR_GRID))?;
        self.y_ticks.iter().filter(major).try_for_each(|tick| across(tick, GRID))?;
        self.x_ticks.iter().filter(major).try_for_each(|tick| up(tick, GRID))?;

        let corners = [self.at((0.0, 1.0)), self.at((0.0, 0.0)), self.at((1.0, 0.0))];
        canvas.line(&corners, INK, 1.0)?;
        let ticks = lettering(TICK_SIZE, INK, Anchor::Center);
        for tick in &self.x_ticks {
            let (x, y) = self.at((tick.at, 0.0));
            let length = if tick.label.is_some() { TICK_LENGTH } else { 0.6 * TICK_LENGTH };
            canvas.line(&[(x, y), (x, y + length)], INK, 1.0)?;
            let text = tick.label.as_deref().unwrap_or_default();
            canvas.text(text, (x, y + TICK_LENGTH + 1.1 * TICK_SIZE), ticks)?;
        }
        let ticks = Lettering { anchor: Anchor::Right, ..ticks };
        for tick in &self.y_ticks {
            let (x, y) = self.at((0.0, tick.at));
            let length = if tick.label.is_some() { TICK_LENGTH } else { 0.6 * TICK_LENGTH };
            canvas.line(&[(x - length, y), (x, y)], INK, 1.0)?;
            let text = tick.label.as_deref().unwrap_or_default();
            canvas.text(text, (x - TICK_LENGTH - 4.0, y + 0.36 * TICK_SIZE), ticks)?;
        }

        let centre = self.at((0.5, 0.5));
        let title = lettering(TITLE_SIZE, INK, Anchor::Left);
        let widest = self.title.iter().map(|line| text_width(line, TITLE_SIZE)).fold(0.0, f64::max);
        let left = self.left.min(f64::from(SIZE.0) - MARGIN - widest);
        for (i, line) in self.title.iter().enumerate() {
            canvas.text(line, (left, MARGIN + (0.9 + i as f64 * LEADING) * TITLE_SIZE), title)?;
        }
        let label = lettering(LABEL_SIZE, INK, Anchor::Center);
        for (i, line) in self.x_label.iter().enumerate() {
            let top = self.bottom + TICK_LENGTH + TICK_SIZE * LEADING + 4.0;
            canvas.text(line, (centre.0, top + (1.0 + i as f64 * LEADING) * LABEL_SIZE), label)?;
        }
        for (i, line) in self.y_label.iter().enumerate() {
            let baseline = MARGIN + (0.9 + i as f64 * LEADING) * LABEL_SIZE;
            canvas.text(line, (baseline, centre.1), Lettering { upwards: true, ..label })?;
        }
        let place = (self.left, f64::from(SIZE.1) - MARGIN + 2.0);
        let note = self.note.as_deref().unwrap_or_default();
        canvas.text(note, place, lettering(NOTE_SIZE, MUTED, Anchor::Left))
    }

    fn draw_references<DB: DrawingBackend>(&self, figure: &Figure, canvas: &Canvas<DB>) -> Result<(), PlotError> {
        for (i, reference) in figure.references.iter().enumerate() {
            let look = Look::of_reference(i);
            let ends = match (reference.direction, figure.scale_of(reference.direction).read(reference.at)) {
                (Direction::Horizontal, Reading::At(y)) => [(0.0, self.y.place(y)), (1.0, self.y.place(y))],
                (Direction::Vertical, Reading::At(x)) => [(self.x.place(x), 0.0), (self.x.place(x), 1.0)],
                _ => continue,
            };
            canvas.dashed(&ends.map(|end| self.at(end)), look.color, 1.5, look.dashes)?;
        }
        Ok(())
    }

    fn draw_curve<DB: DrawingBackend>(&self, curve: &Curve, canvas: &Canvas<DB>) -> Result<(), PlotError> {
        let Look { color, shape, dashes } = curve.look;
        let place = |&(x, y): &(f64, f64)| self.at((self.x.place(x), self.y.place(y)));
        let runs: Vec<Vec<Point>> = curve.runs.iter().map(|run| run.iter().map(place).collect()).collect();
        if curve.mark != Mark::Markers {
            for run in runs.iter().map(|run| without_clutter(run)) {
                match curve.mark {
                    Mark::Dashed => canvas.dashed(&run, color, LINE_WIDTH, dashes)?,
                    _ => canvas.line(&run, color, LINE_WIDTH)?,
                }
            }
        }
        let markers = runs.iter().flat_map(|run| match curve.mark {
            Mark::Markers => spread_out(run, MARKER_GAP),
            Mark::LineMarkers => spread_out(run, LINE_MARKER_GAP),
            // A point between two gaps has no line to be seen by.
            Mark::Line | Mark::Dashed => run.iter().copied().filter(|_| run.len() == 1).collect(),
        });
        markers.into_iter().try_for_each(|at| canvas.marker(at, shape, color))
    }

    fn draw_legend<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Result<(), PlotError> {
        let left = self.right + MARGIN;
        let mut top = self.top;
        for Entry { lines, mark, look } in &self.legend {
            let y = top + 0.5 * LEADING * TICK_SIZE;
            let line = [(left, y), (left + SAMPLE.0, y)];
            match mark {
                Some(Mark::Line | Mark::LineMarkers) => canvas.line(&line, look.color, LINE_WIDTH)?,
                Some(Mark::Dashed) => canvas.dashed(&line, look.color, LINE_WIDTH, look.dashes)?,
                Some(Mark::Markers) | None => {}
            }
            if matches!(mark, Some(Mark::Markers | Mark::LineMarkers)) {
                canvas.marker((left + 0.5 * SAMPLE.0, y), look.shape, look.color)?;
            }
            for (i, line) in lines.iter().enumerate() {
                let baseline = y + (0.36 + i as f64 * LEADING) * TICK_SIZE;
                let text = lettering(TICK_SIZE, INK, Anchor::Left);
                canvas.text(line, (left + SAMPLE.0 + SAMPLE.1, baseline), text)?;
            }
            top += entry_height(lines.len());
        }
        Ok(())
    }
}

impl Figure {
    /// The scale along which a reference line has its value.
    fn scale_of(&self, direction: Direction) -> Scale {
        match direction {
            Direction::Horizontal => self.y.scale,
            Direction::Vertical => self.x.scale,
        }
    }
}

/// The range of the axis on which references of this direction have their value: y for horizontal ones.
fn range(figure: &Figure, curves: &[Curve], direction: Direction) -> Range {
    let scale = figure.scale_of(direction);
    let points = curves.iter().flat_map(|curve| curve.runs.iter().flatten());
    let values = points.map(|&(x, y)| if direction == Direction::Horizontal { y } else { x });
    let references = figure.references.iter().filter(|reference| reference.direction == direction);
    let references = references.filter_map(|reference| match scale.read(reference.at) {
        Reading::At(read) => Some(read),
        _ => None,
    });
    Range::around(scale, values.chain(references))
}

/// The legend's entries: references last, and a count of those for which there is no room.
fn legend(figure: &Figure, curves: &[Curve], room: f64) -> Vec<Entry> {
    let series = figure.series.iter().zip(curves).map(|(series, curve)| (&series.label, curve.mark, curve.look));
    let references = figure.references.iter().enumerate();
    let references = references.map(|(i, reference)| (&reference.label, Mark::Dashed, Look::of_reference(i)));
    let labelled = series.chain(references).filter(|(label, ..)| !label.trim().is_empty());
    let entry = |(label, mark, look): (&String, _, _)| {
        let lines = wrap(label, TICK_SIZE, LEGEND_TEXT, 3);
        Entry { lines, mark: Some(mark), look }
    };
    let mut entries: Vec<Entry> = labelled.map(entry).collect();

    let mut used: Vec<f64> = entries.iter().map(|entry| entry_height(entry.lines.len())).collect();
    if used.iter().sum::<f64>() > room {
        let all = entries.len();
        while used.iter().sum::<f64>() + entry_height(1) > room && used.pop().is_some() {}
        entries.truncate(used.len());
        let lines = vec![format!("… and {} more", all - entries.len())];
        entries.push(Entry { lines, mark: None, look: Look::grey() });
    }
    entries
}

fn entry_height(lines: usize) -> f64 {
    lines as f64 * LEADING * TICK_SIZE + 4.0
}

fn text_height(lines: &[String], size: f64) -> f64 {
    lines.len() as f64 * size * LEADING
}

fn lettering(size: f64, color: RGBColor, anchor: Anchor) -> Lettering {
    Lettering { size, color, anchor, upwards: false }
}

fn count(ticks: &[Tick]) -> usize {
    ticks.iter().filter(|tick| tick.label.is_some()).count()
}

fn label_width(tick: &Tick) -> f64 {
    tick.label.as_deref().map_or(0.0, |label| text_width(label, TICK_SIZE))
}

/// Whether all labels along an axis of this length are at least `gap` apart.
fn apart(ticks: &[Tick], length: f64, gap: f64, extent: impl Fn(&Tick) -> f64) -> bool {
    let mut labels: Vec<_> = ticks.iter().filter(|tick| tick.label.is_some()).collect();
    labels.sort_by(|a, b| a.at.total_cmp(&b.at));
    labels.windows(2).all(|pair| (pair[1].at - pair[0].at) * length >= 0.5 * (extent(pair[0]) + extent(pair[1])) + gap)
}

/// Breaks text into at most `most` lines no wider than `width`. What is left over ends in an ellipsis.
pub(super) fn wrap(text: &str, size: f64, width: f64, most: usize) -> Vec<String> {
    let fits = |line: &str| text_width(line, size) <= width;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if fits(&format!("{line} {word}")) => *line = format!("{line} {word}"),
            _ => lines.push(word.to_owned()),
        }
    }
    let cut = lines.len() > most;
    lines.truncate(most);
    let last = lines.len().saturating_sub(1);
    for (i, line) in lines.iter_mut().enumerate() {
        if (cut && i == last) || !fits(line) {
            while !line.is_empty() && !fits(&format!("{line}…")) {
                line.pop();
            }
            line.push('…');
        }
    }
    lines
}

/// Leaves out what no eye could see: of many points in one column of pixels, the first, lowest, highest and last stay.
fn without_clutter(points: &[Point]) -> Vec<Point> {
    let mut kept = Vec::new();
    for column in points.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        let end = column.len() - 1;
        let by_height = |a: &usize, b: &usize| column[*a].1.total_cmp(&column[*b].1);
        let mut stay = [0, (0..=end).min_by(by_height).unwrap_or(0), (0..=end).max_by(by_height).unwrap_or(0), end];
        stay.sort_unstable();
        kept.extend(stay.map(|i| column[i]));
    }
    kept.dedup();
    kept
}

/// Leaves out points closer than `gap` to the one kept before.
fn spread_out(points: &[Point], gap: f64) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::new();
    for &(x, y) in points {
        if kept.last().is_none_or(|last| (x - last.0).hypot(y - last.1) >= gap) {
            kept.push((x, y));
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_wrapped_then_cut() {
        let short = wrap("a label", TICK_SIZE, 500.0, 2);
        assert_eq!(short, ["a label"]);
        let lines = wrap(&"word ".repeat(60), TICK_SIZE, 200.0, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…') && lines.iter().all(|line| text_width(line, TICK_SIZE) <= 200.0));
        let lines = wrap(&"x".repeat(100), TICK_SIZE, 200.0, 3);
        assert_eq!(lines.len(), 1);
        assert!(text_width(&lines[0], TICK_SIZE) <= 200.0);
        assert!(wrap("  ", TICK_SIZE, 200.0, 3).is_empty());
    }

    #[test]
    fn crowded_columns_keep_their_extremes() {
        let column = [(1.1, 5.0), (1.2, 9.0), (1.3, 6.0), (1.4, 1.0), (1.5, 4.0), (2.0, 0.0)];
        assert_eq!(without_clutter(&column), [(1.1, 5.0), (1.2, 9.0), (1.4, 1.0), (1.5, 4.0), (2.0, 0.0)]);
        assert!(without_clutter(&[]).is_empty());
    }

    #[test]
    fn markers_keep_their_distance() {
        let points: Vec<Point> = (0..10).map(|i| (f64::from(i), 0.0)).collect();
        assert_eq!(spread_out(&points, 4.0), [(0.0, 0.0), (4.0, 0.0), (8.0, 0.0)]);
    }

    #[test]
    fn the_note_counts_what_is_left_out() {
        let note = |not_finite, x_not_positive, y_not_positive| {
            LeftOut { not_finite, x_not_positive, y_not_positive }.note().unwrap_or_default()
        };
        assert_eq!(note(0, 0, 0), "");
        assert_eq!(note(0, 1, 0), "Not shown: 1 point at x ≤ 0 (log axis).");
        assert_eq!(note(2, 0, 3), "Not shown: 5 points, 3 at y ≤ 0 (log axis), 2 not finite.");
    }
}
