//! Gradient descent of a fully connected network on the host, with the backward pass written out.
//!
//! For hidden layers `z_l = s_l a_{l-1} W_l + sigma_b b_l`, `a_l = phi(z_l)` and the output `f = s a_L w`, the
//! derivatives of `sum_i p_i f(x_i)` are
//!
//! ```text
//! G_L = s (p w^T) o phi'(z_L)      G_l = s_{l+1} (G_{l+1} W_{l+1}^T) o phi'(z_l)      dW_l = s_l a_{l-1}^T G_l
//! ```
//!
//! Tensor operations compute the same, but make new tensors for every gradient and every updated weight. Here a step
//! reads each weight once for the derivatives below, the regulariser's pull and the product that adds the gradient in
//! place, and rows of samples that the loss does not push (`p_i = 0`) are left out of all products.

mod layered;
mod parameter;

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorCreationOptions, TensorData};
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, CowArray, Ix2, Zip, s};
use widenet_model::host::{Place, Real, activation, product};
use widenet_model::{Activation, Layer, Network, Node, Operation};

use crate::config::{Parameters, Regulariser};
use crate::error::Error;
use crate::train::network::{Engine, Rule, Samples};
pub use layered::LayeredEngine;
use parameter::{GROUP, Parameter, Pull, least};

/// A network whose layers are dense with one output, and its workspace for one batch.
pub struct HostEngine<T> {
    /// The network it was made from; its weights are those before training.
    network: Network,
    device: Device,
    /// The samples, `[n, d]`.
    inputs: Array2<T>,
    hidden: Vec<Hidden<T>>,
    output: Output<T>,
    rate: T,
    parameters: Parameters,
    /// The samples of the last forward pass.
    batch: Vec<usize>,
    /// `d / d a` of a hidden layer below the last.
    upstream: Array2<T>,
}

/// A dense layer and the activation that follows it.
struct Hidden<T> {
    weight: Weight<T>,
    bias: Option<Parameter<T>>,
    w_scale: T,
    b_scale: T,
    activation: Activation,
    /// Pre-activations `[batch, units]`; after the backward pass, the derivatives with respect to them.
    z: Array2<T>,
    /// Activations `[batch, units]`.
    a: Array2<T>,
}

/// The weights of a hidden layer.
enum Weight<T> {
    /// `[fan_in, units]`.
    Full(Parameter<T>),
    /// The first layer's `W = W_0 + s X^T C`, given by `C: [n, units]`, one row per sample.
    ///
    /// Gradients with respect to `W` are sums of rows of `X`, so `W` never leaves this form. With the Gram matrix
    /// `s^2 X X^T: [n, n]` of the inputs the pre-activations are `s X W_0 + s^2 X X^T C`, and the step `W -= rate s X^T G`
    /// is `C -= rate G`: no product at all. It is exact, and for `n < d` it saves time and memory.
    Span {
        /// `C`, pulled to 0 where the regulariser pulls to `W_0`.
        coordinates: Parameter<T>,
        /// `s X W_0`, `[n, units]`.
        first: Array2<T>,
        /// `s^2 X X^T`, `[n, n]`.
        gram: Array2<T>,
    },
}

/// The output layer.
struct Output<T> {
    /// `[m, 1]`.
    weight: Parameter<T>,
    /// `[1, 1]`.
    bias: Option<Parameter<T>>,
    w_scale: T,
    b_scale: T,
}

/// A dense layer of a network in this form.
struct Dense {
    w_scale: f64,
    b_scale: f64,
    bias: bool,
    /// What follows it.
    activation: Activation,
}

