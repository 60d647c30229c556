//! Networks of finite width: certificates by bound propagation.
//!
//! What is trained and compared is the centred output `f(x) - f_0(x)`, with `f_0` the network at initialisation. It is
//! bounded as what it is, the difference of two networks at one input.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Zip};

use crate::attack::{Adversary, AttackEffort, Decision, attack};
use crate::certifier::Search;
use crate::error::CertifyError;
use crate::interval::published_search;
use crate::machine::{check_sample, norm};
use crate::region::{EPS, Norm, Region, Threat};

/// A dense ReLU network with one output, as plain matrices: `z = a W + b`, with the scales of the parameterisation
/// multiplied in.
#[derive(Clone, Debug, PartialEq)]
pub struct DenseNetwork {
    layers: Vec<Layer>,
}

/// `z = W a + b`. A unit's weights lie side by side, so that every use reads the matrix once and in order: a wide network
/// does not fit into the caches, and its bounds cost what the reading costs.
#[derive(Clone, Debug, PartialEq)]
struct Layer {
    /// `[units, fan_in]`.
    weights: Array2<f64>,
    bias: Array1<f64>,
    /// The Frobenius norm of the weights.
    norm: f64,
}

impl Layer {
    fn forward(&self, a: ArrayView1<f64>) -> Array1<f64> {
        self.weights.dot(&a) + &self.bias
    }

    /// `W^T g`; units whose `g` is zero are not read.
    fn backward(&self, g: ArrayView1<f64>) -> Array1<f64> {
        let mut sum = Array1::zeros(self.weights.ncols());
        for (row, &g) in self.weights.rows().into_iter().zip(g).filter(|(_, g)| **g != 0.0) {
            sum.scaled_add(g, &row);
        }
        sum
    }

    /// `(W m + b, |W| r, |W| (|m| + r) + |b|)`: where `z` lies when `a` lies within `r` of `m`, and the size of what was
    /// added up, for the rounding.
    fn reach(&self, middle: &Array1<f64>, radius: &Array1<f64>) -> [Array1<f64>; 3] {
        let most = middle.mapv(f64::abs) + radius;
        let (m, r, most) = (slice(middle), slice(radius), slice(&most));
        let [mut centre, mut reach, mut scale] = [(); 3].map(|()| self.bias.clone());
        for (k, row) in self.weights.rows().into_iter().enumerate() {
            let w = row.to_slice().expect("in order");
            // Several sums side by side, as wide as the processor adds.
            let mut sums = [[0.0; LANES]; 3];
            let chunks = w.chunks(LANES).zip(m.chunks(LANES)).zip(r.chunks(LANES)).zip(most.chunks(LANES));
            for (((w, m), r), most) in chunks {
                for (lane, (((w, m), r), most)) in w.iter().zip(m).zip(r).zip(most).enumerate() {
                    sums[0][lane] += w * m;
                    sums[1][lane] += w.abs() * r;
                    sums[2][lane] += w.abs() * most;
                }
            }
            let [c, s, t] = sums.map(|sums| sums.iter().sum::<f64>());
            centre[k] += c;
            reach[k] = s;
            scale[k] = t + scale[k].abs();
        }
        [centre, reach, scale]
    }
}

const LANES: usize = 8;

fn slice(a: &Array1<f64>) -> &[f64] {
    a.as_slice().expect("one after another")
}

