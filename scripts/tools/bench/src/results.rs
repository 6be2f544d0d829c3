//! All measurements of a run.

use harness::measurements::Spread;
use serde::Serialize;

use crate::curve::{Point, Request};
use crate::instructions::Count;
use crate::measure::Measurement;
use crate::plan::{Kind, Operation, Side};
use crate::start::Start;

/// Every measurement, as it is written to the JSON file.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) load: Vec<Measurement>,
    pub(crate) starts: Vec<Start>,
    pub(crate) curve: Vec<Point>,
    pub(crate) instructions: Vec<Count>,
    /// What was not measured, and why.
    pub(crate) missing: Vec<String>,
}

/// The machine, and its other load.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Machine {
    pub(crate) processors: usize,
    /// The file system of the databases.
    pub(crate) file_system: String,
    pub(crate) load_average_before: f64,
    /// The share of processor time that other programs used during the run, from 0 to 1; `None`: it was not completed.
    pub(crate) taken_by_others: Option<f64>,
    pub(crate) seconds_per_measurement: f64,
    pub(crate) rounds: usize,
}

/// One combination of what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Workload {
    pub(crate) database: Kind,
    pub(crate) operation: Operation,
    pub(crate) connections: usize,
}

impl Results {
    /// Every workload that was measured, in order.
    pub(crate) fn workloads(&self) -> Vec<Workload> {
        let mut workloads: Vec<Workload> = self.load.iter().map(workload).collect();
        workloads.sort();
        workloads.dedup();
        workloads
    }

    /// The measurements of `side` under a workload, by round.
    pub(crate) fn of(&self, of: Workload, side: Side) -> impl Iterator<Item = &Measurement> {
        self.load.iter().filter(move |measured| workload(measured) == of && measured.side == side)
    }

    /// The `value` of all rounds; `None` if it was not measured.
    pub(crate) fn spread(
        &self,
        of: Workload,
        side: Side,
        value: impl Fn(&Measurement) -> Option<f64>,
    ) -> Option<Spread> {
        Spread::of(self.of(of, side).filter_map(value))
    }

    /// The ratio of our `value` to that of `side` in the same round.
    pub(crate) fn ratio(&self, of: Workload, side: Side, value: impl Fn(&Measurement) -> f64) -> Option<Spread> {
        let ratios = self.of(of, Side::Ours).filter_map(|ours| {
            let other = self.of(of, side).find(|other| other.round == ours.round)?;
            let ratio = value(ours) / value(other);
            ratio.is_finite().then_some(ratio)
        });
        Spread::of(ratios)
    }

    /// The milliseconds of all starts of a service; `first`: of those on an empty database.
    pub(crate) fn starts(&self, database: Kind, service: &str, side: Side, first: bool) -> Option<Spread> {
        let starts = self.starts.iter().filter(|start| {
            (start.database, start.service, start.side, start.first) == (database, service, side, first)
        });
        Spread::of(starts.map(|start| start.ms))
    }

    /// The measurements of a request with so many stored orders, by round.
    pub(crate) fn points(&self, database: Kind, request: Request, orders: i64) -> Vec<&Point> {
        let points = self.curve.iter();
        points.filter(|point| (point.database, point.request, point.orders) == (database, request, orders)).collect()
    }

    /// The share of requests that failed.
    pub(crate) fn failed(&self, of: Workload, side: Side) -> f64 {
        let failed: u64 = self.of(of, side).map(|measured| measured.failed).sum();
        let span = self.machine.seconds_per_measurement;
        let succeeded: f64 = self.of(of, side).map(|measured| measured.requests_per_s * span).sum();
        if failed == 0 { 0.0 } else { failed as f64 / (failed as f64 + succeeded) }
    }
}

fn workload(measured: &Measurement) -> Workload {
    Workload { database: measured.database, operation: measured.operation, connections: measured.connections }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::Usage;

    pub(crate) const WORKLOAD: Workload =
        Workload { database: Kind::Postgres, operation: Operation::PostOrder, connections: 256 };

    pub(crate) fn measurement(side: Side, round: usize, requests_per_s: f64, cpu_ms: f64) -> Measurement {
        Measurement {
            database: WORKLOAD.database,
            operation: WORKLOAD.operation,
            connections: WORKLOAD.connections,
            side,
            round,
            requests_per_s,
            p50_ms: Some(1.0),
            p99_ms: Some(2.0),
            failed: 0,
            failure: None,
            log_lines_per_request: 1.0,
            cpu_ms: Usage([("order_service".to_owned(), cpu_ms)].into()),
            memory_mb: Usage([("order_service".to_owned(), 20.0)].into()),
        }
    }

    #[test]
    fn a_ratio_is_of_values_of_the_same_round() {
        // The machine was ten times slower in the second round: a ratio of the medians would be wrong.
        let load = vec![
            measurement(Side::Ours, 0, 3000.0, 1.0),
            measurement(Side::Peer, 0, 1000.0, 2.0),
            measurement(Side::Peer, 1, 100.0, 2.0),
            measurement(Side::Ours, 1, 300.0, 1.0),
            measurement(Side::Ours, 2, 999.0, 1.0),
        ];
        let results = Results { load, ..Default::default() };
        let ratio = results.ratio(WORKLOAD, Side::Peer, |measured| measured.requests_per_s);
        assert_eq!(ratio, Some(Spread { median: 3.0, min: 3.0, max: 3.0 }));
        assert_eq!(results.ratio(WORKLOAD, Side::Ceiling, |measured| measured.requests_per_s), None);
        assert_eq!(results.workloads(), [WORKLOAD]);
    }

    #[test]
    fn failed_requests_are_a_share_of_all() {
        let load = vec![Measurement { failed: 100, ..measurement(Side::Ours, 0, 150.0, 1.0) }];
        let machine = Machine { seconds_per_measurement: 2.0, ..Default::default() };
        let results = Results { load, machine, ..Default::default() };
        assert_eq!(results.failed(WORKLOAD, Side::Ours), 0.25);
        assert_eq!(results.failed(WORKLOAD, Side::Peer), 0.0);
    }
}
