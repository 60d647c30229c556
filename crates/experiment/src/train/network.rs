//! Gradient descent of the finite network.

use burn::tensor::{Int, Tensor, TensorData};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use widenet_machine::Loss;
use widenet_model::host::Real;
use widenet_model::{Layer, LayerDerivative, Network, Precision, Trace, is_host, to_host, to_tensor};

use crate::config::{Config, ObjectiveConfig, Parameters, Regulariser, TrainingConfig};
use crate::error::Error;
use crate::train::host::{HostEngine, LayeredEngine};

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

    /// The samples on the host, `[n, d]`.
    ///
    /// # Panics
    ///
    /// When the network has another precision.
    pub fn host<T: Real>(&self) -> Array2<T> {
        let [n, d] = self.inputs.dims();
        let values = self.inputs.clone().inner().into_data().try_to_vec::<T>().expect("of the network's precision");
        Array2::from_shape_vec((n, d), values).expect("a tensor has as many values as its shape says")
    }

    /// The centred outputs `f_t(x) - f_0(x)`, `[n]`.
    pub fn outputs(&self, network: &Network) -> Result<Array1<f64>, Error> {
        use burn::module::Module;
        let network = network.valid();
        Ok(evaluate(&self.inputs, |x| network.forward(x))? - &self.initial)
    }
}

pub(super) fn evaluate(inputs: &Tensor<2>, forward: impl Fn(Tensor<2>) -> Tensor<2>) -> Result<Array1<f64>, Error> {
    let mut outputs = Vec::new();
    for chunk in inputs.clone().split(ROWS, 0) {
        outputs.extend(to_host(forward(chunk))?.column(0));
    }
    Ok(Array1::from_vec(outputs))
}

/// How the weights of a network follow from its gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// What the weights are held to.
    pub regulariser: Regulariser,
    /// How strongly, in the mean form.
    pub lambda_mean: f64,
    /// Step size in the mean form.
    pub learning_rate: f64,
    /// Which parameters are trained.
    pub parameters: Parameters,
}

impl Rule {
    /// The rule of a configuration.
    pub fn of(config: &Config) -> Self {
        let ObjectiveConfig { lambda_mean, regulariser, .. } = config.objective;
        let TrainingConfig { learning_rate, parameters, .. } = config.training;
        Self { regulariser, lambda_mean, learning_rate, parameters }
    }
}

/// Runs a network forwards and backwards on batches of samples.
pub trait Engine {
    /// The outputs `f(w, x_i)` of the samples in a batch.
    ///
    /// # Errors
    ///
    /// When the device fails.
    fn forward(&mut self, batch: &[usize]) -> Result<Vec<f64>, Error>;

    /// A step against the gradient of `sum_i p_i f(w, x_i)` over the samples of the last forward pass, with the
    /// regulariser's pull.
    ///
    /// # Errors
    ///
    /// When the device fails.
    fn backward(&mut self, push: &[f64]) -> Result<(), Error>;

    /// The network with its present weights.
    fn network(&self) -> Network;

    /// The coordinates of the first layer's weights, if the engine keeps them in place of the weights: what it needs,
    /// beside the network, to go on exactly.
    fn coordinates(&self) -> Option<Array2<f64>> {
        None
    }
}

/// One step of gradient descent after the other on
/// `lambda_mean/2 (regulariser) + (1/|S|) sum_{i in S} l(f(x_i) - f_0(x_i), y_i)`.
pub struct NetworkDescent<'a> {
    engine: Box<dyn Engine + 'a>,
    initial: &'a Array1<f64>,
    labels: ArrayView1<'a, f64>,
    loss: &'a dyn Loss,
    outputs: Vec<f64>,
}

impl<'a> NetworkDescent<'a> {
    /// Prepares to train `network` on samples with labels `[n]`. `coordinates` are those of
    /// a descent that is resumed ([`NetworkDescent::coordinates`]).
    pub fn new(
        network: Network,
        samples: &'a Samples,
        labels: ArrayView1<'a, f64>,
        loss: &'a dyn Loss,
        rule: Rule,
        coordinates: Option<Array2<f64>>,
    ) -> Self {
        let engine: Box<dyn Engine> = match (is_host(&network.device()), network.precision()) {
            (false, _) => Box::new(TensorEngine::new(network, samples, rule)),
            (true, Precision::F32) => on_host::<f32>(&network, samples, rule, coordinates),
            (true, Precision::F64) => on_host::<f64>(&network, samples, rule, coordinates),
        };
        Self { engine, initial: &samples.initial, labels, loss, outputs: Vec::new() }
    }

    /// The network as trained so far.
    pub fn network(&self) -> Network {
        self.engine.network()
    }

