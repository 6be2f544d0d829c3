//! Leaving a server alone to which no connection can be made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long. If every request tried to connect, a server that cannot answer would have hundreds of processes for clients
/// long gone, and refuse the others when it can again.
const PAUSE: Duration = Duration::from_millis(100);

/// When an operation failed last that began without any connection, and why. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectBackoff(Arc<Mutex<Option<(Instant, String)>>>);

impl ConnectBackoff {
    /// There was no connection, and none could be made, for this cause.
    pub(super) fn begin(&self, cause: &str) {
        *self.fail_all() = Some((Instant::now(), cause.to_owned()));
    }

    /// Why the server is left alone, while it is.
    pub(super) fn cause(&self) -> Option<String> {
        let failed = self.fail_all();
        let (_, cause) = failed.as_ref().filter(|(failed, _)| failed.elapsed() < PAUSE)?;
        Some(format!("not tried again yet, a moment ago: {cause}"))
    }

    fn fail_all(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
