//! The carriers of events that a test runs on.

use anyhow::{Context, Result};
use service_runtime::events::{Embedded, EventsUrl, RabbitMq, Transport};
use slog::{Discard, Logger, o};
use tempfile::TempDir;

use crate::broker::{self, BROKER_VARIABLE, MANAGEMENT_VARIABLE};

/// An empty carrier of events that belongs to one test.
#[derive(Debug)]
pub enum TestCarrier {
    /// A file in this directory.
    Embedded(TempDir),
    /// A virtual host of the broker that `cargo with-rabbitmq` starts.
    RabbitMq(EventsUrl),
}

impl TestCarrier {
    /// A file without events; panics if it cannot be created.
    pub fn embedded() -> Self {
        Self::Embedded(tempfile::tempdir().expect("the directory of the events can be created"))
    }

    /// A virtual host without events; panics if it cannot be created.
    pub async fn rabbitmq() -> Self {
        let variable = |name| {
            std::env::var(name).with_context(|| {
                format!("{name} is not set: run the tests with scripts/test or cargo with-rabbitmq cargo test")
            })
        };
        let create = async || -> Result<EventsUrl> {
            broker::create_vhost(&variable(BROKER_VARIABLE)?, &variable(MANAGEMENT_VARIABLE)?).await
        };
        Self::RabbitMq(create().await.expect("the virtual host can be created"))
    }

    /// Connects to the carrier; panics if that fails. An embedded one must not be open.
    pub async fn open(&self) -> Transport {
        let log = Logger::root(Discard, o!());
        match self {
            Self::Embedded(directory) => {
                let embedded = Embedded::open(&directory.path().join("events.sqlite"), &log).await;
                Transport::Embedded(embedded.expect("the file of events can be opened"))
            }
            Self::RabbitMq(url) => Transport::RabbitMq(RabbitMq::new(url.clone(), "test", &log)),
        }
    }
}

/// Declares tests that run once on each carrier of events, each time on an empty one.
#[macro_export]
macro_rules! on_both_carriers {
    ($($(#[doc = $doc:literal])* async fn $name:ident($carrier:ident: TestCarrier) $body:block)+) => { $(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn test($carrier: $crate::TestCarrier) $body

            #[tokio::test]
            async fn embedded() {
                test($crate::TestCarrier::embedded()).await;
            }

            #[tokio::test]
            async fn on_rabbitmq() {
                test($crate::TestCarrier::rabbitmq().await).await;
            }
        }
    )+ };
}
