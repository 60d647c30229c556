//! Explicit Jacobians: slow, obvious, and the oracle of everything faster.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor};
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
            let mut collect = CollectGradients { gradients: output.backward(), flat: Vec::new() };
            network.visit(&mut collect);
            let row = Tensor::cat(collect.flat, 0).unsqueeze::<2>();
            jacobian.row_mut(i * outputs + o).assign(&to_host(row)?.row(0));
        }
    }
    Ok(jacobian)
}

struct CollectGradients {
    gradients: Gradients,
    flat: Vec<Tensor<1>>,
}

impl ModuleVisitor for CollectGradients {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        let size = value.shape().num_elements();
        let gradient = value.grad(&self.gradients).map(|gradient| gradient.inner());
        let gradient = gradient.unwrap_or_else(|| value.inner().zeros_like());
        self.flat.push(gradient.reshape([size]));
    }
}
