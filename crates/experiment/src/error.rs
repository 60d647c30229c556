//! What the program says when it fails, and with which exit code.

use std::path::PathBuf;

use widenet_store::StoreError;
use widenet_store::numbers::number;

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
    /// A sample that cannot be certified.
    #[error("sample {position} (counted from 0): {source}")]
    Sample {
        /// Its position among all samples.
        position: usize,
        /// Why.
        source: widenet_certify::CertifyError,
    },
    /// A sample of a file whose kernel or output is beyond numbers, or below them.
    #[error("{place}: {error}")]
    Placed {
        /// Its file and line.
        place: String,
        /// Why.
        error: Box<Error>,
    },
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
    #[error("{error}{}", advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default())]
    Memory {
        /// What needs how much, and how much there is.
        error: widenet_store::memory::MemoryError,
        /// What would fit, if that is known.
        advice: Option<String>,
    },
    /// A kernel from which nothing can be learned.
    #[error("{0}")]
    Lifeless(String),
    /// A computation on the host failed.
    #[error("cannot compute {0}")]
    Numerics(String),
    /// What is on disk, or should be.
    #[error("{error}{advice}")]
    Store {
        /// What is wrong.
        error: StoreError,
        /// What to do.
        advice: &'static str,
    },
    /// A signal ended it.
    #[error("stopped by {}{what}", crate::signals::name(*signal))]
    Interrupted {
        /// Which.
        signal: i32,
        /// What was kept, and how to go on.
        what: String,
    },
    /// Training diverged.
    #[error(
        "training diverged at step {step}: the {who}'s {what} is {value}{}; try {}{}",
        last.map_or(String::new(), |last| format!(" (its last finite loss was {})", number(last))),
        if *step == 0 { "sigma_w and sigma_b near 1, and features of a smaller size" } else { "a smaller training.learning_rate" },
        folder.as_ref().map_or(String::new(), |folder| format!(". What was recorded until then is in {}", folder.display()))
    )]
    Diverged {
        /// The network, the machine or the linearised network.
        who: &'static str,
        /// The step, from 1; 0 is the start.
        step: usize,
        /// What is not finite.
        what: &'static str,
        /// Its value: NaN or infinite.
        value: f64,
        /// Its own loss before, if there was one.
        last: Option<f64>,
        /// The run folder, if anything was recorded.
        folder: Option<PathBuf>,
    },
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let advice = match &error {
            StoreError::Exists { .. } => "; --resume continues it, --force replaces it, --out names another",
            StoreError::Unfinished { .. } => "; --resume goes on with it, --force starts anew",
            StoreError::Locked { .. } => "; wait until it has ended, or name another by --out",
            StoreError::NotARun { .. } | StoreError::Foreign { .. } | StoreError::Here { .. } => {
                "; --out names another"
            }
            StoreError::Lost { .. } => "; put it back, or start anew by --force",
            StoreError::Damaged { .. } | StoreError::Other { .. } => "; --force starts anew",
            _ => "",
        };
        Error::Store { error, advice }
    }
}

impl Error {
    /// 2 for a command or configuration that cannot be meant, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_) | Error::Setting(_) | Error::Architecture(_) => 2,
            Error::Backend(crate::backend::BackendError::NotCompiled { .. }) => 2,
            Error::Certify(_) | Error::Sample { .. } | Error::Libsvm(_) => 2,
            Error::Placed { error, .. } => error.exit_code(),
            Error::Interrupted { signal, .. } => 128 + *signal as u8,
            Error::Machine(_) | Error::Kernel(widenet_tangent::KernelError::Unsupported { .. }) => 2,
            _ => 1,
        }
    }

    /// A file or folder that could not be used.
    pub fn file(path: impl Into<PathBuf>, problem: impl ToString) -> Self {
        Error::File { path: path.into(), problem: problem.to_string() }
    }

    /// The same error with the file and line of the sample that it is about.
    pub(crate) fn placed(mut self, origin: &widenet_data::Origin) -> Self {
        match self.sample() {
            Some(&mut sample) => Error::Placed { place: origin.place(sample), error: Box::new(self) },
            None => self,
        }
    }

    /// The same error, which counts samples from the given one on, counting from the first.
    pub(crate) fn counted_from(mut self, first: usize) -> Self {
        if let Some(sample) = self.sample() {
            *sample += first;
        }
        self
    }

    /// The position of the sample that it is about.
    fn sample(&mut self) -> Option<&mut usize> {
        use widenet_machine::MachineError;
        use widenet_tangent::KernelError;
        match self {
            Error::Kernel(
                KernelError::NotFinite { row, .. }
                | KernelError::Overflow { row, .. }
                | KernelError::Underflow { row, .. },
            ) => Some(row),
            Error::Machine(MachineError::Output { sample, .. }) => Some(sample),
            _ => None,
        }
    }

    /// What is there already, where nothing can be resumed.
    pub(crate) fn exists(path: impl Into<PathBuf>) -> Self {
        Error::file(path, "exists; --force replaces it, --out names another")
    }

    /// The same error as a command tells it that has no `--resume`.
    pub(crate) fn without_resuming(self) -> Self {
        match self {
            Error::Store { error: error @ (StoreError::Exists { .. } | StoreError::Unfinished { .. }), .. } => {
                Error::Store { error, advice: "; --force replaces it, --out names another" }
            }
            error => error,
        }
    }
}
