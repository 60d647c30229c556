//! Figures: curves with axes, a legend and a caption, as SVG and PNG. Matrices are drawn as [`HeatMaps`].
//!
//! A [`Figure`] is plain data. What it looks like is decided here, once, for all figures: colours that colour-blind
//! readers tell apart, ticks at round values, a legend beside the data and never on it. Values that cannot be drawn
//! (NaN, infinite, or not positive on a log axis) are left out; the lines break there and a note under the plot
//! counts them. The same figure always gives the same bytes.
//!
//! The network over the machine it becomes, in one colour per sample:
//!
//! ```
//! use widenet::plot::{Axis, Figure, Mark, Series};
//!
//! # fn main() -> Result<(), widenet::plot::PlotError> {
//! let mut figure = Figure::new("outputs", "Network and machine", Axis::log("time t"), Axis::linear("output f(x)"))
//!     .caption("Markers (the network) should lie on the lines (the machine).")
//!     .horizontal(0.0, "decision boundary");
//! for sample in 0..2 {
//!     let machine: Vec<_> = (0..50).map(|i| 10f64.powf(0.08 * i as f64)).map(|t| (t, 1.0 - (-t / 50.0).exp())).collect();
//!     let network: Vec<_> = machine.iter().step_by(5).map(|&(t, f)| (t, f + 0.01)).collect();
//!     figure.series.push(Series::new(format!("sample {sample}"), machine).slot(sample));
//!     figure.series.push(Series::new("", network).mark(Mark::Markers).slot(sample));
//! }
//! assert!(figure.svg()?.starts_with("<svg"));
//! # Ok(())
//! # }
//! ```

mod canvas;
mod draw;
mod heat;
mod scale;
mod style;

pub use heat::HeatMaps;
pub use style::{DENSITY, SIZE};

/// Curves over two axes, ready to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Stem of the figure's file names: `gap` for `gap.svg` and `gap.png`.
    pub name: String,
    /// One line above the plot.
    pub title: String,
    /// One sentence that says what to look for. It is not drawn; reports print it below the figure.
    pub caption: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The curves. Later ones are drawn over earlier ones.
    pub series: Vec<Series>,
    /// Straight lines across the whole plot, drawn below the curves. The axes always include them.
    pub references: Vec<Reference>,
}

/// One axis of a figure. Its range follows from the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What is measured, with its unit.
    pub label: String,
    /// How values become lengths.
    pub scale: Scale,
}

/// How values become lengths along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equal lengths.
    Linear,
    /// Equal ratios are equal lengths. Zero and negative values cannot be shown.
    Log,
}

/// One curve, or one cloud of points.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The entry in the legend. An empty label makes none.
    pub label: String,
    /// The data, `(x, y)`, in the order in which a line connects them. Without any, only the legend entry is left.
    pub points: Vec<(f64, f64)>,
    /// What is drawn at and between the points.
    pub mark: Mark,
    /// Which colour, dashes and marker shape.
    pub color: Color,
}

/// What is drawn at and between the points of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A solid line.
    Line,
    /// A broken line.
    Dashed,
    /// Markers only. One that would sit right on the marker before it is skipped.
    Markers,
    /// A solid line with markers here and there, to tell it from others.
    LineMarkers,
}

/// Where a series gets its colour, and with it the dashes and the marker shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// The palette's next place: the first automatic series has place 0, the second place 1, and so on.
    Auto,
    /// A fixed place in the palette. Series with the same place look alike.
    Slot(usize),
    /// Grey, for what is not one of the things compared, such as a legend entry that explains a mark.
    Grey,
}

/// A straight line across the whole plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Horizontal at a value of y, or vertical at a value of x.
    pub direction: Direction,
    /// The value.
    pub at: f64,
    /// The entry in the legend. An empty label makes none.
    pub label: String,
}

/// Which way a reference line runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From left to right.
    Horizontal,
    /// From bottom to top.
    Vertical,
}

/// Why a figure could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// The font that is part of the program cannot be used.
    #[error("the built-in font cannot be read")]
    Font,
    /// The drawing library gave up.
    #[error("cannot draw the figure: {0}")]
    Drawing(String),
    /// The image passes through a temporary file, which could not be written or read.
    #[error("cannot write the image to the temporary folder: {0}")]
    Io(#[from] std::io::Error),
}

impl Figure {
    /// A figure without curves.
    pub fn new(name: impl Into<String>, title: impl Into<String>, x: Axis, y: Axis) -> Figure {
        Figure {
            name: name.into(),
            title: title.into(),
            caption: String::new(),
            x,
            y,
            series: Vec::new(),
            references: Vec::new(),
        }
    }

    /// Says what to look for.
    pub fn caption(mut self, caption: impl Into<String>) -> Figure {
        self.caption = caption.into();
        self
    }

    /// Adds a curve.
    pub fn series(mut self, series: Series) -> Figure {
        self.series.push(series);
        self
    }

    /// Adds a horizontal line at `y = at`.
    pub fn horizontal(self, at: f64, label: impl Into<String>) -> Figure {
        self.reference(Direction::Horizontal, at, label)
    }

    /// Adds a vertical line at `x = at`.
    pub fn vertical(self, at: f64, label: impl Into<String>) -> Figure {
        self.reference(Direction::Vertical, at, label)
    }

    fn reference(mut self, direction: Direction, at: f64, label: impl Into<String>) -> Figure {
        self.references.push(Reference { direction, at, label: label.into() });
        self
    }

    /// The figure as an SVG document, [`SIZE`] pixels large. It scales to any size.
    pub fn svg(&self) -> Result<String, PlotError> {
        let about = [self.title.as_str(), self.caption.as_str()].join(". ");
        canvas::svg(SIZE, about.trim_matches([' ', '.']), |canvas| draw::figure(self, canvas))
    }

    /// The figure as a PNG image, [`SIZE`] times [`DENSITY`] pixels large.
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        canvas::png(SIZE, |canvas| draw::figure(self, canvas))
    }
}

impl Axis {
    /// An axis where equal differences are equal lengths.
    pub fn linear(label: impl Into<String>) -> Axis {
        Axis { label: label.into(), scale: Scale::Linear }
    }

    /// An axis where equal ratios are equal lengths.
    pub fn log(label: impl Into<String>) -> Axis {
        Axis { label: label.into(), scale: Scale::Log }
    }
}

impl Series {
    /// A solid line in the palette's next colour.
    pub fn new(label: impl Into<String>, points: Vec<(f64, f64)>) -> Series {
        Series { label: label.into(), points, mark: Mark::Line, color: Color::Auto }
    }

    /// Chooses what is drawn at and between the points.
    pub fn mark(mut self, mark: Mark) -> Series {
        self.mark = mark;
        self
    }

    /// Takes a fixed place in the palette, so that other series can have the same colour.
    pub fn slot(mut self, slot: usize) -> Series {
        self.color = Color::Slot(slot);
        self
    }

    /// Draws the series in grey.
    pub fn grey(mut self) -> Series {
        self.color = Color::Grey;
        self
    }
}

impl PlotError {
    /// Wraps what plotters reports.
    fn drawing(error: impl std::fmt::Display) -> PlotError {
        PlotError::Drawing(error.to_string())
    }
}

/// Text as it must be written in XML and HTML, inside elements and inside quoted attributes.
/// Control characters, which XML forbids, become spaces.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
