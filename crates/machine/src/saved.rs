//! Machines on disk: an npz file that numpy reads too.
//!
//! | key | shape | what |
//! |---|---|---|
//! | `alpha` | `[s, k]` | the coefficients of the support, a column for each output |
//! | `intercept` | `[k]` | what is added to each output |
//! | `support` | `[s]` | the support's positions among the training samples |
//! | `support_inputs` | `[s, d]` | the support's inputs; `d = 0` when the kernel came as a matrix |
//! | `lambda_mean`, `lambda`, `c` | `[]` | the regularisation in its three forms |
//! | `sigmoids` | `[k, 2]` | `a`, `b` of `P = 1 / (1 + exp(a z + b))` for each output `z`; `[0, 2]` without |
//! | `metadata` | bytes | a TOML document in UTF-8: the other fields of [`SavedMachine`] |
//!
//! In Python, with a kernel matrix `K` of new samples against the training samples:
//! `K[:, m["support"]] @ m["alpha"] + m["intercept"]`.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};

use ndarray::{Array, Array0, Array1, Array2, ArrayView1, ArrayView2, Axis, CowArray, Dimension, Ix2};
use serde::{Deserialize, Serialize};
use widenet_store::arrays::{ArrayError, Element, NpzReader, NpzWriter};
use widenet_store::numbers::count;
use widenet_store::text::one_line;

use crate::calibration::{Sigmoid, couple, normalise};
use crate::check::check_outputs;
use crate::classes::is_positive;
use crate::error::MachineError;
use crate::loss::LossConfig;
use crate::multiclass::{Machines, Scheme};
use crate::objective::Objective;

/// What a machine's outputs mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// The outputs are the values.
    Regression,
    /// One output: the second class where it is positive, else the first.
    TwoClasses,
    /// An output per class: the class with the largest.
    OneVersusRest,
    /// An output per pair of classes `(a, b)`, `a < b`, in lexical order, positive for `a`, else for `b`: the class with most votes.
    OneVersusOne,
}

impl Task {
    /// As it is written, in a file or as an option.
    pub fn name(self) -> &'static str {
        match self {
            Task::Regression => "regression",
            Task::TwoClasses => "two-classes",
            Task::OneVersusRest => "one-versus-rest",
            Task::OneVersusOne => "one-versus-one",
        }
    }

    /// Of telling so many classes apart.
    pub fn of(classes: usize, scheme: Scheme) -> Self {
        match (classes, scheme) {
            (2, _) => Task::TwoClasses,
            (_, Scheme::OneVersusRest) => Task::OneVersusRest,
            (_, Scheme::OneVersusOne) => Task::OneVersusOne,
        }
    }

    /// The positions of the classes predicted from outputs `[m, k]`. Of several classes that are equal the first.
    ///
    /// # Panics
    ///
    /// On [`Task::Regression`], where there are none.
    pub fn predictions(self, outputs: ArrayView2<f64>, classes: usize) -> Vec<usize> {
        let one = |row: ArrayView1<f64>| match self {
            Task::Regression => panic!("values have no classes"),
            Task::TwoClasses => usize::from(is_positive(row[0])),
            Task::OneVersusRest => first_largest(row.iter().copied()),
            Task::OneVersusOne => {
                let mut votes = vec![0.0; classes];
                for ((a, b), &output) in pairs(classes).zip(row) {
                    votes[if is_positive(output) { a } else { b }] += 1.0;
                }
                first_largest(votes.into_iter())
            }
        };
        outputs.rows().into_iter().map(one).collect()
    }

    /// The probabilities of the classes, `[m, classes]`, from outputs `[m, k]` and a sigmoid for each: of one class
    /// against the rest divided by their sum, of pairs coupled (Wu, Lin and Weng 2004).
    ///
    /// # Panics
    ///
    /// On [`Task::Regression`].
    pub fn probabilities(self, outputs: ArrayView2<f64>, sigmoids: &[Sigmoid], classes: usize) -> Array2<f64> {
        let mut all = Array2::zeros((outputs.nrows(), classes));
        for (row, mut out) in outputs.rows().into_iter().zip(all.rows_mut()) {
            let single: Vec<f64> = row.iter().zip(sigmoids).map(|(&z, sigmoid)| sigmoid.probability(z)).collect();
            let values = match self {
                Task::Regression => panic!("values have no probabilities"),
                Task::TwoClasses => vec![1.0 - single[0], single[0]],
                Task::OneVersusRest => normalise(single),
                Task::OneVersusOne => couple(&single, classes),
            };
            out.assign(&Array1::from_vec(values));
        }
        all
    }
}

