//! How long certificates of the exact SVM on MNIST 0/1 take (lambda_mean 0.001, two-layer limit kernel): one JSON document
//! on stdout.
//!
//!     cargo bench -p widenet-certify --bench certify -- train FOLDER     # the machine, as FOLDER/machine.npz
//!     cargo bench -p widenet-certify --bench certify -- FOLDER CASE
//!
//! `published` and `interval` take all 2 115 test images, `relaxation` 200 of them, without branching. Seconds are the
//! processor's, on one core, after 20 images to warm up.

use std::error::Error;
use std::fs::File;
use std::path::Path;

use ndarray::{Array1, Array2, ArrayView2, Axis, Zip};
use ndarray_npy::{NpzReader, NpzWriter};
use serde_json::json;
use widenet_certify::{CertifyError, DenseMachine, Effort, Method, Norm, Profile, Sample, Threat};
use widenet_machine::{LossConfig, Objective, Options, solve};

type Failure = Box<dyn Error>;

/// Images to warm up.
const WARM: usize = 20;
/// Without branching.
const PLAIN: Effort = Effort { halvings: 0, budget: None, precision: 5e-3 };

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["train", folder] => write(Path::new(folder)),
        [folder, case] => run(Path::new(folder), case),
        _ => Err("usage: certify train FOLDER, or certify FOLDER CASE".into()),
    }
}

/// Training images, coefficients, test images.
fn write(folder: &Path) -> Result<(), Failure> {
    let data = widenet_data::mnist01().unwrap();
    let gram = kernel(data.train.inputs.view(), Profile::new(1)?);
    let objective = Objective::new(0.001, gram.nrows())?;
    let options = Options::default();
    let alpha = solve(gram.view(), data.train.labels.view(), LossConfig::Hinge, objective, &options)?.coefficients;
    let mut npz = NpzWriter::new(File::create(folder.join("machine.npz"))?);
    npz.add_array("inputs", &data.train.inputs)?;
    npz.add_array("alpha", &alpha)?;
    npz.add_array("tests", &data.test.inputs)?;
    npz.finish()?;
    Ok(())
}

/// The two-layer tangent kernel `|x| |x'| p(u)/(2d)`, `[n, n]`.
fn kernel(x: ArrayView2<f64>, profile: Profile) -> Array2<f64> {
    let norms = x.map_axis(Axis(1), |row| row.dot(&row).sqrt());
    let mut k = x.dot(&x.t());
    let scale = 0.5 / x.ncols() as f64;
    Zip::from(k.rows_mut()).and(&norms).par_for_each(|mut row, a| {
        Zip::from(&mut row).and(&norms).for_each(|k, b| {
            let size = a * b;
            *k = scale * size * profile.value((*k / size).clamp(-1.0, 1.0));
        });
    });
    k
}

/// Seconds that this thread has had a processor for (Linux): they do not run while others have it.
fn thread_seconds() -> Result<f64, Failure> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().ok_or("no time")?.parse()?;
    Ok(1e-9 * nanoseconds)
}

fn run(folder: &Path, case: &str) -> Result<(), Failure> {
    let mut npz = NpzReader::new(File::open(folder.join("machine.npz"))?)?;
    let (inputs, tests): (Array2<f64>, Array2<f64>) = (npz.by_name("inputs")?, npz.by_name("tests")?);
    let alpha: Array1<f64> = npz.by_name("alpha")?;
    let machine = DenseMachine::new(inputs.view(), alpha.view(), 0.0, Profile::new(1)?, 1.0)?;
    let certify = |sample: &Sample, method| sample.certify(method, PLAIN, None).radius;
    let (count, radius): (usize, &dyn Fn(&Sample) -> f64) = match case {
        "published" => (tests.nrows(), &|sample| sample.published(0.05)),
        "interval" => (tests.nrows(), &|sample| certify(sample, Method::Interval)),
        "relaxation" => (200, &|sample| certify(sample, Method::Relaxation)),
        _ => return Err(format!("no case {case}").into()),
    };
    let first = |images: usize| -> Result<Vec<f64>, CertifyError> {
        let positions = (0..images).map(|k| k * tests.nrows() / count);
        let sample = |i| Sample::new(&machine, tests.row(i), Threat::new(Norm::Inf));
        positions.map(|i| Ok(radius(&sample(i)?))).collect()
    };
    first(WARM)?;
    let started = thread_seconds()?;
    let radii = first(count)?;
    let seconds = thread_seconds()? - started;
    let document = json!({
        "case": case, "support": machine.support(), "seconds_per_image": seconds / count as f64, "radii": radii,
    });
    println!("{document}");
    Ok(())
}
