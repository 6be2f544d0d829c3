//! `scripts/bench`: measures the release programs on fresh databases, compared with PostgreSQL alone and, with
//! `--peer`, with the same operations in the common style of axum, sqlx and reqwest. docs/performance.md explains the
//! output.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool of developers, whose output they read")]

mod ceiling;
mod curve;
mod data;
mod instructions;
mod load;
mod measure;
mod plan;
mod platform;
mod plot;
mod progress;
mod report;
mod results;
mod start;
mod targets;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::{Parser, ValueEnum};
use harness::postgres::Postgres;
use harness::usage;
use service_testing::Durability;
use tokio::signal::unix::{SignalKind, signal};

use crate::data::Environment;
use crate::measure::Schedule;
use crate::plan::{Kind, Operation, Part, Side};
use crate::progress::Progress;
use crate::results::{Machine, Results};

/// Measures the services and prints tables; a full run takes about half an hour.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct Options {
    /// Measure only on this database.
    #[arg(long, value_name = "KIND")]
    database: Vec<Kind>,

    /// Measure only this operation.
    #[arg(long, value_name = "OPERATION")]
    operation: Vec<Operation>,

    /// Run only this part of the benchmark.
    #[arg(long, value_name = "PART")]
    part: Vec<Part>,

    /// Numbers of concurrent connections, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 256], value_name = "NUMBERS", value_parser = connections)]
    connections: Vec<usize>,

    /// Duration of each measurement [default: 4; 1 with --quick, 10 with --long].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,

    /// Number of measurements of each kind, in turn with the others [default: 3; 1 with --quick, 5 with --long].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: Option<u64>,

    /// Number of stored orders at the end of the curve [default: 1000000; 10000 with --quick, 10000000 with --long].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1000..=100_000_000))]
    orders: Option<i64>,

    /// Check in a minute or two that everything works; the measurements mean little. Without instructions.
    #[arg(long, conflicts_with = "long")]
    quick: bool,

    /// For measurements to publish: takes hours.
    #[arg(long)]
    long: bool,

    /// Also measure the peer, and evaluate the targets relative to it.
    #[arg(long)]
    peer: bool,

    /// The file for every measurement.
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    json: PathBuf,

    /// The file for the plot.
    #[arg(long, value_name = "FILE", default_value = "target/bench.svg")]
    plot: PathBuf,
}

fn connections(text: &str) -> Result<usize, String> {
    // pgbench opens as many, in addition to the services.
    text.parse().ok().filter(|number| (1..=300).contains(number)).ok_or_else(|| "expected 1 to 300".to_owned())
}

impl Options {
    fn by_form<T>(&self, quick: T, full: T, long: T) -> T {
        match (self.quick, self.long) {
            (true, _) => quick,
            (_, true) => long,
            _ => full,
        }
    }

    fn schedule(&self) -> Schedule {
        let rounds = self.rounds.unwrap_or(self.by_form(1, 3, 5));
        let seconds = self.seconds.unwrap_or(self.by_form(1, 4, 10));
        Schedule { rounds: usize::try_from(rounds).unwrap_or(usize::MAX), duration: Duration::from_secs(seconds) }
    }

