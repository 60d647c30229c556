//! Infinite-width kernels.

mod dense;
mod expectation;
mod image;
mod marginals;
mod mixture;
mod near;
mod pool;
mod program;
mod series;
mod smooth;

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, CowArray, Ix2};
use rayon::prelude::*;
use widenet_model::Architecture;

use self::expectation::near;
use self::image::Image;
use self::marginals::{Cross, Own, Slots};
use self::near::Near;
use self::program::Program;
use crate::blocks;
use crate::error::{KernelError, check_diagonal, check_samples};
use crate::kernel::Kernel;
use crate::product::product_of_rows;
use widenet_model::host::Real;

/// Which kernel of the infinitely wide network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitKind {
    /// The neural tangent kernel `<grad_w f(x), grad_w f(x')>`, the kernel of a network trained by gradient descent
    /// (Jacot, Gabriel and Hongler 2018).
    Ntk,
    /// The covariance `E[f(x) f(x')]` over random weights: the kernel of the Gaussian process that the untrained
    /// network is (Lee et al. 2018), and of a network of which only the last layer is trained.
    Nngp,
}

/// The kernel that a network's random features or tangent features become at infinite width.
///
/// It is built from the same [`Architecture`] as the finite network. Layer by layer, the covariance `S(x, x')` and the
/// tangent kernel `T(x, x')` follow a deterministic recursion (Jacot et al. 2018, Theorem 1):
///
/// - input: `S = <x, x'> / d`, `T = 0`;
/// - dense: `S <- sigma_w^2 S + sigma_b^2`, then `T <- S + sigma_w^2 T`;
/// - activation: `S <- E[phi(a) phi(b)]`, `T <- T E[phi'(a) phi'(b)]` over a centred Gaussian pair `(a, b)` with the
///   covariances `S(x, x)`, `S(x, x')`, `S(x', x')`. In closed form for ReLU, leaky ReLU and ABReLU (Cho and Saul
///   2009), erf (Williams 1997), GELU, sine and the identity; by quadrature for tanh and SiLU;
/// - convolution and pooling: means of `S` and `T` over pairs of positions, zero padding counting as zeros;
/// - residual: `S` and `T` of the two branches add.
///
/// The NTK is `T` and the NNGP kernel `S` after the last layer. The outputs of a network with several of them are
/// independent in the limit and share this one kernel.
///
/// # Cost
///
/// Dense networks: one matrix product `O(n_a n_b d)` and one pass over its entries, whatever the depth. Image networks:
/// per pair of samples with `P` positions, `O(P)` for networks that end in flatten and `O(P^2)` with global average
/// pooling. `gram_symmetric` computes every pair once. All of it runs on all cores.
///
/// Beside the Gram matrix, every activation holds at most two numbers per sample (image networks: per sample and
/// position), but about 500 for tanh and SiLU.
///
/// # Precision
///
/// Errors are relative to `sqrt(K(x, x) K(x', x'))`, per activation on the way. ReLU family: `1e-14`, at every angle,
/// since the angle of nearly parallel inputs is carried beside the covariance. Other activations: `1e-12` for one layer and
/// `1e-10` for four, at variances from `1e-6` to `1e6`. Images: the same; behind average pooling, and for single positions of images that are not
/// nearly parallel as a whole, the angle is that of the covariance, so that the tangent kernel of the ReLU family is
/// right to `1e-7`, and that of the others to `1e-16` times the variance. Matrices are symmetric bit by bit, and `gram(a,
/// b)` is the transpose of `gram(b, a)`.
///
/// ```
/// use ndarray::array;
/// use widenet_model::{ArchitectureConfig, Shape};
/// use widenet_tangent::{Kernel, LimitKernel, LimitKind};
///
/// // One hidden ReLU layer, on samples with two features.
/// let config: ArchitectureConfig = toml_edit::de::from_str("mlp = { hidden = [64] }")?;
/// let kernel = LimitKernel::new(&config.build(Shape::Flat(2))?, LimitKind::Ntk)?;
/// let gram = kernel.gram_symmetric(array![[1.0, 0.0], [0.0, 1.0]].view())?;
///
/// // |x||x'| / (2 pi d) h(u) with h(u) = 2 u (pi - arccos u) + sqrt(1 - u^2): h(1) = 2 pi and h(0) = 1.
/// assert!((gram[[0, 0]] - 0.5).abs() < 1e-15);
/// assert!((gram[[0, 1]] - 1.0 / (4.0 * std::f64::consts::PI)).abs() < 1e-15);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct LimitKernel {
    kind: LimitKind,
    program: Program,
}

/// Rows and columns of a block that a core fills, of pairs of vectors and of images.
const DENSE_BLOCK: usize = 240;
const IMAGE_BLOCK: usize = 8;

/// Entries that go through all layers together; they fit the nearest cache.
const RUN: usize = 256;

