//! The performance targets of the services, and whether they are met.

use harness::measurements::{Spread, short};
use harness::topology;

use crate::curve::REQUESTS;
use crate::measure::Measurement;
use crate::plan::{Kind, Operation, Side};
use crate::results::{Results, Workload};

/// The maximum ratio of the cost of a request with the most stored orders to that with a thousand: two equal
/// measurements on a busy machine differ by that much.
const MAX_GROWTH: f64 = 1.25;

/// The required range of a measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One target, with what was measured.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) bound: Bound,
    pub(crate) measured: Spread,
    /// Whether some of our requests failed, so that the target is missed.
    pub(crate) failures: bool,
}

impl Target {
    /// Whether the median is within the bound and no request failed.
    pub(crate) fn is_met(&self) -> bool {
        let within = match self.bound {
            Bound::AtLeast(min) => self.measured.median >= min,
            Bound::AtMost(max) => self.measured.median <= max,
        };
        within && !self.failures
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(min) => write!(f, "at least {}", short(*min)),
            Self::AtMost(max) => write!(f, "at most {}", short(*max)),
        }
    }
}

/// All targets that this run has measurements for.
pub(crate) fn evaluate(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    for workload in results.workloads() {
        ratios(results, workload, &mut targets);
    }
    for database in [Kind::Sqlite, Kind::Postgres] {
        memory(results, database, &mut targets);
        starts(results, database, &mut targets);
        curve(results, database, &mut targets);
    }
    targets
}

/// The minimum ratio to the peer's throughput, and the maximum ratio to its processor time.
fn bounds(workload: Workload) -> (f64, Option<f64>) {
    match (workload.database, workload.operation, workload.connections) {
        (_, _, 1) => (1.0, None),
        (Kind::Postgres, Operation::PostOrder, ..=255) => (2.5, Some(0.5)),
        (Kind::Postgres, Operation::PostOrder, _) => (4.0, Some(0.5)),
        (Kind::Postgres, Operation::PostOrderOneItem, ..=255) => (3.0, Some(0.5)),
        (Kind::Postgres, Operation::PostOrderOneItem, _) => (6.0, Some(0.5)),
        (Kind::Postgres, Operation::PostReservation, ..=255) => (10.0, Some(0.5)),
        (Kind::Postgres, Operation::PostReservation, _) => (30.0, Some(0.5)),
        (Kind::Postgres, Operation::PostOrderFiveItems | Operation::ListProducts | Operation::SearchProducts, _) => {
            (2.0, None)
        }
        (Kind::Postgres, Operation::GetProduct, _) => (2.0, Some(0.5)),
        (Kind::Postgres, _, _) => (2.5, Some(0.5)),
        (Kind::Sqlite, Operation::PostOrder | Operation::PostReservation, _) => (8.0, Some(0.2)),
        (Kind::Sqlite, _, _) => (2.0, None),
    }
}

fn ratios(results: &Results, workload: Workload, targets: &mut Vec<Target>) {
    let failures = results.failed(workload, Side::Ours) > 0.0;
    let mut add = |side: Side, what: &str, bound: Bound, value: fn(&Measurement) -> f64| {
        if let Some(measured) = results.ratio(workload, side, value) {
            targets.push(Target { what: format!("{}: {what}", label(workload)), bound, measured, failures });
        }
    };
    let (min, cpu) = bounds(workload);
    add(Side::Peer, "throughput, relative to the peer's", Bound::AtLeast(min), |measured| measured.requests_per_s);
    if let Some(max) = cpu.map(Bound::AtMost) {
        add(Side::Peer, "CPU of the services, relative to the peer's", max, |measured| measured.cpu_ms.services());
        if workload.database == Kind::Postgres {
            let what = "CPU with PostgreSQL's, relative to the peer's";
            add(Side::Peer, what, max, |measured| measured.cpu_ms.with_database());
        }
    }
    let min = match (workload.operation, workload.connections) {
        (Operation::PostOrder, 256) => 1.0,
        (Operation::PostOrder, 32) => 0.7,
        _ => return,
    };
    let what = "throughput, relative to pgbench's inserts";
    add(Side::Ceiling, what, Bound::AtLeast(min), |measured| measured.requests_per_s);
}

