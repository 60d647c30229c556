//! Run folders as the program uses them; see [`widenet_store::RunFolder`].

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use widenet_store::text::visible;
pub use widenet_store::{Early, Existing, Parts, RunFolder, folder_of, write_whole};
use widenet_store::{StoreError, is_stdout, is_stream};

use crate::config::{difference, parse, to_toml};
use crate::error::Error;
use crate::train::Finished;

/// Checks that the run at `path` was started with this configuration.
///
/// # Errors
///
/// When it was started with another one, or its own cannot be read.
pub fn check_config<T>(path: &Path, config: &T) -> Result<(), Error>
where
    T: PartialEq + Serialize + DeserializeOwned,
{
    let path = RunFolder::to_resume(path)?;
    let stored: T = parse(&RunFolder::read_config(&path)?, &path.join("config.toml"))?;
    if stored == *config {
        return Ok(());
    }
    let difference = difference(&stored, config);
    Err(Error::Setting(format!(
        "{} was started with another configuration ({}); --force replaces it, --out names another",
        path.display(),
        difference.as_deref().unwrap_or("see its config.toml")
    )))
}

/// What the run at `path` told when it was finished, if it is.
///
/// # Errors
///
/// When another process writes it, or its results cannot be read.
pub fn finished(path: &Path, configuration: &str) -> Result<Option<Finished>, Error> {
    let Some(bytes) = RunFolder::read_results(&RunFolder::to_resume(path)?)? else { return Ok(None) };
    // What a process that was stopped at the very end left undone.
    let run = RunFolder::create(path, Existing::Resume, configuration, Early::Kept)?;
    let place = run.place().to_path_buf();
    run.settle()?;
    let results = serde_json::from_slice(&bytes).map_err(|error| Error::file(place.join("results.json"), error))?;
    let summary = format!("{} is finished; report: {}\n", path.display(), place.join("report.html").display());
    Ok(Some(Finished { results, summary }))
}

/// [`finished`] for a run with a configuration, which has to be the same.
///
/// # Errors
///
/// As for [`check_config`] and [`finished`].
pub fn finished_with<T>(path: &Path, config: &T) -> Result<Option<Finished>, Error>
where
    T: PartialEq + Serialize + DeserializeOwned,
{
    check_config(path, config)?;
    finished(path, &to_toml(config))
}

/// A JSON document for people to read too.
pub(crate) fn json_bytes(value: &serde_json::Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain data");
    bytes.push(b'\n');
    bytes
}

/// Ends a run, whose other files are there, with its results.
///
/// # Errors
///
/// As for [`RunFolder::finish`].
pub(crate) fn finish(folder: RunFolder, finished: Finished) -> Result<Finished, Error> {
    folder.finish(&json_bytes(&finished.results))?;
    Ok(finished)
}

/// Writes a JSON document whole.
///
/// # Errors
///
/// When it cannot be written.
pub(crate) fn write_json(folder: &RunFolder, name: &str, value: &serde_json::Value) -> Result<(), StoreError> {
    folder.write(name, &json_bytes(value))
}

/// Says what was done: on standard output, or on standard error where `out`, which was written, is standard output.
pub(crate) fn say(out: &Path, text: &str) {
    let text = lines(text);
    if is_stdout(out) { eprint!("{text}") } else { print!("{text}") }
}

/// A text of several lines as a terminal may show it, whatever the names of files in it.
pub(crate) fn lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

/// Refuses a run folder that holds a file which is read: the run would take its place.
///
/// # Errors
///
/// When it does.
pub(crate) fn refuse_inputs(run: &Path, inputs: &[&Path]) -> Result<(), Error> {
    let Ok(run) = run.canonicalize() else { return Ok(()) };
    let held = |input: &&&Path| input.canonicalize().is_ok_and(|input| input.starts_with(&run));
    match inputs.iter().find(held) {
        Some(input) => {
            Err(Error::file(*input, "is read, so the folder that holds it is not replaced: --out names another"))
        }
        None => Ok(()),
    }
}

/// Refuses to write a file that is there already.
///
/// # Errors
///
/// When it is, unless it may be replaced by `force`.
pub(crate) fn refuse_existing(path: &Path, force: bool) -> Result<(), Error> {
    if path.exists() && !force && !is_stream(path) { Err(Error::exists(path)) } else { Ok(()) }
}