impl LimitKernel {
    /// The kernel of an architecture at infinite width.
    ///
    /// # Errors
    ///
    /// [`KernelError::Unsupported`], with the layer's name, when an architecture has no limit in this form: it holds
    /// max pooling, an activation of something that does not become Gaussian, or a residual sum of correlated branches.
    pub fn new(architecture: &Architecture, kind: LimitKind) -> Result<Self, KernelError> {
        Ok(Self { kind, program: Program::new(architecture)? })
    }

    /// Which kernel it is.
    pub fn kind(&self) -> LimitKind {
        self.kind
    }

    /// [`Kernel::gram`] in single precision, for half the memory and time. Entries are correct to about `1e-6` of the
    /// diagonal, and to about `1e-3` for inputs that are nearly parallel.
    ///
    /// # Errors
    ///
    /// As for [`Kernel::gram`].
    pub fn gram_f32(&self, a: ArrayView2<f32>, b: ArrayView2<f32>) -> Result<Array2<f32>, KernelError> {
        self.check(&a.mapv(f64::from).view())?;
        self.check(&b.mapv(f64::from).view())?;
        self.cross(a, b)
    }

    /// [`Kernel::gram_symmetric`] in single precision; see [`LimitKernel::gram_f32`].
    ///
    /// # Errors
    ///
    /// As for [`Kernel::gram`].
    pub fn gram_symmetric_f32(&self, a: ArrayView2<f32>) -> Result<Array2<f32>, KernelError> {
        self.check(&a.mapv(f64::from).view())?;
        self.symmetric(a)
    }

    fn check(&self, samples: &ArrayView2<f64>) -> Result<(), KernelError> {
        check_samples(samples, self.program.channels * self.program.extent[0] * self.program.extent[1])
    }

    fn cross<T: Real>(&self, a: ArrayView2<T>, b: ArrayView2<T>) -> Result<Array2<T>, KernelError> {
        let mut gram = Array2::zeros((a.nrows(), b.nrows()));
        if gram.is_empty() {
            return Ok(gram);
        }
        let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
        let (left, right) = (Samples::new(self, &a)?, Samples::new(self, &b)?);
        let side = self.side(a.nrows().max(b.nrows()));
        blocks::rectangle(gram.view_mut(), side, &|corner, block| {
            self.fill(&left, &right, corner, block, |_| usize::MAX)
        });
        Ok(gram)
    }

    fn symmetric<T: Real>(&self, a: ArrayView2<T>) -> Result<Array2<T>, KernelError> {
        let mut gram = Array2::zeros((a.nrows(), a.nrows()));
        if gram.is_empty() {
            return Ok(gram);
        }
        let a = a.as_standard_layout();
        let samples = Samples::new(self, &a)?;
        blocks::symmetric(gram.view_mut(), self.side(a.nrows()), &|corner, block| {
            self.fill(&samples, &samples, corner, block, |i| i);
        });
        gram.diag_mut().assign(&ArrayView1::from(&samples.diagonal));
        Ok(gram)
    }

    /// Rows and columns of a block: what fits the nearer caches, and enough blocks for every core. Pairs of vectors are
    /// cheap, pairs of images are not.
    fn side(&self, samples: usize) -> usize {
        if self.program.image.is_empty() { samples.div_ceil(16).clamp(48, DENSE_BLOCK) } else { IMAGE_BLOCK }
    }

    /// A block, in row `i` the columns before `end(i)` of the whole matrix.
    fn fill<T: Real>(
        &self,
        left: &Samples<T>,
        right: &Samples<T>,
        [i0, j0]: [usize; 2],
        block: &mut Array2<T>,
        end: impl Fn(usize) -> usize,
    ) {
        let (rows, columns) = block.dim();
        let entries = block.as_slice_mut().expect("row-major");
        if self.program.image.is_empty() {
            let (a, b) = (left.rows(i0, rows), right.rows(j0, columns));
            let channels = self.program.channels;
            product_of_rows(T::of(1.0 / channels as f64), a, b, channels, entries);
        }
        for (i, row) in (i0..).zip(entries.chunks_mut(columns)) {
            let count = end(i).saturating_sub(j0).min(columns);
            self.fill_row(left, i, right, j0, &mut row[..count]);
        }
    }

