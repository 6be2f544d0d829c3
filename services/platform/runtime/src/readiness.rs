//! Whether a service can do its work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contract::error_code::{DATABASE_UNAVAILABLE, SHUTTING_DOWN};
use contract::health::Readiness;
use dropshot::{HttpError, HttpResponseOk};

use crate::database::{Batches, Database, DatabaseError};

/// The readiness of a service, shared between the running server and its `/ready`.
#[derive(Clone, Debug)]
pub(crate) struct ReadinessProbe {
    stopping: Arc<AtomicBool>,
    database: Database,
    pings: Batches<(), ()>,
}

impl ReadinessProbe {
    /// The probe of a service that stores its data in `database`.
    pub(crate) fn new(database: Database) -> Self {
        // Concurrent probes share one ping.
        let pings = Batches::new(&database, ping_for_all);
        Self { stopping: Arc::default(), database, pings }
    }

    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// From now on the service is not ready, although it still serves.
    pub(crate) fn announce_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// The response of `/ready`.
    pub(crate) async fn answer(&self) -> Result<HttpResponseOk<Readiness>, HttpError> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(SHUTTING_DOWN.with_cause("the process was told to stop"));
        }
        self.pings.run(()).await.map_err(|error| DATABASE_UNAVAILABLE.with_cause(error))?;
        Ok(HttpResponseOk(Readiness::READY))
    }
}

async fn ping_for_all(database: Database, pings: Vec<()>) -> Vec<Result<(), DatabaseError>> {
    let outcome = database.ping().await;
    pings.iter().map(|()| outcome.clone()).collect()
}
