//! A sheet to draw on, the same for SVG and PNG.
//!
//! plotters draws on whole units, which is too coarse at 900 units across. The sheet therefore has [`DETAIL`] units
//! per pixel; an SVG scales them down with its view box, a PNG by averaging.

use std::sync::OnceLock;

use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::style::text_anchor::{Pos, VPos};
use plotters::style::{
    Color as _, FontDesc, FontFamily, FontStyle, FontTransform, RGBColor, ShapeStyle, TextStyle, register_font,
};

use super::PlotError;
use super::style::{DENSITY, MARKER_RADIUS, Shape};

/// Units of the sheet per pixel of the figure.
const DETAIL: u32 = 4;

/// The fonts an SVG asks for, best first. PNG text is set in the first, which is on board.
const FONT_FAMILY: &str = "DejaVu Sans, Verdana, Arial, sans-serif";
static FONT: &[u8] = include_bytes!("../../assets/DejaVuSans-subset.ttf");
/// Height of a line of the font, which is what plotters calls its size when it draws pixels, over its em.
const FONT_HEIGHT: f64 = 1.164;

/// Where text is anchored, horizontally.
pub(super) use plotters::style::text_anchor::HPos as Anchor;

/// A point in pixels from the upper left corner.
pub(super) type Point = (f64, f64);

/// How text is drawn.
#[derive(Clone, Copy)]
pub(super) struct Lettering {
    pub(super) size: f64,
    pub(super) color: RGBColor,
    pub(super) anchor: Anchor,
    /// Reads upwards instead of to the right.
    pub(super) upwards: bool,
}

/// The sheet. All lengths are in pixels of the figure.
pub(super) struct Canvas<DB: DrawingBackend> {
    area: DrawingArea<DB, Shift>,
    medium: Medium,
}

/// The two media differ in what plotters means by a font size and by the top of a text, and in thick lines.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Medium {
    Svg,
    Pixels,
}

/// Draws an SVG document of a size in pixels. `about` becomes its description for those who cannot see it.
pub(super) fn svg(
    size: (u32, u32),
    about: &str,
    draw: impl FnOnce(&Canvas<SVGBackend>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    ready_font()?;
    let mut drawing = String::new();
    {
        let area = SVGBackend::with_string(&mut drawing, sheet(size)).into_drawing_area();
        let canvas = Canvas { area, medium: Medium::Svg };
        draw(&canvas)?;
        canvas.area.present().map_err(PlotError::drawing)?;
    }
    // Our own opening tag: shown at the size of the figure, not of the sheet, and with round line ends.
    let body = drawing.split_once('\n').map_or("", |(_, body)| body);
    let ((width, height), (units_across, units_down)) = (size, sheet(size));
    let about = super::escape(about);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {units_across} {units_down}\" role=\"img\" aria-label=\"{about}\" \
         stroke-linejoin=\"round\" stroke-linecap=\"butt\">\n{body}"
    ))
}

/// Draws a PNG image, [`DENSITY`] times as large as `size` says.
pub(super) fn png(
    size: (u32, u32),
    draw: impl FnOnce(&Canvas<BitMapBackend>) -> Result<(), PlotError>,
) -> Result<Vec<u8>, PlotError> {
    ready_font()?;
    let (width, height) = sheet(size);
    let mut pixels = vec![255; (3 * width * height) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        draw(&Canvas { area, medium: Medium::Pixels })?;
    }
    let (pixels, size) = shrink(&pixels, (width, height), DETAIL / DENSITY);
    let mut bytes = Vec::new();
    let encoder = image::codecs::png::PngEncoder::new(&mut bytes);
    image::ImageEncoder::write_image(encoder, &pixels, size.0, size.1, image::ColorType::Rgb8)
        .map_err(std::io::Error::other)?;
    Ok(bytes)
}

/// The width of `text` in pixels.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let font = FontDesc::new(FontFamily::Name(FONT_FAMILY), size * FONT_HEIGHT * f64::from(DETAIL), FontStyle::Normal);
    match ready_font().map(|()| font.box_size(text)) {
        Ok(Ok((width, _))) => f64::from(width) / f64::from(DETAIL),
        _ => 0.6 * size * text.chars().count() as f64,
    }
}

