//! The recursion for one pair of samples that are nearly parallel.
//!
//! Near a cosine of 1 or -1 the covariance no longer tells the angle: an angle of 1e-8 and none at all have the same
//! cosine in double precision, and the tangent kernel of the ReLU family changes with the angle itself. What is carried
//! beside the covariance `s` here is what it lacks to be extreme, the *slack* `sqrt(q q') - |s|`. From the inputs it is
//! computed by the distance of their directions, and every step of the recursion makes it of sums of terms that are not
//! negative, so that the angle stays right to about `1e-16`, whatever its size.

use super::expectation::Expectation;
use super::program::Step;
use widenet_model::host::Real;

/// The state of the recursion for a pair `(x, x')`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Near {
    /// `S(x, x)` and `S(x', x')`.
    pub(super) variances: [f64; 2],
    /// `S(x, x')`.
    pub(super) s: f64,
    /// `T(x, x')`.
    pub(super) t: f64,
    /// `sqrt(S(x, x) S(x', x')) - |S(x, x')|`.
    pub(super) slack: f64,
}

impl Near {
    /// The pair of two inputs: `S = <x, x'> / d`.
    pub(super) fn of_inputs<T: Real>(left: &[T], right: &[T]) -> Self {
        let dot = |a: &[T], b: &[T]| a.iter().zip(b).map(|(a, b)| a.wide() * b.wide()).sum::<f64>();
        let (squares, channels) = ([dot(left, left), dot(right, right)], left.len() as f64);
        let variances = squares.map(|square| square / channels);
        let size = norm(variances);
        if size == 0.0 {
            return Self { variances, ..Self::default() };
        }
        // Half the squared distance of x / |x| from x' / |x'|, or from its opposite, is 1 - |cos|.
        let sign = 1f64.copysign(dot(left, right));
        let [a, b] = squares.map(|square| square.sqrt().recip());
        let distance = |(x, y): (&T, &T)| (x.wide() * a - sign * (y.wide() * b)).powi(2);
        let slack = size * (0.5 * left.iter().zip(right).map(distance).sum::<f64>()).min(1.0);
        Self { variances, s: sign * (size - slack), t: 0.0, slack }
    }

    /// The pair whose covariance is known, with what it is not known better than: a slack that may be rounding is none.
    pub(super) fn of_covariance(variances: [f64; 2], s: f64, t: f64) -> Self {
        let variances = variances.map(|variance| variance.max(0.0));
        let size = norm(variances);
        let slack = size - s.abs();
        let slack = if slack < 64.0 * f64::EPSILON * size { 0.0 } else { slack };
        Self { variances, s, t, slack }
    }

    /// The sum of independent pairs.
    pub(super) fn sum(parts: impl Iterator<Item = Self>) -> Self {
        parts.fold(Self::default(), Self::plus)
    }

    /// Takes the pair through all steps.
    pub(super) fn advance(mut self, steps: &[Step]) -> Self {
        for step in steps {
            self = match step {
                Step::Linear(linear) => self.scaled(linear.weight).biased(linear.bias),
                Step::Activation(expectation, _) => self.activated(expectation),
                Step::Residual(branch, shortcut) => self.advance(branch).plus(self.advance(shortcut)),
                Step::Pool(_) => unreachable!("a single position is never pooled"),
            };
        }
        self
    }

    /// The pair with all covariances multiplied.
    pub(super) fn scaled(self, by: f64) -> Self {
        let variances = self.variances.map(|variance| by * variance);
        Self { variances, s: by * self.s, t: by * self.t, slack: by * self.slack }
    }

    /// After the bias of a layer with weights, whose own gradients join the tangent kernel: `T <- T + S`.
    pub(super) fn biased(self, bias: f64) -> Self {
        let sum = match bias {
            0.0 => self,
            _ => self.plus(Self { variances: [bias; 2], s: bias, t: 0.0, slack: 0.0 }),
        };
        Self { t: sum.t + sum.s, ..sum }
    }

    /// The sum of two independent pairs.
    ///
    /// With variances `q, q'` and `r, r'`, `(q + r)(q' + r') = (sqrt(q q') + sqrt(r r'))^2 + (sqrt(q r') - sqrt(r q'))^2`.
    pub(super) fn plus(self, other: Self) -> Self {
        let add = |i: usize| self.variances[i] + other.variances[i];
        let (variances, s) = ([add(0), add(1)], self.s + other.s);
        let sizes = norm(self.variances) + norm(other.variances);
        let across = [[self.variances[0], other.variances[1]], [other.variances[0], self.variances[1]]].map(norm);
        let unlike = across[0] - across[1];
        let size = norm(variances);
        let between = if unlike == 0.0 { 0.0 } else { unlike * unlike / (size + sizes) };
        // A part of the other sign than the sum takes away twice its covariance.
        let part = |part: Self| if part.s * s < 0.0 { part.slack + 2.0 * part.s.abs() } else { part.slack };
        Self { variances, s, t: self.t + other.t, slack: between + (part(self) + part(other)) }
    }

    /// After an activation.
    pub(super) fn activated(self, expectation: &Expectation) -> Self {
        let Expectation::Rectifier { linear, rectified } = *expectation else {
            let (s, factor) = expectation.of_near(&self);
            let variances = self.variances.map(|variance| expectation.variance(variance));
            return Self::of_covariance(variances, s, self.t * factor);
        };
        let size = norm(self.variances);
        let ratio = if size > 0.0 { self.slack / size } else { 1.0 };
        let (sine, cosine) = ((ratio * (2.0 - ratio)).sqrt(), 1.0 - ratio);
        let acute = super::expectation::angle(sine, cosine);
        let negative = self.s < 0.0;
        let supplement = if negative { acute } else { std::f64::consts::PI - acute };
        let share = rectified / (2.0 * std::f64::consts::PI);
        // phi multiplies variances by `gain`; E[phi phi] is `curved` above `-slope |s|`.
        let gain = linear + rectified / 2.0;
        let slope = if negative { linear } else { -gain };
        let curved = share * size * sine_less_arc(acute, sine, cosine);
        let s = curved - slope * self.s.abs();
        let sign = 1f64.copysign(s);
        let slack = (gain + sign * slope) * size - sign * (slope * self.slack + curved);
        Self {
            variances: self.variances.map(|variance| gain * variance),
            s,
            t: self.t * (linear + share * supplement),
            slack: slack.max(0.0),
        }
    }
}

/// `sin(theta) - theta cos(theta)`, of an angle in `[0, pi/2]`.
fn sine_less_arc(theta: f64, sine: f64, cosine: f64) -> f64 {
    if theta > 0.05 {
        return sine - theta * cosine;
    }
    let square = theta * theta;
    let tail = 1.0 - square / 10.0 * (1.0 - square / 28.0 * (1.0 - square / 54.0 * (1.0 - square / 88.0)));
    theta * square / 3.0 * tail
}

/// `sqrt(q q')`, also where the product overflows.
pub(super) fn norm([q, r]: [f64; 2]) -> f64 {
    q.sqrt() * r.sqrt()
}
