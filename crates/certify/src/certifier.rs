//! From lower bounds to radii.

use std::cell::{OnceCell, RefCell};
use std::time::{Duration, Instant};

use ndarray::{Array1, ArrayView1};

use crate::attack::{Adversary, AttackEffort, Decision, attack};
use crate::cosines::{Cosines, UnitCosines};
use crate::error::CertifyError;
use crate::interval::{interval_bound, published_bound, published_search};
use crate::machine::{DenseMachine, SMALLEST, norm};
use crate::quadratic::{Curvature, Quadratic};
use crate::region::{Norm, Region, Threat};
use crate::relaxation::relaxation_bound;

/// How a machine is bounded over a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Every kernel value by a number: the paper's Theorem 4.2, made sound. Fast and loose.
    Interval,
    /// Every kernel value by a line in its cosine.
    Relaxation,
    /// Every kernel value by a parabola in its cosine: exact up to second order, where coefficients cancel. Near a
    /// support vector, where the kernel has a kink, lines may show more.
    Taylor,
    /// The best of the three.
    Best,
}

impl Method {
    /// Every method.
    pub const ALL: [Method; 4] = [Method::Interval, Method::Relaxation, Method::Taylor, Method::Best];

    /// Those that [`Method::Best`] is the best of.
    pub const SINGLE: [Method; 3] = [Method::Interval, Method::Relaxation, Method::Taylor];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Method::Interval => "interval",
            Method::Relaxation => "relaxation",
            Method::Taylor => "taylor",
            Method::Best => "best",
        }
    }
}

/// How much work a certificate may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// How often a slice of the norm that does not pass is halved. 0: no branching.
    pub halvings: usize,
    /// Time after which no further slice is halved and no further radius tried. `None`: none, and results do not
    /// depend on the machine that computes them.
    pub budget: Option<Duration>,
    /// The radius is searched to this share of itself.
    pub precision: f64,
}

impl Default for Effort {
    fn default() -> Self {
        Self { halvings: 4, budget: None, precision: 5e-3 }
    }
}

/// A radius within which the sign of the machine does not change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Certificate {
    /// The radius; 0 when nothing could be shown.
    pub radius: f64,
    /// The method it was shown with.
    pub method: Method,
}

/// One sample under attack and defence.
///
/// ```
/// use ndarray::array;
/// use widenet_certify::{AttackEffort, DenseMachine, Effort, Method, Norm, Profile, Sample, Threat};
///
/// // Zero on the diagonal: (3, 1) can be moved by 1 in each feature before the sign changes.
/// let vectors = array![[1.0, 0.0], [0.0, 1.0]];
/// let machine = DenseMachine::new(vectors.view(), array![1.0, -1.0].view(), 0.0, Profile::new(1)?, 1.0)?;
/// let x = array![3.0, 1.0];
/// let sample = Sample::new(&machine, x.view(), Threat::new(Norm::Inf))?;
///
/// let adversary = sample.attack(AttackEffort::default(), 0).expect("the boundary is near");
/// let certificate = sample.certify(Method::Best, Effort::default(), Some(adversary.radius));
/// assert!(certificate.radius <= 1.0 && adversary.radius >= 1.0);
/// assert!(certificate.radius > 0.9 && adversary.radius < 1.01);
/// # Ok::<(), widenet_certify::CertifyError>(())
/// ```
pub struct Sample<'a> {
    machine: &'a DenseMachine,
    x: ArrayView1<'a, f64>,
    threat: Threat,
    value: f64,
    /// `<x, e_i>`, `[s]`.
    dots: Array1<f64>,
    unit: OnceCell<UnitCosines>,
    /// The gradient of `sign(g(x)) g` at the sample.
    gradient: OnceCell<Array1<f64>>,
    curvature: RefCell<Option<Curved>>,
}

/// A curvature and the radius it was made for.
struct Curved {
    radius: f64,
    curvature: Option<Curvature>,
}

