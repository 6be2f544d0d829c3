//! Instructions of a request, counted by callgrind: a figure that hardly depends on what else the machine does.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::data::Places;
use crate::http::Connection;
use crate::load::Requests;
use crate::plan::{Kind, Operation, Side};
use crate::platform::{Platform, Stores, requests};
use crate::program::Program;
use crate::progress::Progress;

/// How many requests are sent before counting: connections are made, statements prepared.
const WARM_UP: usize = 100;
/// How many are counted.
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

/// Whether valgrind is at hand.
pub(crate) fn is_installed() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Counts for each operation and side, over one connection.
pub(crate) async fn measure(
    places: &Places<'_>,
    database: Kind,
    sides: &[Side],
    operations: &[Operation],
    progress: &mut Progress,
) -> Result<Vec<Count>> {
    let mut counts = Vec::new();
    for side in sides {
        let stores =
            Stores::create(places, database, &format!("callgrind-{side}"), crate::platform::ORDERS, |_| {}).await?;
        let output =
            ["user-service", "order-service"].map(|name| places.directory.join(format!("{side}.{database}.{name}")));
        let prefix = output.each_ref().map(|path| valgrind(path));
        let platform = Platform::start(places, *side, &stores, &prefix)?;
        let services = [("user-service", &platform.users, &output[0]), ("order-service", &platform.orders, &output[1])];
        for (number, operation) in operations.iter().enumerate() {
            let address = platform.answering(*operation).address;
            let requests = requests(*operation);
            send(address, &requests, WARM_UP).await?;
            for (_, program, _) in services {
                control("--zero", program)?;
            }
            send(address, &requests, COUNTED).await?;
            for (service, program, output) in services {
                control("--dump", program)?;
                let text = std::fs::read_to_string(format!("{}.{}", output.display(), number + 1))?;
                let total = total(&text).context("callgrind wrote what is not understood")?;
                let instructions = total / COUNTED as f64;
                // A service that was not asked only kept its timers.
                if *operation == Operation::PostOrder || std::ptr::eq(program, platform.answering(*operation)) {
                    counts.push(Count { database, operation: *operation, side: *side, service, instructions });
                }
            }
            progress.step(&format!("{database}, {operation}, {side}, instructions"));
        }
    }
    Ok(counts)
}

fn valgrind(output: &Path) -> Vec<OsString> {
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(output);
    vec!["/usr/bin/env".into(), "valgrind".into(), "--tool=callgrind".into(), "--quiet".into(), file]
}

fn control(action: &str, program: &Program) -> Result<()> {
    let output =
        Command::new("callgrind_control").arg(action).arg(program.id().to_string()).env_remove("TMPDIR").output()?;
    ensure!(output.status.success(), "callgrind_control: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn send(address: SocketAddr, requests: &Requests, count: usize) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    for request in requests.bytes.iter().cycle().take(count) {
        let status = connection.send(request).await?;
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
    fn a_dump_tells_its_total() {
        let text = "version: 1\npart: 1\nevents: Ir\nsummary: 12345\n\nfn=(1) main\n3 12\n\ntotals: 12345\n";
        assert_eq!(total(text), Some(12_345.0));
        assert_eq!(total("events: Ir\n"), None);
    }
}
