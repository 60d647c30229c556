//! Matrices as pictures, side by side under one scale of colours.
//!
//! ```
//! use ndarray::array;
//! use widenet::plot::HeatMaps;
//!
//! # fn main() -> Result<(), widenet::plot::PlotError> {
//! let maps = HeatMaps::new("kernels", "A kernel and its limit", "K(x, x')")
//!     .panel("width 64", array![[1.0, 0.4], [0.4, 0.9]])
//!     .panel("limit", array![[1.0, 0.5], [0.5, 1.0]])
//!     .caption("The wider the network, the more alike.");
//! assert!(maps.svg()?.starts_with("<svg"));
//! # Ok(())
//! # }
//! ```

use ndarray::Array2;
use plotters::backend::DrawingBackend;
use plotters::style::RGBColor;

use super::canvas::{self, Anchor, Canvas, Lettering};
use super::draw::wrap;
use super::scale::{Range, Reading};
use super::style::{INK, LABEL_SIZE, MUTED, SIZE, TICK_SIZE, TITLE_SIZE, heat};
use super::{PlotError, Scale};

/// Space between the figure's edge and what is in it, and between panels.
const MARGIN: f64 = 16.0;
/// Room for the scale of colours with its ticks and label.
const BAR_ROOM: f64 = 124.0;
/// Width of the scale of colours.
const BAR: f64 = 16.0;
/// Steps of colour. Neighbours of one step are drawn as one rectangle.
const STEPS: usize = 64;

/// Matrices as pictures: rows downwards, columns to the right, values as colours. All share one scale.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMaps {
    /// Stem of the figure's file names.
    pub name: String,
    /// One line above the panels.
    pub title: String,
    /// One sentence that says what to look for. It is not drawn; reports print it below the figure.
    pub caption: String,
    /// What the colours stand for.
    pub label: String,
    /// The matrices with their titles, from left to right.
    pub panels: Vec<(String, Array2<f64>)>,
}

impl HeatMaps {
    /// A figure without panels.
    pub fn new(name: impl Into<String>, title: impl Into<String>, label: impl Into<String>) -> Self {
        let (name, title, label) = (name.into(), title.into(), label.into());
        Self { name, title, caption: String::new(), label, panels: Vec::new() }
    }

    /// Adds a matrix on the right.
    pub fn panel(mut self, title: impl Into<String>, values: Array2<f64>) -> Self {
        self.panels.push((title.into(), values));
        self
    }

    /// Says what to look for.
    pub fn caption(mut self, caption: impl Into<String>) -> Self {
        self.caption = caption.into();
        self
    }

    /// The figure as an SVG document.
    ///
    /// # Errors
    ///
    /// When it cannot be drawn.
    pub fn svg(&self) -> Result<String, PlotError> {
        let about = [self.title.as_str(), self.caption.as_str()].join(". ");
        canvas::svg(self.size(), about.trim_matches([' ', '.']), |canvas| self.draw(canvas))
    }