impl<'a> Sample<'a> {
    /// A sample `[d]` of a machine.
    ///
    /// # Errors
    ///
    /// When it has another number of features, is not finite, is too large or too small to compute with, or lies outside
    /// the domain.
    pub fn new(machine: &'a DenseMachine, x: ArrayView1<'a, f64>, threat: Threat) -> Result<Self, CertifyError> {
        machine.check(x)?;
        threat.check(x)?;
        let dots = machine.dots(x);
        let value = machine.value_from(dots.view(), norm(x));
        let (unit, gradient, curvature) = Default::default();
        Ok(Self { machine, x, threat, value, dots, unit, gradient, curvature })
    }

    /// `g(x)`.
    pub fn value(&self) -> f64 {
        self.value
    }

    fn sign(&self) -> f64 {
        if self.value >= 0.0 { 1.0 } else { -1.0 }
    }

    fn unit(&self) -> &UnitCosines {
        self.unit.get_or_init(|| UnitCosines::new(self.machine, self.x, &self.dots))
    }

    fn gradient(&self) -> &Array1<f64> {
        self.gradient.get_or_init(|| self.machine.gradient_from(self.dots.view(), self.x) * self.sign())
    }

    /// Beyond this radius nothing is searched: the origin is inside, and everything in the domain.
    fn limit(&self) -> f64 {
        let size = match self.threat.norm {
            Norm::Inf => self.x.fold(0.0, |a: f64, x| a.max(x.abs())),
            Norm::Two => norm(self.x),
        };
        2.0 * size + 1.0
    }

    /// The nearest input found with the other sign, if any. One seed gives one result.
    pub fn attack(&self, effort: AttackEffort, seed: u64) -> Option<Adversary> {
        attack(self, self.sign(), self.x, self.threat, effort, self.limit(), seed)
    }

    /// A lower bound of `sign(g(x)) g` over everything within a radius of the sample, that holds for the exact
    /// function of the stored numbers. Work on it stops once it is above `enough`.
    pub fn lower_bound(&self, method: Method, radius: f64, enough: f64, effort: Effort) -> f64 {
        self.bound(method, radius, enough, effort, &mut self.start(radius), &deadline(effort))
    }

    fn bound(
        &self,
        method: Method,
        radius: f64,
        enough: f64,
        effort: Effort,
        start: &mut Array1<f64>,
        go_on: &dyn Fn() -> bool,
    ) -> f64 {
        let sign = self.sign();
        let region = Region::new(self.x, radius, self.threat);
        let unit = self.threat.domain.is_none().then(|| self.unit());
        let cosines = Cosines::new(self.machine, &region, unit);
        let relaxation = |range| relaxation_bound(self.machine, sign, &region, &cosines, range);
        let bound = match method {
            Method::Interval => interval_bound(self.machine, sign, &region, &cosines),
            Method::Relaxation => halved(region.norm_range(), enough, effort.halvings, go_on, &relaxation),
            Method::Taylor => {
                let mut curved = self.curvature.borrow_mut();
                // Any curvature is sound; one made for a far larger or smaller region is loose.
                let fits = |c: &Curved| c.radius <= 1.35 * radius && radius <= 1.35 * c.radius;
                if !curved.as_ref().is_some_and(fits) {
                    let curvature = Curvature::new(self.machine, sign, &region, &cosines);
                    *curved = Some(Curved { radius, curvature });
                }
                let Some(Curved { curvature: Some(curvature), .. }) = curved.as_ref() else {
                    return f64::NEG_INFINITY;
                };
                let quadratic =
                    Quadratic { machine: self.machine, sign, region: &region, cosines: &cosines, curvature };
                quadratic.bound(enough, effort.halvings, start, go_on)
            }
            Method::Best => {
                let mut best = f64::NEG_INFINITY;
                for method in Method::SINGLE {
                    best = best.max(self.bound(method, radius, enough, effort, start, go_on));
                    if best > enough {
                        break;
                    }
                }
                best
            }
        };
        // What has left the range of numbers bounds nothing.
        if bound.is_finite() { bound } else { f64::NEG_INFINITY }
    }

