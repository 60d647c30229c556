//! The program `widenet`: see `widenet --help`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    widenet::commands::run(widenet::commands::Cli::parse())
}
