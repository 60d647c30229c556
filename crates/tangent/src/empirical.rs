//! The empirical tangent kernel of a finite network.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, s};
use widenet_model::host::{HostNetwork, Real};
use widenet_model::{Architecture, Network, Precision, is_host, to_host};

use crate::blocks;
use crate::contraction::{Contraction, LayerPlan, Method, plan};
use crate::error::{KernelError, check_diagonal, check_samples, check_values};
use crate::features::{TangentFeatures, numbers_per_sample, on_host_by_layers};
use crate::host::HostFeatures;
use crate::kernel::Kernel;
use crate::mirror::{mirror, transpose};

/// Which kernel of a finite network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum EmpiricalKind {
    /// `<grad_w f(w, x), grad_w f(w, x')>` over all parameters.
    #[default]
    Tangent,
    /// The last layer's parameters alone: what the network is when only its output layer is trained.
    LastLayer,
}

/// The empirical kernel of a network at its present weights (Definition 2.1 of the paper):
/// `K(x, x') = <grad_w f(w, x), grad_w f(w, x')>`.
///
/// For a network with several outputs, [`Kernel`]'s matrices are the mean over outputs of `K[o, o]`, which tends to
/// the limit kernel as the width grows; [`EmpiricalKernel::gram_outputs`] gives every block.
///
/// It is computed layer by layer. With the layer's inputs `A: [n, fan_in]` and the derivatives of the output with
/// respect to its pre-activations `G: [n, units]`, a dense layer contributes
/// `sigma_w^2 / fan_in (A A'^T) o (G G'^T)`, two matrix products and no Jacobian. A convolution contributes the
/// Gram matrix of its per-sample weight derivatives, or the same sum over pairs of positions where that is cheaper; see
/// [`Method`] and [`EmpiricalKernel::plan`]. All `G` of a batch come from one backward pass per output.
///
/// Cost for `n` samples and a dense layer `[p, q]`: `O(n p q + n^2 (p + q))` operations and `O(n (p + q))` numbers;
/// for a convolution with `P` positions and `k` weights `O(n P k + n^2 k)` and `O(n k)`.
#[derive(Clone, Debug)]
pub struct EmpiricalKernel {
    network: Network,
    kind: EmpiricalKind,
    plan: Vec<LayerPlan>,
    tile: usize,
    /// The network's weights as the host reads them, once they are asked for.
    weights: Arc<OnceLock<Weights>>,
}

/// See [`EmpiricalKernel`]'s `weights`.
#[derive(Debug)]
enum Weights {
    F32(HostNetwork<f32>),
    F64(HostNetwork<f64>),
}

/// Bytes that features may take, unless [`EmpiricalKernel::with_memory`] says otherwise.
const MEMORY: u64 = 2 << 30;

/// Rows of the Gram matrix computed at a time: bounds the intermediate matrices, and skips most of what lies above
/// the diagonal of a symmetric one.
const BLOCK: usize = 128;

/// Rows and columns of a block on the host, where each goes to one core: at most what its caches hold,
const HOST_BLOCK: usize = 256;

/// and at least what is worth a block.
const LEAST_HOST_BLOCK: usize = 64;

impl EmpiricalKernel {
    /// The tangent kernel of a network at its present weights.
    pub fn new(network: &Network) -> Self {
        Self::of_kind(network, EmpiricalKind::Tangent)
    }

    /// A kernel of the given kind.
    pub fn of_kind(network: &Network, kind: EmpiricalKind) -> Self {
        let (plan, weights) = (plan(network.architecture(), Method::Auto), Arc::default());
        Self { network: network.clone(), kind, plan, tile: 0, weights }.with_default_tile()
    }

    /// Computes it by this method.
    pub fn with_method(self, method: Method) -> Self {
        Self { plan: plan(self.network.architecture(), method), ..self }.with_default_tile()
    }

    fn with_default_tile(self) -> Self {
        let tile = MEMORY / (2 * self.sample_bytes());
        self.with_tile(tile as usize)
    }

    /// How `method` computes each layer's part for networks of an architecture.
    pub fn plan_of(architecture: &Architecture, method: Method) -> Vec<LayerPlan> {
        plan(architecture, method)
    }

    /// How each layer's part is computed.
    pub fn plan(&self) -> &[LayerPlan] {
        &self.plan
    }

    /// Bytes that one sample's features and their computation take.
    pub fn sample_bytes(&self) -> u64 {
        (numbers_per_sample(&self.network, &self.plan) as u64).saturating_mul(self.network.precision().bytes()).max(1)
    }

    /// Holds features in about `bytes` of memory, beside the matrix itself and a copy of the weights. Samples then go
    /// through in tiles, and the features of a tile are computed again for every tile they meet.
    ///
    /// # Errors
    ///
    /// When `bytes` are too few for two samples.
    pub fn with_memory(self, bytes: u64) -> Result<Self, KernelError> {
        let needed = 2 * self.sample_bytes();
        match bytes / needed {
            0 => Err(KernelError::Memory { bytes, needed }),
            tile => Ok(self.with_tile(tile as usize)),
        }
    }