/// The pairs `(a, b)`, `a < b`, in lexical order.
pub(crate) fn pairs(classes: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..classes).flat_map(move |a| (a + 1..classes).map(move |b| (a, b)))
}

fn first_largest(values: impl Iterator<Item = f64>) -> usize {
    let better = |best: (usize, f64), (i, value)| if value > best.1 { (i, value) } else { best };
    values.enumerate().fold((0, f64::NEG_INFINITY), better).0
}

/// A trained machine `g_j(x) = sum_i alpha_ij K(x, x_i) + b_j`, with all that predictions and certificates need.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedMachine {
    /// `alpha`, `[s, k]`: the coefficients of the support, a column for each output.
    pub coefficients: Array2<f64>,
    /// `b`, `[k]`.
    pub intercepts: Array1<f64>,
    /// The support's positions among the training samples, ascending, `[s]`.
    pub support: Vec<usize>,
    /// The support's inputs, `[s, d]`; `d = 0` when the kernel came as a matrix.
    pub inputs: Array2<f64>,
    /// What was minimised: the loss.
    pub loss: LossConfig,
    /// What was minimised: the regularisation.
    pub objective: Objective,
    /// What the outputs mean.
    pub task: Task,
    /// The classes' names, in order; empty for regression.
    pub classes: Vec<String>,
    /// The features' names, `[d]`; empty where they have none.
    pub features: Vec<String>,
    /// How the file of the training samples was read, as TOML text; empty where there was none. This crate does not look
    /// inside.
    pub source: String,
    /// Which kernel, as TOML text. This crate does not look inside.
    pub kernel: String,
    /// A hash of the training samples that `support` counts in.
    pub samples_hash: String,
    /// Platt's sigmoid for every output, `[k]`, if probabilities are wanted; else empty.
    pub sigmoids: Vec<Sigmoid>,
}

/// The part of a saved machine that is no array.
#[derive(Serialize, Deserialize)]
struct Metadata {
    widenet: String,
    samples: usize,
    loss: LossConfig,
    task: Task,
    classes: Vec<String>,
    /// Older files have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    features: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    source: String,
    kernel: String,
    samples_hash: String,
}

/// Why a saved machine was not read.
#[derive(Debug, thiserror::Error)]
pub enum SavedMachineError {
    /// The file cannot be opened.
    #[error("{}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is damaged or no machine of widenet.
    #[error("{}: not a whole machine of widenet: {problem}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, in one line.
        problem: String,
    },
    /// More than one output where one is wanted.
    #[error("the machine has {}, but one is wanted", count(*.0, "output"))]
    Outputs(usize),
}

impl SavedMachine {
    /// A machine with coefficients `alpha: [n, k]`, reduced to its support: the samples with one other than 0. `inputs`
    /// are the training samples, `[n, d]`; what is given away is reduced where it is, and what is lent is copied.
    ///
    /// # Errors
    ///
    /// When the numbers of samples differ.
    pub fn new(
        machines: &Machines,
        classes: Vec<String>,
        inputs: CowArray<f64, Ix2>,
        loss: LossConfig,
        objective: Objective,
    ) -> Result<Self, MachineError> {
        let coefficients = &machines.coefficients;
        if coefficients.nrows() != inputs.nrows() {
            return Err(MachineError::Count { what: "input", found: inputs.nrows(), samples: coefficients.nrows() });
        }
        let used = |i: usize| coefficients.row(i).iter().any(|&alpha| alpha != 0.0);
        let support: Vec<usize> = (0..coefficients.nrows()).filter(|&i| used(i)).collect();
        Ok(Self {
            coefficients: coefficients.select(Axis(0), &support),
            intercepts: machines.intercepts.clone(),
            inputs: rows_of(inputs, &support),
            support,
            loss,
            objective,
            task: machines.task,
            classes,
            features: Vec::new(),
            source: String::new(),
            kernel: String::new(),
            samples_hash: String::new(),
            sigmoids: Vec::new(),
        })
    }

    /// A machine with one output for two classes named `-1` and `+1`: see [`SavedMachine::new`].
    ///
    /// # Errors
    ///
    /// When the numbers of samples differ.
    pub fn of_one_output(
        alpha: ArrayView1<f64>,
        intercept: f64,
        inputs: ArrayView2<f64>,
        loss: LossConfig,
        objective: Objective,
    ) -> Result<Self, MachineError> {
        let machines = Machines {
            task: Task::TwoClasses,
            coefficients: alpha.to_owned().insert_axis(Axis(1)),
            intercepts: Array1::from_elem(1, intercept),
            outcomes: Vec::new(),
        };
        Self::new(&machines, vec!["-1".into(), "+1".into()], inputs.into(), loss, objective)
    }

