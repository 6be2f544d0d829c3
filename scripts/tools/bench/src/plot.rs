//! The results as a plot: throughput as bars, cost by stored orders as lines.

use std::fmt::Write;

use clap::ValueEnum;
use harness::measurements::{Spread, short};

use crate::curve::REQUESTS;
use crate::plan::{Kind, Operation, Side};
use crate::results::{Results, Workload};

const SIDES: [(Side, &str); 3] = [(Side::Ours, "#1f6feb"), (Side::Peer, "#d29922"), (Side::Ceiling, "#8b949e")];
/// The size of one panel in pixels, margins included.
const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 240.0;
/// The size of its plotting area.
const PLOT_WIDTH: f64 = 280.0;
const PLOT_HEIGHT: f64 = 160.0;
const COLUMNS: usize = 3;

/// The plot as SVG.
pub(crate) fn plot(results: &Results) -> String {
    let mut panels = Vec::new();
    for database in [Kind::Sqlite, Kind::Postgres] {
        for operation in Operation::value_variants() {
            let mut workloads = results.workloads();
            workloads.retain(|workload| (workload.database, workload.operation) == (database, *operation));
            if !workloads.is_empty() {
                panels.push(bars(results, &format!("{database}, {operation}"), &workloads));
            }
        }
        for request in REQUESTS {
            let of = results.curve.iter().filter(|point| (point.database, point.request) == (database, request));
            let mut points: Vec<(i64, f64)> = of.map(|point| (point.orders, point.cpu_ms)).collect();
            points.sort_by_key(|(orders, _)| *orders);
            if !points.is_empty() {
                let title = format!("{database}, {}", request.name());
                panels.push(line(&title, &points));
            }
        }
    }
    let rows = panels.len().div_ceil(COLUMNS);
    let (width, height) = (WIDTH * COLUMNS as f64, HEIGHT * rows as f64 + 40.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let (x, y) = ((number % COLUMNS) as f64 * WIDTH + 40.0, (number / COLUMNS) as f64 * HEIGHT + 40.0);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">\n{panel}</g>");
    }
    for (number, (side, color)) in SIDES.iter().enumerate() {
        let (x, y) = (40.0 + number as f64 * 100.0, height - 20.0);
        let _ = writeln!(svg, "<rect x=\"{x}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{color}\"/>", y - 9.0);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{y}\">{side}</text>", x + 16.0);
    }
    svg + "</svg>\n"
}

/// A group for each number of connections, a bar for each side, a line from the minimum to the maximum.
fn bars(results: &Results, title: &str, workloads: &[Workload]) -> String {
    let of = |workload: Workload, side: Side| results.spread(workload, side, |measured| Some(measured.requests_per_s));
    let all = workloads.iter().flat_map(|workload| SIDES.iter().filter_map(|(side, _)| of(*workload, *side)));
    let top = all.map(|spread| spread.max).fold(1.0, f64::max);
    let mut panel = frame(title, "requests/s by connections", top);
    let group = PLOT_WIDTH / workloads.len() as f64;
    let bar = group / (SIDES.len() as f64 + 1.0);
    let at = |value: f64| PLOT_HEIGHT * (1.0 - value / top);
    for (number, workload) in workloads.iter().enumerate() {
        let left = number as f64 * group;
        for (index, (side, color)) in SIDES.iter().enumerate() {
            let Some(Spread { median, min, max }) = of(*workload, *side) else { continue };
            let x = left + (index as f64 + 0.5) * bar;
            let middle = x + bar / 2.0;
            let _ = writeln!(
                panel,
                "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{bar:.1}\" height=\"{:.1}\" fill=\"{color}\"/>\n\
                 <path d=\"M{middle:.1} {:.1}V{:.1}\" stroke=\"black\"/>",
                at(median),
                PLOT_HEIGHT - at(median),
                at(max),
                at(min),
            );
        }
        let _ = writeln!(panel, "{}", label(left + group / 2.0, &workload.connections.to_string()));
    }
    panel
}

/// A point for each measurement and a line through the medians, over powers of ten of stored orders.
fn line(title: &str, points: &[(i64, f64)]) -> String {
    let top = points.iter().map(|(_, cost)| *cost).fold(1.0, f64::max);
    let mut panel = frame(title, "CPU ms per 1,000 requests by stored orders", top);
    let mut sizes: Vec<i64> = points.iter().map(|(orders, _)| *orders).collect();
    sizes.dedup();
    let step = PLOT_WIDTH / sizes.len() as f64;
    let at = |cost: f64| PLOT_HEIGHT * (1.0 - cost / top);
    let mut path = String::new();
    for (number, size) in sizes.iter().enumerate() {
        let x = (number as f64 + 0.5) * step;
        let costs = || points.iter().filter(|(orders, _)| orders == size).map(|(_, cost)| *cost);
        for cost in costs() {
            let _ = writeln!(panel, "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"{}\"/>", at(cost), SIDES[0].1);
        }
        if let Some(spread) = Spread::of(costs()) {
            let _ = write!(path, "{}{x:.1} {:.1}", if number == 0 { "M" } else { "L" }, at(spread.median));
        }
        let _ = writeln!(panel, "{}", label(x, &size.to_string()));
    }
    let _ = writeln!(panel, "<path d=\"{path}\" fill=\"none\" stroke=\"{}\"/>", SIDES[0].1);
    panel
}

/// Title and axes, which begin at zero.
fn frame(title: &str, caption: &str, top: f64) -> String {
    let below = PLOT_HEIGHT + 32.0;
    format!(
        "<text y=\"-12\" font-weight=\"bold\">{title}</text>\n\
         <text y=\"{below}\" fill=\"gray\">{caption}</text>\n\
         <path d=\"M0 0V{PLOT_HEIGHT}H{PLOT_WIDTH}\" fill=\"none\" stroke=\"gray\"/>\n\
         <text x=\"-4\" y=\"8\" text-anchor=\"end\">{}</text>\n\
         <text x=\"-4\" y=\"{PLOT_HEIGHT}\" text-anchor=\"end\">0</text>\n",
        short(top)
    )
}

fn label(x: f64, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{text}</text>", PLOT_HEIGHT + 14.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::tests::measurement;

    #[test]
    fn the_height_of_a_bar_is_proportional() {
        let load = vec![measurement(Side::Ours, 0, 4000.0, 1.0), measurement(Side::Peer, 0, 1000.0, 1.0)];
        let svg = plot(&Results { load, ..Default::default() });
        assert!(svg.contains("height=\"160.0\" fill=\"#1f6feb\""), "{svg}");
        assert!(svg.contains("height=\"40.0\" fill=\"#d29922\""), "{svg}");
        assert_eq!(svg.matches("<g ").count(), svg.matches("</g>").count());
    }
}
