//! Random numbers: everything random hangs off one seed, through one counter-based stream per purpose.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

/// What a stream of random numbers is for. Streams of different purposes never overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The initial value of parameter number `index` of a network, in the order of its layers.
    Parameter = 0,
    /// The order of the samples in epoch number `index` of minibatch training.
    Batches = 1,
    /// The seeds of several networks of width `index`.
    Networks = 2,
    /// Labels by the toss of a coin, for the training samples (`index` 0) and the test samples (1).
    Labels = 3,
    /// The order in which samples are dealt to the folds of a cross-validation.
    Folds = 4,
}

/// The stream of one purpose and index under a seed. Streams are independent of each other and of the order in which
/// they are asked for, so a value drawn from one never depends on how much another was used.
///
/// ```
/// use rand::RngExt;
/// use widenet_model::{Purpose, stream};
///
/// let first: u64 = stream(7, Purpose::Batches, 3).random();
/// let again: u64 = stream(7, Purpose::Batches, 3).random();
/// assert_eq!(first, again);
/// ```
pub fn stream(seed: u64, purpose: Purpose, index: u64) -> ChaCha12Rng {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    rng.set_stream(((purpose as u64) << 56) | index);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn every_seed_purpose_and_index_has_its_own_numbers() {
        let mut first: Vec<u64> = Vec::new();
        for seed in [0, 1, u64::MAX] {
            for purpose in [Purpose::Parameter, Purpose::Batches] {
                for index in [0, 1, 1000] {
                    first.push(stream(seed, purpose, index).random());
                }
            }
        }
        let streams = first.len();
        first.sort_unstable();
        first.dedup();
        assert_eq!(first.len(), streams);
    }

    #[test]
    fn the_numbers_do_not_change_between_versions() {
        // Results are repeatable only as long as these numbers stay.
        let mut rng = stream(7, Purpose::Parameter, 2);
        let found: [u64; 2] = [rng.random(), rng.random()];
        assert_eq!(found, [8_581_553_370_131_974_960, 955_167_903_903_728_311]);
    }
}
