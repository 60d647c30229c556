//! An architecture read as the steps of a covariance recursion.

use widenet_model::{Activation, Architecture, Layer, Shape};

use super::expectation::Expectation;
use crate::error::KernelError;

/// The recursion of one architecture.
///
/// A sample is an image of `extent` positions with `channels` values each (a vector is an image with one position).
/// The `image` steps end in a single position; the `dense` steps then act on every pair of samples by itself.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Height and width of the input.
    pub(super) extent: [usize; 2],
    /// Values per position of the input.
    pub(super) channels: usize,
    /// Steps that mix positions.
    pub(super) image: Vec<Step>,
    /// Steps after them.
    pub(super) dense: Vec<Step>,
    /// Number of activations, each of which has a slot for the marginals of a sample.
    pub(super) slots: usize,
}

/// One step of the recursion.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A dense or convolutional layer.
    Linear(Linear),
    /// An activation, with its slot.
    Activation(Expectation, usize),
    /// Average pooling.
    Pool(Pool),
    /// The sum of two branches; the steps of the second come second.
    Residual(Vec<Step>, Vec<Step>),
}

/// A layer with weights. A dense layer is a convolution whose kernel is the whole image.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    /// Height and width of the kernel.
    pub(super) kernel: [usize; 2],
    /// Step between windows.
    pub(super) stride: usize,
    /// Zeros on every side.
    pub(super) padding: usize,
    /// Height and width of the image that comes in.
    pub(super) input: [usize; 2],
    /// Height and width of the image that goes out.
    pub(super) output: [usize; 2],
    /// `sigma_w^2`.
    pub(super) weight: f64,
    /// `sigma_b^2`.
    pub(super) bias: f64,
}

/// The mean over windows that tile the image.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// Height and width of a window.
    pub(super) window: [usize; 2],
    /// Height and width of the image that comes in.
    pub(super) input: [usize; 2],
    /// Height and width of the image that goes out.
    pub(super) output: [usize; 2],
}

/// What the values between two layers are, as the width grows. Activations need Gaussian inputs.
#[derive(Clone, Copy, PartialEq)]
enum Law {
    /// The sample itself.
    Sample,
    /// A Gaussian with mean zero, given by its covariance.
    Gaussian,
    /// Anything else.
    Other,
}

impl Program {
    /// Reads an architecture.
    ///
    /// # Errors
    ///
    /// When a layer has no infinite-width limit; the message names the layer.
    pub(super) fn new(architecture: &Architecture) -> Result<Self, KernelError> {
        let (mut extent, mut channels) = match architecture.input() {
            Shape::Flat(d) => ([1, 1], d),
            Shape::Image([c, h, w]) => ([h, w], c),
        };
        if architecture.layers().first() == Some(&Layer::Flatten) {
            (extent, channels) = ([1, 1], architecture.input().size());
        }
        let mut reader = Reader { extent, law: Law::Sample, slots: 0 };
        let mut image = reader.read(architecture.layers(), "")?;
        let dense = image.split_off(image.iter().rposition(|step| !step.is_pointwise()).map_or(0, |last| last + 1));
        Ok(Self { extent, channels, image, dense, slots: reader.slots })
    }
}

impl Step {
    /// Whether the step maps a single position to a single position.
    fn is_pointwise(&self) -> bool {
        match self {
            Step::Linear(linear) => linear.kernel == [1, 1] && linear.padding == 0 && linear.input == [1, 1],
            Step::Activation(..) => true,
            Step::Pool(_) => false,
            Step::Residual(branch, shortcut) => branch.iter().chain(shortcut).all(Step::is_pointwise),
        }
    }

    /// Whether the output at two positions depends on the input at several distances between positions.
    pub(super) fn mixes_offsets(&self) -> bool {
        match self {
            Step::Pool(_) => true,
            Step::Residual(branch, shortcut) => branch.iter().chain(shortcut).any(Step::mixes_offsets),
            Step::Linear(_) | Step::Activation(..) => false,
        }
    }