    /// Holds the features of at most `2 tile` samples at a time.
    pub fn with_tile(self, tile: usize) -> Self {
        Self { tile: tile.max(1), ..self }
    }

    /// Samples whose features are held at once, twice.
    pub fn tile(&self) -> usize {
        self.tile
    }

    /// Every block `<grad f_o(a_i), grad f_p(b_j)>` of a network with `O` outputs, `[n_a O, n_b O]`: row `i O + o`,
    /// column `j O + p`.
    ///
    /// # Errors
    ///
    /// As for [`Kernel::gram`].
    pub fn gram_outputs(&self, a: ArrayView2<f64>, b: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
        let outputs = self.network.architecture().output_size();
        let (left, right) = (self.tensors(a)?, self.tensors(b)?);
        let mut full = Array2::zeros((a.nrows() * outputs, b.nrows() * outputs));
        for o in 0..outputs {
            for p in 0..outputs {
                let block = to_host(left.gram(o, &right, p))?;
                check_values(&block.view())?;
                full.slice_mut(s![o..;outputs, p..;outputs]).assign(&block);
            }
        }
        Ok(full)
    }

    /// All samples before the first tile: errors name rows of the whole, and nothing is computed in vain.
    fn check(&self, samples: &ArrayView2<f64>) -> Result<(), KernelError> {
        check_samples(samples, self.network.architecture().input().size())
    }

    /// Features as tensors.
    fn tensors(&self, samples: ArrayView2<f64>) -> Result<TangentFeatures, KernelError> {
        TangentFeatures::by(&self.plan, &self.network, samples)
    }

    /// Features in the form in which their Gram matrix is computed.
    fn features(&self, samples: ArrayView2<f64>) -> Result<Features, KernelError> {
        // Sums over pairs of positions are left to tensors.
        let pairs = |layer: &LayerPlan| layer.contraction == Contraction::Factors && layer.positions > 1;
        if !is_host(&self.network.device()) || self.plan.iter().any(pairs) {
            return Ok(Features::Tensors(self.tensors(samples)?));
        }
        if on_host_by_layers(&self.network, samples.nrows()) {
            let weights = self.weights.get_or_init(|| match self.network.precision() {
                Precision::F32 => Weights::F32(HostNetwork::new(&self.network)),
                Precision::F64 => Weights::F64(HostNetwork::new(&self.network)),
            });
            return Ok(match weights {
                Weights::F32(network) => Features::F32(self.host_features(network, samples)),
                Weights::F64(network) => Features::F64(self.host_features(network, samples)),
            });
        }
        let (tensors, last_only) = (self.tensors(samples)?, self.kind == EmpiricalKind::LastLayer);
        Ok(match self.network.precision() {
            Precision::F32 => Features::F32(HostFeatures::read(&tensors, last_only)?),
            Precision::F64 => Features::F64(HostFeatures::read(&tensors, last_only)?),
        })
    }

    fn host_features<T: Real>(&self, network: &HostNetwork<T>, samples: ArrayView2<f64>) -> HostFeatures<T> {
        let features = HostFeatures::of(&self.plan, network, samples);
        if self.kind == EmpiricalKind::LastLayer { features.last_layer() } else { features }
    }

    fn tile_gram(&self, left: &TangentFeatures, right: &TangentFeatures) -> Result<Array2<f64>, KernelError> {
        if self.kind == EmpiricalKind::LastLayer {
            return Ok(to_host(left.gram_last_layer(right))?);
        }
        let outputs = self.network.architecture().output_size();
        let sum = (0..outputs).map(|o| left.gram(o, right, o)).reduce(|sum, term| sum + term);
        let sum = sum.expect("a network has an output");
        Ok(to_host(if outputs == 1 { sum } else { sum / outputs as f64 })?)
    }

    /// Writes the matrix of two tiles' features into `out`, block by block.
    fn write(&self, left: &Features, right: &Features, out: ArrayViewMut2<f64>) -> Result<(), KernelError> {
        match (left, right) {
            (Features::Tensors(left), Features::Tensors(right)) => self.write_by_tensors(left, Some(right), out)?,
            (Features::F32(left), Features::F32(right)) => self.write_on_host(left, right, out),
            (Features::F64(left), Features::F64(right)) => self.write_on_host(left, right, out),
            _ => unreachable!("one kernel has features of one form"),
        }
        Ok(())
    }

    /// Writes the matrix of a tile's features with themselves: exactly symmetric whatever the order of the sums was.
    fn write_symmetric(&self, tile: &Features, mut out: ArrayViewMut2<f64>) -> Result<(), KernelError> {
        match tile {
            Features::Tensors(tile) => {
                self.write_by_tensors(tile, None, out.view_mut())?;
                mirror(out);
            }
            Features::F32(tile) => self.write_symmetric_on_host(tile, out),
            Features::F64(tile) => self.write_symmetric_on_host(tile, out),
        }
        Ok(())
    }