impl<DB: DrawingBackend> Canvas<DB> {
    /// Paints everything in one colour.
    pub(super) fn fill(&self, color: RGBColor) -> Result<(), PlotError> {
        self.area.fill(&color).map_err(PlotError::drawing)
    }

    /// One line of text, standing on the baseline through `at`.
    pub(super) fn text(&self, text: &str, at: Point, lettering: Lettering) -> Result<(), PlotError> {
        let em = lettering.size * f64::from(DETAIL);
        // plotters' size of a font, and the depth of the baseline below what it takes for the top of the text.
        let (size, depth) = match self.medium {
            Medium::Svg => (1.24 * em, 0.76 * em),
            Medium::Pixels => (FONT_HEIGHT * em, 0.5 * FONT_HEIGHT * em),
        };
        let (x, y) = (at.0 * f64::from(DETAIL), at.1 * f64::from(DETAIL));
        let (x, y) = if lettering.upwards { (x - depth, y) } else { (x, y - depth) };
        let mut font = FontDesc::new(FontFamily::Name(FONT_FAMILY), size, FontStyle::Normal);
        if lettering.upwards {
            font = font.transform(FontTransform::Rotate270);
        }
        let style = TextStyle::from(font).color(&lettering.color).pos(Pos::new(lettering.anchor, VPos::Top));
        self.area.draw_text(text, &style, (x.round() as i32, y.round() as i32)).map_err(PlotError::drawing)
    }

    /// A filled rectangle between two opposite corners.
    pub(super) fn rectangle(&self, from: Point, to: Point, color: RGBColor) -> Result<(), PlotError> {
        self.area.draw(&Rectangle::new([unit(from), unit(to)], color.filled())).map_err(PlotError::drawing)
    }

    /// A line through all points.
    pub(super) fn line(&self, points: &[Point], color: RGBColor, width: f64) -> Result<(), PlotError> {
        let mut points: Vec<_> = points.iter().map(|&point| unit(point)).collect();
        points.dedup();
        let width = (width * f64::from(DETAIL)).round() as u32;
        let draw = |points: &[(i32, i32)]| {
            let style = ShapeStyle { color: color.to_rgba(), filled: false, stroke_width: width };
            self.area.draw(&PathElement::new(points.to_vec(), style)).map_err(PlotError::drawing)
        };
        if self.medium == Medium::Svg {
            return draw(&points);
        }
        // plotters' outline of a thick path folds over itself at sharp turns: piece by piece, with round joints.
        points.windows(2).try_for_each(draw)?;
        let joints = points.get(1..points.len().saturating_sub(1)).unwrap_or_default();
        joints.iter().try_for_each(|&joint| {
            self.area.draw(&Circle::new(joint, width / 2, color.filled())).map_err(PlotError::drawing)
        })
    }

    /// A line through all points, in strokes and gaps of the given lengths.
    pub(super) fn dashed(
        &self,
        points: &[Point],
        color: RGBColor,
        width: f64,
        dashes: &[f64],
    ) -> Result<(), PlotError> {
        strokes(points, dashes).iter().try_for_each(|stroke| self.line(stroke, color, width))
    }

    /// A marker with a thin white rim, which keeps it apart from the line beneath.
    pub(super) fn marker(&self, at: Point, shape: Shape, color: RGBColor) -> Result<(), PlotError> {
        let draw = |radius: f64, color: RGBColor| match shape {
            Shape::Circle => {
                let radius = (radius * f64::from(DETAIL)).round() as u32;
                self.area.draw(&Circle::new(unit(at), radius, color.filled())).map_err(PlotError::drawing)
            }
            Shape::Polygon(corners) => {
                let corners: Vec<_> =
                    corners.iter().map(|(x, y)| unit((at.0 + radius * x, at.1 + radius * y))).collect();
                self.area.draw(&Polygon::new(corners, color.filled())).map_err(PlotError::drawing)
            }
        };
        draw(MARKER_RADIUS + 1.0, RGBColor(255, 255, 255))?;
        draw(MARKER_RADIUS, color)
    }
}

