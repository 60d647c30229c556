//! Losses, and the kernel machines that a wide network is equivalent to when it is trained with them.
//!
//! A kernel machine is a function `g(x) = sum_i alpha_i K(x, x_i)`. Trained by (sub)gradient descent on
//! `lambda/2 |beta|^2 + sum_i l(g(x_i), y_i)` from `alpha = 0`, its outputs follow
//!
//! `dg_t(x)/dt = -lambda g_t(x) - sum_i l'(g_t(x_i), y_i) K(x, x_i)`
//!
//! (Eq. 8 of Chen, Huang, Nguyen, Weng, "On the Equivalence between Neural Network and Support Vector Machine",
//! NeurIPS 2021). A wide network trained on the same loss follows the same equation with its tangent kernel, which
//! hardly moves when the network is wide: that is the equivalence. With the hinge loss the machine is the
//! soft-margin SVM.
//!
//! This crate knows kernels as Gram matrices only; where they come from is not its concern.
//!
//! ```
//! use ndarray::array;
//! use widenet_machine::{Decay, Descent, Hinge, Loss, Objective};
//!
//! // The linear kernel of four points on a line.
//! let x = array![[-2.0], [-1.0], [1.0], [2.0]];
//! let gram = x.dot(&x.t());
//! let labels = array![-1.0, -1.0, 1.0, 1.0];
//!
//! let objective = Objective::new(0.01, 4)?;
//! let mut machine = Descent::new(objective, 0.1, Decay::Pegasos)?;
//! for _ in 0..1000 {
//!     machine.step(gram.view(), labels.view(), &Hinge, &[0, 1, 2, 3]);
//! }
//! let outputs = machine.outputs(gram.view());
//! assert!(Hinge.mean(outputs.as_slice().unwrap(), labels.as_slice().unwrap()) < 0.1);
//! # Ok::<(), widenet_machine::MachineError>(())
//! ```

mod bound;
mod calibration;
mod check;
mod classes;
mod decimal;
mod duality;
mod dynamics;
mod error;
mod flow;
mod libsvm;
mod loss;
mod multiclass;
mod objective;
mod path_kernel;
mod product;
mod saved;
mod solver;

pub use bound::RiskBound;
pub use calibration::Sigmoid;
pub use check::{check_gram, check_kernel, check_labels, check_labels_for, check_positive};
pub use classes::{Classes, is_positive, is_right};
pub use duality::Objectives;
pub use dynamics::{Decay, Descent};
pub use error::MachineError;
pub use flow::GradientFlow;
pub use libsvm::LibsvmError;
pub use loss::{EpsilonInsensitive, Hinge, Labels, Logistic, Loss, LossConfig, Squared, SquaredHinge};
pub use multiclass::{Machines, Outcome, Scheme, calibrate, deal};
pub use objective::Objective;
pub use path_kernel::PathKernel;
pub use saved::{SavedMachine, SavedMachineError, Task};
pub use solver::{KernelRows, Options, Progress, Ridge, Solution, Stop, conjugate_gradients, solve, solve_columns};
