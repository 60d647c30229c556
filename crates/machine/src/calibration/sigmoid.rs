//! Platt's sigmoid: the probability of a class from one decision value.

/// `P(y = +1 | z) = 1 / (1 + exp(a z + b))` (Platt 1999).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sigmoid {
    /// Minus the slope of the log odds.
    pub a: f64,
    /// Minus the log odds at 0.
    pub b: f64,
}

/// Newton steps after which the fit is left where it is; it takes about ten.
const STEPS: usize = 100;
/// Added to the Hessian's diagonal, which is 0 where all decision values are equal.
const RIDGE: f64 = 1e-12;

impl Sigmoid {
    /// The sigmoid of maximal likelihood for decision values `z: [n]` of samples with labels -1 and +1, by Newton's
    /// method with backtracking (Lin, Lin and Weng, "A note on Platt's probabilistic outputs for support vector
    /// machines", 2007).
    ///
    /// The likelihood is that of Platt's targets, `(n_+ + 1) / (n_+ + 2)` and `1 / (n_- + 2)` instead of 1 and 0, which
    /// keep it finite where the classes are separated. The values should be of samples that the machine was not trained
    /// on: those it has seen look more certain than they are.
    pub fn fit(decisions: &[f64], labels: &[f64]) -> Self {
        // Of a usual size, so that squares neither overflow nor fall below what is added to the Hessian.
        let most = decisions.iter().fold(0.0, |most: f64, z| most.max(z.abs()));
        if most > 0.0 && most.is_finite() && !(1e-3..=1e6).contains(&most) {
            let scaled: Vec<f64> = decisions.iter().map(|z| z / most).collect();
            let Self { a, b } = Self::fit(&scaled, labels);
            return Self { a: (a / most).clamp(-f64::MAX, f64::MAX), b };
        }
        let positive = labels.iter().filter(|&&y| y > 0.0).count() as f64;
        let negative = labels.len() as f64 - positive;
        let targets = [1.0 / (negative + 2.0), (positive + 1.0) / (positive + 2.0)];
        let samples = || decisions.iter().zip(labels).map(|(&z, &y)| (z, targets[usize::from(y > 0.0)]));
        // The cross entropy, without overflow on either side.
        let value = |at: Self| -> f64 {
            let term = |(z, t): (f64, f64)| {
                let x = at.a * z + at.b;
                t * x + (-x).max(0.0) + (-x.abs()).exp().ln_1p()
            };
            samples().map(term).sum()
        };
        let mut at = Self { a: 0.0, b: ((negative + 1.0) / (positive + 1.0)).ln() };
        let mut best = value(at);
        for _ in 0..STEPS {
            let [mut ga, mut gb, mut haa, mut hab, mut hbb] = [0.0, 0.0, RIDGE, 0.0, RIDGE];
            for (z, t) in samples() {
                let p = at.probability(z);
                let (slope, bend) = (t - p, p * (1.0 - p));
                ga += z * slope;
                gb += slope;
                haa += z * z * bend;
                hab += z * bend;
                hbb += bend;
            }
            let determinant = haa * hbb - hab * hab;
            let (da, db) = ((hab * gb - hbb * ga) / determinant, (hab * ga - haa * gb) / determinant);
            let gain = -(ga * da + gb * db);
            if gain.is_nan() {
                break;
            }
            if gain <= 1e-9 * best {
                // The value no longer tells better from worse, but a last step squares the distance to the optimum.
                return Self { a: at.a + da, b: at.b + db };
            }
            let tried = (0..40).map(|halvings| 0.5_f64.powi(halvings)).find_map(|step| {
                let next = Self { a: at.a + step * da, b: at.b + step * db };
                let value = value(next);
                (value < best - 1e-4 * step * gain).then_some((next, value))
            });
            let Some(better) = tried else { break };
            (at, best) = better;
        }
        at
    }

