//! Whether the kernel is convex in the cosine, decided by interval arithmetic.
//!
//! With `u = -cos t`, `0 <= t <= pi/2`, and `P(t) = p_L(u)`: `sin^3(t) p_L''(u) = sin(t) P''(t) - cos(t) P'(t)`. The
//! right side is finite up to `t = 0` (where `p_L''` is infinite), so it can be enclosed on small cells.

use std::f64::consts::{FRAC_1_PI, FRAC_PI_2};

/// An enclosure of a real number. Every operation rounds outward.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Enclosure {
    low: f64,
    high: f64,
}

impl Enclosure {
    fn outward(low: f64, high: f64) -> Self {
        Self { low: low.next_down(), high: high.next_up() }
    }

    /// The values of a function that is increasing (or decreasing) between the ends, computed to within 4 units in
    /// the last place.
    fn monotone(self, f: impl Fn(f64) -> f64) -> Self {
        let (a, b) = (f(self.low), f(self.high));
        let slack = 8.0 * f64::EPSILON * a.abs().max(b.abs());
        Self::outward(a.min(b) - slack, a.max(b) + slack)
    }

    fn plus(self, other: Self) -> Self {
        Self::outward(self.low + other.low, self.high + other.high)
    }

    fn minus(self, other: Self) -> Self {
        Self::outward(self.low - other.high, self.high - other.low)
    }

    fn times(self, other: Self) -> Self {
        let products = [self.low * other.low, self.low * other.high, self.high * other.low, self.high * other.high];
        let low = products.iter().fold(f64::INFINITY, |a, &b| a.min(b));
        let high = products.iter().fold(f64::NEG_INFINITY, |a, &b| a.max(b));
        Self::outward(low, high)
    }

    fn twice(self) -> Self {
        Self { low: 2.0 * self.low, high: 2.0 * self.high }
    }
}

/// A function of `t` with its first two derivatives.
type Jet = [Enclosure; 3];

fn add(a: Jet, b: Jet) -> Jet {
    std::array::from_fn(|k| a[k].plus(b[k]))
}

fn multiply(a: Jet, b: Jet) -> Jet {
    [
        a[0].times(b[0]),
        a[1].times(b[0]).plus(a[0].times(b[1])),
        a[2].times(b[0]).plus(a[1].times(b[1]).twice()).plus(a[0].times(b[2])),
    ]
}

/// `f(g)` from `f, f', f''` at `g`.
fn compose(f: Jet, g: Jet) -> Jet {
    [f[0], f[1].times(g[1]), f[2].times(g[1].times(g[1])).plus(f[1].times(g[2]))]
}

/// Encloses `sin(t) P''(t) - cos(t) P'(t)` for `t` in a cell of [0, pi/2].
fn curvature(depth: usize, t: Enclosure) -> Enclosure {
    let pi_inverse = Enclosure::outward(FRAC_1_PI, FRAC_1_PI);
    // sin is increasing and cos decreasing on [0, pi/2] and a little beyond.
    let (sin, cos) = (t.monotone(f64::sin), t.monotone(f64::cos));
    let (t_sin, t_cos) = (t.times(sin), t.times(cos));
    // rho_1 = (sin t - t cos t)/pi, p_1 = (sin t - 2 t cos t)/pi.
    let mut rho: Jet = [sin.minus(t_cos), t_sin, sin.plus(t_cos)].map(|e| e.times(pi_inverse));
    let three_sin = sin.plus(sin.twice());
    let mut p: Jet = [sin.minus(t_cos.twice()), t_sin.twice().minus(cos), three_sin.plus(t_cos.twice())]
        .map(|e| e.times(pi_inverse));
    for _ in 1..depth {
        // rho >= 0 here; what rounding adds below 0 or above 1 is cut off.
        let r = Enclosure { low: rho[0].low.max(0.0), high: rho[0].high.min(1.0) };
        let rest = r.monotone(|r| (-r).acos());
        let k0 = rest.times(pi_inverse);
        // k1 is increasing; k0' = 1/(pi sqrt(1 - r^2)) and k0'' = r/(pi sqrt(1 - r^2)^3) too, for r >= 0.
        let k1 = r.monotone(|r| (((1.0 - r) * (1.0 + r)).sqrt() + (-r).acos() * r) * FRAC_1_PI);
        let bend = r.monotone(|r| FRAC_1_PI / ((1.0 - r) * (1.0 + r)).sqrt());
        let bend1 = r.monotone(|r| FRAC_1_PI * r / ((1.0 - r) * (1.0 + r)).powf(1.5));
        let gate = compose([k0, bend, bend1], rho);
        rho = compose([k1, k0, bend], rho);
        p = add(rho, multiply(p, gate));
    }
    sin.times(p[2]).minus(cos.times(p[1]))
}

/// Whether `p_L` is convex on [-1, 0]: true only if shown.
pub(crate) fn is_convex(depth: usize) -> bool {
    positive(|t| curvature(depth, t))
}

/// Whether a function is positive on [0, pi/2]: true only if its enclosures show it.
fn positive(f: impl Fn(Enclosure) -> Enclosure) -> bool {
    const CELLS: usize = 4096;
    // The last cell reaches beyond pi/2.
    let edge = |k: usize| (FRAC_PI_2 + 1e-9) * k as f64 / CELLS as f64;
    (0..CELLS).all(|k| f(Enclosure { low: edge(k), high: edge(k + 1) }).low > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encloses_the_curvature_of_two_layers() {
        // sin^3 h'' / pi = (3 - 2u^2)/pi.
        for t in [0.0, 0.3, 1.0, FRAC_PI_2] {
            let found = curvature(1, Enclosure { low: t, high: t });
            let u = t.cos();
            let exact = (3.0 - 2.0 * u * u) * FRAC_1_PI;
            assert!(found.low <= exact && exact <= found.high && found.high - found.low < 1e-13, "{t}: {found:?}");
        }
    }

    #[test]
    fn agrees_with_derivatives_in_the_cosine() {
        for depth in 1..=4 {
            let profile = crate::Profile::new(depth).unwrap();
            for t in [0.2f64, 0.7, 1.3] {
                let found = curvature(depth, Enclosure { low: t, high: t });
                let expected = t.sin().powi(3) * profile.jet(-t.cos())[2];
                assert!((found.low - expected).abs() < 1e-12 && (found.high - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn what_is_not_positive_everywhere_is_refused() {
        let less = |value: f64| move |t: Enclosure| t.minus(Enclosure { low: value, high: value });
        assert!(positive(less(-1e-9)));
        // Negative in the first cell, and up to the last.
        assert!(!positive(less(1e-9)) && !positive(less(FRAC_PI_2)));
        // Positive itself, but not shown to be.
        assert!(!positive(|t| Enclosure { low: t.low - 1.0, high: t.high + 1.0 }));
    }

    #[test]
    fn arithmetic_by_hand() {
        let a = Enclosure { low: -1.0, high: 2.0 };
        let b = Enclosure { low: -3.0, high: 0.5 };
        let product = a.times(b);
        assert!((product.low + 6.0).abs() < 1e-14 && (product.high - 3.0).abs() < 1e-14);
        assert!(product.low < -6.0 && product.high > 3.0);
        let difference = a.minus(b);
        assert!((difference.low + 1.5).abs() < 1e-14 && (difference.high - 5.0).abs() < 1e-14);
    }
}
