//! Between host arrays and tensors.

use burn::tensor::{Device, Tensor, TensorCreationOptions, TensorData};
use ndarray::{Array2, ArrayView2};

use crate::precision::Precision;

/// Samples `[n, d]` as a tensor.
pub fn to_tensor(x: ArrayView2<f64>, precision: Precision, device: &Device) -> Tensor<2> {
    let shape = [x.nrows(), x.ncols()];
    let data = match precision {
        Precision::F32 => TensorData::new(x.iter().map(|&v| v as f32).collect::<Vec<f32>>(), shape),
        Precision::F64 => TensorData::new(x.iter().copied().collect::<Vec<f64>>(), shape),
    };
    Tensor::from_data(data, TensorCreationOptions::new(device.clone()).with_dtype(precision.dtype()))
}

/// A matrix read back to the host, in f64.
///
/// # Errors
///
/// When the device fails; the message is the driver's.
pub fn to_host(tensor: Tensor<2>) -> Result<Array2<f64>, DeviceError> {
    let [rows, columns] = tensor.dims();
    let data = tensor.try_into_data_as::<f64>().map_err(|error| DeviceError(error.to_string()))?;
    let values = data.try_to_vec::<f64>().map_err(|error| DeviceError(format!("{error:?}")))?;
    Ok(Array2::from_shape_vec((rows, columns), values).expect("a tensor has as many values as its shape says"))
}

/// Whether this device's tensors live in the host's memory, where the program computes without Burn as well.
pub fn is_host(device: &Device) -> bool {
    device.clone().inner() == Device::flex()
}

/// The device failed while computing.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the device failed: {0}")]
pub struct DeviceError(pub String);