    /// The coefficients `[s]` and the intercept of a machine with one output.
    ///
    /// # Errors
    ///
    /// When it has more.
    pub fn one_output(&self) -> Result<(ArrayView1<'_, f64>, f64), SavedMachineError> {
        match self.coefficients.ncols() {
            1 => Ok((self.coefficients.column(0), self.intercepts[0])),
            outputs => Err(SavedMachineError::Outputs(outputs)),
        }
    }

    /// The outputs `[m, k]` on samples whose kernel with the support is `[m, s]`.
    ///
    /// # Errors
    ///
    /// Names the first sample whose output is not finite.
    pub fn outputs(&self, kernel: ArrayView2<f64>) -> Result<Array2<f64>, MachineError> {
        let outputs = kernel.dot(&self.coefficients) + &self.intercepts;
        check_outputs(outputs.view())?;
        Ok(outputs)
    }

    /// The positions of the classes predicted from outputs: see [`Task::predictions`].
    pub fn predictions(&self, outputs: ArrayView2<f64>) -> Vec<usize> {
        self.task.predictions(outputs, self.classes.len())
    }

    /// The classes' probabilities `[m, classes]`, if the machine has sigmoids: see [`Task::probabilities`].
    pub fn probabilities(&self, outputs: ArrayView2<f64>) -> Option<Array2<f64>> {
        let calibrated = !self.sigmoids.is_empty();
        calibrated.then(|| self.task.probabilities(outputs, &self.sigmoids, self.classes.len()))
    }

    /// The bytes of the npz file. The same machine gives the same bytes.
    pub fn to_npz(&self) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        self.write_npz(&mut bytes).expect("memory takes everything");
        bytes.into_inner()
    }

    /// Writes the npz file; it is never whole in memory.
    ///
    /// # Errors
    ///
    /// When the writer refuses.
    pub fn write_npz(&self, writer: impl Write + Seek) -> Result<(), ArrayError> {
        let metadata = Metadata {
            widenet: env!("CARGO_PKG_VERSION").into(),
            samples: self.objective.samples(),
            loss: self.loss,
            task: self.task,
            classes: self.classes.clone(),
            features: self.features.clone(),
            source: self.source.clone(),
            kernel: self.kernel.clone(),
            samples_hash: self.samples_hash.clone(),
        };
        let text = toml_edit::ser::to_string_pretty(&metadata).expect("plain data");
        let support = Array1::from_iter(self.support.iter().map(|&i| i as u64));
        let mut npz = NpzWriter::new(writer);
        npz.add("alpha", &self.coefficients)?;
        npz.add("intercept", &self.intercepts)?;
        npz.add("support", &support)?;
        npz.add("support_inputs", &self.inputs)?;
        let sigmoids =
            Array2::from_shape_fn((self.sigmoids.len(), 2), |(i, j)| [self.sigmoids[i].a, self.sigmoids[i].b][j]);
        npz.add("sigmoids", &sigmoids)?;
        let objective = self.objective;
        for (name, value) in
            [("lambda_mean", objective.lambda_mean()), ("lambda", objective.lambda()), ("c", objective.c())]
        {
            npz.add(name, &Array0::from_elem((), value))?;
        }
        npz.add("metadata", &Array1::from_vec(text.into_bytes()))?;
        npz.finish()?;
        Ok(())
    }

    /// Reads a file and checks that everything is there, in the right shape.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is damaged, or lacks something.
    pub fn read(path: &Path) -> Result<Self, SavedMachineError> {
        let file = File::open(path).map_err(|source| SavedMachineError::Open { path: path.into(), source })?;
        Self::from_npz(BufReader::new(file))
            .map_err(|problem| SavedMachineError::Corrupt { path: path.into(), problem: one_line(&problem) })
    }

    /// Reads the content of a file: see [`SavedMachine::read`].
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_npz(file: impl Read + Seek) -> Result<Self, String> {
        parse(file)
    }
}

/// Some rows of a matrix, by ascending position.
fn rows_of(matrix: CowArray<f64, Ix2>, rows: &[usize]) -> Array2<f64> {
    if matrix.is_view() || !matrix.is_standard_layout() {
        return matrix.select(Axis(0), rows);
    }
    let columns = matrix.ncols();
    let (mut values, _) = matrix.into_owned().into_raw_vec_and_offset();
    for (to, &from) in rows.iter().enumerate() {
        values.copy_within(from * columns..(from + 1) * columns, to * columns);
    }
    values.truncate(rows.len() * columns);
    Array2::from_shape_vec((rows.len(), columns), values).expect("whole rows")
}

