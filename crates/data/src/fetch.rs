//! The full MNIST set in the user's data folder, from a mirror or from another folder.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::{Digest, Md5};
use ureq::Agent;
use ureq::http::{StatusCode, header};

use crate::DataError;
use crate::idx::{is_gzip, locate, unpacked, write_gzip};
use crate::mnist::{TEST, TRAIN};

/// Where MNIST is usually found, most reliable first. Each holds the four files as `NAME.gz`.
pub const MNIST_MIRRORS: [&str; 2] =
    ["https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"];

/// The four files of MNIST, with the MD5 of their uncompressed content.
const MNIST: [Original; 4] = [
    original(TRAIN[0], "6bbc9ace898e44ae57da46a324031adb"),
    original(TRAIN[1], "a25bea736e30d166cdddb491f175f624"),
    original(TEST[0], "2646ac647ad5339dbf082846283269ea"),
    original(TEST[1], "27ae3e4e09519cfbb04c329615203637"),
];

/// No file is read further than this: more than the largest one, packed or not.
const LONGEST: u64 = 64 << 20;

/// A file of MNIST.
const fn original(name: &'static str, md5: &'static str) -> Original<'static> {
    Original { name, md5, longest: LONGEST }
}

/// What happens during [`fetch_mnist`], in order, for each file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FetchEvent<'a> {
    /// The file is there already and its sum is right.
    Kept {
        /// The file.
        path: &'a Path,
    },
    /// A download begins, or goes on where an earlier one stopped.
    Started {
        /// The address.
        url: &'a str,
        /// How many bytes an earlier download left. 0 when it begins anew.
        resumed_at: u64,
        /// The size of the whole file in bytes, where the mirror tells.
        total: Option<u64>,
    },
    /// More of the file has come.
    Received {
        /// How many of its bytes are there now.
        bytes: u64,
        /// The size of the whole file in bytes, where the mirror tells.
        total: Option<u64>,
    },
    /// A download failed. The next mirror, if any, is tried.
    Failed {
        /// The address.
        url: &'a str,
        /// What happened.
        problem: &'a str,
    },
    /// The file is now there, whole and with the right sum.
    Done {
        /// The file.
        path: &'a Path,
    },
}

/// Where widenet keeps data: `$WIDENET_DATA_DIR`, or else `widenet` in the user's data folder.
///
/// The folder need not exist yet.
///
/// # Errors
///
/// [`DataError::NoDataFolder`] when the variable is not set and the system names no such folder.
pub fn data_folder() -> Result<PathBuf, DataError> {
    choose_folder(std::env::var_os("WIDENET_DATA_DIR"), dirs::data_dir())
}

/// Where the full MNIST set is kept: `mnist` in the [`data_folder`].
///
/// # Errors
///
/// As [`data_folder`].
pub fn mnist_folder() -> Result<PathBuf, DataError> {
    Ok(data_folder()?.join("mnist"))
}

/// Bring the full MNIST set to the folder `to`, which is made if need be.
///
/// The four files are taken from the folder `from`, packed or plain, or else downloaded from the
/// `mirrors` (usually [`MNIST_MIRRORS`]) in turn. The MD5 of each uncompressed file is checked. A
/// file gets its name only when it is whole and right. Until then it is `NAME.gz.part`, and a
/// later download goes on from there. Files that are there already are kept.
///
/// `progress` hears of each step.
///
/// # Errors
///
/// [`DataError::Download`] when no mirror gave a file (the text says how to do it by hand),
/// [`DataError::Missing`] when `from` lacks one, [`DataError::Checksum`] when a file in `from` or
/// `to` is not the original (it is left alone), [`DataError::Io`] when a file cannot be written.
pub fn fetch_mnist(
    to: &Path,
    from: Option<&Path>,
    mirrors: &[&str],
    progress: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<(), DataError> {
    // The body as a whole may take long on a slow line; a silent line may not.
    let agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_resolve(Some(Duration::from_secs(10)))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(Duration::from_secs(30)))
        .build()
        .new_agent();
    Fetch { originals: &MNIST, to, mirrors, agent, progress }.run(from)
}