    fn write_on_host<T: Real>(&self, left: &HostFeatures<T>, right: &HostFeatures<T>, out: ArrayViewMut2<f64>) {
        let scale = self.scale();
        match host_block(out.nrows().max(out.ncols())) {
            Some(side) => blocks::rectangle(out, side, &|[i, j], block| {
                let (height, width) = block.dim();
                left.gram_block(i..i + height, right, j..j + width, scale, block.view_mut());
            }),
            None => left.gram(right, scale, out),
        }
    }

    fn write_symmetric_on_host<T: Real>(&self, tile: &HostFeatures<T>, mut out: ArrayViewMut2<f64>) {
        let scale = self.scale();
        match host_block(out.nrows()) {
            Some(side) => blocks::symmetric(out, side, &|[i, j], block| {
                let (height, width) = block.dim();
                tile.gram_block(i..i + height, tile, j..j + width, scale, block.view_mut());
            }),
            None => {
                tile.gram_lower(scale, out.view_mut());
                mirror(out);
            }
        }
    }

    /// The mean over outputs; the last layer's kernel is the same for each.
    fn scale(&self) -> f64 {
        1.0 / self.network.architecture().output_size() as f64
    }

    /// Without `right`, what is on or below the diagonal of the matrix of a tile with itself.
    fn write_by_tensors(
        &self,
        left: &TangentFeatures,
        right: Option<&TangentFeatures>,
        mut out: ArrayViewMut2<f64>,
    ) -> Result<(), KernelError> {
        for block in ranges(out.nrows(), BLOCK) {
            let rows = left.rows(block.clone());
            let values = match right {
                Some(right) => self.tile_gram(&rows, right)?,
                None => self.tile_gram(&rows, &left.rows(0..block.end))?,
            };
            out.slice_mut(s![block, ..values.ncols()]).assign(&values);
        }
        Ok(())
    }
}

/// Features of a tile of samples.
enum Features {
    Tensors(TangentFeatures),
    F32(HostFeatures<f32>),
    F64(HostFeatures<f64>),
}

/// The side of the blocks in which the host fills a matrix. `None`: it has too few rows and columns for blocks, and the
/// cores share each product.
fn host_block(longest: usize) -> Option<usize> {
    let side = || (longest / 8).clamp(LEAST_HOST_BLOCK, HOST_BLOCK);
    (longest >= 4 * LEAST_HOST_BLOCK).then(side)
}

/// The ranges of at most `size` of `n` rows.
fn ranges(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |start| start..(start + size).min(n))
}

impl Kernel for EmpiricalKernel {
    fn gram(&self, a: ArrayView2<f64>, b: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
        self.check(&a)?;
        self.check(&b)?;
        let mut gram = Array2::zeros((a.nrows(), b.nrows()));
        for rows in ranges(a.nrows(), self.tile) {
            let left = self.features(a.slice(s![rows.clone(), ..]))?;
            for columns in ranges(b.nrows(), self.tile) {
                let right = self.features(b.slice(s![columns.clone(), ..]))?;
                self.write(&left, &right, gram.slice_mut(s![rows.clone(), columns]))?;
            }
        }
        check_values(&gram.view())?;
        Ok(gram)
    }

    fn gram_symmetric(&self, a: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
        self.check(&a)?;
        let n = a.nrows();
        let mut gram = Array2::zeros((n, n));
        for rows in ranges(n, self.tile) {
            let left = self.features(a.slice(s![rows.clone(), ..]))?;
            self.write_symmetric(&left, gram.slice_mut(s![rows.clone(), rows.clone()]))?;
            for columns in ranges(rows.start, self.tile) {
                let right = self.features(a.slice(s![columns.clone(), ..]))?;
                let below = s![rows.clone(), columns.clone()];
                let (mut below, above) = gram.multi_slice_mut((below, s![columns, rows.clone()]));
                self.write(&left, &right, below.view_mut())?;
                transpose(below.view(), above);
            }
        }
        check_values(&gram.view())?;
        Ok(gram)
    }

    fn diagonal(&self, a: ArrayView2<f64>) -> Result<Array1<f64>, KernelError> {
        self.check(&a)?;
        let outputs = self.network.architecture().output_size();
        let mut diagonal = Array1::zeros(a.nrows());
        for rows in ranges(a.nrows(), self.tile) {
            let features = self.tensors(a.slice(s![rows.clone(), ..]))?;
            let mut part = diagonal.slice_mut(s![rows]);
            if self.kind == EmpiricalKind::LastLayer {
                part += &to_host(features.diagonal_last_layer())?.column(0);
                continue;
            }
            for o in 0..outputs {
                part += &(to_host(features.diagonal(o))?.column(0).mapv(|value| value / outputs as f64));
            }
        }
        check_diagonal(diagonal.iter().copied())?;
        Ok(diagonal)
    }
}
