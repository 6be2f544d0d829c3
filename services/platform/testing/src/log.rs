//! A log that a test can read.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use slog::{Level, Logger};

/// The variable that names a directory to keep every captured log in as well: `cargo openapi coverage` reads there what
/// the tests provoked.
pub const KEEP_VARIABLE: &str = "KEEP_LOGS_IN";

/// Everything that was logged, as it would stand on stdout.
#[derive(Clone, Debug)]
pub struct CapturedLog(Arc<Mutex<Captured>>);

#[derive(Debug)]
struct Captured {
    text: Vec<u8>,
    kept: Option<File>,
}

impl Default for CapturedLog {
    fn default() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let kept = std::env::var_os(KEEP_VARIABLE).map(|directory| {
            let name = format!("{}-{}.log", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
            File::create(Path::new(&directory).join(name)).expect("a file for the log")
        });
        Self(Arc::new(Mutex::new(Captured { text: Vec::new(), kept })))
    }
}

impl CapturedLog {
    /// A logger of a process that serves `documents`, which writes into this log at every level.
    pub fn logger(&self, documents: &[&str]) -> Logger {
        service_runtime::log::to_writer("test", Level::Trace, documents, self.clone())
    }

    /// The lines so far.
    pub fn text(&self) -> String {
        let captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&captured.text).into_owned()
    }
}

impl Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = &mut captured.kept {
            kept.write_all(bytes)?;
        }
        captured.text.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
