//! What can be certified, from disk.

use std::path::Path;

use ndarray::{Array1, Array2, ArrayView1, s};
use widenet_certify::{
    Adversary, AttackEffort, CentredNetwork, CertifyError, DenseMachine, DenseNetwork, Effort, Method, NetworkMethod,
    Norm, Profile, Sample, Threat,
};
use widenet_machine::SavedMachine;
use widenet_model::{Activation, Architecture, Layer, Network, Node, Precision, to_host};
use widenet_store::numbers::count;

use super::command::MethodName;
use crate::backend::Backend;
use crate::config::defaults;
use crate::error::Error;
use crate::kernel::KernelKind;
use crate::machine_kernel::MachineKernel;

/// A model whose decisions can be certified.
pub enum Model {
    /// The infinitely wide network.
    Machine {
        /// Of how many hidden layers.
        depth: usize,
        /// `sum_i |alpha_i|`: what bounds that go term by term grow with.
        sum_abs_alpha: f64,
        /// The class where the output is not above 0, and where it is.
        classes: [String; 2],
        /// The samples that it was fitted to.
        known: widenet_data::Known,
        /// As it is bounded.
        machine: Box<DenseMachine>,
    },
    /// A network of finite width with its initialisation.
    Network {
        /// `f`.
        network: DenseNetwork,
        /// `f_0`.
        initial: DenseNetwork,
        /// Of the hidden layers, from the input on.
        widths: Vec<usize>,
    },
}

/// A decision with its attack: the radius within which the adversary was found.
pub struct Outcome {
    /// The output, whose sign decides.
    pub value: f64,
    /// A radius for each method asked for.
    pub radii: Vec<f64>,
    /// Which method [`MethodName::Best`] took, if it was asked for and one has shown something.
    pub winner: Option<MethodName>,
    /// The nearest input of the other class that was found.
    pub adversary: Option<Adversary>,
}

