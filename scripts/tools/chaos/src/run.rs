//! What all promises of a run share.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::sync::OnceCell;
use tokio::task::block_in_place;

use crate::canary::Logs;
use crate::postgres::Postgres;
use crate::promises::durability::Durability;

/// One call of `scripts/chaos`.
#[derive(Debug)]
pub(crate) struct Run {
    /// Where all that is random comes from.
    pub(crate) seed: u64,
    /// Whether this is the long form.
    pub(crate) long: bool,
    /// Where the programs are.
    pub(crate) binaries: PathBuf,
    pub(crate) logs: Logs,
    /// Promises 1 and 2 are two views of the same runs.
    pub(crate) durability: OnceCell<Durability>,
    postgres: OnceCell<Postgres>,
    begin: Instant,
}

impl Run {
    pub(crate) fn new(seed: u64, long: bool, binaries: PathBuf, logs: Logs) -> Self {
        let begin = Instant::now();
        Self { seed, long, binaries, logs, durability: OnceCell::new(), postgres: OnceCell::new(), begin }
    }

    /// One of two values: that of the quick form, or that of the long form.
    pub(crate) fn choose<T>(&self, quick: T, long: T) -> T {
        if self.long { long } else { quick }
    }

    /// A generator of its own for `purpose`, so that each promise can be repeated alone.
    pub(crate) fn random(&self, purpose: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_mul(1_000_003).wrapping_add(purpose))
    }

    /// The PostgreSQL server of this run, started when it is first wanted.
    pub(crate) async fn postgres(&self) -> Result<&Postgres> {
        self.postgres.get_or_try_init(|| async { block_in_place(Postgres::start) }).await
    }

    /// The server, if it was ever wanted.
    pub(crate) fn started_postgres(&self) -> Option<&Postgres> {
        self.postgres.get()
    }

    /// Tells whoever watches how far it is.
    pub(crate) fn say(&self, text: impl std::fmt::Display) {
        println!("{:>5.0} s  {text}", self.begin.elapsed().as_secs_f64());
    }

    /// Since the start of the run.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }
}
