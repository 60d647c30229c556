//! The linearised network, trained by the same steps as the network.

use std::sync::Arc;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use widenet_data::Split;
use widenet_machine::Loss;
use widenet_model::{DenseNode, Network, Node, to_host};
use widenet_tangent::{EmpiricalKernel, EmpiricalKind};

use crate::config::Regulariser;
use crate::error::Error;
use crate::train::network::Rule;
use crate::train::{Kernels, own_kernels};

/// What the linearised network needs of the network at initialisation.
pub struct Tangent {
    rule: Rule,
    /// The fan-in of the output layer, `m`.
    width: usize,
    /// The tangent kernel.
    kernel: Arc<Kernels>,
    /// The part of the output layer's weights, where the regulariser treats them differently.
    last: Option<Last>,
}

/// The output layer's weights at initialisation.
struct Last {
    /// Their part of the tangent kernel.
    kernel: Kernels,
    /// What they add to the output, `<a_L(x), w_0> / sqrt(m)`, on the training samples.
    train: Array1<f64>,
    /// And on the test samples.
    test: Array1<f64>,
}

impl Tangent {
    /// Computes it, given the tangent kernel at initialisation if that is known already.
    pub(crate) fn new(
        network: &Network,
        data: &Split,
        rule: Rule,
        kernel: Option<Arc<Kernels>>,
    ) -> Result<Self, Error> {
        let kernel = match kernel {
            Some(kernel) => kernel,
            None => Arc::new(own_kernels(network, rule.parameters, data)?),
        };
        let last = match rule.regulariser {
            Regulariser::LastLayer => Some(Last::new(network, data)?),
            _ => None,
        };
        Ok(Self { rule, width: output_layer(network).weight.dims()[0], kernel, last })
    }
}

fn output_layer(network: &Network) -> &DenseNode {
    match network.nodes().last() {
        Some(Node::Dense(output)) => output,
        _ => unreachable!("the last layer is dense"),
    }
}

impl Tangent {
    /// The fan-in `m` of the output layer.
    pub fn width(&self) -> usize {
        self.width
    }
}

impl Last {
    fn new(network: &Network, data: &Split) -> Result<Self, Error> {
        let output = output_layer(network);
        // The regulariser leaves a bias alone: its part is taken out of kernel and output.
        let (bias, weight) = match &output.bias {
            None => (0.0, 0.0),
            Some(bias) => (output.b_scale.powi(2), output.b_scale * to_host(bias.val().unsqueeze())?[[0, 0]]),
        };
        let kernel = Kernels::of(&EmpiricalKernel::of_kind(network, EmpiricalKind::LastLayer), data)?;
        let kernel = Kernels { train: kernel.train - bias, test: kernel.test - bias };
        let outputs = |x: ArrayView2<f64>| -> Result<Array1<f64>, Error> {
            Ok(crate::train::network::evaluate(&network.samples(x), |x| network.forward(x))? - weight)
        };
        Ok(Self { kernel, train: outputs(data.train.inputs.view())?, test: outputs(data.test.inputs.view())? })
    }
}

/// The linearised network `f(w_0, x) + <grad f(w_0, x), w - w_0>`: descent in its weights, in coordinates in which it
/// is exact and cheap.
///
/// Every gradient is a sum of the fixed features `phi(x_i) = grad f(w_0, x_i)`, so that `w - w_0 = sum_i alpha_i phi(x_i)`
/// and the centred output is `sum_i alpha_i K_0(x, x_i)`, with the network's tangent kernel at initialisation. A step
/// on a batch `S` is, with `c = eta lambda_mean`,
///
/// `alpha_i <- (1 - c) alpha_i - (eta / |S|) l'(g(x_i), y_i) 1[i in S]`
///
/// under `distance-to-init`, and without the decay under `none`. `last-layer` shrinks the output weights alone, towards
/// zero rather than their start: those are `beta w_0 + sum_i a_i phi_last(x_i)`, with `beta` and `a` decaying by
/// `1 - c / m` in every step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Linearised {
    /// `alpha`, of all weights but the output layer's.
    coefficients: Vec<f64>,
    /// `a`, of the output layer's weights.
    last: Vec<f64>,
    /// `beta`.
    start: f64,
}

impl Linearised {
    /// The linearised network at initialisation, with so many training samples.
    pub fn new(samples: usize) -> Self {
        Self { coefficients: vec![0.0; samples], last: vec![0.0; samples], start: 1.0 }
    }

    /// The linearised network whose weights are `w_0 + sum_i alpha_i phi(x_i)`.
    pub fn at(coefficients: ArrayView1<f64>) -> Self {
        Self { coefficients: coefficients.to_vec(), last: coefficients.to_vec(), start: 1.0 }
    }

    /// One step on the samples `batch`.
    pub fn step(&mut self, tangent: &Tangent, labels: ArrayView1<f64>, loss: &dyn Loss, batch: &[usize]) {
        let (outputs, rule) = (self.on_train(tangent, Some(batch)), tangent.rule);
        let decay = rule.learning_rate * rule.lambda_mean;
        let (all, last) = match rule.regulariser {
            Regulariser::DistanceToInit => (decay, decay),
            Regulariser::LastLayer => (0.0, decay / tangent.width as f64),
            Regulariser::None => (0.0, 0.0),
        };
        self.coefficients.iter_mut().for_each(|alpha| *alpha *= 1.0 - all);
        self.last.iter_mut().for_each(|a| *a *= 1.0 - last);
        if rule.regulariser == Regulariser::LastLayer {
            self.start *= 1.0 - last;
        }
        let rate = rule.learning_rate / batch.len() as f64;
        for (&i, &output) in batch.iter().zip(&outputs) {
            let step = rate * loss.derivative(output, labels[i]);
            self.coefficients[i] -= step;
            self.last[i] -= step;
        }
    }

