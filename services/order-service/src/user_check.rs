//! Asking user-service whether a user exists: the port to the one service that order-service depends on.
//!
//! Only its contract is known here, through `user-client`. Whatever user-service does, the outcome is one of five.

use std::time::Duration;

use anyhow::{Context, Result};
use order_service_api::UserId;
use user_client::reqwest::{self, StatusCode};
use user_client::{Client, Error, error_codes, types};

use crate::Config;

/// Less than the 30 seconds after which the server closes an idle connection, so that none is used that it is just
/// closing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

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

/// Asks user-service.
pub(crate) struct UserCheck {
    client: Client,
}

impl UserCheck {
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let http = reqwest::Client::builder()
            .connect_timeout(milliseconds(config.user_service_connect_timeout_ms))
            .timeout(milliseconds(config.user_service_timeout_ms))
            .pool_idle_timeout(IDLE_TIMEOUT)
            // The answer of anybody else than user-service is not its answer.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .retry(reqwest::retry::never())
            .build()
            .context("cannot make the HTTP client for user-service")?;
        Ok(Self { client: Client::new_with_client(&config.user_service_url, http) })
    }

    /// Succeeds if user-service says that the user exists.
    pub(crate) async fn check(&self, id: UserId) -> Result<(), UserCheckError> {
        let user = self.client.user_view().user_id(id.get()).send().await.map_err(judge)?;
        if i64::try_from(user.id.get()) == Ok(id.get()) {
            Ok(())
        } else {
            Err(UserCheckError::InvalidResponse("it answered with another user".to_owned()))
        }
    }
}

/// What a failed call says about the user.
fn judge(error: Error<types::Error>) -> UserCheckError {
    match error {
        Error::ErrorResponse(answer) => {
            let known = answer.error_code.as_deref() == Some(error_codes::USER_NOT_FOUND);
            if answer.status() == StatusCode::NOT_FOUND && known {
                UserCheckError::NotFound
            } else {
                judge_status(answer.status())
            }
        }
        Error::UnexpectedResponse(answer) => judge_status(answer.status()),
        Error::InvalidResponsePayload(_, error) => {
            // The error's category and place: its text could repeat what user-service wrote.
            let (what, line, column) = (error.classify(), error.line(), error.column());
            UserCheckError::InvalidResponse(format!("{what:?} error in its JSON at line {line}, column {column}"))
        }
        Error::CommunicationError(error) | Error::ResponseBodyError(error) => judge_fault(&error),
        error @ (Error::InvalidRequest(_) | Error::InvalidUpgrade(_) | Error::Custom(_)) => {
            UserCheckError::Fault(error.to_string())
        }
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
    // The innermost cause: "Connection refused" says more than "error sending request".
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        if inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return UserCheckError::InvalidResponse("it does not speak HTTP".to_owned());
        }
        cause = inner;
    }
    UserCheckError::Unavailable(cause.to_string())
}

fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(number.into())
}
