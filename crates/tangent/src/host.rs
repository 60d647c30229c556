//! Gram matrices of tangent features on the host.
//!
//! Where tensors live on the host anyway, the products of features are taken by faer: of a symmetric matrix only the
//! lower triangle, and in place, which tensors cannot do.

use std::ops::Range;

use burn::tensor::Tensor;
use ndarray::{Array2, ArrayViewMut2};
use rayon::prelude::*;
use widenet_model::DeviceError;

use crate::features::{LayerFeatures, Parts, TangentFeatures};
use crate::real::Real;

/// Features as host arrays: their Gram matrix is the sum of that of the layers.
pub(crate) struct HostFeatures<T> {
    layers: Vec<HostLayer<T>>,
}

/// A layer's features, all outputs side by side: `sum_o <g_o, g'_o>` is one scalar product.
struct HostLayer<T> {
    /// `Factors`: the inputs, `[n, fan_in]`. `Products`: the weights' derivatives, `[n, O * fan_in * units]`.
    first: Rows<T>,
    /// The derivatives by the pre-activations, summed over positions, `[n, O * units]`.
    second: Rows<T>,
    product: bool,
    /// `sigma_w^2 / fan_in` and `sigma_b^2`.
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
    /// Reads the features' last layer or all of them. `None` where a layer keeps factors of several positions, whose sum
    /// over pairs of positions is left to tensors.
    pub(crate) fn read(features: &TangentFeatures, last_only: bool) -> Result<Option<Self>, DeviceError> {
        let layers = features.layers();
        let layers = if last_only { &layers[layers.len() - 1..] } else { layers };
        let read =
            layers.iter().map(|layer| HostLayer::read(layer, last_only)).collect::<Result<Option<Vec<_>>, _>>()?;
        Ok(read.map(|layers| Self { layers }))
    }

    /// Writes `<phi_i, phi'_j>` of rows here and rows of `other` there into `out`, times `scale`.
    pub(crate) fn gram(
        &self,
        rows: Range<usize>,
        other: &Self,
        columns: Range<usize>,
        scale: f64,
        out: ArrayViewMut2<f64>,
    ) {
        let shape = (rows.len(), columns.len());
        let pair = |left: &Rows<T>, right: &Rows<T>, scale: f64, place: &mut [T]| {
            T::product(scale, left.rows(&rows), right.rows(&columns), left.width, place);
        };
        let products = self.layers.iter().zip(&other.layers);
        sum(shape, scale, products, pair, out, false);
    }

    /// The same for `rows` with themselves: the lower triangle alone.
    pub(crate) fn gram_lower(&self, rows: Range<usize>, scale: f64, out: ArrayViewMut2<f64>) {
        let shape = (rows.len(), rows.len());
        let pair = |left: &Rows<T>, _: &Rows<T>, scale: f64, place: &mut [T]| {
            T::product_lower(scale, left.rows(&rows), left.width, place);
        };
        sum(shape, scale, self.layers.iter().zip(&self.layers), pair, out, true);
    }
}

/// The sum over layers, where `pair` multiplies two sets of rows.
fn sum<'a, T: Real>(
    (height, width): (usize, usize),
    scale: f64,
    layers: impl Iterator<Item = (&'a HostLayer<T>, &'a HostLayer<T>)>,
    pair: impl Fn(&Rows<T>, &Rows<T>, f64, &mut [T]),
    mut out: ArrayViewMut2<f64>,
    lower: bool,
) {
    if height == 0 || width == 0 {
        return;
    }
    let mut total = Array2::<T>::zeros((height, width));
    let mut places = [vec![T::zero(); height * width], vec![T::zero(); height * width]];
    for (left, right) in layers {
        let [weight, bias] = left.scales;
        let [first, second] = &mut places;
        pair(&left.first, &right.first, weight, first);
        let needs_second = !left.product || bias != 0.0;
        if needs_second {
            pair(&left.second, &right.second, if left.product { bias } else { 1.0 }, second);
        }
        let (product, bias) = (left.product, T::of(bias));
        let total = total.as_slice_mut().expect("just allocated");
        let rows = total.par_chunks_mut(width).zip(first.par_chunks(width)).zip(second.par_chunks(width)).enumerate();
        rows.for_each(|(i, ((total, first), second))| {
            let end = if lower { i + 1 } else { width };
            let entries = total[..end].iter_mut().zip(first).zip(second);
            match (product, needs_second) {
                (false, _) => entries.for_each(|((total, &u), &g)| *total += (u + bias) * g),
                (true, true) => entries.for_each(|((total, &w), &b)| *total += w + b),
                (true, false) => entries.for_each(|((total, &w), _)| *total += w),
            }
        });
    }
    out.zip_mut_with(&total, |out, &value| *out = scale * value.wide());
}

impl<T: Real> HostLayer<T> {
    fn read(layer: &LayerFeatures, first_output_only: bool) -> Result<Option<Self>, DeviceError> {
        let scales = [layer.scale.powi(2), layer.bias.unwrap_or(0.0).powi(2)];
        let outputs = |count: usize| 0..if first_output_only { 1 } else { count };
        Ok(match &layer.parts {
            Parts::Factors { inputs, .. } if inputs.dims()[1] > 1 => None,
            Parts::Factors { inputs, derivatives } => {
                let flat = |tensor: &Tensor<3>| tensor.clone().flatten::<2>(1, 2);
                let derivatives: Vec<Tensor<2>> = derivatives[outputs(derivatives.len())].iter().map(flat).collect();
                let (first, second) = (Rows::read(&[flat(inputs)])?, Rows::read(&derivatives)?);
                Some(Self { first, second, product: false, scales })
            }
            Parts::Products { weights, biases } => {
                let outputs = outputs(weights.len());
                let (first, second) = (Rows::read(&weights[outputs.clone()])?, Rows::read(&biases[outputs])?);
                Some(Self { first, second, product: true, scales })
            }
        })
    }
}
