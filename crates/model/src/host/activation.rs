//! Activation functions on host arrays.

use super::real::{Real, vectorised};
use crate::activation::Activation;

/// `a = phi(z)`, entry by entry.
pub fn apply<T: Real>(activation: Activation, z: &[T], a: &mut [T]) {
    let zero = T::zero();
    match slopes::<T>(activation) {
        Some((below, above)) if below == zero && above == T::one() => each(a, z, |_, z| z.max(zero)),
        Some((below, above)) => each(a, z, |_, z| if z < zero { below * z } else { above * z }),
        None => each(a, z, |_, z| value(activation, z)),
    }
}

/// `z <- factor upstream phi'(z)`, entry by entry: from a pre-activation to the derivative with respect to it. At a
/// kink `phi'` is the slope below it, which is what Burn has for ReLU.
pub fn gate<T: Real>(activation: Activation, z: &mut [T], factor: T, upstream: &[T]) {
    match slopes::<T>(activation) {
        Some((below, above)) => each(z, upstream, |z, u| factor * u * if z > T::zero() { above } else { below }),
        None => each(z, upstream, |z, u| factor * u * slope(activation, z)),
    }
}

/// `g <- g phi'(z)`, entry by entry: [`gate`] that keeps the pre-activations.
pub(super) fn pull_back<T: Real>(activation: Activation, z: &[T], g: &mut [T]) {
    match slopes::<T>(activation) {
        Some((below, above)) => each(g, z, |g, z| g * if z > T::zero() { above } else { below }),
        None => each(g, z, |g, z| g * slope(activation, z)),
    }
}

/// The slopes below and above 0 of a function that is linear on both sides.
fn slopes<T: Real>(activation: Activation) -> Option<(T, T)> {
    let slopes = match activation {
        Activation::Identity => (1.0, 1.0),
        Activation::Relu => (0.0, 1.0),
        Activation::LeakyRelu { slope } => (slope, 1.0),
        Activation::Abrelu { a, b } => (a, b),
        _ => return None,
    };
    Some((T::of(slopes.0), T::of(slopes.1)))
}

/// `phi(z)` of a smooth function.
fn value<T: Real>(activation: Activation, z: T) -> T {
    match activation {
        Activation::Erf => z.erf(),
        Activation::Gelu => z * normal(z),
        Activation::Sine => z.sin(),
        Activation::Tanh => z.tanh(),
        Activation::Silu => z * sigmoid(z),
        _ => unreachable!("{} is linear on both sides of 0", activation.name()),
    }
}

/// `phi'(z)` of a smooth function.
fn slope<T: Real>(activation: Activation, z: T) -> T {
    let one = T::one();
    let gaussian = |z: T, scale: f64| T::of(scale) * (-z * z).exp();
    match activation {
        Activation::Erf => gaussian(z, std::f64::consts::FRAC_2_SQRT_PI),
        // d/dz z N(z) = N(z) + z exp(-z^2 / 2) / sqrt(2 pi).
        Activation::Gelu => {
            let half = T::of(std::f64::consts::FRAC_1_SQRT_2);
            normal(z) + z * gaussian(half * z, 0.5 * std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2)
        }
        Activation::Sine => z.cos(),
        Activation::Tanh => one - z.tanh() * z.tanh(),
        Activation::Silu => {
            let s = sigmoid(z);
            s * (one + z * (one - s))
        }
        _ => unreachable!("{} is linear on both sides of 0", activation.name()),
    }
}

/// The standard normal distribution function.
fn normal<T: Real>(z: T) -> T {
    T::of(0.5) * (T::one() + (T::of(std::f64::consts::FRAC_1_SQRT_2) * z).erf())
}

fn sigmoid<T: Real>(z: T) -> T {
    T::one() / (T::one() + (-z).exp())
}

/// `x <- function(x, y)`, entry by entry.
fn each<T: Real>(x: &mut [T], y: &[T], function: impl Fn(T, T) -> T) {
    vectorised(
        #[inline(always)]
        || x.iter_mut().zip(y).for_each(|(x, &y)| *x = function(*x, y)),
    );
}
