//! Asks the provider for what is to be charged, cancelled and refunded.
//!
//! A task is claimed for some seconds, and removed with its outcome: whoever is killed in between leaves it to be asked for
//! again, with the same id. An unknown outcome is never taken for a failure.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use service_runtime::database::DatabaseError;
use service_runtime::guard::RequestScope;
use slog::{Logger, error, info, o, warn};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::metrics::Metrics;
use crate::providers::provider::{Opened, Outcome, Provider, RefundOutcome, Unknown};
use crate::store::{ChargeOutcome, PaymentStore, Task, TaskKind, Turn};

/// How many tasks of each turn are asked for at a time: those that get no answer leave room for the others.
const AT_A_TIME: usize = 128;
/// How long to wait for news if nothing is stored in this process: another one may have stored something.
const POLL: Duration = Duration::from_millis(500);
/// The maximum duration of asking for one task.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// How long a claim lasts: what a process that was killed leaves behind is due again then.
const LEASE: TimeDelta = TimeDelta::seconds(15);
/// The pause after a failure of the database.
const DATABASE_PAUSE: Duration = Duration::from_millis(500);
/// The wait after the first attempt without an outcome; it doubles with each further one.
const FIRST_WAIT: TimeDelta = TimeDelta::milliseconds(200);
/// The longest wait.
const MAX_WAIT: TimeDelta = TimeDelta::seconds(30);

/// What asks the provider.
pub(crate) struct Caller {
    pub(crate) store: PaymentStore,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) metrics: Metrics,
    pub(crate) log: Logger,
}

impl Caller {
    /// Asks for the due tasks of a turn, until `stop` changes and what has begun has ended; `stored` changes when there may be
    /// more.
    pub(crate) async fn run(
        self: Arc<Self>,
        turn: Turn,
        mut stored: watch::Receiver<()>,
        mut stop: watch::Receiver<()>,
    ) {
        let mut attempts = JoinSet::new();
        self.begin_all(turn, &mut stored, &mut stop, &mut attempts).await;
        while let Some(ended) = attempts.join_next().await {
            self.report(ended);
        }
    }

    /// Claims what is due and begins to ask for it, until `stop` changes.
    async fn begin_all(
        self: &Arc<Self>,
        turn: Turn,
        stored: &mut watch::Receiver<()>,
        stop: &mut watch::Receiver<()>,
        attempts: &mut JoinSet<()>,
    ) {
        let places = Arc::new(Semaphore::new(AT_A_TIME));
        loop {
            // A claim is not broken off: what it has taken would wait until the claim is over.
            let place = tokio::select! {
                biased;
                _ = stop.changed() => return,
                place = places.clone().acquire_owned() => place,
            };
            let Ok(place) = place else { return };
            let room = 1 + places.available_permits();
            stored.mark_unchanged();
            let due = match self.store.claim(turn, room as i64, Utc::now(), LEASE).await {
                Ok(due) => due,
                Err(error) => {
                    warn!(self.log, "provider tasks cannot be claimed"; "error" => error.to_string());
                    sleep(DATABASE_PAUSE).await;
                    continue;
                }
            };
            drop(place);
            let none = due.is_empty();
            for task in due {
                // There is room: nothing else takes places.
                let Ok(place) = places.clone().acquire_owned().await else { return };
                let caller = self.clone();
                attempts.spawn(async move {
                    caller.attempt(task).await;
                    drop(place);
                });
            }
            while let Some(ended) = attempts.try_join_next() {
                self.report(ended);
            }
            if none {
                tokio::select! {
                    _ = stop.changed() => return,
                    _ = timeout(POLL, stored.changed()) => {}
                }
            }
        }
    }

    fn report(&self, ended: Result<(), JoinError>) {
        if let Err(failed) = ended {
            error!(self.log, "asking the provider panicked"; "error" => failed.to_string());
        }
    }

