//! The real programs as processes: started, broken, measured, and always ended.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;

use crate::http1::{Client, get};

/// How long a program may take from its start until it serves.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// What this program and a service need besides the connections of many clients.
const SPARE_DESCRIPTORS: u64 = 1000;
/// How often it is looked whether something has happened that nothing tells of.
pub(crate) const GLANCE: Duration = Duration::from_millis(10);

/// A program of the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    UserService,
    OrderService,
}

impl Program {
    /// Its file's name, which is its name in the log too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UserService => "user-service",
            Self::OrderService => "order-service",
        }
    }
}

/// A started program; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` of the directory `binaries` with nothing but `settings` in its environment; what it writes goes to
    /// the file `log`.
    pub(crate) fn spawn(
        binaries: &Path,
        program: Program,
        log: PathBuf,
        settings: &[(&'static str, String)],
    ) -> Result<Self> {
        let output = File::create(&log)?;
        let child = Command::new(binaries.join(program.name()))
            // Where there is no .env to read.
            .current_dir(log.parent().unwrap_or(Path::new("/")))
            .env_clear()
            .env("LISTEN_ADDRESS", "127.0.0.1:0")
            .envs(settings.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{} cannot be started; scripts/chaos builds it", program.name()))?;
        Ok(Self { name: program.name(), child, log })
    }

    /// Waits until it serves; gives its address.
    pub(crate) async fn address(&mut self) -> Result<SocketAddr> {
        let begin = Instant::now();
        loop {
            if let Some(address) = self.announced()? {
                return Ok(address);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} instead of serving: {}", self.name, self.last_line());
            }
            if begin.elapsed() > START_PATIENCE {
                bail!("{} does not serve after {START_PATIENCE:?}: {}", self.name, self.last_line());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The address in the line that says that it serves, if there is one yet. It is among the first lines.
    fn announced(&self) -> Result<Option<SocketAddr>> {
        let mut text = String::new();
        File::open(&self.log)?.take(16 * 1024).read_to_string(&mut text)?;
        let serving = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|line| line["message"] == "serving" && line["service_name"] == self.name);
        let url = serving.as_ref().and_then(|line| line["url"].as_str()?.strip_prefix("http://"));
        Ok(url.map(str::parse).transpose()?)
    }

    fn last_line(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().last().unwrap_or("it wrote nothing").to_owned()
    }

    /// Ends it as a crash does, at once.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM), and waits for that.
    pub(crate) async fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        kill_process(self.pid(), Signal::TERM)?;
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begin.elapsed() > patience {
                bail!("{} has not ended {patience:?} after SIGTERM", self.name);
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Its memory (resident set), in bytes.
    pub(crate) fn memory_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS in /proc")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

/// A program that serves.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Service {
    /// Whether it says that it is ready.
    pub(crate) async fn is_ready(address: SocketAddr) -> bool {
        let answer = Client::new(address, Duration::from_secs(1)).send(&get("/ready")).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

/// The processors of this machine, as two halves: one for the services, one for what loads them, so that neither takes
/// the other's time. `None` where there is only one.
pub(crate) fn halves() -> Option<(CpuSet, CpuSet)> {
    let all = sched_getaffinity(None).ok()?;
    let numbers: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|number| all.is_set(*number)).collect();
    let (services, load) = numbers.split_at(numbers.len() / 2);
    (!services.is_empty()).then(|| (set(services), set(load)))
}

/// Both halves again.
pub(crate) fn together(one: &CpuSet, other: &CpuSet) -> CpuSet {
    let in_either = (0..CpuSet::MAX_CPU).filter(|number| one.is_set(*number) || other.is_set(*number));
    set(&in_either.collect::<Vec<_>>())
}

fn set(numbers: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    numbers.iter().for_each(|number| set.set(*number));
    set
}

/// Does `start` on `processors`: a process inherits those of the thread that starts it.
pub(crate) fn on_processors<T>(processors: &CpuSet, start: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = sched_getaffinity(None)?;
    sched_setaffinity(None, processors)?;
    let started = start();
    sched_setaffinity(None, &before)?;
    started
}

/// How many connections this process, and a service that inherited its limit, can have.
pub(crate) fn spare_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(SPARE_DESCRIPTORS)).unwrap_or(usize::MAX)
}
