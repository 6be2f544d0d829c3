//! A log that a test can read.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use slog::{Level, Logger};

/// Everything that was logged, as it would stand on stdout.
#[derive(Clone, Debug, Default)]
pub struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl CapturedLog {
    /// A logger of a process that serves `documents`, which writes into this log at every level.
    pub fn logger(&self, documents: &[&str]) -> Logger {
        service_runtime::log::to_writer("test", Level::Trace, documents, self.clone())
    }

    /// The lines so far.
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