impl DenseNetwork {
    /// From the layers' weights `[fan_in, units]` and biases `[units]`, in order. There is a ReLU between layers, and the
    /// last has one unit. Weights in column-major order are taken as they are, others are copied.
    ///
    /// # Errors
    ///
    /// When the sizes do not fit together, a number is not finite, or there is no layer.
    pub fn new(layers: Vec<(Array2<f64>, Array1<f64>)>) -> Result<Self, CertifyError> {
        let failed = |layer: usize, problem: &str| CertifyError::Layer { layer, problem: problem.into() };
        if layers.last().is_none_or(|(w, _)| w.ncols() != 1) {
            return Err(failed(layers.len(), "the last layer must have one unit"));
        }
        for (k, (w, b)) in layers.iter().enumerate() {
            if w.ncols() != b.len() {
                return Err(failed(k + 1, &format!("its units are {}, but its biases {}", w.ncols(), b.len())));
            }
            if k > 0 && layers[k - 1].0.ncols() != w.nrows() {
                return Err(failed(
                    k + 1,
                    &format!("its inputs are {}, but the units before it {}", w.nrows(), layers[k - 1].0.ncols()),
                ));
            }
            if !w.iter().chain(b).all(|v| v.is_finite()) {
                return Err(failed(k + 1, "a weight is not finite"));
            }
        }
        let layer = |(w, bias): (Array2<f64>, Array1<f64>)| {
            // A wide layer's weights fill memory: those that lie by units already are not copied.
            let weights = w.reversed_axes();
            let weights =
                if weights.is_standard_layout() { weights } else { weights.as_standard_layout().into_owned() };
            Layer { norm: weights.iter().map(|v| v * v).sum::<f64>().sqrt(), weights, bias }
        };
        Ok(Self { layers: layers.into_iter().map(layer).collect() })
    }

    /// Number of features `d`.
    pub fn features(&self) -> usize {
        self.layers[0].weights.ncols()
    }

    /// `f(x)` for `x: [d]`.
    pub fn value(&self, x: ArrayView1<f64>) -> f64 {
        self.value_from(self.layers[0].forward(x))
    }

    /// `f(x_i)` for the rows of `x: [n, d]`. The weights are read once for all; the memory is `n` numbers per unit.
    pub fn values(&self, x: ArrayView2<f64>) -> Array1<f64> {
        let layers = self.layers.iter().enumerate();
        let outputs = layers.fold(x.t().to_owned(), |a, (k, layer)| {
            let a = if k > 0 { a.mapv_into(|z| z.max(0.0)) } else { a };
            layer.weights.dot(&a) + layer.bias.view().insert_axis(Axis(1))
        });
        outputs.row(0).to_owned()
    }

    /// The output from the first layer's pre-activations.
    fn value_from(&self, first: Array1<f64>) -> f64 {
        let later = &self.layers[1..];
        later.iter().fold(first, |z, layer| layer.forward(z.mapv_into(|z| z.max(0.0)).view()))[0]
    }

    fn gradient(&self, x: ArrayView1<f64>) -> Array1<f64> {
        let (last, hidden) = self.layers.split_last().expect("checked");
        let mut a = x.to_owned();
        let mut open = Vec::with_capacity(hidden.len());
        for layer in hidden {
            let z = layer.forward(a.view());
            open.push(z.mapv(|z| if z > 0.0 { 1.0 } else { 0.0 }));
            a = z.mapv_into(|z| z.max(0.0));
        }
        let output = last.weights.row(0).to_owned();
        hidden.iter().zip(&open).rev().fold(output, |g, (layer, open)| layer.backward((g * open).view()))
    }

    /// Bounds of the pre-activations of every layer, the output included, over a region: interval propagation.
    /// `z` lies within `|W| r` of `W m + b` when `a` lies within `r` of `m`.
    fn intervals(&self, region: &Region) -> Vec<(Array1<f64>, Array1<f64>)> {
        let (mut middle, mut radius) = (region.middle.clone(), region.half.clone());
        let mut bounds = Vec::with_capacity(self.layers.len());
        for (k, layer) in self.layers.iter().enumerate() {
            let [z, mut reach, scale] = layer.reach(&middle, &radius);
            if let Some(ball) = region.ball.as_ref().filter(|_| k == 0) {
                // Of the ball around the middle, which the domain may have moved.
                let around = ball.radius + norm((&region.middle - &ball.centre).view());
                Zip::from(&mut reach).and(layer.weights.rows()).for_each(|r, w| *r = r.min(around * w.dot(&w).sqrt()));
            }
            let slack = 4.0 * (layer.weights.ncols() as f64 + 4.0) * EPS;
            Zip::from(&mut reach).and(&scale).for_each(|r, s| *r += slack * s);
            let (low, high) = (&z - &reach, &z + &reach);
            let (l, h) = (low.mapv(|z| z.max(0.0)), high.mapv(|z| z.max(0.0)));
            middle = (&l + &h) * 0.5;
            radius = (&h - &l) * (0.5 + EPS);
            bounds.push((low, high));
        }
        bounds
    }

