//! A network on the host, and its derivatives layer by layer.
//!
//! Burn's tensor operations go through the whole batch one after the other, on one core for all but matrix products, and
//! make a new tensor each. Here a few samples at a time go all the way forth and back while what they leave is in the
//! cache; cores take different samples, and derivatives are written where they are wanted. Convolutions with 3 x 3 kernels
//! and enough channels take a quarter of the multiplications (Winograd's minimal filtering).

pub mod activation;
mod convolution;
mod layer;
mod pool;
mod product;
mod real;
mod winograd;

use burn::tensor::{Tensor, TensorCreationOptions, TensorData};

use crate::architecture::Layer;
use crate::layers::{Node, Operation};
use crate::network::Network;
use crate::shape::Shape;
use convolution::Geometry;
use layer::{Way, each, take};
use winograd::{Kernels, Patches};

pub use layer::{HostLayer, LayerPass};
pub use product::{Place, product, product_block, product_transposed};
pub use real::{Real, vectorised};

/// A network's layers as host arrays.
#[derive(Clone, Debug)]
pub struct HostNetwork<T> {
    nodes: Vec<HostNode>,
    layers: Vec<HostLayer<T>>,
    input: Shape,
}

#[derive(Clone, Debug)]
enum HostNode {
    Layer(usize),
    Residual(Vec<HostNode>, Vec<HostNode>),
    /// With the shapes before and after it.
    Fixed(Operation, [Shape; 2]),
}

/// What some samples left in every layer on their way through a network, and the memory for their way back.
#[derive(Clone, Debug, Default)]
pub struct Pass<T> {
    samples: usize,
    input: Vec<T>,
    records: Vec<Record<T>>,
    free: Vec<Vec<T>>,
}

/// What a node left.
#[derive(Clone, Debug)]
struct Record<T> {
    /// Its output, images as `[height, width, channels]`.
    output: Vec<T>,
    /// What a convolution multiplies: windows or patches' transforms.
    read: Vec<T>,
    /// The nodes of a residual's two branches.
    branches: [Vec<Record<T>>; 2],
}

impl<T: Real> HostNetwork<T> {
    /// A network's present weights, copied.
    ///
    /// # Panics
    ///
    /// When the network has another precision, or is not on the host.
    pub fn new(network: &Network) -> Self {
        let (mut layers, mut parameters) = (Vec::new(), network.parameters().into_iter());
        let mut next = || {
            let tensor = parameters.next().expect("one vector per parameter");
            let tensor = if tensor.is_autodiff() { tensor.inner() } else { tensor };
            tensor.into_data().try_to_vec::<T>().expect("a host tensor of the network's precision")
        };
        let architecture = network.architecture();
        let (nodes, _) = nodes(network.nodes(), architecture.layers(), architecture.input(), &mut next, &mut layers);
        let mut host = Self { nodes, layers, input: architecture.input() };
        host.prepare();
        host
    }

    /// The layers with weights, in the order of [`Network::parameters`].
    pub fn layers(&self) -> &[HostLayer<T>] {
        &self.layers
    }

    /// Changes the layers' weights.
    pub fn update(&mut self, change: impl FnOnce(&mut [HostLayer<T>])) {
        change(&mut self.layers);
        self.prepare();
    }

    fn prepare(&mut self) {
        for HostLayer { way, weight, w_scale, .. } in &mut self.layers {
            if let Way::Patches(_, geometry, kernels) = way {
                kernels.transform(weight, T::of(*w_scale), geometry.input[0]);
            }
        }
    }

    /// A network on the host with these weights, that is like `network` in all else.
    pub fn network(&self, network: Network) -> Network {
        let mut values = self.layers.iter().flat_map(|layer| {
            let bias = (!layer.bias.is_empty()).then(|| layer.bias.clone());
            std::iter::once(layer.in_network_order()).chain(bias)
        });
        let device = network.device().inner();
        network.map_parameters(&mut |_, _| {
            let values = values.next().expect("one vector per parameter");
            let size = values.len();
            let options = TensorCreationOptions::new(device.clone()).with_dtype(T::PRECISION.dtype());
            Tensor::from_data(TensorData::new(values, [size]), options)
        })
    }

    /// Samples that should go through together, where one core has `n` to go: enough for dense weights to be read no more
    /// often than what the samples leave, and no more than that, so that it stays in the cache.
    pub fn samples_per_pass(&self, n: usize) -> usize {
        let dense = |layer: &&HostLayer<T>| matches!(layer.way, Way::Dense);
        let weights: usize = self.layers.iter().filter(dense).map(|layer| layer.weight.len()).sum();
        let sample: usize = self.layers.iter().map(|layer| 3 * layer.units * layer.positions).sum();
        weights.div_ceil(sample).clamp(1, n.max(1))
    }

