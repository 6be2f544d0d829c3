//! Which requests are worked on: so many at a time, and the next when one of them is done.
//!
//! To refuse a request costs up to half as much as to work on it, and who is refused comes again. A service that refused at
//! once all who are too many would do little else. Here they wait in a queue, which is worked off. When it moves too slowly,
//! some of those who came last are refused, soon, and no more than leaves time for the others; only when it stands still, all
//! who have waited long.

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

/// When who is first in the queue has waited so long, others are refused. A client rather waits so long than comes again in a
/// second, and to refuse takes time from the others.
const SHED_AFTER: Duration = Duration::from_millis(250);
/// The most that a request waits in a queue that does not move, so that it has its answer in a second where a database hangs.
const MAX_STALLED_WAIT: Duration = Duration::from_millis(500);
/// How often it is looked how long the first has waited, and who came last.
const INSPECTION_INTERVAL: Duration = Duration::from_millis(5);
/// In how many looks a queue that moves gives all permits to others: half a second, and longer in a process that is busy. There
/// who is first is served soon, and to refuse all who have waited long would be the end of it.
const TURNOVER_INSPECTIONS: usize = 100;
/// The most requests that are refused together: 6,400 a second, and in a busy process some 4,000.
const SHED_PER_INSPECTION: usize = 32;
/// The most requests that wait, each of which takes some 25 KB with its connection. More are refused at once, and come again
/// at once: then a service does little else.
const MAX_QUEUED: usize = 16_384;

/// The permits for requests, and the queue before them. Clones share both.
#[derive(Clone, Debug)]
pub(crate) struct Admission {
    permits: usize,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Debug)]
struct Queue {
    free: usize,
    queue: VecDeque<Waiting>,
    /// How many permits went from one request to the next since the last look.
    turns: usize,
    /// Whether there is a task that looks after the queue.
    inspected: bool,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// Dropped unsent, it is a refusal.
    permit: oneshot::Sender<Permit>,
}

/// Held by a request that is worked on. Dropped, it goes to who is first in the queue.
#[derive(Debug)]
pub(crate) struct Permit {
    queue: Option<Arc<Mutex<Queue>>>,
}

impl Admission {
    pub(crate) fn new(permits: usize) -> Self {
        Self {
            permits,
            queue: Arc::new(Mutex::new(Queue { free: permits, queue: VecDeque::new(), turns: 0, inspected: false })),
        }
    }

