//! The table of promises against results.

use std::fmt::Write as _;
use std::time::Duration;

use crate::promises::Promise;

/// What became of one promise.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) number: u8,
    pub(crate) text: &'static str,
    pub(crate) pass: &'static str,
    pub(crate) timed: bool,
    pub(crate) how: String,
    pub(crate) figures: String,
    pub(crate) failures: Vec<String>,
    pub(crate) took: Duration,
}

impl Row {
    /// Of a promise that could not be judged, which is not kept.
    pub(crate) fn unjudged(promise: &Promise, error: &anyhow::Error, took: Duration) -> Self {
        let Promise { number, text, pass, .. } = *promise;
        let failures = vec![format!("it could not be tried to the end: {error:#}")];
        Self { number, text, pass, timed: false, how: String::new(), figures: String::new(), failures, took }
    }
}

/// The machine in one line.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default();
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        model.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim()));
    format!("{cores} cores ({}), {:.1} GiB of memory", model.unwrap_or("unknown"), kilobytes as f64 / 1024.0 / 1024.0)
}

/// All of it as Markdown.
pub(crate) fn markdown(rows: &[Row], form: &str, seed: u64, took: Duration) -> String {
    let mut text = format!(
        "# Promises against results\n\n{form} form, seed {seed}, {:.0} s on {}\n\n| # | promise | how it was tried | pass | result | |\n|---|---|---|---|---|---|\n",
        took.as_secs_f64(),
        machine()
    );
    for row in rows {
        let mut result = row.figures.clone();
        for failure in &row.failures {
            // Writing to a String cannot fail.
            let _ = write!(result, "{}**{failure}**", if result.is_empty() { "" } else { "; " });
        }
        let verdict = if row.failures.is_empty() { "pass" } else { "FAIL" };
        let cells = [row.text, &row.how, row.pass, &result].map(|cell| cell.replace('|', "/").replace('\n', " "));
        let _ =
            writeln!(text, "| {} | {} | {verdict} ({:.0} s) |", row.number, cells.join(" | "), row.took.as_secs_f64());
    }
    text
}

/// All of it as lines for a terminal.
pub(crate) fn plain(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let verdict = if row.failures.is_empty() { "pass" } else { "FAIL" };
        let _ = writeln!(text, "{:>3}  {verdict}  {} (pass: {})", row.number, row.text, row.pass);
        for (name, content) in [("tried ", &row.how), ("result", &row.figures)] {
            if !content.is_empty() {
                let _ = writeln!(text, "           {name}  {content}");
            }
        }
        for failure in &row.failures {
            let _ = writeln!(text, "           BROKEN  {failure}");
        }
    }
    text
}
