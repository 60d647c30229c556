//! Saved kernels: what is read has what its metadata promise.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use widenet::gram_file::GramFile;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("k.npz");
    std::fs::write(&path, bytes).unwrap();
    match GramFile::read(&path) {
        Ok(mut file) => {
            assert_eq!(file.labels.len(), file.metadata.n);
            for key in file.metadata.keys() {
                assert_eq!(file.take(&key).unwrap().dim(), (file.metadata.n, file.metadata.n));
            }
        }
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
});
