//! The life of a process: start, wait for a signal, stop.

use std::any::Any;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use slog::{Logger, error, info};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::guard::panic_text;
use crate::log::flush_stdout;
use crate::server::{DRAIN_TIMEOUT, Server};
use crate::{check_ready, stderr};

/// Sent by Ctrl-C.
const SIGINT: &str = "SIGINT";
/// Sent by orchestrators.
const SIGTERM: &str = "SIGTERM";
/// Sent when the terminal of the process is closed.
const SIGHUP: &str = "SIGHUP";
/// The number of SIGXFSZ on Linux and macOS, sent to a process that writes beyond its limit of a file's size.
const SIGXFSZ: i32 = 25;

/// How long after the first signal a second one ends the process at once. `timeout`, shells and terminals signal the
/// process and its group: an earlier one is the same request to stop.
const SECOND_SIGNAL_AFTER: Duration = Duration::from_secs(1);

/// How long a process that an orchestrator stops still serves while `/ready` fails, so that load balancers send requests
/// elsewhere before it closes.
const NOTICE: Duration = Duration::from_secs(1);

/// The maximum number of I/O events that a single worker takes per tick: the state of as many requests stays in the
/// processor's cache until they are answered.
const MAX_EVENTS_PER_TICK: usize = 32;

/// How many tasks a single worker polls before it looks for events, unless none is ready. Small, because a connection
/// that pipelines is always ready, and one poll answers up to 16 of its requests; see [`crate::fairness`].
const EVENT_INTERVAL: u32 = 4;

/// Shorter than any timeout of an ordinary request, long enough to cost nothing.
const TICK: Duration = Duration::from_millis(200);

/// How long a stdout that nobody reads may delay the exit.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the servers that `start` starts until SIGINT, SIGTERM or SIGHUP, or until one fails; then stops them all. Another
/// signal, at least a second after the first, ends the process at once.
///
/// If `start` returns no servers, such as after a migration, the process ends. A failure is one line on stderr and exit
/// code 1.
pub fn run<F>(name: &str, log: &Logger, start: F) -> ExitCode
where
    F: Future<Output = Result<Vec<Server>>>,
{
    log_panics(log.clone());
    let outcome = catch_panic(|| Ok(runtime()?)).and_then(|runtime| {
        let outcome = catch_panic(|| runtime.block_on(serve(log, start)));
        // Blocking tasks, such as a name lookup, are not waited for.
        runtime.shutdown_background();
        outcome
    });
    flush_log();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(name, &error),
    }
}

/// The outcome of `work`. A panic is an error: tokio and others panic when the system gives them no thread.
fn catch_panic<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(anyhow!("{}", startup_panic_text(&*panic))))
}

/// The whole message of a panic outside of requests, which contains nothing that a client sent.
fn startup_panic_text(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map_or_else(|| panic_text(panic), String::as_str)
}

