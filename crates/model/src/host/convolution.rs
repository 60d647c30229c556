//! The shape of a convolution on the host, and its windows copied out.
//!
//! Images are `[height, width, channels]`, channels last, so that a window's row is one run of memory.

/// What a convolution's windows are, for one image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) padding: usize,
    /// `[channels, height, width]` of the image.
    pub(super) input: [usize; 3],
    /// `[height, width]` of the output.
    pub(super) output: [usize; 2],
}

impl Geometry {
    pub(super) fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    pub(super) fn fan_in(&self) -> usize {
        self.kernel * self.kernel * self.input[0]
    }

    /// The places of every weight of a convolution with so many channels out: in `[kernel, kernel, channels_in,
    /// channels_out]`, which is that of the windows, and in the network's `[channels_out, channels_in, kernel, kernel]`.
    pub(super) fn weight_places(&self, units: usize) -> impl Iterator<Item = (usize, usize)> {
        let (channels, area) = (self.input[0], self.kernel * self.kernel);
        (0..self.fan_in() * units).map(move |here| {
            let (input, unit) = (here / units, here % units);
            (here, (unit * channels + input % channels) * area + input / channels)
        })
    }

    /// Copies an image's windows out: `[positions, kernel^2 * channels]`, in the order kernel row, kernel column,
    /// channel.
    pub(super) fn copy_windows<T: Copy + Default>(&self, image: &[T], windows: &mut [T]) {
        windows.fill(T::default());
        self.runs(|window, run| windows[window].copy_from_slice(&image[run]));
    }

    /// Adds derivatives with respect to the windows to those with respect to the image.
    pub(super) fn add_windows<T: Copy + std::ops::AddAssign>(&self, windows: &[T], image: &mut [T]) {
        self.runs(|window, run| image[run].iter_mut().zip(&windows[window]).for_each(|(image, &g)| *image += g));
    }

    /// Calls `run(window, image)` for the parts of the table of windows that lie inside the image, with their places in
    /// both.
    fn runs(&self, mut run: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>)) {
        let Self { kernel, stride, padding, input: [channels, height, width], output } = *self;
        for y in 0..output[0] {
            for x in 0..output[1] {
                let window = (y * output[1] + x) * self.fan_in();
                // The window's columns first..last lie inside the image.
                let first = padding.saturating_sub(x * stride);
                let last = kernel.min((width + padding).saturating_sub(x * stride));
                for row in 0..kernel {
                    let Some(line) = (y * stride + row).checked_sub(padding).filter(|&line| line < height) else {
                        continue;
                    };
                    if first < last {
                        let start = window + (row * kernel + first) * channels;
                        let from = (line * width + x * stride + first - padding) * channels;
                        let length = (last - first) * channels;
                        run(start..start + length, from..from + length);
                    }
                }
            }
        }
    }
}
