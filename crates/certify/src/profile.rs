//! The tangent kernel of a wide ReLU network as a function of the cosine.

use std::f64::consts::{FRAC_1_PI, PI};

use crate::arccos::rest;
use crate::convexity::is_convex;
use crate::error::CertifyError;

/// `p_L(u)`: what the tangent kernel of a dense ReLU network with `L` hidden layers and no biases makes of the cosine
/// `u` of two inputs, `K(x, x') = sigma_w^(2(L+1)) / (2^L d) |x| |x'| p_L(u)`.
///
/// With `k0(u) = (pi - arccos u)/pi` and `k1(u) = (sqrt(1 - u^2) + (pi - arccos u) u)/pi`:
///
/// `rho_0 = u, p_0 = u; rho_{l+1} = k1(rho_l), p_{l+1} = rho_{l+1} + p_l k0(rho_l)`,
///
/// so that `p_1(u) = h(u)/pi` with the `h(u) = 2u (pi - arccos u) + sqrt(1 - u^2)` of Theorem 4.2.
///
/// What the bounds use:
/// - Power series: `k0` and `k1` have coefficients >= 0, and sums, products and compositions keep that. Hence every
///   derivative of `p_L` is >= 0 and increasing on [0, 1], and `|p_L^(k)(u)| <= p_L^(k)(|u|)`.
/// - Convexity on all of [-1, 1]. On [0, 1] it follows from the above; on [-1, 0] it is checked by interval
///   arithmetic when the profile is made.
///
/// ```
/// use widenet_certify::Profile;
///
/// let profile = Profile::new(1)?;
/// assert!((profile.value(1.0) - 2.0).abs() < 1e-15);
/// assert!((profile.value(0.0) - 1.0 / std::f64::consts::PI).abs() < 1e-15);
/// # Ok::<(), widenet_certify::CertifyError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    depth: usize,
}

/// A value with its first three derivatives in `u`.
pub(crate) type Jet = [f64; 4];

impl Profile {
    /// The largest number of hidden layers.
    pub const MAX_DEPTH: usize = 16;

    /// The profile of `depth` hidden layers.
    ///
    /// # Errors
    ///
    /// When the depth is 0 or above [`Profile::MAX_DEPTH`], or convexity cannot be shown.
    pub fn new(depth: usize) -> Result<Self, CertifyError> {
        if !(1..=Self::MAX_DEPTH).contains(&depth) {
            return Err(CertifyError::Depth(depth));
        }
        if !is_convex(depth) {
            return Err(CertifyError::NotConvex(depth));
        }
        Ok(Self { depth })
    }

    /// Number of hidden layers `L`.
    pub fn depth(self) -> usize {
        self.depth
    }

    /// `p_L(u)` for `-1 <= u <= 1`.
    pub fn value(self, u: f64) -> f64 {
        let (mut rho, mut p) = (u, u);
        for _ in 0..self.depth {
            let (k0, k1) = arc_cosine(rho);
            p = k1 + p * k0;
            rho = k1.min(1.0);
        }
        p
    }

