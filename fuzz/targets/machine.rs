//! Machines on disk: what is read predicts, and is written and read again.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ndarray::Array2;
use widenet_machine::{SavedMachine, Task};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(machine) = SavedMachine::from_npz(Cursor::new(bytes)) {
        let outputs = machine.outputs(Array2::zeros((1, machine.support.len())).view());
        if machine.task != Task::Regression {
            machine.predictions(outputs.view());
            machine.probabilities(outputs.view());
        }
        let _ = machine.to_libsvm();
        let again = SavedMachine::from_npz(Cursor::new(machine.to_npz())).unwrap();
        assert_eq!(again, machine);
    }
});
