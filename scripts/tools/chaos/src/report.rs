//! The table of promises and results.

use std::fmt::Write;

use anyhow::Result;
use procfs::{CpuInfo, Current, Meminfo};

use crate::promises::Promise;
use crate::verdict::Verdict;

/// The result of one promise.
#[derive(Debug)]
pub(crate) struct Row {
    promise: &'static Promise,
    /// Whether a shared machine excuses that the promise is broken.
    pub(crate) timed: bool,
    pub(crate) verdict: Verdict,
}

impl Row {
    /// A promise whose test did not complete is broken, on a shared machine too.
    pub(crate) fn new(promise: &'static Promise, outcome: Result<Verdict>) -> Self {
        let timed = promise.timed && outcome.is_ok();
        let verdict = outcome.unwrap_or_else(|error| {
            let failures = vec![format!("the test did not complete: {error:#}")];
            Verdict { failures, ..Verdict::default() }
        });
        Self { promise, timed, verdict }
    }

    fn result(&self) -> &'static str {
        if self.verdict.failures.is_empty() { "pass" } else { "FAIL" }
    }
}

/// The machine in one line.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let bytes = Meminfo::current().map_or(0, |memory| memory.mem_total);
    let model = CpuInfo::current().ok().and_then(|info| info.model_name(0).map(str::to_owned));
    let model = model.unwrap_or_else(|| "unknown".to_owned());
    format!("{cores} cores ({model}), {:.1} GiB of memory", bytes as f64 / 1024.0 / 1024.0 / 1024.0)
}

/// The table as lines for a terminal.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let (promise, verdict) = (row.promise, &row.verdict);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:>3}  {}  {} (pass: {})", promise.number, row.result(), promise.text, promise.pass);
        for (name, content) in [("tested", &verdict.method), ("result", &verdict.measurements.join("; "))] {
            if !content.is_empty() {
                let _ = writeln!(text, "           {name}  {content}");
            }
        }
        for failure in &verdict.failures {
            let _ = writeln!(text, "           BROKEN  {failure}");
        }
    }
    text
}