    async fn attempt(&self, task: Task) {
        let log = self.log.new(o!(
            "payment_id" => task.payment_id.get(), "order_id" => task.order_id.get(), "call" => task.kind.as_str()
        ));
        let scope = RequestScope::of_event(&task.charge_id, task.traceparent.as_deref(), TIME_LIMIT, &log);
        let asked = timeout(TIME_LIMIT, self.ask(&task, &scope)).await;
        let outcome = asked.unwrap_or_else(|_| Err(Unknown("no answer in time".to_owned())));
        self.metrics.asked(task.kind, &outcome);
        let stored = match outcome {
            Ok(Outcome::Charge(outcome)) => self.settle(&task, outcome, &scope.log).await,
            Ok(Outcome::Refund(outcome)) => self.settle_refund(&task, outcome, &scope.log).await,
            Err(cause) => {
                let wait = wait_after(task.attempts);
                warn!(scope.log, "outcome of a payment is unknown";
                    "attempts" => task.attempts, "error" => cause.to_string(), "retry_ms" => wait.num_milliseconds());
                let now = Utc::now();
                self.store.postpone(&task, now, now + wait).await
            }
        };
        if let Err(error) = stored {
            // It is asked for again once the claim is over, and the provider says the same.
            warn!(scope.log, "outcome of a payment not stored"; "error" => error.to_string());
        }
    }

    /// Asks the provider for `task`.
    async fn ask(&self, task: &Task, scope: &RequestScope) -> Result<Outcome, Unknown> {
        let mut opened = None;
        if task.kind != TaskKind::Refund && task.provider_reference.is_none() {
            match self.provider.open(task, scope).await? {
                Opened::ById => {}
                Opened::Named(reference) => {
                    let named = self.store.name_charge(task, &reference).await;
                    if !named.map_err(|error| Unknown(format!("its name cannot be stored: {error}")))? {
                        return Err(Unknown("it has another name already".to_owned()));
                    }
                    opened = Some(Task { provider_reference: Some(reference), ..task.clone() });
                }
                Opened::Declined => return Ok(Outcome::Charge(ChargeOutcome::Declined)),
            }
        }
        let task = opened.as_ref().unwrap_or(task);
        Ok(match task.kind {
            TaskKind::Charge => Outcome::Charge(self.provider.charge(task, scope).await?),
            TaskKind::Cancel => Outcome::Charge(self.provider.cancel(task, scope).await?),
            TaskKind::Refund => Outcome::Refund(self.provider.refund(task, scope).await?),
        })
    }

    async fn settle(&self, task: &Task, outcome: ChargeOutcome, log: &Logger) -> Result<(), DatabaseError> {
        if let Some(payment) = self.store.settle(task.clone(), outcome, Utc::now()).await? {
            info!(log, "payment settled"; "payment_status" => payment.status.as_str());
        }
        Ok(())
    }

    async fn settle_refund(&self, task: &Task, outcome: RefundOutcome, log: &Logger) -> Result<(), DatabaseError> {
        let made = outcome == RefundOutcome::Refunded;
        if !self.store.settle_refund(task, made, Utc::now()).await? {
            return Ok(());
        }
        match outcome {
            RefundOutcome::Refunded => info!(log, "payment refunded"),
            RefundOutcome::Refused => error!(log, "refund refused by the provider"),
        }
        Ok(())
    }
}

/// How long to wait after this many attempts: twice as long each time, a fifth more or less.
fn wait_after(attempts: i64) -> TimeDelta {
    let doubled = FIRST_WAIT * 2_i32.pow(u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or_default());
    let wait = doubled.min(MAX_WAIT);
    TimeDelta::milliseconds((wait.num_milliseconds() as f64 * (0.8 + 0.4 * fastrand::f64())) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        for (attempts, expected) in [(0, 200), (1, 200), (2, 400), (5, 3200), (9, 30_000), (1000, 30_000)] {
            let wait = wait_after(attempts).num_milliseconds();
            assert!((expected * 8 / 10..=expected * 12 / 10).contains(&wait), "{attempts}: {wait}");
        }
    }
}
