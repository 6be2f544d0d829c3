//! Every golden example, replayed against the real service on both databases.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use contract::examples::{Example, State};
use service_testing::golden::{Replay, bring_database_into};
use service_testing::{CapturedLog, Kind, TestDatabase};
use user_service::{Config, DOCUMENT};

async fn replay(example: Example, kind: Kind) -> anyhow::Result<()> {
    let database = TestDatabase::new(kind).await;
    let mut config = Config::new("127.0.0.1:0".parse()?, database.url.clone());
    match example.state {
        State::Overloaded => config.limits.max_requests_in_flight = 0,
        State::OutOfTime => config.limits.request_timeout_ms = 0,
        _ => {}
    }
    let server = user_service::start(&config, &CapturedLog::default().logger(&[DOCUMENT])).await?;
    let replay = Replay::new(DOCUMENT, server.url())?;
    replay.prepare(&example).await?;
    let _hold = bring_database_into(example.state, &database.url, "users").await?;
    if example.state == State::Stopping {
        server.announce_stop();
    }
    replay.compare(&example).await
}

#[tokio::test]
async fn every_example_is_answered_literally_on_both_databases() {
    service_testing::golden::replay_all(user_service_api::examples().unwrap(), replay).await;
}