impl Model {
    /// Reads a machine or a network.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if path.is_dir() {
            return Err(Error::file(path, "is a folder: name the machine.npz or the weights.safetensors in it"));
        }
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("npz") => Self::machine(path),
            Some("safetensors") => Self::network(path),
            _ => Err(Error::file(path, "is neither a machine (.npz) nor a network (.safetensors)")),
        }
    }

    fn machine(path: &Path) -> Result<Self, Error> {
        let saved = SavedMachine::read(path)?;
        let refused = |why: String| Error::Setting(format!("{}: {why}", path.display()));
        let classes: [String; 2] =
            saved.classes.clone().try_into().map_err(|classes: Vec<String>| match classes.len() {
                0 => refused(
                    "it was fitted to numbers; only decisions between two classes can be certified (`widenet fit \
                     --multiclass one-versus-one` takes labels for classes whatever the loss)"
                        .into(),
                ),
                count => {
                    refused(format!("it tells {count} classes apart; only decisions between two can be certified"))
                }
            })?;
        let (coefficients, intercept) = saved.one_output()?;
        let kernel = MachineKernel::parse(&saved.kernel)
            .map_err(|problem| refused(format!("its kernel is not one that can be certified: {problem}")))?;
        let architecture = match &kernel {
            MachineKernel::Limit { kind: KernelKind::Ntk, architecture } => architecture,
            MachineKernel::Limit { .. } => {
                return Err(refused(
                    "it has the Gaussian process kernel; only tangent kernels can be certified".into(),
                ));
            }
            _ => return Err(refused("it has no limit kernel; only those can be certified".into())),
        };
        let dense = dense_relu(architecture).map_err(&refused)?;
        let sigma_w = dense[0].1;
        if let Some((_, other)) = dense.iter().find(|(_, sigma)| *sigma != sigma_w) {
            return Err(refused(format!("its layers have different sigma_w ({sigma_w} and {other})")));
        }
        let depth = dense.len() - 1;
        Ok(Self::Machine {
            depth,
            sum_abs_alpha: coefficients.iter().map(|alpha| alpha.abs()).sum(),
            classes,
            known: crate::fit::known(path, &saved)?,
            machine: Box::new(DenseMachine::new(
                saved.inputs.view(),
                coefficients,
                intercept,
                Profile::new(depth)?,
                sigma_w,
            )?),
        })
    }

    fn network(path: &Path) -> Result<Self, Error> {
        let device = crate::probe::open(Backend::Flex, Precision::F64)?;
        Self::of_network(Network::load(path, &device)?).map_err(|error| match error {
            Error::Setting(why) => Error::Setting(format!("{}: {why}", path.display())),
            error => error,
        })
    }

    /// A network, to be certified less its initialisation.
    pub fn of_network(network: Network) -> Result<Self, Error> {
        let dense = dense_relu(network.architecture()).map_err(Error::Setting)?;
        let widths = dense[..dense.len() - 1].iter().map(|(units, _)| *units).collect();
        let (initial, last) = (network.initial(), on_host(&network)?);
        // A wide network's weights fill memory: they are not kept beside the second copy.
        drop(network);
        Ok(Self::Network { initial: on_host(&initial)?, network: last, widths })
    }

    /// The class where the output is not above 0, and where it is.
    pub fn classes(&self) -> [String; 2] {
        match self {
            Self::Machine { classes, .. } => classes.clone(),
            Self::Network { .. } => ["-1", "+1"].map(String::from),
        }
    }

    /// The digits for which the output is negative, and positive: a machine's own; of a network, which does not know
    /// them, those that are `asked` for, or 0 and 1.
    pub fn digits(&self, asked: Option<[u8; 2]>) -> Result<[u8; 2], Error> {
        let Self::Machine { classes, .. } = self else {
            return Ok(asked.unwrap_or_else(defaults::classes));
        };
        let [first, second] = classes.each_ref().map(|name| widenet_store::text::shown(name));
        let refused = |why: &str| Err(Error::Setting(format!("the machine tells {first} and {second} apart{why}")));
        let (Ok(negative), Ok(positive)) = (first.parse(), second.parse()) else {
            return refused(", which are no digits: --data names its samples");
        };
        match asked {
            Some([a, b]) if [a, b] != [negative, positive] && [b, a] != [negative, positive] => {
                refused(&format!(", not {a} and {b}"))
            }
            _ => Ok([negative, positive]),
        }
    }

    /// What is known of the samples that it learned from.
    pub fn known(&self) -> widenet_data::Known {
        match self {
            Self::Machine { known, .. } => known.clone(),
            Self::Network { .. } => widenet_data::Known { features: self.features(), ..Default::default() },
        }
    }

    /// Number of features of a sample.
    pub fn features(&self) -> usize {
        match self {
            Self::Machine { machine, .. } => machine.features(),
            Self::Network { network, .. } => network.features(),
        }
    }

    /// The network, if it is one, less its initialisation.
    pub fn centred(&self) -> Option<CentredNetwork<'_>> {
        match self {
            Self::Network { network, initial, .. } => Some(CentredNetwork { network, initial }),
            Self::Machine { .. } => None,
        }
    }

    /// In a few words.
    pub fn describe(&self) -> String {
        match self {
            Self::Machine { depth, machine, .. } => format!(
                "machine with the limit tangent kernel of {}, {}",
                count(*depth, "hidden layer"),
                count(machine.support(), "support vector")
            ),
            Self::Network { widths, .. } => {
                let widths: Vec<String> = widths.iter().map(ToString::to_string).collect();
                format!("network of width {}, less its initialisation", widths.join(", "))
            }
        }
    }

    /// Refuses what a method cannot do.
    pub fn check(&self, method: MethodName, threat: Threat) -> Result<(), Error> {
        let refused = |why: &str| Err(Error::Setting(format!("--method {}: {why}", method.name())));
        match (method, self) {
            (MethodName::Published, _) if threat.norm != Norm::Inf || threat.domain.is_some() => {
                refused("the published code knows --norm inf without --domain only")
            }
            (MethodName::Published, Self::Machine { depth: 2.., .. }) => {
                refused("the published code knows the kernel of one hidden layer only")
            }
            (MethodName::Taylor, Self::Network { .. }) => {
                refused("networks are bounded by interval, relaxation or best")
            }
            _ => Ok(()),
        }
    }

    /// Attacks one sample and certifies it by every method.
    pub fn certify(
        &self,
        x: ArrayView1<f64>,
        methods: &[MethodName],
        threat: Threat,
        effort: Effort,
    ) -> Result<Outcome, CertifyError> {
        match self {
            Self::Machine { machine, .. } => {
                let sample = Sample::new(machine, x, threat)?;
                let adversary = sample.attack(AttackEffort::default(), 0);
                let upper = adversary.as_ref().map(|found| found.radius);
                let mut known = Known::default();
                for &method in methods {
                    match method {
                        MethodName::Published => known.put(method, || Ok(sample.published(MACHINE_START)))?,
                        _ => known.certify(method, &SOUND, &|method| {
                            let method = match method {
                                MethodName::Interval => Method::Interval,
                                MethodName::Relaxation => Method::Relaxation,
                                _ => Method::Taylor,
                            };
                            Ok(sample.certify(method, effort, upper).radius)
                        })?,
                    }
                }
                Ok(known.outcome(sample.value(), methods, adversary))
            }
            Self::Network { network, initial, .. } => {
                let centred = CentredNetwork { network, initial };
                let adversary = centred.attack(x, threat, AttackEffort::default(), 0)?;
                let mut known = Known::default();
                for &method in methods {
                    match method {
                        MethodName::Published => known.put(method, || Ok(centred.published(x, NETWORK_START)))?,
                        _ => known.certify(method, &SOUND[..2], &|method| {
                            let method = match method {
                                MethodName::Interval => NetworkMethod::Interval,
                                _ => NetworkMethod::Crown,
                            };
                            centred.certify(x, threat, method, effort.precision)
                        })?,
                    }
                }
                Ok(known.outcome(centred.value(x), methods, adversary))
            }
        }
    }
}

