//! A layer with weights on the host, and its derivatives.

use super::convolution::Geometry;
use super::product::{Place, product_block, product_transposed, rows, rows_mut};
use super::real::Real;
use super::winograd::{Kernels, Patches, transform_kernel_derivatives};

/// A layer with weights, `z = w_scale u W + b_scale b` at every position.
#[derive(Clone, Debug)]
pub struct HostLayer<T> {
    /// `W: [fan_in, units]`. The inputs of a convolution are counted by kernel row, kernel column and channel.
    pub weight: Vec<T>,
    /// `b: [units]`, or nothing.
    pub bias: Vec<T>,
    /// `sigma_w / sqrt(fan_in)`.
    pub w_scale: f64,
    /// `sigma_b`.
    pub b_scale: f64,
    /// Inputs of a unit.
    pub fan_in: usize,
    /// Outputs per position.
    pub units: usize,
    /// The places where the layer reads the image; 1 for a dense layer.
    pub positions: usize,
    pub(super) way: Way<T>,
}

/// How a layer is multiplied.
#[derive(Clone, Debug)]
pub(super) enum Way<T> {
    Dense,
    /// All windows side by side.
    Windows(Geometry),
    /// In patches; with the kernels' transforms, scaled.
    Patches(Patches, Geometry, Kernels<T>),
}

/// A layer with weights, after a pass forth and back: what it read, and the derivative of the output with respect to its
/// pre-activations. See [`HostNetwork::pull_back`](super::HostNetwork::pull_back).
pub struct LayerPass<'a, T> {
    /// The layer's place among the layers with weights, in the order of [`Network::parameters`](crate::Network::parameters).
    pub index: usize,
    layer: &'a HostLayer<T>,
    samples: usize,
    input: &'a [T],
    read: &'a [T],
    g: &'a [T],
    /// The patches' derivatives.
    patches: &'a [T],
    scratch: &'a mut [T],
}

impl<T: Real> HostLayer<T> {
    /// Floating-point operations of the layer's matrix products for one sample, in one direction: forward, and as many
    /// again for the derivative with respect to its input, and for that with respect to its weights.
    pub fn operations(&self) -> f64 {
        let rows = match &self.way {
            Way::Dense | Way::Windows(_) => self.positions * self.fan_in,
            Way::Patches(patches, geometry, _) => patches.numbers(geometry.input[0]),
        };
        2.0 * rows as f64 * self.units as f64
    }

    pub(super) fn forward(&self, input: &[T], n: usize, read: &mut Vec<T>, z: &mut Vec<T>, free: &mut Vec<Vec<T>>) {
        let scale = T::of(self.w_scale);
        z.resize(n * self.positions * self.units, T::zero());
        match &self.way {
            Way::Dense => {
                let (z, weight) = (rows_mut(z, self.units), rows(&self.weight, self.units));
                product_block(z, Place::Replace, scale, rows(input, self.fan_in), weight);
            }
            Way::Windows(geometry) => {
                read.resize(n * self.positions * self.fan_in, T::zero());
                each(input, read, n, |image, windows| geometry.copy_windows(image, windows));
                let (z, weight) = (rows_mut(z, self.units), rows(&self.weight, self.units));
                product_block(z, Place::Replace, scale, rows(read, self.fan_in), weight);
            }
            Way::Patches(patches, geometry, kernels) => {
                read.resize(n * patches.numbers(geometry.input[0]), T::zero());
                each(input, read, n, |image, read| patches.read(image, read));
                let mut products = take(free, patches.numbers(self.units));
                each(read, z, n, |read, z| {
                    patches.multiply(read, kernels, self.units, &mut products);
                    patches.write(&products, self.units, z);
                });
                free.push(products);
            }
        }
        if !self.bias.is_empty() {
            let scale = T::of(self.b_scale);
            z.chunks_mut(self.units).for_each(|z| z.iter_mut().zip(&self.bias).for_each(|(z, &b)| *z += scale * b));
        }
    }

    #[allow(clippy::too_many_arguments)] // a recursion's state
    pub(super) fn back(
        &self,
        index: usize,
        [input, read]: [&[T]; 2],
        n: usize,
        g: &[T],
        wanted: bool,
        free: &mut Vec<Vec<T>>,
        visit: &mut dyn FnMut(LayerPass<T>),
    ) -> Option<Vec<T>> {
        let (mut patches, mut scratch) = (Vec::new(), Vec::new());
        if let Way::Patches(way, _, kernels) = &self.way {
            (patches, scratch) = (take(free, n * way.numbers(self.units)), take(free, kernels.numbers()));
            each(g, &mut patches, n, |g, patches| way.read_derivatives(g, self.units, patches));
        }
        let seen =
            LayerPass { index, layer: self, samples: n, input, read, g, patches: &patches, scratch: &mut scratch };
        visit(seen);
        let down = wanted.then(|| {
            let scale = T::of(self.w_scale);
            let mut down = take(free, input.len());
            match &self.way {
                Way::Dense => {
                    product_transposed(scale, g, &self.weight, self.units, &mut down);
                }
                Way::Windows(geometry) => {
                    let mut windows = take(free, read.len());
                    product_transposed(scale, g, &self.weight, self.units, &mut windows);
                    down.fill(T::zero());
                    each(&windows, &mut down, n, |windows, down| geometry.add_windows(windows, down));
                    free.push(windows);
                }
                Way::Patches(way, geometry, kernels) => {
                    let mut derivatives = take(free, way.numbers(geometry.input[0]));
                    down.fill(T::zero());
                    each(&patches, &mut down, n, |patches, down| {
                        way.multiply_transposed(patches, kernels, self.units, &mut derivatives);
                        way.add_derivatives(&derivatives, down);
                    });
                    free.push(derivatives);
                }
            }
            down
        });
        // Other layers have taken none.
        free.extend([patches, scratch].into_iter().filter(|memory| !memory.is_empty()));
        down
    }

