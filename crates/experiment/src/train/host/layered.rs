//! Gradient descent on the host of a network with any layers.

use ndarray::{Array2, ArrayViewMut2};
use rayon::prelude::*;
use widenet_model::Network;
use widenet_model::host::{HostNetwork, Pass, Real};

use super::parameter::Pull;
use crate::config::{Parameters, Regulariser};
use crate::error::Error;
use crate::train::network::{Engine, Rule, Samples};

/// A network on the host that takes a few samples at a time through all its layers, and cores different ones. Samples that
/// the loss does not push (`p_i = 0`) do not go back.
pub struct LayeredEngine<T> {
    /// The network it was made from; its weights are those before training.
    network: Network,
    host: HostNetwork<T>,
    /// What the regulariser does to every layer's weights and biases.
    pulls: Vec<[Pull<T>; 2]>,
    rate: T,
    parameters: Parameters,
    /// The samples, `[n, d]`.
    inputs: Array2<T>,
    /// The passes of the last batch, and how many samples each took.
    passes: Vec<Pass<T>>,
    chunk: usize,
    /// How many parts a batch is taken in.
    parts: usize,
    /// Sums of gradients, one set per part.
    gradients: Vec<Gradients<T>>,
}

/// The most parts of a batch that cores take. Samples of a part go back one after the other into sums of its own, which
/// are then added up in order: results depend on the parts, and so not on the number of cores.
const PARTS: usize = 16;

/// Weights that a core updates at a time.
const CHUNK: usize = 4096;

/// Derivatives with respect to every layer's weights and biases, without their scales.
type Gradients<T> = Vec<[Vec<T>; 2]>;

impl<T: Real> LayeredEngine<T> {
    /// The engine for a network on the host with one output.
    pub fn new(network: &Network, samples: &Samples, rule: Rule) -> Self {
        let host = HostNetwork::<T>::new(network);
        let decay = T::of(rule.learning_rate * rule.lambda_mean);
        let layers = host.layers().len();
        // Where dense weights are what is read, they are read once per part: fewer parts.
        let parts = (4 * PARTS / host.samples_per_pass(usize::MAX)).clamp(4, PARTS);
        let pulls: Vec<[Pull<T>; 2]> = match rule.regulariser {
            Regulariser::DistanceToInit if decay > T::zero() => {
                let to_start = |values: &Vec<T>| {
                    let start = Array2::from_shape_vec((1, values.len()), values.clone()).expect("a row");
                    Pull::ToStart { c: decay, start }
                };
                let start = HostNetwork::<T>::new(&network.initial());
                start.layers().iter().map(|layer| [to_start(&layer.weight), to_start(&layer.bias)]).collect()
            }
            Regulariser::LastLayer => {
                // d/dw of lambda/2 |w / sqrt(m)|^2 is lambda w / m.
                let m = host.layers().last().map_or(1, |layer| layer.fan_in);
                let weights =
                    |index| if index + 1 == layers { Pull::ToZero { c: decay / T::of(m as f64) } } else { Pull::Free };
                (0..layers).map(|index| [weights(index), Pull::Free]).collect()
            }
            _ => (0..layers).map(|_| [Pull::Free, Pull::Free]).collect(),
        };
        Self {
            network: network.clone(),
            host,
            pulls,
            rate: T::of(rule.learning_rate),
            parameters: rule.parameters,
            inputs: samples.host::<T>(),
            passes: Vec::new(),
            chunk: 1,
            parts,
            gradients: Vec::new(),
        }
    }

    /// A step from the samples of the last batch; those with `p_i = 0` are left out if `leave_out`.
    fn step(&mut self, push: &[f64], leave_out: bool) {
        let push: Vec<T> = push.iter().map(|&p| T::of(p)).collect();
        let host = &self.host;
        let zeros =
            || host.layers().iter().map(|layer| [&layer.weight, &layer.bias].map(|like| vec![T::zero(); like.len()]));
        let share = self.passes.len().div_ceil(self.parts).max(1);
        let groups = self.passes.len().div_ceil(share);
        self.gradients.resize_with(groups, || zeros().collect());
        let chunk = self.chunk;
        let work = self.passes.par_chunks_mut(share).zip(push.par_chunks(share * chunk)).zip(&mut self.gradients);
        work.for_each(|((passes, push), gradients)| {
            gradients.iter_mut().flatten().for_each(|sum| sum.fill(T::zero()));
            for (pass, push) in passes.iter_mut().zip(push.chunks(chunk)) {
                if leave_out && push.iter().all(|p| p.is_zero()) {
                    continue;
                }
                host.pull_back(push, pass, &mut |mut layer| {
                    let [weight, bias] = &mut gradients[layer.index];
                    layer.add_weight_derivative(weight);
                    if !bias.is_empty() {
                        (0..layer.samples()).for_each(|sample| layer.add_bias_derivative(sample, bias));
                    }
                });
            }
        });

        let trained = match self.parameters {
            Parameters::All => 0,
            Parameters::LastLayer => host.layers().len() - 1,
        };
        let (rate, pulls, gradients) = (self.rate, &self.pulls, &self.gradients);
        self.host.update(|layers| {
            for (index, layer) in layers.iter_mut().enumerate().skip(trained) {
                let scales = [layer.w_scale, layer.b_scale].map(|scale| rate * T::of(scale));
                for (part, values) in [&mut layer.weight, &mut layer.bias].into_iter().enumerate() {
                    let size = values.len();
                    pulls[index][part].apply([0, 0], ArrayViewMut2::from_shape((1, size), values).expect("a row"));
                    values.par_chunks_mut(CHUNK).enumerate().for_each(|(k, values)| {
                        for sums in gradients {
                            let sums = &sums[index][part][k * CHUNK..];
                            values.iter_mut().zip(sums).for_each(|(w, &sum)| *w -= scales[part] * sum);
                        }
                    });
                }
            }
        });
    }
}