    /// What the descent needs, beside the network, to be resumed exactly.
    pub fn coordinates(&self) -> Option<Array2<f64>> {
        self.engine.coordinates()
    }

    /// One step on the samples `batch`; returns the mean loss over the batch before it.
    pub fn step(&mut self, batch: &[usize]) -> Result<f64, Error> {
        let outputs = self.engine.forward(batch)?;
        let centred: Vec<f64> = batch.iter().zip(outputs).map(|(&i, f)| f - self.initial[i]).collect();
        let labels: Vec<f64> = batch.iter().map(|&i| self.labels[i]).collect();
        // The chain rule's first factor comes from the loss itself, so that network and machine share one loss.
        let scale = 1.0 / batch.len() as f64;
        let push: Vec<f64> = centred.iter().zip(&labels).map(|(&z, &y)| scale * self.loss.derivative(z, y)).collect();
        self.engine.backward(&push)?;
        let loss = self.loss.mean(&centred, &labels);
        self.outputs = centred;
        Ok(loss)
    }

    /// The centred outputs on the samples of the last step's batch, before that step.
    pub fn outputs(&self) -> &[f64] {
        &self.outputs
    }
}

/// The engine for a network on the host: all samples at once where its layers are dense, a few at a time where they are not.
fn on_host<T: Real>(
    network: &Network,
    samples: &Samples,
    rule: Rule,
    coordinates: Option<Array2<f64>>,
) -> Box<dyn Engine> {
    match HostEngine::<T>::new(network, samples, rule, coordinates) {
        Some(dense) => Box::new(dense),
        None => Box::new(LayeredEngine::<T>::new(network, samples, rule)),
    }
}

/// Any network on any backend, with one tensor operation after the other.
pub(super) struct TensorEngine<'a> {
    network: Network,
    samples: &'a Samples,
    rule: Rule,
    /// The parameters that the regulariser pulls towards, in the order of [`Network::parameters`].
    anchor: Vec<Tensor<1>>,
    /// The index of the output layer's weights among the parameters, and their fan-in.
    output_weight: (usize, usize),
    /// The last forward pass.
    trace: Option<Trace>,
}

impl<'a> TensorEngine<'a> {
    pub(super) fn new(network: Network, samples: &'a Samples, rule: Rule) -> Self {
        let anchor = match rule.regulariser {
            Regulariser::DistanceToInit => network.initial().parameters(),
            _ => Vec::new(),
        };
        let output_weight = output_weight(&network);
        Self { network, samples, rule, anchor, output_weight, trace: None }
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

    /// A step with these gradients, one per parameter.
    fn update(&mut self, gradients: impl IntoIterator<Item = Tensor<1>>) {
        let Rule { regulariser, lambda_mean, learning_rate: rate, parameters } = self.rule;
        let decay = rate * lambda_mean;
        let mut gradients = gradients.into_iter();
        self.network = self.network.clone().map_parameters(&mut |index, weight| {
            let gradient = gradients.next();
            if parameters == Parameters::LastLayer && index < self.output_weight.0 {
                return weight;
            }
            let pulled = match regulariser {
                Regulariser::DistanceToInit if decay > 0.0 => {
                    let pull = self.anchor[index].clone() - weight.clone();
                    weight + pull * decay
                }
                Regulariser::LastLayer if index == self.output_weight.0 => {
                    // d/dw of lambda/2 |w / sqrt(m)|^2 is lambda w / m.
                    weight * (1.0 - decay / self.output_weight.1 as f64)
                }
                _ => weight,
            };
            // No gradients are given when the loss pushes no sample.
            match gradient {
                Some(gradient) => pulled - gradient * rate,
                None => pulled,
            }
        });
    }
}

impl Engine for TensorEngine<'_> {
    fn forward(&mut self, batch: &[usize]) -> Result<Vec<f64>, Error> {
        let trace = self.network.trace(self.batch(batch));
        let outputs = to_host(trace.output().clone())?;
        self.trace = Some(trace);
        Ok(outputs.column(0).to_vec())
    }

    fn backward(&mut self, push: &[f64]) -> Result<(), Error> {
        let Some(trace) = self.trace.take().filter(|_| push.iter().any(|&p| p != 0.0)) else {
            self.update([]);
            return Ok(());
        };
        let push = ArrayView1::from(push).insert_axis(Axis(1));
        let push = to_tensor(push, self.network.precision(), &trace.output().device());
        let layers = trace.pull_back(push);
        drop(trace);
        self.update(layers.iter().flat_map(LayerDerivative::gradient));
        Ok(())
    }

    fn network(&self) -> Network {
        self.network.clone()
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