    fn measures(&self, part: Part) -> bool {
        if self.part.is_empty() { !(self.quick && part == Part::Instructions) } else { self.part.contains(&part) }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = Options::parse();
    let mut results = Results::default();
    let mut terminate = signal(SignalKind::terminate())?;
    // However the run ends, the databases are stopped and removed, and what was measured is printed.
    let outcome = tokio::select! {
        outcome = run(&options, &mut results) => outcome,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("stopped")),
        _ = terminate.recv() => Err(anyhow!("stopped")),
    };
    println!("{}", report::report(&results));
    for failure in report::failures(&results) {
        println!("FAILED: {failure}");
    }
    write(&options.json, &serde_json::to_string_pretty(&results)?)?;
    write(&options.plot, &plot::plot(&results))?;
    println!("\nEvery measurement: {}   The plot: {}", options.json.display(), options.plot.display());
    outcome
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The selected values, or all.
fn or_all<T: ValueEnum + Copy>(selected: &[T]) -> Vec<T> {
    if selected.is_empty() { T::value_variants().to_vec() } else { selected.to_vec() }
}

async fn run(options: &Options, results: &mut Results) -> Result<()> {
    let (kinds, operations) = (or_all(&options.database), or_all(&options.operation));
    let schedule = options.schedule();
    let largest = options.orders.unwrap_or(options.by_form(10_000, 1_000_000, 10_000_000));
    let mut sides = vec![Side::Ours];
    if options.peer {
        sides.push(Side::Peer);
    }

    let programs = std::env::current_exe()?.parent().context("a program is in a directory")?.to_owned();
    let directory = tempfile::Builder::new().prefix("bench-").tempdir()?;
    let postgres = match kinds.contains(&Kind::Postgres) {
        true => Some(Postgres::start(Durability::Full)?),
        false => None,
    };
    let environment = Environment { programs, directory, postgres };
    results.machine = Machine {
        processors: std::thread::available_parallelism()?.get(),
        file_system: usage::file_system(environment.directory.path())?,
        load_average_before: usage::load_average()?,
        seconds_per_measurement: schedule.duration.as_secs_f64(),
        rounds: schedule.rounds,
        ..Default::default()
    };
    if results.machine.file_system == "tmpfs" {
        results
            .missing
            .push("durability: the databases were in memory (set TMPDIR to a directory on a disk)".to_owned());
    }
    let has_postgres = environment.postgres.is_some();
    let has_pgbench = environment.postgres.as_ref().is_some_and(|postgres| ceiling::is_installed(&postgres.cluster));
    if has_postgres && !has_pgbench && options.measures(Part::Load) {
        results.missing.push("the ceiling: pgbench is missing".to_owned());
    }
    let has_valgrind = instructions::is_installed();
    if !has_valgrind && options.measures(Part::Instructions) {
        results.missing.push("instructions: valgrind is missing (Debian: apt-get install valgrind)".to_owned());
    }

    let load_sides = |kind: Kind| {
        let ceiling = (kind == Kind::Postgres && has_pgbench).then_some(Side::Ceiling);
        sides.iter().copied().chain(ceiling).collect::<Vec<_>>()
    };
    let steps = kinds.iter().map(|kind| {
        let load = load_sides(*kind).len() * operations.len() * options.connections.len() * schedule.rounds;
        let curve = curve::sizes(largest).len() * curve::REQUESTS.len() * schedule.rounds;
        let parts = [
            (Part::Load, load),
            (Part::Start, 1),
            (Part::Curve, curve),
            (Part::Instructions, if has_valgrind { sides.len() * operations.len() } else { 0 }),
        ];
        parts.iter().filter(|(part, _)| options.measures(*part)).map(|(_, steps)| steps).sum::<usize>()
    });
    let mut progress = Progress::new(steps.sum());

    let (begin, before) = (Instant::now(), own_and_all(&environment)?);
    // Those for which the services start otherwise, apart.
    let (reserving, others): (Vec<_>, Vec<_>) = operations.iter().partition(|operation| operation.reserved_items() > 0);
    for kind in kinds {
        if options.measures(Part::Start) {
            results.starts.extend(start::measure(&environment, kind, &sides, &mut progress).await?);
        }
        let groups = [others.as_slice(), reserving.as_slice()].into_iter().filter(|operations| !operations.is_empty());
        for operations in groups {
            if options.measures(Part::Load) {
                let (sides, connections) = (load_sides(kind), &options.connections);
                let measured =
                    measure::rounds(&environment, kind, &sides, operations, connections, schedule, &mut progress)
                        .await?;
                results.load.extend(measured);
            }
            if options.measures(Part::Instructions) && has_valgrind {
                let counts = instructions::measure(&environment, kind, &sides, operations, &mut progress).await?;
                results.instructions.extend(counts);
            }
        }
        if options.measures(Part::Curve) {
            results.curve.extend(curve::measure(&environment, kind, largest, schedule, &mut progress).await?);
        }
    }
    let after = own_and_all(&environment)?;
    let available = begin.elapsed().as_secs_f64() * 1000.0 * results.machine.processors as f64;
    let others = (after.1 - before.1) - (after.0 - before.0);
    results.machine.taken_by_others = Some(others.max(0.0) / available);
    Ok(())
}

/// Milliseconds of processor time of this run, and of the whole machine.
fn own_and_all(environment: &Environment) -> Result<(f64, f64)> {
    let mut own = usage::cpu_ms_with_children(std::process::id())?;
    if let Some(postgres) = &environment.postgres {
        // The server is not a child of this process.
        own += usage::cpu_ms_with_children(postgres.postmaster()?)?;
    }
    Ok((own, usage::machine_cpu_ms()?))
}
