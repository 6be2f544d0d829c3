//! The metrics of how many connections each pool has, uses and may have.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Registry;

use super::pool::Connections;
use crate::telemetry::Encode;

/// The pools of a database, each with the value of its label `pool`.
#[derive(Debug)]
struct ConnectionMetrics(Vec<(&'static str, Connections)>);

/// Registers the metrics of a database's pools. PostgreSQL has one pool for both.
pub(super) fn register(registry: &mut Registry, reader: &Connections, writer: &Connections) {
    let pools = match reader {
        Connections::Postgres(_) => vec![("all", reader.clone())],
        Connections::Sqlite(_) => vec![("reader", reader.clone()), ("writer", writer.clone())],
    };
    registry.register_collector(Box::new(ConnectionMetrics(pools)));
}

impl Connections {
    /// How many connections there are, how many of them are idle, and the maximum.
    fn counts(&self) -> (u32, u32, u32) {
        let (size, idle, max) = match self {
            Self::Postgres(pool) => (pool.size(), pool.num_idle(), pool.options().get_max_connections()),
            Self::Sqlite(pool) => (pool.size(), pool.num_idle(), pool.options().get_max_connections()),
        };
        // The two are read at different times.
        (size, u32::try_from(idle).unwrap_or(u32::MAX).min(size), max)
    }
}

impl Collector for ConnectionMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let pools: Vec<_> = self.0.iter().map(|(name, connections)| (*name, connections.counts())).collect();
        let counts: Vec<_> = pools
            .iter()
            .flat_map(|(name, (size, idle, _))| {
                [("idle", *idle), ("used", size - idle)]
                    .map(|(state, count)| ([("pool", *name), ("state", state)], count))
            })
            .collect();
        encoder.gauges(
            "db_client_connection_count",
            "Connections to the database.",
            counts.iter().map(|(labels, count)| (labels.as_slice(), *count)),
        )?;
        let limits: Vec<_> = pools.iter().map(|(name, (.., max))| ([("pool", *name)], *max)).collect();
        encoder.gauges(
            "db_client_connection_max",
            "The most connections at a time.",
            limits.iter().map(|(labels, max)| (labels.as_slice(), *max)),
        )
    }
}
