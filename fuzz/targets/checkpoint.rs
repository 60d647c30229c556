//! Checkpoints: the first byte chooses which part of one the rest is. Checksums are put right, since no fuzzer guesses them.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use widenet::backend::Backend;
use widenet::config::parse;
use widenet::train::checkpoint::Checkpoint;
use widenet_model::{ArchitectureConfig, Network, Precision, Shape};
use widenet_store::{Checksum, Early, Existing, RunFolder, seal};

/// Training samples.
const SAMPLES: usize = 2;

const STATE: &[u8] = b"step = 3\ncoefficients = [0.5, -0.25]\nrecords = []\n";

struct Run {
    _home: TempDir,
    folder: RunFolder,
    weights: Vec<u8>,
}

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let home = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(&home.path().join("run"), Existing::Refuse, "a = 1\n", Early::Kept).unwrap();
    fs::create_dir(folder.path().join("checkpoint-a")).unwrap();
    let architecture: ArchitectureConfig = parse("mlp = { hidden = [2] }", Path::new("")).unwrap();
    let architecture = architecture.build(Shape::Flat(2)).unwrap();
    let device = Backend::Flex.open(Precision::F64).unwrap();
    let weights = Network::init(&architecture, 1, Precision::F64, &device).to_safetensors(Path::new("")).unwrap();
    Run { _home: home, folder, weights }
});

fuzz_target!(|bytes: &[u8]| {
    let Some((&choice, content)) = bytes.split_first() else { return };
    let run = &*RUN;
    let sealed = |text: &[u8]| seal("checkpoint", run.folder.configuration(), text);
    let pointer = match choice % 5 {
        0 => content.to_vec(),
        1 => sealed(content),
        part => {
            let mut parts = vec![("state.toml", STATE), ("weights.safetensors", run.weights.as_slice())];
            match part {
                2 => parts[0].1 = content,
                3 => parts[1].1 = content,
                _ => parts.push(("coordinates.npy", content)),
            }
            let mut text = "folder = \"checkpoint-a\"\n[parts]\n".to_string();
            for (name, bytes) in parts {
                fs::write(run.folder.path().join("checkpoint-a").join(name), bytes).unwrap();
                text += &format!("\"{name}\" = \"{}\"\n", Checksum::of(bytes));
            }
            sealed(text.as_bytes())
        }
    };
    fs::write(run.folder.path().join("checkpoint.toml"), pointer).unwrap();
    let device = Backend::Flex.open(Precision::F64).unwrap();
    match Checkpoint::load(&run.folder, SAMPLES, &device) {
        Ok(checkpoint) => assert!(checkpoint.is_none_or(|checkpoint| checkpoint.coefficients.len() == SAMPLES)),
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
});