    /// The outputs `f(w, x)`, `[n, O]`, of samples `x: [n, d]` (images as `[channels, height, width]`), one after the
    /// other. `pass` remembers what [`HostNetwork::pull_back`] needs; its memory is used again.
    ///
    /// # Panics
    ///
    /// When `x` is not a whole number of samples.
    pub fn forward<'p>(&self, x: &[T], pass: &'p mut Pass<T>) -> &'p [T] {
        let size = self.input.size();
        assert_eq!(x.len() % size, 0, "{} numbers are not samples of {size}", x.len());
        pass.samples = x.len() / size;
        pass.input.resize(x.len(), T::zero());
        match self.input {
            Shape::Flat(_) | Shape::Image([1, ..]) => pass.input.copy_from_slice(x),
            // Pixels in rows, channels last: the transpose of what vectors are made of.
            Shape::Image([_, h, w]) => {
                each(x, &mut pass.input, pass.samples, |x, image| pool::transpose(x, h * w, image));
            }
        }
        self.run(&self.nodes, &pass.input, pass.samples, &mut pass.records, &mut pass.free);
        &pass.records.last().expect("a network has a layer").output
    }

    /// The derivatives of `sum_{i,o} c_io f_o(x_i)` for `c: [n, O]`, of the last [`HostNetwork::forward`] of `pass`:
    /// calls `visit` for every layer with weights, last first. Every sample's output depends on that sample alone.
    ///
    /// # Panics
    ///
    /// When `c` has another size than the outputs.
    pub fn pull_back(&self, c: &[T], pass: &mut Pass<T>, visit: &mut dyn FnMut(LayerPass<T>)) {
        let Pass { samples, input, records, free } = pass;
        if *samples == 0 {
            return;
        }
        assert_eq!(c.len(), records.last().map_or(0, |record| record.output.len()), "one number per output");
        let mut g = take(free, c.len());
        g.copy_from_slice(c);
        let rest = self.back(&self.nodes, records, input, *samples, g, false, free, visit);
        free.extend(rest);
    }

    fn run(&self, nodes: &[HostNode], input: &[T], n: usize, records: &mut Vec<Record<T>>, free: &mut Vec<Vec<T>>) {
        records.resize_with(nodes.len(), Record::default);
        for (index, node) in nodes.iter().enumerate() {
            let (before, rest) = records.split_at_mut(index);
            let input = before.last().map_or(input, |record| &record.output);
            let Record { output, read, branches } = &mut rest[0];
            match node {
                HostNode::Layer(layer) => self.layers[*layer].forward(input, n, read, output, free),
                HostNode::Residual(branch, shortcut) => {
                    for (nodes, records) in [branch, shortcut].into_iter().zip(&mut *branches) {
                        self.run(nodes, input, n, records, free);
                    }
                    let [a, b] = branches.each_ref().map(|records| records.last().map_or(input, |last| &last.output));
                    output.resize(a.len(), T::zero());
                    vectorised(
                        #[inline(always)]
                        || output.iter_mut().zip(a).zip(b).for_each(|((out, &a), &b)| *out = a + b),
                    );
                }
                HostNode::Fixed(Operation::Activation(activation), _) => {
                    output.resize(input.len(), T::zero());
                    activation::apply(*activation, input, output);
                }
                HostNode::Fixed(operation, [before, after]) => {
                    output.resize(n * after.size(), T::zero());
                    let shape = image(*before);
                    each(input, output, n, |input, output| pool::apply(*operation, shape, input, output));
                }
            }
        }
    }

    /// Pulls `g` back through nodes. The derivative at their input is computed when it is `wanted`.
    #[allow(clippy::too_many_arguments)] // a recursion's state
    fn back(
        &self,
        nodes: &[HostNode],
        records: &[Record<T>],
        input: &[T],
        n: usize,
        mut g: Vec<T>,
        wanted: bool,
        free: &mut Vec<Vec<T>>,
        visit: &mut dyn FnMut(LayerPass<T>),
    ) -> Option<Vec<T>> {
        let first = nodes.iter().position(HostNode::has_weights).unwrap_or(nodes.len());
        for (index, node) in nodes.iter().enumerate().rev() {
            // Before the first weights nobody looks at derivatives, unless the caller does.
            let wanted = wanted || index > first;
            if !wanted && index < first {
                free.push(g);
                return None;
            }
            let record = &records[index];
            let input = index.checked_sub(1).map_or(input, |before| &records[before].output);
            let next = match node {
                HostNode::Layer(layer) => {
                    let next = self.layers[*layer].back(*layer, [input, &record.read], n, &g, wanted, free, visit);
                    free.push(g);
                    next
                }
                HostNode::Residual(branch, shortcut) => {
                    let mut copy = take(free, g.len());
                    copy.copy_from_slice(&g);
                    let [left, right] = &record.branches;
                    let b = self.back(shortcut, right, input, n, copy, wanted, free, visit);
                    let a = self.back(branch, left, input, n, g, wanted, free, visit);
                    a.zip(b).map(|(mut a, b)| {
                        vectorised(
                            #[inline(always)]
                            || a.iter_mut().zip(&b).for_each(|(a, &b)| *a += b),
                        );
                        free.push(b);
                        a
                    })
                }
                HostNode::Fixed(Operation::Activation(activation), _) => {
                    activation::pull_back(*activation, input, &mut g);
                    Some(g)
                }
                HostNode::Fixed(operation, [before, _]) => {
                    let mut down = take(free, input.len());
                    let (size, size_out) = (input.len() / n, g.len() / n);
                    let shape = image(*before);
                    for sample in 0..n {
                        let (of, to) = (sample * size..(sample + 1) * size, sample * size_out..(sample + 1) * size_out);
                        let seen = [&input[of.clone()], &record.output[to.clone()]];
                        pool::pull_back(*operation, shape, seen, &g[to], &mut down[of]);
                    }
                    free.push(g);
                    Some(down)
                }
            };
            g = next?;
        }
        Some(g)
    }
}

