//! What a run leaves behind: numbers, weights, plots and the report.

use std::fmt::Write as _;

use burn::module::Module;
use ndarray::ArrayView1;
use serde_json::{Value, json};
use widenet_machine::SavedMachine;
use widenet_model::Network;
use widenet_store::numbers::{count, decimals, number};

use crate::config::{Config, KernelName, Start};
use crate::error::Error;
use crate::gram_file::hash;
use crate::machine_kernel::MachineKernel;
use crate::run_folder::{RunFolder, write_json};
use crate::train::record::{Gap, Record, Scores};
use crate::train::{Finished, Run, gram, pictures, time};

/// How long things took.
pub struct Timing {
    pub kernel_seconds: f64,
    pub training_seconds: f64,
    /// Steps taken in that time.
    pub steps: usize,
}

/// Writes everything that a finished run leaves.
pub fn finish(
    run: &Run,
    network: &Network,
    coefficients: ArrayView1<f64>,
    records: &[Record],
    timing: &Timing,
) -> Result<Finished, Error> {
    let results = results(run, records, network.num_params());
    let folder = run.folder;
    write_json(folder, "timing.json", &timing_json(timing))?;
    folder.write("weights.safetensors", &network.to_safetensors(&folder.path().join("weights.safetensors"))?)?;
    folder.write("machine.npz", &saved_machine(run, coefficients)?.to_npz())?;
    pictures::write(run, records)?;
    Ok(Finished { summary: summary(run, records), results })
}

/// The final numbers. They depend on the configuration and the backend alone: no times, no paths.
fn results(run: &Run, records: &[Record], parameters: usize) -> Value {
    let last = records.last().expect("step 0 is always recorded");
    let Run { config, objective, .. } = run;
    json!({
        "name": config.name,
        "seed": config.seed,
        "backend": config.backend.name(),
        "precision": config.precision.name(),
        "versions": { "widenet": env!("CARGO_PKG_VERSION"), "burn": BURN },
        "width": run.architecture.width(),
        "parameters": parameters,
        "samples": { "train": run.data.train.len(), "test": run.data.test.len() },
        "objective": {
            "loss": config.objective.loss.name(),
            "regulariser": config.objective.regulariser.name(),
            "kernel": config.machine.kernel.name(),
            "machine_decay": config.machine.decay,
            "lambda_mean": objective.lambda_mean(),
            "lambda": objective.lambda(),
            // JSON has no infinity: without regularisation there is no C.
            "c": Some(objective.c()).filter(|c| c.is_finite()),
        },
        "steps": last.step,
        "time": time(config, last.step),
        "network": last.network,
        "machine": last.machine,
        "gap": last.gap,
        "start": { "from": config.training.start, "gap": records[0].gap },
        "linearised": last.linearised,
        "output": { "train_max_abs": last.output_train_max_abs },
        "kernel_change": last.kernel_change,
    })
}

/// The version of Burn the program is built on.
pub const BURN: &str = "0.22.1";

fn timing_json(timing: &Timing) -> Value {
    json!({
        "machine": crate::probe::processor(),
        "kernel_seconds": timing.kernel_seconds,
        "training_seconds": timing.training_seconds,
        "seconds_per_step": timing.training_seconds / timing.steps.max(1) as f64,
        "steps": timing.steps,
    })
}

/// The kernel machine, ready for predictions.
fn saved_machine(run: &Run, coefficients: ArrayView1<f64>) -> Result<SavedMachine, Error> {
    let Run { config, data, architecture, objective, .. } = run;
    let (kind, architecture) = (gram::kind(config), (*architecture).clone());
    let kernel = match config.machine.kernel {
        KernelName::Limit | KernelName::Nngp => MachineKernel::Limit { kind, architecture },
        KernelName::Empirical => {
            let Config { seed, precision, backend, .. } = **config;
            MachineKernel::Empirical { kind, architecture, seed, precision, backend }
        }
    };
    let inputs = data.train.inputs.view();
    Ok(SavedMachine {
        classes: config.data.classes.map(|class| class.to_string()).to_vec(),
        kernel: kernel.to_toml(),
        samples_hash: hash(inputs),
        ..SavedMachine::of_one_output(coefficients, 0.0, inputs, config.objective.loss, *objective)?
    })
}

