//! The result of testing one promise.

/// What was measured, and why that breaks the promise, if it does.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// How the promise was tested.
    pub(crate) method: String,
    pub(crate) measurements: String,
    /// Empty: the promise is kept.
    pub(crate) failures: Vec<String>,
}

impl Verdict {
    pub(crate) fn new(measurements: impl Into<String>) -> Self {
        Self { measurements: measurements.into(), ..Self::default() }
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
