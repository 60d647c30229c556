//! Convolutions as matrix products over windows that are views of the image.
//!
//! With an image's pixels in rows, `[height, width, channels]`, the `kernel * channels` numbers that a window takes
//! from one row of pixels are neighbours in memory, and the next window's start `channels` further on. All windows of a
//! kernel row are thus one matrix with overlapping rows, and a convolution of stride 1 is `kernel` matrix products that
//! copy nothing. Strided convolutions copy their windows, and so do GPUs, whose products refuse overlapping rows.

use burn::tensor::module::conv_transpose2d;
use burn::tensor::ops::{ConvTransposeOptions, PadMode};
use burn::tensor::{Tensor, s};

use crate::layers::ConvNode;
use crate::transfer::is_host;

/// The windows that a convolution reads, for a batch of images.
///
/// Where windows are views, positions are counted along the rows of the padded image: each row of `width` windows is
/// followed by some that straddle two rows and mean nothing; derivatives are zero there.
#[derive(Clone, Debug)]
pub struct Windows {
    /// Per kernel row, `[n, height * pitch, kernel * channels]`, columns before channels.
    rows: Vec<Tensor<3>>,
    /// The image's rows and columns, without padding.
    image: [usize; 2],
    height: usize,
    width: usize,
    pitch: usize,
}

impl Windows {
    /// The windows of images `[n, height, width, channels]`.
    pub(crate) fn new(image: Tensor<4>, kernel: usize, stride: usize, padding: usize) -> Self {
        let [n, h, w, c] = image.dims();
        let [height, width] = [h, w].map(|side| (side + 2 * padding - kernel) / stride + 1);
        let padded_width = w + 2 * padding;
        let (rows, pitch) = if stride == 1 && is_host(&image.device()) {
            // A row of zeros more, so that the last windows, which straddle rows, stay inside.
            let padded = pad(image, [padding, padding + usize::from(kernel > 1)], padding);
            let size = padded.dims()[1] * padded_width * c;
            let flat = padded.reshape([n, size]);
            let row = |r: usize| {
                let start = r * padded_width * c;
                let end = start + (height * padded_width - 1 + kernel) * c;
                flat.clone().slice(s![.., start..end]).unfold::<3, _>(1, kernel * c, c)
            };
            ((0..kernel).map(row).collect(), padded_width)
        } else {
            let padded = pad(image, [padding; 2], padding);
            let lines = padded.dims()[1];
            let windows = padded.reshape([n, lines, padded_width * c]).unfold::<4, _>(2, kernel * c, stride * c);
            let row = |r: usize| {
                let last = r + (height - 1) * stride;
                let step = stride as isize;
                windows.clone().slice(s![.., r..=last;step, ..width, ..]).reshape([n, height * width, kernel * c])
            };
            ((0..kernel).map(row).collect(), width)
        };
        Self { rows, image: [h, w], height, width, pitch }
    }

    /// `sum_r rows_r W_r` for weights `W_r: [kernel * channels, c']` per kernel row: the images
    /// `[n, height', width', c']`.
    fn product(&self, weights: &Tensor<3>) -> Tensor<4> {
        let [kernel, columns, channels] = weights.dims();
        let n = self.rows[0].dims()[0];
        let terms = self.rows.iter().enumerate().map(|(r, windows)| {
            let weights = if kernel == 1 { weights.clone() } else { weights.clone().slice(s![r..r + 1, .., ..]) };
            debug_assert_eq!(windows.dims()[2], columns);
            windows.clone().matmul(weights)
        });
        let sum = terms.reduce(|sum, term| sum + term).expect("a kernel has a row");
        let image = sum.reshape([n, self.height, self.pitch, channels]);
        if self.pitch == self.width { image } else { image.slice(s![.., .., ..self.width, ..]) }
    }

    /// An image `[n, height', width', c']` over the positions of the windows, `[n, height' * pitch, c']`, with zeros
    /// where windows mean nothing.
    fn spread(&self, image: Tensor<4>) -> Tensor<3> {
        let [n, height, width, c] = image.dims();
        let image = match self.pitch - width {
            0 => image,
            columns => image.pad([(0, 0), (0, columns), (0, 0)], PadMode::Constant(0.0)),
        };
        image.reshape([n, height * self.pitch, c])
    }

    /// `sum_p window_p^T g_p` per sample for `g: [n, height', width', c']`: the derivatives with respect to the weights,
    /// `[n, kernel^2 * channels * c']` in the order kernel row, kernel column, channel, `c'`.
    pub fn weight_derivatives(&self, g: Tensor<4>) -> Tensor<2> {
        let g = self.spread(g);
        let [n, _, c] = g.dims();
        let per_row = self.rows.iter().map(|windows| {
            let columns = windows.dims()[2];
            windows.clone().swap_dims(1, 2).matmul(g.clone()).reshape([n, columns * c])
        });
        Tensor::cat(per_row.collect(), 1)
    }

    /// All windows, `[n, height' * width', kernel^2 * channels]`, copied out.
    pub fn patches(&self) -> Tensor<3> {
        let whole = Tensor::cat(self.rows.clone(), 2);
        let [n, _, columns] = whole.dims();
        let grid = whole.reshape([n, self.height, self.pitch, columns]);
        grid.slice(s![.., .., ..self.width, ..]).reshape([n, self.height * self.width, columns])
    }
}

/// Zeros around images `[n, h, w, c]`: rows above and below, and columns on both sides.
fn pad(image: Tensor<4>, rows: [usize; 2], columns: usize) -> Tensor<4> {
    if rows == [0, 0] && columns == 0 {
        return image;
    }
    image.pad([(rows[0], rows[1]), (columns, columns), (0, 0)], PadMode::Constant(0.0))
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
