//! What the test itself publishes: poison, and every event a second time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::http::{Client, get};
use service_runtime::events::{Embedded, EventsUrl, Outgoing, Published, RabbitMq, Transport};
use slog::{Discard, Logger, o};
use tokio::time::sleep;

use crate::journal::Written;
use crate::run::RECOVERY;

/// The queue of product-service.
pub(crate) const QUEUE: &str = "product-service.events";
/// How many events are published at a time.
const BATCH: usize = 256;
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How often to look what is recognised.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The virtual host of a broker at `url`.
pub(crate) fn rabbit_mq(url: EventsUrl) -> Transport {
    Transport::RabbitMq(RabbitMq::new(url, "chaos", &Logger::root(Discard, o!())))
}

/// The queues in `file`, while the program that they belong to does not run.
pub(crate) async fn embedded(file: &Path) -> Result<Transport> {
    Ok(Transport::Embedded(Embedded::open(file, &Logger::root(Discard, o!())).await?))
}

/// Publishes what product-service can never handle. Returns the ids.
pub(crate) async fn poison(transport: &Transport, random: &mut fastrand::Rng) -> Result<BTreeSet<String>> {
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
pub(crate) async fn repeat(transport: &Transport, events: Vec<Written>) -> Result<()> {
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
pub(crate) async fn dead_letters(transport: &Transport) -> Result<BTreeSet<String>> {
    let letters = transport.dead_letters(QUEUE, 1000).await?;
    Ok(letters.into_iter().map(|letter| letter.event_id).collect())
}

/// How many events the instances at `addresses` have recognised as handled already.
pub(crate) async fn duplicates(addresses: &[SocketAddr]) -> Result<u64> {
    let mut sum = 0;
    for address in addresses {
        let reply = Client::new(*address, TIME_LIMIT).send(&get("/metrics")).await?;
        let metrics = String::from_utf8_lossy(&reply.body).into_owned();
        let line = metrics.lines().find_map(|line| line.strip_prefix("events_duplicate_total "));
        sum += line.context("no metric events_duplicate_total")?.trim().parse::<u64>()?;
    }
    Ok(sum)
}

/// Waits until the instances at `addresses` have recognised `number` events. Returns how many they have.
pub(crate) async fn recognised(addresses: &[SocketAddr], number: u64) -> Result<u64> {
    let time_limit = RECOVERY + Duration::from_millis(5) * u32::try_from(number)?;
    let begin = Instant::now();
    while duplicates(addresses).await? < number && begin.elapsed() < time_limit {
        sleep(LOOK_INTERVAL).await;
    }
    duplicates(addresses).await
}

/// Publishes `events`, those that are not stored again.
pub(crate) async fn publish(transport: &Transport, mut events: Vec<Outgoing>) -> Result<()> {
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
