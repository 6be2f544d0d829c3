//! How fast the services are meant to be, and whether they were.

use crate::curve::{Point, REQUESTS};
use crate::figures::{Spread, short};
use crate::measure::{Measurement, Processes};
use crate::plan::{Kind, Operation, Side};
use crate::results::{Cell, Results};

/// How much more a request may cost among the most orders than among a thousand and still count as flat: the difference of
/// two measurements of the same on a busy machine.
const FLAT: f64 = 1.25;

/// What a figure has to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One thing that was promised.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) bound: Bound,
    pub(crate) seen: Spread,
    /// Whether some of our requests failed, so that the figure cannot count.
    pub(crate) failures: bool,
}

impl Target {
    /// The median counts.
    pub(crate) fn is_met(&self) -> bool {
        let within = match self.bound {
            Bound::AtLeast(least) => self.seen.median >= least,
            Bound::AtMost(most) => self.seen.median <= most,
        };
        within && !self.failures
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "at least {}", short(*least)),
            Self::AtMost(most) => write!(f, "at most {}", short(*most)),
        }
    }
}

/// All targets that the run has figures for.
pub(crate) fn judge(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    for cell in results.cells() {
        beside_the_peer(results, cell, &mut targets);
        beside_the_ceiling(results, cell, &mut targets);
    }
    for database in [Kind::Sqlite, Kind::Postgres] {
        memory(results, database, &mut targets);
        starts(results, database, &mut targets);
        curve(results, database, &mut targets);
    }
    targets
}

/// The least multiple of the peer's throughput, and the most of its processor time.
fn promised(cell: Cell) -> (f64, Option<f64>) {
    match (cell.database, cell.operation, cell.connections) {
        (_, _, 1) => (1.0, None),
        (Kind::Postgres, Operation::PostOrder, ..=255) => (2.5, Some(0.5)),
        (Kind::Postgres, Operation::PostOrder, _) => (4.0, Some(0.5)),
        (Kind::Postgres, _, _) => (2.5, Some(0.5)),
        (Kind::Sqlite, Operation::PostOrder, _) => (8.0, Some(0.2)),
        (Kind::Sqlite, _, _) => (2.0, None),
    }
}

fn beside_the_peer(results: &Results, cell: Cell, targets: &mut Vec<Target>) {
    let (throughput, cpu) = promised(cell);
    let failures = results.failed(cell, Side::Ours) > 0.0;
    let mut add = |what: &str, bound: Bound, figure: fn(&Measurement) -> f64| {
        if let Some(seen) = results.ratio(cell, Side::Peer, figure) {
            targets.push(Target { what: format!("{}: {what}", name(cell)), bound, seen, failures });
        }
    };
    add("throughput, of the peer's", Bound::AtLeast(throughput), |seen| seen.requests_per_s);
    if let Some(cpu) = cpu {
        add("CPU of the services, of the peer's", Bound::AtMost(cpu), |seen| seen.cpu_ms.services());
        if cell.database == Kind::Postgres {
            add("CPU with PostgreSQL's, of the peer's", Bound::AtMost(cpu), |seen| seen.cpu_ms.with_database());
        }
    }
}

fn beside_the_ceiling(results: &Results, cell: Cell, targets: &mut Vec<Target>) {
    let least = match (cell.operation, cell.connections) {
        (Operation::PostOrder, 256) => 1.0,
        (Operation::PostOrder, 32) => 0.7,
        _ => return,
    };
    if let Some(seen) = results.ratio(cell, Side::Ceiling, |seen| seen.requests_per_s) {
        targets.push(Target {
            what: format!("{}: throughput, of pgbench's inserts", name(cell)),
            bound: Bound::AtLeast(least),
            seen,
            failures: results.failed(cell, Side::Ours) > 0.0,
        });
    }
}

