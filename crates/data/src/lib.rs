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
//! let digits = widenet_data::mnist01()?;
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
//! there.
//!
//! Tables of features with labels are [`read`] from CSV and its relatives or from LIBSVM's format, whatever their name:
//!
//! ```
//! use std::path::Path;
//! use widenet_data::{Limits, Source, Told, read};
//!
//! let path = std::env::temp_dir().join(format!("widenet-{}.csv", std::process::id()));
//! std::fs::write(&path, "width;height;kind\n1.5;2;cat\n0.5;3;dog\n")?;
//! let samples = read(&Source::new(&path), &Told::default(), None, Limits::default())?;
//! # std::fs::remove_file(&path)?;
//! assert_eq!(samples.inputs, ndarray::array![[1.5, 2.0], [0.5, 3.0]]);
//! assert_eq!(samples.names, ["width", "height"]);
//! assert_eq!(samples.target.labels, [Some("cat".into()), Some("dog".into())]);
//! assert_eq!(samples.origin.notes, ["separated by semicolons"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod catalogue;
mod dataset;
mod encoding;
mod error;
mod fetch;
mod form;
mod idx;
mod mnist;
mod samples;
mod source;
mod table;

pub use catalogue::{Entry, Place, catalogue};
pub use dataset::{Dataset, Split};
pub use encoding::Encoding;
pub use error::{DataError, TableError};
pub use fetch::{FetchEvent, MNIST_MIRRORS, data_folder, fetch_mnist, mnist_folder};
pub use form::{Decimal, Form, Format, Known, LabelColumn, Told};
pub use idx::{Idx, IdxError};
pub use mnist::{from_folder, mnist01};
pub use samples::{Origin, Samples, Target};
pub use source::Source;
pub use table::{Limits, read};