    /// A linear lower bound of `sign * f` over a region, `<a, x> + c`, by going back through the layers (CROWN), and how
    /// much rounding may have added to it. A ReLU over `[l, h]` with `l < 0 < h` lies below its chord and above `0` or
    /// `z`, whichever is nearer.
    fn backward(&self, sign: f64, region: &Region) -> (Array1<f64>, f64, f64) {
        let bounds = self.intervals(region);
        let (last, hidden) = self.layers.split_last().expect("checked");
        let mut a = &last.weights.row(0) * sign;
        let mut c = sign * last.bias[0];
        let mut slack = c.abs();
        // Rounding, in units of `terms` eps/2. Slopes and constants of the ReLUs: |a| times the farther end. Products with
        // the weights, whose errors meet the layer's inputs: |a| |W| |input|, with the inputs' ends by intervals. What is
        // summed up in c is counted with them.
        let size = |k: usize| match k {
            0 => region.norm_range().1,
            k => norm(bounds[k - 1].1.mapv(|h| h.max(0.0)).view()),
        };
        for (k, layer) in hidden.iter().enumerate().rev() {
            let (low, high) = &bounds[k];
            Zip::from(&mut a).and(low).and(high).for_each(|a, &l, &h| {
                let most = l.abs().max(h.abs());
                slack += a.abs() * most;
                if h <= 0.0 {
                    *a = 0.0;
                } else if l < 0.0 {
                    if *a >= 0.0 {
                        *a *= if h > -l { 1.0 } else { 0.0 };
                    } else {
                        let slope = h / (h - l);
                        c -= *a * slope * l;
                        *a *= slope;
                    }
                }
            });
            slack += norm(a.view()) * layer.norm * size(k);
            c += a.dot(&layer.bias);
            slack += a.mapv(f64::abs).dot(&layer.bias.mapv(f64::abs));
            a = layer.backward(a.view());
        }
        // The sum with another network's coefficients.
        slack += norm(a.view()) * size(0);
        let terms: usize = self.layers.iter().map(|layer| layer.weights.nrows() + layer.weights.ncols()).sum();
        (a, c, 8.0 * (terms as f64 + 16.0) * EPS * slack)
    }
}

/// How a finite network is bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkMethod {
    /// Interval propagation.
    Interval,
    /// A linear lower bound found backward through the layers (CROWN). The two networks' linear bounds are added before
    /// they are minimised, so that what they share cancels.
    Crown,
}

/// A network with its initialisation: the centred function `f - f_0`.
///
/// ```
/// use ndarray::array;
/// use widenet_certify::{CentredNetwork, DenseNetwork, NetworkMethod, Norm, Threat};
///
/// // f = relu(x) - relu(-x) = x, and f_0 = 0.
/// let first = (array![[1.0, -1.0]], array![0.0, 0.0]);
/// let network = DenseNetwork::new(vec![first.clone(), (array![[1.0], [-1.0]], array![0.0])])?;
/// let initial = DenseNetwork::new(vec![first, (array![[0.0], [0.0]], array![0.0])])?;
/// let centred = CentredNetwork { network: &network, initial: &initial };
/// let radius = centred.certify(array![2.0].view(), Threat::new(Norm::Inf), NetworkMethod::Crown, 1e-4)?;
/// assert!(radius <= 2.0 && radius > 1.999);
/// # Ok::<(), widenet_certify::CertifyError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CentredNetwork<'a> {
    /// `f`.
    pub network: &'a DenseNetwork,
    /// `f_0`.
    pub initial: &'a DenseNetwork,
}

