//! The backends, by name.

use burn::tensor::{Device, FloatDType};
use serde::{Deserialize, Serialize};
use widenet_model::Precision;

/// Where tensors live and are computed. Every name is known in every build; a build without one says which cargo
/// feature brings it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// CPU, pure Rust, f32 and f64 (the default).
    #[default]
    Flex,
    /// CPU, Burn's older backend, kept for comparison.
    Ndarray,
    /// GPU through WebGPU shaders: Vulkan, Metal, DirectX 12 or OpenGL.
    Wgpu,
    /// GPU through Vulkan and SPIR-V, for real GPUs.
    Vulkan,
    /// NVIDIA GPUs.
    Cuda,
}

/// Why a backend cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BackendError {
    /// The program was built without it.
    #[error("backend {name} is not in this build; build with `--features {name}`")]
    NotCompiled {
        /// The backend's name.
        name: &'static str,
    },
    /// There is no device, or its driver failed.
    #[error("backend {name} does not work here: {problem}")]
    Unusable {
        /// The backend's name.
        name: &'static str,
        /// What the driver said, in one line.
        problem: String,
    },
    /// The device has no double precision.
    #[error("backend {name} has no f64 here; use --precision f32, or a CPU backend (flex)")]
    NoDouble {
        /// The backend's name.
        name: &'static str,
    },
}

impl Backend {
    /// All of them.
    pub const ALL: [Backend; 5] = [Backend::Flex, Backend::Ndarray, Backend::Wgpu, Backend::Vulkan, Backend::Cuda];

    /// The name used on the command line and in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Flex => "flex",
            Backend::Ndarray => "ndarray",
            Backend::Wgpu => "wgpu",
            Backend::Vulkan => "vulkan",
            Backend::Cuda => "cuda",
        }
    }

    /// Whether this build has it.
    pub fn compiled(self) -> bool {
        match self {
            Backend::Flex => true,
            Backend::Ndarray => cfg!(feature = "ndarray"),
            Backend::Wgpu => cfg!(feature = "wgpu"),
            Backend::Vulkan => cfg!(feature = "vulkan"),
            Backend::Cuda => cfg!(feature = "cuda"),
        }
    }

    /// Whether opening it goes through a driver, which can do anything, up to killing the process.
    pub fn has_driver(self) -> bool {
        !matches!(self, Backend::Flex | Backend::Ndarray)
    }

    /// The device, without autodiff.
    ///
    /// # Errors
    ///
    /// When the backend is not compiled in, has no device, or lacks the precision.
    pub fn open(self, precision: Precision) -> Result<Device, BackendError> {
        let name = self.name();
        if !self.compiled() {
            return Err(BackendError::NotCompiled { name });
        }
        let device = self.device()?;
        let wanted = match precision {
            Precision::F32 => FloatDType::F32,
            Precision::F64 => FloatDType::F64,
        };
        if precision == Precision::F64 && !device.supports_dtype(wanted) {
            return Err(BackendError::NoDouble { name });
        }
        Ok(device)
    }

    fn device(self) -> Result<Device, BackendError> {
        match self {
            #[cfg(feature = "ndarray")]
            // Burn means to drop it; it stays here for comparison as long as Burn has it.
            #[allow(deprecated)]
            Backend::Ndarray => Ok(Device::ndarray()),
            #[cfg(feature = "wgpu")]
            Backend::Wgpu => self.graphics(burn::tensor::wgpu::WgpuBackend::Auto),
            #[cfg(feature = "vulkan")]
            Backend::Vulkan => self.graphics(burn::tensor::wgpu::WgpuBackend::Vulkan),
            #[cfg(feature = "cuda")]
            Backend::Cuda => Ok(Device::cuda(0)),
            Backend::Flex => Ok(Device::flex()),
            #[allow(unreachable_patterns)] // when every feature is on
            _ => Err(BackendError::NotCompiled { name: self.name() }),
        }
    }

    #[cfg(feature = "wgpu")]
    fn graphics(self, api: burn::tensor::wgpu::WgpuBackend) -> Result<Device, BackendError> {
        let unusable = |problem: String| BackendError::Unusable {
            name: self.name(),
            problem: widenet_store::text::one_line(&problem),
        };
        Device::wgpu_options().graphics_api(api).init().map_err(|error| unusable(error.to_string()))
    }
}
