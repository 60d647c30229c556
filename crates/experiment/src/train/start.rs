//! From a machine's solution to a network, in one step.

use ndarray::{Array1, ArrayView1, ArrayView2, Axis};
use widenet_model::{Network, to_tensor};
use widenet_tangent::TangentFeatures;

use crate::error::Error;

/// Samples whose features are held at a time.
const ROWS: usize = 256;

/// The network with the weights `w = w_0 + sum_i alpha_i grad f(w_0, x_i)` for the coefficients `alpha: [n]` of a
/// machine on the samples `x: [n, d]`.
///
/// To first order in `w - w_0` its centred output is `sum_i alpha_i <grad f(w_0, x), grad f(w_0, x_i)>`, the machine's
/// with the network's own kernel in place of the limit. The wider the network, the less is left over.
///
/// # Errors
///
/// When a value is not finite.
pub fn from_machine(network: Network, x: ArrayView2<f64>, coefficients: ArrayView1<f64>) -> Result<Network, Error> {
    let initial = network.initial();
    // Samples without a coefficient have no part in it: for a support vector machine most of them.
    let support: Vec<usize> = (0..coefficients.len()).filter(|&i| coefficients[i] != 0.0).collect();
    let mut network = network;
    for rows in support.chunks(ROWS) {
        let features = TangentFeatures::of(&initial, x.select(Axis(0), rows).view())?;
        let alpha: Array1<f64> = rows.iter().map(|&i| coefficients[i]).collect();
        let alpha = to_tensor(alpha.view().insert_axis(Axis(1)), network.precision(), &initial.device());
        let mut direction = features.adjoint(alpha).into_iter();
        network = network.map_parameters(&mut |_, weight| weight + direction.next().expect("one per parameter"));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use ndarray::{Array2, s};
    use widenet_model::{ArchitectureConfig, Precision, Shape, to_host};
    use widenet_tangent::{EmpiricalKernel, Kernel};

    /// `f(w_0 + epsilon v) - f(w_0) = epsilon K alpha + O(epsilon^2)`.
    #[test]
    fn the_machine_is_met_to_first_order() {
        let config: ArchitectureConfig =
            toml_edit::de::from_str("mlp = { hidden = [16], activation = 'tanh' }").unwrap();
        let network = Network::init(&config.build(Shape::Flat(3)).unwrap(), 2, Precision::F64, &Device::flex());
        let x = Array2::from_shape_fn((300, 3), |(i, j)| ((i * 3 + 2 * j) as f64).sin());
        let alpha = Array1::from_shape_fn(300, |i| if i % 2 == 0 { 0.01 * (i as f64).cos() } else { 0.0 });
        let kernel = EmpiricalKernel::new(&network).gram_symmetric(x.view()).unwrap();
        let error = |epsilon: f64| {
            let alpha = &alpha * epsilon;
            let moved = from_machine(network.clone(), x.view(), alpha.view()).unwrap();
            let outputs = to_host(moved.centred(moved.samples(x.view()))).unwrap();
            let difference = &outputs.slice(s![.., 0]) - &kernel.dot(&alpha);
            difference.iter().fold(0.0f64, |most, d| most.max(d.abs()))
        };
        let (large, small) = (error(1e-2), error(1e-3));
        assert!(small < 1e-5 && (large / small - 100.0).abs() < 10.0, "{large:e}, {small:e}");
    }
}
