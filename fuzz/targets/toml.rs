//! Configurations, and the kernels of saved machines: what is read is written and read again.
#![no_main]

use std::fmt::Debug;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use widenet::compare::CompareConfig;
use widenet::config::{Config, ConfigError, parse, to_toml};
use widenet::machine_kernel::MachineKernel;
use widenet::study::StudyConfig;
use widenet_model::Shape;

fn same_again<T: PartialEq + Debug>(first: Result<T, ConfigError>, again: impl Fn(&T) -> Result<T, ConfigError>) {
    match first {
        Ok(config) => assert_eq!(again(&config).unwrap(), config),
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let path = Path::new("c.toml");
    if let Ok(config) = Config::parse(text, path) {
        for shape in [Shape::Image([1, 28, 28]), Shape::Flat(2)] {
            let _ = config.architecture.build(shape);
        }
    }
    same_again(Config::parse(text, path), |config| Config::parse(&config.to_toml(), path));
    same_again(parse::<StudyConfig>(text, path), |config| parse(&to_toml(config), path));
    same_again(parse::<CompareConfig>(text, path), |config| parse(&to_toml(config), path));
    if let Ok(kernel) = MachineKernel::parse(text) {
        assert_eq!(MachineKernel::parse(&kernel.to_toml()).unwrap(), kernel);
    }
});
