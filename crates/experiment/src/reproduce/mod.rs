//! `widenet reproduce`: figures and tables of the paper, beside the paper's own numbers.

mod certificates;
mod cost;
mod figure;
mod index;
mod table2;
mod table3;

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use widenet_model::Precision;

use crate::backend::Backend;
use crate::config::{Config, load_text};
use crate::error::Error;
use crate::judgement::told;
use crate::report::{Block, Report};
use crate::run_folder::{self, Early, Existing, Parts, RunFolder, finished, json_bytes};
use crate::signals;
use crate::study::{Studied, StudyConfig, study};
use crate::train::{Finished, Places, train};

/// What can be reproduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Target {
    /// Figure 1: full-batch dynamics of a three-layer network and its machine
    #[value(name = "figure1")]
    Figure1,
    /// Figure A.1: minibatch training on all of MNIST 0/1
    #[value(name = "figure-a1")]
    FigureA1,
    /// Table 1: seven losses, gap against width
    #[value(name = "table1")]
    Table1,
    /// Table 2: certificates of networks over their width, beside the machine's
    #[value(name = "table2")]
    Table2,
    /// Table 3: certificates of the paper's nine machines
    #[value(name = "table3")]
    Table3,
    /// The generalisation bound along training
    #[value(name = "generalisation")]
    Generalisation,
    /// All of them, with one page that reads as an article
    #[value(name = "all")]
    All,
}

/// How large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scale {
    /// Small networks and few steps: under two minutes each on two cores
    Smoke,
    /// The paper's sizes: minutes to hours; says its cost first
    Paper,
}

/// What is asked for beside the target.
#[derive(Clone, Debug)]
pub struct Options {
    /// How large.
    pub scale: Scale,
    /// In place of the configurations' backend.
    pub backend: Option<Backend>,
    /// The data folder and the run folder, and what to do when that exists.
    pub places: Places,
}

/// A claim of the paper beside what was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// What is claimed, with its conditions.
    pub what: String,
    /// The published value, in words where it is none.
    pub published: String,
    /// The measured one.
    pub measured: String,
    /// Whether the measurement bears it out: a published value where ours is within a tenth of it. `None` where the
    /// paper gives no value, or one of other sizes, or the measurement does not decide.
    pub holds: Option<bool>,
}

/// A target that was reproduced.
struct Reproduced {
    /// What was found of the target's statement, with its numbers.
    finding: String,
    /// What is shown beside the claims.
    blocks: Vec<Block>,
    claims: Vec<Claim>,
    results: Value,
}

/// A page as it is written.
struct Page {
    blocks: Vec<Block>,
    claims: Vec<Claim>,
    results: Value,
}

impl Target {
    const EACH: [Target; 6] =
        [Target::Figure1, Target::FigureA1, Target::Table1, Target::Table2, Target::Table3, Target::Generalisation];

    /// The name on the command line and of the folder.
    pub fn name(self) -> &'static str {
        match self {
            Target::Figure1 => "figure1",
            Target::FigureA1 => "figure-a1",
            Target::Table1 => "table1",
            Target::Table2 => "table2",
            Target::Table3 => "table3",
            Target::Generalisation => "generalisation",
            Target::All => "all",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Target::Figure1 => "Figure 1: network and machine learn the same function",
            Target::FigureA1 => "Figure A.1: minibatches of all of MNIST 0/1",
            Target::Table1 => "Table 1: seven losses, one equivalence",
            Target::Table2 => "Table 2: certificates of wide networks, and of the machine",
            Target::Table3 => "Table 3: robustness and regularisation",
            Target::Generalisation => "The generalisation bound along training",
            Target::All => "The equivalence between neural networks and support vector machines, measured",
        }
    }

    /// What the paper says, in a sentence.
    fn statement(self) -> &'static str {
        match self {
            Target::Figure1 => {
                "A wide network and the support vector machine with its tangent kernel have the same outputs all along \
                 training."
            }
            Target::FigureA1 => "So they do with minibatches, on all images.",
            Target::Table1 => {
                "Every regularised loss makes a kernel machine of the network; the gap vanishes with the width."
            }
            Target::Table2 => {
                "Certificates of networks vanish as the width grows; that of the machine, the network of infinite width, \
                 does not."
            }
            Target::Table3 => "Regularisation makes the infinitely wide network up to 790 times more robust.",
            Target::Generalisation => {
                "The kernel machine that a network is gives a bound of its risk that is not vacuous."
            }
            Target::All => unreachable!("made of the others"),
        }
    }
}

