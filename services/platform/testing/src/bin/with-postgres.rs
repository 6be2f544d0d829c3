//! `cargo with-postgres COMMAND…`: runs a command with a temporary PostgreSQL cluster.

use std::io::Write;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use service_testing::{CLUSTER_VARIABLE, Cluster};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    // Ctrl-C ends only the command: this process must still stop the cluster.
    let _handler = signal(SignalKind::interrupt())?;
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().context("usage: cargo with-postgres COMMAND…")?;
    let cluster = Cluster::start()?;
    let status = Command::new(&program)
        .args(arguments)
        .env(CLUSTER_VARIABLE, cluster.socket_directory())
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    if let Some(report) = cluster.crash_report() {
        writeln!(std::io::stderr(), "PostgreSQL crashed:\n{report}")?;
    }
    drop(cluster);
    Ok(ExitCode::from(code))
}
