//! Tests of coalescing.

use std::sync::{Arc, Mutex};

use futures::future::{join_all, poll_immediate};
use tokio::sync::Semaphore;

use super::*;

const MAX_BATCH: usize = 256;

/// The items of each started batch.
type Batches = Arc<Mutex<Vec<Vec<i32>>>>;

/// A coalescer that multiplies by ten. Each batch waits at the gate, and panics if it contains a zero.
fn tenfold() -> (Coalescer<i32, i32>, Batches, Arc<Semaphore>) {
    let (batches, gate) = (Batches::default(), Arc::new(Semaphore::new(0)));
    let (started, closed) = (batches.clone(), gate.clone());
    let coalescer = Coalescer::new(MAX_BATCH, move |items: Vec<i32>| {
        started.lock().unwrap_or_else(|error| error.into_inner()).push(items.clone());
        let closed = closed.clone();
        async move {
            closed.acquire().await.expect("never closed").forget();
            assert!(!items.contains(&0));
            items.into_iter().map(|item| item * 10).collect()
        }
    });
    (coalescer, batches, gate)
}

fn items_of(batches: &Batches) -> Vec<Vec<i32>> {
    batches.lock().expect("no panic inside").clone()
}

async fn wait_for_batches(batches: &Batches, number: usize) {
    while items_of(batches).len() < number {
        tokio::task::yield_now().await;
    }
}

/// Queues an item, by polling its call once.
macro_rules! enqueue {
    ($coalescer:expr, $item:expr) => {{
        let mut call = Box::pin($coalescer.run($item));
        assert_eq!(poll_immediate(&mut call).await, None);
        call
    }};
}

#[tokio::test]
async fn an_item_does_not_wait_when_no_batch_is_in_flight() {
    let (coalescer, batches, gate) = tenfold();
    gate.add_permits(2);
    assert_eq!(coalescer.run(1).await, Ok(10));
    assert_eq!(coalescer.run(2).await, Ok(20));
    assert_eq!(items_of(&batches), [[1], [2]]);
}

#[tokio::test]
async fn the_next_batch_collects_while_one_is_in_flight() {
    let (coalescer, batches, gate) = tenfold();
    let first = enqueue!(coalescer, 1);
    wait_for_batches(&batches, 1).await;
    let others: Vec<_> = (2..=5).map(|item| coalescer.run(item)).collect();
    gate.add_permits(2);
    assert_eq!(join_all(others).await, [Ok(20), Ok(30), Ok(40), Ok(50)]);
    assert_eq!(first.await, Ok(10));
    assert_eq!(items_of(&batches), [vec![1], vec![2, 3, 4, 5]]);
}

#[tokio::test]
async fn batches_are_bounded_and_first_in_first_out() {
    let (coalescer, batches, gate) = tenfold();
    gate.add_permits(3);
    let items: Vec<i32> = (1..=600).collect();
    let outcomes = join_all(items.iter().map(|item| coalescer.run(*item))).await;
    assert_eq!(outcomes, items.iter().map(|item| Ok(item * 10)).collect::<Vec<_>>());
    let batches = items_of(&batches);
    assert_eq!(batches.concat(), items);
    assert!(batches.iter().all(|batch| batch.len() <= MAX_BATCH));
}

#[tokio::test]
async fn an_item_is_left_out_if_its_caller_leaves_before_the_batch() {
    let (coalescer, batches, gate) = tenfold();
    drop(enqueue!(coalescer, 1));
    let (second, third) = (enqueue!(coalescer, 2), enqueue!(coalescer, 3));
    wait_for_batches(&batches, 1).await;
    drop(second);
    gate.add_permits(1);
    assert_eq!(third.await, Ok(30));
    assert_eq!(items_of(&batches), [[2, 3]]);
    // A batch without items is not run.
    drop(enqueue!(coalescer, 4));
    gate.add_permits(1);
    assert_eq!(coalescer.run(5).await, Ok(50));
    assert_eq!(items_of(&batches), [vec![2, 3], vec![5]]);
}

#[tokio::test]
async fn a_panic_fails_its_batch_and_the_next_one_runs() {
    let (coalescer, batches, gate) = tenfold();
    let (one, zero) = (enqueue!(coalescer, 1), enqueue!(coalescer, 0));
    wait_for_batches(&batches, 1).await;
    let two = enqueue!(coalescer, 2);
    gate.add_permits(2);
    assert_eq!((one.await, zero.await), (Err(CoalesceError::BrokeOff), Err(CoalesceError::BrokeOff)));
    assert_eq!(two.await, Ok(20));
}

#[tokio::test]
async fn a_missing_outcome_is_an_error() {
    let coalescer = Coalescer::new(MAX_BATCH, |items: Vec<i32>| async move { items[1..].to_vec() });
    assert_eq!(coalescer.run(1).await, Err(CoalesceError::BrokeOff));
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let (coalescer, batches, gate) = tenfold();
    let first = enqueue!(coalescer, 1);
    wait_for_batches(&batches, 1).await;
    let mut waiting = Vec::new();
    for _ in 0..MAX_PENDING {
        waiting.push(enqueue!(coalescer, 2));
    }
    assert_eq!(coalescer.run(3).await, Err(CoalesceError::Full));
    gate.add_permits(1 + MAX_PENDING.div_ceil(MAX_BATCH));
    assert_eq!(first.await, Ok(10));
    assert!(join_all(waiting).await.into_iter().all(|outcome| outcome == Ok(20)));
}
