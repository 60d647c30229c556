//! `widenet kernel`: a kernel's Gram matrix, computed block by block and saved.
//!
//! The matrices are cut into blocks of rows, of a symmetric one only what is on or below the diagonal. Finished blocks
//! go to the folder `FILE.npz.partial`, so that a long job can be resumed. At the end one matrix after the other is
//! put together and written; see [`crate::gram_file`] for the file.
//!
//! A device or a pipe is no place to go on from: of a job for one of these nothing is kept.

mod command;
mod partial;
mod tiling;

use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Instant;

use burn::tensor::Device;
use indicatif::ProgressBar;
use ndarray::{Array2, ArrayView2, s};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use widenet_data::Split;
use widenet_model::{Architecture, ArchitectureConfig, Network, Precision, Shape};
use widenet_store::memory::MemoryError;
use widenet_store::{Folder, StoreError, is_stream, write_with};
use widenet_tangent::{Contraction, EmpiricalKernel, EmpiricalKind, Kernel, LayerPlan, LimitKernel, LimitKind, Method};

use crate::backend::Backend;
use crate::config::DataConfig;
use crate::data_source;
use crate::error::Error;
use crate::gram_file::{GramFile, GramWriter, Metadata, hash, test_key};
use crate::memory::readable;
use crate::run_folder::{folder_of, refuse_existing};
use crate::signals;
use crate::train::Finished;

pub(crate) use command::{KernelArgs, classes, kernel_command};
use partial::{Job, Partial};
use tiling::{Tiling, ranges};

/// Which kernel of an architecture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum KernelKind {
    /// The neural tangent kernel, of networks of which every layer is trained.
    #[default]
    Ntk,
    /// The kernel of networks of which only the last layer is trained; at infinite width the Gaussian process kernel.
    Nngp,
}

impl KernelKind {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            KernelKind::Ntk => "ntk",
            KernelKind::Nngp => "nngp",
        }
    }

    pub(crate) fn limit(self) -> LimitKind {
        match self {
            KernelKind::Ntk => LimitKind::Ntk,
            KernelKind::Nngp => LimitKind::Nngp,
        }
    }

    pub(crate) fn empirical(self) -> EmpiricalKind {
        match self {
            KernelKind::Ntk => EmpiricalKind::Tangent,
            KernelKind::Nngp => EmpiricalKind::LastLayer,
        }
    }
}

/// What is computed.
#[derive(Clone, Debug)]
pub struct KernelConfig {
    /// The network.
    pub architecture: ArchitectureConfig,
    /// The samples.
    pub data: DataConfig,
    /// Whether test samples against training samples, too.
    pub test: bool,
    /// Whether the limit.
    pub limit: bool,
    /// Empirical kernels at these widths.
    pub widths: Vec<NonZeroUsize>,
    /// Which kernel.
    pub kind: KernelKind,
    /// Networks per width, of which the mean is taken.
    pub samples: NonZeroUsize,
    /// The seed of the first.
    pub seed: u64,
    /// Where the networks live.
    pub backend: Backend,
    /// Their number format.
    pub precision: Precision,
    /// How their kernels are computed.
    pub method: Method,
}

/// Where a kernel goes, and what it may take.
#[derive(Clone, Debug, Default)]
pub struct KernelPlaces {
    /// The user's data folder, in place of the usual one.
    pub data: Option<PathBuf>,
    /// The file.
    pub out: PathBuf,
    /// Go on with an interrupted job, or start where there is none.
    pub resume: bool,
    /// Replace the file.
    pub force: bool,
    /// Bytes of memory; half of what is free if absent.
    pub memory: Option<u64>,
    /// Stop after so many row blocks.
    pub stop_after: Option<usize>,
}

/// Memory where the system does not tell how much is free.
const MEMORY: u64 = 4 << 30;

