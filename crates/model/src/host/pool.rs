//! Layers without weights that change an image's shape, on the host: images are `[height, width, channels]`.

use super::real::Real;
use crate::layers::Operation;

/// What `operation` makes of an image with this shape `[channels, height, width]`.
///
/// # Panics
///
/// For an activation, which keeps the shape.
pub(super) fn apply<T: Real>(operation: Operation, [c, h, w]: [usize; 3], image: &[T], out: &mut [T]) {
    match operation {
        Operation::AveragePool(side) => {
            out.fill(T::zero());
            let scale = T::one() / T::of((side * side) as f64);
            windows(side, [h, w], |from, to| {
                add_scaled(scale, &image[from * c..(from + 1) * c], &mut out[to * c..(to + 1) * c]);
            });
        }
        Operation::MaxPool(side) => {
            out.fill(T::neg_infinity());
            windows(side, [h, w], |from, to| {
                let pixels = out[to * c..(to + 1) * c].iter_mut().zip(&image[from * c..]);
                pixels.for_each(|(out, &value)| *out = out.max(value));
            });
        }
        Operation::GlobalAveragePool => {
            out.fill(T::zero());
            let scale = T::one() / T::of((h * w) as f64);
            image.chunks(c).for_each(|pixel| add_scaled(T::one(), pixel, out));
            out.iter_mut().for_each(|out| *out *= scale);
        }
        // Vectors have the channels first, as every image of the network's input.
        Operation::Flatten => transpose(image, c, out),
        Operation::Activation(_) => unreachable!("an activation is applied entry by entry"),
    }
}

/// The derivative with respect to the image, from that with respect to the output.
///
/// # Panics
///
/// For an activation.
pub(super) fn pull_back<T: Real>(
    operation: Operation,
    [c, h, w]: [usize; 3],
    [image, out]: [&[T]; 2],
    g: &[T],
    down: &mut [T],
) {
    match operation {
        Operation::AveragePool(side) => {
            let scale = T::one() / T::of((side * side) as f64);
            windows(side, [h, w], |from, to| {
                let pixels = down[from * c..(from + 1) * c].iter_mut().zip(&g[to * c..]);
                pixels.for_each(|(down, &g)| *down = scale * g);
            });
        }
        Operation::MaxPool(side) => {
            // The first of several largest values takes it all.
            let mut left = g.to_vec();
            windows(side, [h, w], |from, to| {
                for channel in 0..c {
                    let (from, to) = (from * c + channel, to * c + channel);
                    let largest = image[from] == out[to];
                    down[from] = if largest { std::mem::replace(&mut left[to], T::zero()) } else { T::zero() };
                }
            });
        }
        Operation::GlobalAveragePool => {
            let scale = T::one() / T::of((h * w) as f64);
            for pixel in down.chunks_mut(c) {
                pixel.iter_mut().zip(g).for_each(|(down, &g)| *down = scale * g);
            }
        }
        Operation::Flatten => transpose(g, h * w, down),
        Operation::Activation(_) => unreachable!("an activation is applied entry by entry"),
    }
}

/// Calls `visit(from, to)` for every pixel of an image and the window that it is in.
fn windows(side: usize, [h, w]: [usize; 2], mut visit: impl FnMut(usize, usize)) {
    for y in 0..h {
        for x in 0..w {
            visit(y * w + x, (y / side) * (w / side) + x / side);
        }
    }
}

fn add_scaled<T: Real>(scale: T, pixel: &[T], out: &mut [T]) {
    out.iter_mut().zip(pixel).for_each(|(out, &value)| *out += scale * value);
}

/// The transpose of a matrix with so many columns.
pub(super) fn transpose<T: Real>(values: &[T], columns: usize, out: &mut [T]) {
    // Squares that stay in the cache.
    const SIDE: usize = 16;
    let rows = values.len() / columns;
    for top in (0..rows).step_by(SIDE) {
        for left in (0..columns).step_by(SIDE) {
            for row in top..(top + SIDE).min(rows) {
                for column in left..(left + SIDE).min(columns) {
                    out[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
}
