//! Sends what is queued on one channel.
//!
//! A notification is claimed for half a minute, which is renewed while it is being sent, and then stored as sent: whoever is
//! killed in between leaves it to be sent again, with the same `Message-ID`. Messages that take long give way to others; those that fail wait longer each time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use notification_service_api::{Channel, NotificationReason, NotificationStatus};
use service_runtime::database::DatabaseError;
use service_runtime::guard::RequestScope;
use service_runtime::telemetry::DependencyCalls;
use slog::{Logger, error, info, o, warn};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::dependencies::users::{NoRecipient, Users};
use crate::message::Writer;
use crate::metrics::Metrics;
use crate::outage::Outage;
use crate::outcome::{Blame, Outcome};
use crate::outlets::{Outlet, SendError};
use crate::store::{Due, NotificationStore};

/// How many messages are sent at a time.
const QUICK: usize = 8;
/// How long a message may take before it gives way to another.
const QUICK_TIME: Duration = Duration::from_secs(1);
/// How many messages may take longer than that, at a time.
const SLOW: usize = 64;
/// How long to wait for news if no event comes in this process: another one may have queued something.
const POLL: Duration = Duration::from_secs(1);
/// The maximum duration of asking user-service.
const LOOKUP_TIME: Duration = Duration::from_secs(5);
/// How long a claim lasts, unless it is renewed: what a process that was killed leaves behind is due again then.
const LEASE: TimeDelta = TimeDelta::seconds(30);
/// The time between two renewals.
const RENEWAL: Duration = Duration::from_secs(10);
/// How long to try to store how an attempt ended: as long as nobody else claims it.
const SETTLE_TIME: Duration = Duration::from_secs(20);
/// The pause after a failure of the database.
const DATABASE_PAUSE: Duration = Duration::from_millis(500);
/// The wait after the first failed attempt; it doubles with each further one.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(1);
/// The longest wait, for what may be the recipient's fault.
const MAX_WAIT: TimeDelta = TimeDelta::minutes(10);
/// The longest wait, for what certainly is not.
const MAX_WAIT_FOR_SERVER: TimeDelta = TimeDelta::seconds(30);
/// How long after it was queued a notification may still be of interest.
const LIFETIME: TimeDelta = TimeDelta::hours(24);

/// What sends the notifications of one channel.
pub(crate) struct Sender {
    pub(crate) channel: Channel,
    pub(crate) outlet: Outlet,
    pub(crate) calls: DependencyCalls,
    pub(crate) store: NotificationStore,
    pub(crate) users: Arc<Users>,
    pub(crate) writer: Arc<Writer>,
    pub(crate) metrics: Metrics,
    pub(crate) outage: Mutex<Outage>,
    pub(crate) log: Logger,
}

impl Sender {
    /// Sends what is due, at most `per_second` messages a second, until `stop` changes and what has begun has ended; `queued`
    /// changes when there may be more.
    pub(crate) async fn run(self, per_second: u32, mut queued: watch::Receiver<()>, mut stop: watch::Receiver<()>) {
        let sender = Arc::new(self);
        let mut attempts = JoinSet::new();
        tokio::select! {
            () = sender.begin_all(per_second, &mut queued, &mut attempts) => {}
            _ = stop.changed() => {}
        }
        while attempts.join_next().await.is_some() {}
    }

    /// Claims what is due and begins to send it, for ever.
    async fn begin_all(
        self: &Arc<Self>,
        per_second: u32,
        queued: &mut watch::Receiver<()>,
        attempts: &mut JoinSet<()>,
    ) {
        let (quick, slow) = (Arc::new(Semaphore::new(QUICK)), Arc::new(Semaphore::new(SLOW)));
        let mut pace = interval(Duration::from_secs(1) / per_second);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // First, so that what the last attempts have shown of the server is known.
            let Ok(room) = quick.acquire().await.map(|_one| 1 + quick.available_permits()) else { return };
            let paused_until = self.outage().paused_until(Instant::now());
            if let Some(until) = paused_until {
                sleep_until(until.into()).await;
            }
            let limit = if self.outage().is_tried() { 1 } else { room };
            queued.mark_unchanged();
            let due = match self.store.claim(self.channel, limit as i64, Utc::now(), LEASE).await {
                Ok(due) => due,
                Err(error) => {
                    warn!(self.log, "notifications cannot be claimed"; "error" => error.to_string());
                    sleep(DATABASE_PAUSE).await;
                    continue;
                }
            };
            if due.is_empty() {
                // Nobody is left to send news: the process is ending.
                let _ = timeout(POLL, queued.changed()).await;
            }
            for due in due {
                pace.tick().await;
                let Ok(place) = quick.clone().acquire_owned().await else { return };
                attempts.spawn(self.clone().attempt(due, place, slow.clone()));
            }
            while attempts.try_join_next().is_some() {}
        }
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn attempt(self: Arc<Self>, due: Due, place: OwnedSemaphorePermit, slow: Arc<Semaphore>) {
        let log = self.log.new(o!("notification_id" => due.id, "event_type" => due.event_type.clone()));
        let scope = RequestScope::of_event(&due.event_id, due.traceparent.as_deref(), LOOKUP_TIME, &log);
        let sending = self.send(&due, &scope);
        let outcome = self.kept(&due, in_turn(sending, place, &slow)).await;
        self.settle(&due, outcome, &scope.log).await;
    }

