//! Instructions per request, counted by callgrind: hardly affected by other load on the machine.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use harness::http::Client;
use harness::topology::Service;
use serde::Serialize;

use crate::data::Environment;
use crate::load::Requests;
use crate::plan::{Kind, ORDER_SERVICE, Operation, PRODUCT_SERVICE, Side, USER_SERVICE};
use crate::platform::{ORDERS, create_filled, requests, reserve, start};
use crate::progress::Progress;

/// How many requests are sent before counting, to open connections and prepare statements.
const WARM_UP: usize = 100;
/// How many requests are counted.
const COUNTED: usize = 500;

/// What a request of an operation costs a service.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Count {
    pub(crate) database: Kind,
    pub(crate) operation: Operation,
    pub(crate) side: Side,
    pub(crate) service: &'static str,
    pub(crate) instructions: f64,
}

/// Whether valgrind is installed.
pub(crate) fn is_installed() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Counts for each operation and side, over one connection.
pub(crate) async fn measure(
    environment: &Environment,
    database: Kind,
    sides: &[Side],
    operations: &[Operation],
    progress: &mut Progress,
) -> Result<Vec<Count>> {
    let mut counts = Vec::new();
    for side in sides {
        let name = format!("callgrind-{side}{}", if reserve(operations) { "-reserving" } else { "" });
        let databases = create_filled(environment, database, &name, ORDERS).await?;
        let output = |service: &Service| -> PathBuf {
            environment.directory.path().join(format!("{side}.{database}.{}", service.name))
        };
        let platform = start(environment, *side, &databases, operations, |service| valgrind(&output(service))).await?;
        for (number, operation) in operations.iter().enumerate() {
            let called = &platform[operation.service()];
            let requests = requests(*operation);
            send(called.instance.address, &requests, WARM_UP).await?;
            for member in &platform.members {
                control("--zero", member.instance.process.id())?;
            }
            send(called.instance.address, &requests, COUNTED).await?;
            for member in &platform.members {
                control("--dump", member.instance.process.id())?;
                let dump = format!("{}.{}", output(member.service).display(), number + 1);
                let total = total(&std::fs::read_to_string(dump)?).context("a dump of callgrind has no total")?;
                let instructions = total / COUNTED as f64;
                let service = &member.service.name;
                // A service that takes no part in the operation has only run its timers.
                if takes_part(*operation, service) {
                    counts.push(Count { database, operation: *operation, side: *side, service, instructions });
                }
            }
            progress.step(&format!("{database}, {operation}, {side}, instructions"));
        }
    }
    Ok(counts)
}

fn takes_part(operation: Operation, service: &str) -> bool {
    match (operation.service(), service) {
        (ORDER_SERVICE, USER_SERVICE) => operation != Operation::GetOrder,
        (ORDER_SERVICE, PRODUCT_SERVICE) => operation.reserved_items() > 0,
        (called, service) => called == service,
    }
}

fn valgrind(output: &Path) -> Vec<OsString> {
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(output);
    vec!["/usr/bin/env".into(), "valgrind".into(), "--tool=callgrind".into(), "--quiet".into(), file]
}

fn control(action: &str, process: u32) -> Result<()> {
    let output =
        Command::new("callgrind_control").arg(action).arg(process.to_string()).env_remove("TMPDIR").output()?;
    ensure!(output.status.success(), "callgrind_control: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn send(address: SocketAddr, requests: &Requests, count: usize) -> Result<()> {
    let mut client = Client::new(address, None);
    for _ in 0..count {
        let status = client.exchange(&requests.next()).await?;
        ensure!(status == requests.expected, "an answer under callgrind was {status}");
    }
    Ok(())
}

/// The instructions of one dump.
fn total(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_a_dump_is_found() {
        let text = "version: 1\npart: 1\nevents: Ir\nsummary: 12345\n\nfn=(1) main\n3 12\n\ntotals: 12345\n";
        assert_eq!(total(text), Some(12_345.0));
        assert_eq!(total("events: Ir\n"), None);
    }
}
