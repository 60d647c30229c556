//! What figures look like: sizes, colours, dashes and marker shapes, all in one place.

use plotters::style::RGBColor;

/// Width and height of a figure in pixels. A PNG has [`DENSITY`] times as many each way.
pub const SIZE: (u32, u32) = (900, 560);

/// Pixels of a PNG per pixel of the figure, so that it stays sharp on fine screens and on paper.
pub const DENSITY: u32 = 2;

pub(super) const TITLE_SIZE: f64 = 21.0;
pub(super) const LABEL_SIZE: f64 = 19.0;
pub(super) const TICK_SIZE: f64 = 17.0;
pub(super) const NOTE_SIZE: f64 = 14.0;

pub(super) const LINE_WIDTH: f64 = 2.0;
pub(super) const MARKER_RADIUS: f64 = 4.2;

/// Markers without a line closer than this to the one before would only cover it.
pub(super) const MARKER_GAP: f64 = 7.0;
/// Markers on a line only tell lines apart: a few are enough.
pub(super) const LINE_MARKER_GAP: f64 = 28.0;

pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const MUTED: RGBColor = RGBColor(0x66, 0x66, 0x66);
pub(super) const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
pub(super) const MINOR_GRID: RGBColor = RGBColor(0xf0, 0xf0, 0xf0);
pub(super) const GREY: RGBColor = RGBColor(0x80, 0x80, 0x80);

/// The colours of Okabe and Ito, which colour-blind readers tell apart, without yellow, which white paper swallows.
/// Neighbours differ in lightness, so that the first few survive a black and white printer.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0x00, 0x72, 0xb2), // blue
    RGBColor(0xe6, 0x9f, 0x00), // orange
    RGBColor(0x00, 0x9e, 0x73), // green
    RGBColor(0x00, 0x00, 0x00), // black
    RGBColor(0x56, 0xb4, 0xe9), // sky blue
    RGBColor(0xd5, 0x5e, 0x00), // vermillion
    RGBColor(0xcc, 0x79, 0xa7), // purple
];

/// The colours of a heat map from low to high, evenly spaced (viridis): lightness rises all the way, so that the order
/// survives colour blindness and black and white printers.
const HEAT: [RGBColor; 9] = [
    RGBColor(0x44, 0x01, 0x54),
    RGBColor(0x47, 0x2d, 0x7b),
    RGBColor(0x3b, 0x52, 0x8b),
    RGBColor(0x2c, 0x72, 0x8e),
    RGBColor(0x21, 0x91, 0x8c),
    RGBColor(0x28, 0xae, 0x80),
    RGBColor(0x5e, 0xc9, 0x62),
    RGBColor(0xad, 0xdc, 0x30),
    RGBColor(0xfd, 0xe7, 0x25),
];

/// The colour of a value between 0 (low) and 1 (high).
pub(super) fn heat(value: f64) -> RGBColor {
    let place = value.clamp(0.0, 1.0) * (HEAT.len() - 1) as f64;
    let index = (place as usize).min(HEAT.len() - 2);
    let (low, high, part) = (HEAT[index], HEAT[index + 1], place - index as f64);
    let mix = |low: u8, high: u8| (f64::from(low) + part * (f64::from(high) - f64::from(low))).round() as u8;
    RGBColor(mix(low.0, high.0), mix(low.1, high.1), mix(low.2, high.2))
}

/// Lengths of stroke and gap, in pixels, for [`Mark::Dashed`](super::Mark::Dashed).
const DASHES: [&[f64]; 3] = [&[9.0, 5.0], &[3.0, 4.0], &[11.0, 4.0, 3.0, 4.0]];

/// A marker, as a circle or as corners on the unit circle's scale.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Circle,
    Polygon(&'static [(f64, f64)]),
}

const SHAPES: [Shape; 6] = [
    Shape::Circle,
    Shape::Polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
    Shape::Polygon(&[(0.0, -1.25), (1.15, 0.8), (-1.15, 0.8)]),
    Shape::Polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
    Shape::Polygon(&[(0.0, 1.25), (1.15, -0.8), (-1.15, -0.8)]),
    Shape::Polygon(&[
        (-0.4, -1.2),
        (0.4, -1.2),
        (0.4, -0.4),
        (1.2, -0.4),
        (1.2, 0.4),
        (0.4, 0.4),
        (0.4, 1.2),
        (-0.4, 1.2),
        (-0.4, 0.4),
        (-1.2, 0.4),
        (-1.2, -0.4),
        (-0.4, -0.4),
    ]),
];

/// How one series, reference line or legend entry is drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) color: RGBColor,
    pub(super) shape: Shape,
    /// The dashes of a dashed line.
    pub(super) dashes: &'static [f64],
}

impl Look {
    /// The look of a place in the palette. After the seventh the colours come round again with other shapes.
    pub(super) fn of_slot(slot: usize) -> Look {
        Look {
            color: PALETTE[slot % PALETTE.len()],
            shape: SHAPES[slot % SHAPES.len()],
            dashes: DASHES[slot % DASHES.len()],
        }
    }

    /// The look of what is not one of the data's colours.
    pub(super) const fn grey() -> Look {
        Look { color: GREY, shape: SHAPES[0], dashes: DASHES[0] }
    }

    /// The look of a reference line: grey, each with other dashes.
    pub(super) fn of_reference(index: usize) -> Look {
        Look { dashes: DASHES[(index + 1) % DASHES.len()], color: MUTED, ..Look::grey() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Perceived lightness, 0 to 100 (CIE L*).
    fn lightness(color: RGBColor) -> f64 {
        let linear = |channel: u8| (f64::from(channel) / 255.0).powf(2.2);
        let y = 0.2126 * linear(color.0) + 0.7152 * linear(color.1) + 0.0722 * linear(color.2);
        if y > 0.008856 { 116.0 * y.cbrt() - 16.0 } else { 903.3 * y }
    }

    #[test]
    fn neighbours_in_the_palette_differ_in_lightness_and_stand_out_on_white() {
        for pair in PALETTE.windows(2) {
            assert!((lightness(pair[0]) - lightness(pair[1])).abs() > 5.0, "{pair:?}");
        }
        assert!(PALETTE.iter().all(|&color| lightness(color) < 75.0));
    }

    #[test]
    fn hotter_is_lighter() {
        let lightness: Vec<f64> = (0..=100).map(|i| lightness(heat(f64::from(i) / 100.0))).collect();
        assert!(lightness.windows(2).all(|pair| pair[0] <= pair[1] + 0.5));
        assert_eq!((heat(0.0), heat(1.0)), (HEAT[0], HEAT[8]));
    }

    #[test]
    fn no_two_of_the_first_forty_slots_look_alike() {
        let looks: Vec<String> = (0..40).map(|slot| format!("{:?}", Look::of_slot(slot))).collect();
        for (i, look) in looks.iter().enumerate() {
            assert!(!looks[..i].contains(look), "{i}: {look}");
        }
    }
}