    /// The figure as a PNG image.
    ///
    /// # Errors
    ///
    /// When it cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        canvas::png(self.size(), |canvas| self.draw(canvas))
    }

    /// The side of a panel.
    fn side(&self) -> f64 {
        let count = self.panels.len().max(1) as f64;
        ((f64::from(SIZE.0) - BAR_ROOM - MARGIN * (count + 1.0)) / count).min(f64::from(SIZE.1) - 100.0)
    }

    /// As wide as every figure, and as high as it takes.
    fn size(&self) -> (u32, u32) {
        (SIZE.0, (self.top() + self.side() + MARGIN).ceil() as u32)
    }

    /// Where the panels begin, below both lines of titles.
    fn top(&self) -> f64 {
        MARGIN + 1.3 * TITLE_SIZE + 8.0 + 1.3 * TICK_SIZE
    }

    fn draw<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Result<(), PlotError> {
        let (side, top, width) = (self.side(), self.top(), f64::from(SIZE.0));
        let lettering = |size, anchor| Lettering { size, color: INK, anchor, upwards: false };
        canvas.fill(RGBColor(255, 255, 255))?;
        for line in wrap(&self.title, TITLE_SIZE, width - 2.0 * MARGIN, 1) {
            canvas.text(&line, (MARGIN, MARGIN + 0.9 * TITLE_SIZE), lettering(TITLE_SIZE, Anchor::Left))?;
        }
        let values = self.panels.iter().flat_map(|(_, values)| values);
        let range = Range::around(Scale::Linear, values.filter_map(|&value| read(value)));
        for (index, (title, values)) in self.panels.iter().enumerate() {
            let left = MARGIN + index as f64 * (side + MARGIN);
            for line in wrap(title, TICK_SIZE, side, 1) {
                canvas.text(&line, (left, top - 0.4 * TICK_SIZE), lettering(TICK_SIZE, Anchor::Left))?;
            }
            panel(canvas, values, &range, (left, top), side)?;
        }

        let left = MARGIN + self.panels.len() as f64 * (side + MARGIN);
        for step in 0..STEPS {
            let low = |step: usize| top + side * (1.0 - step as f64 / STEPS as f64);
            canvas.rectangle((left, low(step + 1)), (left + BAR, low(step)), color(step))?;
        }
        for tick in range.ticks(|ticks| ticks.len() <= 7) {
            let y = top + side * (1.0 - tick.at);
            canvas.line(&[(left + BAR, y), (left + BAR + 4.0, y)], INK, 1.0)?;
            let text = tick.label.unwrap_or_default();
            canvas.text(&text, (left + BAR + 8.0, y + 0.36 * TICK_SIZE), lettering(TICK_SIZE, Anchor::Left))?;
        }
        let label = Lettering { upwards: true, ..lettering(LABEL_SIZE, Anchor::Center) };
        canvas.text(&self.label, (width - MARGIN, top + 0.5 * side), label)
    }
}

/// One matrix. Values that are not finite are grey.
fn panel<DB: DrawingBackend>(
    canvas: &Canvas<DB>,
    values: &Array2<f64>,
    range: &Range,
    (left, top): (f64, f64),
    side: f64,
) -> Result<(), PlotError> {
    let (rows, columns) = values.dim();
    let x = |column: usize| left + side * column as f64 / columns as f64;
    let y = |row: usize| top + side * row as f64 / rows as f64;
    canvas.rectangle((left, top), (left + side, top + side), MUTED)?;
    for (i, row) in values.rows().into_iter().enumerate() {
        let steps: Vec<Option<usize>> = row
            .iter()
            .map(|&value| read(value).map(|read| ((range.place(read) * STEPS as f64) as usize).min(STEPS - 1)))
            .collect();
        let mut column = 0;
        for run in steps.chunk_by(|a, b| a == b) {
            let end = column + run.len();
            if let Some(step) = run[0] {
                // A little over the edge, where the next one covers it: otherwise the background shines through.
                let right = (x(end) + 0.5).min(left + side);
                let bottom = (y(i + 1) + 0.5).min(top + side);
                canvas.rectangle((x(column), y(i)), (right, bottom), color(step))?;
            }
            column = end;
        }
    }
    Ok(())
}

fn color(step: usize) -> RGBColor {
    heat((step as f64 + 0.5) / STEPS as f64)
}

fn read(value: f64) -> Option<f64> {
    match Scale::Linear.read(value) {
        Reading::At(read) => Some(read),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn equal_neighbours_are_one_rectangle() {
        let rectangles = |values| {
            let svg = HeatMaps::new("x", "", "").panel("", values).svg().expect("an SVG");
            svg.matches("<rect").count()
        };
        let striped = rectangles(array![[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]);
        let checked = rectangles(array![[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]]);
        assert_eq!(checked - striped, 4);
        assert_eq!(striped - rectangles(array![[0.0, 0.0, 0.0], [f64::NAN, f64::NAN, f64::NAN]]), 1);
    }

    #[test]
    fn odd_matrices_are_drawn_without_complaint() {
        for values in [array![[]], array![[1.0]], array![[f64::INFINITY, 1e300]], Array2::zeros((0, 0))] {
            let maps = HeatMaps::new("x", "a < b", "c").panel("long ".repeat(100), values);
            let svg = maps.svg().expect("an SVG");
            assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.contains("a &lt; b"));
            assert_eq!(maps.png().expect("a PNG"), maps.png().expect("a PNG"));
        }
        assert!(HeatMaps::new("x", "", "").svg().is_ok());
    }
}
