//! Checks that repeating a creation with its `Idempotency-Key` replays the first response.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use contract::examples::{Example, Request, State};
use contract::{idempotency, paths};
use futures::future::join_all;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use service_runtime::Service;

use super::{for_every_service, listed};
use crate::TestDatabase;
use crate::golden::EVENTS_TIME_LIMIT;
use crate::world::{Running, World, examples_of};

/// Repeats every operation that accepts an `Idempotency-Key`: sequentially, concurrently on two instances, after what
/// was created is deleted, and after a restart.
pub async fn idempotency(world: World) {
    for_every_service(world, check).await;
}

async fn check(world: World, service: &'static Service, database: TestDatabase) -> Result<()> {
    let instances =
        [world.start(service, &database, &State::Well).await?, world.start(service, &database, &State::Well).await?];
    let mut first = Vec::new();
    let examples = examples_of(service)?;
    // What a creation makes first is what the changes after it are made to.
    let keyed = keyed(service, &examples)?;
    let document: Value = serde_json::from_str(service.document)?;
    let with_key =
        paths::operations(&document).filter(|operation| accepts_key(&document, operation.id().unwrap_or("")));
    let covered = with_key.count() == keyed.len();
    ensure!(covered, "an operation with a key has no example");
    for example in keyed {
        let before = listed(&instances[0], &examples).await?.len();
        let bodies = bodies(&example, &examples);
        // What else it needs is created already, by the examples before.
        if example.follows_events() {
            instances[0].prepare(&example).await?;
        }
        first.push((repeated(&instances[0], &example, &bodies).await?, example.clone()));
        concurrent(&instances, &example, &bodies).await?;
        let created = listed(&instances[0], &examples).await?.len() - before;
        // What is created below something else is in no list.
        let is_listed = example.status == 201 && example.request.path.is_empty();
        ensure!(created == if is_listed { 2 } else { 0 }, "{} created {created}", example.operation);
        if is_listed {
            deleted(&instances[0], &example, &bodies).await?;
        }
    }
    let [one, other] = instances;
    one.server.stop().await;
    other.server.stop().await;
    let restarted = world.start(service, &database, &State::Well).await?;
    for (seen, example) in first {
        let again = Seen::of(send(&restarted, &example, "repeated", example.request.body.clone()).await?).await?;
        ensure!(again == Seen { replayed: true, ..seen }, "{} after a restart: {again:?}", example.operation);
    }
    Ok(())
}

/// The successful examples of the operations that accept a key.
fn keyed(service: &Service, examples: &[Example]) -> Result<Vec<Example>> {
    let document: Value = serde_json::from_str(service.document)?;
    let mut examples = examples.to_vec();
    examples.retain(|example| example.error.is_none() && accepts_key(&document, &example.operation));
    examples.dedup_by(|one, other| one.operation == other.operation);
    Ok(examples)
}

fn accepts_key(document: &Value, operation: &str) -> bool {
    let found = paths::operations(document).find(|candidate| candidate.id() == Some(operation));
    let parameters = found.and_then(|operation| operation.value["parameters"].as_array());
    parameters.is_some_and(|parameters| parameters.iter().any(|parameter| parameter["name"] == idempotency::NAME))
}

/// The parts of a response that a replay must repeat, and whether it is a replay.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    body: String,
    location: Option<String>,
    replayed: bool,
}

impl Seen {
    async fn of(response: Response) -> Result<Self> {
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let (location, replayed) = (header("location"), header("idempotency-replayed"));
        ensure!(replayed.as_deref().is_none_or(|replayed| replayed == "true"), "Idempotency-Replayed: {replayed:?}");
        let status = response.status().as_u16();
        Ok(Self { status, body: response.text().await?, location, replayed: replayed.is_some() })
    }
}

async fn send(running: &Running, example: &Example, key: &str, body: Option<Value>) -> Result<Response> {
    let mut request = Request { body, ..example.request.clone() };
    request.headers.insert(idempotency::NAME.to_owned(), format!("{key}-{}", example.operation));
    running.replay.send(&example.operation, &request).await
}

