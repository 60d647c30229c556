//! Convolutions as matrix products over windows, in tensor operations.
//!
//! With an image's pixels in rows, `[height, width, channels]`, the `kernel * channels` numbers that a window takes
//! from one row of pixels are neighbours in memory. All windows of a kernel row are thus one matrix, and a convolution is
//! `kernel` matrix products. On the host, [`crate::host`] does better.

use burn::tensor::module::conv_transpose2d;
use burn::tensor::ops::{ConvTransposeOptions, PadMode};
use burn::tensor::{Tensor, s};

use crate::layers::ConvNode;

/// The windows that a convolution reads, for a batch of images.
#[derive(Clone, Debug)]
pub struct Windows {
    /// Per kernel row, `[n, height * width, kernel * channels]`, columns before channels.
    rows: Vec<Tensor<3>>,
    /// The image's rows and columns, without padding.
    image: [usize; 2],
    height: usize,
    width: usize,
}

impl Windows {
    /// The windows of images `[n, height, width, channels]`.
    pub(crate) fn new(image: Tensor<4>, kernel: usize, stride: usize, padding: usize) -> Self {
        let [n, h, w, c] = image.dims();
        let [height, width] = [h, w].map(|side| (side + 2 * padding - kernel) / stride + 1);
        let padded = match padding {
            0 => image,
            _ => image.pad([(padding, padding), (padding, padding), (0, 0)], PadMode::Constant(0.0)),
        };
        let windows = padded.reshape([n, h + 2 * padding, (w + 2 * padding) * c]);
        let windows = windows.unfold::<4, _>(2, kernel * c, stride * c);
        let row = |r: usize| {
            let last = r + (height - 1) * stride;
            let step = stride as isize;
            windows.clone().slice(s![.., r..=last;step, ..width, ..]).reshape([n, height * width, kernel * c])
        };
        Self { rows: (0..kernel).map(row).collect(), image: [h, w], height, width }
    }

    /// `sum_r rows_r W_r` for weights `W_r: [kernel * channels, c']` per kernel row: the images
    /// `[n, height', width', c']`.
    fn product(&self, weights: &Tensor<3>) -> Tensor<4> {
        let [kernel, _, channels] = weights.dims();
        let n = self.rows[0].dims()[0];
        let terms = self.rows.iter().enumerate().map(|(r, windows)| {
            let weights = if kernel == 1 { weights.clone() } else { weights.clone().slice(s![r..r + 1, .., ..]) };
            windows.clone().matmul(weights)
        });
        let sum = terms.reduce(|sum, term| sum + term).expect("a kernel has a row");
        sum.reshape([n, self.height, self.width, channels])
    }

    /// `sum_p window_p^T g_p` per sample for `g: [n, height', width', c']`: the derivatives with respect to the weights,
    /// `[n, kernel^2 * channels * c']` in the order kernel row, kernel column, channel, `c'`.
    pub fn weight_derivatives(&self, g: Tensor<4>) -> Tensor<2> {
        let g = g.flatten::<3>(1, 2);
        let [n, _, c] = g.dims();
        let per_row = self.rows.iter().map(|windows| {
            let columns = windows.dims()[2];
            windows.clone().swap_dims(1, 2).matmul(g.clone()).reshape([n, columns * c])
        });
        Tensor::cat(per_row.collect(), 1)
    }

    /// All windows, `[n, height' * width', kernel^2 * channels]`, copied out.
    pub fn patches(&self) -> Tensor<3> {
        Tensor::cat(self.rows.clone(), 2)
    }
}

impl ConvNode {
    /// The windows this layer reads from images `[n, height, width, channels]`.
    pub(crate) fn windows(&self, image: Tensor<4>) -> Windows {
        Windows::new(image, self.weight.dims()[2], self.stride, self.padding)
    }

    /// The layer on its windows: `[n, height', width', channels_out]`.
    pub(crate) fn forward_windows(&self, windows: &Windows) -> Tensor<4> {
        let [channels, channels_in, kernel, _] = self.weight.dims();
        let weight = self.weight.val().inner() * self.w_scale;
        let weights = weight.permute([2, 3, 1, 0]).reshape([kernel, kernel * channels_in, channels]);
        let z = windows.product(&weights);
        match &self.bias {
            Some(bias) => z + (bias.val().inner() * self.b_scale).reshape([1, 1, 1, channels]),
            None => z,
        }
    }

    /// The derivative with respect to the layer's input from that with respect to its pre-activation, both as
    /// `[n, height, width, channels]`.
    pub(crate) fn pull_back(&self, windows: &Windows, g: Tensor<4>) -> Tensor<4> {
        let [channels, channels_in, kernel, _] = self.weight.dims();
        let weight = self.weight.val().inner() * self.w_scale;
        if self.stride == 1 && self.padding < kernel {
            // The transpose of a convolution is one with the kernel turned round.
            let turned = weight.permute([2, 3, 0, 1]).flip([0, 1]).reshape([kernel, kernel * channels, channels_in]);
            return Windows::new(g, kernel, 1, kernel - 1 - self.padding).product(&turned);
        }
        let left_over = windows.image.map(|side| (side + 2 * self.padding - kernel) % self.stride);
        let options = ConvTransposeOptions::new([self.stride; 2], [self.padding; 2], left_over, [1; 2], 1);
        conv_transpose2d(g.permute([0, 3, 1, 2]), weight, None, options).permute([0, 2, 3, 1])
    }

    /// Weights (or a direction in their space) in the order of [`Windows::weight_derivatives`]: from the flat
    /// parameter `[channels_out, channels_in, kernel, kernel]` to `[kernel^2 * channels_in, channels_out]`.
    pub fn to_windows_order(&self, flat: Tensor<1>) -> Tensor<2> {
        let [channels, channels_in, kernel, _] = self.weight.dims();
        let weight = flat.reshape([channels, channels_in, kernel, kernel]).permute([2, 3, 1, 0]);
        weight.reshape([kernel * kernel * channels_in, channels])
    }

    /// The way back from [`ConvNode::to_windows_order`], of the matrix's rows one after the other.
    pub fn from_windows_order(&self, rows: Tensor<1>) -> Tensor<1> {
        let [channels, channels_in, kernel, _] = self.weight.dims();
        let weight = rows.reshape([kernel, kernel, channels_in, channels]).permute([3, 2, 0, 1]);
        weight.reshape([channels * channels_in * kernel * kernel])
    }
}
