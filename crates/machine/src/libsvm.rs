//! Machines in LIBSVM's model format, for the hinge loss with a precomputed kernel.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

use ndarray::Array2;

use widenet_store::memory::{self, MemoryError};
use widenet_store::numbers;
use widenet_store::text::{quoted, shown};

use crate::calibration::Sigmoid;
use crate::loss::LossConfig;
use crate::multiclass::Scheme;
use crate::objective::Objective;
use crate::saved::{SavedMachine, Task, pairs};

/// Why a machine is not in LIBSVM's format, or a file in it is no machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibsvmError {
    /// Another loss than the hinge.
    #[error("LIBSVM's c_svc has the hinge loss, but this machine has the {0} loss")]
    Loss(&'static str),
    /// Outputs that LIBSVM does not have.
    #[error("LIBSVM tells several classes apart one-versus-one, but this machine is of the kind {}", .0.name())]
    Task(Task),
    /// A class with a name that LIBSVM does not take.
    #[error("LIBSVM's labels are whole numbers, but a class is {}", quoted(.0))]
    Class(String),
    /// A line that is not what it should be.
    #[error("line {line}: {problem}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A sample is more than one support vector.
    #[error("support vector {0} stands there twice")]
    Twice(usize),
    /// Something is not there.
    #[error("there is no line {0:?}")]
    Missing(&'static str),
    /// The coefficients do not fit the memory.
    #[error(transparent)]
    Memory(#[from] MemoryError),
}

/// Where the coefficient of a sample of class `p` against class `q` stands: each has one against every other class.
fn place(p: usize, q: usize) -> usize {
    if q < p { q } else { q - 1 }
}

/// LIBSVM's order of our classes: an output is positive for the first of its pair, with us of two classes for the second.
fn order<T>(mut classes: Vec<T>) -> Vec<T> {
    if classes.len() == 2 {
        classes.reverse();
    }
    classes
}

/// Whether LIBSVM has such a machine: its labels there, in our order.
fn labels(loss: LossConfig, task: Task, classes: &[String]) -> Result<Vec<i32>, LibsvmError> {
    if loss != LossConfig::Hinge {
        return Err(LibsvmError::Loss(loss.name()));
    }
    if !matches!(task, Task::TwoClasses | Task::OneVersusOne) {
        return Err(LibsvmError::Task(task));
    }
    let whole = |name: &String| {
        let number = name.trim().parse::<f64>().ok().filter(|x| x.fract() == 0.0 && x.abs() <= f64::from(i32::MAX));
        number.map(|x| x as i32).ok_or_else(|| LibsvmError::Class(name.clone()))
    };
    classes.iter().map(whole).collect()
}

impl SavedMachine {
    /// Whether a machine can be written in LIBSVM's format, known before it is fitted.
    ///
    /// # Errors
    ///
    /// As for [`SavedMachine::to_libsvm`].
    pub fn check_libsvm(loss: LossConfig, task: Task, classes: &[String]) -> Result<(), LibsvmError> {
        labels(loss, task, classes).map(|_| ())
    }

    /// The machine as a model file of LIBSVM (`svm_type c_svc`, `kernel_type precomputed`). Its support vectors are the
    /// training samples' positions, from 1.
    ///
    /// # Errors
    ///
    /// When it has another loss than the hinge, tells several classes each from the rest, or has classes that are no whole
    /// numbers.
    pub fn to_libsvm(&self) -> Result<String, LibsvmError> {
        let labels = order(labels(self.loss, self.task, &self.classes)?);
        let count = labels.len();

        // The support by class: the one that its coefficients are positive for, or negative against.
        let mut members = vec![Vec::new(); count];
        for (s, row) in self.coefficients.rows().into_iter().enumerate() {
            let of = |(&alpha, (p, q)): (&f64, (usize, usize))| match alpha {
                alpha if alpha > 0.0 => Some(p),
                alpha if alpha < 0.0 => Some(q),
                _ => None,
            };
            if let Some(class) = row.iter().zip(pairs(count)).find_map(of) {
                members[class].push(s);
            }
        }
        let mut text = String::from("svm_type c_svc\nkernel_type precomputed\n");
        let mut line = |key: &str, values: Vec<String>| {
            writeln!(text, "{key} {}", values.join(" ")).expect("a string takes everything");
        };
        line("nr_class", vec![count.to_string()]);
        line("total_sv", vec![members.iter().map(Vec::len).sum::<usize>().to_string()]);
        line("rho", self.intercepts.iter().map(|b| format!("{:e}", -b)).collect());
        line("label", labels.iter().map(ToString::to_string).collect());
        if !self.sigmoids.is_empty() {
            line("probA", self.sigmoids.iter().map(|sigmoid| format!("{:e}", sigmoid.a)).collect());
            line("probB", self.sigmoids.iter().map(|sigmoid| format!("{:e}", sigmoid.b)).collect());
        }
        line("nr_sv", members.iter().map(|of| of.len().to_string()).collect());
        text.push_str("SV\n");
        for (p, members) in members.iter().enumerate() {
            for &s in members {
                let mut against = vec![0.0; count - 1];
                for (&alpha, (a, b)) in self.coefficients.row(s).iter().zip(pairs(count)) {
                    if a == p || b == p {
                        against[place(p, a + b - p)] = alpha;
                    }
                }
                against.iter().for_each(|alpha| write!(text, "{alpha:e} ").expect("a string takes everything"));
                writeln!(text, "0:{} ", self.support[s] + 1).expect("a string takes everything");
            }
        }
        Ok(text)
    }

    /// A machine from a model file of LIBSVM. The file knows neither regularisation nor number of samples: `objective` does.
    /// It has no inputs; its kernel comes as a matrix.
    ///
    /// # Errors
    ///
    /// When the text is no such file, or of another kind of machine or kernel.
    pub fn from_libsvm(text: &str, objective: Objective) -> Result<Self, LibsvmError> {
        let at = |line: usize, problem: String| LibsvmError::Line { line: line + 1, problem };
        let mut header = Header(BTreeMap::new());
        let mut lines = text.lines().enumerate();
        for (line, text) in lines.by_ref().take_while(|(_, text)| text.trim() != "SV") {
            let (key, values) =
                text.trim().split_once(' ').ok_or_else(|| at(line, format!("{} has no value", quoted(text))))?;
            header.0.insert(key, (line, values));
        }
        for (key, wanted) in [("svm_type", "c_svc"), ("kernel_type", "precomputed")] {
            let (line, found) = header.line(key)?;
            if found != wanted {
                return Err(at(line, format!("{key} is {}, but {wanted} is wanted", shown(found))));
            }
        }
        let (line, _) = header.line("nr_class")?;
        let count = header.values::<usize>("nr_class", 1)?[0];
        let labels: Vec<i32> = header.values("label", count)?;
        if count < 2 {
            return Err(at(line, format!("{} cannot be told apart", numbers::count(count, "class"))));
        }
        // There are as many numbers in the file as pairs before anything is made for each pair.
        let rho: Vec<f64> = header.values("rho", count * (count - 1) / 2)?;
        let pairs: Vec<(usize, usize)> = pairs(count).collect();
        let sigmoids = match header.0.contains_key("probA") {
            true => {
                let (a, b) = (header.values("probA", pairs.len())?, header.values("probB", pairs.len())?);
                a.into_iter().zip(b).map(|(a, b)| Sigmoid { a, b }).collect()
            }
            false => Vec::new(),
        };
        let members: Vec<usize> = header.values("nr_sv", count)?;
        // A line has a number for each class, but a row one for each pair. It is there once more while the matrix is made.
        let rows = members.iter().fold(0_usize, |sum, &of| sum.saturating_add(of)).min(text.lines().count());
        let needed = (rows as u64).saturating_mul(2 * 8 * pairs.len() as u64);
        memory::check(needed, || {
            let (vectors, classes) = (numbers::count(rows, "support vector"), numbers::count(count, "class"));
            format!("a machine of {vectors} and {classes}")
        })?;

        // Position and coefficients of every support vector; they come class by class.
        let mut support = Vec::new();
        for (p, count_of_class) in members.into_iter().enumerate() {
            for _ in 0..count_of_class {
                let (line, text) = lines.next().ok_or(LibsvmError::Missing("for each support vector"))?;
                let mut words: Vec<&str> = text.split_whitespace().collect();
                let index = words.pop().and_then(|word| word.strip_prefix("0:")?.parse::<usize>().ok());
                let index = index.filter(|index| (1..=objective.samples()).contains(index)).ok_or_else(|| {
                    at(line, format!("does not end in 0:index, with an index from 1 to {}", objective.samples()))
                })?;
                let against: Vec<f64> = numbers(line, words, count - 1)?;
                let row: Vec<f64> = pairs
                    .iter()
                    .map(|&(a, b)| if a == p || b == p { against[place(p, a + b - p)] } else { 0.0 })
                    .collect();
                support.push((index - 1, row));
            }
        }
        if let Some((line, _)) = lines.find(|(_, text)| !text.trim().is_empty()) {
            return Err(at(line, "one support vector more than nr_sv says".into()));
        }
        support.sort_by_key(|(index, _)| *index);
        if let Some(twice) = support.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(LibsvmError::Twice(twice[0].0 + 1));
        }
        let (support, rows): (Vec<usize>, Vec<Vec<f64>>) = support.into_iter().unzip();
        Ok(Self {
            coefficients: Array2::from_shape_fn((rows.len(), pairs.len()), |(s, k)| rows[s][k]),
            intercepts: rho.into_iter().map(|rho| 0.0 - rho).collect(),
            inputs: Array2::zeros((support.len(), 0)),
            support,
            loss: LossConfig::Hinge,
            objective,
            task: Task::of(count, Scheme::OneVersusOne),
            classes: order(labels.iter().map(ToString::to_string).collect()),
            features: Vec::new(),
            source: String::new(),
            kernel: String::new(),
            samples_hash: String::new(),
            sigmoids,
        })
    }
}

/// The lines before the support vectors: each a key with its values.
struct Header<'a>(BTreeMap<&'a str, (usize, &'a str)>);

impl<'a> Header<'a> {
    fn line(&self, key: &'static str) -> Result<(usize, &'a str), LibsvmError> {
        self.0.get(key).copied().ok_or(LibsvmError::Missing(key))
    }

    fn values<T: FromStr>(&self, key: &'static str, count: usize) -> Result<Vec<T>, LibsvmError> {
        let (line, text) = self.line(key)?;
        numbers(line, text.split_whitespace().collect(), count)
    }
}

/// So many finite numbers.
fn numbers<T: FromStr>(line: usize, words: Vec<&str>, count: usize) -> Result<Vec<T>, LibsvmError> {
    let at = |problem: String| LibsvmError::Line { line: line + 1, problem };
    if words.len() != count {
        return Err(at(format!("{}, but {count} are wanted", numbers::count(words.len(), "number"))));
    }
    let finite = |word: &&str| word.parse::<f64>().is_ok_and(f64::is_finite);
    let number = |word: &str| Some(word).filter(finite).and_then(|word| word.parse().ok());
    words
        .into_iter()
        .map(|word| number(word).ok_or_else(|| at(format!("{} is not such a number", quoted(word)))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn machine() -> SavedMachine {
        SavedMachine {
            // Pairs (2, 5), (2, 7), (5, 7).
            coefficients: array![[0.5, 0.0, 0.0], [0.0, -0.25, -1.0], [-0.5, 0.0, 1.0], [0.0, 0.25, 0.0]],
            intercepts: array![0.5, -1.0, 0.0],
            support: vec![0, 3, 4, 8],
            inputs: Array2::zeros((4, 0)),
            loss: LossConfig::Hinge,
            objective: Objective::new(0.1, 10).unwrap(),
            task: Task::OneVersusOne,
            classes: vec!["2".into(), "5.0".into(), "7".into()],
            features: Vec::new(),
            source: String::new(),
            kernel: String::new(),
            samples_hash: String::new(),
            sigmoids: Vec::new(),
        }
    }

    const TEXT: &str = "svm_type c_svc
kernel_type precomputed
nr_class 3
total_sv 4
rho -5e-1 1e0 -0e0
label 2 5 7
nr_sv 2 1 1
SV
5e-1 0e0 0:1\x20
0e0 2.5e-1 0:9\x20
-5e-1 1e0 0:5\x20
-2.5e-1 -1e0 0:4\x20
";

    #[test]
    fn three_classes_by_hand() {
        assert_eq!(machine().to_libsvm().unwrap(), TEXT);
        let read = SavedMachine::from_libsvm(TEXT, machine().objective).unwrap();
        let classes = ["2", "5", "7"].map(String::from).to_vec();
        assert_eq!(read, SavedMachine { classes, ..machine() });
    }

    #[test]
    fn of_two_classes_the_second_comes_first() {
        let two = SavedMachine {
            coefficients: array![[-0.5], [0.5]],
            intercepts: array![0.25],
            support: vec![1, 2],
            inputs: Array2::zeros((2, 0)),
            task: Task::TwoClasses,
            classes: vec!["-1".into(), "+1".into()],
            sigmoids: vec![Sigmoid { a: -2.0, b: 0.5 }],
            ..machine()
        };
        let text = two.to_libsvm().unwrap();
        assert!(
            text.contains("rho -2.5e-1\nlabel 1 -1\nprobA -2e0\nprobB 5e-1\nnr_sv 1 1\nSV\n5e-1 0:3 \n-5e-1 0:2 \n")
        );
        let read = SavedMachine::from_libsvm(&text, two.objective).unwrap();
        assert_eq!(read, SavedMachine { classes: vec!["-1".into(), "1".into()], ..two });
    }

    #[test]
    fn what_libsvm_has_not_is_told() {
        let text = |machine: SavedMachine| machine.to_libsvm().unwrap_err().to_string();
        assert!(text(SavedMachine { loss: LossConfig::Logistic, ..machine() }).contains("the logistic loss"));
        assert!(text(SavedMachine { task: Task::OneVersusRest, ..machine() }).contains("kind one-versus-rest"));
        let classes = vec!["2".into(), "5.5".into(), "7".into()];
        assert!(text(SavedMachine { classes, ..machine() }).ends_with("a class is \"5.5\""));
    }

    #[test]
    fn damage_is_told_with_its_line() {
        let told = |from: &str, to: &str| {
            SavedMachine::from_libsvm(&TEXT.replacen(from, to, 1), machine().objective).unwrap_err().to_string()
        };
        assert_eq!(told("c_svc", "nu_svc"), "line 1: svm_type is nu_svc, but c_svc is wanted");
        assert_eq!(told("precomputed", "rbf"), "line 2: kernel_type is rbf, but precomputed is wanted");
        assert_eq!(told("rho", "row"), "there is no line \"rho\"");
        assert_eq!(told("2 5 7", "2 5"), "line 6: 2 numbers, but 3 are wanted");
        assert_eq!(told("2 5 7", "2 5 x"), "line 6: \"x\" is not such a number");
        assert_eq!(told("nr_class 3", "nr_class 1"), "line 6: 3 numbers, but 1 are wanted");
        assert_eq!(told("5e-1 0e0 0", "nan 0e0 0"), "line 9: \"nan\" is not such a number");
        assert_eq!(told("0:9", "0:11"), "line 10: does not end in 0:index, with an index from 1 to 10");
        assert_eq!(told("nr_sv 2", "nr_sv 3"), "there is no line \"for each support vector\"");
        assert_eq!(told("nr_sv 2 1 1", "nr_sv 2 1 0"), "line 12: one support vector more than nr_sv says");
        assert_eq!(told("0:9", "0:1"), "support vector 1 stands there twice");
        assert!(SavedMachine::from_libsvm("", machine().objective).is_err());
        assert_eq!(told("2 5 7", "2 5 \u{1b}[2J"), "line 6: \"\\u{1b}[2J\" is not such a number");
    }

    #[test]
    fn no_number_of_classes_is_believed() {
        // A hundred thousand classes have five thousand million pairs: none is made before their numbers are there.
        let labels = "1 ".repeat(100_000);
        let text = TEXT.replace("nr_class 3", "nr_class 100000").replace("2 5 7", labels.trim());
        let error = SavedMachine::from_libsvm(&text, machine().objective).unwrap_err();
        assert_eq!(error.to_string(), "line 5: 3 numbers, but 4999950000 are wanted");
        let text = TEXT.replace("nr_class 3", &format!("nr_class {}", usize::MAX));
        assert!(SavedMachine::from_libsvm(&text, machine().objective).is_err());
    }
}
