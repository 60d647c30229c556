//! IDX files, packed or plain: what is read is written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use widenet_data::Idx;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(labels) = Idx::<1>::from_bytes(bytes) {
        assert_eq!(Idx::from_bytes(&labels.to_bytes()).unwrap(), labels);
    }
    if let Ok(images) = Idx::<3>::from_bytes(bytes) {
        assert_eq!(Idx::from_bytes(&images.to_bytes()).unwrap(), images);
    }
});
