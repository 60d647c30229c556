//! Convolutions with 3 x 3 kernels by Winograd's minimal filtering, `F(4x4, 3x3)`.
//!
//! Sixteen outputs of a convolution with kernel `w` that read a 6 x 6 patch `d` of the image are
//!
//! ```text
//! y = A^T [(G w G^T) o (B^T d B)] A
//! ```
//!
//! with 36 products of numbers instead of 144. Summed over channels, the products are 36 matrix products, over all
//! patches, per image (S. Winograd, *Arithmetic complexity of computations*, 1980; A. Lavin and S. Gray, *Fast algorithms
//! for convolutional neural networks*, 2016). The map is linear in `w` and in `d`, so that its derivatives are the same
//! maps transposed: with `D = A dy A^T`, the patches' derivatives are `B [(G w G^T) o D] B^T` and the kernel's
//! `G^T [sum (B^T d B) o D] G`.

mod maps;

use super::convolution::Geometry;
use super::product::{Place, product_block, rows, rows_mut};
use super::real::{Real, vectorised};
use maps::{
    A, ATransposed, B, BTransposed, G, GTransposed, LANES, Lanes, LinearMap, Numbers, OUTPUTS, SIDE, WEIGHTS, add,
    load, scaled, store, twice, zeros,
};

/// Entries of a patch.
const PATCH: usize = SIDE * SIDE;

/// The patches of one image: `side` of them per row and column, [`OUTPUTS`] pixels apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patches {
    geometry: Geometry,
    side: [usize; 2],
}

/// The transforms `G w G^T` of a convolution's kernels.
#[derive(Clone, Debug)]
pub(super) struct Kernels<T> {
    /// `[36, c, c']`.
    forth: Vec<T>,
    /// `[36, c', c]`, so that the way back reads them in order too.
    back: Vec<T>,
}

/// The pixels of a patch: where each begins among the values of an image, or `None` outside it.
type Pixels<const S: usize> = [[Option<usize>; S]; S];

impl Patches {
    /// The patches of a 3 x 3 convolution with stride 1 and whole [`LANES`] of channels in and out. With a channel or three
    /// to read, transforms take longer than the products they save.
    pub(super) fn new(geometry: Geometry, channels: usize) -> Option<Self> {
        let lanes = |channels: usize| channels.is_multiple_of(LANES);
        let fits = geometry.kernel == WEIGHTS && geometry.stride == 1 && lanes(geometry.input[0]) && lanes(channels);
        fits.then(|| Self { geometry, side: geometry.output.map(|length| length.div_ceil(OUTPUTS)) })
    }

    fn count(&self) -> usize {
        self.side[0] * self.side[1]
    }

    /// Numbers in the transform of an image, or of an output, with so many channels.
    pub(super) fn numbers(&self, channels: usize) -> usize {
        PATCH * self.count() * channels
    }

    /// `B^T d B` for all patches of an image `[height, width, c]`: `[36, patches, c]`.
    pub(super) fn read<T: Real>(&self, image: &[T], out: &mut [T]) {
        self.transform::<BTransposed, T, _>(image, self.image(), self.geometry.input[0], out);
    }

    /// Adds `B dv B^T` of all patches, `[36, patches, c]`, to the derivatives with respect to the image.
    pub(super) fn add_derivatives<T: Real>(&self, patches: &[T], image: &mut [T]) {
        self.assemble::<B, T, _>(patches, self.geometry.input[0], Place::Add, self.image(), image);
    }

    /// The outputs `[height', width', c']` from the products of all patches, `[36, patches, c']`.
    pub(super) fn write<T: Real>(&self, products: &[T], units: usize, out: &mut [T]) {
        self.assemble::<ATransposed, T, _>(products, units, Place::Replace, self.output(), out);
    }

