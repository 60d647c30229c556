//! Twice the digits of `f64`, to hold bounds against. For tests only.
//!
//! A number is a sum of two `f64`, `|low| <= ulp(high)/2` (Dekker 1971): some 31 digits.

use std::ops::{Add, Div, Mul, Neg, Sub};

use ndarray::ArrayView1;

use crate::machine::DenseMachine;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Exact {
    high: f64,
    low: f64,
}

const PI: Exact = Exact { high: std::f64::consts::PI, low: 1.2246467991473532e-16 };

impl From<f64> for Exact {
    fn from(high: f64) -> Self {
        Self { high, low: 0.0 }
    }
}

/// `a + b` with its error, for `|a| >= |b|` or so.
fn quick(a: f64, b: f64) -> Exact {
    let high = a + b;
    Exact { high, low: b - (high - a) }
}

impl Add for Exact {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        let sum = self.high + other.high;
        let part = sum - self.high;
        let error = (self.high - (sum - part)) + (other.high - part);
        quick(sum, error + (self.low + other.low))
    }
}

impl Neg for Exact {
    type Output = Self;
    fn neg(self) -> Self {
        Self { high: -self.high, low: -self.low }
    }
}

impl Sub for Exact {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Mul for Exact {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let product = self.high * other.high;
        let error = self.high.mul_add(other.high, -product);
        quick(product, error + (self.high * other.low + self.low * other.high))
    }
}

impl Div for Exact {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let first = Self::from(self.high / other.high);
        let rest = self - first * other;
        let second = Self::from(rest.high / other.high);
        first + second + Self::from((rest - second * other).high / other.high)
    }
}

impl Exact {
    pub fn to_f64(self) -> f64 {
        self.high + self.low
    }

    fn sqrt(self) -> Self {
        if self.high <= 0.0 {
            return 0.0.into();
        }
        let root = Self::from(self.high.sqrt());
        root + (self - root * root) / (root + root)
    }

    /// The sum of `(-1)^n t^(2n + first)/(2n + first)!`: the sine or the cosine, for `|t| <= 1`.
    fn series(self, first: u32) -> Self {
        let minus = -(self * self);
        let mut term = if first == 1 { self } else { 1.0.into() };
        let mut sum = term;
        for n in (first + 1..30).step_by(2) {
            term = term * minus / Self::from(f64::from(n * (n + 1)));
            sum = sum + term;
        }
        sum
    }

    /// `arcsin`, for `0 <= y <= 0.8`: Newton's steps on the sine.
    fn arcsin(self) -> Self {
        let step = |t: Self| t + (self - t.series(1)) / t.series(0);
        step(step(self.high.asin().into()))
    }

    /// `pi - arccos u`, from whichever half of the angle is small.
    pub fn rest(self) -> Self {
        let one = Self::from(1.0);
        let half = |v: Self| {
            let t = (v * 0.5.into()).sqrt().arcsin();
            t + t
        };
        if self.high >= 0.0 { PI - half(one - self) } else { half(one + self) }
    }
}

/// `p_L(u)` and `p_L'(u)`; the latter for `|u| < 1`.
pub(crate) fn profile(depth: usize, u: Exact) -> (Exact, Exact) {
    let one = Exact::from(1.0);
    let (mut rho, mut p) = ((u, one), (u, one));
    for _ in 0..depth {
        let rest = rho.0.rest();
        let sine = ((one - rho.0) * (one + rho.0)).sqrt();
        let (k0, k1) = (rest / PI, (sine + rest * rho.0) / PI);
        let slope = k0 * rho.1;
        p = (k1 + p.0 * k0, slope + p.1 * k0 + p.0 * rho.1 / (PI * sine));
        rho = (k1, slope);
    }
    p
}

/// `g(x)` of a machine as it is kept.
pub(crate) fn value(machine: &DenseMachine, x: ArrayView1<f64>) -> Exact {
    let dot = |a: ArrayView1<f64>, b: ArrayView1<f64>| {
        a.iter().zip(b).fold(Exact::from(0.0), |sum, (&a, &b)| sum + Exact::from(a) * Exact::from(b))
    };
    let norm = dot(x, x).sqrt();
    let terms = machine.directions.columns().into_iter().zip(&machine.weights).map(|(e, &weight)| {
        let u = dot(e, x) / norm;
        // A unit vector is as long as 1 up to rounding only.
        let u = if u.high.abs() >= 1.0 { u.high.signum().into() } else { u };
        Exact::from(weight) * profile(machine.profile.depth(), u).0
    });
    norm * terms.fold(Exact::from(0.0), |sum, term| sum + term) + machine.intercept.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_to_more_than_f64() {
        // pi - arccos(3/5) = pi - arctan(4/3) = 2.2142974355881810...
        let rest = (Exact::from(3.0) / Exact::from(5.0)).rest();
        assert!((rest.to_f64() - 2.214_297_435_588_181).abs() < 4.5e-16);
        // sin^2 + cos^2 = 1 and arcsin(sin t) = t, to the last digits.
        let t = Exact::from(0.7) / Exact::from(1.1);
        let (sine, cosine) = (t.series(1), t.series(0));
        assert!((sine * sine + cosine * cosine - 1.0.into()).to_f64().abs() < 1e-30);
        assert!((sine.arcsin() - t).to_f64().abs() < 1e-30);
        // pi - arccos 0 = pi/2.
        assert!((Exact::from(0.0).rest() + Exact::from(0.0).rest() - PI).to_f64().abs() < 1e-30);
        let near = Exact::from(1.0) - Exact::from(2f64.powi(-50));
        // arccos(1 - s) = sqrt(2 s) (1 + s/12 + ...).
        let angle = (PI - near.rest()) / (Exact::from(2f64.powi(-49)).sqrt());
        assert!((angle - 1.0.into() - Exact::from(2f64.powi(-50) / 12.0)).to_f64().abs() < 1e-23);
    }

    #[test]
    fn two_layers_by_hand() {
        // p_1(0) = 1/pi, p_1'(0) = 1, p_1(1) = 2.
        let (value, slope) = profile(1, 0.0.into());
        assert!((value * PI - 1.0.into()).to_f64().abs() < 1e-30 && (slope - 1.0.into()).to_f64().abs() < 1e-30);
        assert!((profile(1, 1.0.into()).0 - 2.0.into()).to_f64().abs() < 1e-30);
    }
}
