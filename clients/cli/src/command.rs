//! The tree of commands: `orders NOUN VERB`.

use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command};

use crate::connection::Connection;
use crate::entry::Entry;
use crate::output::EXIT_CODES;
use crate::reconcile;
use crate::services::{Operation, SERVICES};

const OUTPUT: &str = "\
Output:
  The answer is JSON on stdout: indented on a terminal, else on one line. A list is one JSON object
  after the other, each on a line of its own (NDJSON), printed as the pages arrive. A command
  without an answer, such as a delete, prints nothing.
  An error is the service's JSON on stderr: {request_id, error_code, message}; decide by error_code.
  Without an answer of a service it is {message}; a wrong command is explained in plain text.";

const LIST: &str = "\
The command fetches all pages. It prints one JSON object after the other: indented on a terminal, \
else each on a line of its own.";

/// The noun of commands that belong to no service.
const ADMIN: &str = "admin";

const WHOLE_BODY: &str = "A file with the body as JSON; - reads stdin";

const BODY: &str = "A file with the whole body as JSON, in place of its options; - reads stdin";

/// The noun and the verb of an operation's command. An operation that several services have is named after its service.
fn words(operation: Operation) -> (&'static str, String) {
    let Entry { noun, verb, .. } = operation.entry();
    let is_alike = |other: &Operation| (other.entry().noun, other.entry().verb) == (noun, verb);
    match Operation::all().filter(is_alike).count() {
        1 => (noun, verb.to_owned()),
        _ => (operation.service(), format!("{noun}-{verb}")),
    }
}

/// The command of an operation.
fn command(operation: Operation) -> Command {
    let entry = operation.entry();
    let command = operation.definition();
    // progenitor puts summary and description into `about`, which lists of commands would show completely.
    let whole = command.get_about().map(ToString::to_string).unwrap_or_default();
    let summary = whole.lines().next().unwrap_or_default().to_owned();
    let command = command.name(words(operation).1).about(summary).long_about(whole).mut_args(with_value_name);
    let has = |name: &str| command.get_arguments().any(|argument| argument.get_id() == name);
    if has("json-body") {
        let whole = is_whole(&command);
        let usage = usage(operation, &command);
        let fields = entry.body.iter().map(|(field, _)| *field);
        let parser = PathBufValueParser::new().map(readable);
        let help = if whole { WHOLE_BODY } else { BODY };
        let body = |body: Arg| body.help(help).value_parser(parser).conflicts_with_all(fields.clone());
        let command = command.mut_arg("json-body", body).override_usage(usage);
        let hidden = fields.filter(|_| whole);
        hidden.fold(command, |command, field| command.mut_arg(field, |field| field.hide(true)))
    } else if has("limit") {
        command.after_long_help(LIST)
    } else {
        command
    }
}

/// Whether a command takes its body only as a whole, because a field that it needs is an object or a list, for which there
/// is no option.
fn is_whole(command: &Command) -> bool {
    command.get_arguments().any(|argument| argument.get_id() == "json-body" && argument.is_required_set())
}

/// The usage of a command with a body: clap omits options that are required only in the absence of another.
fn usage(operation: Operation, command: &Command) -> String {
    let (noun, verb) = words(operation);
    let shown = |name: &str| format!("--{name} <{}>", name.to_uppercase());
    let mut start = format!("orders {noun} {verb}");
    let required = command.get_arguments().filter(|argument| argument.is_required_set());
    for argument in required.filter(|argument| argument.get_id() != "json-body") {
        start = format!("{start} {}", shown(argument.get_id().as_str()));
    }
    if is_whole(command) {
        return format!("{start} --json-body <JSON-FILE> [OPTIONS]");
    }
    let fields = operation.entry().body.iter().map(|(field, required)| match required {
        true => shown(field),
        false => format!("[{}]", shown(field)),
    });
    let fields = fields.collect::<Vec<_>>().join(" ");
    format!("{start} {fields} [OPTIONS]\n       {start} --json-body <JSON-FILE> [OPTIONS]")
}

/// The file to read for `path`: `-` is stdin.
fn readable(path: PathBuf) -> PathBuf {
    if path == Path::new("-") { "/dev/stdin".into() } else { path }
}

fn with_value_name(argument: Arg) -> Arg {
    let name = argument.get_id().as_str().to_uppercase();
    if argument.get_value_names().is_some() { argument } else { argument.value_name(name) }
}

/// The whole command line.
pub(crate) fn orders() -> Command {
    let mut nouns: Vec<Command> = Vec::new();
    for operation in Operation::all() {
        let (noun, _) = words(operation);
        let at = nouns.iter().position(|known| known.get_name() == noun).unwrap_or_else(|| {
            let own = Operation::all().map(Operation::entry).find(|entry| entry.noun == noun);
            let group = own.map_or(noun, |entry| entry.group);
            nouns.push(Command::new(noun).about(group).subcommand_required(true).arg_required_else_help(true));
            nouns.len() - 1
        });
        nouns[at] = nouns[at].clone().subcommand(command(operation));
    }
    let services: Vec<&str> = SERVICES.iter().map(|service| service.name).collect();
    Connection::add_options(Command::new("orders"))
        .version(env!("CARGO_PKG_VERSION"))
        .about(format!("Calls the operations of {}", services.join(", ")))
        .long_about(None)
        .after_help(EXIT_CODES)
        .after_long_help(format!("{OUTPUT}\n\n{EXIT_CODES}"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(nouns)
        .subcommand(
            Command::new(ADMIN)
                .about("What concerns several services, for people who run the platform.")
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommand(reconcile::command()),
        )
}

/// `error` of parsing the command line, with a hint if a value was taken for an option.
pub(crate) fn with_hint(mut error: clap::Error) -> clap::Error {
    let unknown = error.get(ContextKind::InvalidArg);
    let is_short = matches!(unknown, Some(ContextValue::String(name)) if !name.starts_with("--"));
    if error.kind() == ErrorKind::UnknownArgument && is_short {
        let hint = "a value that begins with '-' follows '=', as in --name=-Ada";
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![hint.into()]));
    }
    error
}

/// The matches of `admin reconcile`, if `matches` of [`orders`] select it.
pub(crate) fn reconcile(matches: &ArgMatches) -> Option<&ArgMatches> {
    matches.subcommand_matches(ADMIN)?.subcommand_matches(reconcile::NAME)
}

/// The operation that `matches` of [`orders`] select, with its own matches.
pub(crate) fn chosen(matches: &ArgMatches) -> Option<(Operation, &ArgMatches)> {
    let (noun, matches) = matches.subcommand()?;
    let (verb, matches) = matches.subcommand()?;
    let named = |operation: &Operation| words(*operation) == (noun, verb.to_owned());
    Some((Operation::all().find(named)?, matches))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_commands_is_valid() {
        orders().debug_assert();
    }

    #[test]
    fn an_operation_of_several_services_is_named_after_its_service() {
        for service in ["payment-service", "payment-provider"] {
            let matches = orders().try_get_matches_from(["orders", service, "refund-view", "--help"]);
            assert_eq!(matches.unwrap_err().kind(), ErrorKind::DisplayHelp);
            let of_service: Vec<_> = Operation::all().filter(|operation| words(*operation).0 == service).collect();
            assert!(of_service.iter().all(|operation| operation.service() == service));
            let verbs: Vec<_> = of_service.into_iter().map(|operation| words(operation).1).collect();
            assert_eq!(verbs, ["refund-create", "refund-view", "health", "ready"]);
        }
    }
}
