//! The points at which a handler is killed, and how that is done from outside.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::sleep;

use super::bench::Bench;
use super::scenes::Act;

/// How long handlers may take until they wait for the lock, once they have their deliveries; less than the time limit of
/// their wait.
const BUSY: Duration = Duration::from_millis(150);

/// What happens to the events of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The service is killed while its transactions wait for a lock.
    BeforeCommit,
    /// It is killed once they are committed, and none of its acknowledgements has reached the broker.
    BeforeAck,
    /// It is killed once the broker has what they published, and no confirmation has reached the service: the events are
    /// still in its outbox.
    AfterPublish,
    /// It goes on, but loses its connections, and with them its acknowledgements.
    AckLost,
}

pub(super) const ALL: [Fault; 4] = [Fault::BeforeCommit, Fault::BeforeAck, Fault::AfterPublish, Fault::AckLost];

impl Fault {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::BeforeCommit => "killed before the commit",
            Self::BeforeAck => "killed between commit and acknowledgement",
            Self::AfterPublish => "killed between publishing and the outbox",
            Self::AckLost => "acknowledgements lost",
        }
    }
}

/// Publishes the events of `act`, lets `fault` happen so many `times`, and waits until all are handled.
pub(super) async fn suffer(bench: &mut Bench<'_>, fault: Fault, times: usize, act: Act) -> Result<()> {
    let ids: BTreeSet<String> = act.events.iter().map(|event| event.event_id.clone()).collect();
    match fault {
        Fault::BeforeCommit => before_commit(bench, times, act, &ids).await?,
        Fault::BeforeAck => before_ack(bench, times, act, &ids).await?,
        Fault::AfterPublish => after_publish(bench, times, act, &ids).await?,
        Fault::AckLost => ack_lost(bench, times, act, &ids).await?,
    }
    bench
        .until("all is handled", async |bench| {
            Ok(bench.handled(&ids).await? == ids.len() && bench.journal.waiting().await? == 0)
        })
        .await
}

async fn before_commit(bench: &mut Bench<'_>, times: usize, act: Act, ids: &BTreeSet<String>) -> Result<()> {
    let mut events = act.events;
    for _ in 0..times {
        let lock = bench.lock().await?;
        let goal = bench.proxy.delivered() + ids.len();
        bench.proxy.hold_deliveries(false);
        bench.publish(std::mem::take(&mut events)).await?;
        bench.until("all is delivered", async |bench| Ok(bench.proxy.delivered() >= goal)).await?;
        sleep(BUSY).await;
        bench.proxy.hold_deliveries(true);
        bench.kill()?;
        let handled = bench.handled(ids).await?;
        lock.release().await?;
        ensure!(handled == 0, "{handled} events were committed in spite of the lock");
        bench.restart().await?;
    }
    bench.proxy.hold_deliveries(false);
    Ok(())
}

async fn before_ack(bench: &mut Bench<'_>, times: usize, act: Act, ids: &BTreeSet<String>) -> Result<()> {
    let mut events = act.events;
    bench.proxy.lose_acks(true);
    for time in 1..=times {
        let goal = bench.proxy.lost_acks() + ids.len();
        bench.proxy.hold_deliveries(false);
        bench.publish(std::mem::take(&mut events)).await?;
        bench
            .until("all is committed", async |bench| {
                Ok(bench.proxy.lost_acks() >= goal && bench.handled(ids).await? == ids.len())
            })
            .await?;
        // Otherwise the next process could acknowledge before that is counted.
        bench.proxy.hold_deliveries(true);
        bench.kill()?;
        bench.proxy.lose_acks(time < times);
        bench.restart().await?;
    }
    bench.proxy.hold_deliveries(false);
    Ok(())
}

async fn after_publish(bench: &mut Bench<'_>, times: usize, act: Act, ids: &BTreeSet<String>) -> Result<()> {
    let fresh = act.fresh;
    bench.proxy.lose_confirms(true);
    bench.publish(act.events).await?;
    bench
        .until("everything is in the outbox", async |bench| {
            Ok(bench.handled(ids).await? == ids.len() && bench.journal.waiting().await? >= fresh)
        })
        .await?;
    // What it publishes at its start, it publishes together.
    bench.kill()?;
    for time in 1..=times {
        let (published, confirms) = (bench.proxy.published() + fresh, bench.proxy.lost_confirms());
        bench.restart().await?;
        bench
            .until("everything is published", async |bench| {
                Ok(bench.proxy.published() >= published && bench.proxy.lost_confirms() > confirms)
            })
            .await?;
        let waiting = bench.journal.waiting().await?;
        bench.kill()?;
        ensure!(waiting >= fresh, "{waiting} of {fresh} events are in the outbox, without a confirmation");
        bench.proxy.lose_confirms(time < times);
    }
    bench.restart().await
}

async fn ack_lost(bench: &mut Bench<'_>, times: usize, act: Act, ids: &BTreeSet<String>) -> Result<()> {
    let mut events = act.events;
    bench.proxy.lose_acks(true);
    for time in 1..=times {
        let goal = bench.proxy.lost_acks() + ids.len();
        bench.proxy.hold_deliveries(false);
        bench.publish(std::mem::take(&mut events)).await?;
        bench.until("all is acknowledged", async |bench| Ok(bench.proxy.lost_acks() >= goal)).await?;
        bench.proxy.hold_deliveries(true);
        bench.proxy.lose_acks(time < times);
        bench.proxy.reset();
    }
    let goal = bench.proxy.delivered() + ids.len();
    bench.proxy.hold_deliveries(false);
    bench.until("all is delivered again", async |bench| Ok(bench.proxy.delivered() >= goal)).await
}
