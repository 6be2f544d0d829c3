//! `scripts/chaos`: breaks the running services in every way that the platform makes a promise about, and judges.
//!
//! A promise is one file of [`promises`]. Everything else is what they stand on: real processes, a proxy that breaks
//! connections, clients that write down what was acknowledged.

mod balancer;
mod canary;
mod figures;
mod fuzz;
mod greedy;
mod http1;
mod keyed;
mod ledger;
mod load;
mod lone_runtime;
mod platform;
mod postgres;
mod process;
mod promises;
mod proxy;
mod report;
mod run;
mod stub;
mod writers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::canary::Logs;
use crate::promises::{PROMISES, Promise, Tried};
use crate::report::Row;
use crate::run::Run;

/// Breaks the services in every way that the platform makes a promise about, and prints a table of promises and results.
///
/// Exit code 0: every promise that was tried is kept, but for what --shared-machine excuses. All happens on 127.0.0.1, with processes and databases of its own.
#[derive(Debug, Parser)]
#[command(name = "scripts/chaos")]
struct Arguments {
    /// The numbers of the promises to try; all if none is given.
    promises: Vec<u8>,

    /// The long form: hours, most of them for promise 11.
    #[arg(long)]
    long: bool,

    /// A promise of times (3, 4, 5, 7, 8, 11) that is broken is shown as broken, but is no failure: for a machine that
    /// others use.
    #[arg(long)]
    shared_machine: bool,

    /// Where all that is random comes from; a run with the seed of another does the same.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Write the table to this file too, as Markdown.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scripts/chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<bool> {
    let wanted = wanted(&arguments.promises)?;
    let program = std::env::current_exe()?;
    let binaries = program.parent().context("this program is in a directory")?.to_owned();
    let target = binaries.parent().context("it is in the target directory")?;
    let logs = Logs::new(target.join("chaos-logs"))?;
    // Thousands of connections, here and in the services, which inherit it.
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;

    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(0..1_000_000_000));
    let form = if arguments.long { "long" } else { "quick" };
    println!("scripts/chaos: {form} form, --seed {seed}, on {}", report::machine());
    println!("the logs of all processes are kept in {}", logs.directory().display());
    let run = Run::new(seed, arguments.long, binaries, logs);
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let rows = tokio::select! {
        rows = try_all(&run, &wanted) => rows,
        // All that was started ends with what is dropped here.
        _ = interrupt.recv() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("told to stop"),
    };

    println!("\n{}", report::plain(&rows));
    let broken = rows.iter().filter(|row| !row.failures.is_empty()).count();
    println!(
        "{broken} of {} promises broken; {form} form, --seed {seed}, {:.0} s",
        rows.len(),
        run.elapsed().as_secs_f64()
    );
    if let Some(file) = arguments.report {
        std::fs::write(&file, report::markdown(&rows, form, seed, run.elapsed()))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let excused = |row: &&Row| arguments.shared_machine && row.timed;
    let failed = rows.iter().filter(|row| !row.failures.is_empty() && !excused(row)).count();
    if failed < broken {
        println!("{} of them of times, on a machine that others use: no failure of this run", broken - failed);
    }
    Ok(failed == 0)
}

fn wanted(numbers: &[u8]) -> Result<Vec<&'static Promise>> {
    for number in numbers {
        ensure!(PROMISES.iter().any(|promise| promise.number == *number), "there is no promise {number}");
    }
    let is_wanted = |promise: &&Promise| numbers.is_empty() || numbers.contains(&promise.number);
    Ok(PROMISES.iter().filter(is_wanted).collect())
}

async fn try_all(run: &Run, wanted: &[&Promise]) -> Vec<Row> {
    let mut rows = Vec::new();
    for promise in wanted {
        let Promise { number, text, pass, timed, judge } = **promise;
        run.say(format_args!("promise {number}: {text}"));
        let begin = Instant::now();
        let row = match judge(run).await {
            Ok(Tried { how, verdict }) => Row {
                number,
                text,
                pass,
                timed,
                how,
                figures: verdict.figures,
                failures: verdict.failures,
                took: begin.elapsed(),
            },
            Err(error) => Row::unjudged(promise, &error, begin.elapsed()),
        };
        let verdict = if row.failures.is_empty() { "kept" } else { "BROKEN" };
        run.say(format_args!("promise {number}: {verdict}. {}", row.figures));
        for failure in &row.failures {
            run.say(format_args!("promise {number}: {failure} (--seed {})", run.seed));
        }
        rows.push(row);
    }
    rows
}