    /// Waits for `sending`, and keeps `due` claimed meanwhile.
    async fn kept(&self, due: &Due, sending: impl Future<Output = Outcome>) -> Outcome {
        let mut sending = std::pin::pin!(sending);
        loop {
            match timeout(RENEWAL, &mut sending).await {
                Ok(outcome) => return outcome,
                // If it fails, another process may send the message too: the end of this attempt matters more.
                Err(_) => drop(self.store.postpone(due.id, Utc::now() + LEASE).await),
            }
        }
    }

    async fn send(&self, due: &Due, scope: &RequestScope) -> Outcome {
        let recipient = match self.users.recipient(due.user_id, self.channel, scope).await {
            Ok(recipient) => recipient,
            Err(NoRecipient::Deleted) => return Outcome::Ended(NotificationReason::UserDeleted),
            Err(NoRecipient::OptedOut) => return Outcome::Ended(NotificationReason::OptedOut),
            Err(NoRecipient::Unknown(error)) => {
                warn!(scope.log, "notification not sent yet"; "error" => format!("user-service: {error}"));
                return Outcome::Again(Blame::Server);
            }
        };
        let message = match self.writer.write(due, self.channel, &recipient, &scope.log) {
            Ok(message) => message,
            Err(reason) => return Outcome::Ended(reason),
        };
        let call = self.calls.begin("send", &scope.trace);
        let name = format!("{}.{}", due.event_id, self.channel.as_str());
        let (error, outcome) = match self.outlet.send(message, &name).await {
            Ok(()) => {
                call.succeed("success");
                self.outage().answered();
                return Outcome::Sent;
            }
            Err(SendError::Refused(error)) => {
                call.succeed("refused");
                self.outage().answered();
                (error, Outcome::Ended(NotificationReason::Refused))
            }
            Err(SendError::Unavailable(error)) => {
                call.fail("unavailable");
                (error, Outcome::Again(Blame::Server))
            }
            Err(SendError::Postponed(error)) => {
                call.fail("postponed");
                self.outage().answered();
                (error, Outcome::Again(Blame::Message))
            }
        };
        warn!(scope.log, "notification not sent"; "error" => format!("{}: {error}", self.outlet.name()));
        outcome
    }

    /// Stores how an attempt ended.
    async fn settle(&self, due: &Due, outcome: Outcome, log: &Logger) {
        if outcome == Outcome::Again(Blame::Server) {
            let pause = self.outage().failed(Instant::now());
            if let Some(pause) = pause {
                warn!(log, "channel paused"; "seconds" => pause.as_secs());
            }
        }
        let outcome = match outcome {
            Outcome::Again(blame) if Utc::now() + wait(due.attempts, blame) > due.created_at + LIFETIME => {
                Outcome::Ended(NotificationReason::Expired)
            }
            outcome => outcome,
        };
        self.metrics.attempted(self.channel, &outcome);
        let began = Instant::now();
        while let Err(error) = self.store_outcome(due, outcome).await {
            if began.elapsed() > SETTLE_TIME {
                error!(log, "outcome of a notification not stored, it will be sent again"; "error" => error.to_string());
                return;
            }
            sleep(DATABASE_PAUSE).await;
        }
        match outcome {
            Outcome::Sent => info!(log, "notification sent"; "attempts" => due.attempts),
            Outcome::Ended(reason) => info!(log, "notification ended"; "reason" => reason.as_str()),
            Outcome::Again(_) => {}
        }
    }

    async fn store_outcome(&self, due: &Due, outcome: Outcome) -> Result<(), DatabaseError> {
        let now = Utc::now();
        let (status, reason) = match outcome {
            Outcome::Again(blame) => return self.store.postpone(due.id, now + wait(due.attempts, blame)).await,
            Outcome::Sent => (NotificationStatus::Sent, None),
            Outcome::Ended(reason @ (NotificationReason::UserDeleted | NotificationReason::OptedOut)) => {
                (NotificationStatus::Suppressed, Some(reason))
            }
            Outcome::Ended(reason) => (NotificationStatus::Failed, Some(reason)),
        };
        self.store.end(due.id, status, reason, now).await
    }
}

/// Waits for `sending`, which gives up its `place` if it takes long and there is room beside the quick ones.
async fn in_turn(sending: impl Future<Output = Outcome>, place: OwnedSemaphorePermit, slow: &Semaphore) -> Outcome {
    let mut sending = std::pin::pin!(sending);
    match timeout(QUICK_TIME, &mut sending).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let slow_place = slow.try_acquire();
            let _place = slow_place.is_err().then_some(place);
            sending.await
        }
    }
}

/// How long to wait after so many attempts. Up to half shorter by chance: what failed together is not tried together.
fn wait(attempts: i64, blame: Blame) -> TimeDelta {
    let max = match blame {
        Blame::Server => MAX_WAIT_FOR_SERVER,
        Blame::Message => MAX_WAIT,
    };
    let doublings = attempts.clamp(1, 16) - 1;
    let longest = (FIRST_WAIT * (1 << doublings)).min(max);
    longest - longest / 2 * i32::from(fastrand::u8(..)) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_limit() {
        for (attempts, blame, expected) in [
            (1, Blame::Message, 1),
            (2, Blame::Message, 2),
            (10, Blame::Message, 512),
            (11, Blame::Message, 600),
            (1000, Blame::Message, 600),
            (5, Blame::Server, 16),
            (6, Blame::Server, 30),
            (1000, Blame::Server, 30),
        ] {
            let (wait, expected) = (wait(attempts, blame), TimeDelta::seconds(expected));
            assert!(wait <= expected && wait >= expected / 2, "{attempts}: {wait} of {expected}");
        }
    }
}
