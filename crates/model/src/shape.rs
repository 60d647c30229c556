//! The shape of a sample, and how each layer changes it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::architecture::{ArchitectureError, Layer};

/// The shape of one sample between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A vector with so many entries.
    Flat(usize),
    /// An image `[channels, height, width]`.
    Image([usize; 3]),
}

impl Shape {
    /// Number of entries.
    pub fn size(&self) -> usize {
        match *self {
            Shape::Flat(d) => d,
            Shape::Image([c, h, w]) => c.saturating_mul(h).saturating_mul(w),
        }
    }

    /// Number of features at one position: the channels of an image, all entries of a vector.
    pub(crate) fn channels(&self) -> usize {
        match *self {
            Shape::Flat(d) => d,
            Shape::Image([c, _, _]) => c,
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Flat(d) => write!(f, "[{d}]"),
            Shape::Image([c, h, w]) => write!(f, "[{c}, {h}, {w}]"),
        }
    }
}

/// Follows a shape through the layers, reporting it after each one.
pub(crate) fn walk(
    layers: &[Layer],
    input: Shape,
    prefix: &str,
    report: &mut dyn FnMut(Shape),
) -> Result<Shape, ArchitectureError> {
    let mut shape = input;
    for (index, layer) in layers.iter().enumerate() {
        let place = format!("{prefix}layer {} ({})", index + 1, layer.name());
        shape = next_shape(layer, shape, &place)?;
        report(shape);
    }
    Ok(shape)
}

