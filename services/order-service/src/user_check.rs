//! Asking user-service whether a user exists: the port to the one service that order-service depends on.
//!
//! Only its contract is known here, through `user-client`. Whatever user-service does, the outcome is one of five.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use order_service_api::UserId;
use service_runtime::telemetry::{Attempts, Dependency, Telemetry};
use service_runtime::trace::TraceContext;
use slog::{Logger, info, warn};
use user_client::policy::{Circuit, Refusal, Settings, speaks_no_http};
use user_client::reqwest::header::HeaderMap;
use user_client::reqwest::{self, StatusCode};
use user_client::{Client, Error, error_codes, types};

use crate::Config;

/// The name of the dependency, in log and metrics.
const USER_SERVICE: &str = "user-service";

/// One user is a few hundred bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// Why it is not certain that the user exists. Each holds, for the log, what was seen; never what user-service wrote.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum UserCheckError {
    #[error("user-service knows no such user")]
    NotFound,
    #[error("user-service cannot be reached or cannot answer: {0}")]
    Unavailable(String),
    #[error("user-service did not answer in time")]
    Timeout,
    #[error("user-service gave an invalid response: {0}")]
    InvalidResponse(String),
    #[error("user-service could not be asked: {0}")]
    Fault(String),
}

impl UserCheckError {
    /// In a word, for the metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unavailable(_) => "unavailable",
            Self::Timeout => "timeout",
            Self::InvalidResponse(_) => "invalid_response",
            Self::Fault(_) => "fault",
        }
    }
}

/// Asks user-service.
pub(crate) struct UserCheck {
    client: Client,
    dependency: Dependency,
}

impl UserCheck {
    pub(crate) fn new(config: &Config, telemetry: &mut Telemetry, log: &Logger) -> Result<Self> {
        let settings = Settings {
            connect_timeout: milliseconds(config.user_service_connect_timeout_ms),
            attempt_timeout: milliseconds(config.user_service_attempt_timeout_ms),
            timeout: milliseconds(config.user_service_timeout_ms),
            concurrency: config.user_service_concurrency as usize,
            longest_answer: LONGEST_ANSWER,
        };
        let log = log.clone();
        let observer = move |circuit| match circuit {
            Circuit::Open => warn!(log, "calls are refused, but for one a second"; "dependency" => USER_SERVICE),
            Circuit::Closed => info!(log, "calls are made again"; "dependency" => USER_SERVICE),
        };
        let client = Client::connect_observed(&config.user_service_url, settings, observer)
            .context("cannot make the HTTP client for user-service")?;
        let (watched, limit) = (client.clone(), config.user_service_concurrency as usize);
        let dependency = telemetry.dependency(USER_SERVICE, move || attempts(&watched, limit));
        Ok(Self { client, dependency })
    }

    /// Succeeds if user-service says that the user exists. It takes no longer than the configuration allows, nor than
    /// until `deadline`. user-service is told the trace.
    pub(crate) async fn check(
        &self,
        id: UserId,
        deadline: Instant,
        trace: &TraceContext,
    ) -> Result<(), UserCheckError> {
        let call = self.dependency.begin("user_view", trace);
        let outcome = self.ask(id, deadline, call.trace.headers()).await;
        match &outcome {
            Ok(()) => call.succeed("success"),
            Err(error @ UserCheckError::NotFound) => call.succeed(error.word()),
            Err(error) => call.fail(error.word()),
        }
        outcome
    }

    async fn ask(&self, id: UserId, deadline: Instant, trace: HeaderMap) -> Result<(), UserCheckError> {
        let client = self.client.until(deadline).traced(trace);
        let user = client.user_view().user_id(id.get()).send().await.map_err(judge)?;
        if i64::try_from(user.id.get()) == Ok(id.get()) {
            Ok(())
        } else {
            Err(UserCheckError::InvalidResponse("it answered with another user".to_owned()))
        }
    }
}

/// What the client has done so far.
fn attempts(client: &Client, in_flight_limit: usize) -> Attempts {
    client.snapshot().map_or_else(Attempts::default, |seen| Attempts {
        calls: seen.calls,
        attempts: seen.attempts,
        retries: seen.retries,
        refused_circuit_open: seen.short_circuited,
        refused_too_many: seen.shed,
        in_flight: seen.in_flight,
        in_flight_limit,
        circuit_open: seen.circuit == Circuit::Open,
    })
}

/// What a failed call says about the user.
fn judge(error: Error<types::Error>) -> UserCheckError {
    match error {
        Error::ErrorResponse(answer) => {
            match (answer.status(), answer.error_code.as_deref()) {
                (StatusCode::NOT_FOUND, Some(error_codes::USER_NOT_FOUND)) => UserCheckError::NotFound,
                // It was told how long it had.
                (StatusCode::SERVICE_UNAVAILABLE, Some(error_codes::DEADLINE_EXCEEDED)) => UserCheckError::Timeout,
                (status, _) => judge_status(status),
            }
        }
        Error::UnexpectedResponse(answer) => judge_status(answer.status()),
        Error::InvalidResponsePayload(_, error) => {
            // The error's category and place: its text could repeat what user-service wrote.
            let (what, line, column) = (error.classify(), error.line(), error.column());
            UserCheckError::InvalidResponse(format!("{what:?} error in its JSON at line {line}, column {column}"))
        }
        Error::CommunicationError(error) | Error::ResponseBodyError(error) => judge_fault(&error),
        error @ (Error::InvalidRequest(_) | Error::InvalidUpgrade(_) | Error::Custom(_)) => match Refusal::of(&error) {
            Some(Refusal::DeadlinePassed) => UserCheckError::Timeout,
            Some(refusal) => UserCheckError::Unavailable(refusal.to_string()),
            None => UserCheckError::Fault(error.to_string()),
        },
    }
}

fn judge_status(status: StatusCode) -> UserCheckError {
    let seen = format!("status {}", status.as_u16());
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        UserCheckError::Unavailable(seen)
    } else {
        UserCheckError::InvalidResponse(seen)
    }
}

/// What a call says about the user that got no whole answer.
fn judge_fault(error: &reqwest::Error) -> UserCheckError {
    if error.is_timeout() {
        return UserCheckError::Timeout;
    }
    if speaks_no_http(error) {
        return UserCheckError::InvalidResponse("it does not speak HTTP".to_owned());
    }
    // The innermost cause: "Connection refused" says more than "error sending request".
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    UserCheckError::Unavailable(cause.to_string())
}

fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_caller_whose_time_is_over_is_told_so_without_asking() {
        let anywhere = "127.0.0.1:0".parse().unwrap();
        let nobody = "http://127.0.0.1:0".to_owned();
        let config = Config::new(anywhere, "sqlite:unused.db".parse().unwrap(), nobody);
        let log = Logger::root(slog::Discard, slog::o!());
        let mut telemetry = Telemetry::new("test", &config.traces, &log).unwrap();
        let check = UserCheck::new(&config, &mut telemetry, &log).unwrap();
        let id = UserId::try_from(1).unwrap();
        let trace = TraceContext::of_request("b0b8715f-c303-4ce1-af4a-b98c3dce05ae", &HeaderMap::new(), false);
        let now = Instant::now();
        assert_eq!(check.check(id, now, &trace).await, Err(UserCheckError::Timeout));
        let later = now + Duration::from_secs(10);
        assert!(matches!(check.check(id, later, &trace).await, Err(UserCheckError::Unavailable(_))));
    }
}