    /// The kernel of sample `i` on the left with those from `start` on, on the right. For vectors, `row` holds
    /// `<x, x'> / d`.
    fn fill_row<T: Real>(&self, left: &Samples<T>, i: usize, right: &Samples<T>, start: usize, row: &mut [T]) {
        let broadcast = left.broadcast(i, RUN.min(row.len()));
        let mut arguments = Cross { left: &broadcast, right: &right.slots };
        for (run, s) in row.chunks_mut(RUN).enumerate() {
            let start = start + run * RUN;
            let mut buffer = [T::zero(); RUN];
            let t = &mut buffer[..s.len()];
            if let Some(image) = left.images.get(i) {
                for (image_right, (s, t)) in right.images[start..].iter().zip(s.iter_mut().zip(t.iter_mut())) {
                    (*s, *t) = image.pair(image_right, &self.program);
                }
            }
            let mut gaps = [T::one(); RUN];
            let gaps = &mut gaps[..s.len()];
            dense::advance(&self.program.dense, &mut arguments, start, s, t, gaps);
            if left.images.is_empty() {
                for (lane, _) in gaps.iter().enumerate().filter(|(_, gap)| **gap < near()) {
                    let [x, y] = [left.rows(i, 1), right.rows(start + lane, 1)];
                    let pair = Near::of_inputs(x, y).advance(&self.program.dense);
                    (s[lane], t[lane]) = (T::of(pair.s), T::of(pair.t));
                }
            }
            if self.kind == LimitKind::Ntk {
                s.copy_from_slice(t);
            }
        }
    }
}

impl Kernel for LimitKernel {
    fn gram(&self, a: ArrayView2<f64>, b: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
        self.check(&a)?;
        self.check(&b)?;
        self.cross(a, b)
    }

    fn gram_symmetric(&self, a: ArrayView2<f64>) -> Result<Array2<f64>, KernelError> {
        self.check(&a)?;
        self.symmetric(a)
    }

    fn diagonal(&self, a: ArrayView2<f64>) -> Result<Array1<f64>, KernelError> {
        self.check(&a)?;
        Ok(Samples::new(self, &a.as_standard_layout())?.diagonal.into())
    }
}

/// Refuses samples whose squares, or whose kernels with themselves, are below the normal numbers though they are not 0:
/// what little is left of them has lost its digits.
fn check_underflow<T: Real>(rows: &[T], features: usize, diagonal: &[T]) -> Result<(), KernelError> {
    let least = T::min_positive_value().wide();
    for (row, (sample, kernel)) in rows.chunks_exact(features).zip(diagonal).enumerate() {
        let largest = sample.iter().fold(0.0, |most: f64, x| most.max(x.wide().abs()));
        let value = kernel.wide();
        if largest > 0.0 && (value < least || largest.powi(2) < least) {
            return Err(KernelError::Underflow { row, value });
        }
    }
    Ok(())
}

/// Samples with all that concerns each of them alone, computed once.
struct Samples<'a, T> {
    /// The samples, row-major.
    rows: &'a [T],
    /// For image networks, the samples with their marginals at every position.
    images: Vec<Image<'a, T>>,
    /// The marginals after that, one lane per sample.
    slots: Slots<T>,
    /// The kernel of every sample with itself.
    diagonal: Vec<T>,
}

impl<'a, T: Real> Samples<'a, T> {
    /// # Errors
    ///
    /// When the kernel of a sample with itself is not finite. Where both samples' is, so is that of a pair, by the
    /// inequality of Cauchy and Schwarz, which holds for every number on the way. And when it is no normal number while the
    /// sample is not 0.
    fn new(kernel: &LimitKernel, samples: &'a CowArray<T, Ix2>) -> Result<Self, KernelError> {
        let program = &kernel.program;
        let rows = samples.as_slice().expect("in standard layout");
        let features = samples.ncols();
        let (images, (mut s, mut t)) = if program.image.is_empty() {
            let square = |row: &[T]| row.iter().map(|x| x.wide().powi(2)).sum::<f64>() / features as f64;
            let s: Vec<T> = rows.par_chunks_exact(features).map(|row| T::of(square(row))).collect();
            let t = vec![T::zero(); s.len()];
            (Vec::new(), (s, t))
        } else {
            rows.par_chunks_exact(features).map(|pixels| Image::new(program, pixels)).unzip()
        };
        let mut own = Own(vec![Vec::new(); program.slots]);
        let mut gaps = vec![T::one(); s.len()];
        dense::advance(&program.dense, &mut own, 0, &mut s, &mut t, &mut gaps);
        let diagonal = if kernel.kind == LimitKind::Ntk { t } else { s };
        check_diagonal(diagonal.iter().map(|value| value.wide()))?;
        check_underflow(rows, features, &diagonal)?;
        Ok(Self { rows, images, slots: own.0, diagonal })
    }

    /// `count` samples from one on, row-major.
    fn rows(&self, from: usize, count: usize) -> &'a [T] {
        let features = self.rows.len() / self.diagonal.len();
        &self.rows[from * features..][..count * features]
    }

    /// The marginals of one sample, repeated over so many lanes.
    fn broadcast(&self, sample: usize, lanes: usize) -> Slots<T> {
        let count = self.diagonal.len();
        let repeat = |values: &Vec<T>| {
            let own = values.iter().skip(sample).step_by(count);
            own.flat_map(|&value| std::iter::repeat_n(value, lanes)).collect()
        };
        self.slots.iter().map(repeat).collect()
    }
}
