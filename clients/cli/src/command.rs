//! The tree of commands: `orders NOUN VERB`.

use clap::{Arg, ArgMatches, Args, Command};

use crate::connection::Connection;
use crate::output::{EXIT_CODES, Printer};
use crate::{order_service, user_service};

const ABOUT: &str = "Calls the operations of user-service and order-service";

const OUTPUT: &str = "\
Output:
  The answer is JSON on stdout: indented on a terminal, else on one line. A list is one JSON object
  after the other, each on a line of its own (NDJSON), printed as the pages arrive. What has no
  answer, such as a delete, prints nothing.
  An error is the service's JSON on stderr: {request_id, error_code, message}; decide by error_code.
  Where no service answered it is {message}; a wrong command is explained in words.";

const LIST: &str = "\
The command turns the pages itself. It prints one JSON object after the other: indented on a terminal, \
else each on a line of its own.";

const BODY: &str = "A file with the whole body as JSON, in place of its options; /dev/stdin reads a pipe";

/// What the document says of a command beside what progenitor takes from it.
pub(crate) struct Entry {
    /// The first word: the first of the operation's id, or the service if that has only one.
    pub(crate) noun: &'static str,
    /// What the operation's tag says of the noun.
    pub(crate) group: &'static str,
    /// The second word: the rest of the operation's id.
    pub(crate) verb: &'static str,
    /// The options that stand for the fields of the body, each with whether it is required.
    pub(crate) body: &'static [(&'static str, bool)],
}

/// An operation of one of the services.
#[derive(Clone, Copy)]
pub(crate) enum Operation {
    User(user_service::CliCommand),
    Order(order_service::CliCommand),
}

impl Operation {
    fn all() -> impl Iterator<Item = Self> {
        user_service::CliCommand::iter().map(Self::User).chain(order_service::CliCommand::iter().map(Self::Order))
    }

    fn entry(self) -> Entry {
        match self {
            Self::User(command) => command.entry(),
            Self::Order(command) => command.entry(),
        }
    }

    fn command(self) -> Command {
        let entry = self.entry();
        let command = match self {
            Self::User(command) => user_service::Cli::<&Printer<'_>>::get_command(command),
            Self::Order(command) => order_service::Cli::<&Printer<'_>>::get_command(command),
        };
        // progenitor puts summary and description into `about`, where lists of commands would show all of it.
        let whole = command.get_about().map(ToString::to_string).unwrap_or_default();
        let summary = whole.lines().next().unwrap_or_default().to_owned();
        let command = command.name(entry.verb).about(summary).long_about(whole).mut_args(with_value_name);
        let has = |name: &str| command.get_arguments().any(|argument| argument.get_id() == name);
        if has("json-body") {
            let usage = usage(&entry, &command);
            let fields = entry.body.iter().map(|(field, _)| *field);
            command.mut_arg("json-body", |body| body.help(BODY).conflicts_with_all(fields)).override_usage(usage)
        } else if has("limit") {
            command.after_long_help(LIST)
        } else {
            command
        }
    }
}

/// The usage of a command with a body: clap leaves out what is required only in the absence of something else.
fn usage(entry: &Entry, command: &Command) -> String {
    let shown = |name: &str| format!("--{name} <{}>", name.to_uppercase());
    let mut start = format!("orders {} {}", entry.noun, entry.verb);
    for argument in command.get_arguments().filter(|argument| argument.is_required_set()) {
        start = format!("{start} {}", shown(argument.get_id().as_str()));
    }
    let fields = entry.body.iter().map(|(field, required)| match required {
        true => shown(field),
        false => format!("[{}]", shown(field)),
    });
    let fields = fields.collect::<Vec<_>>().join(" ");
    format!("{start} {fields} [OPTIONS]\n       {start} --json-body <JSON-FILE> [OPTIONS]")
}

fn with_value_name(argument: Arg) -> Arg {
    let name = argument.get_id().as_str().to_uppercase();
    if argument.get_value_names().is_some() { argument } else { argument.value_name(name) }
}

/// The whole command line.
pub(crate) fn orders() -> Command {
    let mut nouns: Vec<Command> = Vec::new();
    for operation in Operation::all() {
        let Entry { noun, group, .. } = operation.entry();
        let at = nouns.iter().position(|known| known.get_name() == noun).unwrap_or_else(|| {
            nouns.push(Command::new(noun).about(group).subcommand_required(true).arg_required_else_help(true));
            nouns.len() - 1
        });
        nouns[at] = nouns[at].clone().subcommand(operation.command());
    }
    Connection::augment_args(Command::new("orders"))
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .long_about(None)
        .after_help(EXIT_CODES)
        .after_long_help(format!("{OUTPUT}\n\n{EXIT_CODES}"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommands(nouns)
}

/// The operation that `matches` of [`orders`] name, with its own matches.
pub(crate) fn chosen(matches: &ArgMatches) -> Option<(Operation, &ArgMatches)> {
    let (noun, matches) = matches.subcommand()?;
    let (verb, matches) = matches.subcommand()?;
    let named = |operation: &Operation| operation.entry().noun == noun && operation.entry().verb == verb;
    Some((Operation::all().find(named)?, matches))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_of_commands_is_sound() {
        super::orders().debug_assert();
    }
}
