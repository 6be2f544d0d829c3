//! How long the start of a service waits for its database, and the log of what it waits for.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, anyhow};
use slog::{Discard, Logger, o, warn};

/// The default of [`StartWait::limit`], in milliseconds: long enough for a server that starts at the same time, or
/// recovers.
pub(crate) const DEFAULT_START_TIMEOUT_MS: u32 = 30_000;
/// How long a wait takes before it is logged.
const LOG_AFTER: Duration = Duration::from_secs(1);

/// The limit of each wait at the start, and where waits are logged.
#[derive(Clone, Debug)]
pub(crate) struct StartWait {
    /// How long to wait for a database that does not answer yet, and then for another process that migrates it.
    pub(crate) limit: Duration,
    pub(crate) log: Logger,
}

impl Default for StartWait {
    fn default() -> Self {
        Self { limit: Duration::from_millis(DEFAULT_START_TIMEOUT_MS.into()), log: Logger::root(Discard, o!()) }
    }
}

impl StartWait {
    /// The result of `work`, whose delay would be caused by `what`.
    ///
    /// # Errors
    ///
    /// Those of `work`, or that it took longer than the limit.
    pub(super) async fn limited<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let limited = tokio::time::timeout(self.limit, self.logged(what, work)).await;
        limited.unwrap_or_else(|_| Err(anyhow!("waited {} ms for {what}", self.limit.as_millis())))
    }

    /// The output of `work`, with a warning in the log if it takes long.
    pub(super) async fn logged<T>(&self, what: &str, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        match tokio::time::timeout(LOG_AFTER, &mut work).await {
            Ok(output) => output,
            Err(_) => {
                self.warn(what);
                work.await
            }
        }
    }

    pub(super) fn warn(&self, what: &str) {
        warn!(self.log, "waiting for the database"; "error" => what);
    }
}
