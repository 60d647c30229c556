//! The function that is certified.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Zip};

use crate::error::CertifyError;
use crate::profile::Profile;

/// A kernel machine `g(x) = sum_i alpha_i K(x, x_i) + b` with the tangent kernel of a wide dense ReLU network without
/// biases: an infinitely wide network.
///
/// Kept as `g(x) = |x| sum_i beta_i p_L(<x, e_i>/|x|) + b`, with `e_i = x_i/|x_i|` and
/// `beta_i = sigma_w^(2(L+1))/(2^L d) alpha_i |x_i|`. Support vectors that add nothing (`alpha_i = 0` or `x_i = 0`)
/// are left out.
///
/// ```
/// use ndarray::array;
/// use widenet_certify::{DenseMachine, Profile};
///
/// // One support vector, x = (3, 4): K(x, x) = |x|^2 p(1) / (2 d) = 25 * 2 / 4.
/// let x = array![[3.0, 4.0]];
/// let machine = DenseMachine::new(x.view(), array![2.0].view(), 0.0, Profile::new(1)?, 1.0)?;
/// assert!((machine.value(x.row(0)) - 25.0).abs() < 1e-12);
/// # Ok::<(), widenet_certify::CertifyError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DenseMachine {
    pub(crate) profile: Profile,
    /// `e_i` as columns, `[d, s]`: feature by feature, so that features that a sample has not need not be read.
    pub(crate) directions: Array2<f64>,
    /// `sum_j |e_ij|`, `[s]`.
    pub(crate) spans: Array1<f64>,
    /// `beta_i`, `[s]`.
    pub(crate) weights: Array1<f64>,
    pub(crate) intercept: f64,
}

impl DenseMachine {
    /// The machine with support vectors `[s, d]`, coefficients `alpha: [s]` and the intercept `b`.
    ///
    /// # Errors
    ///
    /// When the numbers of vectors and coefficients differ, one of the values is not finite, `sigma_w` is not > 0, or the
    /// largest feature of a vector, the largest coefficient or `beta_i`, or the intercept is not of a size between 1e-90 and 1e90.
    pub fn new(
        vectors: ArrayView2<f64>,
        coefficients: ArrayView1<f64>,
        intercept: f64,
        profile: Profile,
        sigma_w: f64,
    ) -> Result<Self, CertifyError> {
        if vectors.nrows() != coefficients.len() {
            return Err(CertifyError::Count { coefficients: coefficients.len(), vectors: vectors.nrows() });
        }
        if !(sigma_w.is_finite() && sigma_w > 0.0) {
            return Err(CertifyError::Scale(sigma_w));
        }
        let not_finite = |what: String, value| CertifyError::NotFinite { what, value };
        if let Some((i, &value)) = coefficients.iter().enumerate().find(|(_, a)| !a.is_finite()) {
            return Err(not_finite(format!("coefficient {i}"), value));
        }
        if let Some(((i, j), &value)) = vectors.indexed_iter().find(|(_, x)| !x.is_finite()) {
            return Err(not_finite(format!("feature {j} of support vector {i}"), value));
        }
        if !intercept.is_finite() {
            return Err(not_finite("the intercept".into(), intercept));
        }
        for (i, vector) in vectors.outer_iter().enumerate() {
            check_size(vector, |j| format!("feature {j} of support vector {i}"))?;
        }
        if intercept.abs() > LARGEST {
            return Err(CertifyError::Size { what: "the intercept".into(), value: intercept });
        }
        let depth = profile.depth() as i32;
        let scale = sigma_w.powi(2 * (depth + 1)) / (2f64.powi(depth) * vectors.ncols() as f64);
        if !(SMALLEST..=LARGEST).contains(&scale) {
            return Err(CertifyError::Scale(sigma_w));
        }
        let norms = vectors.map_axis(Axis(1), norm);
        let mut kept: Vec<usize> = (0..norms.len()).filter(|&i| norms[i] > 0.0 && coefficients[i] != 0.0).collect();
        // One sign after the other: every bound asks for it, and processors guess what does not change.
        kept.sort_by_key(|&i| coefficients[i] < 0.0);
        check_size(coefficients.select(Axis(0), &kept).view(), |k| format!("coefficient {}", kept[k]))?;
        let mut directions = vectors.select(Axis(0), &kept);
        let norms = norms.select(Axis(0), &kept);
        directions.axis_iter_mut(Axis(0)).zip(&norms).for_each(|(mut row, n)| row /= *n);
        let directions = directions.reversed_axes().as_standard_layout().into_owned();
        let weights = coefficients.select(Axis(0), &kept) * norms * scale;
        check_size(weights.view(), |k| {
            format!(
                "sigma_w^{} / (2^{depth} d) times coefficient and length of support vector {}",
                2 * (depth + 1),
                kept[k]
            )
        })?;
        let spans = directions.fold_axis(Axis(0), 0.0, |sum, e: &f64| sum + e.abs());
        Ok(Self { profile, directions, spans, weights, intercept })
    }

