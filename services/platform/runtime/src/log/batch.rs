//! Buffered output to stdout: a dedicated thread writes the buffer every few milliseconds, so that many lines share one
//! system call.
//!
//! No line is dropped: when stdout is slow and the buffer is full, logging blocks (backpressure).

use std::io::{self, Write};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long lines are collected before they are written.
const FLUSH_INTERVAL: Duration = Duration::from_millis(2);
/// The maximum number of buffered bytes.
const MAX_BUFFERED: usize = 1024 * 1024;
/// The capacity that a buffer retains after it is written: what one interval collects under load.
const RETAINED_CAPACITY: usize = 64 * 1024;

static BUFFER: LazyLock<Buffer> = LazyLock::new(|| {
    let has_writer = thread::Builder::new().spawn(write_forever).is_ok();
    Buffer { has_writer, lines: Mutex::default(), not_empty: Condvar::new(), not_full: Condvar::new() }
});

struct Buffer {
    /// Whether the system gave the process a thread for the writer. If not, each line is written at once.
    has_writer: bool,
    lines: Mutex<Vec<u8>>,
    not_empty: Condvar,
    not_full: Condvar,
}

impl Buffer {
    fn lines(&self) -> MutexGuard<'_, Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Buffered stdout, written by the writer thread.
pub(super) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let buffer = &*BUFFER;
        let mut lines = buffer.lines();
        while lines.len() >= MAX_BUFFERED {
            lines = buffer.not_full.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        if lines.is_empty() {
            buffer.not_empty.notify_one();
        }
        lines.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !BUFFER.has_writer {
            flush_stdout();
        }
        Ok(())
    }
}

fn write_forever() {
    let buffer = &*BUFFER;
    let mut spare = Vec::new();
    loop {
        let mut lines = buffer.lines();
        while lines.is_empty() {
            lines = buffer.not_empty.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        drop(lines);
        thread::sleep(FLUSH_INTERVAL);
        write_buffer(&mut spare);
    }
}

/// Writes all buffered lines.
pub(crate) fn flush_stdout() {
    write_buffer(&mut Vec::new());
}

/// Writes all buffered lines, after swapping the buffer with `spare` (double buffering).
fn write_buffer(spare: &mut Vec<u8>) {
    // Locked before the swap, so that lines keep their order.
    let mut stdout = io::stdout().lock();
    std::mem::swap(spare, &mut *BUFFER.lines());
    BUFFER.not_full.notify_all();
    // A failure to write the log cannot be logged.
    let _ = stdout.write_all(spare).and_then(|()| stdout.flush());
    spare.clear();
    spare.shrink_to(RETAINED_CAPACITY);
}
