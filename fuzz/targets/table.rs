//! Tables: the first byte chooses the file's name, the second what is told, the rest is the file. What was read once is
//! read in the same way for a machine that was fitted to it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use widenet_data::{Decimal, Known, Limits, Source, Told, read};

/// Bytes that a table may take.
const LIMITS: Limits = Limits { memory: Some(100 << 20), samples: None };

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fn told(choice: u8) -> Told {
    let header = [None, Some(true), Some(false), None][usize::from(choice & 3)];
    let label = [None, Some("1"), Some("y"), Some("2")][usize::from(choice >> 2 & 3)];
    let decimal = [None, Some(Decimal::Comma)][usize::from(choice >> 4 & 1)];
    let encoding = [None, Some("latin-1"), Some("utf-16le"), None][usize::from(choice >> 5 & 3)];
    let encoding = encoding.map(|name| name.parse().unwrap());
    Told { label: label.map(String::from), header, decimal, encoding }
}

fuzz_target!(|bytes: &[u8]| {
    let [name, choice, content @ ..] = bytes else { return };
    let path = FOLDER.path().join(if name & 1 == 0 { "t.csv" } else { "t.svm" });
    std::fs::write(&path, content).unwrap();
    let source = Source::new(&path);
    let Ok(samples) = read(&source, &told(*choice), None, LIMITS) else { return };
    let (n, d) = samples.inputs.dim();
    assert!(n > 0 && d > 0 && samples.origin.lines.len() == n && samples.target.labels.len() == n);
    assert!(samples.inputs.iter().all(|value| value.is_finite()) && [0, d].contains(&samples.names.len()));
    let known = Known { features: d, names: samples.names.clone(), form: samples.origin.form.clone() };
    // Text that is UTF-8 is taken for it, unless another encoding is told again.
    let Told { header, encoding, .. } = told(*choice);
    let again = read(&source, &Told { header, encoding, ..Told::default() }, Some(&known), LIMITS).unwrap();
    assert_eq!((again.inputs, again.target), (samples.inputs, samples.target));
    // Another file of the kind, or none.
    std::fs::write(&path, &content[content.len() / 2..]).unwrap();
    if let Ok(other) = read(&source, &Told::default(), Some(&known), LIMITS) {
        assert_eq!(other.inputs.ncols(), d);
    }
});