/// One worker per two CPUs; the others are left to the database and other services. With one worker, the current-thread
/// runtime: it needs no work stealing and no synchronisation for it.
fn runtime() -> io::Result<Runtime> {
    let workers = std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
    let mut builder = if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if workers == 1 {
        builder.max_io_events_per_tick(MAX_EVENTS_PER_TICK).event_interval(EVENT_INTERVAL);
    } else {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}

/// Checks whether the process that listens on `address` is ready: the health check of an image that contains no other
/// program. If it is not, prints one line on stderr and returns exit code 1.
pub fn check_ready(name: &str, address: SocketAddr) -> ExitCode {
    match check_ready::check(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(name, &error),
    }
}

async fn serve(log: &Logger, start: impl Future<Output = Result<Vec<Server>>>) -> Result<()> {
    let mut signals = Signals::new()?;
    tokio::spawn(tick());
    // Name lookups need a thread: a process that can have none must not become ready.
    tokio::task::spawn_blocking(|| ()).await?;
    let mut servers = tokio::select! {
        started = start => started?,
        _ = signals.next() => return Ok(()),
    };
    if servers.is_empty() {
        return Ok(());
    }
    let outcome = tokio::select! {
        error = first_fault(&mut servers) => Err(error),
        signal = signals.next() => Ok(signal),
    };
    if let Ok(signal) = outcome {
        info!(log, "stopping"; "signal" => signal);
    }
    let stopping = Instant::now();
    let patience = if matches!(outcome, Ok(SIGTERM)) { NOTICE } else { Duration::ZERO };
    tokio::select! {
        () = stop(servers, patience) => outcome.map(|_| ()),
        signal = second_signal(stopping, async || signals.next().await) => {
            Err(anyhow!("stopped at once by a second signal, {signal}"))
        }
    }
}

/// The first of the `next` signals that is not part of the request to stop of the time `first`.
async fn second_signal(first: Instant, mut next: impl AsyncFnMut() -> &'static str) -> &'static str {
    loop {
        let signal = next().await;
        if first.elapsed() >= SECOND_SIGNAL_AFTER {
            return signal;
        }
    }
}

/// Keeps a timer that fires before those of requests. When a timer is set that is earlier than all others, tokio wakes the
/// I/O driver by a system call: a lone request would do so for each of its timeouts.
async fn tick() {
    loop {
        tokio::time::sleep(TICK).await;
    }
}

async fn stop(mut servers: Vec<Server>, notice: Duration) {
    servers.iter().for_each(Server::announce_stop);
    tokio::time::sleep(notice).await;
    // One deadline for all: an orchestrator waits for the process.
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    // In reverse order of the start: callers stop before the services that they call.
    while let Some(server) = servers.pop() {
        server.stop_by(deadline).await;
    }
}

/// Writes the last lines of the log, unless nobody reads them.
fn flush_log() {
    let (done, written) = std::sync::mpsc::channel();
    let flushing = thread::Builder::new().spawn(move || {
        flush_stdout();
        done.send(())
    });
    match flushing {
        Ok(_) => {
            let _ = written.recv_timeout(FLUSH_TIMEOUT);
        }
        Err(_) => flush_stdout(),
    }
}

/// Logs where a panic happened; the default hook would print its message, which can contain what a client sent.
fn log_panics(log: Logger) {
    std::panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(log, "handler panicked"; "error" => panic_text(panic.payload()), "source" => location);
    }));
}

/// The signals that stop a process gracefully.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if the process was started to outlive its terminal.
    hangup: Option<Signal>,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind, name| signal(kind).with_context(|| format!("cannot wait for {name}"));
        // With a handler, the write fails instead of the process: a full SQLite file is then a 503.
        drop(listen(SignalKind::from_raw(SIGXFSZ), "SIGXFSZ")?);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt(), SIGINT)?,
            terminate: listen(SignalKind::terminate(), SIGTERM)?,
            hangup: if ignores_hangup() { None } else { Some(listen(SignalKind::hangup(), SIGHUP)?) },
        })
    }

    async fn next(&mut self) -> &'static str {
        let Self { interrupt, terminate, hangup } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupt.recv() => SIGINT,
            _ = terminate.recv() => SIGTERM,
            _ = hung_up => SIGHUP,
        }
    }
}

/// Whether the process ignores SIGHUP because it was started so, by `nohup`: a handler would undo that. False where the
/// system is not Linux.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // Bit 0 is signal 1.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

async fn first_fault(servers: &mut [Server]) -> anyhow::Error {
    let faults = servers.iter_mut().map(|server| Box::pin(server.fault()));
    futures::future::select_all(faults).await.0
}

fn failure(name: &str, error: &anyhow::Error) -> ExitCode {
    stderr::print(format_args!("{name}: {error:#}"));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_signal_within_a_second_is_not_a_second_one() {
        let first = Instant::now();
        let mut delays = [0, 500, 499, 1].into_iter().map(Duration::from_millis);
        let next = async || {
            tokio::time::sleep(delays.next().unwrap()).await;
            SIGTERM
        };
        assert_eq!(second_signal(first, next).await, SIGTERM);
        assert_eq!(first.elapsed(), SECOND_SIGNAL_AFTER);
    }
}