/// The shape after one layer.
pub(crate) fn next_shape(layer: &Layer, shape: Shape, place: &str) -> Result<Shape, ArchitectureError> {
    let problem = |problem: String| ArchitectureError::Layer { place: place.into(), problem };
    let refuse = |text: String| Err(problem(text));
    let scales = |sigma_w: f64, sigma_b: f64| {
        if sigma_w.is_finite() && sigma_w >= 0.0 && sigma_b.is_finite() && sigma_b >= 0.0 {
            return Ok(());
        }
        Err(problem(format!("sigma_w = {sigma_w}, sigma_b = {sigma_b}: both must be finite and not negative")))
    };
    // What a layer allocates must have a size that can be counted, with room to spare for its bytes.
    let countable = |what: &str, factors: &[usize]| {
        let count = factors.iter().try_fold(1_usize, |product, &factor| product.checked_mul(factor));
        match count {
            Some(count) if count <= isize::MAX as usize / size_of::<f64>() => Ok(()),
            _ => Err(problem(format!("too large: it would have {factors:?} {what}"))),
        }
    };
    match (layer, shape) {
        (Layer::Activation(activation), shape) => match activation {
            Activation::LeakyRelu { slope } if !slope.is_finite() => {
                refuse(format!("leaky_relu with slope = {slope}: it must be finite"))
            }
            Activation::Abrelu { a, b } if !(a.is_finite() && b.is_finite()) => {
                refuse(format!("abrelu with a = {a}, b = {b}: both must be finite"))
            }
            _ => Ok(shape),
        },
        (Layer::Dense(dense), Shape::Flat(fan_in)) => {
            scales(dense.sigma_w, dense.sigma_b)?;
            let units = dense.units.get();
            countable("weights", &[fan_in, units])?;
            Ok(Shape::Flat(units))
        }
        (Layer::Dense(_), Shape::Image(_)) => {
            refuse(format!("needs a vector but gets an image {shape}; put flatten or global_average_pool before it"))
        }
        (Layer::Conv(conv), Shape::Image([channels_in, h, w])) => {
            scales(conv.sigma_w, conv.sigma_b)?;
            let (channels, kernel, stride) = (conv.channels.get(), conv.kernel.get(), conv.stride.get());
            let side = |length: usize| {
                let padded = conv.padding.checked_mul(2).and_then(|padding| padding.checked_add(length));
                let padded = padded.ok_or_else(|| problem(format!("too large: padding = {}", conv.padding)))?;
                let rest = padded.checked_sub(kernel).ok_or_else(|| {
                    let padding = conv.padding;
                    problem(format!("a kernel of side {kernel} does not fit an image {shape} with padding {padding}"))
                })?;
                Ok(rest / stride + 1)
            };
            let (h, w) = (side(h)?, side(w)?);
            countable("weights", &[channels, channels_in, kernel, kernel])?;
            countable("outputs", &[channels, h, w])?;
            Ok(Shape::Image([channels, h, w]))
        }
        (Layer::AveragePool(pool) | Layer::MaxPool(pool), Shape::Image([c, h, w])) => {
            let window = pool.window.get();
            if h % window != 0 || w % window != 0 {
                return refuse(format!("windows of side {window} do not tile an image {shape}"));
            }
            Ok(Shape::Image([c, h / window, w / window]))
        }
        (Layer::GlobalAveragePool, Shape::Image([c, _, _])) => Ok(Shape::Flat(c)),
        (Layer::Flatten, Shape::Image(_)) => Ok(Shape::Flat(shape.size())),
        (Layer::Residual(residual), shape) => {
            let branch = walk(&residual.branch, shape, &format!("{place}, branch, "), &mut |_| ())?;
            let shortcut = walk(&residual.shortcut, shape, &format!("{place}, shortcut, "), &mut |_| ())?;
            if branch != shortcut {
                return refuse(format!("the branch gives {branch} but the shortcut {shortcut}; they must agree"));
            }
            Ok(branch)
        }
        (Layer::BatchNorm, _) => {
            refuse("couples the samples of a batch, so that no sample has a derivative of its own; leave it out".into())
        }
        (
            Layer::Conv(_) | Layer::AveragePool(_) | Layer::MaxPool(_) | Layer::GlobalAveragePool | Layer::Flatten,
            Shape::Flat(_),
        ) => refuse(format!("needs an image [channels, height, width] but gets a vector {shape}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{Conv, Dense, Pool, Residual};
    use std::num::NonZeroUsize;

    fn count(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap()
    }

    fn dense(units: usize) -> Layer {
        Layer::Dense(Dense { units: count(units), sigma_w: 1.0, sigma_b: 0.0 })
    }

    fn conv(channels: usize, kernel: usize, stride: usize, padding: usize) -> Layer {
        let (channels, kernel, stride) = (count(channels), count(kernel), count(stride));
        Layer::Conv(Conv { channels, kernel, stride, padding, sigma_w: 1.0, sigma_b: 0.0 })
    }

    fn pool(window: usize) -> Pool {
        Pool { window: count(window) }
    }

    /// The shape after one layer, or the problem it is refused for.
    fn after(layer: Layer, shape: Shape) -> Result<Shape, String> {
        next_shape(&layer, shape, "here").map_err(|error| match error {
            ArchitectureError::Layer { place, problem } => {
                assert_eq!(place, "here");
                problem
            }
            other => panic!("{other}"),
        })
    }

    #[test]
    fn convolutions_follow_the_arithmetic_of_windows() {
        let image = Shape::Image([3, 7, 6]);
        // (7 + 2p - k) / s + 1 and (6 + 2p - k) / s + 1, rounded down.
        assert_eq!(after(conv(5, 3, 1, 0), image), Ok(Shape::Image([5, 5, 4])));
        assert_eq!(after(conv(5, 3, 1, 1), image), Ok(Shape::Image([5, 7, 6])));
        assert_eq!(after(conv(5, 3, 2, 1), image), Ok(Shape::Image([5, 4, 3])));
        assert_eq!(after(conv(5, 2, 3, 0), image), Ok(Shape::Image([5, 2, 2])));
        assert_eq!(after(conv(5, 1, 2, 0), image), Ok(Shape::Image([5, 4, 3])));
        assert_eq!(after(conv(1, 6, 1, 0), image), Ok(Shape::Image([1, 2, 1])));
        assert_eq!(after(conv(1, 9, 1, 2), image), Ok(Shape::Image([1, 3, 2])));
    }

    #[test]
    fn the_other_layers_change_shapes_as_documented() {
        let image = Shape::Image([3, 4, 6]);
        assert_eq!(after(dense(9), Shape::Flat(4)), Ok(Shape::Flat(9)));
        assert_eq!(after(Layer::Activation(Activation::Erf), image), Ok(image));
        assert_eq!(after(Layer::AveragePool(pool(2)), image), Ok(Shape::Image([3, 2, 3])));
        assert_eq!(after(Layer::MaxPool(pool(1)), image), Ok(image));
        assert_eq!(after(Layer::GlobalAveragePool, image), Ok(Shape::Flat(3)));
        assert_eq!(after(Layer::Flatten, image), Ok(Shape::Flat(72)));
        let residual = Residual { branch: vec![conv(3, 3, 1, 1)], shortcut: Vec::new() };
        assert_eq!(after(Layer::Residual(residual), image), Ok(image));
    }

    #[test]
    fn layers_on_the_wrong_kind_of_signal_are_refused() {
        assert_eq!(
            after(dense(2), Shape::Image([1, 2, 3])).unwrap_err(),
            "needs a vector but gets an image [1, 2, 3]; put flatten or global_average_pool before it"
        );
        let images_only = [
            conv(1, 1, 1, 0),
            Layer::AveragePool(pool(1)),
            Layer::MaxPool(pool(1)),
            Layer::GlobalAveragePool,
            Layer::Flatten,
        ];
        for layer in images_only {
            let problem = after(layer, Shape::Flat(5)).unwrap_err();
            assert_eq!(problem, "needs an image [channels, height, width] but gets a vector [5]");
        }
    }

    #[test]
    fn windows_that_do_not_fit_are_refused() {
        let image = Shape::Image([3, 4, 6]);
        let problem = after(conv(1, 7, 1, 1), image).unwrap_err();
        assert_eq!(problem, "a kernel of side 7 does not fit an image [3, 4, 6] with padding 1");
        let problem = after(Layer::AveragePool(pool(4)), image).unwrap_err();
        assert_eq!(problem, "windows of side 4 do not tile an image [3, 4, 6]");
        assert!(after(Layer::MaxPool(pool(8)), image).unwrap_err().contains("do not tile"));
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        for (sigma_w, sigma_b) in [(-1.0, 0.0), (f64::NAN, 0.0), (1.0, -0.5), (1.0, f64::INFINITY)] {
            let layer = Layer::Dense(Dense { units: count(1), sigma_w, sigma_b });
            let problem = after(layer, Shape::Flat(1)).unwrap_err();
            assert_eq!(
                problem,
                format!("sigma_w = {sigma_w}, sigma_b = {sigma_b}: both must be finite and not negative")
            );
            let kernel = count(1);
            let layer = Conv { channels: count(1), kernel, stride: count(1), padding: 0, sigma_w, sigma_b };
            assert!(after(Layer::Conv(layer), Shape::Image([1, 1, 1])).unwrap_err().contains("both must be finite"));
        }
        let slope = Activation::LeakyRelu { slope: f64::NAN };
        assert!(after(Layer::Activation(slope), Shape::Flat(1)).unwrap_err().contains("slope = NaN"));
        let slopes = Activation::Abrelu { a: 0.0, b: f64::INFINITY };
        assert!(after(Layer::Activation(slopes), Shape::Flat(1)).unwrap_err().contains("b = inf"));
        assert!(after(Layer::BatchNorm, Shape::Flat(1)).unwrap_err().contains("couples the samples"));
    }

    #[test]
    fn sizes_that_cannot_be_counted_are_refused() {
        let image = Shape::Image([3, 4, 4]);
        assert!(after(dense(usize::MAX), Shape::Flat(2)).unwrap_err().starts_with("too large"));
        assert!(after(conv(usize::MAX, 1, 1, 0), image).unwrap_err().starts_with("too large"));
        assert!(after(conv(1, 1, 1, usize::MAX), image).unwrap_err().starts_with("too large"));
        assert!(after(conv(1, 1, 1, usize::MAX / 4), image).unwrap_err().starts_with("too large"));
        assert_eq!(Shape::Image([usize::MAX, 2, 2]).size(), usize::MAX);
    }

    #[test]
    fn a_refusal_inside_a_branch_names_the_place() {
        let layers = vec![
            Layer::Flatten,
            Layer::Residual(Residual { branch: vec![dense(3), conv(1, 1, 1, 0)], shortcut: Vec::new() }),
        ];
        let error = walk(&layers, Shape::Image([1, 2, 2]), "", &mut |_| ()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "layer 2 (residual), branch, layer 2 (conv): needs an image [channels, height, width] but gets a vector [3]"
        );
        let disagree = Residual { branch: vec![dense(3)], shortcut: vec![dense(4)] };
        let error = walk(&[Layer::Residual(disagree)], Shape::Flat(2), "", &mut |_| ()).unwrap_err();
        assert_eq!(error.to_string(), "layer 1 (residual): the branch gives [3] but the shortcut [4]; they must agree");
        let nested = Residual { branch: Vec::new(), shortcut: vec![Layer::BatchNorm] };
        let outer = Residual { branch: vec![Layer::Residual(nested)], shortcut: Vec::new() };
        let error = walk(&[Layer::Residual(outer)], Shape::Flat(2), "", &mut |_| ()).unwrap_err();
        let place = "layer 1 (residual), branch, layer 1 (residual), shortcut, layer 1 (batch_norm): ";
        assert!(error.to_string().starts_with(place), "{error}");
    }
}