    /// Number of features `d`.
    pub fn features(&self) -> usize {
        self.directions.nrows()
    }

    /// Number of support vectors that count, `s`.
    pub fn support(&self) -> usize {
        self.weights.len()
    }

    /// `g(x)` for `x: [d]`.
    pub fn value(&self, x: ArrayView1<f64>) -> f64 {
        self.value_from(self.dots(x).view(), norm(x))
    }

    /// `g(x)` from `<x, e_i>: [s]` and `|x|`.
    pub(crate) fn value_from(&self, dots: ArrayView1<f64>, norm: f64) -> f64 {
        if norm == 0.0 {
            return self.intercept;
        }
        let mut values = dots.mapv(|dot| (dot / norm).clamp(-1.0, 1.0));
        self.profile.values(values.as_slice_mut().expect("contiguous"));
        let sum = values.dot(&self.weights);
        norm * sum + self.intercept
    }

    /// The gradient of `g` at `x`, `[d]`, from `<x, e_i>`:
    /// `sum_i beta_i p'(u_i) e_i + (x/|x|) sum_i beta_i (p(u_i) - u_i p'(u_i))`.
    ///
    /// Where `x` points along a support vector, `p'` is infinite and the value just beside is taken; at `x = 0` the
    /// result is zero.
    pub(crate) fn gradient_from(&self, dots: ArrayView1<f64>, x: ArrayView1<f64>) -> Array1<f64> {
        let norm = norm(x);
        if norm == 0.0 {
            return Array1::zeros(x.len());
        }
        let mut radial = 0.0;
        let slopes = Zip::from(dots).and(&self.weights).map_collect(|&a, &w| {
            let u = (a / norm).clamp(-1.0 + 1e-12, 1.0 - 1e-12);
            let (value, slope) = self.profile.value_and_slope(u);
            radial += w * (value - u * slope);
            w * slope
        });
        let mut gradient = self.combine(slopes.view());
        gradient.scaled_add(radial / norm, &x);
        gradient
    }

    /// `<x, e_i>`, `[s]`.
    pub(crate) fn dots(&self, x: ArrayView1<f64>) -> Array1<f64> {
        let present: Vec<(usize, f64)> = x.iter().copied().enumerate().filter(|(_, x)| *x != 0.0).collect();
        let mut sum = Array1::zeros(self.support());
        let out = sum.as_slice_mut().expect("contiguous");
        // What lies along is not asked for.
        self.accumulate(&present, self.weights.as_slice().expect("contiguous"), out, |x, e, _| x * e);
        sum
    }

    /// Adds `sum_j term(c_j, e_ij, along_i)` to every `out_i`, over the features `j` that are `present`.
    pub(crate) fn accumulate<C: Copy>(
        &self,
        present: &[(usize, C)],
        along: &[f64],
        out: &mut [f64],
        term: impl Fn(C, f64, f64) -> f64,
    ) {
        pulp::Arch::new().dispatch(Accumulated { machine: self, present, along, out, term });
    }

    /// `sum_i c_i e_i`, `[d]`.
    pub(crate) fn combine(&self, c: ArrayView1<f64>) -> Array1<f64> {
        self.directions.dot(&c)
    }

    /// A feature of every `e_i`, `[s]`.
    pub(crate) fn feature(&self, j: usize) -> &[f64] {
        self.directions.row(j).to_slice().expect("directions are stored by features")
    }

