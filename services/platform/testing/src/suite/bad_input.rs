//! Checks that bad input is refused with the documented 4xx error and changes nothing.

use anyhow::{Context, Result, ensure};
use contract::examples::{Example, Request, State};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use service_runtime::Service;

use super::{for_every_service, is_list, listed};
use crate::TestDatabase;
use crate::world::{Running, World, examples_of};

/// Sends every operation bodies, paths, queries and headers that the contract or HTTP forbids.
pub async fn bad_input(world: World) {
    for_every_service(world, check).await;
}

async fn check(world: World, service: &'static Service, database: TestDatabase) -> Result<()> {
    let running = world.start(service, &database, &State::Well).await?;
    let mut examples = examples_of(service)?;
    examples.retain(|example| example.error.is_none());
    let before = listed(&running, &examples).await?;
    for example in &examples {
        if example.request.body.is_some() {
            bodies(&running, example).await?;
            media_types(&running, example).await?;
        }
        for variable in example.request.path.keys() {
            path(&running, example, variable).await?;
        }
        query(&running, example).await.with_context(|| format!("{} with a query", example.operation))?;
        targets(&running, example).await?;
        origins(&running, example).await?;
        if !["health", "ready"].contains(&example.operation.as_str()) {
            timeouts(&running, example).await?;
        }
    }
    for path in ["/", "/api/v1", "/api/v2", "/openapi", "/health/x"] {
        let response = reqwest::get(format!("{}{path}", running.server.url())).await?;
        refused(response, 404, "not_found").await.with_context(|| path.to_owned())?;
    }
    ensure!(listed(&running, &examples).await? == before, "a refused request changed a list");
    Ok(())
}

async fn bodies(running: &Running, example: &Example) -> Result<()> {
    let fields = example.request.body.as_ref().and_then(Value::as_object).context("the body is not an object")?;
    let text = json!(fields).to_string();
    let mut bad = vec![
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{".to_owned(),
        json!(fields.values().collect::<Vec<_>>()).to_string(),
        format!("{text} x"),
        format!("{text}{{}}"),
        format!("\u{feff}{text}"),
        text.replace('"', "'"),
        text.replacen('{', r#"{"unknown_field": 1, "#, 1),
    ];
    let with = |name: &str, wrong: Value| {
        let mut fields = fields.clone();
        fields.insert(name.to_owned(), wrong);
        json!(fields).to_string()
    };
    for (name, value) in fields {
        let mut duplicate = text.clone();
        duplicate.insert_str(1, &format!("\"{name}\": {value}, "));
        bad.push(duplicate);
        for wrong in [json!({}), json!([value]), json!(true), json!(1.5), json!(9_007_199_254_740_992_i64)] {
            bad.push(with(name, wrong));
        }
        // serde's derived enums accept an object for a variant.
        if let Some(text) = value.as_str() {
            bad.extend([json!({text: null}), json!(0)].map(|wrong| with(name, wrong)));
        }
    }
    // Some changes are none to an empty object.
    bad.retain(|body| *body != text);
    for body in bad {
        let response =
            running.replay.request(&example.operation, &Request { body: None, ..example.request.clone() })?;
        let response = response.header("content-type", "application/json").body(body.clone()).send().await?;
        refused(response, 400, "invalid_request").await.with_context(|| format!("{}: {body}", example.operation))?;
    }
    let large = Request { body: None, body_of_bytes: Some(64 * 1024 + 1), ..example.request.clone() };
    refused(running.replay.send(&example.operation, &large).await?, 413, "payload_too_large").await?;
    Ok(())
}

async fn media_types(running: &Running, example: &Example) -> Result<()> {
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "\u{e4}"] {
        let request = Request { content_type: Some(content_type.to_owned()), ..example.request.clone() };
        let response = running.replay.send(&example.operation, &request).await?;
        refused(response, 415, "unsupported_media_type").await.with_context(|| content_type.to_owned())?;
    }
    let encoded = running.replay.request(&example.operation, &example.request)?.header("content-encoding", "gzip");
    refused(encoded.send().await?, 415, "unsupported_media_type").await?;
    Ok(())
}

async fn path(running: &Running, example: &Example, variable: &str) -> Result<()> {
    for value in ["0", "-1", "9007199254740992", "abc", "1.0", "+1", "01", "%00", "1%20"] {
        let mut request = example.request.clone();
        request.path.insert(variable.to_owned(), value.to_owned());
        let response = running.replay.send(&example.operation, &request).await?;
        let context = || format!("{} with {variable} = {value}", example.operation);
        let message = refused(response, 400, "invalid_request").await.with_context(context)?;
        ensure!(message.contains(&format!("`{variable}`")), "{}: {message}", context());
    }
    let mut without_value = example.request.clone();
    without_value.path.insert(variable.to_owned(), String::new());
    let response = running.replay.send(&example.operation, &without_value).await?;
    refused(response, 404, "not_found").await.with_context(|| format!("{} without {variable}", example.operation))?;
    Ok(())
}

/// The method in lower case is another method, and a path with an empty segment another path.
async fn targets(running: &Running, example: &Example) -> Result<()> {
    let (http, request) = running.replay.request(&example.operation, &example.request)?.build_split();
    let request = request?;
    let (method, path) = (request.method().clone(), request.url().path().to_owned());
    let lower_case = Method::from_bytes(method.as_str().to_ascii_lowercase().as_bytes())?;
    let (parent, last) = path.rsplit_once('/').context("the path is relative")?;
    for (method, path, status, code) in [
        (&lower_case, path.clone(), 405, "method_not_allowed"),
        (&method, format!("{path}/"), 404, "not_found"),
        (&method, format!("/{path}"), 404, "not_found"),
        (&method, format!("{parent}//{last}"), 404, "not_found"),
    ] {
        let mut request = request.try_clone().context("the body is a stream")?;
        *request.method_mut() = method.clone();
        request.url_mut().set_path(&path);
        refused(http.execute(request).await?, status, code).await.with_context(|| format!("{method} {path}"))?;
    }
    Ok(())
}

/// A change is refused if a browser says that a page of another origin sends it.
async fn origins(running: &Running, example: &Example) -> Result<()> {
    for (name, value) in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "http://example.com"),
        ("Origin", "null"),
    ] {
        let (http, request) =
            running.replay.request(&example.operation, &example.request)?.header(name, value).build_split();
        let request = request?;
        if request.method().is_safe() {
            return Ok(());
        }
        let context = || format!("{} with {name}: {value}", example.operation);
        let message = refused(http.execute(request).await?, 400, "invalid_request").await.with_context(context)?;
        ensure!(message.contains(&format!("`{name}`")), "{}: {message}", context());
    }
    Ok(())
}

