//! Promise 15: every committed event has its effect exactly once, whatever is killed.

mod books;
mod faults;
mod latency;
mod outcome;
mod separate;
mod shop;
mod stage;
mod together;

use std::time::Duration;

use anyhow::Result;
use service_testing::{Broker, KINDS};
use tokio::task::block_in_place;

use self::outcome::Outcome;
use crate::run::Run;
use crate::verdict::Verdict;

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let (rounds, longest) = run.choose((1, Duration::from_secs(3)), (12, Duration::from_secs(12)));
    let hands = faults::deal(rounds, longest, KINDS.len(), &mut run.random(1500));
    let mut broker = block_in_place(Broker::start)?;
    for (kind, steps) in KINDS.into_iter().zip(&hands) {
        let platform = format!("{kind:?}");
        judge(run, &mut verdict, &platform, separate::play(run, kind, &mut broker, steps).await);
        if !verdict.failures.is_empty() {
            // The broker may still be broken.
            break;
        }
    }
    judge(run, &mut verdict, "all-in-one", together::play(run, run.choose(6, 100)).await);
    Ok(verdict.with_method(format!(
        "orders of several items are placed, confirmed and cancelled through two replicas each of order-service and \
         product-service, of which the second has a clock that is ten minutes fast, with RabbitMQ on each kind of \
         database, and through the all-in-one program, where they are also paid; instances are killed by `kill -9`; the broker is killed, frozen, in a black hole, low on disk or memory, and loses its queue, {rounds} × \
         each; then it is away while {} orders are placed; every event is published twice; then the books are compared",
        run.backlog
    )))
}

/// Adds what became of a run on `platform`. It does not complete if events are not handled in time.
fn judge(run: &Run, verdict: &mut Verdict, platform: &str, outcome: Result<Outcome>) {
    match outcome {
        Ok(outcome) => {
            verdict.measured(run, format!("{platform}: {outcome}"));
            verdict.failures.extend(outcome.failures().into_iter().map(|failure| format!("{platform}: {failure}")));
        }
        Err(error) => verdict.failures.push(format!("{platform}: {error:#}")),
    }
}
