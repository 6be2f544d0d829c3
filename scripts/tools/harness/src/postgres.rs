//! A PostgreSQL server that can be killed, suspended and pinned.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use service_testing::{Cluster, Durability};

use crate::proxy::{Proxy, Target};
use crate::usage::{children, is_alive};

/// How long the last processes of a killed server may take to end.
const KILL_TIME_LIMIT: Duration = Duration::from_secs(5);

/// A running server; stopped and removed when dropped. Its methods block for as long as PostgreSQL's programs take.
#[derive(Debug)]
pub struct Postgres {
    /// Its files and programs.
    pub cluster: Cluster,
}

impl Postgres {
    /// Creates a server and starts it.
    pub fn start(durability: Durability) -> Result<Self> {
        Ok(Self { cluster: Cluster::start_with(durability)? })
    }

    /// A proxy in front of its socket.
    pub async fn proxy(&self) -> Result<Proxy> {
        Proxy::start(vec![Target::Unix(self.socket())]).await
    }

    /// Creates an empty database and returns its name.
    pub async fn create_database(&self) -> Result<String> {
        let url = self.cluster.create_database().await?.to_string();
        // Its query has slashes, too: the directory of the socket.
        let path = url.split('?').next().unwrap_or_default();
        let name = path.rsplit('/').next().context("the URL of a database has its name")?;
        Ok(name.to_owned())
    }

    /// The log of the server.
    pub fn log(&self) -> PathBuf {
        self.cluster.socket_directory().join("server.log")
    }

    /// Kills every process of the server, as a crash of its machine does (but for the disk).
    pub fn kill(&self) -> Result<()> {
        let processes = self.processes()?;
        for process in &processes {
            signal(*process, Signal::KILL)?;
        }
        // While one of them is left, the next server finds the shared memory in use.
        let begin = Instant::now();
        let alive = |process: &Pid| is_alive(process.as_raw_nonzero().get() as u32);
        while processes.iter().any(alive) && begin.elapsed() < KILL_TIME_LIMIT {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Where nothing reaps it the dead server keeps its process id, and the next one would take it for alive.
        std::fs::remove_file(self.pid_file())?;
        std::fs::remove_file(self.socket().with_extension("5432.lock"))?;
        Ok(())
    }

    /// Starts the server again, and waits until it accepts connections.
    pub fn restart(&self) -> Result<()> {
        self.cluster.restart().with_context(|| {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            log.lines().rev().take(3).collect::<Vec<_>>().join(" < ")
        })
    }

    /// Stops every process of the server (SIGSTOP) until the guard is dropped.
    pub fn suspend(&self) -> Result<Suspended<'_>> {
        self.processes()?.into_iter().try_for_each(|process| signal(process, Signal::STOP))?;
        Ok(Suspended(self))
    }

    /// Pins every process of the server to these processors.
    pub fn pin(&self, cpus: &CpuSet) -> Result<()> {
        self.processes()?.into_iter().try_for_each(|process| unless_gone(sched_setaffinity(Some(process), cpus)))
    }

    /// The id of the first process of the server, the parent of all others.
    pub fn postmaster(&self) -> Result<u32> {
        let file = self.pid_file();
        let text = std::fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?;
        Ok(text.lines().next().unwrap_or_default().trim().parse()?)
    }

    fn socket(&self) -> PathBuf {
        self.cluster.socket_directory().join(".s.PGSQL.5432")
    }

    fn pid_file(&self) -> PathBuf {
        self.cluster.socket_directory().join("data/postmaster.pid")
    }

    /// The postmaster, first, and its children.
    fn processes(&self) -> Result<Vec<Pid>> {
        let postmaster = self.postmaster()?;
        let children = children(postmaster)?.into_iter().map(|stat| stat.pid);
        Ok([i32::try_from(postmaster)?].into_iter().chain(children).filter_map(Pid::from_raw).collect())
    }
}

/// A suspended server; it continues when this is dropped.
#[derive(Debug)]
pub struct Suspended<'a>(&'a Postgres);

impl Drop for Suspended<'_> {
    fn drop(&mut self) {
        // Without a pid file there is no server to continue.
        for process in self.0.processes().unwrap_or_default() {
            let _ = signal(process, Signal::CONT);
        }
    }
}

fn signal(process: Pid, signal: Signal) -> Result<()> {
    unless_gone(kill_process(process, signal))
}

/// A process that has ended in the meantime is no error.
fn unless_gone(result: Result<(), Errno>) -> Result<()> {
    match result {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
