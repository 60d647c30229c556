//! MNIST: grey pictures of handwritten digits, 28 × 28 pixels.

use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2};
use widenet_store::memory;

use crate::idx::locate;
use crate::{DataError, Dataset, Idx, Split};

/// Images and labels: the names of the two training files, without `.gz`.
pub(crate) const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
/// Images and labels: the names of the two test files, without `.gz`.
pub(crate) const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

/// The digits 0 and 1 of MNIST: 12 665 training and 2 115 test images, in their original order.
///
/// The label of a 0 is −1, that of a 1 is +1. The files are part of the program, so this works
/// from any folder and without a network.
///
/// # Errors
///
/// [`DataError`] when there is not enough memory: some 100 MB.
pub fn mnist01() -> Result<Split, DataError> {
    macro_rules! file {
        ($name:literal) => {
            include_bytes!(concat!("../../../data/mnist01/", $name, "-ubyte.gz")).as_slice()
        };
    }
    let part = |images, labels| {
        let unreadable = |problem| DataError::Idx { path: "mnist01".into(), problem };
        Part {
            images: Idx::from_bytes(images).map_err(unreadable)?,
            labels: Idx::from_bytes(labels).map_err(unreadable)?,
            paths: ["mnist01"; 2].map(PathBuf::from),
        }
        .select("mnist01", [0, 1])
    };
    Ok(Split {
        train: part(file!("train-images-idx3"), file!("train-labels-idx1"))?,
        test: part(file!("t10k-images-idx3"), file!("t10k-labels-idx1"))?,
    })
}

/// Two classes of a set in the form of MNIST, in their original order.
///
/// The folder holds four [IDX files](Idx) under the names of MNIST: `train-images-idx3-ubyte`,
/// `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each with or
/// without `.gz` (with it, where both are there). The label of `classes[0]` is −1, that of
/// `classes[1]` is +1. The set is named after the folder and the classes: `mnist-3-8`.
///
/// # Errors
///
/// [`DataError`] when the two classes are equal, a file is missing or damaged, images and labels
/// differ in number, training and test images differ in size, or a class is absent from either.
pub fn from_folder(folder: &Path, classes: [u8; 2]) -> Result<Split, DataError> {
    let [minus, plus] = classes;
    if minus == plus {
        return Err(DataError::SameClass { class: plus });
    }
    let folder_name = folder.file_name().map_or("set".into(), |name| name.to_string_lossy());
    let name = format!("{folder_name}-{minus}-{plus}");
    let train = Part::read(folder, TRAIN)?.select(&name, classes)?;
    let test = Part::read(folder, TEST)?.select(&name, classes)?;
    if train.shape != test.shape {
        let size = |[_, height, width]: [usize; 3]| [height, width];
        return Err(DataError::SizeMismatch {
            folder: folder.to_path_buf(),
            train: size(train.shape),
            test: size(test.shape),
        });
    }
    Ok(Split { train, test })
}

/// All images `[n, height, width]` and labels `[n]` of one half, with the files they are from.
struct Part {
    images: Idx<3>,
    labels: Idx<1>,
    paths: [PathBuf; 2],
}

impl Part {
    fn read(folder: &Path, [images, labels]: [&str; 2]) -> Result<Self, DataError> {
        let paths = [locate(folder, images)?, locate(folder, labels)?];
        Ok(Self { images: Idx::from_path(&paths[0])?, labels: Idx::from_path(&paths[1])?, paths })
    }

