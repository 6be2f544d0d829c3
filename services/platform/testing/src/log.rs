//! A logger whose output a test can read.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use slog::{Level, Logger};

/// The variable that names a directory to which every captured log is also written: `cargo openapi coverage` reads
/// there which responses the tests have seen.
pub const KEEP_VARIABLE: &str = "KEEP_LOGS_IN";

/// Everything logged, as it would appear on stdout.
#[derive(Clone, Debug)]
pub struct CapturedLog(Arc<Mutex<Captured>>);

#[derive(Debug)]
struct Captured {
    text: Vec<u8>,
    file: Option<File>,
}

impl Default for CapturedLog {
    fn default() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let file = std::env::var_os(KEEP_VARIABLE).map(|directory| {
            let name = format!("{}-{}.log", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
            File::create(Path::new(&directory).join(name)).expect("the log file can be created")
        });
        Self(Arc::new(Mutex::new(Captured { text: Vec::new(), file })))
    }
}

impl CapturedLog {
    /// A logger for a process that serves `documents`, which writes every level to this log.
    pub fn logger(&self, documents: &[&str]) -> Logger {
        service_runtime::log::to_writer("test", Level::Trace, documents, self.clone())
    }

    /// The lines logged so far.
    pub fn text(&self) -> String {
        let captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&captured.text).into_owned()
    }
}

impl Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut captured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &mut captured.file {
            file.write_all(bytes)?;
        }
        captured.text.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
