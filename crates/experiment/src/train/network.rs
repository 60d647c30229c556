//! Gradient descent of the finite network.

use burn::tensor::{Int, Tensor, TensorData};
use ndarray::{Array1, ArrayView1, Axis};
use widenet_machine::Loss;
use widenet_model::{Layer, Network, to_host, to_tensor};

use crate::config::Regulariser;
use crate::error::Error;

/// Rows evaluated at a time, which bounds the memory that activations take.
const ROWS: usize = 2048;

/// Samples on the network's device, with the network's outputs at initialisation.
pub struct Samples {
    inputs: Tensor<2>,
    initial: Array1<f64>,
}

impl Samples {
    /// Puts samples `[n, d]` on the network's device.
    pub fn new(network: &Network, inputs: ndarray::ArrayView2<f64>) -> Result<Self, Error> {
        let inputs = network.samples(inputs);
        let initial = evaluate(&inputs, |x| network.forward_initial(x))?;
        Ok(Self { inputs, initial })
    }

    /// The centred outputs `f_t(x) - f_0(x)`, `[n]`.
    pub fn outputs(&self, network: &Network) -> Result<Array1<f64>, Error> {
        use burn::module::Module;
        let network = network.valid();
        Ok(evaluate(&self.inputs, |x| network.forward(x))? - &self.initial)
    }
}

fn evaluate(inputs: &Tensor<2>, forward: impl Fn(Tensor<2>) -> Tensor<2>) -> Result<Array1<f64>, Error> {
    let mut outputs = Vec::new();
    for chunk in inputs.clone().split(ROWS, 0) {
        outputs.extend(to_host(forward(chunk))?.column(0));
    }
    Ok(Array1::from_vec(outputs))
}

/// One step of gradient descent after the other on
/// `lambda_mean/2 (regulariser) + (1/|S|) sum_{i in S} l(f(x_i) - f_0(x_i), y_i)`.
pub struct NetworkDescent<'a> {
    network: Network,
    samples: &'a Samples,
    labels: ArrayView1<'a, f64>,
    loss: &'a dyn Loss,
    regulariser: Regulariser,
    lambda_mean: f64,
    learning_rate: f64,
    /// The parameters that the regulariser pulls towards, in the order of [`Network::parameters`].
    anchor: Vec<Tensor<1>>,
    /// The index of the output layer's weights among the parameters, and their fan-in.
    output_weight: (usize, usize),
}

impl<'a> NetworkDescent<'a> {
    /// Prepares to train `network` (on a device with autodiff) on samples with labels `[n]`.
    pub fn new(
        network: Network,
        samples: &'a Samples,
        labels: ArrayView1<'a, f64>,
        loss: &'a dyn Loss,
        (regulariser, lambda_mean): (Regulariser, f64),
        learning_rate: f64,
    ) -> Self {
        let anchor = match regulariser {
            Regulariser::DistanceToInit => network.initial().parameters(),
            _ => Vec::new(),
        };
        let output_weight = output_weight(&network);
        Self { network, samples, labels, loss, regulariser, lambda_mean, learning_rate, anchor, output_weight }
    }

    /// The network as trained so far.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// One step on the samples `batch`; returns the mean loss over the batch before it.
    pub fn step(&mut self, batch: &[usize]) -> Result<f64, Error> {
        let inputs = self.batch(batch);
        let output = self.network.forward(inputs.autodiff());
        let host = to_host(output.clone().inner())?;
        let centred: Vec<f64> = batch.iter().zip(host.column(0)).map(|(&i, f)| f - self.samples.initial[i]).collect();
        let labels: Vec<f64> = batch.iter().map(|&i| self.labels[i]).collect();
        let loss = self.loss.mean(&centred, &labels);

        // The chain rule's first factor comes from the loss itself, so that network and machine share one loss.
        let scale = 1.0 / batch.len() as f64;
        let push = Array1::from_iter(centred.iter().zip(&labels).map(|(&z, &y)| scale * self.loss.derivative(z, y)));
        let push = to_tensor(push.view().insert_axis(Axis(1)), self.network.precision(), &output.device().inner());
        let gradients = (output * push.autodiff()).sum().backward();
        self.update(self.network.gradients(&gradients));
        Ok(loss)
    }

    fn batch(&self, batch: &[usize]) -> Tensor<2> {
        let inputs = &self.samples.inputs;
        if batch.len() == inputs.dims()[0] {
            return inputs.clone();
        }
        let indices: Vec<i32> = batch.iter().map(|&i| i as i32).collect();
        let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [batch.len()]), &inputs.device());
        inputs.clone().select(0, indices)
    }

    fn update(&mut self, gradients: Vec<Tensor<1>>) {
        let (rate, decay) = (self.learning_rate, self.learning_rate * self.lambda_mean);
        let network = self.network.clone();
        let mut gradients = gradients.into_iter();
        self.network = network.map_parameters(&mut |index, weight| {
            let gradient = gradients.next().expect("one gradient per parameter");
            match self.regulariser {
                Regulariser::DistanceToInit if decay > 0.0 => {
                    let pull = self.anchor[index].clone() - weight.clone();
                    weight - gradient * rate + pull * decay
                }
                Regulariser::LastLayer if index == self.output_weight.0 => {
                    // d/dw of lambda/2 |w / sqrt(m)|^2 is lambda w / m.
                    weight * (1.0 - decay / self.output_weight.1 as f64) - gradient * rate
                }
                _ => weight - gradient * rate,
            }
        });
    }
}

/// The index of the output layer's weights among the parameters, and their fan-in `m`.
fn output_weight(network: &Network) -> (usize, usize) {
    let parameters = network.parameters();
    let Some(Layer::Dense(dense)) = network.architecture().layers().last() else {
        unreachable!("the last layer is dense")
    };
    let index = parameters.len() - if dense.sigma_b == 0.0 { 1 } else { 2 };
    (index, parameters[index].dims()[0] / dense.units.get())
}