/// The dense layers of a network, if it has no others, at most one activation after each, and one output.
fn layers(network: &Network) -> Option<Vec<Dense>> {
    let mut layers: Vec<Dense> = Vec::new();
    let mut fresh = false;
    for node in network.nodes() {
        match node {
            Node::Dense(dense) => {
                let activation = Activation::Identity;
                let bias = dense.bias.is_some();
                layers.push(Dense { w_scale: dense.w_scale, b_scale: dense.b_scale, bias, activation });
                fresh = true;
            }
            Node::Fixed(fixed) => match fixed.operation {
                Operation::Flatten if layers.is_empty() => (),
                Operation::Activation(activation) if fresh => {
                    layers.last_mut()?.activation = activation;
                    fresh = false;
                }
                _ => return None,
            },
            Node::Conv(_) | Node::Residual(_) => return None,
        }
    }
    let one = network.architecture().output_size() == 1;
    (one && matches!(network.architecture().layers().last(), Some(Layer::Dense(_)))).then_some(layers)
}

impl<T: Real> HostEngine<T> {
    /// The engine for a network on the host, if the network has the form it knows.
    ///
    /// `coordinates: [n, units]` are those of the first layer's weights, which a network that has been trained by this
    /// engine goes on from.
    pub fn new(network: &Network, samples: &Samples, rule: Rule, coordinates: Option<Array2<f64>>) -> Option<Self> {
        let layers = layers(network)?;
        let (last, hidden) = layers.split_last()?;
        let inputs = samples.host::<T>();
        let (n, mut fan_in) = inputs.dim();
        let mut present = network.parameters().into_iter();
        let mut start = network.initial().parameters().into_iter();
        let decay = T::of(rule.learning_rate * rule.lambda_mean);
        // The next parameter with its pull; `output` for the output layer's weights.
        let mut next = |rows: usize, output: bool| {
            let start = matrix::<T>(start.next()?, rows);
            let value = matrix::<T>(present.next()?, rows);
            let pull = match rule.regulariser {
                Regulariser::DistanceToInit if decay > T::zero() => Pull::ToStart { c: decay, start },
                // d/dw of lambda/2 |w / sqrt(m)|^2 is lambda w / m.
                Regulariser::LastLayer if output => Pull::ToZero { c: decay / T::of(rows as f64) },
                _ => Pull::Free,
            };
            Some(Parameter { value, pull })
        };

        let mut coordinates = coordinates;
        let mut built = Vec::new();
        for (index, layer) in hidden.iter().enumerate() {
            let weight = next(fan_in, false)?;
            let (w_scale, units) = (T::of(layer.w_scale), weight.value.ncols());
            let weight = if index == 0 && n < fan_in {
                let initial = matrix::<T>(network.initial().parameters().swap_remove(0), fan_in);
                match coordinates.take() {
                    None if weight.value != initial => Weight::Full(weight),
                    coordinates => span_of(&inputs, initial, w_scale, coordinates, weight.pull),
                }
            } else {
                Weight::Full(weight)
            };
            let bias = if layer.bias { Some(next(1, false)?) } else { None };
            let empty = || Array2::zeros((0, units));
            let (b_scale, activation) = (T::of(layer.b_scale), layer.activation);
            built.push(Hidden { weight, bias, w_scale, b_scale, activation, z: empty(), a: empty() });
            fan_in = units;
        }
        let weight = next(fan_in, true)?;
        let bias = if last.bias { Some(next(1, false)?) } else { None };
        let output = Output { weight, bias, w_scale: T::of(last.w_scale), b_scale: T::of(last.b_scale) };
        Some(Self {
            network: network.clone(),
            device: network.device().inner(),
            inputs,
            hidden: built,
            output,
            rate: T::of(rule.learning_rate),
            parameters: rule.parameters,
            batch: Vec::new(),
            upstream: Array2::zeros((0, 0)),
        })
    }

