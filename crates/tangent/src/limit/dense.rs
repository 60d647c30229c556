//! The recursion where every pair of samples stands for itself.

use super::expectation::Lanes;
use super::marginals::Arguments;
use super::program::Step;
use widenet_model::host::Real;

/// Takes the covariances `s` and tangent kernels `t` of a run of pairs through all steps.
///
/// The first arguments' marginals are read from lane 0 on, the second arguments' from lane `start` on. Runs are short
/// enough to stay in the nearest cache, so that a Gram matrix is read and written once whatever the depth. `gaps` are
/// lowered to the smallest gap that the pairs have before an activation, see [`Expectation::apply`].
///
/// [`Expectation::apply`]: super::expectation::Expectation::apply
pub(super) fn advance<T: Real>(
    steps: &[Step],
    arguments: &mut impl Arguments<T>,
    start: usize,
    s: &mut [T],
    t: &mut [T],
    gaps: &mut [T],
) {
    for step in steps {
        match step {
            Step::Linear(linear) => {
                let (weight, bias) = (T::of(linear.weight), T::of(linear.bias));
                for (s, t) in s.iter_mut().zip(t.iter_mut()) {
                    *s = weight * *s + bias;
                    *t = weight * *t + *s;
                }
            }
            Step::Activation(expectation, slot) => {
                let (left, right) = arguments.at(*slot, expectation, s);
                expectation.apply(Lanes { values: left, start: 0 }, Lanes { values: right, start }, s, t, gaps);
            }
            Step::Residual(branch, shortcut) => {
                let (mut shortcut_s, mut shortcut_t) = (s.to_vec(), t.to_vec());
                advance(branch, arguments, start, s, t, gaps);
                advance(shortcut, arguments, start, &mut shortcut_s, &mut shortcut_t, gaps);
                add(s, &shortcut_s);
                add(t, &shortcut_t);
            }
            Step::Pool(_) => unreachable!("a single position is never pooled"),
        }
    }
}

/// `sum += term`, entry by entry.
#[inline(always)]
pub(super) fn add<T: Real>(sum: &mut [T], term: &[T]) {
    for (sum, &term) in sum.iter_mut().zip(term) {
        *sum += term;
    }
}
