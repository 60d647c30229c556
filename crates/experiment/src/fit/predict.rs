//! `widenet predict`: a saved machine on new samples.

use std::path::PathBuf;

use clap::Args;
use ndarray::{Array2, ArrayView2, Axis};
use serde_json::json;
use widenet_machine::{SavedMachine, Task};
use widenet_store::numbers::{self, number};
use widenet_store::text::csv_cell;
use widenet_tangent::Kernel;

use super::samples::SampleArgs;
use super::{Score, Truth, output};
use crate::error::Error;
use crate::machine_kernel::MachineKernel;
use crate::run_folder::say;
use crate::understood;

/// Predict with a saved machine
///
/// Writes a CSV file with a row per sample: the predicted class or value, the decision value of each output,
/// and the classes' probabilities if the machine was fitted with them. Of two classes it is the second where the output is
/// above 0, and the first where it is not. Where the samples have labels (a CSV file has
/// none when it has the features' columns alone), it says how many of those with a label are right; one of a class that
/// the machine does not know is wrong. LIBSVM's format has a label in every line: 0 or -1 in all of them stands for none,
/// unless it is a class. Tables are read as fit read its own: the label's column, decimal commas and the rest.
#[derive(Args)]
#[command(after_help = "Examples:
  widenet predict iris.npz new.csv --out predictions.csv
  widenet predict artifacts/quickstart/machine.npz mnist01 --json")]
pub(crate) struct PredictArgs {
    /// The machine: a file of `widenet fit`, or machine.npz of a run of `widenet train`
    machine: PathBuf,
    #[command(flatten)]
    samples: SampleArgs,
    /// The predictions
    #[arg(long, value_name = "FILE", default_value = "predictions.csv")]
    out: PathBuf,
    /// Replace an existing file
    #[arg(long)]
    force: bool,
    /// The summary as one JSON document on stdout
    #[arg(long)]
    json: bool,
}

/// Numbers of a kernel's matrix that are computed together: 256 MiB.
const TOGETHER: usize = 1 << 25;

/// The outputs `[m, k]` on samples `[m, d]`, some samples at a time.
fn outputs(machine: &SavedMachine, kernel: &dyn Kernel, inputs: ArrayView2<f64>) -> Result<Array2<f64>, Error> {
    let rows = (TOGETHER / machine.support.len().max(1)).max(1);
    let mut outputs = Array2::zeros((inputs.nrows(), machine.intercepts.len()));
    for (block, (inputs, mut out)) in
        inputs.axis_chunks_iter(Axis(0), rows).zip(outputs.axis_chunks_iter_mut(Axis(0), rows)).enumerate()
    {
        let found = kernel.gram(inputs, machine.inputs.view()).map_err(Error::from);
        let found = found.and_then(|gram| Ok(machine.outputs(gram.view())?));
        out.assign(&found.map_err(|error| error.counted_from(block * rows))?);
    }
    Ok(outputs)
}

/// Runs the command.
pub(crate) fn predict_command(args: PredictArgs) -> Result<(), Error> {
    let unwritten = crate::signals::Job::unwritten();
    output::check(&[("--out", &args.out)], &[&args.machine, &args.samples.data], args.force)?;
    let machine = SavedMachine::read(&args.machine)?;
    let kernel = MachineKernel::parse(&machine.kernel).map_err(|problem| Error::file(&args.machine, problem))?;
    let samples = args.samples.new_ones(&args.machine, &machine)?;
    let labelled = samples.target.known().count();
    let truth = (labelled > 0).then(|| Truth::of(&machine, &samples)).transpose()?;
    let labels = match machine.task {
        Task::Regression => understood::Labels::of_values(&samples),
        _ => understood::Labels::of_classes(&machine.classes, &samples),
    };
    let unknown = labels.unknown();
    eprintln!("{}", understood::samples(&samples, labels));
    let outputs = if machine.support.is_empty() {
        Array2::zeros((samples.inputs.nrows(), machine.intercepts.len())) + &machine.intercepts
    } else {
        outputs(&machine, kernel.build()?.as_ref(), samples.inputs.view())
            .map_err(|error| error.placed(&samples.origin))?
    };
    understood::warn_of_zeros(&outputs, samples.inputs.view());
    let probabilities = machine.probabilities(outputs.view());

    let failed = |error: csv::Error| Error::file(&args.out, error);
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut header = vec!["prediction".to_string()];
    header.extend((0..outputs.ncols()).map(|k| format!("output_{k}")));
    if probabilities.is_some() {
        header.extend(machine.classes.iter().map(|class| csv_cell(&format!("probability_{class}"))));
    }
    csv.write_record(&header).map_err(failed)?;
    let predicted: Vec<String> = match machine.task {
        Task::Regression => outputs.column(0).iter().copied().map(number).collect(),
        _ => machine.predictions(outputs.view()).into_iter().map(|class| csv_cell(&machine.classes[class])).collect(),
    };
    for (i, prediction) in predicted.into_iter().enumerate() {
        let chances = probabilities.as_ref().map(|all| all.row(i).to_vec()).unwrap_or_default();
        let numbers = outputs.row(i).to_vec().into_iter().chain(chances).map(number);
        csv.write_record(std::iter::once(prediction).chain(numbers)).map_err(failed)?;
    }
    let bytes = csv.into_inner().map_err(|error| Error::file(&args.out, error.error()))?;
    drop(unwritten);
    output::write(&args.out, &bytes, args.force)?;
    let say = |text: String| say(&args.out, &format!("{text}\n"));

    let score = truth.map(|truth| Score::of(&machine, &truth, &outputs));
    let count = samples.inputs.nrows();
    if args.json {
        let document = json!({ "samples": count, "labelled": labelled, "of_unknown_classes": unknown,
                "score": score.map(|score| score.to_json()), "predictions": args.out });
        say(serde_json::to_string_pretty(&document).expect("plain data"));
        return Ok(());
    }
    if let Some(score) = score {
        let which = if labelled < count {
            format!("{labelled} of {} have a label", numbers::count(count, "sample"))
        } else {
            numbers::count(count, "sample")
        };
        let wrong = if unknown > 0 {
            format!(" ({unknown} of classes that the machine does not know are wrong)")
        } else {
            String::new()
        };
        say(format!("{which}: {}{wrong}", score.text()));
    }
    say(format!("predictions: {}", args.out.display()));
    Ok(())
}