    /// The centred outputs on the training samples.
    pub fn train_outputs(&self, tangent: &Tangent) -> Array1<f64> {
        self.on_train(tangent, None)
    }

    fn on_train(&self, tangent: &Tangent, batch: Option<&[usize]>) -> Array1<f64> {
        let last = tangent.last.as_ref().map(|last| (&last.kernel.train, &last.train));
        self.outputs(&tangent.kernel.train, last, batch)
    }

    /// The centred outputs on the test samples.
    pub fn test_outputs(&self, tangent: &Tangent) -> Array1<f64> {
        let last = tangent.last.as_ref().map(|last| (&last.kernel.test, &last.test));
        self.outputs(&tangent.kernel.test, last, None)
    }

    fn outputs(
        &self,
        kernel: &Array2<f64>,
        last: Option<(&Array2<f64>, &Array1<f64>)>,
        batch: Option<&[usize]>,
    ) -> Array1<f64> {
        let coefficients = ArrayView1::from(&self.coefficients);
        let difference = Array1::from_iter(self.last.iter().zip(&self.coefficients).map(|(a, alpha)| a - alpha));
        let output = |i: usize| {
            let all = kernel.row(i).dot(&coefficients);
            last.map_or(all, |(kernel, start)| all + kernel.row(i).dot(&difference) + (self.start - 1.0) * start[i])
        };
        let outputs: Vec<f64> = match batch {
            Some(batch) => batch.par_iter().map(|&i| output(i)).collect(),
            None => (0..kernel.nrows()).into_par_iter().map(output).collect(),
        };
        Array1::from_vec(outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Parameters;
    use burn::tensor::{Device, Tensor};
    use ndarray::s;
    use widenet_data::Dataset;
    use widenet_machine::Hinge;
    use widenet_model::{ArchitectureConfig, Precision, Shape, to_tensor};
    use widenet_tangent::TangentFeatures;

    fn numbers(rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| ((1 + 7 * i + 13 * j) as f64 * 1.7).sin())
    }

    fn data() -> Split {
        let set = |inputs: Array2<f64>| {
            let labels = Array1::from_shape_fn(inputs.nrows(), |i| if i % 2 == 0 { 1.0 } else { -1.0 });
            Dataset { name: "numbers".into(), shape: [1, 1, 5], inputs, labels }
        };
        Split { train: set(numbers(6, 5)), test: set(numbers(9, 5).slice_move(s![6.., ..])) }
    }

    /// Descent in the weights of the linearised network, with Jacobian products.
    #[test]
    fn it_is_descent_in_the_weights() {
        let config: ArchitectureConfig = toml_edit::de::from_str("mlp = { hidden = [8, 4], sigma_b = 0.4 }").unwrap();
        let network = Network::init(&config.build(Shape::Flat(5)).unwrap(), 3, Precision::F64, &Device::flex());
        let data = data();
        let (train, test) = (data.train.inputs.view(), data.test.inputs.view());
        let (phi, phi_test) =
            (TangentFeatures::of(&network, train).unwrap(), TangentFeatures::of(&network, test).unwrap());
        let start = network.parameters();
        for regulariser in [Regulariser::DistanceToInit, Regulariser::LastLayer, Regulariser::None] {
            let rule = Rule { regulariser, lambda_mean: 0.3, learning_rate: 0.5, parameters: Parameters::All };
            let tangent = Tangent::new(&network, &data, rule, None).unwrap();
            let mut linearised = Linearised::new(6);
            let mut weights = start.clone();
            let direction = |weights: &[Tensor<1>]| -> Vec<Tensor<1>> {
                weights.iter().zip(&start).map(|(w, w0)| w.clone() - w0.clone()).collect()
            };
            for step in 0..8 {
                let batch: Vec<usize> = (0..4).map(|i| (i + 3 * step) % 6).collect();
                linearised.step(&tangent, data.train.labels.view(), &Hinge, &batch);

                let outputs = to_host(phi.apply(&direction(&weights))).unwrap();
                let mut push = Array2::zeros((6, 1));
                for &i in &batch {
                    push[[i, 0]] = Hinge.derivative(outputs[[i, 0]], data.train.labels[i]) / 4.0;
                }
                let gradient = phi.adjoint(to_tensor(push.view(), Precision::F64, &Device::flex()));
                let output_weight = weights.len() - 2;
                for (index, (w, g)) in weights.iter_mut().zip(gradient).enumerate() {
                    let pull = match regulariser {
                        Regulariser::DistanceToInit => (w.clone() - start[index].clone()) * 0.15,
                        Regulariser::LastLayer if index == output_weight => w.clone() * (0.15 / 4.0),
                        _ => w.zeros_like(),
                    };
                    *w = w.clone() - g * 0.5 - pull;
                }
            }
            let check = |found: Array1<f64>, features: &TangentFeatures| {
                let expected = to_host(features.apply(&direction(&weights))).unwrap();
                for (found, expected) in found.iter().zip(expected.column(0)) {
                    assert!((found - expected).abs() < 1e-12, "{regulariser:?}: {found} is not {expected}");
                }
            };
            check(linearised.train_outputs(&tangent), &phi);
            check(linearised.test_outputs(&tangent), &phi_test);
        }
    }
}
