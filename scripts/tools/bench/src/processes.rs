//! What the kernel tells of processes: their processor time and their memory, from `/proc`.

use std::path::Path;

use anyhow::{Context, Result};

/// How many milliseconds a tick of `/proc/PID/stat` has: Linux shows user space hundredths of a second everywhere.
const TICK_MS: f64 = 10.0;

/// The fields of `/proc/PID/stat` that are of use here.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    parent: u32,
    /// Ticks, of user and system.
    own: u64,
    /// The same, of those children that have ended and been waited for.
    children: u64,
}

/// Milliseconds of processor time that a process has used.
pub(crate) fn cpu_ms(process: u32) -> Result<f64> {
    Ok(stat(process)?.own as f64 * TICK_MS)
}

/// Milliseconds of processor time that a process and its children have used, the ended ones too.
pub(crate) fn cpu_ms_with_children(process: u32) -> Result<f64> {
    let mut parent = stat(process)?;
    loop {
        let living: u64 = children(process)?.iter().map(|(_, child)| child.own + child.children).sum();
        let after = stat(process)?;
        // One that ended meanwhile would be counted twice or not at all.
        if after.children == parent.children {
            return Ok((after.own + after.children + living) as f64 * TICK_MS);
        }
        parent = after;
    }
}

/// Milliseconds of processor time that the whole machine has spent on work.
pub(crate) fn machine_cpu_ms() -> Result<f64> {
    let text = read(Path::new("/proc/stat"))?;
    Ok(busy_ticks(&text).context("no processor time in /proc/stat")? as f64 * TICK_MS)
}

/// The megabytes of memory that a process has now (resident set).
pub(crate) fn memory_mb(process: u32) -> Result<f64> {
    let text = read(Path::new(&format!("/proc/{process}/status")))?;
    kilobytes(&text, "VmRSS:").map(|kb| kb / 1024.0).context("no VmRSS in /proc")
}

/// The megabytes of memory that a process and its children have now; what they share is counted once. `None`: this user
/// may not look.
pub(crate) fn memory_mb_with_children(process: u32) -> Result<Option<f64>> {
    let processes = children(process)?.into_iter().map(|(child, _)| child).chain([process]);
    let sizes = processes.map(|process| {
        let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        kilobytes(&text, "Pss:")
    });
    Ok(sizes.sum::<Option<f64>>().map(|kb| kb / 1024.0))
}

/// The type of the file system that `path` is on, as `/proc/mounts` names it.
pub(crate) fn file_system(path: &Path) -> Result<String> {
    let text = read(Path::new("/proc/mounts"))?;
    Ok(file_system_of(&text, &path.canonicalize()?).unwrap_or("unknown").to_owned())
}

/// How many processes wanted a processor in the last minute, on average.
pub(crate) fn load_average() -> Result<f64> {
    let text = read(Path::new("/proc/loadavg"))?;
    text.split(' ').next().and_then(|load| load.parse().ok()).context("no load in /proc/loadavg")
}

fn stat(process: u32) -> Result<Stat> {
    let text = read(Path::new(&format!("/proc/{process}/stat")))?;
    parse_stat(&text).with_context(|| format!("cannot read /proc/{process}/stat"))
}

fn children(process: u32) -> Result<Vec<(u32, Stat)>> {
    let entries = std::fs::read_dir("/proc")?.flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // One that has just ended is no longer there.
    let stats = numbers.filter_map(|number| Some((number, stat(number).ok()?)));
    Ok(stats.filter(|(_, stat)| stat.parent == process).collect())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name is in parentheses and may hold anything, parentheses and blanks too.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |at: usize| fields.get(at)?.trim().parse::<u64>().ok();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, own: ticks(11)? + ticks(12)?, children: ticks(13)? + ticks(14)? })
}

/// Of the line `cpu` all but idle and waiting for the disk; guests are counted in user already.
fn busy_ticks(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let counted = ticks.iter().enumerate().filter(|(field, _)| !matches!(field, 3 | 4 | 8..));
    Some(counted.map(|(_, ticks)| ticks).sum())
}

fn kilobytes(text: &str, name: &str) -> Option<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

fn file_system_of<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((Path::new(fields.next()?), fields.next()?))
    });
    let over = mounts.filter(|(at, _)| path.starts_with(at));
    // Of several at one place the last one hides the others.
    over.max_by_key(|(at, _)| at.components().count()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_strange_name_is_read_right() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 5 0 999 1000 300\n";
        assert_eq!(parse_stat(text), Some(Stat { parent: 7, own: 33, children: 77 }));
        assert_eq!(parse_stat("42 (a) S 7"), None);
    }

    #[test]
    fn idle_time_is_not_work() {
        let text = "cpu  100 20 30 4000 500 6 7 8 90 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_ticks(text), Some(100 + 20 + 30 + 6 + 7 + 8));
        assert_eq!(busy_ticks("intr 1"), None);
    }

    #[test]
    fn memory_is_read_by_its_name() {
        let text = "VmHWM:\t  20480 kB\nVmRSS:\t  10240 kB\nThreads:\t3\n";
        assert_eq!(kilobytes(text, "VmRSS:"), Some(10_240.0));
        assert_eq!(kilobytes(text, "Threads:"), None);
    }

    #[test]
    fn a_file_is_on_the_innermost_mount() {
        let mounts = "dev / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\ndev /tmpfiles xfs rw 0 0\n";
        assert_eq!(file_system_of(mounts, Path::new("/tmp/a")), Some("tmpfs"));
        assert_eq!(file_system_of(mounts, Path::new("/tmpfiles")), Some("xfs"));
        assert_eq!(file_system_of(mounts, Path::new("/home")), Some("ext4"));
    }

    #[test]
    fn what_this_process_does_costs_time_and_memory() {
        let own = std::process::id();
        let before = (cpu_ms(own).unwrap(), machine_cpu_ms().unwrap());
        while cpu_ms(own).unwrap() < before.0 + 30.0 {}
        assert!(machine_cpu_ms().unwrap() > before.1);
        assert!(memory_mb(own).unwrap() > 1.0);
    }

    #[test]
    fn the_time_of_a_child_that_has_ended_still_counts() {
        let own = std::process::id();
        let before = cpu_ms_with_children(own).unwrap();
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", busy]).status().unwrap().success());
        let own_time = stat(own).unwrap();
        assert!(own_time.children > 0);
        assert!(cpu_ms_with_children(own).unwrap() > before);
    }
}
