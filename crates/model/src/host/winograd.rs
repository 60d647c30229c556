//! Convolutions with 3 x 3 kernels by Winograd's minimal filtering, `F(2x2, 3x3)`.
//!
//! Four outputs of a convolution with kernel `w` that read a 4 x 4 patch `d` of the image are
//!
//! ```text
//! y = A^T [(G w G^T) o (B^T d B)] A
//! ```
//!
//! with 16 products of numbers instead of 36. Summed over channels, the products are 16 matrix products, over all
//! patches, per image (S. Winograd, *Arithmetic complexity of computations*, 1980; A. Lavin and S. Gray, *Fast algorithms
//! for convolutional neural networks*, 2016). The map is linear in `w` and in `d`, so that its derivatives are the same
//! maps transposed: with `D = A dy A^T`, the patches' derivatives are `B [(G w G^T) o D] B^T` and the kernel's
//! `G^T [sum (B^T d B) o D] G`.
//!
//! The matrices are those of the papers:
//!
//! ```text
//! B^T = 1  0 -1  0      G = 1    0    0       A^T = 1  1  1  0
//!       0  1  1  0          1/2  1/2  1/2           0  1 -1 -1
//!       0 -1  1  0          1/2 -1/2  1/2
//!       0  1  0 -1          0    0    1
//! ```

use faer::Accum;

use super::convolution::Geometry;
use super::real::{Real, product, rows, vectorised};

/// Entries of a patch.
const PATCH: usize = 16;

/// Channels that are transformed together: one vector of the machine, or a few.
const LANES: usize = 8;

/// So many neighbouring channels of one pixel.
type Lanes<T> = [T; LANES];

/// The patches of one image: `side` of them per row and column, two pixels apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patches {
    geometry: Geometry,
    side: [usize; 2],
}

impl Patches {
    /// The patches of a convolution with so many channels out, if this is the way for it: with a channel or three to read,
    /// transforms take longer than the products they save.
    pub(super) fn new(geometry: Geometry, channels: usize) -> Option<Self> {
        let lanes = |channels: usize| channels.is_multiple_of(LANES);
        let fits = geometry.kernel == 3 && geometry.stride == 1 && lanes(geometry.input[0]) && lanes(channels);
        fits.then(|| Self { geometry, side: geometry.output.map(|length| length.div_ceil(2)) })
    }

    fn count(&self) -> usize {
        self.side[0] * self.side[1]
    }

    /// Numbers in the transform of an image, or of an output, with so many channels.
    pub(super) fn numbers(&self, channels: usize) -> usize {
        PATCH * self.count() * channels
    }

    /// `B^T d B` for all patches of an image `[height, width, c]`: `[16, patches, c]`.
    pub(super) fn read<T: Real>(&self, image: &[T], out: &mut [T]) {
        let c = self.geometry.input[0];
        self.each(self.image(), c, |patch, at, pixels: [[Option<usize>; 4]; 4]| {
            let d = self.pixels(image, &pixels, at);
            let v = twice(d, |[a, b, c, d]| [subtract(a, c), add(b, c), subtract(c, b), subtract(b, d)]);
            self.put(v, out, patch, c, at);
        });
    }

    /// Adds `B dv B^T` of all patches, `[16, patches, c]`, to the derivatives with respect to the image.
    pub(super) fn add_derivatives<T: Real>(&self, patches: &[T], image: &mut [T]) {
        let c = self.geometry.input[0];
        self.each(self.image(), c, |patch, at, pixels: [[Option<usize>; 4]; 4]| {
            let v = self.take(patches, patch, c, at);
            let d = twice(v, |[a, b, c, d]| [a, add(subtract(b, c), d), subtract(add(b, c), a), scaled(-T::one(), d)]);
            for (pixel, d) in pixels.as_flattened().iter().zip(d.as_flattened()) {
                if let Some(pixel) = pixel {
                    store(image, pixel + at, add(load(image, pixel + at), *d));
                }
            }
        });
    }

    /// The outputs `[height', width', c]` from the products of all patches, `[16, patches, c]`.
    pub(super) fn write<T: Real>(&self, products: &[T], c: usize, out: &mut [T]) {
        self.each(self.output(), c, |patch, at, pixels: [[Option<usize>; 2]; 2]| {
            let m = self.take(products, patch, c, at);
            let y = twice(m, |[a, b, c, d]| [add(a, add(b, c)), subtract(subtract(b, c), d)]);
            for (pixel, y) in pixels.as_flattened().iter().zip(y.as_flattened()) {
                if let Some(pixel) = pixel {
                    store(out, pixel + at, *y);
                }
            }
        });
    }