    /// The largest radius that a method can show; 0 on the decision boundary. `upper`: the radius of an attack, if known;
    /// it only saves time.
    pub fn certify(&self, method: Method, effort: Effort, upper: Option<f64>) -> Certificate {
        if self.value == 0.0 {
            return Certificate { radius: 0.0, method };
        }
        let go_on = deadline(effort);
        let value = self.value.abs();
        let upper = upper.unwrap_or(f64::INFINITY).min(self.limit());
        let mut search = Search { precision: effort.precision, low: 0.0, at_low: value, high: upper, at_high: None };
        let single = |search: &mut Search, method, guess, tries, go_on: &dyn Fn() -> bool| {
            let mut start = if method == Method::Taylor { self.start(guess) } else { Array1::default(0) };
            search.run(guess, tries, go_on, &mut |radius| {
                let bound = self.bound(method, radius, 0.0, effort, &mut start, go_on);
                // Work on parabolas ends once they pass: by how much they would is not known.
                if method == Method::Taylor && bound > 0.0 { f64::INFINITY } else { bound }
            });
        };
        match method {
            Method::Interval => single(&mut search, method, self.interval_guess().min(upper), 40, &go_on),
            Method::Relaxation => single(&mut search, method, 0.8 * self.first_guess().min(upper), 20, &go_on),
            Method::Taylor => {
                let first = self.first_guess().min(upper);
                // What lines show is where to start, and is not counted.
                let quick = Effort { halvings: 0, precision: 0.05, ..effort };
                let lines = self.certify(Method::Relaxation, quick, Some(upper)).radius;
                single(&mut search, method, (1.1 * lines).max(0.4 * upper.min(first)), 20, &go_on);
            }
            Method::Best => {
                let each = Method::SINGLE.map(|method| self.certify(method, effort, Some(upper)));
                return each
                    .into_iter()
                    .reduce(|a, b| if b.radius > a.radius { b } else { a })
                    .expect("there are three");
            }
        }
        Certificate { radius: search.low, method }
    }

    /// The radius of the paper's published code (its Theorem 4.2 for the l_inf norm and two layers), which is no
    /// certificate where it is large. The search starts at `start`; for kernel machines the code takes 0.05.
    pub fn published(&self, start: f64) -> f64 {
        if self.value == 0.0 {
            return 0.0;
        }
        published_search(start, |delta| published_bound(self.machine, self.sign(), self.x, self.dots.view(), delta))
    }

    /// Where `g` would reach zero if it were linear.
    fn first_guess(&self) -> f64 {
        let gradient = self.gradient();
        let slope = match self.threat.norm {
            Norm::Inf => gradient.fold(0.0, |a, g| a + g.abs()),
            Norm::Two => norm(gradient.view()),
        };
        if slope > 0.0 { self.value.abs() / slope } else { self.limit() }
    }

    /// Where intervals would reach zero if every kernel value fell along its own gradient at the sample.
    fn interval_guess(&self) -> f64 {
        let (size, unit) = (norm(self.x), self.unit());
        if size == 0.0 {
            return self.limit();
        }
        let along = match self.threat.norm {
            Norm::Inf => self.x.fold(0.0, |a, x| a + x.abs()) / size,
            Norm::Two => 1.0,
        };
        let cosines: Vec<f64> = self.dots.iter().map(|dot| (dot / size).clamp(-GUESSED, GUESSED)).collect();
        let (values, slopes) = self.machine.profile.values_and_slopes(&cosines);
        let mut slope = 0.0;
        for (((weight, value), steep), sway) in self.machine.weights.iter().zip(values).zip(slopes).zip(&unit.sway) {
            let reach = if self.threat.norm == Norm::Inf { *sway } else { 1.0 };
            slope += weight.abs() * (value.abs() * along + steep.abs() * reach);
        }
        if slope > 0.0 { self.value.abs() / slope } else { self.limit() }
    }

    /// Where the minimum over a region would be if `g` were linear.
    fn start(&self, radius: f64) -> Array1<f64> {
        let gradient = self.gradient();
        let step = match self.threat.norm {
            Norm::Inf => gradient.mapv(|g| -g.signum()),
            Norm::Two => gradient * (-1.0 / norm(gradient.view()).max(f64::MIN_POSITIVE)),
        };
        &self.x + &(step * radius)
    }
}

