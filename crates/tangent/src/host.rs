//! Gram matrices of tangent features on the host.
//!
//! Where tensors live on the host anyway, products of features are taken here: block by block, a core each, and of a
//! symmetric matrix only what is on or below the diagonal. Networks with convolutions go through [`HostNetwork`], which
//! writes features where they belong; so do dense ones with enough samples.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorCreationOptions, TensorData};
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use rayon::prelude::*;
use widenet_model::host::{HostNetwork, LayerPass, Pass, Real, product_transposed};
use widenet_model::{ConvNode, DeviceError, Network, Node};

use crate::contraction::{Contraction, LayerPlan};
use crate::features::{LayerFeatures, Parts, TangentFeatures, vectors};
use crate::product::{PARTS, product, product_lower};

/// Features as host arrays: their Gram matrix is the sum of that of the layers.
pub(crate) struct HostFeatures<T> {
    layers: Vec<HostLayer<T>>,
}

/// A layer's features, all outputs side by side: `sum_o <g_o, g'_o>` is one scalar product.
struct HostLayer<T> {
    /// `Factors`: the inputs, `[n, P * fan_in]`. `Products`: the weights' derivatives, `[n, O * fan_in * units]`.
    first: Rows<T>,
    /// The derivatives by the pre-activations, `Factors`: `[n, O * P * units]`. `Products`: summed over positions,
    /// `[n, O * units]`.
    second: Rows<T>,
    product: bool,
    positions: usize,
    /// `sigma_w / sqrt(fan_in)` and `sigma_b`, 0 without biases.
    scales: [f64; 2],
}

/// A matrix by rows.
struct Rows<T> {
    values: Vec<T>,
    width: usize,
}

impl<T: Real> Rows<T> {
    fn read(tensors: &[Tensor<2>]) -> Result<Self, DeviceError> {
        let tensor = match tensors {
            [one] => one.clone(),
            several => Tensor::cat(several.to_vec(), 1),
        };
        let width = tensor.dims()[1];
        let failed = |error: &dyn std::fmt::Debug| DeviceError(format!("{error:?}"));
        let data = tensor.try_into_data_as::<T>().map_err(|error| failed(&error))?;
        Ok(Self { values: data.try_to_vec::<T>().map_err(|error| failed(&error))?, width })
    }

    fn rows(&self, rows: &Range<usize>) -> &[T] {
        &self.values[rows.start * self.width..rows.end * self.width]
    }
}

impl<T: Real> HostFeatures<T> {
    /// The features of finite samples `x: [n, d]` that fit the network, each layer's as `plan` says.
    pub(crate) fn of(plan: &[LayerPlan], network: &HostNetwork<T>, x: ArrayView2<f64>) -> Self {
        let outputs = network.layers().last().expect("a network has a layer with weights").units;
        let n = x.nrows();
        let empty = |layer: &widenet_model::host::HostLayer<T>, way: &LayerPlan| {
            let product = way.contraction == Contraction::Products;
            let widths = match way.contraction {
                Contraction::Products => [outputs * layer.fan_in * layer.units, outputs * layer.units],
                Contraction::Factors => [layer.positions * layer.fan_in, outputs * layer.positions * layer.units],
            };
            let bias = if layer.bias.is_empty() { 0.0 } else { layer.b_scale };
            let [first, second] = widths.map(|width| Rows { values: vec![T::zero(); n * width], width });
            HostLayer { first, second, product, positions: layer.positions, scales: [layer.w_scale, bias] }
        };
        let mut layers: Vec<HostLayer<T>> =
            network.layers().iter().zip(plan).map(|(layer, way)| empty(layer, way)).collect();
        let dense = plan.iter().all(|layer| layer.positions == 1);
        let chunk = network.samples_per_pass(if dense { vectors(n) } else { n.div_ceil(PARTS) });
        // Every chunk's rows of every layer.
        let mut places: Vec<Vec<Place<T>>> = (0..n.div_ceil(chunk)).map(|_| Vec::new()).collect();
        for HostLayer { first, second, product, .. } in &mut layers {
            let widths = [first.width, second.width];
            let rows = first.values.chunks_mut(chunk * widths[0]).zip(second.values.chunks_mut(chunk * widths[1]));
            for (places, (first, second)) in places.iter_mut().zip(rows) {
                places.push(Place { first, second, widths, product: *product });
            }
        }
        // A pass's memory is used again for several chunks.
        let places = places.into_par_iter().enumerate().with_min_len(n.div_ceil(2 * PARTS * chunk));
        places.for_each_init(Pass::default, |pass, (index, mut places)| {
            let rows = index * chunk..((index + 1) * chunk).min(n);
            let x: Vec<T> = x.slice(s![rows.clone(), ..]).iter().map(|&x| T::of(x)).collect();
            network.forward(&x, pass);
            for output in 0..outputs {
                let mut unit = vec![T::zero(); rows.len() * outputs];
                unit.iter_mut().skip(output).step_by(outputs).for_each(|c| *c = T::one());
                network.pull_back(&unit, pass, &mut |mut layer| places[layer.index].take(&mut layer, output, outputs));
            }
        });
        Self { layers }
    }