    /// `p_L` in place of every `u`, several at a time.
    pub(crate) fn values(self, u: &mut [f64]) {
        if self.depth == 1 {
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || {
                    for u in u.iter_mut() {
                        let (k0, k1) = arc_cosine(*u);
                        *u = k1 + *u * k0;
                    }
                },
            );
        } else {
            u.iter_mut().for_each(|u| *u = self.value(*u));
        }
    }

    /// `p_L'(u)` beside `p_L(u)`, for `-1 < u < 1`.
    pub fn value_and_slope(self, u: f64) -> (f64, f64) {
        value_and_slope(self.depth, u)
    }

    /// Both for every `u`, several at a time.
    pub(crate) fn values_and_slopes(self, u: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (mut values, mut slopes) = (vec![0.0; u.len()], vec![0.0; u.len()]);
        let each = values.iter_mut().zip(&mut slopes).zip(u);
        if self.depth == 1 {
            pulp::Arch::new().dispatch(
                #[inline(always)]
                || each.for_each(|((value, slope), &u)| (*value, *slope) = value_and_slope(1, u)),
            );
        } else {
            each.for_each(|((value, slope), &u)| (*value, *slope) = self.value_and_slope(u));
        }
        (values, slopes)
    }

    /// `p_L` with three derivatives, for `-1 < u < 1`.
    pub(crate) fn jet(self, u: f64) -> Jet {
        let (mut rho, mut p) = ([u, 1.0, 0.0, 0.0], [u, 1.0, 0.0, 0.0]);
        for _ in 0..self.depth {
            let (k0, k1) = arc_cosine(rho[0]);
            let s = sine(rho[0]);
            let bend = 1.0 / (PI * s);
            let bend1 = rho[0] / (PI * s.powi(3));
            let bend2 = (1.0 + 2.0 * rho[0] * rho[0]) / (PI * s.powi(5));
            let outer0 = compose([k0, bend, bend1, bend2], rho);
            rho = compose([k1.min(1.0), k0, bend, bend1], rho);
            let product = multiply(p, outer0);
            p = std::array::from_fn(|k| rho[k] + product[k]);
        }
        p
    }

    /// A bound on what rounding does to [`Profile::value`]. With one hidden layer it is a few units in the last
    /// place. With more, `arccos` magnifies the rounding of its argument near 1, by `1/sin`.
    pub(crate) fn rounding(self, u: f64) -> f64 {
        if self.depth == 1 {
            return 16.0 * f64::EPSILON;
        }
        let layers = self.depth as f64 * 2f64.powi(self.depth as i32);
        16.0 * f64::EPSILON * layers / sine(u).max(1e-8)
    }
}

/// `p_L` and its slope; of a depth that is known beforehand, without a loop.
#[inline(always)]
fn value_and_slope(depth: usize, u: f64) -> (f64, f64) {
    let (mut rho, mut p) = ([u, 1.0], [u, 1.0]);
    for _ in 0..depth {
        let (k0, k1) = arc_cosine(rho[0]);
        let bend = 1.0 / (PI * sine(rho[0]));
        let next = [k1.min(1.0), k0 * rho[1]];
        p = [k1 + p[0] * k0, next[1] + p[1] * k0 + p[0] * bend * rho[1]];
        rho = next;
    }
    (p[0], p[1])
}

/// `(k0, k1)` at `u`.
#[inline(always)]
fn arc_cosine(u: f64) -> (f64, f64) {
    let rest = rest(u);
    (rest * FRAC_1_PI, (sine(u) + rest * u) * FRAC_1_PI)
}

/// `sqrt(1 - u^2)`.
#[inline(always)]
fn sine(u: f64) -> f64 {
    ((1.0 - u) * (1.0 + u)).max(0.0).sqrt()
}

/// The jet of `f(g(u))`, from `f`'s derivatives at `g(u)` and `g`'s jet.
fn compose(f: Jet, g: Jet) -> Jet {
    [f[0], f[1] * g[1], f[2] * g[1] * g[1] + f[1] * g[2], f[3] * g[1].powi(3) + 3.0 * f[2] * g[1] * g[2] + f[1] * g[3]]
}

