//! `orders admin reconcile`: compares what the services have stored, and lists what does not agree.
//!
//! [`read`] asks the services for a [`snapshot`], [`compare`] makes [`finding`]s of it.

mod compare;
mod finding;
mod read;
mod snapshot;

use std::collections::HashSet;
use std::time::{Duration, Instant};

use chrono::Utc;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::output::{Exit, print};
use compare::compare;
use finding::Finding;
use snapshot::{Counts, Snapshot};

/// The verb of the command.
pub(crate) const NAME: &str = "reconcile";

const GRACE: &str = "grace-s";
const WITHOUT_LEDGER: &str = "without-ledger";
/// The time between two comparisons.
const INTERVAL: Duration = Duration::from_secs(1);

const ABOUT: &str = "Compare what the services have stored";

const LONG_ABOUT: &str = "\
Compare what the services have stored

Reads all orders, payments, reservations and products, and the charges in the ledger of the payment provider, and \
lists what does not agree: for instance an order that is cancelled, but not refunded. It changes nothing.

The services go on while they are read, so the command compares again until nothing is found or the time of --grace-s \
is over, and lists only what it has found each time. Amounts are in the smallest unit of the currency.

A finding is a line: its code, what it is about, what was found, and what to do. The last line has the numbers. On a \
terminal it is text, else JSON.";

/// The command.
pub(crate) fn command() -> Command {
    let grace = Arg::new(GRACE)
        .long(GRACE)
        .value_name("S")
        .default_value("10")
        .value_parser(value_parser!(u32))
        .help("The seconds for which to compare again, until nothing is found");
    let without_ledger = Arg::new(WITHOUT_LEDGER)
        .long(WITHOUT_LEDGER)
        .action(ArgAction::SetTrue)
        .help("Leave out the ledger, where another provider than payment-provider is used");
    Command::new(NAME).about(ABOUT).long_about(LONG_ABOUT).args([grace, without_ledger])
}

/// Runs the command.
pub(crate) async fn run(matches: &ArgMatches) -> Exit {
    let grace = matches.get_one::<u32>(GRACE).map_or(Duration::ZERO, |grace| Duration::from_secs((*grace).into()));
    let with_ledger = !matches.get_flag(WITHOUT_LEDGER);
    let started = Instant::now();
    let mut known: Option<HashSet<Finding>> = None;
    loop {
        let now = Utc::now();
        let snapshot = match read::snapshot(matches, with_ledger).await {
            Ok(snapshot) => snapshot,
            Err(exit) => return exit,
        };
        let mut findings = compare(&snapshot, now);
        if let Some(known) = known {
            findings.retain(|finding| known.contains(finding));
        }
        let left = grace.saturating_sub(started.elapsed());
        if findings.is_empty() || left.is_zero() {
            return report(&snapshot, &findings);
        }
        known = Some(findings.into_iter().collect());
        tokio::time::sleep(left.min(INTERVAL)).await;
    }
}

fn report(snapshot: &Snapshot, findings: &[Finding]) -> Exit {
    let counts = Counts::of(snapshot, findings.len());
    let printed = findings.iter().try_for_each(print).and_then(|()| print(&counts));
    match printed {
        Err(exit) => exit,
        Ok(()) if findings.is_empty() => Exit::Done,
        Ok(()) => Exit::Disagreement,
    }
}
