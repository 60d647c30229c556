//! Adversarial inputs: upper bounds of every certificate.

use ndarray::{Array1, ArrayView1, Zip};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::machine::norm;
use crate::region::{Norm, Threat};

/// An input on the other side of the decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Adversary {
    /// The input, `[d]`.
    pub input: Array1<f64>,
    /// How far it is from the sample, in the threat's norm.
    pub radius: f64,
}

/// How hard the attack tries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttackEffort {
    /// Starts: the first goes down the gradient, the others begin at random directions.
    pub restarts: usize,
    /// Gradients per start.
    pub steps: usize,
}

impl Default for AttackEffort {
    fn default() -> Self {
        Self { restarts: 2, steps: 40 }
    }
}

/// What is attacked: a function whose sign decides.
pub(crate) trait Decision {
    /// `g(x)`.
    fn value(&self, x: ArrayView1<f64>) -> f64;

    /// The gradient of `g` at `x`.
    fn gradient(&self, x: ArrayView1<f64>) -> Array1<f64>;

    /// `g(x + r v)` as a function of `r`, with `x` the input under attack, if that is cheaper than value by value.
    fn along<'a>(&'a self, _v: ArrayView1<'a, f64>) -> Option<Box<dyn Fn(f64) -> f64 + 'a>> {
        None
    }
}

/// Looks for the nearest input where `sign * g <= 0`. `None` when it finds none within `limit`.
///
/// A direction `v` (in the unit ball of the threat's norm) reaches the decision boundary at a radius; the direction is
/// moved against the gradient of `g` there and kept when the boundary comes nearer. Steps are first whole (the
/// steepest vertex), then shrink. This is projected gradient on `g` with the radius found exactly at every step.
pub(crate) fn attack(
    decision: &dyn Decision,
    sign: f64,
    x: ArrayView1<f64>,
    threat: Threat,
    effort: AttackEffort,
    limit: f64,
    seed: u64,
) -> Option<Adversary> {
    let attacker = Attacker { decision, sign, x, threat };
    if sign * decision.value(x) <= 0.0 {
        // On the boundary already.
        return Some(Adversary { input: x.to_owned(), radius: 0.0 });
    }
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut best: Option<(f64, Array1<f64>)> = None;
    for restart in 0..effort.restarts.max(1) {
        let mut direction = if restart == 0 {
            attacker.downhill(&attacker.gradient(&x.to_owned()))
        } else {
            let random = Array1::from_shape_fn(x.len(), |_| random.random_range(-1.0..1.0));
            // Half way between the best so far and somewhere else.
            let base = best.as_ref().map_or_else(|| Array1::zeros(x.len()), |(_, v)| v.clone());
            attacker.onto_ball(base + random)
        };
        let mut reached = attacker.boundary(&direction, best.as_ref().map_or(limit, |b| 2.0 * b.0).min(limit));
        let mut rate = 1.0;
        for _ in 0..effort.steps {
            let radius = reached.unwrap_or(limit);
            let gradient = attacker.gradient(&attacker.at(&direction, radius));
            let steepest = attacker.downhill(&gradient);
            let moved = if rate >= 1.0 {
                steepest
            } else {
                let step = attacker.scaled(&gradient) * (-2.0 * rate);
                attacker.onto_ball(&direction + &step)
            };
            match attacker.boundary(&moved, radius) {
                Some(nearer) if reached.is_none_or(|r| nearer < r) => {
                    reached = Some(nearer);
                    direction = moved;
                }
                _ => rate *= 0.6,
            }
            if rate < 1e-3 {
                break;
            }
        }
        if let Some(radius) = reached.filter(|r| best.as_ref().is_none_or(|best| *r < best.0)) {
            best = Some((radius, direction));
        }
    }
    best.and_then(|(radius, direction)| attacker.adversary(&direction, radius))
}

struct Attacker<'a> {
    decision: &'a dyn Decision,
    sign: f64,
    x: ArrayView1<'a, f64>,
    threat: Threat,
}