/// Repeats a request with its fields in reverse order: the response has the same bytes. Another body is refused.
async fn repeated(running: &Running, example: &Example, bodies: &Bodies) -> Result<Seen> {
    let began = Instant::now();
    let first = loop {
        let seen = Seen::of(send(running, example, "repeated", example.request.body.clone()).await?).await?;
        // What follows from an event may take a while.
        if seen.status == example.status || !example.follows_events() || began.elapsed() > EVENTS_TIME_LIMIT {
            break seen;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    ensure!(first.status == example.status && !first.replayed, "{}: {first:?}", example.operation);
    let reversed = example
        .request
        .body
        .as_ref()
        .and_then(Value::as_object)
        .map(|fields| fields.iter().rev().map(|(name, value)| (name.clone(), value.clone())).collect::<Value>());
    let again = Seen::of(send(running, example, "repeated", reversed).await?).await?;
    ensure!(again.replayed, "{} repeated: {again:?}", example.operation);
    ensure!((&again.body, &again.location) == (&first.body, &first.location), "{again:?}, not {first:?}");
    let [_, other, _] = bodies;
    if *other != example.request.body {
        let reused = Seen::of(send(running, example, "repeated", other.clone()).await?).await?;
        ensure!(reused.status == 422 && reused.body.contains("idempotency_key_reused"), "{reused:?}");
    }
    Ok(first)
}

/// Sends ten requests to each of two instances: one creates, the others get a replay or `idempotency_key_in_use`.
async fn concurrent(instances: &[Running; 2], example: &Example, [_, body, _]: &Bodies) -> Result<()> {
    let sent = (0..20).map(|number| send(&instances[number % 2], example, "concurrent", body.clone()));
    let (mut created, mut responses) = (0, Vec::new());
    for response in join_all(sent).await {
        let seen = Seen::of(response?).await?;
        match seen.status {
            409 => ensure!(seen.body.contains("idempotency_key_in_use"), "{}: {seen:?}", example.operation),
            status => {
                ensure!(status == example.status, "{}: {seen:?}", example.operation);
                created += usize::from(!seen.replayed);
                responses.push((seen.body, seen.location));
            }
        }
    }
    ensure!(created == 1, "{} created {created} times", example.operation);
    responses.dedup();
    ensure!(responses.len() == 1, "{} had different responses: {responses:?}", example.operation);
    for instance in instances {
        let replay = Seen::of(send(instance, example, "concurrent", body.clone()).await?).await?;
        ensure!(replay.replayed && responses[0] == (replay.body.clone(), replay.location.clone()), "{replay:?}");
    }
    Ok(())
}

/// Deletes what was created, if the service can: the creation repeated with its key is then a new one, because the
/// stored response was deleted as well.
async fn deleted(running: &Running, example: &Example, [_, _, body]: &Bodies) -> Result<()> {
    let first = Seen::of(send(running, example, "deleted", body.clone()).await?).await?;
    let url = format!("{}{}", running.server.url(), first.location.as_deref().unwrap_or_default());
    let status = reqwest::Client::new().delete(url).send().await?.status();
    if status == StatusCode::METHOD_NOT_ALLOWED {
        return Ok(());
    }
    ensure!(status.is_success(), "{} created what cannot be deleted: {first:?}, {status}", example.operation);
    let again = Seen::of(send(running, example, "deleted", body.clone()).await?).await?;
    ensure!(again.status == example.status && !again.replayed, "{} after a deletion: {again:?}", example.operation);
    Ok(())
}

/// The bodies of three requests for the same thing that differ in whatever has to be unique.
type Bodies = [Option<Value>; 3];

/// That of `example` and two others: of the other successful examples of its operation, if there are as many, or made of it.
fn bodies(example: &Example, examples: &[Example]) -> Bodies {
    let body = example.request.body.clone();
    let mut others: Vec<Option<Value>> = Vec::new();
    for other in examples {
        let fits = other.operation == example.operation && other.error.is_none() && other.state == State::Well;
        if fits && other.request.body != body && !others.contains(&other.request.body) {
            others.push(other.request.body.clone());
        }
    }
    match <[_; 2]>::try_from(others) {
        Ok([second, third]) => [body, second, third],
        Err(_) => [body.clone(), distinct(body.clone()), distinct(distinct(body))],
    }
}

/// `body` with the first letter of each string doubled: what a pattern allows once, it mostly allows twice.
fn distinct(body: Option<Value>) -> Option<Value> {
    let mut body = body?;
    for value in body.as_object_mut()?.values_mut() {
        if let Value::String(text) = value
            && let Some(first) = text.chars().next()
        {
            text.insert(0, first);
        }
    }
    Some(body)
}