fn parse(file: impl Read + Seek) -> Result<SavedMachine, String> {
    let mut npz = NpzReader::new(file).map_err(|error| error.to_string())?;
    let text: Array1<u8> = get(&mut npz, "metadata")?;
    let text = String::from_utf8(text.to_vec()).map_err(|error| error.to_string())?;
    let metadata: Metadata = toml_edit::de::from_str(&text).map_err(|error| error.message().to_string())?;
    let lambda_mean: Array0<f64> = get(&mut npz, "lambda_mean")?;
    let objective = Objective::new(lambda_mean.into_scalar(), metadata.samples).map_err(|error| error.to_string())?;
    let coefficients: Array2<f64> = get(&mut npz, "alpha")?;
    let intercepts: Array1<f64> = get(&mut npz, "intercept")?;
    let support: Array1<u64> = get(&mut npz, "support")?;
    let inputs: Array2<f64> = get(&mut npz, "support_inputs")?;
    let sigmoids: Array2<f64> = get(&mut npz, "sigmoids")?;
    let (s, k) = coefficients.dim();
    if support.len() != s || inputs.nrows() != s || intercepts.len() != k {
        return Err(format!(
            "alpha is [{s}, {k}], but support [{}], support_inputs [{}, {}], intercept [{}]",
            support.len(),
            inputs.nrows(),
            inputs.ncols(),
            intercepts.len()
        ));
    }
    let classes = metadata.classes.len();
    let expected = match metadata.task {
        Task::Regression => k,
        Task::TwoClasses => 1,
        Task::OneVersusRest => classes,
        Task::OneVersusOne => classes * classes.saturating_sub(1) / 2,
    };
    if k != expected || (metadata.task == Task::TwoClasses && classes != 2) {
        return Err(format!(
            "{} cannot tell {} apart ({:?})",
            count(k, "output"),
            count(classes, "class"),
            metadata.task
        ));
    }
    if let Some(&position) = support.iter().find(|&&position| position >= metadata.samples as u64) {
        return Err(format!("support {position} is not one of {}", count(metadata.samples, "training sample")));
    }
    if sigmoids.ncols() != 2 || ![0, k].contains(&sigmoids.nrows()) {
        return Err(format!("sigmoids is {:?} for {}", sigmoids.dim(), count(k, "output")));
    }
    if ![0, inputs.ncols()].contains(&metadata.features.len()) {
        return Err(format!("{} for {}", count(metadata.features.len(), "name"), count(inputs.ncols(), "feature")));
    }
    if metadata.task == Task::Regression && !sigmoids.is_empty() {
        return Err("values have no sigmoids".into());
    }
    if !coefficients.iter().chain(&intercepts).chain(&inputs).chain(&sigmoids).all(|value| value.is_finite()) {
        return Err("a number is not finite".into());
    }
    Ok(SavedMachine {
        coefficients,
        intercepts,
        support: support.iter().map(|&position| position as usize).collect(),
        inputs,
        loss: metadata.loss,
        objective,
        task: metadata.task,
        classes: metadata.classes,
        features: metadata.features,
        source: metadata.source,
        kernel: metadata.kernel,
        samples_hash: metadata.samples_hash,
        sigmoids: sigmoids.rows().into_iter().map(|row| Sigmoid { a: row[0], b: row[1] }).collect(),
    })
}