/// Computes the matrices and writes the file.
///
/// # Errors
///
/// When anything asked for is impossible (nothing is written then), or when a file cannot be written.
pub fn kernel(config: &KernelConfig, places: &KernelPlaces) -> Result<Finished, Error> {
    let unwritten = signals::Job::unwritten();
    let resumable = !is_stream(&places.out);
    let partial = check_places(places)?;
    let data = data_source::open(&config.data, places.data.as_deref())?;
    let architecture = config.architecture.build(Shape::Image(data.train.shape))?;
    let limit = if config.limit { Some(LimitKernel::new(&architecture, config.kind.limit())?) } else { None };
    if !config.widths.is_empty() && architecture.width().is_none() {
        return Err(Error::Setting("architecture: without a hidden layer there is no width to vary".into()));
    }
    let networks = config.widths.iter().map(|&width| architecture.with_width(width)).collect::<Result<_, _>>()?;
    // The limit is computed by the host alone.
    let device = match config.widths.is_empty() {
        true => Device::flex(),
        false => crate::probe::open(config.backend, config.precision)?,
    };
    let metadata = metadata(config, &architecture, &data);
    let setup = Setup { config, places, data, architecture, limit, networks, device, metadata };
    if places.resume && places.out.is_file() && resumable {
        if GramFile::read(&places.out).is_ok_and(|file| file.metadata == setup.metadata) {
            if Partial::interrupted(&partial)? {
                Partial::resume(&partial, &setup.metadata)?.0.remove()?;
            } else {
                Partial::remove_rest(&partial)?;
            }
            let summary = format!("{} is finished\n", places.out.display());
            return Ok(Finished { results: json!({ "file": places.out, "finished": true }), summary });
        }
        refuse_existing(&places.out, places.force)?;
    }
    let job = setup.plan()?;
    let _job = if resumable { signals::Job::resumable() } else { signals::Job::looking() };
    drop(unwritten);
    let (partial, job) = match places.resume && resumable && Partial::interrupted(&partial)? {
        true => Partial::resume(&partial, &setup.metadata)?,
        false if resumable => (Partial::create(&partial, &job)?, job),
        false => (Partial::temporary(&job)?, job),
    };
    setup.announce(&job);
    setup.execute(partial, &job)
}

/// Checks that the file may be written, and where its unfinished parts go.
fn check_places(places: &KernelPlaces) -> Result<PathBuf, Error> {
    let out = &places.out;
    let folder = folder_of(out);
    if !folder.is_dir() {
        return Err(Error::file(folder, "there is no such folder"));
    }
    if out.is_dir() {
        return Err(Error::file(out, "is a folder, not a file"));
    }
    // Whether it is this very job that is finished, is seen when the job is known.
    refuse_existing(out, places.force || places.resume)?;
    let partial = Partial::place(out);
    if is_stream(out) {
        return match places.stop_after {
            Some(_) => {
                Err(Error::Setting("--stop-after-blocks: --out is no file, so nothing is kept to go on with".into()))
            }
            None => Ok(partial),
        };
    }
    if Folder::is_written(&partial) {
        return Err(StoreError::Locked { path: partial }.into());
    }
    if !places.resume && !places.force && Partial::interrupted(&partial)? {
        return Err(Error::file(partial, "is an interrupted job; --resume continues it, --force starts anew"));
    }
    Ok(partial)
}

fn metadata(config: &KernelConfig, architecture: &Architecture, data: &Split) -> Metadata {
    Metadata {
        widenet: env!("CARGO_PKG_VERSION").into(),
        architecture: architecture.clone(),
        kind: config.kind,
        limit: config.limit,
        widths: config.widths.iter().map(|width| width.get()).collect(),
        seed: config.seed,
        samples: config.samples.get(),
        backend: config.backend,
        precision: config.precision,
        method: config.method,
        source: config.data.source.clone(),
        classes: config.data.classes,
        n: data.train.len(),
        test: if config.test { data.test.len() } else { 0 },
        hash: hash(data.train.inputs.view()),
        hash_test: config.test.then(|| hash(data.test.inputs.view())),
    }
}

/// A job whose ingredients have all been checked.
struct Setup<'a> {
    config: &'a KernelConfig,
    places: &'a KernelPlaces,
    data: Split,
    architecture: Architecture,
    limit: Option<LimitKernel>,
    /// The architecture at every width.
    networks: Vec<Architecture>,
    device: Device,
    metadata: Metadata,
}

/// A matrix of the file.
struct Matrix {
    key: String,
    /// Test samples are its rows.
    test: bool,
    height: usize,
    networks: usize,
    tiling: Tiling,
}

impl Matrix {
    /// The columns that are computed of a block of rows: all of them, or those up to the diagonal.
    fn columns(&self, rows: &Range<usize>, n: usize) -> usize {
        if self.test { n } else { rows.end }
    }
}

