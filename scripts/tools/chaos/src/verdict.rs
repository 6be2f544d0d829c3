//! The result of testing one promise.

use std::cmp::Ordering;
use std::convert::identity;
use std::fmt::Display;

use crate::run::Run;

/// What was measured, and why that breaks the promise, if it does.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How the promise was tested.
    pub(crate) method: String,
    pub(crate) measurements: Vec<String>,
    /// Empty: the promise is kept.
    pub(crate) failures: Vec<String>,
}

impl Verdict {
    /// Adds a measurement, and prints it as progress.
    pub(crate) fn measured(&mut self, run: &Run, measurement: String) {
        run.progress(&measurement);
        self.measurements.push(measurement);
    }

    /// Adds a measurement. The promise is broken unless `value` is at most `max`; `show` makes both readable.
    pub(crate) fn at_most<T: Copy + PartialOrd, S: Display>(
        &mut self,
        what: impl Display,
        value: T,
        max: T,
        show: impl Fn(T) -> S,
    ) {
        let measurement = format!("{what}: {}", show(value));
        if value.partial_cmp(&max).is_none_or(Ordering::is_gt) {
            self.failures.push(format!("{measurement}, not at most {}", show(max)));
        }
        self.measurements.push(measurement);
    }

    /// Adds a measurement. The promise is broken unless the count is zero.
    pub(crate) fn none(&mut self, what: impl Display, count: usize) {
        self.at_most(what, count, 0, identity);
    }

    /// The promise is broken unless `condition` holds.
    pub(crate) fn expect(&mut self, condition: bool, failure: impl FnOnce() -> String) {
        if !condition {
            self.failures.push(failure());
        }
    }

    /// The verdict with how the promise was tested.
    pub(crate) fn with_method(self, method: impl Into<String>) -> Self {
        Self { method: method.into(), ..self }
    }
}