    /// Whether the step draws weights of its own.
    fn has_weights(&self) -> bool {
        match self {
            Step::Linear(_) => true,
            Step::Residual(branch, shortcut) => branch.iter().chain(shortcut).any(Step::has_weights),
            Step::Activation(..) | Step::Pool(_) => false,
        }
    }
}

/// What is known while the layers are read in order.
struct Reader {
    extent: [usize; 2],
    law: Law,
    slots: usize,
}

impl Reader {
    fn read(&mut self, layers: &[Layer], prefix: &str) -> Result<Vec<Step>, KernelError> {
        let mut steps = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            let place = format!("{prefix}layer {} ({})", index + 1, layer.name());
            steps.extend(self.step(layer, &place)?);
        }
        Ok(steps)
    }

    /// The step of one layer; `None` when it leaves the covariance as it is.
    fn step(&mut self, layer: &Layer, place: &str) -> Result<Option<Step>, KernelError> {
        let refuse = |problem: &str| Err(KernelError::Unsupported { place: place.into(), problem: problem.into() });
        let input = self.extent;
        match layer {
            Layer::Dense(dense) => {
                let shape =
                    Linear { kernel: input, stride: 1, padding: 0, input, output: [1, 1], weight: 0.0, bias: 0.0 };
                Ok(Some(self.linear(Linear { weight: dense.sigma_w.powi(2), bias: dense.sigma_b.powi(2), ..shape })))
            }
            Layer::Conv(conv) => {
                let (side, stride, padding) = (conv.kernel.get(), conv.stride.get(), conv.padding);
                Ok(Some(self.linear(Linear {
                    kernel: [side, side],
                    stride,
                    padding,
                    input,
                    output: input.map(|length| (length + 2 * padding - side) / stride + 1),
                    weight: conv.sigma_w.powi(2),
                    bias: conv.sigma_b.powi(2),
                })))
            }
            Layer::Activation(Activation::Identity) | Layer::Flatten => Ok(None),
            Layer::Activation(activation) => {
                if self.law != Law::Gaussian {
                    return refuse(
                        "its input does not become Gaussian at infinite width, so that there is no closed recursion; \
                         put a dense or conv layer right before it",
                    );
                }
                self.law = Law::Other;
                self.slots += 1;
                Ok(Some(Step::Activation(Expectation::new(*activation), self.slots - 1)))
            }
            Layer::AveragePool(pool) => Ok(self.pool([pool.window.get(); 2])),
            Layer::GlobalAveragePool => Ok(self.pool(input)),
            Layer::Residual(residual) => {
                let law = self.law;
                let branch = self.read(&residual.branch, &format!("{place}, branch, "))?;
                let (output, branch_law) = (self.extent, self.law);
                (self.extent, self.law) = (input, law);
                let shortcut = self.read(&residual.shortcut, &format!("{place}, shortcut, "))?;
                let laws = [branch_law, self.law];
                if self.extent != output {
                    return refuse("adds a flattened image to a vector without positions");
                }
                if laws.contains(&Law::Sample) {
                    return refuse(
                        "adds the input sample, which does not grow with the width; put a dense or conv layer before it",
                    );
                }
                let independent = branch.iter().chain(&shortcut).any(Step::has_weights);
                if !independent || !laws.contains(&Law::Gaussian) {
                    return refuse(
                        "its branches stay correlated at infinite width, so that their covariances do not add; \
                         end one of them in a dense or conv layer",
                    );
                }
                self.law = if laws == [Law::Gaussian; 2] { Law::Gaussian } else { Law::Other };
                Ok(Some(Step::Residual(branch, shortcut)))
            }
            Layer::MaxPool(_) => refuse("has no infinite-width kernel in closed form; use average_pool"),
            Layer::BatchNorm => refuse("couples the samples of a batch; leave it out"),
        }
    }

    fn linear(&mut self, linear: Linear) -> Step {
        (self.extent, self.law) = (linear.output, Law::Gaussian);
        Step::Linear(linear)
    }

    fn pool(&mut self, window: [usize; 2]) -> Option<Step> {
        let input = self.extent;
        let output = [input[0] / window[0], input[1] / window[1]];
        self.extent = output;
        (window != [1, 1]).then_some(Step::Pool(Pool { window, input, output }))
    }
}