    /// `A dy A^T` for the derivatives `dy: [height', width', c']` of all outputs: `[36, patches, c']`.
    pub(super) fn read_derivatives<T: Real>(&self, dy: &[T], units: usize, out: &mut [T]) {
        self.transform::<A, T, _>(dy, self.output(), units, out);
    }

    /// `products = sum_c patches kernels`: of `[36, patches, c]` and `[36, c, c']`, `[36, patches, c']`.
    pub(super) fn multiply<T: Real>(&self, patches: &[T], kernels: &Kernels<T>, units: usize, products: &mut [T]) {
        self.multiplied(patches, self.geometry.input[0], &kernels.forth, units, products);
    }

    /// The transposed product, `[36, patches, c]` of `[36, patches, c']` and `[36, c, c']`.
    pub(super) fn multiply_transposed<T: Real>(
        &self,
        products: &[T],
        kernels: &Kernels<T>,
        units: usize,
        patches: &mut [T],
    ) {
        self.multiplied(products, units, &kernels.back, self.geometry.input[0], patches);
    }

    fn multiplied<T: Real>(&self, from: &[T], c: usize, kernels: &[T], c_to: usize, to: &mut [T]) {
        let entries = to.chunks_mut(self.count() * c_to).zip(from.chunks(self.count() * c));
        for ((to, from), kernel) in entries.zip(kernels.chunks(c * c_to)) {
            product_block(rows_mut(to, c_to), Place::Replace, T::one(), rows(from, c), rows(kernel, c_to));
        }
    }