fn memory(results: &Results, database: Kind, targets: &mut Vec<Target>) {
    for service in topology::platform().services.iter().map(|service| &service.name) {
        let ours = results.load.iter().filter(|measured| measured.side == Side::Ours && measured.database == database);
        // The maximum, not the median: the workloads differ.
        if let Some(all) = Spread::of(ours.filter_map(|measured| measured.memory_mb.of(service))) {
            let what = format!("{database}: maximum memory of {service} in MB");
            let measured = Spread { median: all.max, min: all.max, max: all.max };
            targets.push(Target { what, bound: Bound::AtMost(30.0), measured, failures: false });
        }
    }
}

fn starts(results: &Results, database: Kind, targets: &mut Vec<Target>) {
    let bound = Bound::AtMost(if database == Kind::Postgres { 100.0 } else { 20.0 });
    for service in topology::platform().services.iter().map(|service| &service.name) {
        for (first, when) in [(false, ""), (true, ", the first on an empty database")] {
            if let Some(measured) = results.starts(database, service, Side::Ours, first) {
                let what = format!("{database}: start of {service} until healthy in ms{when}");
                targets.push(Target { what, bound, measured, failures: false });
            }
        }
    }
}

fn curve(results: &Results, database: Kind, targets: &mut Vec<Target>) {
    let Some(largest) = results.curve.iter().map(|point| point.orders).max() else { return };
    for request in REQUESTS {
        let (few, many) = (results.points(database, request, 1000), results.points(database, request, largest));
        let ratios = many.iter().filter_map(|many| {
            let few = few.iter().find(|few| few.round == many.round)?;
            Some(many.cpu_ms / few.cpu_ms)
        });
        if let Some(measured) = Spread::of(ratios) {
            let what = format!("{database}: CPU of {} with {largest} orders, relative to 1000", request.name());
            let failures = many.iter().any(|point| point.failed > 0);
            targets.push(Target { what, bound: Bound::AtMost(MAX_GROWTH), measured, failures });
        }
    }
}

fn label(workload: Workload) -> String {
    format!("{}, {}, {} connections", workload.database, workload.operation, workload.connections)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::measurement;

    fn evaluated(ours: Measurement) -> Vec<(String, bool)> {
        let load = vec![ours, measurement(Side::Peer, 0, 1000.0, 10.0), measurement(Side::Ceiling, 0, 4000.0, 0.0)];
        let results = Results { load, ..Default::default() };
        evaluate(&results).iter().map(|target| (target.what.clone(), target.is_met())).collect()
    }

    #[test]
    fn a_target_is_met_at_its_bound() {
        let met = evaluated(measurement(Side::Ours, 0, 4000.0, 5.0));
        assert!(met.len() > 3 && met.iter().all(|(_, met)| *met), "{met:?}");
        let missed = evaluated(measurement(Side::Ours, 0, 3999.0, 5.1));
        let missed: Vec<_> = missed.iter().filter(|(_, met)| !*met).map(|(what, _)| what.as_str()).collect();
        assert_eq!(
            missed,
            [
                "PostgreSQL, POST order, 256 connections: throughput, relative to the peer's",
                "PostgreSQL, POST order, 256 connections: CPU of the services, relative to the peer's",
                "PostgreSQL, POST order, 256 connections: CPU with PostgreSQL's, relative to the peer's",
                "PostgreSQL, POST order, 256 connections: throughput, relative to pgbench's inserts",
            ]
        );
    }

    #[test]
    fn with_failed_requests_no_target_is_met() {
        let failing = Measurement { failed: 1, ..measurement(Side::Ours, 0, 9000.0, 1.0) };
        assert!(evaluated(failing).iter().filter(|(what, _)| what.contains("256")).all(|(_, met)| !met));
    }
}
