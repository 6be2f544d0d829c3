//! Tests the durability of clusters for tests and for benchmarks.

use service_runtime::database::DatabaseUrl;
use service_testing::{Cluster, Durability};
use sqlx::ConnectOptions;

#[tokio::test]
async fn only_a_durable_cluster_waits_for_the_disk() {
    for (durability, expected) in [(Durability::Full, "on"), (Durability::None, "off")] {
        let cluster = Cluster::start_with(durability).unwrap();
        let DatabaseUrl::Postgres(options) = cluster.create_database().await.unwrap() else { panic!("not PostgreSQL") };
        let mut connection = options.connect().await.unwrap();
        for (setting, expected) in [("SHOW fsync", expected), ("SHOW synchronous_commit", "on")] {
            let value: String = sqlx::query_scalar(setting).fetch_one(&mut connection).await.unwrap();
            assert_eq!(value, expected, "{setting} with {durability:?}");
        }
    }
}
