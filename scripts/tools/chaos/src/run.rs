//! What all promises of a run share.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use harness::cpus::{Split, with_affinity};
use harness::measurements::Counts;
use harness::postgres::Postgres;
use harness::process::{Instance, Output, Process};
use harness::topology::Service;
use service_testing::Durability;
use tokio::sync::OnceCell;
use tokio::task::block_in_place;

use crate::canary::Logs;

/// How long a service may take until it serves.
pub(crate) const START_TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long everything may take to be handled once nothing is broken.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);

/// The results of all runs in which services and PostgreSQL were killed, which promises 1 and 2 share.
#[derive(Debug, Default)]
pub(crate) struct KillResults {
    pub(crate) kills: usize,
    pub(crate) acknowledged: usize,
    pub(crate) lost: usize,
    pub(crate) duplicates: usize,
    /// The last error of each request that was given up.
    pub(crate) failed: Counts,
    pub(crate) replays: usize,
    pub(crate) different_replays: usize,
}

/// One call of `scripts/chaos`.
#[derive(Debug)]
pub(crate) struct Run {
    /// The seed of all random choices.
    pub(crate) seed: u64,
    /// Whether this is the long form.
    pub(crate) long: bool,
    /// Whether the peer is measured, too.
    pub(crate) peer: bool,
    /// How many orders promise 15 places while nothing can be published.
    pub(crate) backlog: usize,
    /// The directory of the programs.
    binaries: PathBuf,
    pub(crate) logs: Logs,
    pub(crate) kill_results: OnceCell<KillResults>,
    postgres: OnceCell<Postgres>,
    begin: Instant,
}

impl Run {
    pub(crate) fn new(seed: u64, long: bool, peer: bool, binaries: PathBuf, logs: Logs) -> Self {
        let begin = Instant::now();
        let backlog = if long { 100_000 } else { 2000 };
        let (kill_results, postgres) = (OnceCell::new(), OnceCell::new());
        Self { seed, long, peer, backlog, binaries, logs, kill_results, postgres, begin }
    }

    /// The value for the form of this run.
    pub(crate) fn choose<T>(&self, quick: T, long: T) -> T {
        if self.long { long } else { quick }
    }

    /// A generator for `purpose`, so that each promise can be repeated alone.
    pub(crate) fn random(&self, purpose: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_mul(1_000_003).wrapping_add(purpose))
    }

    /// The PostgreSQL server of this run, started on first use.
    pub(crate) async fn postgres(&self) -> Result<&Postgres> {
        let start = || async { block_in_place(|| Postgres::start(Durability::None)) };
        self.postgres.get_or_try_init(start).await
    }

    /// The server, if it was started.
    pub(crate) fn started_postgres(&self) -> Option<&Postgres> {
        self.postgres.get()
    }

    /// Starts an instance of `service`. `pinned`: on the processors of the services, see [`Split`].
    pub(crate) fn spawn(&self, service: &Service, pinned: bool, settings: &[(String, String)]) -> Result<Process> {
        self.spawn_command(Command::new(self.program(&service.name)), &service.name, pinned, settings)
    }

    /// The path of the program `name`.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// Starts `command` with a log of its own. `pinned`: see [`Self::spawn`].
    pub(crate) fn spawn_command(
        &self,
        command: Command,
        name: &str,
        pinned: bool,
        settings: &[(String, String)],
    ) -> Result<Process> {
        let log = Output::File(self.logs.file(name));
        let spawn = || Process::spawn(command, self.logs.directory(), settings, log);
        match Split::new().filter(|_| pinned) {
            Some(split) => with_affinity(&split.services, spawn),
            None => spawn(),
        }
    }

    /// [`Self::spawn`], and waits until the instance serves.
    pub(crate) async fn start(
        &self,
        service: &Service,
        pinned: bool,
        settings: &[(String, String)],
    ) -> Result<Instance> {
        self.spawn(service, pinned, settings)?.serving(START_TIME_LIMIT).await
    }

    /// Prints a line with the time since the start of the run.
    pub(crate) fn progress(&self, text: impl std::fmt::Display) {
        println!("{:>5.0} s  {text}", self.begin.elapsed().as_secs_f64());
    }

    /// The time since the start of the run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }
}