impl<T: Real> Engine for LayeredEngine<T> {
    fn forward(&mut self, batch: &[usize]) -> Result<Vec<f64>, Error> {
        let (host, inputs) = (&self.host, &self.inputs);
        self.chunk = host.samples_per_pass(batch.len().div_ceil(self.parts));
        self.passes.resize_with(batch.len().div_ceil(self.chunk), Pass::default);
        let outputs = self.passes.par_iter_mut().zip(batch.par_chunks(self.chunk)).flat_map_iter(|(pass, batch)| {
            let x: Vec<T> = batch.iter().flat_map(|&sample| inputs.row(sample)).copied().collect();
            host.forward(&x, pass).iter().map(|f| f.wide()).collect::<Vec<f64>>()
        });
        Ok(outputs.collect())
    }

    fn backward(&mut self, push: &[f64]) -> Result<(), Error> {
        self.step(push, true);
        Ok(())
    }

    fn network(&self) -> Network {
        self.host.network(self.network.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::host::tests::{numbers, pushes, weights};
    use crate::train::network::TensorEngine;
    use burn::tensor::Device;
    use widenet_model::{ArchitectureConfig, Shape};

    const ARCHITECTURES: [&str; 4] = [
        "cnn = { channels = [8, 8], head = 'flatten', sigma_b = 0.3 }",
        "cnn = { channels = [8, 3, 8], kernel = 3, stride = 2 }",
        "resnet = { stem = 8, blocks = [{ channels = 8 }, { channels = 16, stride = 2 }] }",
        "layers = ['flatten', { dense = { units = 9 } }, { residual = { branch = [{ activation = 'erf' }, { dense = { units \
         = 9, sigma_b = 0.5 } }] } }, { dense = { units = 1 } }]",
    ];

    fn network<T: Real>(config: &str) -> Network {
        let config: ArchitectureConfig = toml_edit::de::from_str(config).unwrap();
        let architecture = config.build(Shape::Image([1, 5, 6])).unwrap();
        Network::init(&architecture, 5, T::PRECISION, &Device::flex().autodiff())
    }

    #[test]
    fn steps_are_those_of_tensors() {
        for (config, regulariser) in ARCHITECTURES.into_iter().flat_map(|config| {
            [Regulariser::DistanceToInit, Regulariser::LastLayer, Regulariser::None]
                .map(|regulariser| (config, regulariser))
        }) {
            let parameters = if config.contains("units") { Parameters::LastLayer } else { Parameters::All };
            let rule = Rule { regulariser, lambda_mean: 0.2, learning_rate: 0.1, parameters };
            let network = network::<f64>(config);
            let samples = Samples::new(&network, numbers(7, 30).view()).unwrap();
            let mut host = LayeredEngine::<f64>::new(&network, &samples, rule);
            let mut tensors = TensorEngine::new(network, &samples, rule);
            for step in 0..6 {
                let batch: Vec<usize> = if step % 2 == 0 { (0..7).collect() } else { vec![5, 1, 3 + step % 3] };
                let (a, b) = (host.forward(&batch).unwrap(), tensors.forward(&batch).unwrap());
                for (a, b) in a.iter().zip(b) {
                    assert!((a - b).abs() < 1e-11, "{config}, {regulariser:?}, step {step}: {a} is not {b}");
                }
                let push = pushes(step, batch.len());
                host.backward(&push).unwrap();
                tensors.backward(&push).unwrap();
            }
            for (a, b) in weights(&host.network()).concat().into_iter().zip(weights(&tensors.network()).concat()) {
                assert!((a - b).abs() < 1e-11, "{config}, {regulariser:?}: {a} is not {b}");
            }
        }
    }

    #[test]
    fn leaving_out_samples_that_are_not_pushed_changes_no_bit() {
        for config in ARCHITECTURES {
            let regulariser = Regulariser::DistanceToInit;
            let rule = Rule { regulariser, lambda_mean: 0.1, learning_rate: 0.2, parameters: Parameters::All };
            let network = network::<f32>(config);
            let samples = Samples::new(&network, numbers(9, 30).view()).unwrap();
            let engine = || LayeredEngine::<f32>::new(&network, &samples, rule);
            let (mut left_out, mut kept) = (engine(), engine());
            let all: Vec<usize> = (0..9).collect();
            for step in 0..4 {
                let outputs = left_out.forward(&all).unwrap();
                assert_eq!(outputs, kept.forward(&all).unwrap(), "{config}, step {step}");
                left_out.step(&pushes(step, 9), true);
                kept.step(&pushes(step, 9), false);
            }
            assert_eq!(weights(&left_out.network()), weights(&kept.network()), "{config}");
        }
    }
}
