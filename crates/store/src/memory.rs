//! How much memory there is, asked before it is taken.

use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

/// There is not enough memory for something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} needs about {}, but {} of memory are free", readable(*needed), readable(*free))]
pub struct MemoryError {
    /// What for.
    pub what: String,
    /// Bytes it takes.
    pub needed: u64,
    /// Bytes there are.
    pub free: u64,
}

/// Bytes that this process can still take without swapping: what the computer has free, what the control groups of the
/// process leave it (a container's limit), and what threads leave of its address space (`ulimit -v`); the least of them.
/// `None` where the system does not tell.
pub fn available() -> Option<u64> {
    let mut system = System::new();
    system.refresh_memory();
    let own = sysinfo::get_current_pid().ok();
    if let Some(own) = own {
        let memory = ProcessRefreshKind::nothing().with_memory().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), false, memory);
    }
    let process = own.and_then(|own| system.process(own));
    let free = Some(system.available_memory()).filter(|_| system.total_memory() > 0);
    // Inside a container the groups' own paths are not always there; their root is.
    let group = process.and_then(|process| process.cgroup_limits()).or_else(|| system.cgroup_limits());
    // What a group has in its cache of files is given back when it is needed: only what cannot be counts.
    let group = group.filter(|group| group.total_memory > 0).map(|group| group.total_memory.saturating_sub(group.rss));
    let space = process.and_then(|process| {
        let taken = process.virtual_memory().saturating_add(set_aside());
        Some(address_space()?.saturating_sub(taken))
    });
    [free, group, space].into_iter().flatten().min()
}

/// Address space that threads set aside when they begin to compute, used or not: for matrix products twice the largest
/// cache each, and the C library's allocator 64 MiB. Where they cannot, the process is aborted.
fn set_aside() -> u64 {
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    let threads =
        asked.filter(|&threads| threads > 0).or(std::thread::available_parallelism().ok().map(|n| n.get() as u64));
    // The first thread computes as well.
    threads.unwrap_or(1).saturating_add(1).saturating_mul((2 * largest_cache()).saturating_add(64 << 20))
}

/// Bytes of the largest cache of the first processor; 32 MiB where the system does not tell.
fn largest_cache() -> u64 {
    let size = |level| {
        let file = format!("/sys/devices/system/cpu/cpu0/cache/index{level}/size");
        let text = std::fs::read_to_string(file).ok()?;
        Some(text.trim().strip_suffix('K')?.parse::<u64>().ok()?.saturating_mul(1 << 10))
    };
    (0..4).filter_map(size).max().unwrap_or(32 << 20)
}

/// The limit on the address space, if there is one.
#[cfg(unix)]
fn address_space() -> Option<u64> {
    let (limit, _) = rlimit::Resource::AS.get().ok()?;
    Some(limit).filter(|&limit| limit != rlimit::INFINITY)
}

#[cfg(not(unix))]
fn address_space() -> Option<u64> {
    None
}

/// So little is taken without asking.
const LITTLE: u64 = 1 << 20;

/// Refuses what would not fit. 1 MiB always does.
///
/// # Errors
///
/// When fewer than `needed` bytes are [`available`] for `what`.
pub fn check(needed: u64, what: impl FnOnce() -> String) -> Result<(), MemoryError> {
    if needed <= LITTLE {
        return Ok(());
    }
    match available() {
        Some(free) if needed > free => Err(MemoryError { what: what(), needed, free }),
        _ => Ok(()),
    }
}

/// Bytes for people: `12.3 GiB`, `45 MiB`, `67 KiB`.
pub fn readable(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..0x10_0000 => format!("{} KiB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_readable() {
        assert_eq!(readable(999), "999 bytes");
        assert_eq!(readable(2651), "2 KiB");
        assert_eq!(readable(45 << 20), "45 MiB");
        assert_eq!(readable(3 << 29), "1.5 GiB");
        assert_eq!(readable(u64::MAX), "17179869184.0 GiB");
    }

    #[test]
    fn more_than_there_is_is_refused() {
        let Some(free) = available() else { return };
        assert_eq!(check(1, || unreachable!()), Ok(()));
        let error = check(u64::MAX, || "everything".into()).unwrap_err();
        assert_eq!((error.what.as_str(), error.needed), ("everything", u64::MAX));
        assert!(error.to_string().starts_with("everything needs about 17179869184.0 GiB, but "), "{error}");
        assert!(free < 1 << 50);
    }

    /// The limit is set for a process of its own: this test once more, started with less address space.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_limit_on_the_address_space_counts() {
        use std::process::Command;
        if std::env::var_os("WIDENET_TEST_SPACE").is_some() {
            let free = available().unwrap();
            assert!(free <= 1 << 30, "{free} bytes in 1 GiB of address space");
            assert!(check(2 << 30, || "two".into()).is_err());
            return;
        }
        let test = "memory::tests::a_limit_on_the_address_space_counts";
        let program = std::env::current_exe().unwrap();
        let script = format!("ulimit -v 1048576; exec \"$0\" --exact {test} --nocapture");
        let out =
            Command::new("sh").arg("-c").arg(script).arg(program).env("WIDENET_TEST_SPACE", "1").output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success() && text.contains("1 passed"), "{text}");
    }
}
