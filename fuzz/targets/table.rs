//! Tables: the first byte chooses the file's name and what is asked for, the rest is the file.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use widenet_data::Table;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, content)) = bytes.split_first() else { return };
    let path = FOLDER.path().join(if choice & 1 == 0 { "t.csv" } else { "t.svm" });
    std::fs::write(&path, content).unwrap();
    let label = (choice & 2 != 0).then_some("1");
    let features = (choice & 4 != 0).then_some(usize::from(choice >> 4));
    if let Ok(table) = Table::read(&path, label, features) {
        let n = table.inputs.nrows();
        assert!(n > 0 && table.lines.len() == n && [0, n].contains(&table.labels.len()));
        assert!(table.inputs.iter().all(|value| value.is_finite()));
    }
});
