//! The library behind the program `widenet`.

pub mod backend;
pub mod certify;
pub mod commands;
pub mod compare;
pub mod config;
pub mod data_source;
pub mod error;
mod fit;
pub mod gram_file;
pub mod judgement;
pub mod kernel;
pub mod machine_kernel;
pub mod memory;
mod overrides;
pub mod plot;
pub mod probe;
mod progress;
pub mod report;
pub mod reproduce;
pub mod run_folder;
mod signals;
pub mod slope;
pub mod study;
mod toml_text;
pub mod train;
mod understood;
