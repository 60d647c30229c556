//! Activation functions.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

/// An activation function `phi`, applied to every entry.
///
/// There is no hidden gain: ReLU is `max(0, z)` without a `sqrt(2)`. Put gains into `sigma_w`.
///
/// In TOML: `"relu"`, `"erf"`, `{ leaky_relu = { slope = 0.1 } }`, `{ abrelu = { a = -1.0, b = 1.0 } }`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    /// `phi(z) = z`.
    Identity,
    /// `phi(z) = max(0, z)`.
    Relu,
    /// `phi(z) = z` for `z >= 0`, `slope z` below.
    LeakyRelu {
        /// The slope below zero.
        slope: f64,
    },
    /// `phi(z) = a min(0, z) + b max(0, z)`. ReLU is `a = 0, b = 1`; the absolute value `a = -1, b = 1`.
    Abrelu {
        /// The slope below zero.
        a: f64,
        /// The slope above zero.
        b: f64,
    },
    /// The error function, `phi(z) = 2/sqrt(pi) int_0^z exp(-t^2) dt`.
    Erf,
    /// `phi(z) = z (1 + erf(z / sqrt 2)) / 2`, the exact form.
    Gelu,
    /// `phi(z) = sin(z)`.
    Sine,
    /// `phi(z) = tanh(z)`.
    Tanh,
    /// `phi(z) = z / (1 + exp(-z))`.
    Silu,
}

impl Activation {
    /// Applies the function to a tensor of any shape.
    pub fn forward<const D: usize>(&self, z: Tensor<D>) -> Tensor<D> {
        match *self {
            Activation::Identity => z,
            Activation::Relu => burn::tensor::activation::relu(z),
            Activation::LeakyRelu { slope } => burn::tensor::activation::leaky_relu(z, slope),
            Activation::Abrelu { a, b } => {
                // a min(0, z) + b max(0, z) = a z + (b - a) max(0, z)
                z.clone() * a + burn::tensor::activation::relu(z) * (b - a)
            }
            Activation::Erf => z.erf(),
            Activation::Gelu => {
                let gate = (z.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0;
                z * gate * 0.5
            }
            Activation::Sine => z.sin(),
            Activation::Tanh => z.tanh(),
            Activation::Silu => burn::tensor::activation::silu(z),
        }
    }

    /// The name used in configurations and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Activation::Identity => "identity",
            Activation::Relu => "relu",
            Activation::LeakyRelu { .. } => "leaky_relu",
            Activation::Abrelu { .. } => "abrelu",
            Activation::Erf => "erf",
            Activation::Gelu => "gelu",
            Activation::Sine => "sine",
            Activation::Tanh => "tanh",
            Activation::Silu => "silu",
        }
    }
}
