//! Arrays, alone and in archives, as kernels and checkpoints keep them.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ndarray::{Array1, ArrayD, IxDyn};
use widenet_store::arrays::{NpzReader, read_npy};

fuzz_target!(|bytes: &[u8]| {
    let _ = read_npy::<f64, IxDyn>(bytes, bytes.len() as u64, "a");
    let Ok(mut npz) = NpzReader::new(Cursor::new(bytes)) else { return };
    let names: Vec<String> = npz.names().take(10).map(String::from).collect();
    for name in names {
        let shape = npz.shape(&name);
        if let Ok(array) = npz.array::<f64, IxDyn>(&name) {
            let array: ArrayD<f64> = array;
            assert_eq!(array.shape(), shape.unwrap());
        }
        let _: Result<Array1<u8>, _> = npz.array(&name);
    }
});
