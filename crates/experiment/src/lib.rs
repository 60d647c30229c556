//! The library behind the program `widenet`.

pub mod backend;
pub mod commands;
pub mod config;
pub mod error;
pub mod plot;
pub mod probe;
pub mod report;
pub mod run_folder;
pub mod train;