    /// Gives a permit at once if one is free, otherwise when it is this request's permit: who came first is first. `None` if
    /// it is refused: after `patience`, after half a second if the queue does not move, as one of those who came last when the
    /// first waits long, or at once if the queue is too long.
    pub(crate) async fn admit(&self, patience: Duration) -> Option<Permit> {
        let waiting = {
            let mut queue = lock(&self.queue);
            if queue.free > 0 {
                queue.free -= 1;
                return Some(Permit { queue: Some(Arc::clone(&self.queue)) });
            }
            if queue.queue.len() >= MAX_QUEUED {
                return None;
            }
            if !queue.inspected {
                queue.inspected = true;
                tokio::spawn(shed_loop(Arc::clone(&self.queue), self.permits));
            }
            let (permit, waiting) = oneshot::channel();
            queue.queue.push_back(Waiting { since: Instant::now(), permit });
            waiting
        };
        timeout(patience, waiting).await.ok()?.ok()
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While who is first waits long, refuses who came last, some at a time, and in a queue that does not move all who wait too
/// long; until nobody waits.
async fn shed_loop(queue: Arc<Mutex<Queue>>, permits: usize) {
    let mut pace = TurnoverMeter::default();
    loop {
        sleep(INSPECTION_INTERVAL).await;
        let mut queue = lock(&queue);
        let moves = pace.tick(mem::take(&mut queue.turns), permits);
        let is_over = |first: &Waiting| first.has_left() || (!moves && first.since.elapsed() >= MAX_STALLED_WAIT);
        while queue.queue.front().is_some_and(is_over) {
            queue.queue.pop_front();
        }
        let Some(first) = queue.queue.front() else {
            queue.inspected = false;
            return;
        };
        if first.since.elapsed() < SHED_AFTER {
            continue;
        }
        let mut refused = 0;
        while refused < SHED_PER_INSPECTION
            && let Some(last) = queue.queue.pop_back()
        {
            refused += usize::from(!last.has_left());
        }
    }
}

/// How fast permits go from one request to the next.
#[derive(Default)]
struct TurnoverMeter {
    turns: usize,
    looks: usize,
    /// How many looks it took the last time until all permits had gone to others.
    turnover: usize,
}

impl TurnoverMeter {
    /// Whether the queue moves, after so many `turns` since the last look.
    fn tick(&mut self, turns: usize, permits: usize) -> bool {
        self.turns += turns;
        self.looks += 1;
        if self.turns >= permits {
            *self = Self { turnover: self.looks, ..Self::default() };
        }
        self.turnover.max(self.looks) < TURNOVER_INSPECTIONS
    }
}

impl Waiting {
    fn has_left(&self) -> bool {
        self.permit.is_closed()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        while let Some(queue) = self.queue.take() {
            let first = {
                let mut queue = lock(&queue);
                let first = queue.queue.pop_front();
                match first {
                    Some(_) => queue.turns += 1,
                    None => queue.free += 1,
                }
                first
            };
            // Who has left does not take it; then it is the next one's.
            if let Some(Waiting { permit, .. }) = first
                && let Err(mut refused) = permit.send(Permit { queue: Some(queue) })
            {
                self.queue = refused.queue.take();
            }
        }
    }
}

impl Collector for Admission {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (free, waiting) = {
            let queue = lock(&self.queue);
            (queue.free, queue.queue.len())
        };
        encoder.gauge("http_server_active_requests", "Requests being worked on.", self.permits - free)?;
        let limit = "The most requests to work on at a time; more wait, and some are refused when that takes long.";
        encoder.gauge("http_server_active_requests_limit", limit, self.permits)?;
        encoder.gauge("http_server_waiting_requests", "Requests that wait to be worked on.", waiting)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{join_all, poll_immediate};
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Polls once: then the request is in the queue.
    macro_rules! wait {
        ($admission:expr) => {{
            let mut waiting = Box::pin($admission.admit(PATIENCE));
            assert!(poll_immediate(&mut waiting).await.is_none());
            waiting
        }};
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_that_becomes_free_is_for_who_waits_longest() {
        let admission = Admission::new(1);
        let begin = Instant::now();
        let permit = admission.admit(PATIENCE).await;
        assert!(permit.is_some());
        let (first, mut second) = (wait!(admission), wait!(admission));
        drop(permit);
        let permit = first.await;
        assert!(permit.is_some());
        assert!(poll_immediate(&mut second).await.is_none());
        drop(permit);
        assert!(second.await.is_some());
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gets_no_place_is_refused_after_a_while_or_their_patience() {
        let admission = Admission::new(0);
        let short = SHED_AFTER / 2;
        for (patience, least, most) in
            [(PATIENCE, SHED_AFTER, SHED_AFTER + 2 * INSPECTION_INTERVAL), (short, short, short)]
        {
            let begin = Instant::now();
            assert!(admission.admit(patience).await.is_none());
            // A timer counts whole milliseconds.
            let waited = begin.elapsed().as_millis();
            assert!((least.as_millis()..=most.as_millis()).contains(&waited), "{waited} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_refused_while_nobody_waits_long() {
        let admission = Admission::new(1);
        let mut permit = admission.admit(PATIENCE).await;
        let mut queue = VecDeque::new();
        for _ in 0..3 {
            for _ in 0..2 * SHED_PER_INSPECTION {
                queue.push_back(wait!(admission));
            }
            sleep(SHED_AFTER - INSPECTION_INTERVAL).await;
            while let Some(first) = queue.pop_front() {
                drop(permit);
                permit = first.await;
                assert!(permit.is_some());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_first_waits_long_the_last_are_refused_some_at_a_time() {
        let admission = Admission::new(1);
        let permit = admission.admit(PATIENCE).await;
        let mut first = Vec::new();
        for _ in 0..2 * SHED_PER_INSPECTION {
            first.push(wait!(admission));
        }
        let second = first.split_off(SHED_PER_INSPECTION);
        sleep(SHED_AFTER - INSPECTION_INTERVAL).await;
        let begin = Instant::now();
        // Soon, however long the others have waited.
        let last = join_all((0..SHED_PER_INSPECTION).map(|_| admission.admit(PATIENCE)));
        assert!(last.await.iter().all(Option::is_none));
        assert!(begin.elapsed() <= 2 * INSPECTION_INTERVAL);
        assert!(join_all(second).await.iter().all(Option::is_none));
        assert!(begin.elapsed() <= 3 * INSPECTION_INTERVAL);
        drop(permit);
        for waiting in first {
            assert!(waiting.await.is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_line_that_moves_the_first_get_a_place_however_long_they_have_waited() {
        let permits = 2;
        let admission = Admission::new(permits);
        let mut held: Vec<_> = join_all((0..permits).map(|_| admission.admit(PATIENCE))).await;
        let begin = Instant::now();
        let mut queue = VecDeque::new();
        for _ in 0..MAX_QUEUED {
            queue.push_back(wait!(admission));
        }
        // All permits in half of the looks that are allowed.
        let pause = INSPECTION_INTERVAL * (TURNOVER_INSPECTIONS / 2 / permits) as u32;
        while begin.elapsed() < 2 * MAX_STALLED_WAIT {
            sleep(pause).await;
            held.remove(0);
            held.push(queue.pop_front().expect("some wait").await);
            assert!(held.iter().all(Option::is_some), "{:?}", begin.elapsed());
        }
        let stands_still = Instant::now();
        assert!(join_all(queue).await.iter().all(Option::is_none));
        assert!(stands_still.elapsed() <= MAX_STALLED_WAIT + INSPECTION_INTERVAL, "{:?}", stands_still.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_line_that_hardly_moves_nobody_waits_too_long_even_after_a_turn() {
        let admission = Admission::new(1);
        let permit = admission.admit(PATIENCE).await;
        let mut lines = VecDeque::new();
        for _ in 0..2 {
            let mut queue = VecDeque::new();
            for _ in 0..MAX_QUEUED / 2 {
                queue.push_back(wait!(admission));
            }
            lines.push_back((Instant::now(), queue));
            sleep(MAX_STALLED_WAIT * 3 / 5).await;
        }
        drop(permit);
        let permit = lines[1].1.pop_front().expect("all wait").await;
        assert!(permit.is_some());
        for (begin, queue) in lines {
            assert!(join_all(queue).await.iter().all(Option::is_none));
            let waited = begin.elapsed();
            assert!(waited <= MAX_STALLED_WAIT * 6 / 5, "{waited:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_the_line_is_passed_over() {
        let admission = Admission::new(1);
        let permit = admission.admit(PATIENCE).await;
        let (left, next) = (wait!(admission), wait!(admission));
        drop(left);
        drop(permit);
        assert!(next.await.is_some());
        assert!(admission.admit(PATIENCE).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_left_is_neither_first_nor_among_those_that_are_refused() {
        let admission = Admission::new(0);
        let leave = || async {
            for _ in 0..4 * SHED_PER_INSPECTION {
                drop(wait!(admission));
            }
        };
        leave().await;
        sleep(SHED_AFTER / 2).await;
        let begin = Instant::now();
        let waiting = wait!(admission);
        leave().await;
        assert!(waiting.await.is_none());
        let waited = begin.elapsed();
        assert!(waited >= SHED_AFTER && waited < SHED_AFTER + 2 * INSPECTION_INTERVAL, "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_when_it_is_their_turn_gives_up_the_place() {
        let admission = Admission::new(1);
        let permit = admission.admit(PATIENCE).await;
        let first = wait!(admission);
        drop(permit);
        drop(first);
        assert!(admission.admit(Duration::ZERO).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_line_is_bounded_and_free_again_afterwards() {
        let admission = Admission::new(1);
        let permit = admission.admit(PATIENCE).await;
        assert!(permit.is_some());
        for _ in 0..2 {
            let mut waiting = Vec::new();
            for _ in 0..MAX_QUEUED {
                waiting.push(wait!(admission));
            }
            let begin = Instant::now();
            assert!(admission.admit(PATIENCE).await.is_none());
            assert_eq!(begin.elapsed(), Duration::ZERO);
            // In all this time but a tenth of them are refused as the last.
            assert!(join_all(waiting).await.iter().all(Option::is_none));
            assert!(begin.elapsed() <= MAX_STALLED_WAIT + INSPECTION_INTERVAL);
            // That they have left is seen the next time.
            sleep(2 * INSPECTION_INTERVAL).await;
        }
    }
}