    /// The weights in the order of the network's parameter: for a convolution `[channels_out, channels_in, kernel, kernel]`.
    pub(super) fn in_network_order(&self) -> Vec<T> {
        let Some(geometry) = self.geometry() else { return self.weight.clone() };
        let mut flat = vec![T::zero(); self.weight.len()];
        for (here, there) in geometry.weight_places(self.units) {
            flat[there] = self.weight[here];
        }
        flat
    }

    fn geometry(&self) -> Option<&Geometry> {
        match &self.way {
            Way::Dense => None,
            Way::Windows(geometry) | Way::Patches(_, geometry, _) => Some(geometry),
        }
    }
}

impl<T: Real> LayerPass<'_, T> {
    /// Samples that went through.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// What the layer read of a sample at every position, without the scale: `[positions, fan_in]`.
    pub fn copy_input(&self, sample: usize, out: &mut [T]) {
        let size = self.input.len() / self.samples;
        let input = &self.input[sample * size..(sample + 1) * size];
        match self.layer.geometry() {
            None => out.copy_from_slice(input),
            Some(geometry) => geometry.copy_windows(input, out),
        }
    }

    /// The derivative with respect to a sample's pre-activations, `[positions, units]`.
    pub fn derivative(&self, sample: usize) -> &[T] {
        let size = self.layer.positions * self.layer.units;
        &self.g[sample * size..(sample + 1) * size]
    }

    /// The derivative with respect to the weights, without their scale, of one sample: `sum_p u_p g_p^T`,
    /// `[fan_in, units]`.
    pub fn weight_derivative(&mut self, sample: usize, out: &mut [T]) {
        self.weights(sample..sample + 1, Place::Replace, out);
    }

    /// Adds the derivative with respect to the weights, summed over the samples.
    pub fn add_weight_derivative(&mut self, out: &mut [T]) {
        self.weights(0..self.samples, Place::Add, out);
    }

    /// Adds the derivative with respect to the biases, without their scale, of one sample: `sum_p g_p`, `[units]`.
    pub fn add_bias_derivative(&self, sample: usize, out: &mut [T]) {
        for g in self.derivative(sample).chunks(self.layer.units) {
            out.iter_mut().zip(g).for_each(|(out, &g)| *out += g);
        }
    }

    fn weights(&mut self, samples: std::ops::Range<usize>, place: Place, out: &mut [T]) {
        let of = |values: &'_ [T], samples: &std::ops::Range<usize>| {
            let size = values.len() / self.samples;
            samples.start * size..samples.end * size
        };
        let units = self.layer.units;
        match &self.layer.way {
            Way::Dense | Way::Windows(_) => {
                let read = if self.read.is_empty() { self.input } else { self.read };
                let (read, g) = (&read[of(read, &samples)], &self.g[of(self.g, &samples)]);
                product_block(rows_mut(out, units), place, T::one(), rows(read, self.layer.fan_in).t(), rows(g, units));
            }
            Way::Patches(patches, ..) => {
                for sample in samples.clone() {
                    let sample_range = sample..sample + 1;
                    let read = &self.read[of(self.read, &sample_range)];
                    let g = &self.patches[of(self.patches, &sample_range)];
                    let place = if sample == samples.start { Place::Replace } else { Place::Add };
                    patches.kernel_derivatives(read, g, units, place, self.scratch);
                }
                transform_kernel_derivatives(self.scratch, place, out);
            }
        }
    }
}

/// Calls `visit` with every sample's part of two arrays.
pub(super) fn each<T>(from: &[T], to: &mut [T], samples: usize, mut visit: impl FnMut(&[T], &mut [T])) {
    let sizes = from.len().checked_div(samples).zip(to.len().checked_div(samples));
    if let Some((size, size_to)) = sizes {
        from.chunks(size).zip(to.chunks_mut(size_to)).for_each(|(from, to)| visit(from, to));
    }
}

/// Memory for so many numbers, of any values: what had this size before, so that nothing is cleared in vain.
pub(super) fn take<T: Real>(free: &mut Vec<Vec<T>>, size: usize) -> Vec<T> {
    let same = free.iter().position(|memory| memory.len() == size);
    same.map_or_else(|| vec![T::zero(); size], |place| free.swap_remove(place))
}