    /// Reads the features of a network without convolutions, the last layer's or all of them.
    pub(crate) fn read(features: &TangentFeatures, last_only: bool) -> Result<Self, DeviceError> {
        let layers = features.layers();
        let layers = if last_only { &layers[layers.len() - 1..] } else { layers };
        Ok(Self { layers: layers.iter().map(HostLayer::read).collect::<Result<_, _>>()? })
    }

    /// The last layer's features alone.
    pub(crate) fn last_layer(mut self) -> Self {
        Self { layers: self.layers.pop().into_iter().collect() }
    }

    /// The same as tensors of a network on the host.
    pub(crate) fn into_tensors(self, network: &Network) -> Vec<LayerFeatures> {
        let outputs = network.architecture().output_size();
        let layers = self.layers.into_iter().zip(weighted(network.nodes()));
        layers.map(|(layer, conv)| layer.into_tensors(conv, outputs, &network.device().inner())).collect()
    }

    /// Writes `<phi_i, phi'_j>` of rows here and rows of `other` there into `out`, times `scale`, on this core alone.
    pub(crate) fn gram_block(
        &self,
        rows: Range<usize>,
        other: &Self,
        columns: Range<usize>,
        scale: f64,
        out: ArrayViewMut2<f64>,
    ) {
        let pair = |left: &Rows<T>, right: &Rows<T>, scale: f64, place: &mut [T]| {
            product_transposed(T::of(scale), left.rows(&rows), right.rows(&columns), left.width, place);
        };
        sum(scale, self.layers.iter().zip(&other.layers), pair, out, false);
    }

    /// The same for all rows here and there, on all cores.
    pub(crate) fn gram(&self, other: &Self, scale: f64, out: ArrayViewMut2<f64>) {
        let pair = |left: &Rows<T>, right: &Rows<T>, scale: f64, place: &mut [T]| {
            product(scale, &left.values, &right.values, left.width, place);
        };
        sum(scale, self.layers.iter().zip(&other.layers), pair, out, false);
    }

    /// The same for all rows with themselves: the lower triangle alone.
    pub(crate) fn gram_lower(&self, scale: f64, out: ArrayViewMut2<f64>) {
        let pair = |left: &Rows<T>, _: &Rows<T>, scale: f64, place: &mut [T]| {
            product_lower(scale, &left.values, left.width, place);
        };
        sum(scale, self.layers.iter().zip(&self.layers), pair, out, true);
    }
}

/// The sum over layers, where `pair` multiplies two sets of rows.
fn sum<'a, T: Real>(
    scale: f64,
    layers: impl Iterator<Item = (&'a HostLayer<T>, &'a HostLayer<T>)>,
    pair: impl Fn(&Rows<T>, &Rows<T>, f64, &mut [T]),
    mut out: ArrayViewMut2<f64>,
    lower: bool,
) {
    let (height, width) = out.dim();
    if out.is_empty() {
        return;
    }
    let mut total = Array2::<T>::zeros((height, width));
    let mut places = [vec![T::zero(); height * width], vec![T::zero(); height * width]];
    for (left, right) in layers {
        let [weight, bias] = left.scales.map(|scale| scale.powi(2));
        let [first, second] = &mut places;
        pair(&left.first, &right.first, weight, first);
        let needs_second = !left.product || bias != 0.0;
        if needs_second {
            pair(&left.second, &right.second, if left.product { bias } else { 1.0 }, second);
        }
        let (product, bias) = (left.product, T::of(bias));
        let total = total.as_slice_mut().expect("just allocated");
        let rows = total.chunks_mut(width).zip(first.chunks(width)).zip(second.chunks(width)).enumerate();
        for (i, ((total, first), second)) in rows {
            let end = if lower { i + 1 } else { width };
            let entries = total[..end].iter_mut().zip(first).zip(second);
            match (product, needs_second) {
                (false, _) => entries.for_each(|((total, &u), &g)| *total += (u + bias) * g),
                (true, true) => entries.for_each(|((total, &w), &b)| *total += w + b),
                (true, false) => entries.for_each(|((total, &w), _)| *total += w),
            }
        }
    }
    out.zip_mut_with(&total, |out, &value| *out = scale * value.wide());
}

