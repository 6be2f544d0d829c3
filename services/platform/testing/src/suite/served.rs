//! Checks that every service serves its document, the docs portal, metrics and its health.

use anyhow::{Context, Result, ensure};
use contract::examples::State;
use reqwest::Response;
use serde_json::{Value, json};
use service_runtime::Service;

use super::for_every_service;
use crate::TestDatabase;
use crate::world::{Running, World, examples_of};

/// Checks the paths that every service serves besides its own operations.
pub async fn served(world: World) {
    for_every_service(world, check).await;
}

async fn check(world: World, service: &'static Service, database: TestDatabase) -> Result<()> {
    let running = world.start(service, &database, &State::Well).await?;
    documents(&running, service).await?;
    docs(&running, service).await?;
    let metrics = get(&running, "/metrics").await?.text().await?;
    ensure!(metrics.contains(&format!("service_name=\"{}\"", service.name)), "/metrics: {metrics}");
    let paths = ["/health", "/ready", "/metrics", "/openapi.json", "/docs", "/docs/setup.js", "/docs/scalar.js"];
    for path in paths.into_iter().chain(service.events.map(|_| "/asyncapi.json")) {
        head(&running, path).await.with_context(|| format!("HEAD {path}"))?;
    }
    health(&running, service).await
}

async fn get(running: &Running, path: &str) -> Result<Response> {
    Ok(reqwest::get(format!("{}{path}", running.server.url())).await?)
}

/// HEAD gets what GET gets, without the body.
async fn head(running: &Running, path: &str) -> Result<()> {
    let get = get(running, path).await?;
    let head = reqwest::Client::new().head(format!("{}{path}", running.server.url())).send().await?;
    ensure!(head.status() == get.status(), "{}", head.status());
    ensure!(head.headers().get("content-type") == get.headers().get("content-type"), "{:?}", head.headers());
    let length = head.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    ensure!(length.is_some_and(|length| length > 0), "{:?}", head.headers());
    ensure!(head.bytes().await?.is_empty(), "it has a body");
    Ok(())
}

/// The served documents are byte for byte the checked-in ones.
async fn documents(running: &Running, service: &Service) -> Result<()> {
    for (path, directory) in [("/openapi.json", "openapi"), ("/asyncapi.json", "openapi/events")] {
        let served = get(running, path).await?;
        let file = format!("{}/../../../{directory}/{}.json", env!("CARGO_MANIFEST_DIR"), service.name);
        if path == "/asyncapi.json" && service.events.is_none() {
            ensure!(served.status() == 404 && !std::fs::exists(&file)?, "{file} is not served");
            continue;
        }
        ensure!(served.headers()["content-type"] == "application/json", "{:?}", served.headers());
        ensure!(served.bytes().await? == std::fs::read(&file)?, "{path} differs from {file}");
    }
    Ok(())
}

/// The docs load nothing from other origins, are cacheable, and are not part of the document.
async fn docs(running: &Running, service: &Service) -> Result<()> {
    let http = reqwest::Client::new();
    let get = |path: &str| http.get(format!("{}{path}", running.server.url()));
    let page = get("/docs").send().await?;
    let policy = page.headers()["content-security-policy"].to_str()?.to_owned();
    for rule in ["default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"] {
        ensure!(policy.split("; ").any(|part| part == rule), "{policy}");
    }
    ensure!(page.headers()["x-content-type-options"] == "nosniff", "{:?}", page.headers());
    let document: Value = serde_json::from_str(service.document)?;
    let title = format!("<title>{}</title>", document["info"]["title"].as_str().unwrap_or_default());
    let html = page.text().await?;
    ensure!(html.contains(&title), "no {title} in {html}");

    let script = get("/docs/scalar.js").send().await?;
    ensure!(script.headers()["content-encoding"] == "gzip", "{:?}", script.headers());
    let etag = script.headers()["etag"].clone();
    let unchanged = get("/docs/scalar.js").header("if-none-match", &etag).send().await?;
    ensure!((unchanged.status().as_u16(), &unchanged.headers()["etag"]) == (304, &etag), "{unchanged:?}");
    let changed = get("/docs/scalar.js").header("if-none-match", "\"another\"").send().await?;
    ensure!(changed.status() == 200, "{changed:?}");
    let slash = get("/docs/").send().await?;
    ensure!(
        (slash.status().as_u16(), slash.url().path()) == (200, "/docs"),
        "/docs/ must redirect to /docs: the page's links are relative"
    );
    ensure!(!service.document.contains("/docs"), "the document mentions /docs");
    let log = running.log.text();
    ensure!(log.contains(r#""path":"/docs""#) && log.contains(r#""path":"/docs/scalar.js""#), "{log}");
    Ok(())
}

/// A service is live and ready; once its stop is announced, it still serves but is no longer ready.
async fn health(running: &Running, service: &Service) -> Result<()> {
    let seen = async |path| -> Result<(u16, Value)> {
        let response = get(running, path).await?;
        Ok((response.status().as_u16(), response.json().await?))
    };
    let (ok, ready) = ((200, json!({"status": "ok"})), (200, json!({"status": "ready"})));
    ensure!((seen("/health").await?, seen("/ready").await?) == (ok.clone(), ready), "before the stop");
    running.server.announce_stop();
    let (status, body) = seen("/ready").await?;
    ensure!(status == 503 && body["error_code"] == "shutting_down", "/ready: {status} {body}");
    ensure!(seen("/health").await? == ok, "/health after the stop was announced");
    running.replay.seed(&examples_of(service)?).await.context("after the stop was announced")
}
