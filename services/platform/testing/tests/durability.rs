//! Clusters for tests and for measuring.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use service_runtime::database::DatabaseUrl;
use service_testing::{Cluster, Durability};
use sqlx::ConnectOptions;

#[tokio::test]
async fn a_cluster_waits_for_the_disk_only_when_it_is_to_keep_what_it_acknowledges() {
    for (durability, expected) in [(Durability::Full, "on"), (Durability::None, "off")] {
        let cluster = Cluster::start_with(durability).unwrap();
        let DatabaseUrl::Postgres(options) = cluster.create_database().await.unwrap() else { panic!("no PostgreSQL") };
        let mut connection = options.connect().await.unwrap();
        for (setting, expected) in [("SHOW fsync", expected), ("SHOW synchronous_commit", "on")] {
            let value: String = sqlx::query_scalar(setting).fetch_one(&mut connection).await.unwrap();
            assert_eq!(value, expected, "{setting} with {durability:?}");
        }
    }
}
