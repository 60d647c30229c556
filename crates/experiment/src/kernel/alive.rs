//! Kernels from which nothing can be learned.

use ndarray::{ArrayView1, ArrayView2};
use widenet_data::{Dataset, Origin};
use widenet_model::Precision;
use widenet_tangent::Kernel;

use crate::error::Error;

/// Refuses images of which a kernel has no number, or one without digits, before anything is written.
pub(crate) fn check_images(kernel: &dyn Kernel, sets: &[&Dataset]) -> Result<(), Error> {
    sets.iter().try_for_each(|set| match kernel.diagonal(set.inputs.view()) {
        Ok(_) => Ok(()),
        Err(error) => {
            let origin = Origin { path: set.name.clone().into(), lines: Vec::new(), form: None, notes: Vec::new() };
            Err(Error::from(error).placed(&origin))
        }
    })
}

/// What is wrong with a kernel that is 0, or below the normal numbers of its format, for every sample though not all samples
/// are 0: every output of its machine is 0. It is given by its diagonal `[n]`. A limit kernel refuses even one such sample;
/// of a network single ones are rightly 0, where all its units are off.
pub(crate) fn lifeless(diagonal: ArrayView1<f64>, inputs: ArrayView2<f64>, precision: Precision) -> Option<String> {
    let least = match precision {
        Precision::F32 => f64::from(f32::MIN_POSITIVE),
        Precision::F64 => f64::MIN_POSITIVE,
    };
    let largest = diagonal.iter().fold(0.0, |most: f64, value| most.max(*value));
    let lifeless = largest < least && inputs.iter().any(|x| *x != 0.0);
    lifeless.then(|| {
        format!(
            "is at most {largest:e} for every sample, so that nothing can be learned from it: the features, or sigma_w over \
             all layers, are too small for {}, or no unit of the network is active; scale the features, or raise sigma_w \
             (ReLU keeps sizes at sigma_w = sqrt(2))",
            precision.name()
        )
    })
}

/// Refuses such a kernel; `whose` it is begins the sentence.
pub(crate) fn check_alive(
    whose: &str,
    diagonal: ArrayView1<f64>,
    inputs: ArrayView2<f64>,
    precision: Precision,
) -> Result<(), Error> {
    match lifeless(diagonal, inputs, precision) {
        None => Ok(()),
        Some(problem) => Err(Error::Lifeless(format!("{whose} {problem}"))),
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn what_is_alive_and_what_is_not() {
        let (inputs, none) = (array![[0.0], [2.0]], array![[0.0], [0.0]]);
        let dead =
            |diagonal: [f64; 2], precision| lifeless(array![diagonal[0], diagonal[1]].view(), inputs.view(), precision);
        // One sample is enough.
        assert_eq!(dead([0.0, 1e-300], Precision::F64), None);
        assert!(dead([0.0, 1e-300], Precision::F32).unwrap().starts_with("is at most 1e-300 for every sample"));
        assert!(dead([0.0, 1e-310], Precision::F64).unwrap().contains("too small for f64"));
        // Samples of zeros have the kernel 0.
        assert_eq!(lifeless(array![0.0, 0.0].view(), none.view(), Precision::F64), None);
    }
}
