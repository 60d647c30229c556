//! LIBSVM's model files: what is read and written reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use widenet_machine::{Objective, SavedMachine};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let objective = Objective::new(0.1, 1000).unwrap();
    if let Ok(machine) = SavedMachine::from_libsvm(text, objective) {
        let text = machine.to_libsvm().unwrap();
        let _ = SavedMachine::from_libsvm(&text, objective);
        let saved = SavedMachine::from_npz(std::io::Cursor::new(machine.to_npz()));
        assert_eq!(saved.unwrap(), machine);
    }
});
