//! The results as tables to read.

use std::fmt::Write;

use crate::curve::REQUESTS;
use crate::figures::{Spread, short};
use crate::measure::Measurement;
use crate::plan::{Kind, Side};
use crate::results::Results;
use crate::targets::judge;

const SIDES: [Side; 3] = [Side::Ours, Side::Peer, Side::Ceiling];

/// All tables, with what is to be known to read them.
pub(crate) fn report(results: &Results) -> String {
    let machine = &results.machine;
    let others = machine.taken_by_others.map_or_else(
        || "THE RUN DID NOT COME TO ITS END".to_owned(),
        |share| format!("others used {:.0} % of the processors' time", share * 100.0),
    );
    let mut text = format!(
        "Each figure: the median of {} rounds (the least to the most). {} processors, shared by the services, the database\n\
         and the load; files on {}; load average {} at the begin; {}.\n\
         On a machine that is shared only ratios within one run mean anything.\n",
        machine.rounds,
        machine.processors,
        machine.file_system,
        short(machine.load_average_before),
        others,
    );
    section(&mut text, "Throughput and latency", &throughput(results));
    section(&mut text, "CPU milliseconds for 1,000 requests, and memory in MB", &costs(results));
    section(&mut text, "Start until healthy, ms", &starts(results));
    section(&mut text, "Cost by stored orders: CPU milliseconds for 1,000 requests, and requests/s", &curve(results));
    section(&mut text, "Instructions of a request", &instructions(results));
    section(&mut text, "Targets", &targets(results));
    for missing in &results.missing {
        let _ = writeln!(text, "\nNOT MEASURED: {missing}");
    }
    text
}

fn section(text: &mut String, title: &str, rows: &[Vec<String>]) {
    // One row is the head alone.
    if rows.len() > 1 {
        let _ = write!(text, "\n{title}\n\n{}", table(rows));
    }
}

/// Columns as wide as what is in them.
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

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

fn text(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "-".to_owned(), |spread| spread.to_string())
}

fn throughput(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![row([
        "database",
        "operation",
        "conn.",
        "who",
        "requests/s",
        "p50 ms",
        "p99 ms",
        "failed",
        "ours to this",
        "log lines",
    ])];
    for cell in results.cells() {
        for side in SIDES.into_iter().filter(|side| results.of(cell, *side).next().is_some()) {
            let ratio = results.ratio(cell, side, |seen| seen.requests_per_s).filter(|_| side != Side::Ours);
            rows.push(vec![
                cell.database.to_string(),
                cell.operation.to_string(),
                cell.connections.to_string(),
                side.to_string(),
                text(results.spread(cell, side, |seen| Some(seen.requests_per_s))),
                text(results.spread(cell, side, |seen| seen.p50_ms)),
                text(results.spread(cell, side, |seen| seen.p99_ms)),
                format!("{:.1} %", results.failed(cell, side) * 100.0),
                text(ratio),
                text(results.spread(cell, side, |seen| Some(seen.log_lines_per_request))),
            ]);
        }
    }
    rows
}

fn costs(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![row([
        "database",
        "operation",
        "conn.",
        "who",
        "user-service",
        "order-service",
        "PostgreSQL",
        "load",
        "MB user-service",
        "MB order-service",
        "MB PostgreSQL",
    ])];
    let figures: [fn(&Measurement) -> Option<f64>; 7] = [
        |seen| seen.cpu_ms.user_service,
        |seen| seen.cpu_ms.order_service,
        |seen| seen.cpu_ms.postgres,
        |seen| seen.cpu_ms.load,
        |seen| seen.memory_mb.user_service,
        |seen| seen.memory_mb.order_service,
        |seen| seen.memory_mb.postgres,
    ];
    for cell in results.cells() {
        for side in SIDES.into_iter().filter(|side| results.of(cell, *side).next().is_some()) {
            let head =
                [cell.database.to_string(), cell.operation.to_string(), cell.connections.to_string(), side.to_string()];
            rows.push(head.into_iter().chain(figures.map(|figure| text(results.spread(cell, side, figure)))).collect());
        }
    }
    rows
}

fn starts(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![row(["database", "service", "who", "its schema is there", "on an empty database"])];
    for database in [Kind::Sqlite, Kind::Postgres] {
        for service in ["user-service", "order-service"] {
            for side in [Side::Ours, Side::Peer] {
                let of = |first| {
                    let starts = results.starts.iter().filter(move |start| {
                        (start.database, start.service, start.side, start.first) == (database, service, side, first)
                    });
                    Spread::of(starts.map(|start| start.ms))
                };
                if let Some(again) = of(false) {
                    let who = side.to_string();
                    rows.push(vec![database.to_string(), service.to_owned(), who, again.to_string(), text(of(true))]);
                }
            }
        }
    }
    rows
}

fn curve(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![row(["database", "request", "orders", "CPU ms", "requests/s", "failed"])];
    for database in [Kind::Sqlite, Kind::Postgres] {
        for request in REQUESTS {
            let of = || results.curve.iter().filter(|point| (point.database, point.request) == (database, request));
            let mut sizes: Vec<i64> = of().map(|point| point.orders).collect();
            sizes.sort_unstable();
            sizes.dedup();
            for size in sizes {
                let points = || of().filter(|point| point.orders == size);
                rows.push(vec![
                    database.to_string(),
                    request.name().to_owned(),
                    size.to_string(),
                    text(Spread::of(points().map(|point| point.cpu_ms))),
                    text(Spread::of(points().map(|point| point.requests_per_s))),
                    points().map(|point| point.failed).sum::<u64>().to_string(),
                ]);
            }
        }
    }
    rows
}

fn instructions(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![row(["database", "operation", "who", "service", "instructions"])];
    for count in &results.instructions {
        rows.push(vec![
            count.database.to_string(),
            count.operation.to_string(),
            count.side.to_string(),
            count.service.to_owned(),
            format!("{:.0}", count.instructions),
        ]);
    }
    rows
}

fn targets(results: &Results) -> Vec<Vec<String>> {
    let mut rows = vec![row(["target", "wanted", "seen", "met"])];
    for target in judge(results) {
        let met = match (target.is_met(), target.failures) {
            (true, _) => "yes",
            (false, true) => "NO, requests failed",
            (false, false) => "NO",
        };
        rows.push(vec![target.what.clone(), target.bound.to_string(), target.seen.to_string(), met.to_owned()]);
    }
    rows
}

/// The first failure of each kind of load, for whoever wonders.
pub(crate) fn failures(results: &Results) -> Vec<String> {
    let failed = results.load.iter().filter_map(|seen| {
        let failure: String = seen.failure.as_ref()?.chars().take(200).collect();
        Some(format!(
            "{}, {}, {} connections, {}: {failure}",
            seen.database, seen.operation, seen.connections, seen.side
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
    fn a_table_is_as_wide_as_its_cells() {
        let rows = [row(["a", "bb", "c"]), row(["long", "b", "c"])];
        assert_eq!(table(&rows), "a     bb  c\nlong  b   c\n");
    }

    #[test]
    fn what_was_not_measured_is_not_in_the_report() {
        let results = Results { missing: vec!["instructions: no valgrind".to_owned()], ..Default::default() };
        let text = report(&results);
        assert!(text.contains("NOT MEASURED: instructions: no valgrind"), "{text}");
        assert!(!text.contains("Throughput"), "{text}");
    }
}