impl Attacker<'_> {
    /// The gradient of `s g` at a point.
    fn gradient(&self, at: &Array1<f64>) -> Array1<f64> {
        self.decision.gradient(at.view()) * self.sign
    }

    /// The direction of steepest descent.
    fn downhill(&self, gradient: &Array1<f64>) -> Array1<f64> {
        match self.threat.norm {
            Norm::Inf => gradient.mapv(|g| if g == 0.0 { 0.0 } else { -g.signum() }),
            Norm::Two => gradient * (-1.0 / norm(gradient.view()).max(f64::MIN_POSITIVE)),
        }
    }

    /// The gradient with a largest entry of one ([`Norm::Inf`]) or a length of one.
    fn scaled(&self, gradient: &Array1<f64>) -> Array1<f64> {
        let size = match self.threat.norm {
            // The root mean square, a few of the largest entries being far above it.
            Norm::Inf => norm(gradient.view()) / (gradient.len() as f64).sqrt(),
            Norm::Two => norm(gradient.view()),
        };
        gradient / size.max(f64::MIN_POSITIVE)
    }

    /// A direction in the unit ball.
    fn onto_ball(&self, v: Array1<f64>) -> Array1<f64> {
        match self.threat.norm {
            Norm::Inf => v.mapv_into(|v| v.clamp(-1.0, 1.0)),
            Norm::Two => {
                let length = norm(v.view());
                v / length.max(f64::MIN_POSITIVE)
            }
        }
    }

    /// The point reached along a direction, cut to the domain.
    fn at(&self, direction: &Array1<f64>, radius: f64) -> Array1<f64> {
        let (low, high) = self.threat.domain.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
        Zip::from(&self.x).and(direction).map_collect(|x, v| (x + radius * v).clamp(low, high))
    }

    /// The least radius found along a direction, up to `limit`, where `s g <= 0`; `None` when `s g > 0` at the limit.
    fn boundary(&self, direction: &Array1<f64>, limit: f64) -> Option<f64> {
        let straight = if self.threat.domain.is_none() { self.decision.along(direction.view()) } else { None };
        let value = |radius: f64| match &straight {
            Some(along) => self.sign * along(radius),
            None => self.sign * self.decision.value(self.at(direction, radius).view()),
        };
        let (mut low, mut high) = (0.0, limit);
        let (mut at_low, mut at_high) = (value(0.0), value(limit));
        // Also where the value is no number.
        if at_high.is_nan() || at_high > 0.0 {
            return None;
        }
        // The secant, kept away from the ends.
        for _ in 0..60 {
            if high - low <= 1e-6 * high {
                break;
            }
            let share = (at_low / (at_low - at_high)).clamp(0.02, 0.98);
            let middle = low + (high - low) * share;
            let at = value(middle);
            if at > 0.0 {
                (low, at_low) = (middle, at);
            } else {
                (high, at_high) = (middle, at);
            }
        }
        Some(high)
    }

    /// The input itself: moved out by a hair until `g` as it is computed has changed sign. `None` when it does not: no
    /// input is called an adversary that is decided as before.
    fn adversary(&self, direction: &Array1<f64>, radius: f64) -> Option<Adversary> {
        let tries = std::iter::successors(Some(radius), |radius| Some(radius * (1.0 + 1e-7))).take(41);
        let mut inputs = tries.map(|radius| self.at(direction, radius));
        let input = inputs.find(|input| self.sign * self.decision.value(input.view()) <= 0.0)?;
        let moved = &input - &self.x;
        let radius = match self.threat.norm {
            Norm::Inf => moved.iter().fold(0.0, |a: f64, m| a.max(m.abs())),
            Norm::Two => norm(moved.view()),
        };
        radius.is_finite().then_some(Adversary { input, radius })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DenseMachine, Profile, Sample};
    use ndarray::array;

    #[test]
    fn the_boundary_of_a_symmetric_machine() {
        // g is odd under exchange of the features: zero on the diagonal. From (3, 1) it is 1 away in l_inf, sqrt 2 in l_2.
        let vectors = array![[1.0, 0.0], [0.0, 1.0]];
        let machine =
            DenseMachine::new(vectors.view(), array![1.0, -1.0].view(), 0.0, Profile::new(1).unwrap(), 1.0).unwrap();
        let x = array![3.0, 1.0];
        for (kind, expected) in [(Norm::Inf, 1.0), (Norm::Two, 2f64.sqrt())] {
            let found =
                Sample::new(&machine, x.view(), Threat::new(kind)).unwrap().attack(AttackEffort::default(), 0).unwrap();
            assert!((found.radius - expected).abs() < 1e-5, "{found:?}");
            assert!(machine.value(found.input.view()) <= 0.0);
        }
        let threat = Threat::new(Norm::Inf);
        let sample = Sample::new(&machine, x.view(), threat).unwrap();
        assert!(attack(&sample, 1.0, x.view(), threat, AttackEffort::default(), 0.5, 0).is_none());
    }

    #[test]
    fn the_domain_keeps_adversaries_in() {
        // The third feature pulls to below 0, where the domain ends: without its help the boundary is farther.
        let vectors = array![[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]];
        let machine =
            DenseMachine::new(vectors.view(), array![1.0, -1.0].view(), 0.0, Profile::new(1).unwrap(), 1.0).unwrap();
        let x = array![3.0, 1.0, 0.0];
        let [free, kept] = [None, Some((0.0, 3.0))].map(|domain| {
            let threat = Threat { norm: Norm::Inf, domain };
            Sample::new(&machine, x.view(), threat).unwrap().attack(AttackEffort::default(), 0).unwrap()
        });
        assert!(free.input[2] < 0.0 && kept.input.iter().all(|v| (0.0..=3.0).contains(v)), "{free:?} {kept:?}");
        assert!(kept.radius > 1.05 * free.radius);
    }
}
