//! Tests that every service of the platform must pass, on both databases.
//!
//! They know only a service's document and golden examples. Each panics with all failures.

mod bad_input;
mod drain;
mod golden;
mod idempotency;
mod pages;
mod served;

use std::future::Future;

use anyhow::Result;
use contract::examples::{Example, Request};
use serde_json::Value;
use service_runtime::Service;

use crate::world::{Running, World};
use crate::{Kind, TestDatabase};

pub use bad_input::bad_input;
pub use drain::drain;
pub use golden::golden;
pub use idempotency::idempotency;
pub use pages::pages;
pub use served::served;

/// Runs `test` for every service on each kind of database, concurrently; panics with all failures.
async fn for_every_service<F>(world: World, test: impl Fn(World, &'static Service, TestDatabase) -> F)
where
    F: Future<Output = Result<()>>,
{
    let mut tests = Vec::new();
    for service in world.services() {
        for kind in Kind::tested() {
            let outcome = test(world, service, TestDatabase::new(kind).await);
            tests.push(
                async move { outcome.await.err().map(|error| format!("{} on {kind:?}: {error:#}\n", service.name)) },
            );
        }
    }
    let failures: String = futures::future::join_all(tests).await.into_iter().flatten().collect();
    assert!(failures.is_empty(), "{failures}");
}

/// The items of every list without filters, to see what a request has changed.
async fn listed(running: &Running, examples: &[Example]) -> Result<Vec<Value>> {
    let mut items = Vec::new();
    for example in examples {
        if is_list(example) && example.request.query.is_empty() {
            let page: Value = running.replay.send(&example.operation, &Request::default()).await?.json().await?;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
        }
    }
    Ok(items)
}

/// Whether `example` is one of a list: its response has items, and its request names none.
fn is_list(example: &Example) -> bool {
    let has_items = example.body.as_ref().is_some_and(|body| body.get("items").is_some());
    has_items && example.request.path.is_empty() && example.request.body.is_none()
}
