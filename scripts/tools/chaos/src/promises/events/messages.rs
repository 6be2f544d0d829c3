//! What the test itself publishes: poison, and every event a second time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use service_runtime::events::{Outgoing, Published, Transport};
use tokio::time::sleep;

use super::journal::Written;

/// The queue of product-service.
pub(super) const QUEUE: &str = "product-service.events";
/// How many events are published at a time.
const BATCH: usize = 256;
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Publishes what product-service can never handle. Returns the ids.
pub(super) async fn poison(transport: &Transport, random: &mut fastrand::Rng) -> Result<BTreeSet<String>> {
    let event = |random: &mut fastrand::Rng, envelope: &dyn Fn(&str) -> String| {
        let event_id = format!("00000000-0000-7000-9000-{:012x}", random.u64(..1 << 48));
        let envelope = envelope(&event_id);
        Outgoing { event_id, event_type: "order.created".to_owned(), mandatory: true, envelope }
    };
    let events = vec![
        event(random, &|_| "{ no JSON".to_owned()),
        event(random, &|id| format!(r#"{{"id":"{id}"}}"#)),
        event(random, &|id| {
            format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"/order-service","type":"order.created","subject":"1",
                    "time":"2026-01-01T00:00:00Z","datacontenttype":"application/json","data":{{"order_id":"one"}}}}"#
            )
        }),
    ];
    let ids = events.iter().map(|event| event.event_id.clone()).collect();
    publish(transport, events).await?;
    Ok(ids)
}

/// Publishes `events` again.
pub(super) async fn repeat(transport: &Transport, events: Vec<Written>) -> Result<()> {
    for batch in events.chunks(BATCH) {
        let batch = batch.iter().cloned().map(|Written { id, kind, envelope }| Outgoing {
            event_id: id,
            event_type: kind,
            mandatory: true,
            envelope,
        });
        publish(transport, batch.collect()).await?;
    }
    Ok(())
}

/// The ids of the dead letters.
pub(super) async fn dead_letters(transport: &Transport) -> Result<BTreeSet<String>> {
    let letters = transport.dead_letters(QUEUE, 1000).await?;
    Ok(letters.into_iter().map(|letter| letter.event_id).collect())
}

/// Publishes `events`, those that are not stored again.
async fn publish(transport: &Transport, mut events: Vec<Outgoing>) -> Result<()> {
    let begin = Instant::now();
    while !events.is_empty() {
        ensure!(begin.elapsed() < TIME_LIMIT, "{} events of the test are not stored", events.len());
        match transport.publish(events.clone()).await {
            Ok(published) => {
                let mut published = published.into_iter();
                events.retain(|_| published.next() != Some(Published::Stored));
            }
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
    Ok(())
}