impl CentredNetwork<'_> {
    /// `f(x) - f_0(x)`.
    pub fn value(&self, x: ArrayView1<f64>) -> f64 {
        self.network.value(x) - self.initial.value(x)
    }

    /// The same for the rows of `x: [n, d]`, see [`DenseNetwork::values`].
    pub fn values(&self, x: ArrayView2<f64>) -> Array1<f64> {
        self.network.values(x) - self.initial.values(x)
    }

    fn gradient(&self, x: ArrayView1<f64>) -> Array1<f64> {
        self.network.gradient(x) - self.initial.gradient(x)
    }

    /// A lower bound of `sign (f - f_0)` over everything within a radius.
    pub fn lower_bound(
        &self,
        x: ArrayView1<f64>,
        sign: f64,
        radius: f64,
        threat: Threat,
        method: NetworkMethod,
    ) -> f64 {
        let region = Region::new(x, radius, threat);
        match method {
            NetworkMethod::Interval => {
                let (first, second) =
                    (signed_low(self.network, sign, &region), signed_low(self.initial, -sign, &region));
                first + second - 4.0 * EPS * (first.abs() + second.abs())
            }
            NetworkMethod::Crown => {
                let (a, c, slack) = self.network.backward(sign, &region);
                let (a0, c0, slack0) = self.initial.backward(-sign, &region);
                region.minimum((a + a0).view()) + c + c0 - slack - slack0
            }
        }
    }

    /// The largest radius, searched to a share `precision` of itself, within which the sign is shown not to change.
    ///
    /// # Errors
    ///
    /// When the sample does not fit, or its output is not finite.
    pub fn certify(
        &self,
        x: ArrayView1<f64>,
        threat: Threat,
        method: NetworkMethod,
        precision: f64,
    ) -> Result<f64, CertifyError> {
        let value = self.check(x, threat)?;
        let limit = 2.0 * norm(x) + 1.0;
        let mut search = Search { precision, low: 0.0, at_low: value.abs(), high: limit, at_high: None };
        let sign = value.signum();
        let slope = norm(self.gradient(x).view()) * (x.len() as f64).sqrt();
        let first = (0.2 * value.abs() / slope.max(f64::MIN_POSITIVE)).min(limit);
        search.run(first, 60, &|| true, &mut |radius| {
            let bound = self.lower_bound(x, sign, radius, threat, method);
            // What has left the range of numbers bounds nothing.
            if bound.is_finite() { bound } else { f64::NEG_INFINITY }
        });
        Ok(search.low)
    }

    /// The radius of the paper's published code: interval propagation of `f` alone in the l_inf norm, with `f_0` taken
    /// at the sample itself. It bounds `f - f_0(x)`, which is not the function that is trained.
    pub fn published(&self, x: ArrayView1<f64>, start: f64) -> f64 {
        let (value, fixed) = (self.value(x), self.initial.value(x));
        if value == 0.0 {
            return 0.0;
        }
        let sign = value.signum();
        published_search(start, |delta| {
            let region = Region::new(x, delta, Threat::new(Norm::Inf));
            signed_low(self.network, sign, &region) - sign * fixed
        })
    }

    /// The nearest input found with the other sign.
    ///
    /// # Errors
    ///
    /// When the sample does not fit, or its output is not finite.
    pub fn attack(
        &self,
        x: ArrayView1<f64>,
        threat: Threat,
        effort: AttackEffort,
        seed: u64,
    ) -> Result<Option<Adversary>, CertifyError> {
        let value = self.check(x, threat)?;
        let first = [self.network, self.initial].map(|network| network.layers[0].forward(x));
        let attacked = Attacked { centred: *self, first };
        let sign = value.signum();
        Ok(attack(&attacked, sign, x, threat, effort, 2.0 * norm(x) + 1.0, seed))
    }

    /// The centred output for a sample that fits.
    fn check(&self, x: ArrayView1<f64>, threat: Threat) -> Result<f64, CertifyError> {
        let expected = self.network.features();
        for found in [x.len(), self.initial.features()] {
            if found != expected {
                return Err(CertifyError::Features { found, expected });
            }
        }
        check_sample(x)?;
        threat.check(x)?;
        match self.value(x) {
            value if value.is_finite() => Ok(value),
            value => Err(CertifyError::NotFinite { what: "the output for a sample".into(), value }),
        }
    }
}

/// The lower end of `sign * f`.
fn signed_low(network: &DenseNetwork, sign: f64, region: &Region) -> f64 {
    let bounds = network.intervals(region);
    let (low, high) = bounds.last().expect("checked");
    if sign >= 0.0 { low[0] } else { -high[0] }
}

