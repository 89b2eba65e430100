//! How much memory this process may take, so that a plan that does not fit is refused before it is killed (rule T5).

use std::fs;
use std::path::Path;

use crate::domain::units::ByteSize;

/// A bound on the memory of the process, and who sets it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    pub bytes: u64,
    pub of: &'static str,
}

/// The tightest bound that can be found: a cgroup's limit or the machine's memory.
pub fn found() -> Option<Room> {
    let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let groups = text(Path::new("/proc/self/cgroup"));
    let mut bounds = vec![];
    for folder in folders(&groups) {
        for file in ["memory.max", "memory.limit_in_bytes"] {
            bounds.extend(text(&Path::new("/sys/fs/cgroup").join(&folder).join(file)).trim().parse::<u64>());
        }
    }
    let cgroup = bounds.into_iter().min().map(|bytes| Room { bytes, of: "the cgroup's limit" });
    let machine = total(&text(Path::new("/proc/meminfo"))).map(|bytes| Room { bytes, of: "the machine's memory" });
    cgroup.into_iter().chain(machine).min_by_key(|room| room.bytes)
}

/// Folders below `/sys/fs/cgroup` whose limits hold for this process: its own group and all above it.
fn folders(cgroup: &str) -> Vec<String> {
    let mut folders = vec![];
    for line in cgroup.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let root = match controllers {
            "" => "",
            c if c.split(',').any(|c| c == "memory") => "memory",
            _ => continue,
        };
        let above = Path::new(path.trim_start_matches('/')).ancestors();
        folders.extend(above.map(|a| Path::new(root).join(a).to_string_lossy().into_owned()));
    }
    folders
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
}

impl Room {
    /// What is wrong with a plan of so many bytes, if anything is.
    pub fn refuses(self, bytes: u64) -> Option<String> {
        let mib = |bytes: u64| ByteSize::mib(bytes >> 20);
        (bytes > self.bytes).then(|| {
            format!(
                "that does not fit {} of {}: lower intake.memory, intake.in_flight_bytes or batch.rows_max, or give it more",
                self.of,
                mib(self.bytes)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_and_all_above_it_count() {
        assert_eq!(folders("0::/"), [""]);
        assert_eq!(folders("0::/a/b\n"), ["a/b", "a", ""]);
        assert_eq!(folders("5:cpu,cpuacct:/x\n4:memory:/x\n"), ["memory/x", "memory/"]);
    }

    #[test]
    fn the_machine_says_kibibytes() {
        assert_eq!(total("MemTotal:        2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(total(""), None);
        assert!(found().is_some_and(|room| room.bytes > 1 << 20), "{:?}", found());
    }

    #[test]
    fn only_what_is_too_large_is_refused() {
        let room = Room { bytes: 10 << 20, of: "the test" };
        assert_eq!(room.refuses(10 << 20), None);
        assert!(room.refuses((10 << 20) + 1).unwrap().contains("the test of 10MiB"));
    }
}
