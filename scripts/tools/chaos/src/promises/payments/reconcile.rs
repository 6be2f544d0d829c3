//! What `orders admin reconcile` says, the command that compares the services for an operator.

use std::process::{Command, Output};

use anyhow::Result;
use harness::topology;
use tokio::task::block_in_place;

use crate::run::Run;
use crate::site::Site;

/// The exit code if something does not agree.
const DISAGREEMENT: i32 = 7;

/// What the command says.
#[derive(Debug)]
pub(super) struct Reconciled {
    /// Whether it found something that does not agree.
    pub(super) found: bool,
    /// Its first and its last line.
    pub(super) text: String,
}

/// Runs the command; `None` if the program has no such command.
pub(super) fn reconcile(run: &Run, site: &Site<'_>, services: &[&str]) -> Result<Option<Reconciled>> {
    let orders = |arguments: &[&str]| -> Result<Output> {
        let mut command = Command::new(run.program("orders"));
        command.env_clear().current_dir(run.logs.directory()).args(arguments);
        for service in topology::platform().services.iter().filter(|service| services.contains(&&*service.name)) {
            command.env(format!("{}_URL", service.variable()), format!("http://{}", site.address(&service.name)));
        }
        Ok(block_in_place(|| command.output())?)
    };
    if !orders(&["admin", "reconcile", "--help"])?.status.success() {
        return Ok(None);
    }
    let Output { status, stdout, stderr } = orders(&["admin", "reconcile", "--timeout-ms", "20000"])?;
    let text = String::from_utf8_lossy(if stdout.is_empty() { &stderr } else { &stdout }).into_owned();
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let text = lines.last().map_or_else(|| first.to_owned(), |last| format!("{first} … {last}"));
    let found = status.code() != Some(0);
    let text = if status.code() == Some(DISAGREEMENT) || !found { text } else { format!("{status}: {text}") };
    Ok(Some(Reconciled { found, text }))
}