/// Writes dynamics.csv: one row per record.
pub fn write_dynamics(folder: &RunFolder, config: &Config, records: &[Record]) -> Result<(), Error> {
    let failed = |error: csv::Error| Error::file(folder.path().join("dynamics.csv"), error);
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut header: Vec<String> = vec!["step".into(), "time".into()];
    for who in ["network", "machine"] {
        header
            .extend(["train_loss", "test_loss", "train_accuracy", "test_accuracy"].map(|what| format!("{who}_{what}")));
    }
    let linearised = records.iter().any(|record| record.linearised.is_some());
    header.extend(["gap_train_max", "gap_train_rms", "gap_test_max", "gap_test_rms"].map(String::from));
    if linearised {
        for what in ["network_linearised", "linearised_machine"] {
            header.extend(["train_max", "train_rms", "test_max", "test_rms"].map(|kind| format!("gap_{what}_{kind}")));
        }
        header.extend(["train_loss", "test_loss"].map(|what| format!("linearised_{what}")));
    }
    header.extend(["output_train_max_abs".into(), "kernel_change".into()]);
    for probe in &config.record.probes {
        header.extend([format!("network_probe_{probe}"), format!("machine_probe_{probe}")]);
    }
    csv.write_record(&header).map_err(failed)?;
    for record in records {
        let mut row = vec![record.step.to_string(), number(time(config, record.step))];
        for scores in [&record.network, &record.machine] {
            let values = [scores.train_loss, scores.test_loss, scores.train_accuracy, scores.test_accuracy];
            row.extend(values.map(number));
        }
        let gaps = |gap: &Gap| [gap.train_max, gap.train_rms, gap.test_max, gap.test_rms];
        row.extend(gaps(&record.gap).map(number));
        if let Some(linearised) = &record.linearised {
            row.extend(gaps(&linearised.to_network).map(number));
            row.extend(gaps(&linearised.to_machine).map(number));
            let Scores { train_loss, test_loss, .. } = linearised.scores;
            row.extend([train_loss, test_loss].map(number));
        }
        row.push(number(record.output_train_max_abs));
        row.push(record.kernel_change.map_or(String::new(), number));
        row.extend(record.probes.iter().flatten().copied().map(number));
        csv.write_record(&row).map_err(failed)?;
    }
    let bytes = csv.into_inner().map_err(|error| Error::file(folder.path().join("dynamics.csv"), error))?;
    Ok(folder.write("dynamics.csv", &bytes)?)
}

fn summary(run: &Run, records: &[Record]) -> String {
    let last = records.last().expect("step 0 is always recorded");
    let mut text = String::new();
    let (network, machine) = (&last.network, &last.machine);
    let hundredths = |value: f64| format!("{:.2} %", 100.0 * value);
    let mut row = |name: &str, a: String, b: String| {
        writeln!(text, "{name:<24}{a:>12}{b:>12}").expect("a string takes everything");
    };
    row(&format!("after {}", count(last.step, "step")), "network".into(), "machine".into());
    row("test accuracy", hundredths(network.test_accuracy), hundredths(machine.test_accuracy));
    row("train accuracy", hundredths(network.train_accuracy), hundredths(machine.train_accuracy));
    row("train loss", decimals(network.train_loss, 5), decimals(machine.train_loss, 5));
    row("test loss", decimals(network.test_loss, 5), decimals(machine.test_loss, 5));
    if let (Start::Machine, Some(first)) = (run.config.training.start, records.first()) {
        writeln!(
            text,
            "started at the machine's solution, {} from it on the training points and {} on the test points",
            decimals(first.gap.train_max, 4),
            decimals(first.gap.test_max, 4)
        )
        .expect("a string takes everything");
    }
    writeln!(text, "largest |network - machine| on the training points: {}", pictures::gap(last))
        .expect("a string takes everything");
    if let Some(linearised) = &last.linearised {
        writeln!(
            text,
            "of which network to linearised network {}, and linearised network to machine {}",
            decimals(linearised.to_network.train_max, 4),
            decimals(linearised.to_machine.train_max, 4)
        )
        .expect("a string takes everything");
    }
    if let Some(change) = last.kernel_change {
        writeln!(text, "relative change of the tangent kernel: {}", decimals(change, 4))
            .expect("a string takes everything");
    }
    writeln!(text, "report: {}", run.folder.place().join("report.html").display()).expect("a string takes everything");
    text
}
