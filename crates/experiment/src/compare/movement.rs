//! How far the tangent kernel moves during training.

use burn::module::Module;
use widenet_model::{Architecture, Network};
use widenet_tangent::{EmpiricalKernel, Kernel};

use super::{MovementConfig, Setup, relative_error};
use crate::config::{Parameters, Regulariser};
use crate::error::Error;
use crate::train::network::{NetworkDescent, Rule, Samples};

/// `|K(T) - K(0)|_F / |K(0)|_F` for the kernel of a network before and after training on the samples.
pub fn relative_change(
    setup: &Setup,
    architecture: &Architecture,
    seed: u64,
    training: &MovementConfig,
) -> Result<f64, Error> {
    let data = setup.data;
    let network = Network::init(architecture, seed, setup.config.precision, &setup.device.clone().autodiff());
    let samples = Samples::new(&network, data.inputs.view())?;
    let before = EmpiricalKernel::new(&network.initial()).gram_symmetric(data.inputs.view())?;
    let loss = training.loss.loss();
    let free = Rule {
        regulariser: Regulariser::None,
        lambda_mean: 0.0,
        learning_rate: training.learning_rate,
        parameters: Parameters::All,
    };
    let mut descent = NetworkDescent::new(network, &samples, data.labels.view(), loss, free, None);
    let all: Vec<usize> = (0..data.len()).collect();
    for step in 1..=training.steps.get() {
        crate::signals::check()?;
        let loss = descent.step(&all)?;
        if !loss.is_finite() {
            return Err(Error::Numerics(format!(
                "the change of the kernel: training diverged at step {step} (width {}); try a smaller training.learning_rate",
                architecture.width().unwrap_or_default()
            )));
        }
    }
    let after = EmpiricalKernel::new(&descent.network().valid()).gram_symmetric(data.inputs.view())?;
    Ok(relative_error(&after, &before))
}