    /// The places in the batch of the samples that a step is made from: those that the loss pushes, and so many others
    /// that leaving out the rest changes no bit (see [`Parameter::step`]).
    fn keep(&self, push: &[f64]) -> Vec<usize> {
        let pushed = |&i: &usize| push[i] != 0.0;
        if !(0..push.len()).any(|i| pushed(&i)) {
            return Vec::new();
        }
        let sides = self.hidden.iter().filter_map(|layer| match &layer.weight {
            Weight::Full(weight) => weight.value.shape().iter().min().copied(),
            Weight::Span { .. } => None,
        });
        let least = sides.min().map_or(0, least);
        let group = |start: usize| {
            let places = start..push.len().min(start + GROUP);
            let missing = least.saturating_sub(places.clone().filter(pushed).count());
            let mut others = places.clone().filter(|i| !pushed(i)).take(missing).peekable();
            let kept = move |i: &usize| pushed(i) || others.next_if_eq(i).is_some();
            places.filter(kept).collect::<Vec<_>>()
        };
        (0..push.len()).step_by(GROUP).flat_map(group).collect()
    }

    /// Steps of all parameters, from the samples at the places `keep` of the batch, ascending.
    fn step(&mut self, push: &[f64], keep: &[usize]) {
        let groups = keep.chunk_by(|i, j| i / GROUP == j / GROUP);
        let groups: Vec<Range<usize>> = groups
            .scan(0, |start, group| {
                let first = *start;
                *start += group.len();
                Some(first..*start)
            })
            .collect();
        let active: Vec<usize> = keep.iter().map(|&i| self.batch[i]).collect();
        let push: Vec<T> = keep.iter().map(|&i| T::of(push[i])).collect();
        let rows = keep.len();
        for layer in &mut self.hidden {
            compact(&mut layer.z, keep);
            compact(&mut layer.a, keep);
        }
        let inputs = layer_inputs(&self.inputs, &self.hidden, &active);

        let hidden = match self.parameters {
            Parameters::All => self.hidden.len(),
            Parameters::LastLayer => 0,
        };
        if let Some(last) = self.hidden[..hidden].last_mut() {
            let (weight, w_scale) = (self.output.weight.value.column(0), self.output.w_scale);
            last.gate(rows, |row| (w_scale * push[row], weight));
        }
        let a = self.hidden.last().map_or(inputs.view(), |layer| layer.a.slice(s![..rows, ..]));
        self.output.weight.step_column(self.rate * self.output.w_scale, &push, a);
        if let Some(bias) = &mut self.output.bias {
            let push = ArrayView2::from_shape((rows, 1), &push).expect("one number per row");
            bias.step_row(self.rate * self.output.b_scale, push);
        }
        for index in (0..hidden).rev() {
            let (below, rest) = self.hidden.split_at_mut(index);
            let layer = &mut rest[0];
            let Some(next) = below.last_mut() else {
                layer.step(self.rate, inputs.view(), &active, &groups, None);
                break;
            };
            reserve(&mut self.upstream, rows, next.a.ncols());
            let upstream = self.upstream.slice_mut(s![..rows, ..]);
            layer.step(self.rate, next.a.slice(s![..rows, ..]), &active, &groups, Some(upstream));
            let upstream = &self.upstream;
            next.gate(rows, |row| (T::one(), upstream.row(row)));
        }
    }
}

/// The first layer's weights in coordinates of the samples.
fn span_of<T: Real>(
    inputs: &Array2<T>,
    initial: Array2<T>,
    w_scale: T,
    coordinates: Option<Array2<f64>>,
    pull: Pull<T>,
) -> Weight<T> {
    let (n, units) = (inputs.nrows(), initial.ncols());
    let mut first = Array2::zeros((n, units));
    product(first.view_mut(), Place::Replace, w_scale, inputs.view(), initial.view());
    // Once, and read in every step: in f64 before it is rounded.
    let wide = inputs.mapv(T::wide);
    let mut gram = Array2::zeros((n, n));
    product(gram.view_mut(), Place::Replace, w_scale.wide().powi(2), wide.view(), wide.t());
    let value = coordinates.map_or_else(|| Array2::zeros((n, units)), |c| c.mapv(T::of));
    let pull = match pull {
        Pull::ToStart { c, .. } => Pull::ToZero { c },
        other => other,
    };
    Weight::Span { coordinates: Parameter { value, pull }, first, gram: gram.mapv(T::of) }
}

