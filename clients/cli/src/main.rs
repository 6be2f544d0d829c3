//! `orders`: every operation of the platform's services as a command.
//!
//! Names, options and texts of the commands come from the services' OpenAPI documents: `cargo openapi generate` writes
//! `generated/` with progenitor. The tree of commands ([`command`]), the connection options ([`connection`]), and the
//! output with its exit codes ([`output`]) are written by hand, and name no service. [`reconcile`] compares several
//! services.

mod command;
mod connection;
mod entry;
mod output;
mod reconcile;
mod service;
#[rustfmt::skip]
#[path = "generated/services.rs"]
mod services;

use std::process::ExitCode;

use clap::ArgMatches;

use connection::Connection;
use output::{Exit, Printer};
use services::Operation;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let matches = command::orders().try_get_matches().unwrap_or_else(|error| command::with_hint(error).exit());
    if let Some(matches) = command::reconcile(&matches) {
        return reconcile::run(matches).await.into();
    }
    let Some((operation, matches)) = command::chosen(&matches) else {
        return Exit::Usage.into(); // clap accepts only commands of its tree
    };
    run(operation, matches).await.into()
}

async fn run(operation: Operation, matches: &ArgMatches) -> Exit {
    let connection = Connection::new(operation.service(), matches);
    let Connection { url, timeout_ms } = &connection;
    let printer = Printer::new(operation.service(), url, *timeout_ms, connection.proxy_variable());
    let http = match connection.client() {
        Ok(http) => http,
        Err(error) => return printer.fault(Exit::Fault, &error.to_string()),
    };
    match (operation.execute(&connection.url, http, &printer, matches).await, printer.exit()) {
        // Nothing is printed yet: reading the file of `--json-body` failed before the request was sent.
        (Err(error), Exit::Done) => printer.fault(Exit::Usage, &format!("{error:#}")),
        (_, exit) => exit,
    }
}