impl Setup<'_> {
    /// Cuts the matrices so that samples, one matrix and one block's work fit the memory.
    fn plan(&self) -> Result<Job, Error> {
        let (n, m) = (self.metadata.n, self.metadata.test);
        let matrix = (8 * n as u64).saturating_mul(n.max(m) as u64);
        let samples = 8 * (self.data.train.inputs.len() + if m > 0 { self.data.test.inputs.len() } else { 0 }) as u64;
        let held = samples + matrix;
        let free = self.memory();
        let budget = free.saturating_sub(held);
        let too_small = |work: u64| match self.places.memory {
            None => {
                let what = format!("a kernel of {n} samples");
                let bytes = |fewer: u64| {
                    let matrix = 8_u64.saturating_mul(fewer).saturating_mul(fewer.max(m as u64));
                    matrix.saturating_add(samples / n as u64 * fewer).saturating_add(work)
                };
                let fits = crate::memory::largest(n, free, bytes).map(|n| format!("--n {n} would fit"));
                Error::Memory { error: MemoryError { what, needed: held + work, free }, advice: fits }
            }
            Some(_) => {
                let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
                Error::Setting(format!(
                    "--memory {:.3} is too small: the samples take {:.3} MiB, a matrix of {} x {n} {:.3} MiB and its \
                     smallest block {:.3} MiB, {:.3} MiB together",
                    mebibytes(free),
                    mebibytes(samples),
                    n.max(m),
                    mebibytes(matrix),
                    mebibytes(work),
                    mebibytes(held + work)
                ))
            }
        };
        let limit = match &self.limit {
            None => None,
            Some(_) => Some(Tiling::limit(&self.architecture, n, budget).map_err(too_small)?),
        };
        let number = self.config.precision.bytes();
        let mut widths = Vec::new();
        for architecture in &self.networks {
            // The weights, and their values on the way from the host.
            let weights = (architecture.parameter_count() as u64).saturating_mul(number + 8);
            if weights > budget {
                return Err(too_small(weights));
            }
            let network = Network::init(architecture, self.config.seed, self.config.precision, &self.device);
            let pair = 2 * self.empirical(&network).sample_bytes();
            let tiling = Tiling::empirical(pair, n, budget - weights);
            widths.push(tiling.map_err(|work| too_small(weights.saturating_add(work)))?);
        }
        Ok(Job { metadata: self.metadata.clone(), limit, widths })
    }

    fn empirical(&self, network: &Network) -> EmpiricalKernel {
        EmpiricalKernel::of_kind(network, self.config.kind.empirical()).with_method(self.config.method)
    }

    /// How every layer's part of the empirical kernels is computed, by width.
    fn plans(&self) -> Vec<(usize, Vec<LayerPlan>)> {
        let plans = self.networks.iter().map(|architecture| EmpiricalKernel::plan_of(architecture, self.config.method));
        self.metadata.widths.iter().copied().zip(plans).collect()
    }

    fn memory(&self) -> u64 {
        self.places.memory.unwrap_or_else(|| crate::memory::available().map_or(MEMORY, |free| free / 2))
    }

    /// Says on stderr what will be computed, with the effective quantities.
    fn announce(&self, job: &Job) {
        let Metadata { kind, seed, samples, backend, precision, n, test, .. } = &self.metadata;
        let test = if *test > 0 { format!(", {test} test samples against them") } else { String::new() };
        let rows = |tiling: &Tiling| format!("in blocks of {} rows", tiling.rows);
        eprintln!("{} kernel on {n} training samples of {}{test}", kind.name(), self.data.train.name);
        if let Some(tiling) = &job.limit {
            eprintln!("limit, f64, {}", rows(tiling));
        }
        for ((width, plan), tiling) in self.plans().iter().zip(&job.widths) {
            eprintln!(
                "width {width}, mean over {samples} networks from seed {seed}, {} on {}, {}; {}",
                precision.name(),
                backend.name(),
                rows(tiling),
                ways(plan)
            );
        }
        eprintln!("memory: {}", readable(self.memory()));
    }

    /// The matrices of one kernel.
    fn matrices(&self, key: &str, networks: usize, tiling: Tiling) -> Vec<Matrix> {
        let Metadata { n, test, .. } = self.metadata;
        let mut matrices = vec![Matrix { key: key.into(), test: false, height: n, networks, tiling }];
        if test > 0 {
            matrices.push(Matrix { key: test_key(key), test: true, height: test, networks, tiling });
        }
        matrices
    }

    fn execute(&self, partial: Partial, job: &Job) -> Result<Finished, Error> {
        let started = Instant::now();
        let networks = self.config.samples.get();
        let limit: Vec<Matrix> = job.limit.iter().flat_map(|&tiling| self.matrices("limit", 1, tiling)).collect();
        let widths: Vec<Vec<Matrix>> = (self.metadata.widths.iter().zip(&job.widths))
            .map(|(width, &tiling)| self.matrices(&format!("width_{width}"), networks, tiling))
            .collect();
        let blocks = |matrix: &Matrix| matrix.tiling.blocks(matrix.height).len() * matrix.networks;
        let total: usize = limit.iter().chain(widths.iter().flatten()).map(blocks).sum();
        let progress = crate::progress::bar(total, "{bar:30} {pos}/{len} blocks ETA {eta}  {wide_msg}");
        let mut worker = Worker { setup: self, partial: &partial, progress, computed: 0 };
        worker.progress.tick();

        let mut whole = true;
        if let Some(kernel) = &self.limit {
            whole = worker.compute(&limit, 1, &|| kernel.clone())?;
        }
        for (architecture, matrices) in self.networks.iter().zip(&widths) {
            for index in 0..networks {
                // Seeds count up and go on at 0.
                let seed = self.config.seed.wrapping_add(index as u64);
                let kernel = || {
                    let network = Network::init(architecture, seed, self.config.precision, &self.device);
                    self.empirical(&network).with_tile(matrices[0].tiling.columns)
                };
                whole = whole && worker.compute(matrices, index + 1, &kernel)?;
            }
        }
        worker.progress.finish_and_clear();
        if !whole {
            let computed = worker.computed;
            let out = self.places.out.display();
            let summary = format!("stopped after {computed} of {total} blocks; --resume goes on with {out}\n");
            return Ok(Finished { results: json!({ "stopped_after_blocks": computed, "blocks": total }), summary });
        }
        let matrices: Vec<&Matrix> = limit.iter().chain(widths.iter().flatten()).collect();
        let written = self.write(&partial, &matrices)?;
        partial.remove()?;
        Ok(self.finish(written, started.elapsed().as_secs_f64()))
    }

    /// Puts the matrices together and writes the file whole.
    fn write(&self, partial: &Partial, matrices: &[&Matrix]) -> Result<Vec<Written>, Error> {
        let out = &self.places.out;
        let npz = |error: widenet_store::arrays::ArrayError| Error::file(out, error);
        let labels_test = self.config.test.then_some(&self.data.test.labels);
        write_with(out, |file| {
            let mut writer =
                GramWriter::new(file, &self.metadata, &self.data.train.labels, labels_test).map_err(npz)?;
            let mut written = Vec::new();
            for matrix in matrices {
                let values = self.assemble(partial, matrix)?;
                writer.matrix(&matrix.key, &values).map_err(npz)?;
                written.push(Written::of(matrix, &values));
            }
            writer.finish().map_err(npz)?;
            Ok(written)
        })
    }

    /// A matrix from its blocks: the mean over networks, and what is above the diagonal from what is below.
    fn assemble(&self, partial: &Partial, matrix: &Matrix) -> Result<Array2<f64>, Error> {
        let n = self.metadata.n;
        let mut values = Array2::zeros((matrix.height, n));
        for (index, rows) in matrix.tiling.blocks(matrix.height).into_iter().enumerate() {
            let columns = matrix.columns(&rows, n);
            let block = partial.load(&matrix.key, index, matrix.networks, (rows.len(), columns))?;
            values.slice_mut(s![rows, ..columns]).assign(&(block / matrix.networks as f64));
        }
        if !matrix.test {
            for i in 0..n {
                for j in 0..i {
                    values[[j, i]] = values[[i, j]];
                }
            }
        }
        Ok(values)
    }

    fn finish(&self, written: Vec<Written>, seconds: f64) -> Finished {
        let out = &self.places.out;
        let mut summary = format!("{} in {seconds:.1} s\n", out.display());
        for matrix in &written {
            let Written { key, shape: [height, width], smallest, largest, trace } = matrix;
            let trace = trace.map_or(String::new(), |trace| format!(", trace {trace:.6}"));
            writeln!(summary, "{key}: {height} x {width}, entries from {smallest:.6} to {largest:.6}{trace}")
                .expect("a string takes everything");
        }
        let matrices: Vec<Value> = written.iter().map(|matrix| json!(matrix)).collect();
        let metadata = &self.metadata;
        let plans: Vec<Value> =
            self.plans().into_iter().map(|(width, layers)| json!({ "width": width, "layers": layers })).collect();
        let results =
            json!({ "file": out, "seconds": seconds, "matrices": matrices, "metadata": metadata, "plans": plans });
        Finished { results, summary }
    }
}