    /// `P(y = +1 | z)`: between 0 and 1 for every finite `z`, however large `a z` becomes.
    pub fn probability(self, z: f64) -> f64 {
        1.0 / (1.0 + (self.a * z + self.b).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        // Two values seen four times each: the sigmoid takes the mean target of each. Targets 1/6 and 5/6: at z = 0,
        // 3 of 4 negative, (3/6 + 5/6)/4 = 1/3; at z = 2, 3 of 4 positive, 2/3. So a 0 + b = ln 2 and 2a + b = -ln 2.
        let decisions = [0.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0];
        let labels = [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0, 1.0, -1.0];
        let sigmoid = Sigmoid::fit(&decisions, &labels);
        let ln2 = std::f64::consts::LN_2;
        assert!((sigmoid.b - ln2).abs() < 1e-12 && (sigmoid.a + ln2).abs() < 1e-12, "{sigmoid:?}");
        assert!((sigmoid.probability(2.0) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn separated_and_constant_values_have_one_too() {
        let separated = Sigmoid::fit(&[-1.0, -2.0, 1.0, 2.0], &[-1.0, -1.0, 1.0, 1.0]);
        assert!(separated.a < -0.5 && separated.a.is_finite() && separated.b.abs() < 1e-9, "{separated:?}");
        // Without information the mean target: of one positive (2/3) and three negative (1/5).
        let constant = Sigmoid::fit(&[0.0; 4], &[1.0, -1.0, -1.0, -1.0]);
        let expected = (3.0 / 5.0 + 2.0 / 3.0) / 4.0;
        assert!((constant.probability(0.0) - expected).abs() < 1e-9, "{constant:?}");
        // Platt's fit knows no unit.
        let (z, y) = ([-1.0, -0.5, 0.25, 0.5, 1.0], [-1.0, 1.0, -1.0, 1.0, 1.0]);
        let one = Sigmoid::fit(&z, &y);
        for unit in [1e-150, 1e-8, 1e8, 1e150] {
            let other = Sigmoid::fit(&z.map(|z| z * unit), &y);
            assert!(
                (other.a * unit / one.a - 1.0).abs() < 1e-6 && (other.b - one.b).abs() < 1e-6,
                "{unit:e} {other:?}"
            );
        }
        let tiny = Sigmoid::fit(&z.map(|z| z * 1e-310), &y);
        for z in [-1e300, -1e-310, 0.0, 1e-310, 1e300] {
            assert!((0.0..=1.0).contains(&tiny.probability(z)), "{tiny:?} at {z:e}");
        }
        let huge = Sigmoid::fit(&[-1e8, 1e8, 2e8], &[-1.0, 1.0, 1.0]);
        assert!(huge.probability(1e8).is_finite() && huge.probability(1e8) > 0.5);
    }

    proptest! {
        /// At the optimum the mean probability is the mean target, and so with the values as weights.
        #[test]
        fn the_gradient_vanishes(samples in proptest::collection::vec((-3.0..3.0f64, any::<bool>()), 5..40)) {
            let decisions: Vec<f64> = samples.iter().map(|(z, _)| *z).collect();
            let labels: Vec<f64> = samples.iter().map(|(_, up)| if *up { 1.0 } else { -1.0 }).collect();
            let sigmoid = Sigmoid::fit(&decisions, &labels);
            let positive = labels.iter().filter(|y| **y > 0.0).count() as f64;
            let negative = labels.len() as f64 - positive;
            let (mut level, mut slope) = (0.0, 0.0);
            for (&z, &y) in decisions.iter().zip(&labels) {
                let target = if y > 0.0 { (positive + 1.0) / (positive + 2.0) } else { 1.0 / (negative + 2.0) };
                level += target - sigmoid.probability(z);
                slope += z * (target - sigmoid.probability(z));
            }
            prop_assert!(level.abs() < 1e-6 && slope.abs() < 1e-6, "{sigmoid:?} {level} {slope}");
        }
    }
}
