//! Activation functions on host arrays.

use widenet_model::Activation;

use super::real::Real;

/// Whether [`apply`] and [`gate`] know the function.
pub fn known(activation: Activation) -> bool {
    !matches!(activation, Activation::Erf | Activation::Gelu)
}

/// `a = phi(z)`, entry by entry.
///
/// # Panics
///
/// For a function that is not [`known`].
pub fn apply<T: Real>(activation: Activation, z: &[T], a: &mut [T]) {
    let zero = T::zero();
    match slopes::<T>(activation) {
        Some((below, above)) if below == zero && above == T::one() => each(z, a, |z| z.max(zero)),
        Some((below, above)) => each(z, a, |z| if z < zero { below * z } else { above * z }),
        None => match activation {
            Activation::Sine => each(z, a, T::sin),
            Activation::Tanh => each(z, a, T::tanh),
            Activation::Silu => each(z, a, |z| z * sigmoid(z)),
            _ => unreachable!("{} is not known on the host", activation.name()),
        },
    }
}

/// `z <- factor upstream phi'(z)`, entry by entry: from a pre-activation to the derivative with respect to it. At a
/// kink `phi'` is the slope below it, which is what Burn has for ReLU.
///
/// # Panics
///
/// For a function that is not [`known`].
pub fn gate<T: Real>(activation: Activation, z: &mut [T], factor: T, upstream: &[T]) {
    let (zero, one) = (T::zero(), T::one());
    match slopes::<T>(activation) {
        Some((below, above)) => pair(z, upstream, |z, u| factor * u * if z > zero { above } else { below }),
        None => match activation {
            Activation::Sine => pair(z, upstream, |z, u| factor * u * z.cos()),
            Activation::Tanh => pair(z, upstream, |z, u| factor * u * (one - z.tanh() * z.tanh())),
            Activation::Silu => pair(z, upstream, |z, u| {
                let s = sigmoid(z);
                factor * u * s * (one + z * (one - s))
            }),
            _ => unreachable!("{} is not known on the host", activation.name()),
        },
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

fn sigmoid<T: Real>(z: T) -> T {
    T::one() / (T::one() + (-z).exp())
}

#[inline(always)]
fn each<T: Real>(z: &[T], a: &mut [T], function: impl Fn(T) -> T) {
    a.iter_mut().zip(z).for_each(|(a, &z)| *a = function(z));
}

#[inline(always)]
fn pair<T: Real>(z: &mut [T], upstream: &[T], function: impl Fn(T, T) -> T) {
    z.iter_mut().zip(upstream).for_each(|(z, &u)| *z = function(*z, u));
}
