//! Checks that the next page of a list can be requested with the same query beside the token.

use anyhow::{Context, Result, ensure};
use contract::examples::{Example, Request, State};
use serde_json::Value;
use service_runtime::Service;

use crate::world::{World, examples_of};
use crate::{Kind, TestDatabase};

/// Requests the page after each page that an example shows, on each kind of database.
pub async fn pages(world: World) {
    let mut failures = String::new();
    for service in world.services() {
        for example in examples_of(service).unwrap_or_else(|error| panic!("{error:#}")) {
            let Some(token) = example.body.as_ref().and_then(|body| body["next_page"].as_str()) else { continue };
            for kind in Kind::tested() {
                let checked = check(world, service, &example, token, TestDatabase::new(kind).await).await;
                if let Err(error) = checked {
                    failures += &format!("{} on {kind:?}: {error:#}\n", example.operation);
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

async fn check(world: World, service: &Service, example: &Example, token: &str, database: TestDatabase) -> Result<()> {
    let running = world.start(service, &database, &State::Well).await?;
    running.prepare(example).await?;
    for mut request in [example.request.clone(), Request::default()] {
        request.query.insert("page_token".to_owned(), token.to_owned());
        let response = running.replay.send(&example.operation, &request).await?;
        let status = response.status();
        let page: Value = response.json().await.context("the body is not JSON")?;
        ensure!(status == 200 && page["items"][0].is_object(), "{:?}: {status} {page}", request.query);
    }
    Ok(())
}