/// The rows of some samples in a layer's features.
struct Place<'a, T> {
    first: &'a mut [T],
    second: &'a mut [T],
    widths: [usize; 2],
    product: bool,
}

impl<T: Real> Place<'_, T> {
    /// Takes an output's derivatives of all samples.
    fn take(&mut self, layer: &mut LayerPass<T>, output: usize, outputs: usize) {
        let [width, width_second] = self.widths;
        let parts = [width, width_second].map(|width| output * (width / outputs)..(output + 1) * (width / outputs));
        for sample in 0..layer.samples() {
            let first = &mut self.first[sample * width..(sample + 1) * width];
            let second = &mut self.second[sample * width_second..(sample + 1) * width_second][parts[1].clone()];
            if self.product {
                layer.weight_derivative(sample, &mut first[parts[0].clone()]);
                layer.add_bias_derivative(sample, second);
            } else {
                if output == 0 {
                    layer.copy_input(sample, first);
                }
                second.copy_from_slice(layer.derivative(sample));
            }
        }
    }
}

impl<T: Real> HostLayer<T> {
    fn read(layer: &LayerFeatures) -> Result<Self, DeviceError> {
        let scales = [layer.scale, layer.bias.unwrap_or(0.0)];
        let (first, second, product) = match &layer.parts {
            Parts::Factors { inputs, derivatives } => {
                let flat = |tensor: &Tensor<3>| tensor.clone().flatten::<2>(1, 2);
                let derivatives: Vec<Tensor<2>> = derivatives.iter().map(flat).collect();
                (Rows::read(&[flat(inputs)])?, Rows::read(&derivatives)?, false)
            }
            Parts::Products { weights, biases } => (Rows::read(weights)?, Rows::read(biases)?, true),
        };
        Ok(Self { first, second, product, positions: 1, scales })
    }

    fn into_tensors(self, conv: Option<ConvNode>, outputs: usize, device: &Device) -> LayerFeatures {
        let [scale, bias] = self.scales;
        let (first, second) = (self.first.into_tensor(device), self.second.into_tensor(device));
        let split = |tensor: Tensor<2>| tensor.chunk(outputs, 1);
        let parts = if self.product {
            Parts::Products { weights: split(first), biases: split(second) }
        } else {
            let places = |tensor: Tensor<2>| {
                let [n, width] = tensor.dims();
                tensor.reshape([n, self.positions, width / self.positions])
            };
            Parts::Factors { inputs: places(first), derivatives: split(second).into_iter().map(places).collect() }
        };
        LayerFeatures { scale, bias: (bias != 0.0).then_some(bias), conv, parts }
    }
}

impl<T: Real> Rows<T> {
    fn into_tensor(self, device: &Device) -> Tensor<2> {
        let shape = [self.values.len() / self.width, self.width];
        let options = TensorCreationOptions::new(device.clone()).with_dtype(T::PRECISION.dtype());
        Tensor::from_data(TensorData::new(self.values, shape), options)
    }
}

/// The layers with weights, in the order of the parameters: the convolutions among them.
fn weighted(nodes: &[Node]) -> Vec<Option<ConvNode>> {
    let of_node = |node: &Node| match node {
        Node::Dense(_) => vec![None],
        Node::Conv(conv) => vec![Some(conv.clone())],
        Node::Residual(residual) => [weighted(&residual.branch), weighted(&residual.shortcut)].concat(),
        Node::Fixed(_) => Vec::new(),
    };
    nodes.iter().flat_map(of_node).collect()
}
