//! A client as the generated ones are, with the operations of a collection of items.

use std::time::Duration;

use client_policy::{Circuit, Policy, Refusal, Settings, Snapshot};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::upstream::{Reply, Upstream};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// How a call ended, in short.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Item,
    Status(u16),
    Refused(Refusal),
    TimedOut,
    Lost,
    Unreadable,
}

/// The error body of the contract.
#[derive(Debug, Deserialize)]
struct Problem {
    #[serde(rename = "message")]
    _message: String,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "name")]
    _name: String,
}

#[derive(Clone)]
pub(crate) struct Client {
    base_url: String,
    http: reqwest::Client,
    policy: Policy,
}

impl Client {
    pub(crate) fn connect(base_url: &str, settings: Settings) -> Self {
        Self::connect_observed(base_url, settings, |_| ())
    }

    pub(crate) fn connect_observed(
        base_url: &str,
        settings: Settings,
        observer: impl Fn(Circuit) + Send + Sync + 'static,
    ) -> Self {
        let (http, policy) = Policy::connect(settings, observer).unwrap();
        Self { base_url: base_url.to_owned(), http, policy }
    }

    pub(crate) fn plain(base_url: &str) -> Self {
        let http = reqwest::Client::builder().timeout(5 * SECOND).build().unwrap();
        Self { base_url: base_url.to_owned(), http, policy: Policy::none() }
    }

    pub(crate) fn until(&self, deadline: tokio::time::Instant) -> Self {
        Self { policy: self.policy.until(deadline.into_std()), ..self.clone() }
    }

    pub(crate) fn traced(&self, headers: HeaderMap) -> Self {
        Self { policy: self.policy.traced(headers), ..self.clone() }
    }

    pub(crate) fn repeatable(&self) -> Self {
        Self { policy: self.policy.repeatable(), ..self.clone() }
    }

    pub(crate) fn snapshot(&self) -> Option<Snapshot> {
        self.policy.snapshot()
    }

    pub(crate) async fn read(&self) -> End {
        self.call(Method::GET, "/items/1").await
    }

    pub(crate) async fn create(&self) -> End {
        self.call(Method::POST, "/items").await
    }

    pub(crate) async fn replace(&self) -> End {
        self.call(Method::PUT, "/items/1").await
    }

    pub(crate) async fn call(&self, method: Method, path: &str) -> End {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.base_url));
        if !method.is_safe() {
            request = request.body(r#"{"name": "John Doe"}"#);
        }
        let outcome = self.policy.exec::<Problem>(&self.http, request.build().unwrap()).await;
        if let Some(refusal) = Refusal::of_outcome(&outcome) {
            return End::Refused(refusal);
        }
        match outcome {
            Ok(answer) if !answer.status().is_success() => End::Status(answer.status().as_u16()),
            Ok(answer) => answer.json::<Item>().await.map_or(End::Unreadable, |_| End::Item),
            Err(error) if error.is_timeout() => End::TimedOut,
            Err(_) => End::Lost,
        }
    }
}

/// A service that replies the same to every request, and a client of it.
pub(crate) async fn always(reply: Reply) -> (Upstream, Client) {
    let upstream = Upstream::start(move |_| reply.clone()).await;
    let client = connect(&upstream);
    (upstream, client)
}

/// A service that replies differently to its first request, and a client of it.
pub(crate) async fn first(reply: Reply, then: Reply) -> (Upstream, Client) {
    let upstream = Upstream::start(move |number| if number == 1 { reply.clone() } else { then.clone() }).await;
    let client = connect(&upstream);
    (upstream, client)
}

pub(crate) fn connect(upstream: &Upstream) -> Client {
    Client::connect(&upstream.url, Settings::default())
}
