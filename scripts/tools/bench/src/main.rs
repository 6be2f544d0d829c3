//! `scripts/bench`: how fast the release programs are, on fresh databases, beside what PostgreSQL alone can do and, with
//! `--peer`, beside the same operations as axum, sqlx and reqwest are commonly used. docs/performance.md tells how to read
//! what it prints.

mod ceiling;
mod curve;
mod data;
mod figures;
mod http;
mod instructions;
mod load;
mod measure;
mod plan;
mod platform;
mod plot;
mod processes;
mod program;
mod progress;
mod report;
mod results;
mod start;
mod targets;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::{Parser, ValueEnum};
use service_testing::{Cluster, Durability};
use tokio::signal::unix::{SignalKind, signal};

use crate::data::Places;
use crate::measure::Pace;
use crate::plan::{Kind, Operation, Part, Side};
use crate::progress::Progress;
use crate::results::{Machine, Results};

/// Measures the services and prints tables; a run of all takes about half an hour.
#[derive(Debug, Parser)]
#[command(name = "scripts/bench")]
struct Options {
    /// Only on this database.
    #[arg(long, value_name = "KIND")]
    database: Vec<Kind>,

    /// Only this operation.
    #[arg(long, value_name = "OPERATION")]
    operation: Vec<Operation>,

    /// Only this part of the benchmark.
    #[arg(long, value_name = "PART")]
    part: Vec<Part>,

    /// How many connections at a time, several numbers by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 256], value_name = "NUMBERS", value_parser = connections)]
    connections: Vec<usize>,

    /// How long each measurement takes [default: 4; 1 with --quick, 10 with --long].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: Option<u64>,

    /// How many measurements of each kind, in turn with the others [default: 3; 1 with --quick, 5 with --long].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: Option<u64>,

    /// How many stored orders the curve ends at [default: 1000000; 10000 with --quick, 10000000 with --long].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(1000..=100_000_000))]
    orders: Option<i64>,

    /// Whether everything works, in a minute or two: what it prints means little. Without instructions.
    #[arg(long, conflicts_with = "long")]
    quick: bool,

    /// For figures to publish: hours.
    #[arg(long)]
    long: bool,

    /// Measure the peer too, and judge by it.
    #[arg(long)]
    peer: bool,

    /// Where to write every measurement.
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    json: PathBuf,

    /// Where to write the picture.
    #[arg(long, value_name = "FILE", default_value = "target/bench.svg")]
    plot: PathBuf,
}

fn connections(text: &str) -> Result<usize, String> {
    // pgbench has as many besides the services.
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

    fn pace(&self) -> Pace {
        let rounds = self.rounds.unwrap_or(self.by_form(1, 3, 5));
        let seconds = self.seconds.unwrap_or(self.by_form(1, 4, 10));
        Pace { rounds: usize::try_from(rounds).unwrap_or(usize::MAX), span: Duration::from_secs(seconds) }
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
    // Whatever ends the run, the databases are stopped and removed, and what is complete is told.
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
    println!("\nEvery measurement: {}   The picture: {}", options.json.display(), options.plot.display());
    outcome
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What was asked for, or everything.
fn or_all<T: ValueEnum + Copy>(asked: &[T]) -> Vec<T> {
    if asked.is_empty() { T::value_variants().to_vec() } else { asked.to_vec() }
}

async fn run(options: &Options, results: &mut Results) -> Result<()> {
    let (kinds, operations) = (or_all(&options.database), or_all(&options.operation));
    let pace = options.pace();
    let largest = options.orders.unwrap_or(options.by_form(10_000, 1_000_000, 10_000_000));
    let mut sides = vec![Side::Ours];
    if options.peer {
        sides.push(Side::Peer);
    }

    let programs = std::env::current_exe()?.parent().context("a program is in a directory")?.to_owned();
    let directory = tempfile::Builder::new().prefix("bench-").tempdir()?;
    let cluster = match kinds.contains(&Kind::Postgres) {
        true => Some(Cluster::start_with(Durability::Full)?),
        false => None,
    };
    let places = Places { programs: &programs, directory: directory.path(), cluster: cluster.as_ref() };
    results.machine = Machine {
        processors: std::thread::available_parallelism()?.get(),
        file_system: processes::file_system(directory.path())?,
        load_average_before: processes::load_average()?,
        seconds_per_measurement: pace.span.as_secs_f64(),
        rounds: pace.rounds,
        ..Default::default()
    };
    if results.machine.file_system == "tmpfs" {
        results
            .missing
            .push("durability: the databases were in memory (set TMPDIR to a directory on a disk)".to_owned());
    }
    let has_pgbench = cluster.as_ref().is_some_and(ceiling::is_installed);
    if cluster.is_some() && !has_pgbench && options.measures(Part::Load) {
        results.missing.push("the ceiling: this PostgreSQL has no pgbench".to_owned());
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
        let load = load_sides(*kind).len() * operations.len() * options.connections.len() * pace.rounds;
        let curve = curve::sizes(largest).len() * curve::REQUESTS.len() * pace.rounds;
        let parts = [
            (Part::Load, load),
            (Part::Start, 1),
            (Part::Curve, curve),
            (Part::Instructions, if has_valgrind { sides.len() * operations.len() } else { 0 }),
        ];
        parts.iter().filter(|(part, _)| options.measures(*part)).map(|(_, steps)| steps).sum::<usize>()
    });
    let mut progress = Progress::new(steps.sum());

    let (begin, before) = (Instant::now(), own_and_all(&places)?);
    for kind in kinds {
        if options.measures(Part::Start) {
            results.starts.extend(start::measure(&places, kind, &sides, &mut progress).await?);
        }
        if options.measures(Part::Load) {
            let (sides, connections) = (load_sides(kind), &options.connections);
            let seen = measure::rounds(&places, kind, &sides, &operations, connections, pace, &mut progress).await?;
            results.load.extend(seen);
        }
        if options.measures(Part::Curve) {
            results.curve.extend(curve::measure(&places, kind, largest, pace, &mut progress).await?);
        }
        if options.measures(Part::Instructions) && has_valgrind {
            let counts = instructions::measure(&places, kind, &sides, &operations, &mut progress).await?;
            results.instructions.extend(counts);
        }
    }
    let after = own_and_all(&places)?;
    let available = begin.elapsed().as_secs_f64() * 1000.0 * results.machine.processors as f64;
    let others = (after.1 - before.1) - (after.0 - before.0);
    results.machine.taken_by_others = Some(others.max(0.0) / available);
    Ok(())
}

/// Milliseconds of processor time: of this run, and of the whole machine.
fn own_and_all(places: &Places<'_>) -> Result<(f64, f64)> {
    let mut own = processes::cpu_ms_with_children(std::process::id())?;
    if places.cluster.is_some() {
        // It is no child of ours.
        own += processes::cpu_ms_with_children(measure::postmaster(places)?)?;
    }
    Ok((own, processes::machine_cpu_ms()?))
}