impl Decision for Sample<'_> {
    fn value(&self, x: ArrayView1<f64>) -> f64 {
        self.machine.value(x)
    }

    fn gradient(&self, x: ArrayView1<f64>) -> Array1<f64> {
        self.machine.gradient_from(self.machine.dots(x).view(), x)
    }

    /// `<x + r v, e_i>` is linear in `r`: one pass over the support vectors serves all radii.
    fn along<'b>(&'b self, v: ArrayView1<'b, f64>) -> Option<Box<dyn Fn(f64) -> f64 + 'b>> {
        let slopes = self.machine.dots(v);
        let (xx, xv, vv) = (self.x.dot(&self.x), self.x.dot(&v), v.dot(&v));
        Some(Box::new(move |radius| {
            let size = (xx + 2.0 * radius * xv + radius * radius * vv).max(0.0).sqrt();
            self.machine.value_from((&self.dots + &(&slopes * radius)).view(), size)
        }))
    }
}

/// Cosines beyond this are taken for it in guesses: slopes are infinite at 1.
const GUESSED: f64 = 1.0 - 1e-6;

/// Whether there is still time.
fn deadline(effort: Effort) -> impl Fn() -> bool {
    // A budget beyond what clocks count is none.
    let end = effort.budget.and_then(|budget| Instant::now().checked_add(budget));
    move || end.is_none_or(|end| Instant::now() < end)
}

/// A bound over a range of norms, halved where it is not above `enough`.
fn halved(
    (r1, r2): (f64, f64),
    enough: f64,
    halvings: usize,
    go_on: &dyn Fn() -> bool,
    bound: &dyn Fn((f64, f64)) -> f64,
) -> f64 {
    let whole = bound((r1, r2));
    if whole > enough || halvings == 0 || !go_on() {
        return whole;
    }
    let middle = 0.5 * (r1 + r2);
    let lower = halved((r1, middle), enough, halvings - 1, go_on, bound);
    if lower <= enough {
        return whole;
    }
    whole.max(lower.min(halved((middle, r2), enough, halvings - 1, go_on, bound)))
}

/// The search for the largest radius with a positive bound.
pub(crate) struct Search {
    pub precision: f64,
    /// Passed.
    pub low: f64,
    pub at_low: f64,
    /// Not passed, or not to be tried.
    pub high: f64,
    pub at_high: Option<f64>,
}

