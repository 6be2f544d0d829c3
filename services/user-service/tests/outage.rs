//! Tests user-service while its database is down.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use service_testing::{CapturedLog, Cluster, config_of};
use user_service::SERVICE;

async fn status(url: &str) -> (u16, bool, serde_json::Value) {
    let response = reqwest::get(url).await.unwrap();
    let retry_after = response.headers().contains_key("retry-after");
    (response.status().as_u16(), retry_after, response.json().await.unwrap())
}

#[tokio::test]
async fn without_a_database_requests_get_503_until_it_returns() {
    let cluster = Cluster::start().unwrap();
    let database_url = cluster.create_database().await.unwrap();
    let config = config_of(&SERVICE, &database_url, &[]);
    let server = SERVICE.start(&config, &CapturedLog::default().logger(&[])).await.unwrap();
    let (users, ready, health) = (
        format!("{}/api/v1/users", server.url()),
        format!("{}/ready", server.url()),
        format!("{}/health", server.url()),
    );
    assert_eq!(status(&users).await.0, 200);

    for _ in 0..2 {
        cluster.kill().unwrap();
        for url in [&users, &users, &ready] {
            let (status, retry_after, body) = status(url).await;
            assert_eq!(
                (status, retry_after, &body["error_code"]),
                (503, true, &"database_unavailable".into()),
                "{body}"
            );
            assert_eq!(body["message"], "Database unavailable");
        }
        assert_eq!(status(&health).await.0, 200, "the process is live");
        let metrics = reqwest::get(format!("{}/metrics", server.url())).await.unwrap().text().await.unwrap();
        let failures = metrics.lines().filter(|line| line.starts_with("db_client_operation_duration_seconds_count"));
        let failures = failures.filter(|line| !line.contains("success") && !line.ends_with(" 0"));
        assert!(failures.count() > 0, "no failed database operation in {metrics}");

        cluster.restart().unwrap();
        for url in [&users, &ready] {
            assert_eq!(status(url).await.0, 200, "{url}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_service_may_start_before_its_database() {
    let cluster = Cluster::start().unwrap();
    let database_url = cluster.create_database().await.unwrap();
    cluster.kill().unwrap();
    let config = config_of(&SERVICE, &database_url, &[]);
    let log = CapturedLog::default();
    let logger = log.logger(&[]);
    let starting = tokio::join!(SERVICE.start(&config, &logger), async {
        while !log.text().contains("waiting for the database") {
            tokio::task::yield_now().await;
        }
        cluster.restart().unwrap();
    });
    let server = starting.0.unwrap();
    assert_eq!(status(&format!("{}/ready", server.url())).await.0, 200);
    server.stop().await;
}