impl<T> Default for Record<T> {
    fn default() -> Self {
        Self { output: Vec::new(), read: Vec::new(), branches: [Vec::new(), Vec::new()] }
    }
}

impl HostNode {
    fn has_weights(&self) -> bool {
        match self {
            HostNode::Layer(_) => true,
            HostNode::Residual(branch, shortcut) => branch.iter().chain(shortcut).any(HostNode::has_weights),
            HostNode::Fixed(..) => false,
        }
    }
}

/// The nodes in this form, with the shape after them; their layers with weights are added to `layers`, with the parameters
/// that `next` gives.
fn nodes<T: Real>(
    nodes_in: &[Node],
    architecture: &[Layer],
    mut shape: Shape,
    next: &mut dyn FnMut() -> Vec<T>,
    layers: &mut Vec<HostLayer<T>>,
) -> (Vec<HostNode>, Shape) {
    let mut built = Vec::with_capacity(nodes_in.len());
    for (node, layer) in nodes_in.iter().zip(architecture) {
        let after = layer.output(shape);
        built.push(match (node, layer) {
            (Node::Dense(node), _) => {
                let (fan_in, units) = (shape.size(), node.weight.dims()[1]);
                let (weight, bias) = (next(), node.bias.as_ref().map(|_| next()).unwrap_or_default());
                let (w_scale, b_scale, way) = (node.w_scale, node.b_scale, Way::Dense);
                layers.push(HostLayer { weight, bias, w_scale, b_scale, fan_in, units, positions: 1, way });
                HostNode::Layer(layers.len() - 1)
            }
            (Node::Conv(node), _) => {
                let [units, _, kernel, _] = node.weight.dims();
                let (stride, padding, [_, height, width]) = (node.stride, node.padding, image(after));
                let geometry = Geometry { kernel, stride, padding, input: image(shape), output: [height, width] };
                let (flat, bias) = (next(), node.bias.as_ref().map(|_| next()).unwrap_or_default());
                let way = match Patches::new(geometry, units) {
                    Some(patches) => Way::Patches(patches, geometry, Kernels::new(flat.len())),
                    None => Way::Windows(geometry),
                };
                let (w_scale, b_scale) = (node.w_scale, node.b_scale);
                let (fan_in, positions) = (geometry.fan_in(), geometry.positions());
                let weight = vec![T::zero(); flat.len()];
                let mut layer = HostLayer { weight, bias, w_scale, b_scale, fan_in, units, positions, way };
                for (here, there) in geometry.weight_places(units) {
                    layer.weight[here] = flat[there];
                }
                layers.push(layer);
                HostNode::Layer(layers.len() - 1)
            }
            (Node::Residual(node), Layer::Residual(residual)) => {
                let (branch, _) = nodes(&node.branch, &residual.branch, shape, next, layers);
                let (shortcut, _) = nodes(&node.shortcut, &residual.shortcut, shape, next, layers);
                HostNode::Residual(branch, shortcut)
            }
            (Node::Fixed(node), _) => HostNode::Fixed(node.operation, [shape, after]),
            (Node::Residual(_), _) => unreachable!("a network has its architecture's layers"),
        });
        shape = after;
    }
    (built, shape)
}

fn image(shape: Shape) -> [usize; 3] {
    match shape {
        Shape::Image(image) => image,
        Shape::Flat(_) => unreachable!("only images are convolved or pooled: Architecture::new refuses the rest"),
    }
}
