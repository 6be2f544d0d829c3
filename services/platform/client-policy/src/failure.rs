//! Classifies a failed call, whatever the client.

use std::error::Error as StdError;

use progenitor_client::Error;
use reqwest::StatusCode;

use crate::retry::is_http_parse_error;
use crate::{ErrorBody, Refusal};

/// The platform's code for a request that used up its `Request-Timeout-Ms`.
const DEADLINE_EXCEEDED: &str = "deadline_exceeded";

/// What a failed call says about the called service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The service refused the request with a documented error: a 4xx other than 429, with its `error_code`. Only the
    /// caller knows what it means.
    Answered {
        /// The status of the answer.
        status: StatusCode,
        /// The `error_code` of the answer.
        code: String,
        /// The text for people: to look for values in, neither to show nor to log.
        message: String,
    },
    /// The service cannot be reached or cannot answer now, or the policy refused the call.
    Unavailable(String),
    /// There was no answer in time.
    Timeout,
    /// The answer violates the contract, or its sender is not the service. The text repeats nothing of the body.
    InvalidResponse(String),
    /// The caller built a request that the client does not accept.
    Fault(String),
}

impl Failure {
    /// The failure that `error` is.
    pub fn of<E: ErrorBody>(error: Error<E>) -> Self {
        match error {
            Error::ErrorResponse(answer) => match (answer.status(), answer.error_code()) {
                (StatusCode::SERVICE_UNAVAILABLE, Some(DEADLINE_EXCEEDED)) => Self::Timeout,
                (status, Some(code)) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                    Self::Answered { status, code: code.to_owned(), message: answer.message().to_owned() }
                }
                (status, _) => Self::of_status(status),
            },
            Error::UnexpectedResponse(answer) => Self::of_status(answer.status()),
            Error::InvalidResponsePayload(_, error) => {
                // Category and position only: the error's text may repeat the body.
                let (category, line, column) = (error.classify(), error.line(), error.column());
                Self::InvalidResponse(format!("{category:?} error in its JSON at line {line}, column {column}"))
            }
            Error::CommunicationError(error) | Error::ResponseBodyError(error) => Self::of_transport(&error),
            error @ (Error::InvalidRequest(_) | Error::InvalidUpgrade(_) | Error::Custom(_)) => {
                match Refusal::of(&error) {
                    Some(Refusal::DeadlinePassed) => Self::Timeout,
                    Some(refusal) => Self::Unavailable(refusal.to_string()),
                    None => Self::Fault(error.into_untyped().to_string()),
                }
            }
        }
    }

    fn of_status(status: StatusCode) -> Self {
        let text = format!("status {}", status.as_u16());
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            Self::Unavailable(text)
        } else {
            Self::InvalidResponse(text)
        }
    }

    /// Classifies a call without a complete answer.
    fn of_transport(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            return Self::Timeout;
        }
        if is_http_parse_error(error) {
            return Self::InvalidResponse("it does not speak HTTP".to_owned());
        }
        // The innermost cause: "Connection refused" says more than "error sending request".
        let mut cause: &dyn StdError = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        Self::Unavailable(cause.to_string())
    }
}

#[cfg(test)]
mod tests;