    /// The derivatives of the transformed kernels, `[36, c, c']`, of one image, added to what is there or in its place.
    pub(super) fn kernel_derivatives<T: Real>(
        &self,
        patches: &[T],
        derivatives: &[T],
        units: usize,
        place: Place,
        kernels: &mut [T],
    ) {
        let channels = self.geometry.input[0];
        let entries = kernels.chunks_mut(channels * units).zip(patches.chunks(self.count() * channels));
        for ((out, patches), derivatives) in entries.zip(derivatives.chunks(self.count() * units)) {
            let derivatives = rows(derivatives, units);
            product_block(rows_mut(out, units), place, T::one(), rows(patches, channels).t(), derivatives);
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

    /// `F d F^T` of all patches `d`, `S` pixels wide, of an image with `c` channels: `[36, patches, c]`.
    fn transform<F: LinearMap<S, SIDE>, T: Real, const S: usize>(
        &self,
        image: &[T],
        shape: [usize; 3],
        c: usize,
        out: &mut [T],
    ) {
        let numbers = Numbers::new();
        vectorised(
            #[inline(always)]
            || {
                for patch in 0..self.count() {
                    let pixels: Pixels<S> = self.pixels(shape, c, patch);
                    for at in (0..c).step_by(LANES) {
                        twice::<F, T, _, _>(
                            &numbers,
                            #[inline(always)]
                            |i, j| load_inside(image, pixels[i][j], at),
                            #[inline(always)]
                            |i, j, lanes| store(out, self.entry(i, j, patch, c) + at, lanes),
                        );
                    }
                }
            },
        );
    }

    /// `F v F^T` of all patches' entries `v`, `[36, patches, c]`: `S` pixels wide, put into an image or added to it.
    fn assemble<F: LinearMap<SIDE, S>, T: Real, const S: usize>(
        &self,
        patches: &[T],
        c: usize,
        place: Place,
        shape: [usize; 3],
        image: &mut [T],
    ) {
        let numbers = Numbers::new();
        vectorised(
            #[inline(always)]
            || {
                for patch in 0..self.count() {
                    let pixels: Pixels<S> = self.pixels(shape, c, patch);
                    for at in (0..c).step_by(LANES) {
                        twice::<F, T, _, _>(
                            &numbers,
                            #[inline(always)]
                            |i, j| load(patches, self.entry(i, j, patch, c) + at),
                            #[inline(always)]
                            |i, j, lanes| {
                                if let Some(pixel) = pixels[i][j] {
                                    put(image, pixel + at, place, lanes);
                                }
                            },
                        );
                    }
                }
            },
        );
    }

    /// The pixels of a patch of an image `[height, width, padding]` with `c` channels.
    #[inline(always)]
    fn pixels<const S: usize>(&self, [height, width, padding]: [usize; 3], c: usize, patch: usize) -> Pixels<S> {
        let (y, x) = (OUTPUTS * (patch / self.side[1]), OUTPUTS * (patch % self.side[1]));
        let mut pixels = [[None; S]; S];
        for (i, row) in pixels.iter_mut().enumerate() {
            for (j, place) in row.iter_mut().enumerate() {
                // Above or left of the image these wrap round to large numbers.
                let (y, x) = ((y + i).wrapping_sub(padding), (x + j).wrapping_sub(padding));
                *place = if y < height && x < width { Some((y * width + x) * c) } else { None };
            }
        }
        pixels
    }

    /// Where a patch's entry begins among those of a transform `[36, patches, c]`.
    #[inline(always)]
    fn entry(&self, i: usize, j: usize, patch: usize, c: usize) -> usize {
        ((SIDE * i + j) * self.count() + patch) * c
    }
}

impl<T: Real> Kernels<T> {
    /// Room for the transforms of kernels with so many weights.
    pub(super) fn new(weights: usize) -> Self {
        let numbers = weights / WEIGHTS.pow(2) * PATCH;
        Self { forth: vec![T::zero(); numbers], back: vec![T::zero(); numbers] }
    }

    /// Numbers of one of the transforms.
    pub(super) fn numbers(&self) -> usize {
        self.forth.len()
    }

    /// Takes `scale G w G^T` of kernels `w: [9, c, c']`.
    pub(super) fn transform(&mut self, kernels: &[T], scale: T, c: usize) {
        let size = kernels.len() / WEIGHTS.pow(2);
        let (numbers, out) = (Numbers::new(), &mut self.forth);
        vectorised(
            #[inline(always)]
            || {
                for at in (0..size).step_by(LANES) {
                    twice::<G, T, _, _>(
                        &numbers,
                        #[inline(always)]
                        |i, j| scaled(scale, load(kernels, (WEIGHTS * i + j) * size + at)),
                        #[inline(always)]
                        |i, j, u| store(out, (SIDE * i + j) * size + at, u),
                    );
                }
            },
        );
        let units = size / c;
        for (forth, back) in self.forth.chunks(size).zip(self.back.chunks_mut(size)) {
            for (i, row) in forth.chunks(units).enumerate() {
                back.iter_mut().skip(i).step_by(c).zip(row).for_each(|(back, &entry)| *back = entry);
            }
        }
    }
}

/// `G^T u G` of the derivatives of kernels' transforms, `[36, c, c']`, put into `[9, c, c']` or added.
pub(super) fn transform_kernel_derivatives<T: Real>(kernels: &[T], place: Place, out: &mut [T]) {
    let (size, numbers) = (kernels.len() / PATCH, Numbers::new());
    vectorised(
        #[inline(always)]
        || {
            for at in (0..size).step_by(LANES) {
                twice::<GTransposed, T, _, _>(
                    &numbers,
                    #[inline(always)]
                    |i, j| load(kernels, (SIDE * i + j) * size + at),
                    #[inline(always)]
                    |i, j, w| put(out, (WEIGHTS * i + j) * size + at, place, w),
                );
            }
        },
    );
}

/// The channels of a pixel; 0 outside the image.
#[inline(always)]
fn load_inside<T: Real>(image: &[T], pixel: Option<usize>, at: usize) -> Lanes<T> {
    match pixel {
        Some(pixel) => load(image, pixel + at),
        None => zeros(),
    }
}

#[inline(always)]
fn put<T: Real>(values: &mut [T], at: usize, place: Place, lanes: Lanes<T>) {
    let lanes = if place == Place::Add { add(load(values, at), lanes) } else { lanes };
    store(values, at, lanes);
}
