//! Every service in one process, with events in a SQLite file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Result;
use harness::process::Settings;
use harness::topology;
use service_runtime::events::Transport;
use service_testing::Kind;
use tempfile::TempDir;

use crate::journal::Journal;
use crate::messages::embedded;
use crate::program::{Program, free_addresses};
use crate::run::Run;

/// The process and its files.
#[derive(Debug)]
pub(crate) struct AllInOne<'a> {
    pub(crate) program: Program<'a>,
    /// Of each service; they stay.
    addresses: BTreeMap<&'static str, SocketAddr>,
    directory: TempDir,
}

impl<'a> AllInOne<'a> {
    /// Starts it, with `more` settings than it needs.
    pub(crate) async fn start(run: &'a Run, more: Settings) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let services = &topology::platform().services;
        let free = free_addresses(services.len());
        let mut settings = more;
        settings.push(("DATA_DIRECTORY".to_owned(), directory.path().display().to_string()));
        settings.push(("DEMO".to_owned(), "false".to_owned()));
        let mut addresses = BTreeMap::<&str, _>::new();
        for (service, address) in services.iter().zip(&free) {
            settings.push((format!("{}_LISTEN_ADDRESS", service.variable()), address.to_string()));
            addresses.insert(&service.name, *address);
        }
        let mut program = Program::new(run, "all-in-one", settings, free);
        program.start(&[]).await?;
        Ok(Self { program, addresses, directory })
    }

    /// Where the service `name` is.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.addresses[name]
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The queues, while the process does not run.
    pub(crate) async fn events(&self) -> Result<Transport> {
        embedded(&self.file("events.db")).await
    }

    /// A look into the database of the service `name`.
    pub(crate) fn journal(&self, name: &str) -> Journal {
        Journal::new(Kind::Sqlite, format!("sqlite:{}", self.file(&format!("{name}.db")).display()))
    }
}
