//! How each layer's part of an empirical kernel is computed.

use serde::{Deserialize, Serialize};
use widenet_model::{Architecture, WeightedLayer};

/// How the empirical kernel is computed. All ways give the same numbers up to rounding.
///
/// A layer with weights reads inputs `u_p: [fan_in]` at positions `p` (one position for a dense layer), and `g_p:
/// [units]` is the output's derivative there. Its part of the kernel can be had in two ways ([`Contraction`]); a method
/// says which for every layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// For each layer the way that takes fewer operations; see [`Contraction`].
    #[default]
    Auto,
    /// [`Contraction::Factors`] for dense layers and [`Contraction::Products`] for convolutions.
    Structured,
    /// [`Contraction::Products`] for every layer: the Jacobian, multiplied by itself.
    Jacobian,
}

impl Method {
    /// The name in configurations and captions.
    pub fn name(self) -> &'static str {
        match self {
            Method::Auto => "auto",
            Method::Structured => "structured",
            Method::Jacobian => "jacobian",
        }
    }
}

/// The two ways to a layer's part of the kernel, for samples with `P` positions, `k = fan_in`, `m = units`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Contraction {
    /// `sum_{p,q} <u_p, u'_q> <g_p, g'_q>`: inputs and derivatives stay apart, the Jacobian is never formed. Per pair of
    /// samples `O(P^2 (k + m))` operations, per sample `P (k + m)` numbers. The way of dense layers, where `P = 1`.
    Factors,
    /// `<J, J'>` with the sample's derivative `J = sum_p u_p g_p^T` by the weights. Per pair of samples `O(k m)`
    /// operations, and `O(P k m)` per sample, per sample `k m` numbers. The way of convolutions over many positions.
    Products,
}

impl Contraction {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Contraction::Factors => "factors",
            Contraction::Products => "products",
        }
    }
}

/// How one layer's part is computed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerPlan {
    /// The layer, for instance `layer 3 (conv)`.
    pub layer: String,
    /// The places where it reads a sample; 1 for a dense layer.
    pub positions: usize,
    /// The way taken.
    pub contraction: Contraction,
    /// Floating-point operations per pair of samples, in blocks of [`PAIRED`] samples.
    pub operations: f64,
    /// Numbers per sample that the features take.
    pub numbers: usize,
}

/// Samples that meet each other at a time, for which operations are counted: what a sample takes alone counts the less
/// the more of them there are.
pub const PAIRED: usize = 128;

/// The ways of all layers with weights, in the order of the network's parameters.
pub(crate) fn plan(architecture: &Architecture, method: Method) -> Vec<LayerPlan> {
    let outputs = architecture.output_size();
    let layer_plan = |layer: &WeightedLayer| {
        let of = |contraction| {
            let (operations, numbers) = cost(layer, outputs, contraction);
            LayerPlan { layer: layer.place.clone(), positions: layer.positions, contraction, operations, numbers }
        };
        let (factors, products) = (of(Contraction::Factors), of(Contraction::Products));
        match method {
            Method::Jacobian => products,
            // With one position factors never lose: k + m <= k m, or k m + 1 where one of them is 1.
            _ if layer.positions == 1 => factors,
            Method::Auto if factors.operations <= products.operations => factors,
            Method::Auto | Method::Structured => products,
        }
    };
    architecture.weighted_layers().iter().map(layer_plan).collect()
}

/// Operations per pair of samples, and numbers per sample.
fn cost(layer: &WeightedLayer, outputs: usize, contraction: Contraction) -> (f64, usize) {
    let (positions, fan_in, units) = (layer.positions as f64, layer.fan_in as f64, (layer.units * outputs) as f64);
    match contraction {
        Contraction::Factors => {
            let numbers = layer.positions.saturating_mul(layer.fan_in.saturating_add(layer.units * outputs));
            (2.0 * positions.powi(2) * (fan_in + units), numbers)
        }
        Contraction::Products => {
            let numbers = outputs.saturating_mul(layer.parameters());
            (2.0 * fan_in * units * (1.0 + positions / PAIRED as f64), numbers)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use widenet_model::{ArchitectureConfig, Shape};

    fn contractions(config: &str, input: Shape, method: Method) -> Vec<Contraction> {
        let config: ArchitectureConfig = toml_edit::de::from_str(config).unwrap();
        plan(&config.build(input).unwrap(), method).into_iter().map(|layer| layer.contraction).collect()
    }

    #[test]
    fn the_cheaper_way_is_taken() {
        use Contraction::{Factors, Products};
        let image = Shape::Image([1, 28, 28]);
        // Dense layers keep factors; 784 positions are too many pairs of positions for 64 channels.
        assert_eq!(contractions("mlp = { hidden = [64, 64] }", image, Method::Auto), [Factors; 3]);
        let cnn = "cnn = { channels = [64, 64] }";
        assert_eq!(contractions(cnn, image, Method::Auto), [Products, Products, Factors]);
        // Four positions, 576 x 64 weights: 2 * 16 (576 + 64) = 20 480 operations against 2 * 36 864 * (1 + 4/128).
        let small = contractions(cnn, Shape::Image([1, 2, 2]), Method::Auto);
        assert_eq!(small[1], Factors);
        assert_eq!(contractions(cnn, Shape::Image([1, 2, 2]), Method::Structured), [Products, Products, Factors]);
        assert_eq!(contractions(cnn, image, Method::Jacobian), [Products; 3]);
    }

    #[test]
    fn costs_by_hand() {
        let layer = WeightedLayer {
            place: "layer 1 (conv)".into(),
            positions: 4,
            fan_in: 9,
            units: 5,
            bias: true,
            sizes: [4, 20],
        };
        assert_eq!(cost(&layer, 2, Contraction::Factors), (2.0 * 16.0 * 19.0, 4 * 19));
        assert_eq!(cost(&layer, 2, Contraction::Products), (2.0 * 90.0 * (1.0 + 4.0 / 128.0), 2 * 50));
    }
}
