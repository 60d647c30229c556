//! What the program says when it fails, and with which exit code.

use std::path::PathBuf;

use crate::memory::readable;

/// Why a command failed. One line each.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The configuration is well formed but asks for something impossible.
    #[error("{0}")]
    Setting(String),
    /// The backend.
    #[error(transparent)]
    Backend(#[from] crate::backend::BackendError),
    /// The data.
    #[error(transparent)]
    Data(#[from] widenet_data::DataError),
    /// A table.
    #[error("{error}{advice}")]
    Table {
        /// What is wrong.
        error: widenet_data::DataError,
        /// What to do.
        advice: &'static str,
    },
    /// The architecture.
    #[error("architecture: {0}")]
    Architecture(#[from] widenet_model::ArchitectureError),
    /// The kernel.
    #[error(transparent)]
    Kernel(#[from] widenet_tangent::KernelError),
    /// The machine.
    #[error(transparent)]
    Machine(#[from] widenet_machine::MachineError),
    /// A machine on disk.
    #[error(transparent)]
    SavedMachine(#[from] widenet_machine::SavedMachineError),
    /// A machine that LIBSVM does not have.
    #[error("--libsvm: {0}")]
    Libsvm(#[from] widenet_machine::LibsvmError),
    /// Something that cannot be certified.
    #[error(transparent)]
    Certify(#[from] widenet_certify::CertifyError),
    /// A network on disk.
    #[error(transparent)]
    Storage(#[from] widenet_model::StorageError),
    /// The device.
    #[error(transparent)]
    Device(#[from] widenet_model::DeviceError),
    /// A plot.
    #[error(transparent)]
    Plot(#[from] crate::plot::PlotError),
    /// A saved kernel.
    #[error(transparent)]
    Gram(#[from] crate::gram_file::GramFileError),
    /// A file or folder.
    #[error("{}: {problem}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There is not enough memory.
    #[error("{what} needs about {}, but {} of memory are free", readable(*needed), readable(*free))]
    Memory {
        /// What for.
        what: String,
        /// Bytes it takes.
        needed: u64,
        /// Bytes there are.
        free: u64,
    },
    /// A computation on the host failed.
    #[error("cannot compute {0}")]
    Numerics(String),
    /// The run folder is there already.
    #[error("{} exists; --resume continues it, --force replaces it, --out names another", path.display())]
    Exists {
        /// The run folder.
        path: PathBuf,
    },
    /// Training diverged.
    #[error(
        "training diverged at step {step}: the {who}'s loss is {loss} (the last finite one was {last}); try a smaller \
         training.learning_rate. What was recorded until then is in {}", folder.display()
    )]
    Diverged {
        /// The network or the machine.
        who: &'static str,
        /// The step, from 1.
        step: usize,
        /// The loss: NaN or infinite.
        loss: f64,
        /// The loss before.
        last: f64,
        /// The run folder.
        folder: PathBuf,
    },
}

impl Error {
    /// 2 for a command or configuration that cannot be meant, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_) | Error::Setting(_) | Error::Architecture(_) => 2,
            Error::Backend(crate::backend::BackendError::NotCompiled { .. }) => 2,
            Error::Certify(_) | Error::Libsvm(_) => 2,
            Error::Machine(_) | Error::Kernel(widenet_tangent::KernelError::Unsupported { .. }) => 2,
            _ => 1,
        }
    }

    /// A file or folder that could not be used.
    pub fn file(path: impl Into<PathBuf>, problem: impl ToString) -> Self {
        Error::File { path: path.into(), problem: problem.to_string() }
    }

    /// What is there already, where nothing can be resumed.
    pub(crate) fn exists(path: impl Into<PathBuf>) -> Self {
        Error::file(path, "exists; --force replaces it, --out names another")
    }

    /// The same error as a command tells it that has no `--resume`.
    pub(crate) fn without_resuming(self) -> Self {
        match self {
            Error::Exists { path } => Error::exists(path),
            error => error,
        }
    }
}
