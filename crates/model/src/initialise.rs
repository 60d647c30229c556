//! Drawing weights on the host, so that one seed means the same network on every backend.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorCreationOptions, TensorData};
use rand::RngExt;
use rand_distr::StandardNormal;

use crate::precision::Precision;
use crate::random::{Purpose, stream};

/// Draws parameters one after the other, each from its own stream.
pub(crate) struct Initialise {
    seed: u64,
    next: u64,
    precision: Precision,
    device: Device,
}

impl Initialise {
    pub(crate) fn new(seed: u64, precision: Precision, device: Device) -> Self {
        Self { seed, next: 0, precision, device }
    }

    /// The next parameter, i.i.d. N(0, 1). Drawn in f64 and rounded, so that f32 and f64 networks agree too.
    pub(crate) fn parameter<const D: usize>(&mut self, shape: [usize; D]) -> Param<Tensor<D>> {
        let mut rng = stream(self.seed, Purpose::Parameter, self.next);
        self.next += 1;
        let draws = std::iter::repeat_with(|| rng.sample::<f64, _>(StandardNormal)).take(shape.iter().product());
        let data = match self.precision {
            Precision::F32 => TensorData::new(draws.map(|v| v as f32).collect::<Vec<f32>>(), shape),
            Precision::F64 => TensorData::new(draws.collect::<Vec<f64>>(), shape),
        };
        let options = TensorCreationOptions::new(self.device.clone()).with_dtype(self.precision.dtype());
        Param::from_tensor(Tensor::from_data(data, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(seed: u64, precision: Precision) -> Initialise {
        Initialise::new(seed, precision, Device::flex())
    }

    fn values<const D: usize>(parameter: &Param<Tensor<D>>) -> Vec<f64> {
        parameter.val().try_into_data_as::<f64>().unwrap().try_to_vec().unwrap()
    }

    #[test]
    fn draws_are_standard_normal() {
        let n = 100_000;
        let values = values(&draw(3, Precision::F64).parameter([n]));
        let moment = |power: i32| values.iter().map(|v| v.powi(power)).sum::<f64>() / n as f64;
        // The moments of N(0, 1) are 0, 1, 0, 3; four standard errors either way, sqrt(E v^2p - (E v^p)^2) / sqrt(n).
        for (power, expected, variance) in [(1, 0.0, 1.0_f64), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let tolerance = 4.0 * (variance / n as f64).sqrt();
            assert!((moment(power) - expected).abs() < tolerance, "moment {power}: {}", moment(power));
        }
    }

    #[test]
    fn parameters_differ_from_each_other_and_between_seeds() {
        let mut one = draw(3, Precision::F64);
        let (first, second) = (values(&one.parameter([4, 5])), values(&one.parameter([4, 5])));
        let other = values(&draw(4, Precision::F64).parameter([4, 5]));
        for (a, (b, c)) in first.iter().zip(second.iter().zip(&other)) {
            assert!(a != b && a != c);
        }
        // A parameter depends on its place only, not on how many numbers the ones before it took.
        let mut small = draw(3, Precision::F64);
        small.parameter([1]);
        assert_eq!(values(&small.parameter([4, 5])), second);
    }

    #[test]
    fn single_precision_is_double_precision_rounded() {
        let double = values(&draw(9, Precision::F64).parameter([50]));
        let single = values(&draw(9, Precision::F32).parameter([50]));
        assert!(double.iter().zip(&single).all(|(d, s)| *d as f32 as f64 == *s));
    }
}
