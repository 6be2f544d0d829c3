//! Every golden example, replayed against the real service on both databases.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use contract::examples::{Example, State};
use std::net::TcpListener;

use httpmock::MockServer;
use order_service::{Config, DOCUMENT};
use service_testing::golden::{Replay, bring_database_into};
use service_testing::{CapturedLog, Kind, TestDatabase};
use tokio::net::TcpSocket;
use user_client::mock::MockServerExt;
use user_client::samples;
use user_client::scenarios::Scenarios;

/// user-service as the example has it: it knows user 1, unless it is down, silent or talks nonsense.
struct Users {
    url: String,
    _mock: MockServer,
    _silent: TcpListener,
    _nobody: TcpSocket,
}

async fn users(state: State) -> Users {
    let mock = MockServer::start_async().await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    // Bound, so that nobody else gets the address, but not listening.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let known = samples::user_view();
    if state == State::UserServiceTalksNonsense {
        mock.nonsense();
    } else {
        mock.user_view(|when, then| {
            when.user_id(&known.id);
            then.ok(&known);
        });
        mock.unknown_user();
    }
    let url = match state {
        State::UserServiceDown => format!("http://{}", nobody.local_addr().unwrap()),
        State::UserServiceSilent => format!("http://{}", silent.local_addr().unwrap()),
        _ => mock.base_url(),
    };
    Users { url, _mock: mock, _silent: silent, _nobody: nobody }
}

async fn replay(example: Example, kind: Kind) -> anyhow::Result<()> {
    let database = TestDatabase::new(kind).await;
    let users = users(example.state).await;
    let mut config = Config::new("127.0.0.1:0".parse()?, database.url.clone(), users.url.clone());
    // A loaded machine is no case of this test.
    config.user_service_attempt_timeout_ms = 60_000;
    config.user_service_timeout_ms = 60_000;
    if example.state == State::UserServiceSilent {
        config.user_service_timeout_ms = 50;
    }
    match example.state {
        State::Overloaded => config.limits.max_requests_in_flight = 0,
        State::OutOfTime => config.limits.request_timeout_ms = 0,
        _ => {}
    }
    let server = order_service::start(&config, &CapturedLog::default().logger(&[DOCUMENT])).await?;
    let replay = Replay::new(DOCUMENT, server.url())?;
    replay.prepare(&example).await?;
    let _hold = bring_database_into(example.state, &database.url, "orders").await?;
    if example.state == State::Stopping {
        server.announce_stop();
    }
    replay.compare(&example).await
}

#[tokio::test]
async fn every_example_is_answered_literally_on_both_databases() {
    service_testing::golden::replay_all(order_service_api::examples().unwrap(), replay).await;
}
