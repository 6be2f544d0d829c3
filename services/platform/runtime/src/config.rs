//! Configuration by flags, environment and `.env`, in this order of precedence.
//!
//! Each service declares one `clap` struct, every field with its flag, variable, default and description. This
//! module reads it and explains what is wrong with a value: the variable, the value and the form expected.

use std::error::Error as _;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::process::exit;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The exit code for configuration that cannot be used, as clap has it.
const EXIT_USAGE: i32 = 2;

/// Reads the configuration `C`. What cannot be used ends the process with one clear line on stderr.
///
/// Call it before any thread is started: it adds the variables of `./.env` to the environment.
pub fn read<C: clap::Parser>() -> C {
    if let Err(problem) = load_dotenv() {
        eprintln!("error: {problem}");
        exit(EXIT_USAGE);
    }
    C::try_parse().unwrap_or_else(|error| match explain(&error, C::command()) {
        Some(explanation) => {
            eprintln!("error: {explanation}");
            exit(EXIT_USAGE)
        }
        None => error.exit(),
    })
}

/// Variables that are set already stay as they are.
fn load_dotenv() -> Result<(), String> {
    match dotenvy::from_path(".env") {
        Ok(()) => Ok(()),
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(dotenvy::Error::Io(error)) => Err(format!(".env cannot be read: {error}")),
        // The line itself may hold a secret.
        Err(_) => Err(".env has a line that is not NAME=VALUE".to_owned()),
    }
}

/// One line for a value that is not accepted; `None` where clap's own text serves.
fn explain(error: &clap::Error, mut command: clap::Command) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg)?;
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    // Only a built command can print its arguments as the error names them.
    command.build();
    let argument = command.get_arguments().find(|argument| argument.to_string() == flag)?;
    let flag = argument.get_long()?;
    let name = match argument.get_env() {
        Some(variable) => format!("{} (--{flag})", variable.to_string_lossy()),
        None => format!("--{flag}"),
    };
    let expected = error.source().map(ToString::to_string).unwrap_or_default();
    Some(format!("{name} is \"{}\": {expected}", without_password(&value)))
}

/// `text` with what may be a password in it replaced: it is a URL that is not valid, or something else altogether.
fn without_password(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(at) = text.rfind('@') {
        let authority = text.find("://").map_or(0, |scheme_end| scheme_end + "://".len());
        if let Some(colon) = text.get(authority..at).and_then(|user| user.find(':')) {
            text.replace_range(authority + colon + 1..at, "***");
        }
    }
    if let Some(parameter) = text.find("password=") {
        let value = parameter + "password=".len();
        let end = text[value..].find('&').map_or(text.len(), |length| value + length);
        text.replace_range(value..end, "***");
    }
    text
}

/// Reads an address to listen on.
pub fn listen_address(value: &str) -> Result<SocketAddr, String> {
    value
        .parse()
        .map_err(|_| "expected an IP address and a port, such as 127.0.0.1:8000 or [::1]:8000 (port 0: any)".to_owned())
}

/// Reads a duration in milliseconds, from 1 to 60000.
pub fn milliseconds(value: &str) -> Result<u32, String> {
    within(value, 1..=60_000, "milliseconds")
}

/// Reads a number of database connections, from 1 to 1000.
pub fn connections(value: &str) -> Result<u32, String> {
    within(value, 1..=1000, "connections")
}

/// Reads a number of requests, from 1 to 100000.
pub fn requests(value: &str) -> Result<u32, String> {
    within(value, 1..=100_000, "requests")
}

/// Reads a number of calls to another service, from 1 to 10000.
pub fn calls(value: &str) -> Result<u32, String> {
    within(value, 1..=10_000, "calls")
}

fn within(value: &str, range: RangeInclusive<u32>, unit: &str) -> Result<u32, String> {
    value
        .parse()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| format!("expected a number of {unit} from {} to {}", range.start(), range.end()))
}

/// Reads a log level.
pub fn log_level(value: &str) -> Result<slog::Level, String> {
    value.parse().map_err(|()| "expected one of critical, error, warning, info, debug, trace".to_owned())
}

/// Reads the base URL of another service.
pub fn service_url(value: &str) -> Result<String, String> {
    let expected = || "expected http://HOST or http://HOST:PORT and nothing after it (TLS ends at a proxy)".to_owned();
    let uri: http::Uri = value.parse().map_err(|_| expected())?;
    let plain = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
    let authority = uri.authority().filter(|_| plain && !value.contains(['@', '#'])).ok_or_else(expected)?;
    let (host, port) = (authority.host(), authority.port_u16());
    // `http::Uri` takes any port that is written; one that is no number is not read as one.
    let whole = port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    if host.is_empty() || whole != authority.as_str() { Err(expected()) } else { Ok(format!("http://{authority}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Config {
        #[arg(long, env = "SOME_LISTEN_ADDRESS", value_parser = listen_address, default_value = "127.0.0.1:1")]
        listen_address: SocketAddr,
        #[arg(long, env = "SOME_DATABASE_URL", default_value = "sqlite:x")]
        database_url: crate::database::DatabaseUrl,
    }

    fn explanation(arguments: &[&str]) -> String {
        let error = Config::try_parse_from(arguments).unwrap_err();
        explain(&error, <Config as clap::CommandFactory>::command()).unwrap()
    }

    #[test]
    fn a_bad_value_is_explained_by_variable_value_and_form() {
        let text = explanation(&["x", "--listen-address", "nonsense"]);
        assert!(text.starts_with("SOME_LISTEN_ADDRESS (--listen-address) is \"nonsense\": expected an IP"), "{text}");
    }

    #[test]
    fn a_bad_database_url_is_explained_without_its_password() {
        for url in [
            "mysql://me:secret@host/db",
            "postgres://me:se/cret@host:port/db",
            "postgres://me:secret@host:port/db",
            "me:secret@host/db",
            "postgres://host:port/db?user=me&password=secret&sslmode=require",
            "postgres://host:port/db?password=secret",
        ] {
            let text = explanation(&["x", "--database-url", url]);
            assert!(text.starts_with("SOME_DATABASE_URL (--database-url) is "), "{text}");
            assert!(!text.contains("cret") && text.contains("host"), "{text}");
        }
    }

    #[test]
    fn a_service_url_is_plain_http_without_a_path() {
        assert_eq!(service_url("http://user-service:8000/").as_deref(), Ok("http://user-service:8000"));
        for wrong in [
            "",
            "user-service:8000",
            "https://user-service",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://a:80000",
            "http://a:",
            "http://a:x",
            "http://a#b",
            "http://u@a",
        ] {
            assert!(service_url(wrong).is_err(), "{wrong}");
        }
    }
}
