//! Admission control: a concurrency limit with a queue in front of it, and load shedding when the queue is slow.
//!
//! Rejecting a request costs up to half as much as serving it, and a rejected client retries. A service that rejected
//! every request above its limit would do little else, so requests queue for a permit, first in first out. Like CoDel,
//! [`shed_loop`] watches the queue delay: the time that the oldest request has waited. While the delay is too long, it
//! drops a bounded number of requests from the tail (tail drop): the newest waiters learn soon that they should back
//! off, and the oldest are served. Only a stalled queue, whose permits hardly turn over, is also shed from the front.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::telemetry::Encode;

/// The queue delay from which on the newest waiters are shed. Waiting this long is cheaper for a client than a retry
/// after `Retry-After: 1`, and shedding takes CPU from the admitted requests.
const SHED_AFTER: Duration = Duration::from_millis(250);
/// The maximum wait in a stalled queue: requests are answered within a second although the database hangs.
const MAX_STALLED_WAIT: Duration = Duration::from_millis(500);
/// The interval between queue inspections.
const INSPECTION_INTERVAL: Duration = Duration::from_millis(5);
/// The queue moves if all permits turn over within this many inspections: half a second, and longer in a busy process.
/// A moving queue serves its oldest waiters soon; shedding them would only trigger retries.
const TURNOVER_INSPECTIONS: usize = 100;
/// The maximum number of requests that one inspection sheds: 6,400 per second, in a busy process some 4,000.
const SHED_PER_INSPECTION: usize = 32;
/// The maximum queue length. A queued request takes some 25 KB including its connection. Requests above it are rejected
/// immediately, and immediately retried.
const MAX_QUEUED: usize = 16_384;

/// The permits and the queue for them. Clones share both.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    permits: usize,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Debug)]
struct Queue {
    free_permits: usize,
    waiters: VecDeque<Waiter>,
    /// The number of permits that passed to a waiter since the last inspection.
    handovers: usize,
    /// Whether [`shed_loop`] runs for this queue.
    inspected: bool,
}

#[derive(Debug)]
struct Waiter {
    since: Instant,
    /// Dropping it without sending a permit rejects the request.
    permit: oneshot::Sender<Permit>,
}

/// Permission to serve one request. When it is dropped, it passes to the oldest waiter.
#[derive(Debug)]
pub(crate) struct Permit {
    queue: Option<Arc<Mutex<Queue>>>,
}

impl Admission {
    pub(crate) fn new(permits: usize) -> Self {
        let queue = Queue { free_permits: permits, waiters: VecDeque::new(), handovers: 0, inspected: false };
        Self { permits, queue: Arc::new(Mutex::new(queue)) }
    }

    /// Waits for a permit, first in first out. `None` rejects the request: after `patience`, after half a second in a
    /// stalled queue, as one of the newest waiters when the queue delay is too long, or immediately when the queue is
    /// full.
    pub(crate) async fn admit(&self, patience: Duration) -> Option<Permit> {
        let granted = {
            let mut queue = lock(&self.queue);
            if queue.free_permits > 0 {
                queue.free_permits -= 1;
                return Some(Permit { queue: Some(Arc::clone(&self.queue)) });
            }
            if queue.waiters.len() >= MAX_QUEUED {
                return None;
            }
            if !queue.inspected {
                queue.inspected = true;
                tokio::spawn(shed_loop(Arc::clone(&self.queue), self.permits));
            }
            let (permit, granted) = oneshot::channel();
            queue.waiters.push_back(Waiter { since: Instant::now(), permit });
            granted
        };
        timeout(patience, granted).await.ok()?.ok()
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Inspects the queue until it is empty: sheds the newest waiters while the queue delay is too long, and in a stalled
/// queue also those that have waited too long.
async fn shed_loop(queue: Arc<Mutex<Queue>>, permits: usize) {
    let mut turnover = TurnoverMeter::default();
    loop {
        sleep(INSPECTION_INTERVAL).await;
        let mut queue = lock(&queue);
        let moves = turnover.tick(mem::take(&mut queue.handovers), permits);
        let is_over = |oldest: &Waiter| oldest.is_gone() || (!moves && oldest.since.elapsed() >= MAX_STALLED_WAIT);
        while queue.waiters.front().is_some_and(is_over) {
            queue.waiters.pop_front();
        }
        let Some(oldest) = queue.waiters.front() else {
            queue.inspected = false;
            return;
        };
        if oldest.since.elapsed() < SHED_AFTER {
            continue;
        }
        let mut shed = 0;
        while shed < SHED_PER_INSPECTION
            && let Some(newest) = queue.waiters.pop_back()
        {
            shed += usize::from(!newest.is_gone());
        }
    }
}

/// Measures how many inspections it takes until all permits have turned over.
#[derive(Default)]
struct TurnoverMeter {
    handovers: usize,
    inspections: usize,
    /// The inspections that the last complete turnover took.
    last_turnover: usize,
}

impl TurnoverMeter {
    /// Counts one inspection and the `handovers` since the one before; returns whether the queue moves. It does if
    /// neither the last turnover nor the current one takes too many inspections.
    fn tick(&mut self, handovers: usize, permits: usize) -> bool {
        self.handovers += handovers;
        self.inspections += 1;
        if self.handovers >= permits {
            *self = Self { last_turnover: self.inspections, ..Self::default() };
        }
        self.last_turnover.max(self.inspections) < TURNOVER_INSPECTIONS
    }
}

impl Waiter {
    /// Whether the request no longer waits.
    fn is_gone(&self) -> bool {
        self.permit.is_closed()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        while let Some(queue) = self.queue.take() {
            let oldest = {
                let mut queue = lock(&queue);
                let oldest = queue.waiters.pop_front();
                match oldest {
                    Some(_) => queue.handovers += 1,
                    None => queue.free_permits += 1,
                }
                oldest
            };
            // A waiter that is gone does not take the permit, which then passes to the next one.
            if let Some(Waiter { permit, .. }) = oldest
                && let Err(mut unclaimed) = permit.send(Permit { queue: Some(queue) })
            {
                self.queue = unclaimed.queue.take();
            }
        }
    }
}

impl Collector for Admission {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (free, waiting) = {
            let queue = lock(&self.queue);
            (queue.free_permits, queue.waiters.len())
        };
        encoder.gauge("http_server_active_requests", "Requests in progress.", self.permits - free)?;
        let limit = "The concurrency limit; requests above it are queued, and shed when the queue is slow.";
        encoder.gauge("http_server_active_requests_limit", limit, self.permits)?;
        encoder.gauge("http_server_waiting_requests", "Queued requests.", waiting)
    }
}

#[cfg(test)]
mod tests;
