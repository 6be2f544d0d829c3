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
use tokio::task::{JoinError, JoinSet};
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
/// The pause after a failure of the database.
const DATABASE_PAUSE: Duration = Duration::from_millis(500);
/// The wait after the first failed attempt; it doubles with each further one.
const FIRST_WAIT: TimeDelta = TimeDelta::seconds(1);
/// The longest wait, for what may be the recipient's fault.
const MAX_WAIT: TimeDelta = TimeDelta::minutes(10);
/// The longest wait, for what certainly is not.
const MAX_WAIT_FOR_SERVER: TimeDelta = TimeDelta::seconds(30);
/// The longest wait, for what may have been sent already: two dozen times a day at most.
const MAX_WAIT_IF_UNKNOWN: TimeDelta = TimeDelta::hours(2);
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
    /// Of the outlet.
    pub(crate) outage: Mutex<Outage>,
    /// Of user-service.
    pub(crate) lookup_outage: Mutex<Outage>,
    pub(crate) log: Logger,
}

impl Sender {
    /// Sends what is due, at most `per_second` messages a second, until `stop` changes and what has begun has ended; `queued`
    /// changes when there may be more.
    pub(crate) async fn run(self, per_second: u32, mut queued: watch::Receiver<()>, mut stop: watch::Receiver<()>) {
        let sender = Arc::new(self);
        let log = sender.log.clone();
        let mut attempts = JoinSet::new();
        tokio::select! {
            () = sender.begin_all(per_second, &mut queued, &mut attempts) => {}
            _ = stop.changed() => {}
        }
        while let Some(ended) = attempts.join_next().await {
            report(&log, ended);
        }
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
            // First, so that what the last attempts have shown of the servers is known.
            let Ok(room) = quick.acquire().await.map(|_one| 1 + quick.available_permits()) else { return };
            if let Some(until) =
                self.outages().into_iter().filter_map(|outage| outage.paused_until(Instant::now())).max()
            {
                sleep_until(until.into()).await;
            }
            let mut limit = room;
            if self.outages().into_iter().any(|outage| outage.is_tried()) {
                // One message at a time: that of before, if it is still under way.
                if let Some(ended) = attempts.join_next().await {
                    report(&self.log, ended);
                }
                limit = 1;
            }
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
                // Without a transport of events nobody is left to send news.
                if let Ok(Err(_)) = timeout(POLL, queued.changed()).await {
                    sleep(POLL).await;
                }
            }
            for due in due {
                pace.tick().await;
                let Ok(place) = quick.clone().acquire_owned().await else { return };
                attempts.spawn(self.clone().attempt(due, place, slow.clone()));
            }
            while let Some(ended) = attempts.try_join_next() {
                report(&self.log, ended);
            }
        }
    }

    /// What is known of the outlet and of user-service.
    fn outages(&self) -> [Outage; 2] {
        [*lock(&self.outage), *lock(&self.lookup_outage)]
    }

    async fn attempt(self: Arc<Self>, due: Due, place: OwnedSemaphorePermit, slow: Arc<Semaphore>) {
        let log = self.log.new(o!("notification_id" => due.id, "event_type" => due.event_type.clone()));
        let scope = RequestScope::of_event(&due.event_id, due.traceparent.as_deref(), LOOKUP_TIME, &log);
        // Also of what breaks off each time.
        let outcome = if Utc::now() > due.created_at + LIFETIME {
            Outcome::Ended(NotificationReason::Expired)
        } else {
            self.kept(&due, in_turn(self.send(&due, &scope), place, &slow)).await
        };
        self.settle(&due, outcome, &scope.log).await;
    }

    /// Waits for `sending`, and keeps `due` claimed meanwhile.
    async fn kept(&self, due: &Due, sending: impl Future<Output = Outcome>) -> Outcome {
        let renew = async {
            loop {
                sleep(RENEWAL).await;
                // If it fails, another process may send the message too: the end of this attempt matters more.
                drop(self.store.postpone(due, Utc::now() + LEASE).await);
            }
        };
        tokio::select! {
            outcome = sending => outcome,
            never = renew => never,
        }
    }

    async fn send(&self, due: &Due, scope: &RequestScope) -> Outcome {
        let recipient = match self.users.recipient(due.user_id, self.channel, scope).await {
            Err(NoRecipient::Unknown(error)) => {
                warn!(scope.log, "notification not sent yet"; "error" => format!("user-service: {error}"));
                self.fail(&self.lookup_outage, due, &scope.log);
                return Outcome::Again(Blame::Server);
            }
            known => {
                lock(&self.lookup_outage).answered();
                match known {
                    Ok(recipient) => recipient,
                    Err(NoRecipient::Deleted) => return Outcome::Ended(NotificationReason::UserDeleted),
                    Err(_) => return Outcome::Ended(NotificationReason::OptedOut),
                }
            }
        };
        let message = match self.writer.write(due, self.channel, &recipient, &scope.log) {
            Ok(message) => message,
            Err(reason) => return Outcome::Ended(reason),
        };
        let call = self.calls.begin("send", &scope.trace);
        let name = format!("{}.{}", due.event_id, self.channel.as_str());
        let error = match self.outlet.send(message, &name).await {
            Ok(()) => {
                call.succeed("success");
                lock(&self.outage).answered();
                return Outcome::Sent;
            }
            Err(error) => error,
        };
        let (label, outcome) = match &error {
            SendError::Refused(_) => ("refused", Outcome::Ended(NotificationReason::Refused)),
            SendError::Postponed(_) => ("postponed", Outcome::Again(Blame::Message)),
            SendError::Unavailable(_) => ("unavailable", Outcome::Again(Blame::Server)),
            SendError::Unknown(_) => ("unknown", Outcome::Again(Blame::Nobody)),
        };
        warn!(scope.log, "notification not sent"; "error" => format!("{}: {error}", self.outlet.name()));
        if let SendError::Refused(_) | SendError::Postponed(_) = error {
            call.succeed(label);
            lock(&self.outage).answered();
        } else {
            call.fail(label);
            self.fail(&self.outage, due, &scope.log);
        }
        outcome
    }

    /// Takes a failure for which no message is to blame.
    fn fail(&self, outage: &Mutex<Outage>, due: &Due, log: &Logger) {
        let pause = lock(outage).failed(due.id, Instant::now());
        if let Some(pause) = pause {
            warn!(log, "channel paused"; "seconds" => pause.as_secs());
        }
    }

    /// Stores how an attempt ended.
    async fn settle(&self, due: &Due, outcome: Outcome, log: &Logger) {
        let outcome = match outcome {
            Outcome::Again(blame) if Utc::now() + wait(due.attempts, blame) > due.created_at + LIFETIME => {
                Outcome::Ended(NotificationReason::Expired)
            }
            outcome => outcome,
        };
        self.metrics.attempted(self.channel, &outcome);
        // As long as the database does not answer, nobody else can claim it.
        let stored = loop {
            match self.store_outcome(due, outcome).await {
                Ok(stored) => break stored,
                Err(error) => warn!(log, "outcome of a notification not stored yet"; "error" => error.to_string()),
            }
            sleep(DATABASE_PAUSE).await;
        };
        match outcome {
            Outcome::Sent => info!(log, "notification sent"; "attempts" => due.attempts, "stored" => stored),
            Outcome::Ended(reason) => info!(log, "notification ended"; "reason" => reason.as_str(), "stored" => stored),
            Outcome::Again(_) => {}
        }
    }

    /// Returns whether it was stored: not if the user was deleted meanwhile, or another process has taken over.
    async fn store_outcome(&self, due: &Due, outcome: Outcome) -> Result<bool, DatabaseError> {
        let now = Utc::now();
        let (status, reason) = match outcome {
            Outcome::Again(blame) => {
                self.store.postpone(due, now + wait(due.attempts, blame)).await?;
                return Ok(true);
            }
            Outcome::Sent => (NotificationStatus::Sent, None),
            Outcome::Ended(reason @ (NotificationReason::UserDeleted | NotificationReason::OptedOut)) => {
                (NotificationStatus::Suppressed, Some(reason))
            }
            Outcome::Ended(reason) => (NotificationStatus::Failed, Some(reason)),
        };
        self.store.end(due, status, reason, now).await
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

fn lock(outage: &Mutex<Outage>) -> MutexGuard<'_, Outage> {
    outage.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reports an attempt that has broken off: its notification is due again when its claim ends.
fn report(log: &Logger, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(log, "attempt to send broke off"; "error" => error.to_string());
    }
}

/// How long to wait after so many attempts. Up to half shorter by chance: what failed together is not tried together.
fn wait(attempts: i64, blame: Blame) -> TimeDelta {
    let max = match blame {
        Blame::Server => MAX_WAIT_FOR_SERVER,
        Blame::Message => MAX_WAIT,
        Blame::Nobody => MAX_WAIT_IF_UNKNOWN,
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
            (13, Blame::Nobody, 4096),
            (1000, Blame::Nobody, 7200),
            (5, Blame::Server, 16),
            (6, Blame::Server, 30),
            (1000, Blame::Server, 30),
        ] {
            let (wait, expected) = (wait(attempts, blame), TimeDelta::seconds(expected));
            assert!(wait <= expected && wait >= expected / 2, "{attempts}: {wait} of {expected}");
        }
    }
}