    /// `A dy A^T` for the derivatives `dy: [height', width', c]` of all outputs: `[16, patches, c]`.
    pub(super) fn read_derivatives<T: Real>(&self, g: &[T], c: usize, out: &mut [T]) {
        self.each(self.output(), c, |patch, at, pixels: [[Option<usize>; 2]; 2]| {
            let y = self.pixels(g, &pixels, at);
            let m = twice(y, |[a, b]| [a, add(a, b), subtract(a, b), scaled(-T::one(), b)]);
            self.put(m, out, patch, c, at);
        });
    }

    /// `products = sum_c patches kernels`: of `[16, patches, c]` and `[16, c, c']`, `[16, patches, c']`.
    pub(super) fn multiply<T: Real>(&self, patches: &[T], kernels: &[T], c: usize, products: &mut [T]) {
        let channels = self.geometry.input[0];
        let entries = products.chunks_mut(self.count() * c).zip(patches.chunks(self.count() * channels));
        for ((out, patches), kernel) in entries.zip(kernels.chunks(channels * c)) {
            product(out, Accum::Replace, T::one(), rows(patches, channels), rows(kernel, c));
        }
    }

    /// The transposed product, `[16, patches, c]` of `[16, patches, c']` and `[16, c, c']`.
    pub(super) fn multiply_transposed<T: Real>(&self, products: &[T], kernels: &[T], c: usize, patches: &mut [T]) {
        let channels = self.geometry.input[0];
        let entries = patches.chunks_mut(self.count() * channels).zip(products.chunks(self.count() * c));
        for ((out, products), kernel) in entries.zip(kernels.chunks(channels * c)) {
            product(out, Accum::Replace, T::one(), rows(products, c), rows(kernel, c).transpose());
        }
    }

    /// The derivatives of the transformed kernels, `[16, c, c']`, of one image, added to what is there or in its place.
    pub(super) fn kernel_derivatives<T: Real>(
        &self,
        patches: &[T],
        derivatives: &[T],
        c: usize,
        accum: Accum,
        kernels: &mut [T],
    ) {
        let channels = self.geometry.input[0];
        let entries = kernels.chunks_mut(channels * c).zip(patches.chunks(self.count() * channels));
        for ((out, patches), derivatives) in entries.zip(derivatives.chunks(self.count() * c)) {
            product(out, accum, T::one(), rows(patches, channels).transpose(), rows(derivatives, c));
        }
    }

    /// Where patches meet the image: `[height, width, padding]`.
    fn image(&self) -> [usize; 3] {
        let [_, height, width] = self.geometry.input;
        [height, width, self.geometry.padding]
    }

    /// Where they meet the output.
    fn output(&self) -> [usize; 3] {
        [self.geometry.output[0], self.geometry.output[1], 0]
    }

    /// Calls `visit(patch, at, pixels)` for every patch and the channels from `at` on, with the places of the patch's
    /// pixels among the values of an image with `c` channels, or `None` outside it.
    #[inline(always)]
    fn each<const S: usize>(
        &self,
        [height, width, padding]: [usize; 3],
        c: usize,
        mut visit: impl FnMut(usize, usize, [[Option<usize>; S]; S]),
    ) {
        vectorised(|| {
            for patch in 0..self.count() {
                let (y, x) = (2 * (patch / self.side[1]), 2 * (patch % self.side[1]));
                let mut pixels = [[None; S]; S];
                for (i, row) in pixels.iter_mut().enumerate() {
                    for (j, place) in row.iter_mut().enumerate() {
                        // Above or left of the image these wrap round to large numbers.
                        let (y, x) = ((y + i).wrapping_sub(padding), (x + j).wrapping_sub(padding));
                        *place = if y < height && x < width { Some((y * width + x) * c) } else { None };
                    }
                }
                for at in (0..c).step_by(LANES) {
                    visit(patch, at, pixels);
                }
            }
        });
    }

    /// The channels from `at` on of a patch's pixels; 0 outside the image.
    #[inline(always)]
    fn pixels<T: Real, const S: usize>(
        &self,
        image: &[T],
        pixels: &[[Option<usize>; S]; S],
        at: usize,
    ) -> [[Lanes<T>; S]; S] {
        tile(|i, j| match pixels[i][j] {
            Some(pixel) => load(image, pixel + at),
            None => zeros(),
        })
    }

    /// A patch's entries of a transform `[16, patches, c]`.
    #[inline(always)]
    fn take<T: Real>(&self, values: &[T], patch: usize, c: usize, at: usize) -> [[Lanes<T>; 4]; 4] {
        tile(|i, j| load(values, ((4 * i + j) * self.count() + patch) * c + at))
    }

