//! What is printed, and which exit code that gives.

use std::cell::Cell;
use std::error::Error as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::num::NonZeroU32;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};
use user_client::reqwest;
use user_client::{Error, ResponseValue};

use crate::{order_service, user_service};

/// As `--help` and the README say it.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer could not be written
  2  the command is wrong; nothing was sent
  3  not found (404)
  4  refused (any other 4xx)
  5  the service failed (5xx), or what answered is not the service
  6  no answer: no connection, or none in time";

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Fault = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Failed = 5,
    NoAnswer = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints what a service answers, and keeps how it ended.
pub(crate) struct Printer<'a> {
    service: &'a str,
    url: &'a str,
    timeout_ms: NonZeroU32,
    exit: Cell<Exit>,
}

impl<'a> Printer<'a> {
    pub(crate) fn new(service: &'a str, url: &'a str, timeout_ms: NonZeroU32) -> Self {
        Self { service, url, timeout_ms, exit: Cell::new(Exit::Done) }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit.get()
    }

    /// Tells of a failure that no service told of.
    pub(crate) fn fault(&self, exit: Exit, message: &str) -> Exit {
        self.fail(exit, &json!({ "message": message }))
    }

    fn fail(&self, exit: Exit, error: &Value) -> Exit {
        self.exit.set(exit);
        let stderr = io::stderr();
        // Where even this cannot be written only the exit code is left.
        let _ = write(&stderr, stderr.is_terminal(), error);
        exit
    }

    fn item(&self, value: &impl Serialize) {
        let stdout = io::stdout();
        match write(&stdout, stdout.is_terminal(), value) {
            Ok(()) => {}
            // Whoever reads has enough, as in `orders order list | head`. Nothing else ends a list that is under way.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(Exit::Done as i32),
            Err(error) => {
                let exit = self.fault(Exit::Fault, &format!("the answer cannot be written: {error}"));
                std::process::exit(exit as i32)
            }
        }
    }

    fn error<T: Serialize>(&self, error: &Error<T>) {
        let Self { service, url, .. } = self;
        let (exit, message) = match error {
            Error::ErrorResponse(response) => {
                let error = serde_json::to_value(&**response).unwrap_or_default();
                self.fail(exit_of(response.status(), &error), &error);
                return;
            }
            Error::CommunicationError(error) | Error::ResponseBodyError(error) | Error::InvalidUpgrade(error) => {
                (Exit::NoAnswer, self.silence(error))
            }
            Error::InvalidResponsePayload(_, error) => {
                (Exit::Failed, format!("{url} answers not as the contract of {service} says: {error}"))
            }
            Error::UnexpectedResponse(response) => {
                (Exit::Failed, format!("{url} answers {}, which {service} does not", response.status()))
            }
            Error::InvalidRequest(message) | Error::Custom(message) => (Exit::Usage, message.clone()),
        };
        self.fault(exit, &message);
    }

    fn silence(&self, error: &reqwest::Error) -> String {
        let Self { service, url, timeout_ms, .. } = self;
        if error.is_timeout() {
            return format!("{service} at {url} did not answer within {timeout_ms} ms");
        }
        // The error itself shows the whole URL; what it comes from says what happened.
        let mut cause = error.source();
        while let Some(deeper) = cause.and_then(|cause| cause.source()) {
            cause = Some(deeper);
        }
        let cause = cause.map_or_else(|| "the connection failed".to_owned(), ToString::to_string);
        format!("{service} at {url} gives no answer: {cause}")
    }
}

/// Whoever has no `error_code` was not reached by any operation: not this service, or a proxy in front of it. Its 404
/// must not pass for the service's word that something does not exist.
fn exit_of(status: reqwest::StatusCode, error: &Value) -> Exit {
    match status.as_u16() {
        404 if error["error_code"].is_string() => Exit::NotFound,
        400..=499 if error["error_code"].is_string() => Exit::Refused,
        _ => Exit::Failed,
    }
}

fn write(mut out: impl Write, indented: bool, value: &impl Serialize) -> io::Result<()> {
    let mut text = if indented { serde_json::to_vec_pretty(value)? } else { serde_json::to_vec(value)? };
    text.push(b'\n');
    out.write_all(&text)?;
    out.flush()
}

/// Both services' commands print alike; progenitor makes a trait of its own for each.
macro_rules! print_commands_of {
    ($($service:ident)*) => { $(
        impl $service::CliConfig for &Printer<'_> {
            fn success_item<T: Serialize>(&self, value: &ResponseValue<T>) {
                self.item(&**value);
            }

            fn success_no_item(&self, _: &ResponseValue<()>) {}

            fn error<T: Serialize>(&self, error: &Error<T>) {
                Printer::error(self, error);
            }

            fn list_start<T>(&self) {}

            fn list_item<T: Serialize>(&self, value: &T) {
                self.item(value);
            }

            fn list_end_success<T>(&self) {}

            fn list_end_error<T: Serialize>(&self, error: &Error<T>) {
                Printer::error(self, error);
            }
        }
    )* };
}

print_commands_of! { order_service user_service }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_indented_json_and_everything_else_one_line() {
        for (indented, expected) in [(true, "{\n  \"id\": 1\n}\n"), (false, "{\"id\":1}\n")] {
            let mut out = Vec::new();
            write(&mut out, indented, &json!({"id": 1})).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
