//! `orders`: every operation of user-service and order-service as a command.
//!
//! What each command is called, takes and says comes from the services' OpenAPI documents: `generated/` is made by
//! progenitor through `cargo openapi generate`. By hand are the tree of commands ([`command`]), where the services
//! are ([`connection`]), and what is printed and which exit code that gives ([`output`]).

mod command;
mod connection;
mod output;

#[rustfmt::skip]
#[allow(clippy::all, clippy::unwrap_used, dead_code, elided_lifetimes_in_paths, unreachable_pub, unused_imports, unused_variables)]
#[path = "generated/order_service.rs"]
mod order_service;
#[rustfmt::skip]
#[allow(clippy::all, clippy::unwrap_used, dead_code, elided_lifetimes_in_paths, unreachable_pub, unused_imports, unused_variables)]
#[path = "generated/user_service.rs"]
mod user_service;

use std::process::ExitCode;

use clap::{ArgMatches, FromArgMatches};

use command::Operation;
use connection::Connection;
use output::{Exit, Printer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let matches = command::orders().get_matches();
    let connection = Connection::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let Some((operation, matches)) = command::chosen(&matches) else {
        return Exit::Usage.into(); // clap lets no command through that is not in its tree
    };
    run(operation, matches, &connection).await.into()
}

async fn run(operation: Operation, matches: &ArgMatches, connection: &Connection) -> Exit {
    let (service, url) = match operation {
        Operation::User(_) => ("user-service", &connection.user_service_url),
        Operation::Order(_) => ("order-service", &connection.order_service_url),
    };
    let printer = Printer::new(service, url, connection.timeout_ms);
    let client = match connection.client() {
        Ok(client) => client,
        Err(error) => return printer.fault(Exit::Fault, &error.to_string()),
    };
    let result = match operation {
        Operation::User(command) => {
            let client = user_client::Client::new_with_client(url, client, user_client::policy::Policy::none());
            user_service::Cli::new(client, &printer).execute(command, matches).await
        }
        Operation::Order(command) => {
            let client = order_client::Client::new_with_client(url, client);
            order_service::Cli::new(client, &printer).execute(command, matches).await
        }
    };
    match (result, printer.exit()) {
        // Not told yet: it failed before there was a request, over the file of `--json-body`.
        (Err(error), Exit::Done) => printer.fault(Exit::Usage, &format!("{error:#}")),
        (_, exit) => exit,
    }
}