    /// The images of two classes, scaled to [0, 1].
    fn select(self, name: &str, classes: [u8; 2]) -> Result<Dataset, DataError> {
        let [image_count, height, width] = self.images.dims();
        let (pixels, labels) = (self.images.data(), self.labels.data());
        let [images_path, labels_path] = self.paths;
        if image_count != labels.len() {
            return Err(DataError::CountMismatch {
                images: images_path,
                image_count,
                labels: labels_path,
                label_count: labels.len(),
            });
        }
        for class in classes {
            if !labels.contains(&class) {
                let available = (0..=u8::MAX).filter(|c| labels.contains(c)).collect();
                return Err(DataError::ClassAbsent { path: labels_path, class, available });
            }
        }
        let kept: Vec<usize> = (0..image_count).filter(|&i| classes.contains(&labels[i])).collect();
        let d = height * width;
        let needed = (kept.len() as u64).saturating_mul(8 * d as u64);
        memory::check(needed, || format!("{} images of {d} pixels", kept.len()))
            .map_err(|error| DataError::Idx { path: images_path, problem: error.into() })?;
        Ok(Dataset {
            name: name.to_owned(),
            inputs: Array2::from_shape_fn((kept.len(), d), |(row, pixel)| {
                f64::from(pixels[kept[row] * d + pixel]) / 255.0
            }),
            labels: Array1::from_iter(kept.iter().map(|&i| if labels[i] == classes[1] { 1.0 } else { -1.0 })),
            shape: [1, height, width],
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn images(n: u32, height: u32, width: u32) -> Idx<3> {
        let data = (0..n * height * width).map(|i| (i % 256) as u8).collect();
        Idx::new([n, height, width], data).unwrap()
    }

    fn labels(labels: &[u8]) -> Idx<1> {
        Idx::new([labels.len() as u32], labels.to_vec()).unwrap()
    }

    /// A folder with 5 training images (compressed) and 3 test images (plain) of 2 × 3 pixels.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        images(5, 2, 3).write(&at(&format!("{}.gz", TRAIN[0]))).unwrap();
        labels(&[3, 8, 1, 3, 8]).write(&at(&format!("{}.gz", TRAIN[1]))).unwrap();
        images(3, 2, 3).write(&at(TEST[0])).unwrap();
        labels(&[8, 1, 3]).write(&at(TEST[1])).unwrap();
        folder
    }

    #[test]
    fn the_built_in_digits_are_complete() {
        let Split { train, test } = mnist01().unwrap();
        for (set, zeros, ones) in [(&train, 5_923, 6_742), (&test, 980, 1_135)] {
            let count = |y| set.labels.iter().filter(|&&label| label == y).count();
            assert_eq!((count(-1.0), count(1.0)), (zeros, ones));
            assert_eq!(set.len(), zeros + ones);
            assert_eq!((set.dim(), set.shape), (784, [1, 28, 28]));
            assert_eq!(set.name, "mnist01");
            assert!(set.inputs.iter().all(|pixel| (0.0..=1.0).contains(pixel)));
        }
        // The training set begins 5 0 4 1 9 2 1: its first 0 has a white middle, its first 1 a black.
        assert_eq!(train.labels.slice(ndarray::s![..3]).to_vec(), [-1.0, 1.0, 1.0]);
        let middle = 14 * 28 + 14;
        assert!(train.inputs[[0, middle]] < 0.1 && train.inputs[[1, middle]] > 0.9);
    }

    #[test]
    fn two_classes_are_kept_in_order() {
        let folder = folder();
        let Split { train, test } = from_folder(folder.path(), [8, 3]).unwrap();
        assert_eq!(train.labels.to_vec(), [1.0, -1.0, 1.0, -1.0]);
        assert_eq!(test.labels.to_vec(), [-1.0, 1.0]);
        assert_eq!(train.shape, [1, 2, 3]);
        // Images 0, 1, 3 and 4; the third kept one starts at pixel 18.
        assert_eq!(train.inputs[[2, 0]], 18.0 / 255.0);
        assert!(train.name.ends_with("-8-3"), "{}", train.name);
    }

    #[test]
    fn the_same_class_twice_is_refused() {
        let error = from_folder(Path::new("nowhere"), [4, 4]).unwrap_err();
        assert!(matches!(error, DataError::SameClass { class: 4 }), "{error}");
    }

    #[test]
    fn an_absent_class_is_named() {
        let folder = folder();
        let error = from_folder(folder.path(), [1, 7]).unwrap_err();
        assert!(error.to_string().contains("no image of class 7 (the classes there: [1, 3, 8])"));

        // Present in training, absent from the test set.
        labels(&[8, 8, 3]).write(&folder.path().join(TEST[1])).unwrap();
        let error = from_folder(folder.path(), [1, 3]).unwrap_err();
        assert!(matches!(&error, DataError::ClassAbsent { path, class: 1, .. }
            if path.ends_with(TEST[1])));
    }

    #[test]
    fn counts_that_differ_are_both_named() {
        let folder = folder();
        labels(&[8, 3]).write(&folder.path().join(TEST[1])).unwrap();
        let error = from_folder(folder.path(), [3, 8]).unwrap_err().to_string();
        assert!(error.contains("holds 3 images") && error.contains("holds 2 labels"), "{error}");
    }

    #[test]
    fn sizes_that_differ_are_both_named() {
        let folder = folder();
        images(3, 4, 3).write(&folder.path().join(TEST[0])).unwrap();
        let error = from_folder(folder.path(), [3, 8]).unwrap_err().to_string();
        assert!(error.contains("are 2 × 3 pixels, the test images 4 × 3"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = folder();
        fs::remove_file(folder.path().join(TEST[0])).unwrap();
        let error = from_folder(folder.path(), [3, 8]).unwrap_err().to_string();
        assert!(error.contains("neither t10k-images-idx3-ubyte.gz nor"), "{error}");
    }

    #[test]
    fn images_in_place_of_labels_are_refused() {
        let folder = folder();
        images(3, 2, 3).write(&folder.path().join(TEST[1])).unwrap();
        let error = from_folder(folder.path(), [3, 8]).unwrap_err();
        assert!(matches!(&error, DataError::Idx { path, .. } if path.ends_with(TEST[1])));
    }
}