impl Search {
    /// Regula falsi in its Illinois form: of an end that stays twice the value is halved, so that the other moves on.
    /// Bisection where a bound is infinite, which says that it passed or not, and not by how much.
    pub fn run(&mut self, first: f64, tries: usize, go_on: &dyn Fn() -> bool, bound: &mut dyn FnMut(f64) -> f64) {
        let mut next = first.clamp(self.low, self.high);
        let mut passed = None;
        for _ in 0..tries {
            let near = self.precision * self.high;
            if self.high - self.low <= near || next <= self.low || next < SMALLEST || !go_on() {
                return;
            }
            let value = bound(next);
            let again = passed.replace(value > 0.0) == Some(value > 0.0);
            let share = if again { 0.5 } else { 1.0 };
            if value > 0.0 {
                (self.low, self.at_low) = (next, value);
                self.at_high = self.at_high.map(|at_high| share * at_high);
            } else {
                (self.high, self.at_high) = (next, Some(value));
                self.at_low *= share;
            }
            let width = self.high - self.low;
            next = match self.at_high {
                Some(at_high) if at_high.is_finite() && self.at_low.is_finite() => {
                    let root = self.low + width * self.at_low / (self.at_low - at_high);
                    // A little below the root, so that it passes; from there just above, so that it fails and ends.
                    let aim = if root - self.low > 0.6 * near { root - 0.3 * near } else { self.low + 0.95 * near };
                    aim.min(self.low + 0.9 * width)
                }
                Some(_) => self.low + 0.5 * width,
                // Nothing has failed yet.
                None => (1.3 * self.low).min(self.low + 0.5 * width),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use crate::exact::{self, Exact};
    use ndarray::Array2;
    use rand::{RngExt, SeedableRng};

    /// Coefficients that cancel to a millionth of their size, and balls from far below rounding up: what is left of a
    /// bound at its centre is its error bounds, which have to be enough. The machine itself is computed with twice the
    /// digits.
    #[test]
    fn bounds_hold_where_rounding_decides() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(21);
        let mut nearest = [f64::INFINITY; 3];
        for trial in 0..200 {
            let (d, pairs) = (1 + trial % 6, 1 + trial % 4);
            let first = Array2::from_shape_fn((pairs, d), |_| random.random_range(-1.0..1.0));
            let second = first.mapv(|v| v * (1.0 + 1e-7 * random.random_range(-1.0..1.0)));
            let vectors = ndarray::concatenate![ndarray::Axis(0), first, second];
            let sizes = Array1::from_shape_fn(pairs, |_| random.random_range(0.5e6..1e6));
            let coefficients = ndarray::concatenate![ndarray::Axis(0), sizes, -&sizes];
            let intercept = if trial % 3 == 0 { 1e6 * random.random_range(-1.0..1.0) } else { 0.0 };
            let profile = Profile::new(1 + trial % 3).unwrap();
            let machine = DenseMachine::new(vectors.view(), coefficients.view(), intercept, profile, 1.0).unwrap();
            let x = match trial % 5 {
                0 => first.row(0).to_owned(),
                _ => Array1::from_shape_fn(d, |_| random.random_range(-1.0..1.0)),
            };
            let radius = 10f64.powf(random.random_range(-20.0..-3.0));
            let norm = if trial % 2 == 0 { Norm::Inf } else { Norm::Two };
            let sample = Sample::new(&machine, x.view(), Threat::new(norm)).unwrap();
            let effort = Effort { halvings: 1, ..Effort::default() };
            let bounds = [Method::Interval, Method::Relaxation, Method::Taylor]
                .map(|method| (method, sample.lower_bound(method, radius, f64::INFINITY, effort).max(f64::MIN)));
            let size = machine.weights.fold(intercept.abs(), |a, w| a + w.abs());
            for k in 0..8 {
                let step = Array1::from_shape_fn(d, |_| random.random_range(-1.0..1.0) / (d as f64).sqrt());
                // Rounding at most doubles a step.
                let at = if k == 0 { x.clone() } else { &x + &(step * (0.5 * radius)) };
                let exact = Exact::from(sample.sign()) * exact::value(&machine, at.view());
                for ((method, bound), nearest) in bounds.iter().zip(&mut nearest) {
                    let gap = (exact - Exact::from(*bound)).to_f64();
                    assert!(gap >= 0.0, "{trial}: {method:?} {gap:e} {radius:e}");
                    *nearest = nearest.min(gap / size);
                }
            }
        }
        // And they are near enough for that to say something.
        assert!(nearest.iter().all(|&gap| gap < 1e-11), "{nearest:?}");
    }

    #[test]
    fn the_search_finds_the_zero_from_below() {
        let exact = |value: f64| value;
        let passing_or_not = |value: f64| f64::INFINITY.copysign(value);
        let passing_or_by_how_much = |value: f64| if value > 0.0 { f64::INFINITY } else { value };
        let said: [&dyn Fn(f64) -> f64; 3] = [&exact, &passing_or_not, &passing_or_by_how_much];
        for (zero, say) in [0.001, 0.3, 0.97].into_iter().flat_map(|zero| said.map(|say| (zero, say))) {
            let mut search = Search { precision: 1e-3, low: 0.0, at_low: 1.0, high: 1.0, at_high: None };
            let mut passed = Vec::new();
            search.run(0.5, 60, &|| true, &mut |radius| {
                let value = say(1.0 - (radius / zero).powi(2));
                passed.push((radius, value));
                value
            });
            assert!(search.low <= zero && search.low > 0.99 * zero, "{zero}: {}", search.low);
            assert!(passed.iter().any(|&(radius, value)| radius == search.low && value > 0.0));
        }
        let mut search = Search { precision: 1e-3, low: 0.0, at_low: 1.0, high: 1.0, at_high: None };
        search.run(0.5, 60, &|| true, &mut |_| f64::NEG_INFINITY);
        assert_eq!(search.low, 0.0);
    }
}