fn sheet(size: (u32, u32)) -> (u32, u32) {
    (size.0 * DETAIL, size.1 * DETAIL)
}

fn unit(point: Point) -> (i32, i32) {
    ((point.0 * f64::from(DETAIL)).round() as i32, (point.1 * f64::from(DETAIL)).round() as i32)
}

/// Makes the font known to plotters, once.
fn ready_font() -> Result<(), PlotError> {
    static READY: OnceLock<bool> = OnceLock::new();
    let ready = *READY.get_or_init(|| register_font(FONT_FAMILY, FontStyle::Normal, FONT).is_ok());
    if ready { Ok(()) } else { Err(PlotError::Font) }
}

/// Averages squares of `factor` by `factor` pixels.
fn shrink(pixels: &[u8], (width, height): (u32, u32), factor: u32) -> (Vec<u8>, (u32, u32)) {
    let (across, down) = (width / factor, height / factor);
    let mut small = Vec::with_capacity((3 * across * down) as usize);
    for y in 0..down {
        for x in 0..across {
            for channel in 0..3 {
                let square = (0..factor * factor).map(|i| (x * factor + i % factor, y * factor + i / factor));
                let sum: u32 = square.map(|(x, y)| u32::from(pixels[(3 * (y * width + x) + channel) as usize])).sum();
                small.push(((sum + factor * factor / 2) / (factor * factor)) as u8);
            }
        }
    }
    (small, (across, down))
}

/// Cuts a path into the strokes of a dashed line.
fn strokes(points: &[Point], dashes: &[f64]) -> Vec<Vec<Point>> {
    let mut strokes = Vec::new();
    let mut lengths = dashes.iter().copied().cycle();
    let (mut drawing, mut left) = (true, lengths.next().unwrap_or(f64::INFINITY));
    let mut stroke: Vec<Point> = points.first().copied().into_iter().collect();
    for pair in points.windows(2) {
        let ((x, y), (dx, dy)) = (pair[0], (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1));
        let length = dx.hypot(dy);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let turn = (x + dx * done / length, y + dy * done / length);
            if drawing {
                stroke.push(turn);
                strokes.push(std::mem::take(&mut stroke));
            } else {
                stroke = vec![turn];
            }
            drawing = !drawing;
            left = lengths.next().unwrap_or(f64::INFINITY);
        }
        left -= length - done;
        if drawing {
            stroke.push(pair[1]);
        }
    }
    if drawing && stroke.len() > 1 {
        strokes.push(stroke);
    }
    strokes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_run_round_corners() {
        let path = [(0.0, 0.0), (3.0, 0.0), (3.0, 10.0)];
        let expected =
            [vec![(0.0, 0.0), (3.0, 0.0), (3.0, 1.0)], vec![(3.0, 3.0), (3.0, 7.0)], vec![(3.0, 9.0), (3.0, 10.0)]];
        assert_eq!(strokes(&path, &[4.0, 2.0]), expected);
        assert!(strokes(&path[..1], &[4.0, 2.0]).is_empty());
        assert!(strokes(&[], &[4.0, 2.0]).is_empty());
    }

    #[test]
    fn shrinking_averages() {
        let pixels: Vec<u8> = [0, 0, 255, 255, 0, 0, 255, 255].into_iter().flat_map(|value| [value; 3]).collect();
        assert_eq!(shrink(&pixels, (4, 2), 2), (vec![0, 0, 0, 255, 255, 255], (2, 1)));
    }

    #[test]
    fn the_font_on_board_has_the_letters_of_our_labels() {
        let missing = text_width("\u{10FFFF}", 100.0);
        for c in "AZaz09λκησΔ∞∑√≤≥±×·−–—→↦ℓℝ⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁½öéñ…".chars()
        {
            assert_ne!(text_width(&c.to_string(), 100.0), missing, "{c}");
        }
    }
}
