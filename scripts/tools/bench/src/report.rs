//! The results as tables.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};

use harness::measurements::{Spread, short};
use harness::topology;

use crate::curve::REQUESTS;
use crate::measure::{Measurement, Usage};
use crate::plan::{Kind, Side};
use crate::results::Results;
use crate::targets::evaluate;

const SIDES: [Side; 3] = [Side::Ours, Side::Peer, Side::Ceiling];

/// All tables, with the conditions of the run.
pub(crate) fn report(results: &Results) -> String {
    let machine = &results.machine;
    let others = machine.taken_by_others.map_or_else(
        || "THE RUN WAS NOT COMPLETED".to_owned(),
        |share| format!("other programs used {:.0} % of the processor time", share * 100.0),
    );
    let mut text = format!(
        "Each measurement: the median of {} rounds (minimum to maximum). {} processors, shared by the services, the\n\
         database and the load; files on {}; load average {} at the start; {}.\n\
         On a shared machine only ratios within one run are meaningful.\n",
        machine.rounds,
        machine.processors,
        machine.file_system,
        short(machine.load_average_before),
        others,
    );
    section(&mut text, "Throughput and latency", &throughput(results));
    section(&mut text, "CPU milliseconds per 1,000 requests, and memory in MB", &costs(results));
    section(&mut text, "Start until healthy, ms", &starts(results));
    section(&mut text, "Cost by stored orders: CPU milliseconds per 1,000 requests, and requests/s", &curve(results));
    section(&mut text, "Instructions per request", &instructions(results));
    section(&mut text, "Targets", &targets(results));
    for missing in &results.missing {
        let _ = writeln!(text, "\nNOT MEASURED: {missing}");
    }
    text
}

fn section(text: &mut String, title: &str, rows: &[Vec<String>]) {
    // One row is only the header.
    if rows.len() > 1 {
        let _ = write!(text, "\n{title}\n\n{}", table(rows));
    }
}

/// Pads the cells of each column to the widest.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let lines = rows.iter().map(|row| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    });
    lines.collect()
}

fn head(names: &str) -> Vec<String> {
    names.split(", ").map(str::to_owned).collect()
}

fn row(cells: &[&dyn Display]) -> Vec<String> {
    cells.iter().map(ToString::to_string).collect()
}

fn text(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".to_owned(), |spread| spread.to_string())
}

fn throughput(results: &Results) -> Vec<Vec<String>> {
    let names = "database, operation, conn., side, requests/s, p50 ms, p99 ms, failed, ours / this, log lines";
    let mut rows = vec![head(names)];
    for workload in results.workloads() {
        for side in SIDES.into_iter().filter(|side| results.of(workload, *side).next().is_some()) {
            let ratio =
                results.ratio(workload, side, |measured| measured.requests_per_s).filter(|_| side != Side::Ours);
            rows.push(row(&[
                &workload.database,
                &workload.operation,
                &workload.connections,
                &side,
                &text(results.spread(workload, side, |measured| Some(measured.requests_per_s))),
                &text(results.spread(workload, side, |measured| measured.p50_ms)),
                &text(results.spread(workload, side, |measured| measured.p99_ms)),
                &format_args!("{:.1} %", results.failed(workload, side) * 100.0),
                &text(ratio),
                &text(results.spread(workload, side, |measured| Some(measured.log_lines_per_request))),
            ]));
        }
    }
    rows
}

fn costs(results: &Results) -> Vec<Vec<String>> {
    let services = topology::platform().services.iter().map(|service| service.name.as_str());
    let processes: Vec<&str> = services.chain(["PostgreSQL", "load"]).collect();
    let mut names = head("database, operation, conn., side");
    names.extend(processes.iter().map(|name| (*name).to_owned()));
    // The load is this program, whose memory is not measured.
    let with_memory = &processes[..processes.len() - 1];
    names.extend(with_memory.iter().map(|name| format!("MB {name}")));
    let mut rows = vec![names];
    for workload in results.workloads() {
        for side in SIDES.into_iter().filter(|side| results.of(workload, *side).next().is_some()) {
            let cell = |usage: fn(&Measurement) -> &Usage, name: &str| {
                let name = if name == "PostgreSQL" { "postgres" } else { name };
                text(results.spread(workload, side, |measured| usage(measured).of(name)))
            };
            let mut cells = row(&[&workload.database, &workload.operation, &workload.connections, &side]);
            cells.extend(processes.iter().map(|name| cell(|measured| &measured.cpu_ms, name)));
            cells.extend(with_memory.iter().map(|name| cell(|measured| &measured.memory_mb, name)));
            rows.push(cells);
        }
    }
    rows
}

fn starts(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![head("database, service, side, with schema, on an empty database")];
    for database in [Kind::Sqlite, Kind::Postgres] {
        for service in topology::platform().services.iter().map(|service| &service.name) {
            for side in [Side::Ours, Side::Peer] {
                if let Some(again) = results.starts(database, service, side, false) {
                    let first = text(results.starts(database, service, side, true));
                    rows.push(row(&[&database, service, &side, &again, &first]));
                }
            }
        }
    }
    rows
}

fn curve(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![head("database, request, orders, CPU ms, requests/s, failed")];
    for database in [Kind::Sqlite, Kind::Postgres] {
        for request in REQUESTS {
            let of = results.curve.iter().filter(|point| (point.database, point.request) == (database, request));
            let sizes: BTreeSet<i64> = of.map(|point| point.orders).collect();
            for size in sizes {
                let points = results.points(database, request, size);
                let cpu_ms = text(Spread::of(points.iter().map(|point| point.cpu_ms)));
                let rate = text(Spread::of(points.iter().map(|point| point.requests_per_s)));
                let failed: u64 = points.iter().map(|point| point.failed).sum();
                rows.push(row(&[&database, &request.name(), &size, &cpu_ms, &rate, &failed]));
            }
        }
    }
    rows
}

fn instructions(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![head("database, operation, side, service, instructions")];
    for count in &results.instructions {
        let instructions = format!("{:.0}", count.instructions);
        rows.push(row(&[&count.database, &count.operation, &count.side, &count.service, &instructions]));
    }
    rows
}

fn targets(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![head("target, required, measured, met")];
    for target in evaluate(results) {
        let met = match (target.is_met(), target.failures) {
            (true, _) => "yes",
            (false, true) => "NO, requests failed",
            (false, false) => "NO",
        };
        rows.push(row(&[&target.what, &target.bound, &target.measured, &met]));
    }
    rows
}

/// The first failure of each measurement.
pub(crate) fn failures(results: &Results) -> Vec<String> {
    let failed = results.load.iter().filter_map(|measured| {
        let failure: String = measured.failure.as_ref()?.chars().take(200).collect();
        Some(format!(
            "{}, {}, {} connections, {}: {failure}",
            measured.database, measured.operation, measured.connections, measured.side
        ))
    });
    let mut failures: Vec<String> = failed.collect();
    failures.dedup();
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_no_table_without_measurements() {
        let results = Results { missing: vec!["instructions: no valgrind".to_owned()], ..Default::default() };
        let text = report(&results);
        assert!(text.contains("NOT MEASURED: instructions: no valgrind"), "{text}");
        assert!(!text.contains("Throughput"), "{text}");
    }
}
