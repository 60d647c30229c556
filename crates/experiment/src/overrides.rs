//! `--set key.path=value`: what the command line says in place of a configuration file.

use serde::de::DeserializeOwned;
use toml_edit::{DocumentMut, Item, TableLike, Value};
use widenet_store::text::{one_line, shown};

use crate::config::ConfigError;

/// A configuration whose document is overridden by `overrides` of the form `key.path=value`, where the value is TOML, or else
/// a string. `config` is what the document says without them.
///
/// # Errors
///
/// Names the one at fault.
pub(crate) fn override_with<T: DeserializeOwned>(
    overrides: &[String],
    mut document: DocumentMut,
    config: T,
) -> Result<T, ConfigError> {
    // What the configuration is after each of them: one may be in want of a later one.
    let mut read = Ok(config);
    let mut problems = Vec::new();
    for text in overrides {
        set(&mut document, text).map_err(|problem| ConfigError::Override { text: text.clone(), problem })?;
        read = toml_edit::de::from_str(&document.to_string());
        problems.push(read.as_ref().err().map(|error: &toml_edit::de::Error| one_line(error.message())));
    }
    read.map_err(|error: toml_edit::de::Error| {
        let problem = one_line(error.message());
        let first = problems.iter().position(|earlier| earlier.as_ref() == Some(&problem)).unwrap_or_default();
        ConfigError::Override { text: overrides[first].clone(), problem }
    })
}

/// What numbers there are.
const NUMBERS: &str = "whole numbers go from -2^63 to 2^63 - 1, others to 1.8e308, with a digit but no needless zero in front; \
                       text wants quotation marks";

/// Applies `key.path=value` to a document.
fn set(document: &mut DocumentMut, text: &str) -> Result<(), String> {
    let (path, value) = text.split_once('=').ok_or("an override reads key.path=value")?;
    let value = value.trim();
    let digits = value.trim_start_matches(['+', '-']).replace('_', "");
    let value: Value = match value.parse() {
        Ok(value) => value,
        Err(_) if digits.parse::<f64>().is_ok() && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            return Err(format!("{} is no number of TOML: {NUMBERS}", shown(value)));
        }
        Err(_) => Value::from(value),
    };
    let keys: Vec<&str> = path.trim().split('.').collect();
    let Some((last, tables)) = keys.split_last().filter(|_| keys.iter().all(|key| !key.is_empty())) else {
        return Err("an override reads key.path=value".into());
    };
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for key in tables {
        let item = table.entry(key).or_insert_with(toml_edit::table);
        table = item.as_table_like_mut().ok_or_else(|| format!("{key} is a value, not a table"))?;
    }
    table.insert(last, Item::Value(value));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, KernelName};

    const QUICK: &str = "name = 'x'\n[data]\ntrain = 8\n[architecture.mlp]\nhidden = [4]\n[objective]\n\
                         lambda_mean = 0.1\n[training]\nlearning_rate = 1.0\nsteps = 10\n";

    #[test]
    fn overrides_replace_and_add() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, QUICK).unwrap();
        let load = |overrides: &[&str]| {
            let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
            Config::load(&path, &overrides).map_err(|error| error.to_string())
        };
        let config =
            load(&["training.steps=20", "machine.kernel=empirical", "architecture.mlp.hidden=[8, 8]"]).unwrap();
        assert_eq!(config.training.steps.get(), 20);
        assert_eq!(config.machine.kernel, KernelName::Empirical);
        assert_eq!(
            config,
            load(&["training.steps = 20", "machine.kernel='empirical'", "architecture.mlp.hidden=[8,8]"]).unwrap()
        );
        let error = load(&["training.stepps=20"]).unwrap_err();
        assert!(error.starts_with("--set training.stepps=20: unknown field `stepps`"), "{error}");
        // Of several the one at fault is named, in one short line.
        let error = load(&["training.steps=20", "training.learning_rate=-1", "seed=3"]).unwrap_err();
        assert_eq!(error, "--set training.learning_rate=-1: -1 is not a finite number > 0");
        let error = load(&["seed=3", &format!("training.{}=1", "x".repeat(1000))]).unwrap_err();
        assert!(error.starts_with("--set training.xxx") && error.len() < 600 && !error.contains("seed=3"), "{error}");
        // One that is in want of another is none where that comes, and is named where it does not.
        let alone = "architecture={ layers = ['flatten'] }";
        assert!(load(&["objective.loss={ epsilon_insensitive = { epsilon = -1.0 } }", "objective.loss=hinge"]).is_ok());
        assert!(load(&[alone, "architecture={ mlp = { hidden = [4] } }"]).is_ok());
        // Numbers that TOML does not have are not taken for text.
        for seed in ["9223372036854775808", "-9223372036854775809", "1_000_000_000_000_000_000_000"] {
            let error = load(&[&format!("seed={seed}")]).unwrap_err();
            assert!(
                error.starts_with(&format!(
                    "--set seed={seed}: {seed} is no number of TOML: whole numbers go from -2^63 to 2^63 - 1, "
                )),
                "{error}"
            );
        }
        assert_eq!(load(&["seed=9223372036854775807"]).unwrap().seed, i64::MAX as u64);
        assert_eq!(load(&["name=x9223372036854775808"]).unwrap().name, "x9223372036854775808");
        assert!(load(&["training"]).unwrap_err().contains("key.path=value"));
        assert!(load(&["name.x=1"]).unwrap_err().contains("name is a value"));
        assert!(load(&[".x=1"]).is_err());
    }
}
