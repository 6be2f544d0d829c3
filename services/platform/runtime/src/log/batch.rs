//! Writing many lines to stdout at once.
//!
//! A line is added to what waits; a thread writes all of it every few milliseconds, which costs a fraction of a system
//! call a line. Nothing is dropped: who logs while much waits, because stdout is slow, waits too.

use std::io::{self, Write};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long lines gather before they are written.
const GATHER: Duration = Duration::from_millis(2);
/// How many bytes may wait.
const MOST_WAITING: usize = 1024 * 1024;
/// How much of a buffer is kept for the next lines: what gathers under load.
const KEPT: usize = 64 * 1024;

static WAITING: LazyLock<Waiting> = LazyLock::new(|| {
    let writes_later = thread::Builder::new().name("log".to_owned()).spawn(write_forever).is_ok();
    Waiting { lines: Mutex::default(), some: Condvar::new(), room: Condvar::new(), writes_later }
});

struct Waiting {
    lines: Mutex<Vec<u8>>,
    some: Condvar,
    room: Condvar,
    writes_later: bool,
}

impl Waiting {
    fn lines(&self) -> MutexGuard<'_, Vec<u8>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Standard output, a little later.
pub(super) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let waiting = &*WAITING;
        let mut lines = waiting.lines();
        while lines.len() >= MOST_WAITING && waiting.writes_later {
            lines = waiting.room.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        if lines.is_empty() {
            waiting.some.notify_one();
        }
        lines.extend_from_slice(bytes);
        drop(lines);
        if !waiting.writes_later {
            flush_stdout();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_forever() {
    let waiting = &*WAITING;
    let mut taken = Vec::new();
    loop {
        let mut lines = waiting.lines();
        while lines.is_empty() {
            lines = waiting.some.wait(lines).unwrap_or_else(PoisonError::into_inner);
        }
        drop(lines);
        thread::sleep(GATHER);
        flush_by(&mut taken);
    }
}

/// Writes what waits.
pub(crate) fn flush_stdout() {
    flush_by(&mut Vec::new());
}

/// Writes what waits, which changes places with `taken`: two buffers do for all lines.
fn flush_by(taken: &mut Vec<u8>) {
    // Held until all is written, so that lines keep their order.
    let mut stdout = io::stdout().lock();
    std::mem::swap(taken, &mut *WAITING.lines());
    WAITING.room.notify_all();
    // Nobody is left to be told when the log itself cannot be written.
    let _ = stdout.write_all(taken).and_then(|()| stdout.flush());
    taken.clear();
    taken.shrink_to(KEPT);
}
