//! The exponent of a power law, fitted on logarithmic axes.

use serde::Serialize;
use widenet_store::numbers::decimals;

/// `log y = intercept + slope log x` by least squares, with a 95 % confidence interval of the slope.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Slope {
    /// The exponent.
    pub slope: f64,
    /// The natural logarithm of `y` at `x = 1`.
    pub intercept: f64,
    /// The low end of the confidence interval; NaN (null in JSON) for two points, which say nothing of their spread.
    pub low: f64,
    /// The high end.
    pub high: f64,
    /// Number of points.
    pub points: usize,
}

impl Slope {
    /// Fits the power law `y = e^intercept x^slope` to the points with positive, finite coordinates.
    ///
    /// The interval is `slope -+ t s / sqrt(sum (u - mean u)^2)` with `u = log x`, `s^2` the sum of squared residuals
    /// over `n - 2`, and `t` the 97.5 % quantile of Student's distribution with `n - 2` degrees of freedom. It takes
    /// the points as independent around one line.
    ///
    /// `None` for fewer than two different `x`.
    pub fn fit(points: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let logs = points.into_iter().map(|(x, y)| (x.ln(), y.ln()));
        let logs: Vec<(f64, f64)> = logs.filter(|(u, v)| u.is_finite() && v.is_finite()).collect();
        let n = logs.len() as f64;
        let mean = |value: fn(&(f64, f64)) -> f64| logs.iter().map(value).sum::<f64>() / n;
        let (u0, v0) = (mean(|p| p.0), mean(|p| p.1));
        let spread: f64 = logs.iter().map(|(u, _)| (u - u0).powi(2)).sum();
        if logs.len() < 2 || spread <= 1e-12 * u0.powi(2) {
            return None;
        }
        let slope = logs.iter().map(|(u, v)| (u - u0) * (v - v0)).sum::<f64>() / spread;
        let residuals: f64 = logs.iter().map(|(u, v)| (v - v0 - slope * (u - u0)).powi(2)).sum();
        let half = match logs.len() - 2 {
            0 => f64::NAN,
            freedom => student(freedom) * (residuals / freedom as f64 / spread).sqrt(),
        };
        Some(Self { slope, intercept: v0 - slope * u0, low: slope - half, high: slope + half, points: logs.len() })
    }

    /// The fitted value at `x`.
    pub fn at(&self, x: f64) -> f64 {
        (self.intercept + self.slope * x.ln()).exp()
    }
}

impl std::fmt::Display for Slope {
    /// `-0.49 [-0.52, -0.46]`
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let number = |value: f64| decimals(value, 3).replace('-', "\u{2212}");
        write!(f, "{}", number(self.slope))?;
        if self.low.is_finite() {
            write!(f, " [{}, {}]", number(self.low), number(self.high))?;
        }
        Ok(())
    }
}

/// The 97.5 % quantile of Student's t distribution with `freedom >= 1` degrees of freedom.
///
/// Up to 10 from the table of any textbook; beyond by the expansion in `1 / freedom` around the normal quantile `z`
/// (Abramowitz and Stegun 1964, 26.7.5), which is correct to `1e-5` there.
pub fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 10] = [
        12.706204736,
        4.302652730,
        3.182446305,
        2.776445105,
        2.570581836,
        2.446911851,
        2.364624252,
        2.306004135,
        2.262157163,
        2.228138852,
    ];
    if let Some(value) = freedom.checked_sub(1).and_then(|index| TABLE.get(index)) {
        return *value;
    }
    let z: f64 = 1.959963984540054;
    let v = freedom as f64;
    let terms = [
        (z.powi(3) + z) / 4.0,
        (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0,
        (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0,
        (79.0 * z.powi(9) + 776.0 * z.powi(7) + 1482.0 * z.powi(5) - 1920.0 * z.powi(3) - 945.0 * z) / 92160.0,
    ];
    terms.iter().rev().fold(0.0, |sum, term| (sum + term) / v) + z
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        let known = [
            (1, 12.7062),
            (2, 4.3027),
            (5, 2.5706),
            (10, 2.2281),
            (11, 2.2010),
            (12, 2.1788),
            (15, 2.1314),
            (20, 2.0860),
            (28, 2.0484),
            (30, 2.0423),
            (60, 2.0003),
            (120, 1.9799),
            (1_000_000, 1.9600),
        ];
        for (freedom, expected) in known {
            assert!((student(freedom) - expected).abs() < 6e-5, "{freedom}: {}", student(freedom));
        }
        assert!((1..200).all(|freedom| student(freedom) > student(freedom + 1)));
    }

    #[test]
    fn an_exact_power_law_has_an_exact_slope() {
        let law = |x: f64| (x, 3.0 * x.powf(-0.5));
        let fit = Slope::fit([64.0, 128.0, 256.0, 512.0].map(law)).unwrap();
        assert!((fit.slope + 0.5).abs() < 1e-14);
        assert!((fit.intercept - 3.0_f64.ln()).abs() < 1e-13);
        assert!(fit.high - fit.low < 1e-13, "{fit:?}");
        assert!((fit.at(100.0) - 0.3).abs() < 1e-13);
        assert_eq!(fit.points, 4);
    }

    #[test]
    fn a_regression_by_hand() {
        // In logarithms (0, 0), (1, 1), (2, 1): the slope is 1/2, the residuals -1/6, 1/3, -1/6 with squares 1/6.
        let e = std::f64::consts::E;
        let fit = Slope::fit([(1.0, 1.0), (e, e), (e * e, e)]).unwrap();
        assert!((fit.slope - 0.5).abs() < 1e-14);
        assert!((fit.intercept - 1.0 / 6.0).abs() < 1e-14);
        // t with one degree of freedom, times sqrt(1/6 / 1 / 2).
        let half = 12.706204736 * (1.0_f64 / 12.0).sqrt();
        assert!((fit.high - 0.5 - half).abs() < 1e-12 && (fit.low - 0.5 + half).abs() < 1e-12);
        assert!(fit.to_string().starts_with("0.500 [\u{2212}3.168"), "{fit}");
    }

    #[test]
    fn what_cannot_be_fitted_is_left_out() {
        assert_eq!(Slope::fit([]), None);
        assert_eq!(Slope::fit([(2.0, 1.0), (2.0, 3.0)]), None);
        let fit = Slope::fit([(1.0, 2.0), (10.0, 0.2), (100.0, 0.0), (7.0, f64::NAN)]).unwrap();
        assert_eq!(fit.points, 2);
        assert!((fit.slope + 1.0).abs() < 1e-14 && fit.low.is_nan());
        assert_eq!(fit.to_string(), "\u{2212}1.000");
    }
}
