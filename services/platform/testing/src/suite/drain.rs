//! Checks that a service finishes the request in flight before it stops.

use anyhow::{Context, Result, ensure};
use contract::examples::State;
use service_runtime::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::for_every_service;
use crate::TestDatabase;
use crate::world::{World, examples_of};

/// Stops every service while half of a creating request has arrived.
pub async fn drain(world: World) {
    for_every_service(world, check).await;
}

async fn check(world: World, service: &'static Service, database: TestDatabase) -> Result<()> {
    let examples = examples_of(service)?;
    let Some(creation) = examples.iter().find(|example| example.status == 201) else { return Ok(()) };
    let running = world.start(service, &database, &State::Well).await?;
    let body = creation.request.body.as_ref().context("the creation has no body")?.to_string();
    let path = running.replay.path(&creation.operation, &creation.request)?;
    let address = running.server.url().replace("http://", "");
    let mut connection = TcpStream::connect(&address).await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let (one, other) = body.split_at(body.len() / 2);
    connection.write_all(format!("{head}{one}").as_bytes()).await?;
    // Connections are accepted in order: a response on a later one means that this one was accepted.
    ensure!(reqwest::get(format!("http://{address}/health")).await?.status() == 200, "/health failed");
    let mut stop = Box::pin(running.server.stop());
    ensure!(futures::poll!(&mut stop).is_pending(), "the server did not wait for the request");
    connection.write_all(other.as_bytes()).await?;
    let mut response = String::new();
    let (read, ()) = tokio::join!(connection.read_to_string(&mut response), stop);
    read?;
    ensure!(response.starts_with("HTTP/1.1 201 "), "{response}");
    Ok(())
}
