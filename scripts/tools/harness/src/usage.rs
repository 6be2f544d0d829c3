//! What processes and the machine use, read from `/proc`.

use std::path::Path;

use anyhow::{Context, Result};
use procfs::process::{Process, Stat, all_processes};
use procfs::{Current, CurrentSI, KernelStats, LoadAverage, ticks_per_second};

fn process(id: u32) -> Result<Process> {
    Process::new(id.try_into()?).with_context(|| format!("cannot read /proc/{id}"))
}

/// The living children of a process.
pub fn children(id: u32) -> Result<Vec<Stat>> {
    let parent = i32::try_from(id)?;
    // A process that ends during the walk is skipped.
    let stats = all_processes()?.filter_map(|process| process.ok()?.stat().ok());
    Ok(stats.filter(|stat| stat.ppid == parent).collect())
}

/// Whether a process exists and is not a zombie, which waits to be reaped.
pub fn is_alive(id: u32) -> bool {
    process(id).is_ok_and(|process| process.stat().is_ok_and(|stat| stat.state != 'Z'))
}

/// Milliseconds of processor time that a process has used, in user space and in the kernel.
pub fn cpu_ms(id: u32) -> Result<f64> {
    let stat = process(id)?.stat()?;
    Ok(ms(stat.utime + stat.stime))
}

/// Milliseconds of processor time that a process and its children have used, those that have ended included.
pub fn cpu_ms_with_children(id: u32) -> Result<f64> {
    let reaped = |stat: &Stat| (stat.cutime + stat.cstime) as u64;
    let mut before = process(id)?.stat()?;
    loop {
        let living: u64 = children(id)?.iter().map(|child| child.utime + child.stime + reaped(child)).sum();
        let after = process(id)?.stat()?;
        // A child that ended in between would be counted twice or not at all.
        if reaped(&after) == reaped(&before) {
            return Ok(ms(after.utime + after.stime + reaped(&after) + living));
        }
        before = after;
    }
}

/// Milliseconds of processor time that the whole machine has spent working: all but idle time and waiting for the disk.
pub fn machine_cpu_ms() -> Result<f64> {
    let cpu = KernelStats::current()?.total;
    let kernel = cpu.system + cpu.irq.unwrap_or(0) + cpu.softirq.unwrap_or(0) + cpu.steal.unwrap_or(0);
    Ok(ms(cpu.user + cpu.nice + kernel))
}

/// The resident memory of a process in bytes.
pub fn memory_bytes(id: u32) -> Result<u64> {
    let kilobytes = process(id)?.status()?.vmrss.context("no VmRSS in /proc")?;
    Ok(kilobytes * 1024)
}

/// The memory of a process and its children in bytes, with shared memory counted once. `None`: this user may not read
/// it.
pub fn memory_bytes_with_children(id: u32) -> Result<Option<u64>> {
    let ids = children(id)?.into_iter().filter_map(|child| child.pid.try_into().ok()).chain([id]);
    let sizes = ids.map(|id| {
        let rollup = process(id).ok()?.smaps_rollup().ok()?;
        rollup.memory_map_rollup.into_iter().next()?.extension.map.get("Pss").copied()
    });
    Ok(sizes.sum())
}

/// How many file descriptors a process has open.
pub fn open_files(id: u32) -> Result<usize> {
    Ok(process(id)?.fd_count()?)
}

/// The type of the file system of `path`, as `/proc/mounts` names it.
pub fn file_system(path: &Path) -> Result<String> {
    let path = path.canonicalize()?;
    let mounts = procfs::mounts()?.into_iter().filter(|mount| path.starts_with(&mount.fs_file));
    // Of several mounts on one directory the last hides the others.
    let innermost = mounts.max_by_key(|mount| Path::new(&mount.fs_file).components().count());
    Ok(innermost.map_or_else(|| "unknown".to_owned(), |mount| mount.fs_vfstype))
}

/// The average number of runnable processes in the last minute.
pub fn load_average() -> Result<f64> {
    Ok(LoadAverage::current()?.one.into())
}

fn ms(ticks: u64) -> f64 {
    ticks as f64 * 1000.0 / ticks_per_second() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_child_that_has_ended_still_counts() {
        let own = std::process::id();
        let before = cpu_ms_with_children(own).unwrap();
        let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", busy]).status().unwrap().success());
        assert!(cpu_ms_with_children(own).unwrap() - before > cpu_ms(own).unwrap() - before);
        assert!(cpu_ms_with_children(own).unwrap() > before);
    }

    #[test]
    fn a_file_is_on_the_innermost_mount() {
        assert_eq!(file_system(Path::new("/proc/self")).unwrap(), "proc");
    }

    #[test]
    fn only_a_running_process_is_alive() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert!(is_alive(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_alive(child.id()));
    }
}