/// A centred network with the first layers' pre-activations at the input under attack: along a line from there they
/// are a linear function, so that only the later layers are computed point by point.
struct Attacked<'a> {
    centred: CentredNetwork<'a>,
    first: [Array1<f64>; 2],
}

impl Decision for Attacked<'_> {
    fn value(&self, x: ArrayView1<f64>) -> f64 {
        self.centred.value(x)
    }

    fn gradient(&self, x: ArrayView1<f64>) -> Array1<f64> {
        self.centred.gradient(x)
    }

    fn along<'a>(&'a self, v: ArrayView1<'a, f64>) -> Option<Box<dyn Fn(f64) -> f64 + 'a>> {
        let CentredNetwork { network, initial } = self.centred;
        let slopes = [network, initial].map(|network| network.layers[0].weights.dot(&v));
        Some(Box::new(move |r| {
            let value = |k: usize, network: &DenseNetwork| network.value_from(&self.first[k] + &(&slopes[k] * r));
            value(0, network) - value(1, initial)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact::Exact;
    use ndarray::array;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn network(widths: &[usize], random: &mut ChaCha8Rng) -> DenseNetwork {
        let layer = |pair: &[usize], random: &mut ChaCha8Rng| {
            let scale = 1.0 / (pair[0] as f64).sqrt();
            let weight = Array2::from_shape_fn((pair[0], pair[1]), |_| scale * random.random_range(-2.0..2.0));
            (weight, Array1::from_shape_fn(pair[1], |_| random.random_range(-0.3..0.3)))
        };
        DenseNetwork::new(widths.windows(2).map(|pair| layer(pair, random)).collect()).unwrap()
    }

    #[test]
    fn intervals_by_hand() {
        // Hidden: x + y and x - y at (1 +- 0.5, 0 +- 0.5): [0, 2] and [0, 2]; output 1*h1 - 2*h2 + 3 in [-1, 5].
        let network = DenseNetwork::new(vec![
            (array![[1.0, 1.0], [1.0, -1.0]], array![0.0, 0.0]),
            (array![[1.0], [-2.0]], array![3.0]),
        ])
        .unwrap();
        let region = Region::new(array![1.0, 0.0].view(), 0.5, Threat::new(Norm::Inf));
        let bounds = network.intervals(&region);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(bounds[0].0[0], 0.0) && close(bounds[0].1[1], 2.0));
        assert!(close(bounds[1].0[0], -1.0) && close(bounds[1].1[0], 5.0));
        // The linear bound knows that both share x: h1 - 2 h2 + 3 = -x + 3y + 3, least -1.5 - 1.5 + 3 = 0.
        let (a, c, slack) = network.backward(1.0, &region);
        let bound = region.minimum(a.view()) + c - slack;
        assert!(bound <= 0.0 && bound > -1e-9, "{bound}");
    }

    #[test]
    fn values_of_several_samples_are_those_of_each() {
        let mut random = ChaCha8Rng::seed_from_u64(9);
        let network = network(&[3, 7, 5, 1], &mut random);
        let x = Array2::from_shape_fn((6, 3), |_| random.random_range(-1.0..1.0));
        for (value, row) in network.values(x.view()).iter().zip(x.rows()) {
            assert!((value - network.value(row)).abs() < 1e-14);
        }
        // The same weights in the other order.
        let flip = |layer: &Layer| (layer.weights.t().as_standard_layout().into_owned(), layer.bias.clone());
        let flipped = DenseNetwork::new(network.layers.iter().map(flip).collect()).unwrap();
        assert_eq!(flipped, network);
        let as_is = |layer: &Layer| (layer.weights.clone().reversed_axes(), layer.bias.clone());
        assert_eq!(DenseNetwork::new(network.layers.iter().map(as_is).collect()).unwrap(), network);
    }

    #[test]
    fn no_bound_is_above_a_value() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        for trial in 0..400 {
            let d = 1 + trial % 5;
            let widths = if trial % 2 == 0 { vec![d, 8, 1] } else { vec![d, 8, 6, 1] };
            let (first, second) = (network(&widths, &mut random), network(&widths, &mut random));
            let centred = CentredNetwork { network: &first, initial: &second };
            let x = Array1::from_shape_fn(d, |_| random.random_range(-1.0..1.0));
            let sign = centred.value(x.view()).signum();
            let norm_kind = if trial % 3 == 0 { Norm::Two } else { Norm::Inf };
            let threat = Threat { norm: norm_kind, domain: (trial % 4 == 0).then_some((-1.0, 1.0)) };
            let radius = random.random_range(0.0..0.7);
            let bounds = [NetworkMethod::Interval, NetworkMethod::Crown]
                .map(|method| centred.lower_bound(x.view(), sign, radius, threat, method));
            for _ in 0..100 {
                let mut step = Array1::from_shape_fn(d, |_| random.random_range(-radius..=radius));
                if norm_kind == Norm::Two {
                    let length = norm(step.view());
                    step *= if length > radius { radius / length } else { 1.0 };
                }
                let mut at = &x + &step;
                if threat.domain.is_some() {
                    at.mapv_inplace(|v| v.clamp(-1.0, 1.0));
                }
                let value = sign * centred.value(at.view());
                assert!(bounds.iter().all(|&b| b <= value + 1e-12), "{trial}: {bounds:?} {value}");
            }
        }
    }

    /// Units that cancel to a millionth of their size, in regions from far below rounding up, against twice the digits.
    #[test]
    fn bounds_hold_where_rounding_decides() {
        let mut random = ChaCha8Rng::seed_from_u64(8);
        let exact_value = |network: &DenseNetwork, x: &Array1<f64>| {
            let layers = network.layers.iter().enumerate();
            let output = layers.fold(x.iter().map(|&v| Exact::from(v)).collect::<Vec<_>>(), |a, (k, layer)| {
                let open = |z: Exact| if k > 0 && z.to_f64() < 0.0 { Exact::from(0.0) } else { z };
                let a: Vec<Exact> = a.into_iter().map(open).collect();
                let unit = |(row, &bias): (ArrayView1<f64>, &f64)| {
                    row.iter().zip(&a).fold(Exact::from(bias), |sum, (&w, &a)| sum + Exact::from(w) * a)
                };
                layer.weights.rows().into_iter().zip(&layer.bias).map(unit).collect()
            });
            output[0]
        };
        let mut nearest = [f64::INFINITY; 2];
        for trial in 0..300 {
            let d = 1 + trial % 5;
            // Every hidden unit twice, nearly, with opposite weights after it; biases far larger than inputs.
            let first = Array2::from_shape_fn((d, 4), |_| random.random_range(-1.0..1.0));
            let bias = Array1::from_shape_fn(4, |_| random.random_range(-1e3..1e3));
            let twice = |a: &Array2<f64>| ndarray::concatenate![ndarray::Axis(1), *a, a * (1.0 + 1e-9)];
            let biases = ndarray::concatenate![ndarray::Axis(0), bias, &bias * (1.0 + 1e-9)];
            let last = Array2::from_shape_fn((4, 1), |_| random.random_range(-1e6..1e6));
            let last = ndarray::concatenate![ndarray::Axis(0), last, -&last];
            let network = DenseNetwork::new(vec![(twice(&first), biases), (last, array![0.5])]).unwrap();
            let initial = DenseNetwork::new(vec![(first, bias), (Array2::zeros((4, 1)), array![0.0])]).unwrap();
            let centred = CentredNetwork { network: &network, initial: &initial };
            let x = Array1::from_shape_fn(d, |_| random.random_range(-1.0..1.0));
            let sign = centred.value(x.view()).signum();
            let radius = 10f64.powf(random.random_range(-20.0..-3.0));
            let bounds = [NetworkMethod::Interval, NetworkMethod::Crown]
                .map(|method| centred.lower_bound(x.view(), sign, radius, Threat::new(Norm::Inf), method));
            for _ in 0..5 {
                // Rounding at most doubles a step.
                let at = &x + &Array1::from_shape_fn(d, |_| 0.5 * radius * random.random_range(-1.0..1.0));
                let exact = Exact::from(sign) * (exact_value(&network, &at) - exact_value(&initial, &at));
                for (bound, nearest) in bounds.iter().zip(&mut nearest) {
                    let gap = (exact - Exact::from(*bound)).to_f64();
                    assert!(gap >= 0.0, "{trial}: {bounds:?} {gap:e} {radius:e}");
                    // In units of what is added up.
                    *nearest = nearest.min(gap / 1e9);
                }
            }
        }
        assert!(nearest.iter().all(|&gap| gap < 1e-12), "{nearest:?}");
    }

    #[test]
    fn certificates_stay_below_attacks() {
        let mut random = ChaCha8Rng::seed_from_u64(6);
        for _ in 0..30 {
            let (first, second) = (network(&[4, 16, 1], &mut random), network(&[4, 16, 1], &mut random));
            let centred = CentredNetwork { network: &first, initial: &second };
            let x = Array1::from_shape_fn(4, |_| random.random_range(-1.0..1.0));
            let threat = Threat::new(Norm::Inf);
            let attack = centred.attack(x.view(), threat, AttackEffort::default(), 0).unwrap();
            let attack = attack.map_or(f64::INFINITY, |found| found.radius);
            let [interval, crown] = [NetworkMethod::Interval, NetworkMethod::Crown]
                .map(|method| centred.certify(x.view(), threat, method, 1e-3).unwrap());
            assert!(interval > 0.0 && interval <= 1.01 * crown && crown <= attack, "{interval} {crown} {attack}");
        }
    }

    /// Interval propagation is vacuous for wide networks: its radius falls like 1/sqrt(m) (the paper's appendix H.2),
    /// while the function converges. A two-layer network in NTK parameterisation, trained a little on two points.
    #[test]
    fn intervals_fall_with_the_root_of_the_width() {
        let d = 10;
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let inputs = Array2::from_shape_fn((2, d), |_| random.random_range(0.2..1.0));
        let labels = array![1.0, -1.0];
        let mut gaussian = move || {
            let (u, v): (f64, f64) = (random.random_range(1e-12..1.0), random.random_range(0.0..1.0));
            (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
        };
        let widths = [256usize, 1024, 4096, 16384];
        let radii = widths.map(|m| {
            let start = (Array2::from_shape_fn((d, m), |_| gaussian()), Array1::from_shape_fn(m, |_| gaussian()));
            let (mut w, mut v) = start.clone();
            let (inner, outer) = (1.0 / (d as f64).sqrt(), 1.0 / (m as f64).sqrt());
            let build = |w: &Array2<f64>, v: &Array1<f64>| {
                let last = (v * outer).insert_axis(ndarray::Axis(1));
                DenseNetwork::new(vec![(w * inner, Array1::zeros(m)), (last, Array1::zeros(1))]).unwrap()
            };
            let initial = build(&start.0, &start.1);
            for _ in 0..100 {
                let network = build(&w, &v);
                for (x, y) in inputs.rows().into_iter().zip(&labels) {
                    let miss = network.value(x) - initial.value(x) - y;
                    let z = x.dot(&w) * inner;
                    let gate = Zip::from(&z).and(&v).map_collect(|&z, &v| if z > 0.0 { v } else { 0.0 });
                    v.scaled_add(-miss * outer, &z.mapv(|z| z.max(0.0)));
                    for (j, mut row) in w.rows_mut().into_iter().enumerate() {
                        row.scaled_add(-miss * outer * inner * x[j], &gate);
                    }
                }
            }
            let trained = build(&w, &v);
            let centred = CentredNetwork { network: &trained, initial: &initial };
            let x = inputs.row(0);
            assert!((centred.value(x) - 1.0).abs() < 0.3);
            centred.certify(x, Threat::new(Norm::Inf), NetworkMethod::Interval, 1e-3).unwrap()
        });
        let slope = (radii[3] / radii[0]).ln() / (widths[3] as f64 / widths[0] as f64).ln();
        assert!((slope + 0.5).abs() < 0.1, "{slope} {radii:?}");
    }

    #[test]
    fn layers_that_do_not_fit_are_refused() {
        let error = DenseNetwork::new(vec![
            (Array2::zeros((2, 3)), Array1::zeros(3)),
            (Array2::zeros((4, 1)), Array1::zeros(1)),
        ]);
        assert_eq!(
            error.unwrap_err().to_string(),
            "layer 2 of the network: its inputs are 4, but the units before it 3"
        );
        assert!(DenseNetwork::new(vec![]).is_err());
    }
}
