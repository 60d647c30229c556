//! Explicit Jacobians: slow, obvious, and the oracle of everything faster.

use burn::module::Module;
use burn::tensor::Tensor;
use ndarray::{Array2, ArrayView2};
use widenet_model::{Network, to_host};

use crate::error::{KernelError, check_samples};

/// The Jacobian `d f_o(w, x_i) / d w`, `[n O, p]` with row `i O + o`, of samples `x: [n, d]` with respect to all `p`
/// parameters, flattened in the order of [`Network::parameters`]. One backward pass per row, so `O(n O)` of them, and
/// `n O p` numbers.
///
/// # Errors
///
/// When the samples do not fit the network, or the device fails.
pub fn jacobian(network: &Network, x: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
    check_samples(&x, network.architecture().input().size())?;
    let outputs = network.architecture().output_size();
    let network = network.clone().train().set_require_grad(true);
    let mut jacobian = Array2::zeros((x.nrows() * outputs, network.num_params()));
    for (i, sample) in x.rows().into_iter().enumerate() {
        for o in 0..outputs {
            let input = network.samples(sample.insert_axis(ndarray::Axis(0)));
            let output = network.forward(input.autodiff()).slice([0..1, o..o + 1]).sum();
            let row = Tensor::cat(network.gradients(&output.backward()), 0).unsqueeze::<2>();
            jacobian.row_mut(i * outputs + o).assign(&to_host(row)?.row(0));
        }
    }
    Ok(jacobian)
}
