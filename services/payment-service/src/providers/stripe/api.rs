//! Stripe's HTTP API: forms in, JSON out. It says whether Stripe did what it was asked for, refuses it for good, or may have
//! done it.

use std::fmt;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use service_runtime::guard::RequestScope;
use service_runtime::telemetry::DependencyCalls;
use service_runtime::tls;
use tokio::time::timeout;
use url::form_urlencoded::Serializer;

use crate::providers::provider::Unknown;
use crate::settings::{Secret, StripeUrl};

/// The version of the API that this code was written for; without it Stripe answers as the account is set.
const VERSION: &str = "2025-08-27.basil";
/// The maximum duration of a request, its answer included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More than a hundred refunds have.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;
/// The type of the error that a key is used for something else.
const KEY_REUSED: &str = "idempotency_error";

/// A request.
pub(super) struct Request<'a> {
    /// Its name in metrics and traces.
    pub(super) operation: &'static str,
    pub(super) method: Method,
    /// What follows the version in the URL.
    pub(super) path: String,
    /// What makes it happen once, as long as Stripe remembers it: for 24 hours.
    pub(super) key: Option<&'a str>,
    pub(super) form: Vec<(&'static str, String)>,
}

/// Stripe has refused a request: asked again, it says the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Stripe's name for the error.
    pub(super) code: Option<String>,
    /// Why the bank has declined.
    decline_code: Option<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status.as_u16())?;
        let names = [&self.code, &self.decline_code];
        names.into_iter().flatten().try_for_each(|name| write!(f, " {name}"))
    }
}

/// The API.
pub(super) struct Api {
    // As for SMS not reqwest, whose TLS wants the system's authorities, which the images do not have.
    http: Client<HttpsConnector<HttpConnector>, String>,
    url: StripeUrl,
    authorization: HeaderValue,
    calls: DependencyCalls,
}

impl Api {
    /// The API at `url`, for the account of `key`.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up.
    pub(super) fn new(url: StripeUrl, key: &Secret, calls: DependencyCalls) -> anyhow::Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(TIMEOUT));
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(None)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", key.reveal()))?;
        // `Debug` hides it.
        authorization.set_sensitive(true);
        Ok(Self { http: Client::builder(TokioExecutor::new()).build(connector), url, authorization, calls })
    }

    /// Sends a request, and returns what Stripe answers.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        request: Request<'_>,
        scope: &RequestScope,
    ) -> Result<Result<T, Refusal>, Unknown> {
        let call = self.calls.begin(request.operation, &scope.trace);
        let exchanged = timeout(TIMEOUT, self.exchange(request)).await;
        let exchanged = exchanged.unwrap_or_else(|_| Err(Unknown("no answer in time".to_owned())));
        let answer = exchanged.and_then(|(status, body)| understand(status, &body));
        match &answer {
            Ok(Ok(_)) => call.succeed("success"),
            Ok(Err(_)) => call.succeed("refused"),
            Err(_) => call.fail("unknown"),
        }
        answer
    }

    async fn exchange(&self, request: Request<'_>) -> Result<(StatusCode, Vec<u8>), Unknown> {
        let request = self.encode(request);
        let request = request.map_err(|error| Unknown(format!("the request cannot be made: {error}")))?;
        let response = self.http.request(request).await.map_err(|error| unanswered(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await;
        let body = body.map_err(|_| Unknown(format!("status {}, and no complete answer", status.as_u16())))?;
        Ok((status, body.to_bytes().into()))
    }

    fn encode(&self, request: Request<'_>) -> http::Result<http::Request<String>> {
        let mut encoded = http::Request::builder()
            .method(request.method)
            .uri(format!("{}/v1/{}", self.url, request.path))
            .header(AUTHORIZATION, self.authorization.clone())
            .header("stripe-version", VERSION)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(key) = request.key {
            encoded = encoded.header("idempotency-key", key);
        }
        encoded.body(Serializer::new(String::new()).extend_pairs(&request.form).finish())
    }
}

/// What an answer means.
fn understand<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<Result<T, Refusal>, Unknown> {
    if status.is_success() {
        let answer = serde_json::from_slice(body);
        // The text of the error may repeat the answer.
        return answer.map(Ok).map_err(|_| Unknown(format!("status {}, and an invalid answer", status.as_u16())));
    }
    let failure: Option<Failure> = serde_json::from_slice(body).ok();
    let is_of_stripe = failure.is_some();
    let ErrorBody { kind, code, decline_code } = failure.unwrap_or_default().error;
    let refusal = Refusal { status, code: code.and_then(name), decline_code: decline_code.and_then(name) };
    // The others are about this moment or about this service and its key, not about what is asked for.
    let is_final = [StatusCode::BAD_REQUEST, StatusCode::PAYMENT_REQUIRED, StatusCode::NOT_FOUND].contains(&status);
    if is_final && is_of_stripe && kind != KEY_REUSED { Ok(Err(refusal)) } else { Err(Unknown(refusal.to_string())) }
}

/// The body of an answer that something failed.
#[derive(Default, Deserialize)]
struct Failure {
    error: ErrorBody,
}

#[derive(Default, Deserialize)]
struct ErrorBody {
    #[serde(rename = "type")]
    kind: String,
    code: Option<String>,
    decline_code: Option<String>,
}

/// A name, unless it is something else: it goes to the log.
fn name(text: String) -> Option<String> {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    ((1..=64).contains(&text.len()) && text.bytes().all(is_name)).then_some(text)
}

fn unanswered(error: &Error) -> Unknown {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    Unknown(format!("{}: {cause}", if error.is_connect() { "cannot connect" } else { "no answer" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq, Deserialize)]
    struct Thing {
        id: String,
    }

    /// What is understood: an id, or what goes to the log about a refusal or about what is unknown.
    fn understood(status: u16, body: &str) -> Result<Result<String, String>, String> {
        let answer = understand::<Thing>(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        let answer = answer.map(|answer| answer.map(|thing| thing.id).map_err(|refusal| refusal.to_string()));
        answer.map_err(|unknown| unknown.to_string())
    }

    #[test]
    fn only_what_stripe_refuses_for_good_is_refused() {
        let error = r#"{"error": {"type": "card_error", "code": "card_declined", "decline_code": "lost_card", "message": "Canary"}}"#;
        assert_eq!(understood(200, r#"{"id": "pi_1", "more": true}"#), Ok(Ok("pi_1".to_owned())));
        for status in [400, 402, 404] {
            assert_eq!(understood(status, error), Ok(Err(format!("status {status} card_declined lost_card"))));
        }
        for status in [301, 401, 403, 408, 409, 429, 500, 502, 503] {
            assert_eq!(understood(status, error), Err(format!("status {status} card_declined lost_card")));
        }
        let reused = r#"{"error": {"type": "idempotency_error"}}"#;
        assert_eq!(understood(400, reused), Err("status 400".to_owned()));
    }

    #[test]
    fn nothing_else_of_an_answer_is_repeated() {
        for body in ["", "Canary", r#"{"Canary": 1}"#, r#"{"error": "Canary"}"#, r#"{"id": 7, "of": "Canary"}"#] {
            assert_eq!(understood(200, body), Err("status 200, and an invalid answer".to_owned()));
            // A proxy may have written it.
            assert_eq!(understood(400, body), Err("status 400".to_owned()));
        }
        let odd = r#"{"error": {"type": "a", "code": "Canary: 4242", "decline_code": ""}}"#;
        assert_eq!(understood(402, odd), Ok(Err("status 402".to_owned())));
    }
}