/// Whether all four files of MNIST are in a folder, packed or plain. Their sums are not checked.
pub(crate) fn has_mnist(folder: &Path) -> bool {
    MNIST.iter().all(|original| locate(folder, original.name).is_ok())
}

fn choose_folder(variable: Option<OsString>, user_data: Option<PathBuf>) -> Result<PathBuf, DataError> {
    variable
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| user_data.map(|folder| folder.join("widenet")))
        .ok_or(DataError::NoDataFolder)
}

/// A file as it should be.
struct Original<'a> {
    /// Its name without `.gz`.
    name: &'a str,
    /// The MD5 of its uncompressed content, in hexadecimal.
    md5: &'a str,
    /// It is read no further than this, packed or not, in bytes.
    longest: u64,
}

impl Original<'_> {
    /// What is wrong with a file that should be this one, if anything.
    fn fault(&self, bytes: &[u8]) -> Option<String> {
        let mut content = Vec::new();
        if let Err(problem) = unpacked(bytes).take(self.longest + 1).read_to_end(&mut content) {
            return Some(format!("corrupt gzip: {problem}"));
        }
        if content.len() as u64 > self.longest {
            return Some(format!("holds more than {} bytes", self.longest));
        }
        let found: String = Md5::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
        (found != self.md5).then(|| format!("MD5 is {found}"))
    }

    /// The bytes of a file, if it is this one.
    fn read(&self, path: &Path) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(self.longest + 1).read_to_end(&mut bytes))
            .map_err(DataError::io(path))?;
        match self.fault(&bytes) {
            None => Ok(bytes),
            Some(problem) => {
                Err(DataError::Checksum { path: path.to_path_buf(), problem, expected: self.md5.to_owned() })
            }
        }
    }
}

/// Why a download failed: on this side, where another mirror is no help, or on the other.
enum Failure {
    Here(DataError),
    There(String),
}

struct Fetch<'a> {
    originals: &'a [Original<'a>],
    to: &'a Path,
    mirrors: &'a [&'a str],
    agent: Agent,
    progress: &'a mut dyn FnMut(FetchEvent<'_>),
}

