//! Machines on disk: what is read predicts, and is written and read again.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use ndarray::Array2;
use widenet::machine_kernel::MachineKernel;
use widenet_machine::{SavedMachine, Task};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(machine) = SavedMachine::from_npz(Cursor::new(bytes)) {
        if let Ok(outputs) = machine.outputs(Array2::zeros((1, machine.support.len())).view())
            && machine.task != Task::Regression
        {
            machine.predictions(outputs.view());
            machine.probabilities(outputs.view());
        }
        let _ = MachineKernel::parse(&machine.kernel);
        let _ = machine.to_libsvm();
        let again = SavedMachine::from_npz(Cursor::new(machine.to_npz())).unwrap();
        assert_eq!(again, machine);
    }
});