impl Scale {
    /// The name on the command line and in results.
    pub fn name(self) -> &'static str {
        match self {
            Scale::Smoke => "smoke",
            Scale::Paper => "paper",
        }
    }
}

/// Reproduces a figure or a table.
///
/// # Errors
///
/// As for [`train`] and [`study`].
pub fn reproduce(target: Target, options: &Options) -> Result<Finished, Error> {
    let _unwritten = signals::Job::unwritten();
    // Before anything is written.
    RunFolder::check(&options.places.run, options.places.existing)?;
    let mut settings = format!("target = \"{}\"\nscale = \"{}\"\n", target.name(), options.scale.name());
    if let Some(backend) = options.backend {
        crate::probe::open(backend, Precision::F32)?;
        settings += &format!("backend = \"{}\"\n", backend.name());
    }
    if options.places.existing == Existing::Resume {
        let path = RunFolder::to_resume(&options.places.run)?;
        if RunFolder::read_config(&path)? != settings {
            let problem = "was started for another target, scale or backend; --force replaces it, --out names another";
            return Err(Error::Setting(format!("{} {problem}", path.display())));
        }
        if let Some(finished) = finished(&options.places.run, &settings)? {
            return Ok(finished);
        }
    }
    let _job = signals::Job::resumable();
    let folder = RunFolder::create(&options.places.run, options.places.existing, &settings, Early::Kept)?;
    // The runs and studies that it is made of.
    for name in [RUNS, STUDY].into_iter().chain(Target::EACH.map(Target::name)) {
        folder.files().hold_folders(name)?;
    }
    if options.scale == Scale::Paper {
        let targets = if target == Target::All { Target::EACH.to_vec() } else { vec![target] };
        cost::announce(&targets, options)?;
    }
    let page = match target {
        Target::All => {
            let each = Target::EACH.map(|target| {
                eprintln!("-- {}", target.title());
                let path = folder.path().join(target.name());
                let parts = folder.parts_of(target.name());
                one(target, options, (&path, &parts), &folder.path().join(RUNS)).map(|done| (target, done))
            });
            let each = each.into_iter().collect::<Result<Vec<_>, _>>()?;
            index::article(each)
        }
        target => one(target, options, (folder.path(), &folder.parts()), &folder.path().join(RUNS))?.into_page(target),
    };
    let finished = write(&folder, target, options.scale, page)?;
    run_folder::finish(folder, finished)
}

/// The folder of training runs. Targets share them.
const RUNS: &str = "runs";

/// The folder of a target's study.
const STUDY: &str = "study";

/// Reproduces one target into a folder, with the training runs in another.
fn one(target: Target, options: &Options, (path, parts): (&Path, &Parts), runs: &Path) -> Result<Reproduced, Error> {
    match target {
        Target::Figure1 => figure::figure1(options, parts, runs),
        Target::FigureA1 => figure::figure_a1(options, parts, runs),
        Target::Table2 => table2::table2(options, parts, runs),
        Target::Table3 => table3::table3(options, parts),
        Target::Table1 => table1(options, path),
        Target::Generalisation => generalisation(options, path),
        Target::All => unreachable!("made of the others"),
    }
}

fn write(folder: &RunFolder, target: Target, scale: Scale, page: Page) -> Result<Finished, Error> {
    let results =
        json!({ "target": target.name(), "scale": scale.name(), "claims": page.claims, "runs": page.results });
    let mut report = Report::new(target.title(), format!("{} scale", scale.name()));
    report.blocks = page.blocks;
    report.write(folder)?;
    let mut summary = String::new();
    for claim in &page.claims {
        let Claim { what, published, measured, .. } = claim;
        let verdict = claim.verdict();
        summary +=
            &format!("{what}\n    published: {published}\n    measured:  {measured}\n    holds:     {verdict}\n");
    }
    summary += &format!("report: {}\n", folder.place().join("report.html").display());
    Ok(Finished { results, summary })
}

