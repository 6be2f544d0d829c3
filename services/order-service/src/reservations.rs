//! The reservations of orders: made before an order is placed, and bound, committed or released after it.
//!
//! Whatever is wanted of a reservation once its order is placed is a task in the database, stored with the change of the
//! order. [`Reservations::run`] does the tasks, with any number of instances on one database, and again until they are
//! done: each is safe to repeat. Until then a reservation that nobody asks for any more expires by itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use client_policy::Failure;
use futures::StreamExt;
use order_service_api::{CancellationReason, OrderId, OrderItem, OrderItemCreate, OrderStatus};
use product_client::error_codes;
use service_runtime::database::DatabaseError;
use service_runtime::guard::RequestScope;
use slog::{Logger, error, info, warn};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::dependencies::products::{Products, ReserveError};
use crate::status::predecessors;
use crate::store::{OrderStore, ReservationTask, Wanted};

/// How many tasks are read at a time.
const PAGE: i64 = 100;
/// How many calls of product-service are in flight at a time.
const CONCURRENCY: usize = 16;
/// How long to wait for the next look at the tasks, if nobody wakes the loop: a task is retried, or another instance has
/// ended before it did one.
const POLL: Duration = Duration::from_secs(3);
/// The wait after the first failed attempt; it doubles with each attempt.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// The time limit of a call that no request waits for, if the configured one is not shorter.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// The errors after which no further attempt at a task can succeed.
const FINAL: [&str; 2] = [error_codes::RESERVATION_NOT_FOUND, error_codes::RESERVATION_RELEASED];

/// The reservations at product-service. Clones share them.
#[derive(Clone)]
pub(crate) struct Reservations {
    products: Arc<Products>,
    store: OrderStore,
    due: Arc<Notify>,
    log: Logger,
}

/// A reservation for an order that is not placed yet. Unless it is [kept](Self::keep), it is released when it is dropped,
/// as when its request is given up.
pub(crate) struct Hold {
    id: Uuid,
    reservations: Reservations,
    request: RequestScope,
    /// Whether there is something to release, as far as this knows.
    held: bool,
}

/// How an attempt at a task ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// It is done, or never will be.
    Over,
    /// It is to be tried again after this many attempts.
    Again(i64),
    /// Something else is wanted now.
    Replaced,
}

impl Reservations {
    pub(crate) fn new(products: Products, store: OrderStore, log: Logger) -> Self {
        Self { products: Arc::new(products), store, due: Arc::default(), log }
    }

    /// A new reservation. Its id is random: a request that is repeated makes another one, so that none can be released by an
    /// attempt that is given up while a later one relies on it.
    pub(crate) fn hold(&self, request: &RequestScope) -> Hold {
        Hold { id: Uuid::new_v4(), reservations: self.clone(), request: request.clone(), held: false }
    }

    /// Releases a reservation in the background. If that fails, it expires by itself.
    pub(crate) fn release(&self, id: Uuid, request: &RequestScope) {
        // Without a runtime the process is ending.
        let Ok(runtime) = Handle::try_current() else { return };
        let (products, scope) = (self.products.clone(), request.outlived_by(CALL_TIMEOUT));
        runtime.spawn(async move {
            if let Err(failure) = products.release(id, &scope).await {
                info!(scope.log, "reservation left to expire"; "reservation_id" => id.to_string(), "error" => describe(&failure));
            }
        });
    }

    /// Says that a task may be due.
    pub(crate) fn wake(&self) {
        self.due.notify_one();
    }

    /// Does the tasks, for ever.
    pub(crate) async fn run(self) {
        loop {
            let more = self.run_page().await.unwrap_or_else(|error| {
                warn!(self.log, "reservation tasks failed"; "error" => error.to_string());
                false
            });
            if !more {
                let _ = tokio::time::timeout(POLL, self.due.notified()).await;
            }
        }
    }

    /// Does the tasks that are due, up to a page of them; returns whether there may be more.
    async fn run_page(&self) -> Result<bool, DatabaseError> {
        let tasks = self.store.tasks.due(Utc::now(), PAGE).await?;
        let more = tasks.len() == PAGE as usize;
        let attempts = tasks.into_iter().map(|task| async {
            let end = self.attempt(&task).await;
            (task, end)
        });
        let attempts: Vec<(ReservationTask, Result<End, DatabaseError>)> =
            futures::stream::iter(attempts).buffer_unordered(CONCURRENCY).collect().await;
        // One statement for all tasks that ended alike.
        let mut alike: BTreeMap<(Wanted, End), Vec<OrderId>> = BTreeMap::new();
        let mut failed = None;
        for (task, end) in attempts {
            match end {
                Ok(end) => alike.entry((task.wanted, end)).or_default().push(task.order_id),
                Err(error) => failed = Some(error),
            }
        }
        for ((wanted, end), orders) in alike {
            match end {
                End::Over => self.store.tasks.end(wanted, &orders).await?,
                End::Again(attempts) => {
                    self.store.tasks.postpone(wanted, &orders, attempts, Utc::now() + backoff(attempts)).await?;
                }
                End::Replaced => {}
            }
        }
        failed.map_or(Ok(more), Err)
    }

