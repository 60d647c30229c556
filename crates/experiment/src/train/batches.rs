//! Which samples a step sees.

use rand::seq::SliceRandom;
use widenet_model::{Purpose, stream};

/// The batches of a run: the full set every time, or the pieces of a fresh shuffle in every epoch (the last piece of
/// an epoch may be smaller). Batch number `t` depends on the seed and `t` alone, so a resumed run sees the same ones.
pub struct Batches {
    seed: u64,
    size: Option<usize>,
    order: Vec<usize>,
    epoch: Option<usize>,
}

impl Batches {
    /// Batches of `size` samples, or all `samples` of them.
    pub fn new(seed: u64, samples: usize, size: Option<usize>) -> Self {
        Self { seed, size: size.filter(|&size| size < samples), order: (0..samples).collect(), epoch: None }
    }

    /// The batch of step `step`, counted from 0.
    pub fn at(&mut self, step: usize) -> &[usize] {
        let Some(size) = self.size else { return &self.order };
        let per_epoch = self.order.len().div_ceil(size);
        let (epoch, piece) = (step / per_epoch, step % per_epoch);
        if self.epoch != Some(epoch) {
            self.order.sort_unstable();
            self.order.shuffle(&mut stream(self.seed, Purpose::Batches, epoch as u64));
            self.epoch = Some(epoch);
        }
        let start = piece * size;
        &self.order[start..(start + size).min(self.order.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_sees_every_sample_once() {
        let mut batches = Batches::new(3, 10, Some(4));
        for epoch in 0..3 {
            let mut seen: Vec<usize> = (0..3).flat_map(|piece| batches.at(epoch * 3 + piece).to_vec()).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_batch_depends_on_seed_and_step_alone() {
        let mut batches = Batches::new(3, 10, Some(4));
        let sixth = batches.at(6).to_vec();
        assert_eq!(Batches::new(3, 10, Some(4)).at(6), sixth);
        assert_ne!(Batches::new(4, 10, Some(4)).at(6), sixth);
        assert_ne!(batches.at(0), sixth, "each epoch has its own order");
    }

    #[test]
    fn the_full_batch_is_in_order() {
        assert_eq!(Batches::new(3, 4, None).at(7), [0, 1, 2, 3]);
        assert_eq!(Batches::new(3, 4, Some(9)).at(7), [0, 1, 2, 3]);
    }
}