impl Claim {
    fn new(what: impl Into<String>, published: impl Into<String>, measured: impl Into<String>) -> Self {
        Self { what: what.into(), published: published.into(), measured: measured.into(), holds: None }
    }

    fn holds(self, holds: Option<bool>) -> Self {
        Self { holds, ..self }
    }

    fn verdict(&self) -> &'static str {
        match self.holds {
            Some(true) => "yes",
            Some(false) => "no",
            None => "\u{2013}",
        }
    }
}

/// Whether a value is found again, for [`Claim::holds`]; NaN: none is published.
fn agrees(scale: Scale, measured: f64, published: f64) -> Option<bool> {
    (scale == Scale::Paper && published.is_finite()).then(|| (measured / published - 1.0).abs() <= 0.1)
}

/// A configuration that is part of the program, with overrides as for `--set`.
fn config<T: DeserializeOwned>(name: &str, text: &str, overrides: &[String]) -> Result<T, Error> {
    Ok(load_text(text, &PathBuf::from(name), overrides)?)
}

/// Where a part of a reproduction goes. What was interrupted is resumed.
fn part_of(options: &Options, run: PathBuf) -> Places {
    let existing = Existing::resume_or_start(&run);
    Places { data: options.places.data.clone(), run, existing, stop_at: None }
}

/// What is read of a training run.
const READ: [&str; 4] = ["results.json", "dynamics.csv", "weights.safetensors", "machine.npz"];

/// The results of a training run `NAME` in `RUNS/NAME`, which is not run again if it is finished.
fn trained(name: &str, mut config: Config, options: &Options, parts: &Parts, runs: &Path) -> Result<Value, Error> {
    config.backend = options.backend.unwrap_or(config.backend);
    let run = runs.join(name);
    let results = train(&config, &part_of(options, run.clone()))?.results;
    parts.files(&format!("run-{name}"), &run, &READ)?;
    // A signal that came at its last step.
    if let Some(signal) = signals::caught() {
        let what = "; the same command with --resume goes on".into();
        return Err(Error::Interrupted { signal, what });
    }
    // As they are read back where the run is not run again: JSON gives some numbers back one unit off in the last place.
    Ok(serde_json::from_slice(&json_bytes(&results)).expect("written just now"))
}