fn memory(results: &Results, database: Kind, targets: &mut Vec<Target>) {
    let mut add = |service: &str, figure: fn(&Processes) -> Option<f64>| {
        let ours = results.load.iter().filter(|seen| seen.side == Side::Ours && seen.database == database);
        // The most counts, not the median: each load is a different one.
        if let Some(all) = Spread::of(ours.filter_map(|seen| figure(&seen.memory_mb))) {
            let what = format!("{database}: most memory of {service} in MB");
            let seen = Spread { median: all.max, min: all.max, max: all.max };
            targets.push(Target { what, bound: Bound::AtMost(30.0), seen, failures: false });
        }
    };
    add("user-service", |memory| memory.user_service);
    add("order-service", |memory| memory.order_service);
}

fn starts(results: &Results, database: Kind, targets: &mut Vec<Target>) {
    let most = if database == Kind::Postgres { 100.0 } else { 20.0 };
    for service in ["user-service", "order-service"] {
        for first in [false, true] {
            let ours = results.starts.iter().filter(|start| {
                (start.database, start.side, start.service, start.first) == (database, Side::Ours, service, first)
            });
            if let Some(seen) = Spread::of(ours.map(|start| start.ms)) {
                let when = if first { ", the first on an empty database" } else { "" };
                let what = format!("{database}: start of {service} until healthy in ms{when}");
                targets.push(Target { what, bound: Bound::AtMost(most), seen, failures: false });
            }
        }
    }
}

fn curve(results: &Results, database: Kind, targets: &mut Vec<Target>) {
    for request in REQUESTS {
        let of = |orders: i64| {
            let points = results
                .curve
                .iter()
                .filter(move |point| (point.database, point.request, point.orders) == (database, request, orders));
            points.collect::<Vec<&Point>>()
        };
        let Some(largest) = results.curve.iter().map(|point| point.orders).max() else { return };
        let ratios = of(largest).into_iter().filter_map(|most| {
            let least = of(1000).into_iter().find(|least| least.round == most.round)?;
            Some(most.cpu_ms / least.cpu_ms)
        });
        if let Some(seen) = Spread::of(ratios) {
            let what = format!("{database}: CPU of {} among {largest} orders, of that among 1000", request.name());
            let failures = of(largest).iter().any(|point| point.failed > 0);
            targets.push(Target { what, bound: Bound::AtMost(FLAT), seen, failures });
        }
    }
}

fn name(cell: Cell) -> String {
    format!("{}, {}, {} connections", cell.database, cell.operation, cell.connections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::measurement;

    fn judged(ours: Measurement) -> Vec<(String, bool)> {
        let load = vec![ours, measurement(Side::Peer, 0, 1000.0, 10.0), measurement(Side::Ceiling, 0, 4000.0, 0.0)];
        let results = Results { load, ..Default::default() };
        judge(&results).iter().map(|target| (target.what.clone(), target.is_met())).collect()
    }

    #[test]
    fn a_target_is_met_at_its_bound_and_missed_beyond() {
        let met = judged(measurement(Side::Ours, 0, 4000.0, 5.0));
        assert!(met.len() > 3 && met.iter().all(|(_, met)| *met), "{met:?}");
        let missed = judged(measurement(Side::Ours, 0, 3999.0, 5.1));
        let missed: Vec<_> = missed.iter().filter(|(_, met)| !*met).map(|(what, _)| what.as_str()).collect();
        assert_eq!(
            missed,
            [
                "PostgreSQL, POST order, 256 connections: throughput, of the peer's",
                "PostgreSQL, POST order, 256 connections: CPU of the services, of the peer's",
                "PostgreSQL, POST order, 256 connections: CPU with PostgreSQL's, of the peer's",
                "PostgreSQL, POST order, 256 connections: throughput, of pgbench's inserts",
            ]
        );
    }

    #[test]
    fn who_lets_requests_fail_meets_nothing() {
        let failing = Measurement { failed: 1, ..measurement(Side::Ours, 0, 9000.0, 1.0) };
        assert!(judged(failing).iter().filter(|(what, _)| what.contains("256")).all(|(_, met)| !met));
    }
}
