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