    /// Writes a patch's entries of a transform.
    #[inline(always)]
    fn put<T: Real>(&self, entries: [[Lanes<T>; 4]; 4], values: &mut [T], patch: usize, c: usize, at: usize) {
        for (entry, lanes) in entries.as_flattened().iter().enumerate() {
            store(values, (entry * self.count() + patch) * c + at, *lanes);
        }
    }
}

/// `scale G w G^T` of kernels `[9, c, c']`: `[16, c, c']`.
pub(super) fn transform_kernels<T: Real>(kernels: &[T], scale: T, out: &mut [T]) {
    let (size, half) = (kernels.len() / 9, T::of(0.5));
    vectorised(|| {
        for at in (0..size).step_by(LANES) {
            let w: [[_; 3]; 3] = tile(|i, j| scaled(scale, load(kernels, (3 * i + j) * size + at)));
            let u = twice(w, |[a, b, c]| {
                let (even, odd) = (scaled(half, add(a, c)), scaled(half, b));
                [a, add(even, odd), subtract(even, odd), c]
            });
            for (entry, u) in u.as_flattened().iter().enumerate() {
                store(out, entry * size + at, *u);
            }
        }
    });
}

/// `G^T u G` of the derivatives of kernels' transforms, `[16, c, c']`, put into `[9, c, c']` or added.
pub(super) fn transform_kernel_derivatives<T: Real>(kernels: &[T], accum: Accum, out: &mut [T]) {
    let (size, half) = (kernels.len() / PATCH, T::of(0.5));
    vectorised(|| {
        for at in (0..size).step_by(LANES) {
            let u: [[_; 4]; 4] = tile(|i, j| load(kernels, (4 * i + j) * size + at));
            let w = twice(u, |[a, b, c, d]| {
                let (even, odd) = (scaled(half, add(b, c)), scaled(half, subtract(b, c)));
                [add(a, even), odd, add(even, d)]
            });
            for (entry, w) in w.as_flattened().iter().enumerate() {
                let place = entry * size + at;
                let w = if accum == Accum::Add { add(load(out, place), *w) } else { *w };
                store(out, place, w);
            }
        }
    });
}

/// `F t F^T` for a linear map `F` of vectors, given as a function.
#[inline(always)]
fn twice<T: Real, const I: usize, const O: usize>(
    tile: [[Lanes<T>; I]; I],
    map: impl Fn([Lanes<T>; I]) -> [Lanes<T>; O],
) -> [[Lanes<T>; O]; O] {
    let (mut rows, mut out) = ([[zeros(); O]; I], [[zeros(); O]; O]);
    for (row, tile) in rows.iter_mut().zip(tile) {
        *row = map(tile);
    }
    for j in 0..O {
        let mut column = [zeros(); I];
        for (entry, row) in column.iter_mut().zip(&rows) {
            *entry = row[j];
        }
        for (row, entry) in out.iter_mut().zip(map(column)) {
            row[j] = entry;
        }
    }
    out
}

// Loops, and no `map` or `from_fn` of the standard library: those are compiled without the vector instructions
// of `vectorised` unless they happen to be inlined.

#[inline(always)]
fn tile<T: Real, const S: usize>(entry: impl Fn(usize, usize) -> Lanes<T>) -> [[Lanes<T>; S]; S] {
    let mut tile = [[zeros(); S]; S];
    for (i, row) in tile.iter_mut().enumerate() {
        for (j, place) in row.iter_mut().enumerate() {
            *place = entry(i, j);
        }
    }
    tile
}

#[inline(always)]
fn zeros<T: Real>() -> Lanes<T> {
    [T::zero(); LANES]
}

#[inline(always)]
fn load<T: Real>(values: &[T], at: usize) -> Lanes<T> {
    let mut lanes = zeros();
    lanes.copy_from_slice(&values[at..at + LANES]);
    lanes
}

#[inline(always)]
fn store<T: Real>(values: &mut [T], at: usize, lanes: Lanes<T>) {
    values[at..at + LANES].copy_from_slice(&lanes);
}

#[inline(always)]
fn add<T: Real>(mut a: Lanes<T>, b: Lanes<T>) -> Lanes<T> {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
    a
}

#[inline(always)]
fn subtract<T: Real>(mut a: Lanes<T>, b: Lanes<T>) -> Lanes<T> {
    for (a, b) in a.iter_mut().zip(b) {
        *a -= b;
    }
    a
}

#[inline(always)]
fn scaled<T: Real>(factor: T, mut a: Lanes<T>) -> Lanes<T> {
    for a in &mut a {
        *a *= factor;
    }
    a
}