/// The jet of a product.
fn multiply(a: Jet, b: Jet) -> Jet {
    [
        a[0] * b[0],
        a[1] * b[0] + a[0] * b[1],
        a[2] * b[0] + 2.0 * a[1] * b[1] + a[0] * b[2],
        a[3] * b[0] + 3.0 * (a[2] * b[1] + a[1] * b[2]) + a[0] * b[3],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exact;

    #[test]
    fn two_layers_are_theorem_4_2() {
        let profile = Profile::new(1).unwrap();
        for u in [-1.0f64, -0.794, -0.3, 0.0, 0.5, 0.999, 1.0] {
            let h = 2.0 * u * (PI - u.acos()) + (1.0 - u * u).sqrt();
            assert!((profile.value(u) - h / PI).abs() < 1e-15, "{u}");
        }
        // The minimum that the published code uses.
        assert!((profile.value(-0.794) * PI + 0.429738).abs() < 1e-6);
    }

    #[test]
    fn derivatives_by_hand() {
        // h' = 2(pi - arccos u) + u / sqrt(1 - u^2), h'' = (3 - 2u^2) / (1 - u^2)^(3/2), h''' = u (5 - 2u^2) / (..)^(5/2).
        let profile = Profile::new(1).unwrap();
        let u = 0.6f64;
        let jet = profile.jet(u);
        let rest = PI - u.acos();
        let expected = [2.0 * u * rest + 0.8, 2.0 * rest + 0.75, 2.28 / 0.512, 0.6 * 4.28 / 0.8f64.powi(5)];
        for k in 0..4 {
            assert!((jet[k] * PI - expected[k]).abs() < 1e-13, "{k}: {} {}", jet[k] * PI, expected[k]);
        }
    }

    #[test]
    fn derivatives_of_every_depth_by_differences() {
        for depth in 1..=5 {
            let profile = Profile::new(depth).unwrap();
            for u in [-0.9, -0.5, 0.01, 0.4, 0.9] {
                let jet = profile.jet(u);
                assert_eq!(profile.value(u), jet[0]);
                let mut values = [u, 0.3, u];
                profile.values(&mut values);
                assert_eq!(values, [jet[0], profile.value(0.3), jet[0]]);
                let (value, slope) = profile.value_and_slope(u);
                assert!((value - jet[0]).abs() < 1e-15 && (slope - jet[1]).abs() < 1e-12 * (1.0 + slope.abs()));
                let step = 1e-5;
                for k in 0..3 {
                    let difference = (profile.jet(u + step)[k] - profile.jet(u - step)[k]) / (2.0 * step);
                    let error = (difference - jet[k + 1]).abs();
                    assert!(error < 1e-6 * (1.0 + jet[3].abs()), "L = {depth}, u = {u}, derivative {k}: {error}");
                }
            }
        }
    }

    /// From all over [-1, 1], and by powers of ten nearer to 0, -1 and 1.
    fn cosines() -> impl Iterator<Item = f64> {
        let even = (0..=400).map(|k| k as f64 / 200.0 - 1.0);
        let near = (1..=17).flat_map(|k| [3.3, 5.7, 9.1].map(|digit| digit * 10f64.powi(-k)));
        even.chain(near.flat_map(|step| [step, -step, 1.0 - step, step - 1.0]))
    }

    #[test]
    fn rounding_is_within_its_bound() {
        for depth in [1, 2, 3, 4, 6, 9, 16] {
            let profile = Profile::new(depth).unwrap();
            for u in cosines() {
                let (exact, slope) = exact::profile(depth, u.into());
                let error = (exact - profile.value(u).into()).to_f64().abs();
                // Some margin is left: no more than half of it is used.
                assert!(
                    error <= 0.5 * profile.rounding(u),
                    "L = {depth}, u = {u}: {error:e} {:e}",
                    profile.rounding(u)
                );
                if u.abs() < 1.0 {
                    // What a wrong slope does up to the nearest end.
                    let (_, found) = profile.value_and_slope(u);
                    let error = (slope - found.into()).to_f64().abs() * (1.0 - u.abs());
                    let bound = profile.rounding(u) * (1.0 + found.abs());
                    assert!(error <= 0.5 * bound, "L = {depth}, u = {u}: slope {error:e} {bound:e}");
                }
            }
        }
    }

    #[test]
    fn only_sensible_depths() {
        assert_eq!(Profile::new(0), Err(CertifyError::Depth(0)));
        assert!(Profile::new(17).unwrap_err().to_string().contains("1 to 16"));
        assert!(Profile::new(16).is_ok());
    }
}