/// A flat tensor as a matrix with so many rows.
fn matrix<T: Real>(tensor: Tensor<1>, rows: usize) -> Array2<T> {
    let tensor = if tensor.is_autodiff() { tensor.inner() } else { tensor };
    let values = tensor.into_data().try_to_vec::<T>().expect("a host tensor of the network's precision");
    let columns = values.len() / rows;
    Array2::from_shape_vec((rows, columns), values).expect("rows divide the parameter")
}

/// Whether a batch is all `n` samples in order.
fn is_all(batch: &[usize], n: usize) -> bool {
    batch.len() == n && batch.iter().enumerate().all(|(i, &sample)| i == sample)
}

/// The rows of the samples in a batch.
fn rows_of<'a, T: Real>(matrix: &'a Array2<T>, batch: &[usize]) -> CowArray<'a, T, Ix2> {
    if is_all(batch, matrix.nrows()) { matrix.view().into() } else { matrix.select(Axis(0), batch).into() }
}

/// What the first layer reads of a batch: nothing, when its weights are in coordinates of the samples.
fn layer_inputs<'a, T: Real>(inputs: &'a Array2<T>, hidden: &[Hidden<T>], batch: &[usize]) -> CowArray<'a, T, Ix2> {
    match hidden.first().map(|layer| &layer.weight) {
        Some(Weight::Span { .. }) => inputs.slice(s![..0, ..]).into(),
        _ => rows_of(inputs, batch),
    }
}

/// Makes room for `rows` rows, keeping more if they are there.
fn reserve<T: Real>(buffer: &mut Array2<T>, rows: usize, columns: usize) {
    if buffer.nrows() < rows || buffer.ncols() != columns {
        *buffer = Array2::zeros((rows, columns));
    }
}

/// Moves the rows `keep`, ascending, to the front.
fn compact<T: Real>(buffer: &mut Array2<T>, keep: &[usize]) {
    let columns = buffer.ncols();
    let values = buffer.as_slice_mut().expect("workspaces are in row-major order");
    for (to, &from) in keep.iter().enumerate().filter(|(to, from)| to != *from) {
        values.copy_within(from * columns..(from + 1) * columns, to * columns);
    }
}

impl<T: Real> Hidden<T> {
    /// `z` and `a` of a batch.
    fn forward(&mut self, below: ArrayView2<T>, batch: &[usize]) {
        let (rows, units) = (batch.len(), self.z.ncols());
        reserve(&mut self.z, rows, units);
        reserve(&mut self.a, rows, units);
        let mut z = self.z.slice_mut(s![..rows, ..]);
        match &self.weight {
            Weight::Full(weight) => product(z.view_mut(), Place::Replace, self.w_scale, below, weight.value.view()),
            Weight::Span { coordinates, first, gram } => {
                Zip::from(z.rows_mut()).and(batch).par_for_each(|mut z, &sample| z.assign(&first.row(sample)));
                product(z.view_mut(), Place::Add, T::one(), rows_of(gram, batch).view(), coordinates.value.view());
            }
        }
        if let Some(bias) = &self.bias {
            z.scaled_add(self.b_scale, &bias.value);
        }
        let activation = self.activation;
        Zip::from(z.rows()).and(self.a.slice_mut(s![..rows, ..]).rows_mut()).par_for_each(|z, mut a| {
            activation::apply(activation, z.as_slice().expect("row-major"), a.as_slice_mut().expect("row-major"));
        });
    }

