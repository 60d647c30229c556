//! Data sets for widenet: pictures as rows of a matrix, labels −1 and +1.
//!
//! A network and its kernel machine learn from the same two arrays. The inputs are a matrix
//! `[n, d]`: one picture in each row, its pixels flattened and scaled to [0, 1]. The labels are a
//! vector `[n]` of −1 and +1. A [`Dataset`] is that pair, and a [`Split`] is a training set with
//! its test set.
//!
//! The digits 0 and 1 of MNIST are part of the program, so nothing has to be downloaded to begin:
//!
//! ```
//! let digits = widenet_data::mnist01();
//! assert_eq!((digits.train.len(), digits.test.len()), (12_665, 2_115));
//!
//! // The first 100 pictures, each of 28 × 28 = 784 pixels.
//! let train = digits.train.first(100)?;
//! assert_eq!(train.inputs.dim(), (100, 784));
//! assert!(train.inputs.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
//!
//! // The label says which digit it is: −1 for a 0, +1 for a 1.
//! assert!(train.labels.iter().all(|&y| y == -1.0 || y == 1.0));
//! # Ok::<(), widenet_data::DataError>(())
//! ```
//!
//! Any other pair of digits needs the full set. [`fetch_mnist`] brings it to [`mnist_folder`], and
//! [`from_folder`] reads two classes of it. The files are [`Idx`] files, and so a folder of
//! another set in the same form (Fashion-MNIST, say) works as well. [`catalogue`] lists what is
//! there. A [`Table`] of features with labels is read from a CSV file or one in LIBSVM's format.

mod catalogue;
mod dataset;
mod error;
mod fetch;
mod idx;
mod mnist;
mod table;

pub use catalogue::{Entry, Place, catalogue};
pub use dataset::{Dataset, Split};
pub use error::DataError;
pub use fetch::{FetchEvent, MNIST_MIRRORS, data_folder, fetch_mnist, mnist_folder};
pub use idx::{Idx, IdxError};
pub use mnist::{from_folder, mnist01};
pub use table::Table;
