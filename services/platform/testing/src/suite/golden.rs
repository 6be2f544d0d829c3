//! Checks that every golden example gets its literal response.

use std::future::Future;

use anyhow::Result;
use contract::examples::{Example, State};
use futures::StreamExt;
use service_runtime::Service;

use crate::golden::bring_database_into;
use crate::world::{World, examples_of};
use crate::{Kind, TestDatabase};

/// How many examples are replayed at a time: more could exceed the time limits of the services on a slow machine.
const CONCURRENCY: usize = 4;

/// Replays every example of every service on each kind of database.
pub async fn golden(world: World) {
    let mut replays = Vec::new();
    for service in world.services() {
        for example in examples_of(service).unwrap_or_else(|error| panic!("{error:#}")) {
            for kind in Kind::tested() {
                replays.push(report(service, example.clone(), kind, replay(world, service, example.clone(), kind)));
            }
        }
    }
    let failures = futures::stream::iter(replays).buffer_unordered(CONCURRENCY);
    let failures: String = failures.filter_map(std::future::ready).collect().await;
    assert!(failures.is_empty(), "{failures}");
}

async fn report(
    service: &Service,
    example: Example,
    kind: Kind,
    replay: impl Future<Output = Result<()>>,
) -> Option<String> {
    let code = example.error.as_ref().map_or("success", |error| error.code.as_str());
    let error = replay.await.err()?;
    Some(format!("{}: {} {code} on {kind:?}: {error:#}\n", service.name, example.operation))
}

async fn replay(world: World, service: &Service, example: Example, kind: Kind) -> Result<()> {
    let database = TestDatabase::new(kind).await;
    let running = world.start(service, &database, &example.state).await?;
    running.prepare(&example).await?;
    let _hold = bring_database_into(&example.state, &database.url).await?;
    if example.state == State::Stopping {
        running.server.announce_stop();
    }
    running.replay.compare(&example).await
}
