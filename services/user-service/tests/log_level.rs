//! Tests what user-service logs of requests at `LOG_LEVEL=warning`.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use contract::examples::State;
use serde_json::Value;
use service_testing::golden::bring_database_into;
use service_testing::{CapturedLog, Kind, TestDatabase, config_of};
use user_service::SERVICE;

#[tokio::test]
async fn only_failures_are_logged_at_warning_and_with_cause() {
    let (database, captured) = (TestDatabase::new(Kind::Sqlite).await, CapturedLog::default());
    let level = "warning".parse().unwrap();
    let log = service_runtime::log::to_writer("user-service", level, &[SERVICE.document], captured.clone());
    let server = SERVICE.start(&config_of(&SERVICE, &database.url, &[]), &log).await.unwrap();
    let status = async |path| reqwest::get(format!("{}{path}", server.url())).await.unwrap().status().as_u16();
    assert_eq!((status("/api/v1/users").await, status("/api/v1/users/1").await), (200, 404));
    // What concerns no request, such as that no events are exchanged, is not what this is about.
    let requests = || -> Vec<Value> {
        let lines = captured.text();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| !line["status"].is_null()).collect()
    };
    assert_eq!(requests(), Vec::<Value>::new());

    let _hold = bring_database_into(&State::DatabaseBroken, &database.url).await.unwrap();
    assert_eq!(status("/api/v1/users").await, 500);
    server.announce_stop();
    assert_eq!(status("/ready").await, 503);
    let lines = requests();
    let seen: Vec<_> = lines.iter().map(|line| (line["level"].as_str().unwrap(), line["status"].as_u64())).collect();
    assert_eq!(seen, [("ERROR", Some(500)), ("WARNING", Some(503))]);
    for (line, code) in lines.iter().zip(["internal_error: ", "shutting_down: "]) {
        assert!(
            line["error"].as_str().is_some_and(|error| error.starts_with(code) && error.len() > code.len()),
            "{line}"
        );
    }
}
