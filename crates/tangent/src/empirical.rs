//! The empirical tangent kernel of a finite network.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use widenet_model::{Network, to_host};

use crate::error::{KernelError, check_samples};
use crate::features::TangentFeatures;
use crate::kernel::Kernel;

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
/// Gram matrix of its per-sample weight derivatives. All `G` of a batch come from one backward pass per output.
///
/// Cost for `n` samples and a dense layer `[p, q]`: `O(n p q + n^2 (p + q))` operations and `O(n (p + q))` numbers;
/// for a convolution with `P` positions and `k` weights `O(n P k + n^2 k)` and `O(n k)`.
#[derive(Clone, Debug)]
pub struct EmpiricalKernel {
    network: Network,
    kind: EmpiricalKind,
    tile: usize,
}

/// Samples whose features are held at once, unless [`EmpiricalKernel::with_tile`] says otherwise.
const TILE: usize = 512;

impl EmpiricalKernel {
    /// The tangent kernel of a network at its present weights.
    pub fn new(network: &Network) -> Self {
        Self::of_kind(network, EmpiricalKind::Tangent)
    }

    /// A kernel of the given kind.
    pub fn of_kind(network: &Network, kind: EmpiricalKind) -> Self {
        Self { network: network.clone(), kind, tile: TILE }
    }

    /// Holds the features of at most `2 tile` samples at a time.
    pub fn with_tile(self, tile: usize) -> Self {
        Self { tile: tile.max(1), ..self }
    }

    /// Every block `<grad f_o(a_i), grad f_p(b_j)>` of a network with `O` outputs, `[n_a O, n_b O]`: row `i O + o`,
    /// column `j O + p`.
    ///
    /// # Errors
    ///
    /// As for [`Kernel::gram`].
    pub fn gram_outputs(&self, a: ArrayView2<f64>, b: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
        let outputs = self.network.architecture().output_size();
        let (left, right) = (self.features(a)?, self.features(b)?);
        let mut full = Array2::zeros((a.nrows() * outputs, b.nrows() * outputs));
        for o in 0..outputs {
            for p in 0..outputs {
                let block = to_host(left.gram(o, &right, p))?;
                full.slice_mut(s![o..;outputs, p..;outputs]).assign(&block);
            }
        }
        Ok(full)
    }

    /// All samples before the first tile: errors name rows of the whole, and nothing is computed in vain.
    fn check(&self, samples: &ArrayView2<f64>) -> Result<(), KernelError> {
        check_samples(samples, self.network.architecture().input().size())
    }

    fn features(&self, samples: ArrayView2<f64>) -> Result<TangentFeatures, KernelError> {
        TangentFeatures::of(&self.network, samples)
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
}

impl Kernel for EmpiricalKernel {
    fn gram(&self, a: ArrayView2<f64>, b: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
        self.check(&a)?;
        self.check(&b)?;
        let mut gram = Array2::zeros((a.nrows(), b.nrows()));
        for (i, rows) in a.axis_chunks_iter(Axis(0), self.tile).enumerate() {
            let left = self.features(rows)?;
            for (j, columns) in b.axis_chunks_iter(Axis(0), self.tile).enumerate() {
                let tile = self.tile_gram(&left, &self.features(columns)?)?;
                let (row, column) = (i * self.tile, j * self.tile);
                gram.slice_mut(s![row..row + tile.nrows(), column..column + tile.ncols()]).assign(&tile);
            }
        }
        Ok(gram)
    }

    fn gram_symmetric(&self, a: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
        self.check(&a)?;
        let n = a.nrows();
        let mut gram = Array2::zeros((n, n));
        for (i, rows) in a.axis_chunks_iter(Axis(0), self.tile).enumerate() {
            let left = self.features(rows)?;
            for (j, columns) in a.axis_chunks_iter(Axis(0), self.tile).enumerate().take(i + 1) {
                let tile = if i == j {
                    self.tile_gram(&left, &left)?
                } else {
                    self.tile_gram(&left, &self.features(columns)?)?
                };
                let (row, column) = (i * self.tile, j * self.tile);
                gram.slice_mut(s![row..row + tile.nrows(), column..column + tile.ncols()]).assign(&tile);
            }
        }
        // The lower triangle is the matrix: exactly symmetric whatever the order of the sums was.
        for i in 0..n {
            for j in 0..i {
                gram[[j, i]] = gram[[i, j]];
            }
        }
        Ok(gram)
    }

    fn diagonal(&self, a: ArrayView2<f64>) -> Result<Array1<f64>, KernelError> {
        self.check(&a)?;
        let outputs = self.network.architecture().output_size();
        let mut diagonal = Array1::zeros(a.nrows());
        for (i, rows) in a.axis_chunks_iter(Axis(0), self.tile).enumerate() {
            let features = self.features(rows)?;
            let mut part = diagonal.slice_mut(s![i * self.tile..i * self.tile + rows.nrows()]);
            if self.kind == EmpiricalKind::LastLayer {
                part += &to_host(features.diagonal_last_layer())?.column(0);
                continue;
            }
            for o in 0..outputs {
                part += &(to_host(features.diagonal(o))?.column(0).mapv(|value| value / outputs as f64));
            }
        }
        Ok(diagonal)
    }
}
