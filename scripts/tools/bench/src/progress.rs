//! The progress of a run, on stderr.

use std::time::Instant;

/// Counts the steps of a run.
#[derive(Debug)]
pub(crate) struct Progress {
    begin: Instant,
    step: usize,
    steps: usize,
}

impl Progress {
    pub(crate) fn new(steps: usize) -> Self {
        Self { begin: Instant::now(), step: 0, steps }
    }

    /// Counts a completed step and prints `what`.
    pub(crate) fn step(&mut self, what: &str) {
        self.step += 1;
        self.print(what);
    }

    /// Prints `what` without counting a step.
    pub(crate) fn print(&self, what: &str) {
        eprintln!("[{:>4} s, {}/{}] {what}", self.begin.elapsed().as_secs(), self.step, self.steps);
    }
}
