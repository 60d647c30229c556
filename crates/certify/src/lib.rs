//! Certified robustness of infinitely wide networks: how far an input may be moved before the decision can change.
//!
//! A wide network trained with a regularised loss is a kernel machine `g(x) = sum_i alpha_i K(x, x_i) + b` with its
//! tangent kernel `K`. For dense ReLU networks without biases, `K(x, x_i)` is `|x| |x_i|` times a convex function of
//! the cosine of the two inputs ([`Profile`]). That makes `g` something that can be bounded over a whole neighbourhood
//! of an input, and the largest neighbourhood where the bound keeps the sign of `g(x)` is a certificate: a proof that
//! no input in it is decided differently. An attack ([`Sample::attack`]) bounds the same radius from above.
//!
//! The bounds ([`Method`]) differ in one thing: by what every `p(u_i)`, `u_i = <x, x_i>/(|x| |x_i|)`, is replaced.
//!
//! | method | `p(u_i)` is bounded by | what is lost |
//! |---|---|---|
//! | [`Method::Interval`] | a number (Theorem 4.2 of the paper, its holes closed) | first order, term by term |
//! | [`Method::Relaxation`] | a line | second order, term by term |
//! | [`Method::Taylor`] | a parabola | third order, term by term |
//!
//! Terms lose what `alpha_i` of opposite sign would cancel, so the order decides how a bound fares when
//! `sum |alpha_i|` is large. The sum of the lines is minimised in closed form; the sum of the parabolas is a quadratic
//! that is made convex at the price of a diagonal. Both are computed per slice of `|x|`, which is halved where the
//! bound does not pass ([`Effort`]). Each bound is sound alone, and [`Method::Best`] takes the best.
//!
//! ```
//! use ndarray::array;
//! use widenet_certify::{AttackEffort, DenseMachine, Effort, Method, Norm, Profile, Sample, Threat};
//!
//! // Three support vectors of a two-layer network, and a sample.
//! let vectors = array![[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [1.0, 1.0, 0.0]];
//! let coefficients = array![2.0, -1.5, 0.3];
//! let machine = DenseMachine::new(vectors.view(), coefficients.view(), 0.0, Profile::new(1)?, 1.0)?;
//! let x = array![1.0, 0.2, 0.4];
//! let sample = Sample::new(&machine, x.view(), Threat { norm: Norm::Inf, domain: Some((0.0, 1.0)) })?;
//!
//! let adversary = sample.attack(AttackEffort::default(), 0).expect("there is an input of the other class");
//! let loose = sample.certify(Method::Interval, Effort::default(), None).radius;
//! let tight = sample.certify(Method::Best, Effort::default(), Some(adversary.radius)).radius;
//! assert!(0.0 < loose && loose < tight && tight <= adversary.radius);
//! assert!(tight > 2.0 * loose);
//! # Ok::<(), widenet_certify::CertifyError>(())
//! ```
//!
//! Networks of finite width are certified by bound propagation ([`CentredNetwork`]), whose radius falls with the
//! width.
//!
//! # What a certificate rests on
//!
//! It holds for the exact real function of the stored `f64` numbers, over the exact ball of the radius returned. Every
//! bound has an error bound of its own computation taken off, many times the error's size; what is in doubt is not
//! certified. Assumed is that:
//! - `f64` arithmetic is IEEE 754 with rounding to nearest, and sums of `n` terms are off by at most `n` units of
//!   rounding of the sum of the absolute terms, in whatever order they are added;
//! - `sqrt` is rounded correctly, as IEEE 754 wants it; `acos`, `sin` and `cos` of the platform, which the check of
//!   convexity takes, are right to within 4 units in the last place;
//! - a Cholesky factorisation that runs to its end means what Rump's theorem says it means.
//!
//! The unit vectors of the support vectors and their coefficients are rounded once, when a [`DenseMachine`] is made:
//! the function certified is that of the machine as it is kept, which is within about 1e-15 of the one on disk relative
//! to `sum_i |alpha_i K(x, x_i)|`.
//!
//! Power series with coefficients >= 0 make every derivative of [`Profile`] increasing on [0, 1]; that is proved where
//! it is defined. Convexity on [-1, 0] is checked by interval arithmetic whenever a profile is made.

mod arccos;
mod attack;
mod certifier;
mod convexity;
mod cosines;
mod definite;
mod envelope;
mod error;
#[cfg(test)]
mod exact;
mod interval;
mod machine;
mod network;
mod profile;
mod program;
mod quadratic;
mod region;
mod relaxation;

pub use attack::{Adversary, AttackEffort};
pub use certifier::{Certificate, Effort, Method, Sample};
pub use error::CertifyError;
pub use machine::DenseMachine;
pub use network::{CentredNetwork, DenseNetwork, NetworkMethod};
pub use profile::Profile;
pub use region::{Norm, Threat};
