//! All that a run has seen.

use serde::Serialize;

use crate::curve::Point;
use crate::figures::Spread;
use crate::instructions::Count;
use crate::measure::Measurement;
use crate::plan::{Kind, Operation, Side};
use crate::start::Start;

/// What is written as JSON: every single measurement.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) load: Vec<Measurement>,
    pub(crate) starts: Vec<Start>,
    pub(crate) curve: Vec<Point>,
    pub(crate) instructions: Vec<Count>,
    /// What could not be measured, and why.
    pub(crate) missing: Vec<String>,
}

/// Where and beside what it was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Machine {
    pub(crate) processors: usize,
    /// Of the databases' directory.
    pub(crate) file_system: String,
    pub(crate) load_average_before: f64,
    /// How much of the processors' time others used during the run, from 0 to 1; `None`: it did not come to its end.
    pub(crate) taken_by_others: Option<f64>,
    pub(crate) seconds_per_measurement: f64,
    pub(crate) rounds: usize,
}

/// One load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) database: Kind,
    pub(crate) operation: Operation,
    pub(crate) connections: usize,
}

impl Results {
    /// Every load that was measured, in order.
    pub(crate) fn cells(&self) -> Vec<Cell> {
        let mut cells: Vec<Cell> = self.load.iter().map(cell).collect();
        cells.sort();
        cells.dedup();
        cells
    }

    /// What was seen of `side` under the load `of`, round by round.
    pub(crate) fn of(&self, of: Cell, side: Side) -> impl Iterator<Item = &Measurement> {
        self.load.iter().filter(move |seen| cell(seen) == of && seen.side == side)
    }

    /// `figure` over all rounds; `None` if it was not measured.
    pub(crate) fn spread(&self, of: Cell, side: Side, figure: impl Fn(&Measurement) -> Option<f64>) -> Option<Spread> {
        Spread::of(self.of(of, side).filter_map(figure))
    }

    /// Our `figure` as a multiple of that of `side` in the same round.
    pub(crate) fn ratio(&self, of: Cell, side: Side, figure: impl Fn(&Measurement) -> f64) -> Option<Spread> {
        let ratios = self.of(of, Side::Ours).filter_map(|ours| {
            let other = self.of(of, side).find(|other| other.round == ours.round)?;
            let ratio = figure(ours) / figure(other);
            ratio.is_finite().then_some(ratio)
        });
        Spread::of(ratios)
    }

    /// The share of requests that failed.
    pub(crate) fn failed(&self, of: Cell, side: Side) -> f64 {
        let failed: u64 = self.of(of, side).map(|seen| seen.failed).sum();
        let span = self.machine.seconds_per_measurement;
        let succeeded: f64 = self.of(of, side).map(|seen| seen.requests_per_s * span).sum();
        if failed == 0 { 0.0 } else { failed as f64 / (failed as f64 + succeeded) }
    }
}

fn cell(seen: &Measurement) -> Cell {
    Cell { database: seen.database, operation: seen.operation, connections: seen.connections }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::Processes;

    pub(crate) const CELL: Cell = Cell { database: Kind::Postgres, operation: Operation::PostOrder, connections: 256 };

    pub(crate) fn measurement(side: Side, round: usize, requests_per_s: f64, cpu_ms: f64) -> Measurement {
        Measurement {
            database: CELL.database,
            operation: CELL.operation,
            connections: CELL.connections,
            side,
            round,
            requests_per_s,
            p50_ms: Some(1.0),
            p99_ms: Some(2.0),
            failed: 0,
            failure: None,
            log_lines_per_request: 1.0,
            cpu_ms: Processes { order_service: Some(cpu_ms), ..Default::default() },
            memory_mb: Processes { order_service: Some(20.0), ..Default::default() },
        }
    }

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        // The machine was ten times slower in the second round: the medians of each side would give nonsense.
        let load = vec![
            measurement(Side::Ours, 0, 3000.0, 1.0),
            measurement(Side::Peer, 0, 1000.0, 2.0),
            measurement(Side::Peer, 1, 100.0, 2.0),
            measurement(Side::Ours, 1, 300.0, 1.0),
            measurement(Side::Ours, 2, 999.0, 1.0),
        ];
        let results = Results { load, ..Default::default() };
        let ratio = results.ratio(CELL, Side::Peer, |seen| seen.requests_per_s);
        assert_eq!(ratio, Some(Spread { median: 3.0, min: 3.0, max: 3.0 }));
        assert_eq!(results.ratio(CELL, Side::Ceiling, |seen| seen.requests_per_s), None);
        assert_eq!(results.cells(), [CELL]);
    }

    #[test]
    fn the_failed_are_a_share_of_all() {
        let load = vec![Measurement { failed: 100, ..measurement(Side::Ours, 0, 150.0, 1.0) }];
        let machine = Machine { seconds_per_measurement: 2.0, ..Default::default() };
        let results = Results { load, machine, ..Default::default() };
        assert_eq!(results.failed(CELL, Side::Ours), 0.25);
        assert_eq!(results.failed(CELL, Side::Peer), 0.0);
    }
}
