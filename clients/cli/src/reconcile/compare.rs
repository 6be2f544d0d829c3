//! Compares a snapshot: which rule is broken by what. Nothing here calls a service.

mod index;
mod ledger;
mod payment;
mod stock;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

use super::finding::Finding;
use super::snapshot::Snapshot;
use index::Index;

/// All that does not agree in `snapshot` at the time `now`.
pub(super) fn compare(snapshot: &Snapshot, now: DateTime<Utc>) -> Vec<Finding> {
    let index = Index::new(snapshot);
    let mut findings = payment::compare(&index, now);
    findings.extend(stock::compare(&index));
    if let Some(charges) = &snapshot.charges {
        findings.extend(ledger::compare(&index, charges, now));
    }
    findings
}