    async fn attempt(&self, task: &ReservationTask) -> Result<End, DatabaseError> {
        let scope = RequestScope::of_background(CALL_TIMEOUT, &self.log);
        let outcome = match task.wanted {
            Wanted::Bound => self.products.bind(task.reservation_id, &scope).await,
            Wanted::Committed => self.products.commit(task.reservation_id, &scope).await,
            Wanted::Released => self.products.release(task.reservation_id, &scope).await,
        };
        match outcome {
            Ok(()) => Ok(End::Over),
            // Any other answer, as that of a wrong address, says nothing about the reservation.
            Err(Failure::Answered { code, .. }) if FINAL.contains(&code.as_str()) => self.give_up(task, &code).await,
            Err(failure) => {
                if task.attempts == 0 {
                    info!(self.log, "reservation task postponed"; "order_id" => task.order_id.get(),
                        "wanted" => task.wanted.as_str(), "error" => describe(&failure));
                }
                Ok(End::Again(task.attempts + 1))
            }
        }
    }

    /// Ends a task that product-service has refused for good. An order whose items nobody keeps for it is cancelled.
    async fn give_up(&self, task: &ReservationTask, code: &str) -> Result<End, DatabaseError> {
        let order_id = task.order_id;
        warn!(self.log, "reservation task refused"; "order_id" => order_id.get(), "wanted" => task.wanted.as_str(),
            "reservation_id" => task.reservation_id.to_string(), "error" => known(code));
        if task.wanted == Wanted::Released {
            return Ok(End::Over);
        }
        let (from, reason) = (predecessors(OrderStatus::Cancelled), CancellationReason::OutOfStock);
        Ok(match self.store.cancel(order_id, from, reason, Utc::now()).await? {
            Some(_) => {
                info!(self.log, "order status changed"; "order_id" => order_id.get(), "order_status" => "cancelled");
                // What an earlier call may still do is undone.
                self.wake();
                End::Replaced
            }
            None => {
                // It is cancelled already, or completed in the meantime.
                if self.store.find(order_id).await?.is_some_and(|order| order.status == OrderStatus::Completed) {
                    error!(self.log, "completed order has no stock"; "order_id" => order_id.get());
                }
                End::Over
            }
        })
    }
}

impl Hold {
    /// Reserves `items`, and returns them with their names and prices.
    pub(crate) async fn reserve(&mut self, items: &[OrderItemCreate]) -> Result<Vec<OrderItem>, ReserveError> {
        // Even without an answer it may be reserved.
        self.held = true;
        let outcome = self.reservations.products.reserve(self.id, items, &self.request).await;
        if let Err(ReserveError::UnknownProducts(_) | ReserveError::InsufficientStock(_)) = &outcome {
            self.held = false;
        }
        outcome
    }

    /// Leaves it to the caller, or to its order, what becomes of the reservation. Returns its id.
    pub(crate) fn keep(mut self) -> Uuid {
        self.held = false;
        self.id
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.held {
            self.reservations.release(self.id, &self.request);
        }
    }
}

fn backoff(attempts: i64) -> Duration {
    let doublings = u32::try_from(attempts - 1).unwrap_or(0).min(6);
    (FIRST_BACKOFF * (1 << doublings)).min(MAX_BACKOFF)
}

/// A failure for the log; it repeats nothing that the other service wrote.
pub(crate) fn describe(failure: &Failure) -> String {
    match failure {
        Failure::Answered { status, code, .. } => format!("status {} {}", status.as_u16(), known(code)),
        Failure::Unavailable(cause) => format!("unavailable: {cause}"),
        Failure::Timeout => "no answer in time".to_owned(),
        Failure::InvalidResponse(cause) => format!("invalid response: {cause}"),
        Failure::Fault(cause) => cause.clone(),
    }
}

/// `code` if it is one of [`FINAL`]: the log takes no text that another service chooses.
fn known(code: &str) -> &'static str {
    FINAL.into_iter().find(|known| *known == code).unwrap_or("with another code")
}
