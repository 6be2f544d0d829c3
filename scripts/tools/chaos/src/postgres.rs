//! The PostgreSQL server of a run, and what is done to it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use service_testing::Cluster;

use crate::proxy::{Proxy, Target};

/// How long the last processes of a killed server may take to go.
const LEAVING: Duration = Duration::from_secs(5);

/// A PostgreSQL cluster of our own. Its methods block for as long as its programs take.
#[derive(Debug)]
pub(crate) struct Postgres {
    cluster: Cluster,
}

impl Postgres {
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { cluster: Cluster::start()? })
    }

    /// A proxy in front of its socket.
    pub(crate) async fn proxy(&self) -> Result<Proxy> {
        Proxy::start(vec![Target::Unix(self.socket())]).await
    }

    /// A new empty database; gives its name.
    pub(crate) async fn create_database(&self) -> Result<String> {
        let url = self.cluster.create_database().await?.to_string();
        let name = url.rsplit('/').next().context("the URL of a database has its name")?;
        Ok(name.to_owned())
    }

    /// What the server itself logs.
    pub(crate) fn log(&self) -> PathBuf {
        self.cluster.socket_directory().join("server.log")
    }

    /// Ends every process of the server at once, as a crash of its machine does (but for the disk).
    pub(crate) fn kill(&self) -> Result<()> {
        let processes = self.processes()?;
        for process in &processes {
            signal(*process, Signal::KILL)?;
        }
        // Whoever starts it again finds its shared memory in use while one of them is left.
        let begin = std::time::Instant::now();
        while processes.iter().any(|process| is_alive(*process)) && begin.elapsed() < LEAVING {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Where nobody reaps it the dead server still has a process number, and the next one would take it for alive.
        std::fs::remove_file(self.pid_file())?;
        std::fs::remove_file(self.socket().with_extension("5432.lock"))?;
        Ok(())
    }

    /// Starts the server again, and waits until it answers.
    pub(crate) fn restart(&self) -> Result<()> {
        self.cluster.restart().with_context(|| {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            log.lines().rev().take(3).collect::<Vec<_>>().join(" < ")
        })
    }

    /// Every process stands still until [`Self::resume`], and those that are forked meanwhile: there are none.
    pub(crate) fn suspend(&self) -> Result<Suspended<'_>> {
        self.processes()?.into_iter().try_for_each(|process| signal(process, Signal::STOP))?;
        Ok(Suspended(self))
    }

    fn socket(&self) -> PathBuf {
        self.cluster.socket_directory().join(".s.PGSQL.5432")
    }

    fn pid_file(&self) -> PathBuf {
        self.cluster.socket_directory().join("data/postmaster.pid")
    }

    /// Every process of the server runs on these processors from now on.
    pub(crate) fn run_on(&self, processors: &CpuSet) -> Result<()> {
        for process in self.processes()? {
            match sched_setaffinity(Some(process), processors) {
                Ok(()) | Err(Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The postmaster, first, and its children.
    fn processes(&self) -> Result<Vec<Pid>> {
        let file = self.pid_file();
        let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        let postmaster: i32 = text.lines().next().unwrap_or_default().trim().parse()?;
        let children = std::fs::read_dir("/proc")?.flatten().filter_map(|entry| {
            let process: i32 = entry.file_name().to_str()?.parse().ok()?;
            (parent(process)? == postmaster).then_some(process)
        });
        Ok(std::iter::once(postmaster).chain(children).filter_map(Pid::from_raw).collect())
    }
}

/// A server that stands still, until this is dropped.
#[derive(Debug)]
pub(crate) struct Suspended<'a>(&'a Postgres);

impl Drop for Suspended<'_> {
    fn drop(&mut self) {
        // Without a pid file there is no server to wake.
        for process in self.0.processes().unwrap_or_default() {
            let _ = signal(process, Signal::CONT);
        }
    }
}

fn signal(process: Pid, signal: Signal) -> Result<()> {
    match kill_process(process, signal) {
        // It has ended by itself.
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The parent of a process: the second field after its name, which is in parentheses and may hold anything.
fn parent(process: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Neither gone nor waiting to be reaped.
fn is_alive(process: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
