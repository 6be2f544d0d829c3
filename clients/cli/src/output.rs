//! The output and the exit code of a command.

use std::cell::Cell;
use std::error::Error as _;
use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::num::NonZeroU32;
use std::process::ExitCode;

use progenitor_client::Error;
use serde::Serialize;
use serde_json::{Value, json};

/// The exit codes as listed in `--help` and in the README.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  the answer could not be written
  2  the command is wrong; nothing was sent
  3  not found (404)
  4  refused (any other 4xx)
  5  the service failed (5xx), or another program answered
  6  no answer: no connection, or none in time
  7  admin reconcile: something does not agree";

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
    Disagreement = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Prints the answer of a service and stores the exit code.
pub(crate) struct Printer<'a> {
    service: &'a str,
    url: &'a str,
    timeout_ms: NonZeroU32,
    /// A note about the proxy that requests may pass, for messages about the connection.
    proxy: String,
    exit: Cell<Exit>,
}

impl<'a> Printer<'a> {
    /// For the calls of `service` at `url`, perhaps through the proxy that a variable names.
    pub(crate) fn new(service: &'a str, url: &'a str, timeout_ms: NonZeroU32, proxy: Option<&str>) -> Self {
        let note = |name| format!(" (through the proxy of {name}, unless NO_PROXY excludes the address)");
        Self { service, url, timeout_ms, proxy: proxy.map(note).unwrap_or_default(), exit: Cell::new(Exit::Done) }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit.get()
    }

    /// Prints a failure that did not come from a service.
    pub(crate) fn fault(&self, exit: Exit, message: &str) -> Exit {
        self.fail(exit, &json!({ "message": message }))
    }

    fn fail(&self, exit: Exit, error: &Value) -> Exit {
        self.exit.set(exit);
        print_error(error);
        exit
    }

    pub(crate) fn item(&self, value: &impl Serialize) {
        let stdout = io::stdout();
        match write(&stdout, stdout.is_terminal(), value) {
            Ok(()) => {}
            // The reader closed the pipe, as in `orders order list | head`: end the list.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(Exit::Done as i32),
            Err(error) => {
                let exit = self.fail(Exit::Fault, &not_written(&error));
                std::process::exit(exit as i32)
            }
        }
    }

    pub(crate) fn error<T: Serialize>(&self, error: &Error<T>) {
        let Self { service, url, proxy, .. } = self;
        let (exit, message) = match error {
            Error::ErrorResponse(response) => {
                let error = serde_json::to_value(&**response).unwrap_or_default();
                self.fail(exit_of(response.status(), &error), &error);
                return;
            }
            Error::CommunicationError(error) | Error::ResponseBodyError(error) | Error::InvalidUpgrade(error) => {
                (Exit::NoAnswer, self.no_answer(error))
            }
            Error::InvalidResponsePayload(_, error) => {
                (Exit::Failed, format!("the answer of {url} violates the contract of {service}: {error}{proxy}"))
            }
            Error::UnexpectedResponse(response) => {
                (Exit::Failed, format!("{url} answered {}, which is no answer of {service}{proxy}", response.status()))
            }
            Error::InvalidRequest(message) | Error::Custom(message) => (Exit::Usage, message.clone()),
        };
        self.fault(exit, &message);
    }

    fn no_answer(&self, error: &reqwest::Error) -> String {
        let Self { service, url, timeout_ms, proxy, .. } = self;
        if error.is_timeout() {
            return format!("{service} at {url} did not answer within {timeout_ms} ms{proxy}");
        }
        // The error itself contains the whole URL, with personal data; its innermost cause is enough.
        let mut cause = error.source();
        while let Some(deeper) = cause.and_then(|cause| cause.source()) {
            cause = Some(deeper);
        }
        let cause = cause.map_or_else(|| "the connection failed".to_owned(), ToString::to_string);
        format!("no answer from {service} at {url}: {cause}{proxy}")
    }
}

/// Prints a line: on a terminal `line` as text, else as JSON.
pub(crate) fn print(line: &(impl Display + Serialize)) -> Result<(), Exit> {
    let mut stdout = io::stdout();
    let written = if stdout.is_terminal() { writeln!(stdout, "{line}") } else { write(&stdout, false, line) };
    match written {
        // A reader that closed the pipe has read enough; the exit code is still of use.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            print_error(&not_written(&error));
            Err(Exit::Fault)
        }
        _ => Ok(()),
    }
}

fn not_written(error: &io::Error) -> Value {
    json!({ "message": format!("the answer cannot be written: {error}") })
}

fn print_error(error: &Value) {
    let stderr = io::stderr();
    // If stderr fails too, only the exit code is left.
    let _ = write(&stderr, stderr.is_terminal(), error);
}

/// An error without an `error_code` came from another program, not from an operation. Neither did the code `not_found`:
/// it means that nothing is served at the address, not that a resource does not exist.
fn exit_of(status: reqwest::StatusCode, error: &Value) -> Exit {
    match (status.as_u16(), error["error_code"].as_str()) {
        (404, Some("not_found")) => Exit::Failed,
        (404, Some(_)) => Exit::NotFound,
        (400..=499, Some(_)) => Exit::Refused,
        _ => Exit::Failed,
    }
}

fn write(mut out: impl Write, indented: bool, value: &impl Serialize) -> io::Result<()> {
    let mut text = if indented { serde_json::to_vec_pretty(value)? } else { serde_json::to_vec(value)? };
    text.push(b'\n');
    out.write_all(&text)?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_operation_says_that_a_resource_is_not_found() {
        for (status, code, exit) in [
            (404, json!("user_not_found"), Exit::NotFound),
            (404, json!("not_found"), Exit::Failed),
            (404, json!(null), Exit::Failed),
            (409, json!("email_taken"), Exit::Refused),
            (503, json!("overloaded"), Exit::Failed),
        ] {
            let status = reqwest::StatusCode::from_u16(status).unwrap();
            assert_eq!(exit_of(status, &json!({"error_code": code})), exit, "{status} {code}");
        }
    }

    #[test]
    fn only_a_terminal_gets_indented_json() {
        for (indented, expected) in [(true, "{\n  \"id\": 1\n}\n"), (false, "{\"id\":1}\n")] {
            let mut out = Vec::new();
            write(&mut out, indented, &json!({"id": 1})).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