    /// Turns the first rows of `z` into derivatives, row by row: `z <- factor upstream phi'(z)`.
    fn gate<'a>(&mut self, rows: usize, upstream: impl Fn(usize) -> (T, ArrayView1<'a, T>) + Sync + Send) {
        let activation = self.activation;
        Zip::indexed(self.z.slice_mut(s![..rows, ..]).rows_mut()).par_for_each(|row, mut z| {
            let (factor, upstream) = upstream(row);
            let upstream = upstream.to_slice().expect("row-major");
            activation::gate(activation, z.as_slice_mut().expect("row-major"), factor, upstream);
        });
    }

    /// A step, once `z` holds the derivatives of the samples `active`. Those with respect to the activations below are
    /// put `down`, where there is a layer that needs them.
    fn step(
        &mut self,
        rate: T,
        below: ArrayView2<T>,
        active: &[usize],
        groups: &[Range<usize>],
        down: Option<ArrayViewMut2<T>>,
    ) {
        let g = self.z.slice(s![..active.len(), ..]);
        match &mut self.weight {
            Weight::Full(weight) => {
                weight.step(rate * self.w_scale, below, g, groups, down.map(|down| (self.w_scale, down)));
            }
            Weight::Span { coordinates, .. } => {
                coordinates.pull();
                for (&sample, g) in active.iter().zip(g.rows()) {
                    coordinates.value.row_mut(sample).scaled_add(-rate, &g);
                }
            }
        }
        if let Some(bias) = &mut self.bias {
            bias.step_row(rate * self.b_scale, g);
        }
    }
}

impl<T: Real> Engine for HostEngine<T> {
    fn forward(&mut self, batch: &[usize]) -> Result<Vec<f64>, Error> {
        self.batch = batch.to_vec();
        let inputs = layer_inputs(&self.inputs, &self.hidden, batch);
        let rows = batch.len();
        for index in 0..self.hidden.len() {
            let (below, rest) = self.hidden.split_at_mut(index);
            let below = below.last().map_or(inputs.view(), |layer| layer.a.slice(s![..rows, ..]));
            rest[0].forward(below, batch);
        }
        let a = self.hidden.last().map_or(inputs.view(), |layer| layer.a.slice(s![..rows, ..]));
        let Output { weight, bias, w_scale, b_scale } = &self.output;
        let weight = weight.value.column(0);
        let bias = bias.as_ref().map_or(T::zero(), |bias| *b_scale * bias.value[[0, 0]]);
        let mut outputs = vec![0.0; rows];
        Zip::from(&mut outputs[..]).and(a.rows()).par_for_each(|f, a| *f = (*w_scale * a.dot(&weight) + bias).wide());
        Ok(outputs)
    }

    fn backward(&mut self, push: &[f64]) -> Result<(), Error> {
        // A sample that the loss does not push adds exact zeros to every gradient.
        let keep = self.keep(push);
        self.step(push, &keep);
        Ok(())
    }

    fn network(&self) -> Network {
        let mut values = Vec::new();
        for layer in &self.hidden {
            values.push(match &layer.weight {
                Weight::Full(weight) => weight.value.clone(),
                Weight::Span { coordinates, .. } => {
                    let initial = self.network.initial().parameters().swap_remove(0);
                    let mut weight = matrix::<T>(initial, self.inputs.ncols());
                    let (x, c) = (self.inputs.t(), coordinates.value.view());
                    product(weight.view_mut(), Place::Add, layer.w_scale, x, c);
                    weight
                }
            });
            values.extend(layer.bias.as_ref().map(|bias| bias.value.clone()));
        }
        values.push(self.output.weight.value.clone());
        values.extend(self.output.bias.as_ref().map(|bias| bias.value.clone()));
        let mut values = values.into_iter();
        self.network.clone().map_parameters(&mut |_, _| {
            let (values, _) = values.next().expect("one matrix per parameter").into_raw_vec_and_offset();
            let size = values.len();
            let options = TensorCreationOptions::new(self.device.clone()).with_dtype(T::PRECISION.dtype());
            Tensor::from_data(TensorData::new(values, [size]), options)
        })
    }

