//! The life of a process: start, wait for a signal, stop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use slog::{Logger, error, info};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::check_ready;
use crate::guard::panic_text;
use crate::log::flush_stdout;
use crate::server::{DRAIN_TIMEOUT, Server};

/// What a person sends with Ctrl-C.
const SIGINT: &str = "SIGINT";
/// What an orchestrator sends.
const SIGTERM: &str = "SIGTERM";

/// How long a process that an orchestrator stops still serves while it says that it is not ready, so that requests
/// go elsewhere before it closes.
const NOTICE: Duration = Duration::from_secs(1);

/// The most events that one worker alone takes from the kernel at a time. What belongs to as many requests stays in the
/// processor's cache until they are answered.
const EVENTS_AT_ONCE: usize = 32;

/// How many tasks it runs before it takes more events, unless no more are ready: it finishes what it has begun.
const POLLS_BEFORE_EVENTS: u32 = 1000;

/// Shorter than what is limited in a usual request, long enough to cost nothing.
const TICK: Duration = Duration::from_millis(200);

/// How long a stdout that is not read may hold up the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the servers that `start` starts until SIGINT or SIGTERM, or until one fails; then stops them all. A second
/// signal ends the process at once.
///
/// No servers mean that there was only something to do once, such as a migration. A failure is one line on stderr
/// and exit code 1.
pub fn run<F>(name: &str, log: &Logger, start: F) -> ExitCode
where
    F: Future<Output = Result<Vec<Server>>>,
{
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failure(name, &error.into()),
    };
    log_panics(log.clone());
    let outcome = runtime.block_on(serve(log, start));
    // What still blocks a thread, such as a name being looked up, is not waited for.
    runtime.shutdown_background();
    flush_log();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(name, &error),
    }
}

/// A worker thread for every two processors, at least one: the database, and often the other service, run beside. Where there
/// are fewer of them they wake each other less. One alone is this thread, which shares nothing with others.
fn runtime() -> io::Result<Runtime> {
    let workers = std::thread::available_parallelism().map_or(1, |processors| processors.get().div_ceil(2));
    let mut builder = if workers == 1 { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    if workers == 1 {
        builder.max_io_events_per_tick(EVENTS_AT_ONCE).event_interval(POLLS_BEFORE_EVENTS);
    } else {
        builder.worker_threads(workers);
    }
    builder.enable_all().build()
}

/// Asks the process that listens on `address`, in a container next to this one, whether it is ready: the health check of
/// an image in which there is no other program. If it is not, that is one line on stderr and exit code 1.
pub fn check_ready(name: &str, address: SocketAddr) -> ExitCode {
    match check_ready::ask(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(name, &error),
    }
}

async fn serve(log: &Logger, start: impl Future<Output = Result<Vec<Server>>>) -> Result<()> {
    let mut signals = Signals::new()?;
    tokio::spawn(tick());
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
    let patience = if matches!(outcome, Ok(SIGTERM)) { NOTICE } else { Duration::ZERO };
    tokio::select! {
        () = stop(servers, patience) => outcome.map(|_| ()),
        signal = signals.next() => Err(anyhow!("stopped at once by a second signal, {signal}")),
    }
}

/// Keeps a timer ahead of those of requests. For one that is set earlier than all others tokio wakes whoever waits for
/// events, by a system call: a lone request would wake itself for each of its limits.
async fn tick() {
    loop {
        tokio::time::sleep(TICK).await;
    }
}

async fn stop(mut servers: Vec<Server>, notice: Duration) {
    servers.iter().for_each(Server::announce_stop);
    tokio::time::sleep(notice).await;
    // One for all of them: an orchestrator waits for the process.
    let deadline = Instant::now() + DRAIN_TIMEOUT;
    // In the order opposite to the start: what calls others stops before what it calls.
    while let Some(server) = servers.pop() {
        server.stop_by(deadline).await;
    }
}

/// Writes the last lines of the log, unless nobody takes them.
fn flush_log() {
    let (done, written) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        flush_stdout();
        done.send(())
    });
    let _ = written.recv_timeout(FLUSH_TIMEOUT);
}

/// Logs where a panic was, instead of writing its text, which can hold what a client sent, to stderr.
fn log_panics(log: Logger) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(log, "a panic"; "error" => panic_text(panic.payload()), "place" => place);
    }));
}

/// The two signals that ask a process to stop.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let listen = |kind, name| signal(kind).with_context(|| format!("cannot wait for {name}"));
        Ok(Self {
            interrupt: listen(SignalKind::interrupt(), SIGINT)?,
            terminate: listen(SignalKind::terminate(), SIGTERM)?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => SIGINT,
            _ = self.terminate.recv() => SIGTERM,
        }
    }
}

async fn first_fault(servers: &mut [Server]) -> anyhow::Error {
    let faults = servers.iter_mut().map(|server| Box::pin(server.fault()));
    futures::future::select_all(faults).await.0
}

fn failure(name: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("{name}: {error:#}");
    ExitCode::FAILURE
}