impl Fetch<'_> {
    fn run(&mut self, from: Option<&Path>) -> Result<(), DataError> {
        fs::create_dir_all(self.to).map_err(DataError::io(self.to))?;
        for original in self.originals {
            if let Ok(path) = locate(self.to, original.name) {
                // Another set can have the same file names. It is not ours to replace.
                original.read(&path)?;
                (self.progress)(FetchEvent::Kept { path: &path });
                continue;
            }
            let path = self.to.join(format!("{}.gz", original.name));
            let part = self.to.join(format!("{}.gz.part", original.name));
            match from {
                Some(from) => copy(original, from, &part)?,
                None => self.download(original, &part)?,
            }
            fs::rename(&part, &path).map_err(DataError::io(&path))?;
            (self.progress)(FetchEvent::Done { path: &path });
        }
        Ok(())
    }

    /// Download a file to `part`, from the first mirror that has it right.
    fn download(&mut self, original: &Original, part: &Path) -> Result<(), DataError> {
        let mut tried = Vec::new();
        for mirror in self.mirrors {
            let url = format!("{}/{}.gz", mirror.trim_end_matches('/'), original.name);
            loop {
                let had_part = part.exists();
                match self.receive(original, &url, part) {
                    Ok(()) => return Ok(()),
                    Err(Failure::Here(problem)) => return Err(problem),
                    // What an earlier download left was of no use and is gone: begin anew.
                    Err(Failure::There(_)) if had_part && !part.exists() => {}
                    Err(Failure::There(problem)) => {
                        (self.progress)(FetchEvent::Failed { url: &url, problem: &problem });
                        tried.push(format!("{url}: {problem}"));
                        break;
                    }
                }
            }
        }
        if tried.is_empty() {
            tried.push("no mirror is given".into());
        }
        let all: Vec<_> = self.originals.iter().map(|o| format!("{}.gz", o.name)).collect();
        Err(DataError::Download {
            file: format!("{}.gz", original.name),
            tried: tried.join("; "),
            all: all.join(", "),
            folder: self.to.to_path_buf(),
        })
    }

    /// Download what `part` lacks from one address and check the whole.
    ///
    /// A broken connection leaves `part` to be continued. A `part` that cannot be right is removed.
    fn receive(&mut self, original: &Original, url: &str, part: &Path) -> Result<(), Failure> {
        let here = |problem| Failure::Here(DataError::io(part)(problem));
        let there = |problem: &dyn ToString| Failure::There(problem.to_string());
        let useless = |problem: String| match fs::remove_file(part) {
            Err(problem) if problem.kind() != io::ErrorKind::NotFound => here(problem),
            _ => Failure::There(problem),
        };

        let left = fs::metadata(part).map_or(0, |file| file.len());
        let mut request = self.agent.get(url);
        if left > 0 {
            request = request.header(header::RANGE, format!("bytes={left}-"));
        }
        let response = request.call().map_err(|problem| there(&problem))?;
        let resumed_at = match response.status() {
            // The mirror sends the whole file, asked for a part or not.
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if left > 0 => {
                let range = response.headers().get(header::CONTENT_RANGE);
                let range = range.and_then(|value| value.to_str().ok()).unwrap_or_default();
                if !range.starts_with(&format!("bytes {left}-")) {
                    return Err(useless(format!("sent range {range:?}, not from byte {left}")));
                }
                left
            }
            status @ StatusCode::RANGE_NOT_SATISFIABLE => return Err(useless(status.to_string())),
            status => return Err(there(&status)),
        };

        let body = response.into_body();
        let total = body.content_length().and_then(|length| resumed_at.checked_add(length));
        (self.progress)(FetchEvent::Started { url, resumed_at, total });
        let mut body = body.into_reader().take((original.longest + 1).saturating_sub(resumed_at));
        let mut file = OpenOptions::new()
            .create(true)
            .append(resumed_at > 0)
            .write(true)
            .truncate(resumed_at == 0)
            .open(part)
            .map_err(here)?;
        let mut bytes = resumed_at;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(problem) if problem.kind() == io::ErrorKind::Interrupted => continue,
                Err(problem) => return Err(there(&problem)),
            };
            file.write_all(&buffer[..count]).map_err(here)?;
            bytes += count as u64;
            (self.progress)(FetchEvent::Received { bytes, total });
        }
        file.sync_all().map_err(here)?;

        let content = fs::read(part).map_err(here)?;
        match original.fault(&content) {
            None => Ok(()),
            Some(problem) => Err(useless(format!("{problem}, expected MD5 {}", original.md5))),
        }
    }
}