    fn coordinates(&self) -> Option<Array2<f64>> {
        match self.hidden.first().map(|layer| &layer.weight) {
            Some(Weight::Span { coordinates, .. }) => Some(coordinates.value.mapv(T::wide)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::network::TensorEngine;
    use widenet_model::{ArchitectureConfig, Precision, Shape};

    /// Numbers without a pattern in [-1, 1].
    pub(super) fn numbers(rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| ((1 + 7 * i + 13 * j) as f64 * 1.7).sin())
    }

    fn network(config: &str, d: usize, precision: Precision) -> Network {
        let config: ArchitectureConfig = toml_edit::de::from_str(config).unwrap();
        Network::init(&config.build(Shape::Flat(d)).unwrap(), 5, precision, &Device::flex().autodiff())
    }

    pub(super) fn weights(network: &Network) -> Vec<Vec<f64>> {
        let values = |tensor: Tensor<1>| tensor.inner().into_data().convert::<f64>().try_to_vec().unwrap();
        network.parameters().into_iter().map(values).collect()
    }

    /// Pushes that differ from step to step, some of them zero.
    pub(super) fn pushes(step: usize, batch: usize) -> Vec<f64> {
        (0..batch).map(|i| if (i + step).is_multiple_of(3) { 0.0 } else { ((i * 5 + step) as f64).cos() }).collect()
    }

    #[test]
    fn steps_are_those_of_tensors() {
        let architectures = [
            "mlp = { hidden = [7] }",
            "mlp = { hidden = [7, 6, 5], sigma_w = 1.4, sigma_b = 0.3 }",
            "mlp = { hidden = [6, 5], activation = { leaky_relu = { slope = 0.2 } }, sigma_b = 0.5 }",
            "mlp = { hidden = [6], activation = { abrelu = { a = -1.0, b = 0.5 } } }",
            "mlp = { hidden = [6, 4], activation = 'tanh' }",
            "mlp = { hidden = [6, 4], activation = 'silu' }",
            "mlp = { hidden = [6, 4], activation = 'sine' }",
            "mlp = { hidden = [6, 4], activation = 'erf' }",
            "mlp = { hidden = [6, 4], activation = 'gelu' }",
            "mlp = { hidden = [6], activation = 'identity' }",
            "mlp = { hidden = [], sigma_b = 0.7 }",
        ];
        // Fewer samples than features (weights in coordinates of the samples), and more.
        for (config, (n, d)) in architectures.iter().flat_map(|config| [(config, (8, 11)), (config, (12, 5))]) {
            for regulariser in [Regulariser::DistanceToInit, Regulariser::LastLayer, Regulariser::None] {
                let parameters = if config.contains("sigma_b = 0.5") { Parameters::LastLayer } else { Parameters::All };
                let rule = Rule { regulariser, lambda_mean: 0.2, learning_rate: 0.3, parameters };
                let network = network(config, d, Precision::F64);
                let samples = Samples::new(&network, numbers(n, d).view()).unwrap();
                let mut host = HostEngine::<f64>::new(&network, &samples, rule, None).expect("dense layers");
                assert_eq!(host.coordinates().is_some(), n < d && !host.hidden.is_empty(), "{config}");
                let mut tensors = TensorEngine::new(network, &samples, rule);
                for step in 0..12 {
                    let batch: Vec<usize> = match step % 3 {
                        0 => (0..n).collect(),
                        _ => (0..3 + step % 2).map(|i| (5 * i + step) % n).collect(),
                    };
                    let (a, b) = (host.forward(&batch).unwrap(), tensors.forward(&batch).unwrap());
                    for (a, b) in a.iter().zip(b) {
                        assert!((a - b).abs() < 1e-12, "{config}, {regulariser:?}, step {step}: {a} is not {b}");
                    }
                    let push = pushes(step, batch.len());
                    host.backward(&push).unwrap();
                    tensors.backward(&push).unwrap();
                }
                let (a, b) = (weights(&host.network()), weights(&tensors.network()));
                for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
                    assert!((a - b).abs() < 1e-12, "{config}, {regulariser:?}: {a} is not {b}");
                }
            }
        }
    }

    /// One sample in `share` is pushed.
    fn unpushed_samples_change_nothing<T: Real>(config: &str, (n, d): (usize, usize), share: usize) {
        let rule = Rule {
            regulariser: Regulariser::DistanceToInit,
            lambda_mean: 0.1,
            learning_rate: 0.2,
            parameters: Parameters::All,
        };
        let network = network(config, d, T::PRECISION);
        let samples = Samples::new(&network, numbers(n, d).view()).unwrap();
        let engine = || HostEngine::<T>::new(&network, &samples, rule, None).unwrap();
        let (mut left_out, mut kept) = (engine(), engine());
        let all: Vec<usize> = (0..n).collect();
        for step in 0..6 {
            let outputs = left_out.forward(&all).unwrap();
            assert_eq!(outputs, kept.forward(&all).unwrap(), "{config}, step {step}");
            let pushed = |i: usize| if (i + step).is_multiple_of(share) { ((i * 5 + step) as f64).cos() } else { 0.0 };
            let push: Vec<f64> = (0..n).map(pushed).collect();
            assert!(left_out.keep(&push).len() < n, "{config}: some are left out");
            left_out.backward(&push).unwrap();
            kept.step(&push, &all);
        }
        assert_eq!(weights(&left_out.network()), weights(&kept.network()), "{config}, one in {share}");
    }

    #[test]
    fn leaving_out_samples_that_are_not_pushed_changes_no_bit() {
        // Sizes around those of blocks, of groups of samples, and of products that take other routines.
        let cases = [
            ("mlp = { hidden = [130, 70], sigma_b = 0.1 }", (33, 75)),
            ("mlp = { hidden = [257] }", (80, 65)),
            ("mlp = { hidden = [80, 600] }", (128, 200)),
            ("mlp = { hidden = [600, 80, 9] }", (128, 20)),
            ("mlp = { hidden = [64, 1030] }", (130, 9)),
            ("mlp = { hidden = [129, 513] }", (1100, 40)),
        ];
        for (config, shape) in cases {
            for share in [2, 8, 43, 128] {
                unpushed_samples_change_nothing::<f32>(config, shape, share);
                unpushed_samples_change_nothing::<f64>(config, shape, share);
            }
        }
    }

    #[test]
    fn a_descent_goes_on_from_its_coordinates() {
        let rule = Rule {
            regulariser: Regulariser::DistanceToInit,
            lambda_mean: 0.1,
            learning_rate: 0.2,
            parameters: Parameters::All,
        };
        let network = network("mlp = { hidden = [9] }", 12, Precision::F32);
        let samples = Samples::new(&network, numbers(4, 12).view()).unwrap();
        let mut whole = HostEngine::<f32>::new(&network, &samples, rule, None).unwrap();
        let batch = [0, 1, 2, 3];
        let step = |engine: &mut HostEngine<f32>, step| {
            let outputs = engine.forward(&batch).unwrap();
            engine.backward(&pushes(step, 4)).unwrap();
            outputs
        };
        (0..5).for_each(|t| drop(step(&mut whole, t)));
        let mut resumed = HostEngine::<f32>::new(&whole.network(), &samples, rule, whole.coordinates()).unwrap();
        for t in 5..10 {
            assert_eq!(step(&mut whole, t), step(&mut resumed, t));
        }
        // Without them, the weights themselves are trained.
        let engine = HostEngine::<f32>::new(&whole.network(), &samples, rule, None).unwrap();
        assert_eq!(engine.coordinates(), None);
    }

    #[test]
    fn other_networks_are_left_to_tensors() {
        let rule =
            Rule { regulariser: Regulariser::None, lambda_mean: 0.0, learning_rate: 0.1, parameters: Parameters::All };
        let network = network("mlp = { hidden = [4], outputs = 2 }", 3, Precision::F64);
        let samples = Samples::new(&network, numbers(2, 3).view()).unwrap();
        assert!(HostEngine::<f64>::new(&network, &samples, rule, None).is_none());
    }
}
