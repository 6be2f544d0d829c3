//! The rules about reservations, and their expiry.

use std::time::Duration;

use chrono::Utc;
use contract::page::PageLimit;
use futures::future::join_all;
use product_service_api::{Reservation, ReservationCreate, ReservationId, ReservationListQuery, ReservationPage};
use serde::{Deserialize, Serialize};
use service_runtime::database::DatabaseError;
use service_runtime::page::{PageError, PageState, page_of};
use slog::{Logger, info, warn};

use crate::store::{Refusal, ReservationStore};

/// The time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(5);
/// The maximum number of reservations that are swept at a time.
const BATCH: i64 = 500;

/// The rule that a request breaks, or why it cannot be evaluated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReservationError {
    #[error("{0:?}")]
    Refused(Refusal),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The state in a page token: where the next page starts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NextReservations {
    after: String,
    limit: PageLimit,
}

impl PageState for NextReservations {
    const LIST: &'static str = "reservations";
}

/// The reservations and their rules.
#[derive(Clone)]
pub(crate) struct Reservations {
    store: ReservationStore,
}

impl Reservations {
    pub(crate) fn new(store: ReservationStore) -> Self {
        Self { store }
    }

    pub(crate) async fn reserve(&self, new: ReservationCreate) -> Result<Reservation, ReservationError> {
        self.store.reserve(new, Utc::now()).await?.map_err(ReservationError::Refused)
    }

    pub(crate) async fn view(&self, id: &ReservationId) -> Result<Reservation, ReservationError> {
        self.store.find(id).await?.ok_or(ReservationError::Refused(Refusal::NotFound))
    }

    pub(crate) async fn list(&self, query: ReservationListQuery) -> Result<ReservationPage, ReservationError> {
        let from = match &query.page_token {
            Some(token) => NextReservations::from_token(token)?,
            // Every id is above the empty text.
            None => NextReservations { after: String::new(), limit: PageLimit::default() },
        };
        let limit = query.limit.unwrap_or(from.limit);
        let rows = self.store.list_after(&from.after, limit.get() + 1).await?;
        let next = |last: &Reservation| NextReservations { after: last.reservation_id.as_str().to_owned(), limit };
        let (items, next_page) = page_of(rows, limit, Reservation::approximate_bytes, next)?;
        Ok(ReservationPage { items, next_page })
    }

    pub(crate) async fn release(&self, id: ReservationId) -> Result<Reservation, ReservationError> {
        self.store.release(id, Utc::now()).await?.map_err(ReservationError::Refused)
    }

    /// Expires reservations that are held for too long, and removes those that hold nothing for too long, for ever. Several
    /// instances may do so at the same time: each change is conditional.
    pub(crate) async fn sweep(self, log: Logger) {
        loop {
            match self.sweep_due().await {
                Ok(0) => {}
                Ok(number) => info!(log, "swept reservations"; "number" => number),
                Err(error) => warn!(log, "sweep of reservations failed"; "error" => error.to_string()),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn sweep_due(&self) -> Result<usize, DatabaseError> {
        let mut number = 0;
        loop {
            let now = Utc::now();
            let due = self.store.due(now, BATCH).await?;
            if due.is_empty() {
                return Ok(number);
            }
            number += due.len();
            let swept = join_all(due.into_iter().map(|id| self.store.sweep(id, now))).await;
            swept.into_iter().collect::<Result<(), _>>()?;
        }
    }
}
