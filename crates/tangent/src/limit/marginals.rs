//! Where an activation finds the marginals of its two arguments.

use super::expectation::Expectation;
use widenet_model::host::Real;

/// The marginals of one or many samples, one matrix `[width, lanes]` for every activation of the architecture.
pub(super) type Slots<T> = Vec<Vec<T>>;

/// The two arguments of a kernel.
pub(super) trait Arguments<T> {
    /// The marginals of both arguments at an activation. `variances` are the covariances that reach it.
    fn at(&mut self, slot: usize, expectation: &Expectation, variances: &[T]) -> (&[T], &[T]);
}

/// Samples beside themselves: the covariances that reach an activation are the variances, and give its marginals.
///
/// The first visit of a slot must be with the covariances of every lane with itself.
pub(super) struct Own<T>(pub(super) Slots<T>);

impl<T: Real> Arguments<T> for Own<T> {
    fn at(&mut self, slot: usize, expectation: &Expectation, variances: &[T]) -> (&[T], &[T]) {
        if self.0[slot].is_empty() {
            self.0[slot] = expectation.marginals(variances);
        }
        (&self.0[slot], &self.0[slot])
    }
}

/// Two samples, or one sample beside many, whose marginals are known.
pub(super) struct Cross<'a, T> {
    /// Marginals of the first argument.
    pub(super) left: &'a Slots<T>,
    /// Marginals of the second argument.
    pub(super) right: &'a Slots<T>,
}

impl<T: Real> Arguments<T> for Cross<'_, T> {
    fn at(&mut self, slot: usize, _: &Expectation, _: &[T]) -> (&[T], &[T]) {
        (&self.left[slot], &self.right[slot])
    }
}