    /// Checks a sample `[d]`.
    pub(crate) fn check(&self, x: ArrayView1<f64>) -> Result<(), CertifyError> {
        if x.len() != self.features() {
            return Err(CertifyError::Features { found: x.len(), expected: self.features() });
        }
        check_sample(x)
    }
}

/// Largest and smallest size of what is computed with, other than 0. A bound multiplies up to three such numbers, and
/// bounds of rounding are shares of what is rounded: none of it may overflow, nor fall below the normal numbers.
pub(crate) const LARGEST: f64 = 1e90;
pub(crate) const SMALLEST: f64 = 1e-90;

/// Checks that the largest of some numbers is 0 or of a size to compute with. Names it otherwise, from its place.
fn check_size(values: ArrayView1<f64>, name: impl Fn(usize) -> String) -> Result<(), CertifyError> {
    let Some((place, &value)) = values.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())) else {
        return Ok(());
    };
    if value == 0.0 || (SMALLEST..=LARGEST).contains(&value.abs()) {
        return Ok(());
    }
    Err(CertifyError::Size { what: name(place), value })
}

/// Checks that the features of a sample are finite and of a size to compute with.
pub(crate) fn check_sample(x: ArrayView1<f64>) -> Result<(), CertifyError> {
    let name = |j: usize| format!("feature {j} of a sample");
    match x.iter().enumerate().find(|(_, v)| !v.is_finite()) {
        None => check_size(x, name),
        Some((j, &value)) => Err(CertifyError::NotFinite { what: name(j), value }),
    }
}

/// The loop of [`DenseMachine::accumulate`].
struct Accumulated<'a, C, F> {
    machine: &'a DenseMachine,
    present: &'a [(usize, C)],
    along: &'a [f64],
    out: &'a mut [f64],
    term: F,
}

// Not a closure: those are not always compiled for the processor that is found.
impl<C: Copy, F: Fn(C, f64, f64) -> f64> pulp::NullaryFnOnce for Accumulated<'_, C, F> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { machine, present, along, out, term } = self;
        // Four features at a time: the sums are read and written as often.
        let fours = present.chunks_exact(4);
        let rest = fours.remainder();
        for four in fours {
            let [(a, ca), (b, cb), (c, cc), (d, cd)] =
                [four[0], four[1], four[2], four[3]].map(|(j, value)| (machine.feature(j), value));
            for (((((out, &along), &a), &b), &c), &d) in out.iter_mut().zip(along).zip(a).zip(b).zip(c).zip(d) {
                *out += (term(ca, a, along) + term(cb, b, along)) + (term(cc, c, along) + term(cd, d, along));
            }
        }
        for &(j, c) in rest {
            for ((out, &along), &e) in out.iter_mut().zip(along).zip(machine.feature(j)) {
                *out += term(c, e, along);
            }
        }
    }
}

