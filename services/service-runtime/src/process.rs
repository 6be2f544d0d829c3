//! The life of a process: start, wait for a signal, stop.

use std::future::Future;
use std::process::ExitCode;

use anyhow::{Context, Result};
use slog::{Logger, info};
use tokio::signal::unix::{SignalKind, signal};

use crate::server::Server;

/// Runs the servers that `start` starts until SIGINT or SIGTERM, or until one fails; then stops them all.
///
/// No servers mean that there was only something to do once, such as a migration. A failure is one line on stderr
/// and exit code 1.
pub fn run<F>(name: &str, log: &Logger, start: F) -> ExitCode
where
    F: Future<Output = Result<Vec<Server>>>,
{
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure(name, &error.into()),
    };
    match runtime.block_on(serve(log, start)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(name, &error),
    }
}

async fn serve(log: &Logger, start: impl Future<Output = Result<Vec<Server>>>) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
    let mut servers = tokio::select! {
        started = start => started?,
        _ = interrupt.recv() => return Ok(()),
        _ = terminate.recv() => return Ok(()),
    };
    if servers.is_empty() {
        return Ok(());
    }
    let outcome = tokio::select! {
        error = first_fault(&mut servers) => Err(error),
        _ = interrupt.recv() => Ok("SIGINT"),
        _ = terminate.recv() => Ok("SIGTERM"),
    };
    if let Ok(signal) = outcome {
        info!(log, "stopping"; "signal" => signal);
    }
    // In the order opposite to the start: what calls others stops before what it calls.
    while let Some(server) = servers.pop() {
        server.stop().await;
    }
    outcome.map(|_| ())
}

async fn first_fault(servers: &mut [Server]) -> anyhow::Error {
    let faults = servers.iter_mut().map(|server| Box::pin(server.fault()));
    futures::future::select_all(faults).await.0
}

fn failure(name: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("{name}: {error:#}");
    ExitCode::FAILURE
}