/// Copy a file from a folder to `part`, packed on the way if it is plain.
fn copy(original: &Original, from: &Path, part: &Path) -> Result<(), DataError> {
    let bytes = original.read(&locate(from, original.name)?)?;
    if is_gzip(&bytes) { fs::write(part, &bytes) } else { write_gzip(part, &bytes) }.map_err(DataError::io(part))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};
    use std::thread;

    use tempfile::{TempDir, tempdir};

    use super::*;

    /// A small file that stands for one of the set.
    const CONTENT: &[u8] = b"a few bytes in place of ten thousand images";
    const MD5: &str = "938f90ff74d8c09c3527d859a659813e";
    /// The bound on it, packed or not.
    const BOUND: u64 = 100;

    /// How the server answers.
    #[derive(Clone, Copy)]
    enum Manner {
        /// Sends what is asked for, a range included.
        Proper,
        /// Sends the whole file whatever range is asked for.
        IgnoresRange,
        /// Answers a range with another one.
        WrongRange,
        /// Refuses every range.
        RefusesRange,
        /// Promises the whole file and hangs up half-way.
        HangsUp,
        /// Does not have the file.
        NotFound,
    }

    /// The path asked for, and the byte at which the range asked for begins.
    type Request = (String, Option<usize>);

    /// An HTTP server on the loopback device, for as long as the tests run.
    struct Server {
        url: String,
        requests: Arc<Mutex<Vec<Request>>>,
    }

    impl Server {
        fn new(file: Vec<u8>, manner: Manner) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/set/", listener.local_addr().unwrap());
            let requests = Arc::new(Mutex::new(Vec::new()));
            let log = requests.clone();
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let (path, start) = request(&stream);
                    log.lock().unwrap().push((path, start));
                    // The client may hang up first. That is its business.
                    let _ = answer(&mut stream, &file, manner, start);
                }
            });
            Self { url, requests }
        }

        fn ranges(&self) -> Vec<Option<usize>> {
            self.requests.lock().unwrap().iter().map(|(_, start)| *start).collect()
        }
    }

    fn request(stream: &TcpStream) -> Request {
        let lines = BufReader::new(stream).lines().map(Result::unwrap);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let start = head.iter().find_map(|line| {
            let line = line.to_lowercase();
            line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
        });
        (head[0].split(' ').nth(1).unwrap().to_owned(), start)
    }

    fn answer(stream: &mut TcpStream, file: &[u8], manner: Manner, start: Option<usize>) -> io::Result<()> {
        let whole = (String::from("200 OK"), file);
        let (status, body) = match (manner, start) {
            (Manner::NotFound, _) => ("404 Not Found".into(), &b""[..]),
            (Manner::RefusesRange, Some(_)) => ("416 Range Not Satisfiable".into(), &b""[..]),
            (Manner::Proper | Manner::WrongRange, Some(start)) => {
                let start = if matches!(manner, Manner::Proper) { start } else { start + 1 };
                let (last, size) = (file.len() - 1, file.len());
                let range = format!("Content-Range: bytes {start}-{last}/{size}");
                (format!("206 Partial Content\r\n{range}"), &file[start..])
            }
            _ => whole,
        };
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
        let sent = if matches!(manner, Manner::HangsUp) { length / 2 } else { length };
        stream.write_all(&body[..sent])
    }

    fn gzip(content: &[u8]) -> Vec<u8> {
        let folder = tempdir().unwrap();
        let path = folder.path().join("file");
        write_gzip(&path, content).unwrap();
        fs::read(path).unwrap()
    }

    /// Fetch the one small file, `small`. Returns what became of it and the events, in words.
    fn fetch(to: &TempDir, from: Option<&Path>, mirrors: &[&str]) -> (Result<(), DataError>, Vec<String>) {
        let mut events = Vec::new();
        let mut progress = |event: FetchEvent<'_>| {
            events.push(match event {
                FetchEvent::Kept { .. } => "kept".into(),
                FetchEvent::Started { resumed_at, .. } => format!("started at {resumed_at}"),
                FetchEvent::Received { bytes, total } => {
                    assert!(total.is_some_and(|total| bytes <= total) && bytes <= BOUND + 1);
                    return;
                }
                FetchEvent::Failed { .. } => "failed".into(),
                FetchEvent::Done { .. } => "done".into(),
            });
        };
        let result = Fetch {
            originals: &[Original { name: "small", md5: MD5, longest: BOUND }],
            to: to.path(),
            mirrors,
            // No proxy from the environment comes between the test and its own server.
            agent: Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent(),
            progress: &mut progress,
        }
        .run(from);
        (result, events)
    }

    /// The file is there, nothing else is, and the events were these.
    #[track_caller]
    fn assert_fetched(to: &TempDir, (result, events): (Result<(), DataError>, Vec<String>), expected: &[&str]) {
        result.unwrap();
        assert_eq!(events, expected);
        let mut content = Vec::new();
        let packed = fs::read(to.path().join("small.gz")).unwrap();
        unpacked(&packed).read_to_end(&mut content).unwrap();
        assert_eq!(content, CONTENT);
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1);
    }

    /// A folder in which an earlier download left these bytes.
    fn with_part(bytes: &[u8]) -> TempDir {
        let to = tempdir().unwrap();
        fs::write(to.path().join("small.gz.part"), bytes).unwrap();
        to
    }

    #[test]
    fn downloads_once_and_keeps_the_file() {
        let server = Server::new(gzip(CONTENT), Manner::Proper);
        let to = tempdir().unwrap();
        assert_fetched(&to, fetch(&to, None, &[&server.url]), &["started at 0", "done"]);
        assert_fetched(&to, fetch(&to, None, &[&server.url]), &["kept"]);
        assert_eq!(*server.requests.lock().unwrap(), [("/set/small.gz".to_owned(), None)]);
    }

    #[test]
    fn resumes_where_an_earlier_download_stopped() {
        let file = gzip(CONTENT);
        let server = Server::new(file.clone(), Manner::Proper);
        let to = with_part(&file[..20]);
        assert_fetched(&to, fetch(&to, None, &[&server.url]), &["started at 20", "done"]);
        assert_eq!(server.ranges(), [Some(20)]);
    }

    #[test]
    fn a_server_that_ignores_the_range_sends_all() {
        let file = gzip(CONTENT);
        let server = Server::new(file.clone(), Manner::IgnoresRange);
        let to = with_part(&file[..20]);
        assert_fetched(&to, fetch(&to, None, &[&server.url]), &["started at 0", "done"]);
        assert_eq!(server.ranges(), [Some(20)]);
    }

    #[test]
    fn an_unusable_part_is_fetched_anew() {
        for manner in [Manner::WrongRange, Manner::RefusesRange] {
            let file = gzip(CONTENT);
            let server = Server::new(file.clone(), manner);
            let to = with_part(&file[..20]);
            assert_fetched(&to, fetch(&to, None, &[&server.url]), &["started at 0", "done"]);
            assert_eq!(server.ranges(), [Some(20), None]);
        }
        // A part of something else: only the sum tells.
        let server = Server::new(gzip(CONTENT), Manner::Proper);
        let to = with_part(b"something else");
        let expected = ["started at 14", "started at 0", "done"];
        assert_fetched(&to, fetch(&to, None, &[&server.url]), &expected);
    }

    #[test]
    fn a_broken_download_goes_on_at_the_next_mirror() {
        let file = gzip(CONTENT);
        let broken = Server::new(file.clone(), Manner::HangsUp);
        let proper = Server::new(file.clone(), Manner::Proper);
        let half = file.len() / 2;
        let to = tempdir().unwrap();
        let resumed = format!("started at {half}");
        let expected = ["started at 0", "failed", &resumed, "done"];
        assert_fetched(&to, fetch(&to, None, &[&broken.url, &proper.url]), &expected);
        assert_eq!(proper.ranges(), [Some(half)]);
    }

    #[test]
    fn content_with_another_sum_is_thrown_away() {
        for wrong in [gzip(b"not the file"), b"<html>log in first</html>".to_vec()] {
            let wrong = Server::new(wrong, Manner::Proper);
            let to = tempdir().unwrap();
            let (result, events) = fetch(&to, None, &[&wrong.url]);
            let error = result.unwrap_err().to_string();
            assert!(error.contains(&format!("expected MD5 {MD5}")), "{error}");
            assert_eq!(events, ["started at 0", "failed"]);
            assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);

            let proper = Server::new(gzip(CONTENT), Manner::Proper);
            let expected = ["started at 0", "failed", "started at 0", "done"];
            assert_fetched(&to, fetch(&to, None, &[&wrong.url, &proper.url]), &expected);
        }
    }

    #[test]
    fn nothing_is_read_beyond_its_bound() {
        // Sent without end, unpacked to more, and in a folder, packed or plain.
        let refused = "holds more than 100 bytes, expected MD5";
        for long in [vec![7; 500_000], gzip(&[7; 101])] {
            let server = Server::new(long.clone(), Manner::Proper);
            let to = tempdir().unwrap();
            let error = fetch(&to, None, &[&server.url]).0.unwrap_err().to_string();
            assert!(error.contains(refused), "{error}");
            assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);

            let from = tempdir().unwrap();
            fs::write(from.path().join("small.gz"), long).unwrap();
            let error = fetch(&to, Some(from.path()), &[]).0.unwrap_err().to_string();
            assert!(error.contains(refused), "{error}");
        }
        // What fills the bound is read: only its sum is wrong.
        let server = Server::new(vec![7; 100], Manner::Proper);
        let error = fetch(&tempdir().unwrap(), None, &[&server.url]).0.unwrap_err().to_string();
        assert!(error.contains("MD5 is "), "{error}");
    }

    #[test]
    fn without_a_network_the_error_says_what_to_do() {
        let absent = Server::new(Vec::new(), Manner::NotFound);
        // Port 1 is reserved for a service that nobody runs.
        let silent = "http://127.0.0.1:1";
        let to = tempdir().unwrap();
        let (result, events) = fetch(&to, None, &[&absent.url, silent]);
        let error = result.unwrap_err().to_string();
        for part in [
            "cannot download small.gz",
            "/set/small.gz: 404 Not Found",
            &format!("{silent}/small.gz: "),
            "refused",
            "put small.gz into a folder",
            "`widenet data fetch mnist --from FOLDER`",
            &to.path().display().to_string(),
        ] {
            assert!(error.contains(part), "no {part:?} in {error}");
        }
        assert_eq!(error.lines().count(), 1);
        assert_eq!(events, ["failed", "failed"]);
        assert!(fetch(&to, None, &[]).0.unwrap_err().to_string().contains("no mirror is given"));
    }

    #[test]
    fn takes_packed_and_plain_files_from_a_folder() {
        for (name, bytes) in [("small", CONTENT.to_vec()), ("small.gz", gzip(CONTENT))] {
            let (from, to) = (tempdir().unwrap(), tempdir().unwrap());
            fs::write(from.path().join(name), bytes).unwrap();
            assert_fetched(&to, fetch(&to, Some(from.path()), &[]), &["done"]);
        }
    }

    #[test]
    fn a_folder_without_the_right_files_is_refused() {
        let (from, to) = (tempdir().unwrap(), tempdir().unwrap());
        let error = fetch(&to, Some(from.path()), &[]).0.unwrap_err();
        assert!(matches!(&error, DataError::Missing { name, .. } if name == "small"), "{error}");

        fs::write(from.path().join("small.gz"), &gzip(CONTENT)[..30]).unwrap();
        let error = fetch(&to, Some(from.path()), &[]).0.unwrap_err();
        assert!(matches!(&error, DataError::Checksum { problem, .. } if problem.contains("gzip")));
        assert_eq!(fs::read_dir(to.path()).unwrap().count(), 0);
    }

    #[test]
    fn another_file_of_that_name_is_left_alone() {
        let server = Server::new(gzip(CONTENT), Manner::Proper);
        let to = tempdir().unwrap();
        fs::write(to.path().join("small"), "of another set").unwrap();
        let error = fetch(&to, None, &[&server.url]).0.unwrap_err();
        assert!(matches!(&error, DataError::Checksum { path, .. } if path.ends_with("small")));
        assert_eq!(fs::read(to.path().join("small")).unwrap(), b"of another set");
        assert!(server.ranges().is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let error = fetch_mnist(&file.join("mnist"), None, &[], &mut |_| {}).unwrap_err();
        assert!(matches!(error, DataError::Io { .. }), "{error}");
    }

    #[test]
    fn the_variable_comes_before_the_system() {
        let (system, own) = (Some(PathBuf::from("/system")), Some(OsString::from("/own")));
        let choose = |variable, system| choose_folder(variable, system).unwrap();
        assert_eq!(choose(own.clone(), system.clone()), Path::new("/own"));
        assert_eq!(choose(own, None), Path::new("/own"));
        assert_eq!(choose(None, system.clone()), Path::new("/system/widenet"));
        assert_eq!(choose(Some(OsString::new()), system), Path::new("/system/widenet"));
        assert!(matches!(choose_folder(None, None), Err(DataError::NoDataFolder)));
    }
}
