//! `scripts/chaos`: injects faults into the running services and evaluates every promise of the platform.
//!
//! A promise is one file of [`promises`]. The other files, and the crate `harness`, are what they use: real processes,
//! a proxy that breaks connections, clients that record what was acknowledged.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool of developers, whose output they read")]

mod abusive_clients;
mod acknowledged;
mod all_in_one;
mod amqp_proxy;
mod buyers;
mod canary;
mod customers;
mod fuzz;
mod journal;
mod mail_server;
mod messages;
mod peer;
mod platform;
mod program;
mod promises;
mod report;
mod run;
mod site;
mod stub_user_service;
mod verdict;
mod writers;

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::canary::Logs;
use crate::promises::{PROMISES, Promise};
use crate::report::Row;
use crate::run::Run;

/// Injects faults into the running services, and prints a table of the platform's promises and the results.
///
/// Exit code 0: every promise that was tested is kept, except for those that --shared-machine excuses. Everything
/// happens on 127.0.0.1, with its own processes and databases.
#[derive(Debug, Parser)]
#[command(name = "scripts/chaos")]
struct Arguments {
    /// The numbers of the promises to test [default: all].
    promises: Vec<u8>,

    /// The long form: about two hours, one of them for promise 11.
    #[arg(long)]
    long: bool,

    /// A broken promise about times (3, 4, 5, 7, 8, 11) is shown as broken but does not fail the run: for a machine
    /// with other users.
    #[arg(long)]
    shared_machine: bool,

    /// Promise 8 also shows what the same operations in axum, with tower's concurrency limit and load shedding, achieve.
    #[arg(long)]
    peer: bool,

    /// How many orders promise 15 places while nothing can be published [default: 2000, in the long form 100000].
    #[arg(long, value_name = "NUMBER")]
    backlog: Option<usize>,

    /// The seed of all random choices; the same seed makes the same choices.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> ExitCode {
    run(Arguments::parse()).await.unwrap_or_else(|error| {
        eprintln!("scripts/chaos: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run(arguments: Arguments) -> Result<ExitCode> {
    let selected = select(&arguments.promises)?;
    let program = std::env::current_exe()?;
    let binaries = program.parent().context("this program is in a directory")?.to_owned();
    let target = binaries.parent().context("it is in the target directory")?;
    let logs = Logs::new(target.join("chaos-logs"))?;
    // For thousands of connections, here and in the services, which inherit the limit.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;

    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000_000));
    let form = if arguments.long { "long" } else { "quick" };
    println!("scripts/chaos: {form} form, --seed {seed}, on {}", report::machine());
    println!("logs of all processes: {}", logs.directory().display());
    let mut run = Run::new(seed, arguments.long, arguments.peer, binaries, logs);
    run.backlog = arguments.backlog.unwrap_or(run.backlog);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let rows = tokio::select! {
        rows = test_all(&run, &selected) => rows,
        // Dropping the promise under test ends all processes.
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    };

    println!("\n{}", report::table(&rows));
    let broken = rows.iter().filter(|row| !row.verdict.failures.is_empty()).count();
    println!(
        "{broken} of {} promises broken; {form} form, --seed {seed}, {:.0} s",
        rows.len(),
        run.elapsed().as_secs_f64()
    );
    let excused = |row: &&Row| arguments.shared_machine && row.timed;
    let failed = rows.iter().filter(|row| !row.verdict.failures.is_empty() && !excused(row)).count();
    if failed < broken {
        println!("{} of them are about times, on a shared machine: excused", broken - failed);
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn select(numbers: &[u8]) -> Result<Vec<&'static Promise>> {
    for number in numbers {
        ensure!(PROMISES.iter().any(|promise| promise.number == *number), "there is no promise {number}");
    }
    let is_selected = |promise: &&Promise| numbers.is_empty() || numbers.contains(&promise.number);
    Ok(PROMISES.iter().filter(is_selected).collect())
}

async fn test_all(run: &Run, promises: &[&'static Promise]) -> Vec<Row> {
    let mut rows = Vec::new();
    for &promise in promises {
        let Promise { number, text, .. } = *promise;
        run.progress(format_args!("promise {number}: {text}"));
        let row = Row::new(promise, (promise.test)(run).await);
        let result = if row.verdict.failures.is_empty() { "kept" } else { "BROKEN" };
        run.progress(format_args!("promise {number}: {result}. {}", row.verdict.measurements.join("; ")));
        for failure in &row.verdict.failures {
            run.progress(format_args!("promise {number}: {failure} (--seed {})", run.seed));
        }
        rows.push(row);
    }
    rows
}