/// A plan in words: layers that go the same way together.
fn ways(plan: &[LayerPlan]) -> String {
    let mut groups: Vec<(Contraction, Vec<&str>)> = Vec::new();
    for LayerPlan { layer, contraction, .. } in plan {
        match groups.iter_mut().find(|(way, _)| way == contraction) {
            Some((_, layers)) => layers.push(layer),
            None => groups.push((*contraction, vec![layer])),
        }
    }
    let groups: Vec<String> =
        groups.iter().map(|(way, layers)| format!("{} by {}", layers.join(", "), way.name())).collect();
    groups.join("; ")
}

/// Computes blocks and stores them.
struct Worker<'a> {
    setup: &'a Setup<'a>,
    partial: &'a Partial,
    progress: ProgressBar,
    /// Blocks computed in this run.
    computed: usize,
}

impl Worker<'_> {
    /// Adds the `count`-th network's kernel to every block that lacks it. The kernel is made when the first one does.
    /// False when it was stopped on the way.
    fn compute<K: Kernel>(&mut self, matrices: &[Matrix], count: usize, make: &dyn Fn() -> K) -> Result<bool, Error> {
        let mut kernel = None;
        let n = self.setup.metadata.n;
        for matrix in matrices {
            self.progress.set_message(match matrix.networks {
                1 => matrix.key.clone(),
                networks => format!("{}, network {count} of {networks}", matrix.key),
            });
            for (index, rows) in matrix.tiling.blocks(matrix.height).into_iter().enumerate() {
                if self.partial.has(&matrix.key, index, count, matrix.networks) {
                    self.progress.inc(1);
                    self.progress.reset_eta();
                    continue;
                }
                if is_stream(&self.setup.places.out) {
                    signals::check()?;
                }
                if self.setup.places.stop_after.is_some_and(|limit| self.computed >= limit) {
                    return Ok(false);
                }
                let kernel = kernel.get_or_insert_with(make);
                let columns = matrix.columns(&rows, n);
                let mut block = self.block(kernel, matrix, rows)?;
                if let Some((row, column)) = block.indexed_iter().find_map(|(at, v)| (!v.is_finite()).then_some(at)) {
                    return Err(Error::Numerics(format!(
                        "{}: entry ({row}, {column}) of block {index} is {}",
                        matrix.key,
                        block[[row, column]]
                    )));
                }
                if count > 1 {
                    block += &self.partial.load(&matrix.key, index, count - 1, (block.nrows(), columns))?;
                }
                self.partial.store(&matrix.key, index, count, &block)?;
                self.computed += 1;
                self.progress.inc(1);
            }
        }
        Ok(true)
    }

    /// One kernel's values in a block of rows.
    fn block(&self, kernel: &dyn Kernel, matrix: &Matrix, rows: Range<usize>) -> Result<Array2<f64>, Error> {
        let (train, test) = (&self.setup.data.train.inputs, &self.setup.data.test.inputs);
        let left: ArrayView2<f64> =
            if matrix.test { test.slice(s![rows.clone(), ..]) } else { train.slice(s![rows.clone(), ..]) };
        // Left of the square on the diagonal, which is symmetric in itself.
        let columns = if matrix.test { train.nrows() } else { rows.start };
        let mut block = Array2::zeros((rows.len(), matrix.columns(&rows, train.nrows())));
        for range in ranges(columns, matrix.tiling.columns) {
            let values = kernel.gram(left, train.slice(s![range.clone(), ..]))?;
            block.slice_mut(s![.., range]).assign(&values);
        }
        if !matrix.test {
            block.slice_mut(s![.., rows.start..]).assign(&kernel.gram_symmetric(left)?);
        }
        Ok(block)
    }
}

/// A matrix of the file, in numbers.
#[derive(Serialize)]
struct Written {
    key: String,
    shape: [usize; 2],
    smallest: f64,
    largest: f64,
    /// Of a symmetric matrix.
    trace: Option<f64>,
}

impl Written {
    fn of(matrix: &Matrix, values: &Array2<f64>) -> Self {
        Self {
            key: matrix.key.clone(),
            shape: [values.nrows(), values.ncols()],
            smallest: values.iter().copied().fold(f64::INFINITY, f64::min),
            largest: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            trace: (!matrix.test).then(|| values.diag().sum()),
        }
    }
}
