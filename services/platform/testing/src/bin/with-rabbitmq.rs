//! `cargo with-rabbitmq COMMAND…`: runs a command with a temporary RabbitMQ broker.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use service_testing::{BROKER_VARIABLE, Broker, MANAGEMENT_VARIABLE};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    // Ctrl-C ends only the command: this process must still stop the broker.
    let _handler = signal(SignalKind::interrupt())?;
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().context("usage: cargo with-rabbitmq COMMAND…")?;
    let broker = Broker::start()?;
    let status = Command::new(&program)
        .args(arguments)
        .env(BROKER_VARIABLE, broker.url())
        .env(MANAGEMENT_VARIABLE, broker.management_url())
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    drop(broker);
    Ok(ExitCode::from(code))
}
