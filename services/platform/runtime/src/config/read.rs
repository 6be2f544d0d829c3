//! Reading settings from flags, environment and `.env`, in this order of precedence.

use std::error::Error as _;
use std::process::exit;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};

use super::dotenv;
use crate::{stderr, telemetry};

/// The exit code for an invalid configuration, the same as clap's.
const EXIT_USAGE: i32 = 2;

/// Reads the values of the command that `build` makes. An invalid one ends the process with one clear line on stderr. An
/// empty variable counts as unset: Docker Compose makes one of `${NAME:-}`.
///
/// Call it before any thread is started: it adds the variables of `./.env` to the environment. clap reads the environment
/// while a command is built, hence `build`.
pub fn read(build: impl FnOnce() -> Command) -> ArgMatches {
    if let Err(problem) = dotenv::load().and_then(|()| telemetry::check_variables()) {
        refuse(&problem);
    }
    let command = build().mut_args(without_empty_variable);
    command.clone().try_get_matches().unwrap_or_else(|error| match explain(&error, command) {
        Some(explanation) => refuse(&explanation),
        None => error.exit(),
    })
}

/// Ends the process because of an invalid configuration, with one line on stderr.
pub fn refuse(problem: &str) -> ! {
    stderr::print(format_args!("error: {problem}"));
    exit(EXIT_USAGE)
}

/// `argument`, which its variable does not set.
pub(super) fn without_variable(argument: Arg) -> Arg {
    argument.env(Resettable::Reset)
}

fn without_empty_variable(argument: Arg) -> Arg {
    let value = argument.get_env().and_then(std::env::var_os);
    if value.is_some_and(|value| value.is_empty()) { without_variable(argument) } else { argument }
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
    match error.source() {
        Some(expected) => Some(format!("{name} is \"{}\": {expected}", without_password(&value))),
        None if value.is_empty() => {
            let form = argument.get_value_names()?.first()?;
            let help = argument.get_help().map(|help| format!(" ({help})")).unwrap_or_default();
            Some(format!("{name} has no value: expected a value, {form}{help}"))
        }
        None => None,
    }
}

/// `text` with anything that may be a password replaced: it is an invalid URL, or not a URL at all.
fn without_password(text: &str) -> String {
    let mut text = text.to_owned();
    let authority = text.find("://").map_or(0, |scheme_end| scheme_end + "://".len());
    if let Some(at) = text.rfind('@') {
        if let Some(colon) = text.get(authority..at).and_then(|user| user.find(':')) {
            text.replace_range(authority + colon + 1..at, "***");
        }
    } else if let Some(colon) = text[authority..].find(':').map(|colon| authority + colon + 1) {
        // What stands where a port is expected may be a password whose `@` is missing.
        let end = text[colon..].find(['/', '?']).map_or(text.len(), |length| colon + length);
        if authority > 0 && !text[colon..end].bytes().all(|byte| byte.is_ascii_digit()) {
            text.replace_range(colon..end, "***");
        }
    }
    if let Some(parameter) = text.to_ascii_lowercase().find("password=") {
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
        /// Where to listen.
        #[arg(long, env = "SOME_LISTEN_ADDRESS", value_name = "IP:PORT", value_parser = listen_address, default_value = "127.0.0.1:1")]
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
    fn a_missing_value_is_explained_by_what_is_expected() {
        let text = explanation(&["x", "--listen-address"]);
        let expected =
            "SOME_LISTEN_ADDRESS (--listen-address) has no value: expected a value, IP:PORT (Where to listen)";
        assert_eq!(text, expected);
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
            "postgres://host/db?PASSWORD=secret",
            "postgres://me@host/db?password=secret&sslmode=on",
        ] {
            let text = explanation(&["x", "--database-url", url]);
            assert!(text.starts_with("SOME_DATABASE_URL (--database-url) is "), "{text}");
            assert!(!text.contains("cret") && text.contains("host"), "{text}");
        }
    }
}
