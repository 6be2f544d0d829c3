//! A program at addresses that stay when it is killed and started again.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use harness::process::{Instance, POLL_INTERVAL, Settings};
use tokio::time::sleep;

use crate::run::{Run, START_TIME_LIMIT};

/// A program of one or several services.
#[derive(Debug)]
pub(crate) struct Program<'a> {
    run: &'a Run,
    name: &'a str,
    settings: Settings,
    /// Of each service. Its settings name them.
    addresses: Vec<SocketAddr>,
    instance: Option<Instance>,
}

impl<'a> Program<'a> {
    /// A program that does not run yet.
    pub(crate) fn new(run: &'a Run, name: &'a str, settings: Settings, addresses: Vec<SocketAddr>) -> Self {
        Self { run, name, settings, addresses, instance: None }
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    /// Starts it, with `more` settings this time, and waits until it is ready at all its addresses.
    pub(crate) async fn start(&mut self, more: &[(String, String)]) -> Result<()> {
        let settings = [&self.settings, more].concat();
        let process = self.run.spawn_command(Command::new(self.run.program(self.name)), self.name, false, &settings)?;
        // It has announced the first service.
        self.instance = Some(process.serving(START_TIME_LIMIT).await?);
        let begin = Instant::now();
        for address in &self.addresses {
            while !Instance::is_ready(*address).await {
                ensure!(begin.elapsed() < START_TIME_LIMIT, "{} does not serve at {address}", self.name);
                sleep(POLL_INTERVAL).await;
            }
        }
        Ok(())
    }

    /// As a crash does.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let name = self.name;
        self.instance.take().with_context(|| format!("{name} does not run"))?.process.kill()
    }
}

/// So many addresses that are free. Their ports are none of those that the system gives to connections, which could take
/// them while a program does not run.
pub(crate) fn free_addresses(number: usize) -> Vec<SocketAddr> {
    let mut listeners = Vec::new();
    // All are bound before the first is released: otherwise two could be the same.
    while listeners.len() < number {
        listeners.extend(TcpListener::bind((Ipv4Addr::LOCALHOST, fastrand::u16(10_000..32_000))));
    }
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

/// What makes the clock of an instance ten minutes fast, but not the one that it measures durations with.
pub(crate) fn ahead() -> Result<[(String, String); 3]> {
    ahead_by(10)
}

/// What makes it so many minutes fast.
pub(crate) fn ahead_by(minutes: u32) -> Result<[(String, String); 3]> {
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    ensure!(Path::new(&library).exists(), "{library} is missing; on Debian: apt-get install libfaketime");
    let fast = format!("+{minutes}m");
    let values = [("LD_PRELOAD", &*library), ("FAKETIME", &*fast), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    Ok(values.map(|(name, value)| (name.to_owned(), value.to_owned())))
}