/// The results of a study, and the figures of its page.
fn studied(mut config: StudyConfig, options: &Options, run: PathBuf) -> Result<(Value, Vec<Block>), Error> {
    config.backend = options.backend.unwrap_or(config.backend);
    let Studied { finished, report } = study(&config, &part_of(options, run))?;
    let figures = report.blocks.into_iter().filter(|block| matches!(block, Block::Figure(_))).collect();
    Ok((finished.results, figures))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn table1_config(scale: Scale) -> Result<StudyConfig, Error> {
    let smoke = ["study.gap.widths=[64, 256, 1024]", "study.gap.seeds=2", "training.steps=500"];
    let overrides = if scale == Scale::Smoke { smoke.map(String::from).to_vec() } else { Vec::new() };
    config("configs/study-table1.toml", include_str!("../../../../configs/study-table1.toml"), &overrides)
}

/// Two digits, with the sign of print; a dash where there is no number.
fn exponent(value: f64) -> String {
    told(value, |value| format!("{value:.2}").replace('-', "\u{2212}"))
}

fn table1(options: &Options, path: &Path) -> Result<Reproduced, Error> {
    let (results, figures) = studied(table1_config(options.scale)?, options, path.join(STUDY))?;
    let rows = results["rows"].as_array().map_or(&[][..], Vec::as_slice);
    let claims = rows.iter().map(|row| {
        let slope = &row["largest"]["slope"];
        let means = row["largest"]["means"].as_array().map_or(&[][..], Vec::as_slice);
        let ends = means.first().zip(means.last()).map_or(String::new(), |(first, last)| {
            let at = |mean: &Value| format!("{:.3} at width {}", number(&mean["mean"]), mean["width"]);
            format!("; {} to {}", at(first), at(last))
        });
        Claim::new(
            format!("{}: the gap falls with the width", row["name"].as_str().unwrap_or_default()),
            "at least as 1/\u{221a}m (slope \u{2212}0.5)",
            format!(
                "slope {} [{}, {}]{ends}",
                exponent(number(&slope["slope"])),
                exponent(number(&slope["low"])),
                exponent(number(&slope["high"]))
            ),
        )
        .holds(slope["low"].as_f64().map(|low| low <= -0.5))
    });
    let mut blocks = vec![Block::Paragraph(
        "Every row of the paper's Table 1 is a loss with its kernel machine. The paper proves that the gap vanishes \
         with the width and gives no measurements; here they are, for two-layer networks held to their initial weights, \
         over widths and seeds (kernel regression and the hard margin have no regulariser). A row holds where the slope's \
         interval reaches \u{2212}0.5. The full report is in the folder study beside this page."
            .into(),
    )];
    // The gap over the width; the others are of single rows, along training.
    blocks.extend(figures.into_iter().next());
    let slopes: Vec<f64> = rows.iter().filter_map(|row| row["largest"]["slope"]["slope"].as_f64()).collect();
    let (steepest, flattest) = slopes.iter().fold((f64::NAN, f64::NAN), |(a, b), s| (s.min(a), s.max(b)));
    let finding = format!(
        "Slopes of the largest gap against the width, over {} of {} losses: {} to {}.",
        slopes.len(),
        rows.len(),
        exponent(steepest),
        exponent(flattest)
    );
    Ok(Reproduced { finding, claims: claims.collect(), blocks, results })
}

fn generalisation_config(scale: Scale) -> Result<StudyConfig, Error> {
    let smoke = ["data.train=200", "data.test=500", "architecture.mlp.hidden=[256]", "training.steps=100"];
    let overrides = if scale == Scale::Smoke { smoke.map(String::from).to_vec() } else { Vec::new() };
    let text = include_str!("../../../../configs/study-generalisation.toml");
    config("configs/study-generalisation.toml", text, &overrides)
}

fn generalisation(options: &Options, path: &Path) -> Result<Reproduced, Error> {
    let (results, figures) = studied(generalisation_config(options.scale)?, options, path.join(STUDY))?;
    let bounds = |labels: &str, who: &str| results[labels][who]["bounds"].as_array().map_or(&[][..], Vec::as_slice);
    let side = |labels: &str, who: &str| {
        let side = &results[labels][who];
        let bounds: Vec<String> = bounds(labels, who)
            .iter()
            .map(|bound| format!("bound {:.3} at \u{3b4} = {}", number(&bound["bound"]), bound["delta"]))
            .collect();
        format!(
            "training risk {:.4}, test risk {:.4}, {}",
            number(&side["train_risk"]),
            number(&side["test_risk"]),
            bounds.join(", ")
        )
    };
    let claims = vec![
        Claim::new(
            "the bound of the network is not vacuous",
            "below 1, plotted for \u{3b4} = 0.99",
            side("labels", "network"),
        )
        .holds(bounds("labels", "network").iter().map(|bound| number(&bound["bound"]) < 1.0).reduce(|a, b| a && b)),
        Claim::new("the bound of the machine, whose kernel is fixed", "not given", side("labels", "machine")),
        Claim::new(
            "the bound of the network on random labels, which nothing can be learned from",
            "not given",
            side("random_labels", "network"),
        ),
    ];
    let mut blocks = vec![Block::Paragraph(
        "\u{3b4} is the probability with which a bound may fail: 0.05 is usual, 0.99 is what the published plot used. For \
         the machine, whose kernel is fixed before the data are seen, the bound is a theorem. The network's kernel is its \
         path kernel, which depends on the data: there the figure is a heuristic. \
         The full report is in the folder study beside this page."
            .into(),
    )];
    blocks.extend(figures);
    let said = |labels: &str| {
        let one = |bound: &Value| format!("{:.2} at \u{3b4} = {}", number(&bound["bound"]), bound["delta"]);
        bounds(labels, "network").iter().map(one).collect::<Vec<_>>().join(", ")
    };
    let finding = format!(
        "The network's bound is {}; with random labels {}. A bound of 1 or more says nothing. \u{3b4} = 0.99, a bound \
         that may fail 99 times in a hundred, is the published setting.",
        said("labels"),
        said("random_labels")
    );
    Ok(Reproduced { finding, claims, blocks, results })
}
