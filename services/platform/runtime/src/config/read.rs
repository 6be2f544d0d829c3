//! Reading settings from flags, environment and `.env`, in this order of precedence.

use std::error::Error as _;
use std::process::exit;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};

use crate::stderr;

/// The exit code for an invalid configuration, the same as clap's.
const EXIT_USAGE: i32 = 2;

/// Reads the values of the command that `build` makes. An invalid one ends the process with one clear line on stderr.
///
/// Call it before any thread is started: it adds the variables of `./.env` to the environment. clap reads the environment
/// while a command is built, hence `build`.
pub fn read(build: impl FnOnce() -> Command) -> ArgMatches {
    if let Err(problem) = load_dotenv() {
        stderr::print(format_args!("error: {problem}"));
        exit(EXIT_USAGE);
    }
    let command = build();
    command.clone().try_get_matches().unwrap_or_else(|error| match explain(&error, command) {
        Some(explanation) => {
            stderr::print(format_args!("error: {explanation}"));
            exit(EXIT_USAGE)
        }
        None => error.exit(),
    })
}

/// Variables that are already set keep their values.
fn load_dotenv() -> Result<(), String> {
    match dotenvy::from_path(".env") {
        Ok(()) => Ok(()),
        Err(dotenvy::Error::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(dotenvy::Error::Io(error)) => Err(format!(".env cannot be read: {error}")),
        // The line itself may contain a secret.
        Err(_) => Err(".env has a line that is not NAME=VALUE".to_owned()),
    }
}

/// One line about an invalid value; `None` if clap's own text is good enough.
fn explain(error: &clap::Error, mut command: Command) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
        return None;
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let flag = text(ContextKind::InvalidArg)?;
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    // Only a built command prints its arguments as the error names them.
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

/// `text` with anything that may be a password replaced: it is an invalid URL, or not a URL at all.
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::config::values::listen_address;
    use std::net::SocketAddr;

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
}