/// A timeout is one number, sent once.
async fn timeouts(running: &Running, example: &Example) -> Result<()> {
    for values in [&["+500"][..], &["500", "500"], &["0"], &["60001"], &["soon"], &[""]] {
        let mut request = running.replay.request(&example.operation, &example.request)?;
        for value in values {
            request = request.header("Request-Timeout-Ms", *value);
        }
        let context = || format!("{} with Request-Timeout-Ms {values:?}", example.operation);
        let message = refused(request.send().await?, 400, "invalid_request").await.with_context(context)?;
        ensure!(message.contains("`Request-Timeout-Ms`"), "{}: {message}", context());
    }
    Ok(())
}

/// A list refuses an unknown parameter, and a `limit` out of bounds.
async fn query(running: &Running, example: &Example) -> Result<()> {
    if !is_list(example) {
        return Ok(());
    }
    for (name, value) in [("unknown", "1"), ("limit", "0"), ("limit", "1001"), ("limit", "x"), ("limit", "")] {
        let request = Request { query: [(name.to_owned(), value.to_owned())].into(), ..Request::default() };
        let response = running.replay.send(&example.operation, &request).await?;
        refused(response, 400, "invalid_request").await.with_context(|| format!("{name}={value}"))?;
    }
    Ok(())
}

/// Checks the status and body of a refusal, and returns its message.
async fn refused(response: Response, status: u16, code: &str) -> Result<String> {
    let actual = response.status().as_u16();
    let request_id = response.headers().get("x-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let body: Value = response.json().await.context("the body is not JSON")?;
    ensure!((actual, body["error_code"].as_str()) == (status, Some(code)), "{actual} {body}");
    ensure!(body["request_id"].as_str() == request_id.as_deref(), "request_id {request_id:?}: {body}");
    let message = body["message"].as_str().unwrap_or_default();
    ensure!(!message.is_empty() && message.chars().count() <= 200, "message: {body}");
    Ok(message.to_owned())
}