/// `|x|`.
pub(crate) fn norm(x: ArrayView1<f64>) -> f64 {
    x.dot(&x).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use std::f64::consts::PI;

    fn machine() -> DenseMachine {
        let vectors = array![[1.0, 0.0], [0.0, 0.0], [0.0, 2.0], [1.0, 1.0]];
        let coefficients = array![1.0, 5.0, -0.5, 0.0];
        DenseMachine::new(vectors.view(), coefficients.view(), 0.25, Profile::new(1).unwrap(), 1.0).unwrap()
    }

    #[test]
    fn value_by_hand() {
        let machine = machine();
        assert_eq!((machine.support(), machine.features()), (2, 2));
        // At (1, 0): K with (1, 0) is 2/(2d) = 1/2; with (0, 2) it is 2 p(0)/(2d) = 1/(2 pi).
        let expected = 0.5 - 0.5 * (2.0 / PI) / 4.0 + 0.25;
        assert!((machine.value(array![1.0, 0.0].view()) - expected).abs() < 1e-15);
        assert_eq!(machine.value(array![0.0, 0.0].view()), 0.25);
    }

    #[test]
    fn products_by_hand() {
        // Unit vectors; of the seven features of x one is zero, four are taken at once, two are left.
        let profile = Profile::new(1).unwrap();
        let machine = DenseMachine::new(Array2::eye(7).view(), Array1::ones(7).view(), 0.0, profile, 1.0).unwrap();
        let x = array![1.0, -2.0, 3.0, 0.0, 5.0, 6.0, 7.0];
        assert_eq!(machine.dots(x.view()), x);
        assert_eq!(machine.combine(x.view()), x);
        let vectors = array![[3.0, 4.0], [0.0, 2.0]];
        let machine = DenseMachine::new(vectors.view(), Array1::ones(2).view(), 0.0, profile, 1.0).unwrap();
        assert!((&machine.dots(array![1.0, 2.0].view()) - &array![2.2, 2.0]).iter().all(|e| e.abs() < 1e-15));
        assert!((&machine.combine(array![1.0, 2.0].view()) - &array![0.6, 2.8]).iter().all(|e| e.abs() < 1e-15));
    }

    #[test]
    fn gradient_by_differences() {
        let machine = machine();
        let x = array![0.7, -0.4];
        let gradient = machine.gradient_from(machine.dots(x.view()).view(), x.view());
        for j in 0..2 {
            let at = |step: f64| {
                let mut moved = x.clone();
                moved[j] += step;
                machine.value(moved.view())
            };
            assert!((gradient[j] - (at(1e-6) - at(-1e-6)) / 2e-6).abs() < 1e-9);
        }
    }

    #[test]
    fn weights_of_other_scales_and_depths() {
        // sigma_w^(2(L+1)) / 2^L.
        let vectors = array![[1.0, 0.0]];
        let make = |depth, sigma| {
            DenseMachine::new(vectors.view(), array![1.0].view(), 0.0, Profile::new(depth).unwrap(), sigma).unwrap()
        };
        assert_eq!(make(1, 1.0).weights[0], 1.0 / 4.0);
        assert_eq!(make(2, 2.0).weights[0], 64.0 / 8.0);
    }

    #[test]
    fn what_is_no_machine_is_refused() {
        let profile = Profile::new(1).unwrap();
        let x = array![[1.0, f64::NAN]];
        let error = DenseMachine::new(x.view(), array![1.0].view(), 0.0, profile, 1.0).unwrap_err();
        assert_eq!(error.to_string(), "feature 1 of support vector 0 is NaN: it must be finite");
        let x = array![[1.0, 2.0]];
        assert!(DenseMachine::new(x.view(), array![1.0, 2.0].view(), 0.0, profile, 1.0).is_err());
        assert!(DenseMachine::new(x.view(), array![1.0].view(), 0.0, profile, 0.0).is_err());
        assert!(machine().check(array![1.0].view()).is_err());
    }

    #[test]
    fn sizes_that_leave_the_range_of_numbers_are_refused() {
        let make = |x: f64, alpha: f64, intercept: f64, sigma_w: f64| {
            let vectors = array![[x, 0.0]];
            DenseMachine::new(vectors.view(), array![alpha].view(), intercept, Profile::new(1).unwrap(), sigma_w)
        };
        for (x, alpha, intercept, sigma_w) in
            [(1e160, 1.0, 0.0, 1.0), (1e-160, 1.0, 0.0, 1.0), (1.0, 1e200, 0.0, 1.0), (1.0, 1e-200, 0.0, 1.0)]
                .into_iter()
                .chain([(1.0, 1.0, 1e100, 1.0), (1.0, 1.0, 0.0, 1e100), (1.0, 1.0, 0.0, 1e-100)])
        {
            let error = make(x, alpha, intercept, sigma_w).unwrap_err();
            let typed = matches!(error, CertifyError::Size { .. } | CertifyError::Scale(_));
            assert!(typed, "{x} {alpha} {intercept} {sigma_w}: {error}");
        }
        assert!(make(1e80, 1e-80, 1e80, 1.0).is_ok() && make(1.0, 0.0, 0.0, 1.0).is_ok());
        let error = machine().check(array![1.0, 1e160].view()).unwrap_err().to_string();
        assert!(error.starts_with("feature 1 of a sample is 1e160: sizes must be 0 or from 1e-90 to 1e90"), "{error}");
        assert!(machine().check(array![0.0, 0.0].view()).is_ok());
    }
}
