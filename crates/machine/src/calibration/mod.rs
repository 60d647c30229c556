//! From decision values to probabilities.

mod coupling;
mod sigmoid;

pub use sigmoid::Sigmoid;

pub(crate) use coupling::{couple, normalise};
