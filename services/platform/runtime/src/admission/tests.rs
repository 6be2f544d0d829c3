//! Tests of admission control, on a paused clock.

use futures::future::{join_all, poll_immediate};
use tokio::time::Instant;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

/// Queues a request, by polling it once.
macro_rules! enqueue {
    ($admission:expr) => {{
        let mut waiting = Box::pin($admission.admit(PATIENCE));
        assert!(poll_immediate(&mut waiting).await.is_none());
        waiting
    }};
}

#[tokio::test(start_paused = true)]
async fn a_free_permit_goes_to_the_oldest_waiter() {
    let admission = Admission::new(1);
    let start = Instant::now();
    let permit = admission.admit(PATIENCE).await;
    assert!(permit.is_some());
    let (first, mut second) = (enqueue!(admission), enqueue!(admission));
    drop(permit);
    let permit = first.await;
    assert!(permit.is_some());
    assert!(poll_immediate(&mut second).await.is_none());
    drop(permit);
    assert!(second.await.is_some());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_permit_is_rejected_in_time() {
    let admission = Admission::new(0);
    let short = SHED_AFTER / 2;
    for (patience, min, max) in [(PATIENCE, SHED_AFTER, SHED_AFTER + 2 * INSPECTION_INTERVAL), (short, short, short)] {
        let start = Instant::now();
        assert!(admission.admit(patience).await.is_none());
        // Timers have a resolution of one millisecond.
        let waited = start.elapsed().as_millis();
        assert!((min.as_millis()..=max.as_millis()).contains(&waited), "{waited} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_is_shed_while_the_queue_delay_is_short() {
    let admission = Admission::new(1);
    let mut permit = admission.admit(PATIENCE).await;
    let mut queue = VecDeque::new();
    for _ in 0..3 {
        for _ in 0..2 * SHED_PER_INSPECTION {
            queue.push_back(enqueue!(admission));
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
async fn a_long_queue_delay_sheds_a_few_of_the_newest_each_time() {
    let admission = Admission::new(1);
    let permit = admission.admit(PATIENCE).await;
    let mut first = Vec::new();
    for _ in 0..2 * SHED_PER_INSPECTION {
        first.push(enqueue!(admission));
    }
    let second = first.split_off(SHED_PER_INSPECTION);
    sleep(SHED_AFTER - INSPECTION_INTERVAL).await;
    let start = Instant::now();
    // The newest are shed soon, however long the others have waited.
    let last = join_all((0..SHED_PER_INSPECTION).map(|_| admission.admit(PATIENCE)));
    assert!(last.await.iter().all(Option::is_none));
    assert!(start.elapsed() <= 2 * INSPECTION_INTERVAL);
    assert!(join_all(second).await.iter().all(Option::is_none));
    assert!(start.elapsed() <= 3 * INSPECTION_INTERVAL);
    drop(permit);
    for waiting in first {
        assert!(waiting.await.is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_moving_queue_serves_its_oldest_after_any_wait() {
    let permits = 2;
    let admission = Admission::new(permits);
    let mut held: Vec<_> = join_all((0..permits).map(|_| admission.admit(PATIENCE))).await;
    let start = Instant::now();
    let mut queue = VecDeque::new();
    for _ in 0..MAX_QUEUED {
        queue.push_back(enqueue!(admission));
    }
    // All permits turn over in half of the allowed inspections.
    let pause = INSPECTION_INTERVAL * (TURNOVER_INSPECTIONS / 2 / permits) as u32;
    while start.elapsed() < 2 * MAX_STALLED_WAIT {
        sleep(pause).await;
        held.remove(0);
        held.push(queue.pop_front().expect("the queue is not empty").await);
        assert!(held.iter().all(Option::is_some), "{:?}", start.elapsed());
    }
    let stalled = Instant::now();
    assert!(join_all(queue).await.iter().all(Option::is_none));
    assert!(stalled.elapsed() <= MAX_STALLED_WAIT + INSPECTION_INTERVAL, "{:?}", stalled.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stalled_queue_is_shed_even_after_a_turnover() {
    let admission = Admission::new(1);
    let permit = admission.admit(PATIENCE).await;
    let mut queues = VecDeque::new();
    for _ in 0..2 {
        let mut queue = VecDeque::new();
        for _ in 0..MAX_QUEUED / 2 {
            queue.push_back(enqueue!(admission));
        }
        queues.push_back((Instant::now(), queue));
        sleep(MAX_STALLED_WAIT * 3 / 5).await;
    }
    drop(permit);
    let permit = queues[1].1.pop_front().expect("the queue is not empty").await;
    assert!(permit.is_some());
    for (start, queue) in queues {
        assert!(join_all(queue).await.iter().all(Option::is_none));
        let waited = start.elapsed();
        assert!(waited <= MAX_STALLED_WAIT * 6 / 5, "{waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_is_gone_is_skipped() {
    let admission = Admission::new(1);
    let permit = admission.admit(PATIENCE).await;
    let (left, next) = (enqueue!(admission), enqueue!(admission));
    drop(left);
    drop(permit);
    assert!(next.await.is_some());
    assert!(admission.admit(PATIENCE).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn waiters_that_are_gone_count_neither_as_oldest_nor_as_shed() {
    let admission = Admission::new(0);
    let enqueue_and_leave = || async {
        for _ in 0..4 * SHED_PER_INSPECTION {
            drop(enqueue!(admission));
        }
    };
    enqueue_and_leave().await;
    sleep(SHED_AFTER / 2).await;
    let start = Instant::now();
    let waiting = enqueue!(admission);
    enqueue_and_leave().await;
    assert!(waiting.await.is_none());
    let waited = start.elapsed();
    assert!(waited >= SHED_AFTER && waited < SHED_AFTER + 2 * INSPECTION_INTERVAL, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_gone_at_its_turn_returns_the_permit() {
    let admission = Admission::new(1);
    let permit = admission.admit(PATIENCE).await;
    let first = enqueue!(admission);
    drop(permit);
    drop(first);
    assert!(admission.admit(Duration::ZERO).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_can_be_filled_again() {
    let admission = Admission::new(1);
    let permit = admission.admit(PATIENCE).await;
    assert!(permit.is_some());
    for _ in 0..2 {
        let mut waiting = Vec::new();
        for _ in 0..MAX_QUEUED {
            waiting.push(enqueue!(admission));
        }
        let start = Instant::now();
        assert!(admission.admit(PATIENCE).await.is_none());
        assert_eq!(start.elapsed(), Duration::ZERO);
        // Tail drop sheds only a tenth of them in this time.
        assert!(join_all(waiting).await.iter().all(Option::is_none));
        assert!(start.elapsed() <= MAX_STALLED_WAIT + INSPECTION_INTERVAL);
        // The next inspection removes the waiters that are gone.
        sleep(2 * INSPECTION_INTERVAL).await;
    }
}
