//! How far a run is, on stderr.

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

    /// One more is done.
    pub(crate) fn step(&mut self, what: &str) {
        self.step += 1;
        self.say(what);
    }

    /// Something that counts as no step.
    pub(crate) fn say(&self, what: &str) {
        eprintln!("[{:>4} s, {}/{}] {what}", self.begin.elapsed().as_secs(), self.step, self.steps);
    }
}
