//! Certified robustness of infinitely wide networks: how far an input may be moved before the decision can change.
mod attack;
mod certifier;
mod convexity;
mod cosines;
mod definite;
mod envelope;
mod error;
mod interval;
mod machine;
mod profile;
mod program;
mod quadratic;
mod region;
mod relaxation;

pub use attack::{Adversary, AttackEffort};
pub use certifier::{Certificate, Effort, Method, Sample};
pub use error::CertifyError;
pub use machine::DenseMachine;
pub use profile::Profile;
pub use region::{Norm, Threat};