fn get<T: Element, D: Dimension>(npz: &mut NpzReader<impl Read + Seek>, name: &str) -> Result<Array<T, D>, String> {
    npz.array(name).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::EpsilonInsensitive;
    use ndarray::array;

    fn machine() -> SavedMachine {
        let loss = LossConfig::EpsilonInsensitive(EpsilonInsensitive::new(0.3).unwrap());
        let objective = Objective::new(0.1 + 0.2, 3).unwrap();
        let (alpha, inputs) = (array![1.0, 0.0, -0.1], array![[0.5, 1.0], [9.0, 9.0], [0.25, 0.125]]);
        let machine = SavedMachine::of_one_output(alpha.view(), 0.5, inputs.view(), loss, objective).unwrap();
        let sigmoids = vec![Sigmoid { a: -0.1, b: 0.3 }];
        SavedMachine { kernel: "kind = \"ntk\"\n".into(), samples_hash: "0123".into(), sigmoids, ..machine }
    }

    #[test]
    fn only_the_support_is_kept() {
        let machine = machine();
        assert_eq!(machine.support, [0, 2]);
        assert_eq!(machine.coefficients, array![[1.0], [-0.1]]);
        assert_eq!(machine.inputs, array![[0.5, 1.0], [0.25, 0.125]]);
        assert_eq!(machine.outputs(array![[2.0, 0.0], [0.0, 0.0]].view()).unwrap(), array![[2.5], [0.5]]);
        // Given away or lent, turned round or not.
        let (all, used) = (array![[0.5, 1.0], [9.0, 9.0], [0.25, 0.125]], [0, 2]);
        let turned = all.t().as_standard_layout().into_owned().reversed_axes();
        let kept = [all.view().into(), all.clone().into(), turned.into()].map(|matrix| rows_of(matrix, &used));
        assert!(kept.iter().all(|kept| *kept == machine.inputs));
        let error = machine.outputs(array![[2.0, 0.0], [f64::INFINITY, 0.0]].view()).unwrap_err();
        assert!(matches!(error, MachineError::Output { sample: 1, output: 0, .. }), "{error}");
        assert_eq!(machine.one_output().unwrap().1, 0.5);
    }

    #[test]
    fn predictions_by_hand() {
        let predict = |task: Task, outputs: Array2<f64>, classes| task.predictions(outputs.view(), classes);
        assert_eq!(predict(Task::TwoClasses, array![[-0.1], [0.0], [2.0]], 2), [0, 0, 1]);
        assert_eq!(predict(Task::OneVersusRest, array![[-0.5, -0.1, -0.3], [1.0, 0.0, 1.0]], 3), [1, 0]);
        // (0, 1), (0, 2), (1, 2): two votes for 2; one vote each, and the first has it.
        assert_eq!(predict(Task::OneVersusOne, array![[1.0, -1.0, -0.1], [1.0, -1.0, 1.0]], 3), [2, 0]);
    }

    #[test]
    fn probabilities_by_hand() {
        // 1 / (1 + exp(-z)) at z = ln 3 and 0.
        let (plain, z) = (Sigmoid { a: -1.0, b: 0.0 }, 3.0_f64.ln());
        let near =
            |found: Array2<f64>, expected: &[f64]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14);
        assert!(near(Task::TwoClasses.probabilities(array![[z]].view(), &[plain], 2), &[0.25, 0.75]));
        let three = [plain; 3];
        let rest = Task::OneVersusRest.probabilities(array![[z, 0.0, 0.0]].view(), &three, 3);
        assert!(near(rest, &[0.75 / 1.75, 0.5 / 1.75, 0.5 / 1.75]));
        // Pairs as from the probabilities 0.6, 0.2, 0.2.
        let one = Task::OneVersusOne.probabilities(array![[z, z, 0.0]].view(), &three, 3);
        assert!(near(one, &[0.6, 0.2, 0.2]));
        assert_eq!(machine().probabilities(array![[0.0]].view()).unwrap().dim(), (1, 2));
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine.npz");
        std::fs::write(&path, machine().to_npz()).unwrap();
        assert_eq!(SavedMachine::read(&path).unwrap(), machine());
        assert_eq!(machine().to_npz(), machine().to_npz());
        let named =
            SavedMachine { features: vec!["u".into(), "v".into()], source: "index = true\n".into(), ..machine() };
        std::fs::write(&path, named.to_npz()).unwrap();
        assert_eq!(SavedMachine::read(&path).unwrap(), named);
    }

    #[test]
    fn damage_is_told_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine.npz");
        let error = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            SavedMachine::read(&path).unwrap_err().to_string()
        };
        assert!(matches!(SavedMachine::read(&path), Err(SavedMachineError::Open { .. })));
        let start = format!("{}: not a whole machine of widenet: ", path.display());
        let bytes = machine().to_npz();
        for cut in [0, 10, bytes.len() / 2, bytes.len() - 1] {
            assert!(error(&bytes[..cut]).starts_with(&start));
        }
        let broken = SavedMachine { support: vec![0, 3], ..machine() };
        assert_eq!(error(&broken.to_npz()), format!("{start}support 3 is not one of 3 training samples"));
        let broken = SavedMachine { intercepts: array![f64::NAN], ..machine() };
        assert_eq!(error(&broken.to_npz()), format!("{start}a number is not finite"));
        let broken = SavedMachine { task: Task::OneVersusOne, classes: vec!["a".into()], ..machine() };
        assert!(error(&broken.to_npz()).contains("1 output cannot tell 1 class apart"));
        let broken = SavedMachine { features: vec!["u".into()], ..machine() };
        assert_eq!(error(&broken.to_npz()), format!("{start}1 name for 2 features"));
    }
}
