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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Precision, to_host, to_tensor};
    use burn::tensor::Device;
    use ndarray::{Array2, ArrayView1, Axis};

    const ALL: [Activation; 9] = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Abrelu { a: -0.3, b: 1.7 },
        Activation::Erf,
        Activation::Gelu,
        Activation::Sine,
        Activation::Tanh,
        Activation::Silu,
    ];

    /// `phi` at some points, in f64.
    fn values(activation: Activation, points: &[f64]) -> Array2<f64> {
        let points = ArrayView1::from(points).insert_axis(Axis(0));
        to_host(activation.forward(to_tensor(points, Precision::F64, &Device::flex()))).unwrap()
    }

    fn check(activation: Activation, pairs: &[(f64, f64)]) {
        let points: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
        for (&(z, expected), found) in pairs.iter().zip(values(activation, &points)) {
            assert!((found - expected).abs() <= 1e-12, "{}({z}) = {found}, not {expected}", activation.name());
        }
    }

    #[test]
    fn values_in_f64_are_right_to_rounding() {
        check(Activation::Identity, &[(-1.5, -1.5), (2.0, 2.0)]);
        check(Activation::Relu, &[(-1.5, 0.0), (0.0, 0.0), (2.0, 2.0)]);
        check(Activation::LeakyRelu { slope: 0.1 }, &[(-1.5, -0.15), (0.0, 0.0), (2.0, 2.0)]);
        check(Activation::Abrelu { a: -1.0, b: 1.0 }, &[(-1.5, 1.5), (2.0, 2.0)]);
        check(Activation::Abrelu { a: 0.3, b: 1.1 }, &[(-1.5, -0.45), (0.0, 0.0), (2.0, 2.2)]);
        let erf = [
            (-0.5, -0.520_499_877_813_046_5),
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (3.0, 0.999_977_909_503_001_4),
            (40.0, 1.0),
        ];
        check(Activation::Erf, &erf);
        let gelu = [(-1.0, -0.158_655_253_931_457_05), (0.0, 0.0), (1.0, 0.841_344_746_068_542_9)];
        check(Activation::Gelu, &gelu);
        check(Activation::Sine, &[(-0.5, -0.479_425_538_604_203), (std::f64::consts::FRAC_PI_2, 1.0)]);
        check(Activation::Tanh, &[(-0.5, -0.462_117_157_260_009_75), (1.0, 0.761_594_155_955_764_9), (400.0, 1.0)]);
        let silu = [(-1.0, -0.268_941_421_369_995_1), (0.0, 0.0), (1.0, 0.731_058_578_630_004_9), (-800.0, 0.0)];
        check(Activation::Silu, &silu);
    }

    #[test]
    fn derivatives_agree_with_finite_differences() {
        let points = [-2.3, -0.7, -0.1, 0.2, 0.9, 2.6];
        let device = Device::flex().autodiff();
        for activation in ALL {
            let z = to_tensor(ArrayView1::from(&points).insert_axis(Axis(0)), Precision::F64, &device).require_grad();
            let gradients = activation.forward(z.clone()).sum().backward();
            let derivative = to_host(z.grad(&gradients).expect("every activation depends on z")).unwrap();
            let step = 1e-5;
            let ahead = values(activation, &points.map(|z| z + step));
            let behind = values(activation, &points.map(|z| z - step));
            let difference = (ahead - behind) / (2.0 * step);
            for ((z, found), expected) in points.iter().zip(derivative).zip(difference) {
                let name = activation.name();
                assert!((found - expected).abs() < 1e-9, "{name}'({z}) = {found}, finite difference {expected}");
            }
        }
    }

    #[test]
    fn the_name_is_the_one_in_configurations() {
        for activation in ALL {
            let json = serde_json::to_string(&activation).unwrap();
            assert!(json.contains(&format!("\"{}\"", activation.name())), "{json}");
            assert_eq!(serde_json::from_str::<Activation>(&json).unwrap(), activation);
        }
        let error =
            serde_json::from_str::<Activation>(r#"{ "leaky_relu": { "slope": 0.1, "gain": 2.0 } }"#).unwrap_err();
        assert!(error.to_string().contains("gain"), "{error}");
    }
}