/// Where the published code starts its search for machines.
pub const MACHINE_START: f64 = 0.05;
/// Where it starts for networks.
pub const NETWORK_START: f64 = 0.01;

/// The methods that [`MethodName::Best`] is the best of; networks have the first two.
const SOUND: [MethodName; 3] = [MethodName::Interval, MethodName::Relaxation, MethodName::Taylor];

/// Radii found so far: none is computed twice.
#[derive(Default)]
struct Known {
    radii: Vec<(MethodName, f64)>,
    winner: Option<MethodName>,
}

impl Known {
    fn get(&self, method: MethodName) -> Option<f64> {
        self.radii.iter().find(|(known, _)| *known == method).map(|(_, radius)| *radius)
    }

    fn put(
        &mut self,
        method: MethodName,
        radius: impl FnOnce() -> Result<f64, CertifyError>,
    ) -> Result<(), CertifyError> {
        if self.get(method).is_none() {
            self.radii.push((method, radius()?));
        }
        Ok(())
    }

    /// A sound method, or the best of `sound`.
    fn certify(
        &mut self,
        method: MethodName,
        sound: &[MethodName],
        radius: &dyn Fn(MethodName) -> Result<f64, CertifyError>,
    ) -> Result<(), CertifyError> {
        if method != MethodName::Best {
            return self.put(method, || radius(method));
        }
        let mut best = (sound[0], f64::NEG_INFINITY);
        for &method in sound {
            self.put(method, || radius(method))?;
            if let Some(radius) = self.get(method).filter(|radius| *radius > best.1) {
                best = (method, radius);
            }
        }
        // Where nothing was shown nobody has won.
        self.winner = (best.1 > 0.0).then_some(best.0);
        self.radii.push((MethodName::Best, best.1));
        Ok(())
    }

    fn outcome(self, value: f64, methods: &[MethodName], adversary: Option<Adversary>) -> Outcome {
        let radii = methods.iter().map(|method| self.get(*method).expect("every method has run")).collect();
        Outcome { value, radii, winner: self.winner, adversary }
    }
}

/// The units and `sigma_w` of the dense layers of `(flatten,) dense, ReLU, ..., dense` with one output and no biases;
/// otherwise why it is something else.
fn dense_relu(architecture: &Architecture) -> Result<Vec<(usize, f64)>, String> {
    let mut dense = Vec::new();
    let layers = architecture.layers().iter().filter(|layer| !matches!(layer, Layer::Flatten));
    for (k, layer) in layers.enumerate() {
        match layer {
            Layer::Dense(layer) if layer.sigma_b != 0.0 => {
                return Err(format!("a layer has biases (sigma_b = {}); they cannot be certified", layer.sigma_b));
            }
            Layer::Dense(layer) if k % 2 == 0 => dense.push((layer.units.get(), layer.sigma_w)),
            Layer::Activation(Activation::Relu) if k % 2 == 1 => (),
            layer => {
                let what = match layer {
                    Layer::Activation(activation) => format!("{activation:?}"),
                    layer => layer.name().into(),
                };
                return Err(format!(
                    "its layers are not dense ones with ReLU between them ({what} at position {}); others cannot be \
                     certified",
                    k + 1
                ));
            }
        }
    }
    let others = architecture.layers().iter().filter(|layer| matches!(layer, Layer::Activation(_))).count();
    match architecture.output_size() {
        1 if dense.len() >= 2 && dense.len() == others + 1 => Ok(dense),
        1 => Err("it has no hidden layer, or ends with an activation; such networks cannot be certified".into()),
        outputs => Err(format!("it has {}, but one is wanted", count(outputs, "output"))),
    }
}

/// Units whose weights are read at a time: those of a wide layer fill memory, and are not held twice.
const UNITS: usize = 1 << 14;

/// The weights as plain matrices, with the scales multiplied in.
fn on_host(network: &Network) -> Result<DenseNetwork, Error> {
    let mut layers = Vec::new();
    for node in network.nodes() {
        if let Node::Dense(dense) = node {
            let weight = dense.weight.val();
            let [fan_in, units] = weight.dims();
            let mut by_unit = Array2::zeros((units, fan_in));
            for start in (0..units).step_by(UNITS) {
                let end = units.min(start + UNITS);
                let part = to_host(weight.clone().slice([0..fan_in, start..end]))? * dense.w_scale;
                by_unit.slice_mut(s![start..end, ..]).assign(&part.t());
            }
            layers.push((by_unit.reversed_axes(), Array1::zeros(units)));
        }
    }
    Ok(DenseNetwork::new(layers)?)
}
