//! Files that lie about their size or hold what no terminal should see: a clear line, little memory, no panic.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use ndarray::Array1;
use widenet_store::arrays::NpzWriter;

/// Runs the program, on Unix with no more than 6 GB of address space.
fn widenet(arguments: &[&str], folder: &Path) -> Output {
    let program = env!("CARGO_BIN_EXE_widenet");
    let mut command = if cfg!(unix) {
        let mut command = Command::new("sh");
        command.arg("-c").arg("ulimit -v 6000000; exec \"$0\" \"$@\"").arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).current_dir(folder).output().unwrap()
}

/// The one line that a refused command says.
#[track_caller]
fn refused(arguments: &[&str], folder: &Path) -> String {
    let out = widenet(arguments, folder);
    let text = String::from_utf8(out.stderr).unwrap();
    assert!(matches!(out.status.code(), Some(1 | 2)), "{:?}: {text}", out.status);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.trim_end().chars().any(char::is_control), "{text:?}");
    text
}

/// An archive whose array `metadata` is said to have this shape.
fn npz(path: &Path, shape: &str) {
    let mut npz = NpzWriter::new(std::io::Cursor::new(Vec::new()));
    npz.add("metadata", &Array1::from_vec(vec![0_u8; 12])).unwrap();
    let mut bytes = npz.finish().unwrap().into_inner();
    let place = bytes.windows(5).position(|part| part == b"(12,)").unwrap();
    // There is room for it: headers are padded.
    bytes[place..place + shape.len()].copy_from_slice(shape.as_bytes());
    let end = place + shape.len();
    bytes[end] = b'}';
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_shape_in_a_header_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("x.csv"), "1,2\n3,4\n").unwrap();
    npz(&at.join("m.npz"), "(1099511627776,)");
    let line = refused(&["predict", "m.npz", "x.csv", "--out", "p.csv"], at);
    assert!(line.contains("takes 1099511627776 bytes, but 12 are there"), "{line}");
}

#[test]
fn a_header_of_a_network_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("w.safetensors"), [&(1_u64 << 60).to_le_bytes()[..], b"{}"].concat()).unwrap();
    let line = refused(&["certify", "w.safetensors"], at);
    assert!(line.contains("said to be 1152921504606846976 bytes long, but 2 follow"), "{line}");
}

#[test]
fn packed_images_are_not_unfolded_without_bound() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // The header of eight million images, and a few of them.
    let file = std::fs::File::create(at.join("train-images-idx3-ubyte.gz")).unwrap();
    let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    for name in ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        std::fs::write(at.join(name), "").unwrap();
    }
    let header = [0x803_u32, 8_000_000, 28, 28].map(u32::to_be_bytes).concat();
    packer.write_all(&header).unwrap();
    packer.write_all(&vec![0; 1 << 20]).unwrap();
    packer.finish().unwrap();
    let line = refused(&["fit", ".", "--arch", "mlp = { hidden = [4] }", "--c", "1", "--out", "m.npz"], at);
    assert!(line.contains("are said to hold 6272000016"), "{line}");
}

#[test]
fn the_readers_of_tables_keep_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let fit = |name: &str| {
        let arguments = ["fit", name, "--arch", "mlp = { hidden = [4] }", "--c", "1", "--out", "m.npz", "--force"];
        arguments.map(String::from).to_vec()
    };
    fn words(arguments: &[String]) -> Vec<&str> {
        arguments.iter().map(String::as_str).collect()
    }
    // An index that is there twice.
    std::fs::write(at.join("twice.svm"), "1 1:2 2:1\n0 1:2 1:3\n").unwrap();
    let line = refused(&words(&fit("twice.svm")), at);
    assert!(line.contains("twice.svm:2: "), "{line}");
    // Names of files are those of the system that they come from.
    std::fs::write(at.join("TABLE.CSV"), "1,2,a\n3,4,b\n0,1,a\n").unwrap();
    let out = widenet(&words(&fit("TABLE.CSV")), at);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn keys_and_labels_reach_no_terminal_raw() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("c.toml"), "name = 'x'\n\"\\u001b[2J\\u202e\" = 1\n").unwrap();
    let line = refused(&["train", "c.toml"], at);
    assert!(line.contains("\\u{1b}[2J"), "{line}");
    std::fs::write(at.join("t.csv"), "1,2,a\n\u{1b}[2J,4,b\n").unwrap();
    refused(&["fit", "t.csv", "--arch", "mlp = { hidden = [4] }", "--c", "1", "--out", "m.npz"], at);
}
