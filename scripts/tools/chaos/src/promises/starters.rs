//! Promise 10: of several instances that start at once on an empty database, all start.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::join_all;
use service_testing::{KINDS, Kind};

use super::{Tried, Verdict};
use crate::figures::{Latencies, ms};
use crate::platform::{Databases, order_settings};
use crate::process::{Process, Program, Service};
use crate::run::Run;

/// How many start at once.
const STARTERS: usize = 8;

pub(crate) async fn judge(run: &Run) -> Result<Tried> {
    let rounds = run.choose(5, 100);
    let mut failures = Vec::new();
    let mut times = Vec::new();
    for kind in KINDS {
        for round in 0..rounds {
            let program = if round % 2 == 0 { Program::OrderService } else { Program::UserService };
            for outcome in start_all(run, kind, program).await? {
                match outcome {
                    Ok(time) => times.push(time),
                    Err(error) => failures.push(format!("{kind:?}, round {round}: {error:#}")),
                }
            }
        }
        run.say(format_args!("{kind:?}: {rounds} rounds of {STARTERS} starters"));
    }
    let tries = KINDS.len() * rounds * STARTERS;
    let times: Latencies = times.into_iter().collect();
    let mut verdict = Verdict::new(format!("{} of {tries} started, the slowest in {}", times.len(), ms(times.max())));
    failures.dedup();
    verdict.failures = failures;
    Ok(Tried { how: format!("{STARTERS} instances at once on an empty database, {rounds} × on each kind"), verdict })
}

/// Starts all at once; gives how long each took until it was ready.
async fn start_all(run: &Run, kind: Kind, program: Program) -> Result<Vec<Result<Duration>>> {
    let databases = Databases::new(run, kind).await?;
    let nobody = "127.0.0.1:9".parse()?;
    let settings = match program {
        Program::UserService => databases.settings(program),
        Program::OrderService => order_settings(&databases, nobody),
    };
    let begin = Instant::now();
    let mut processes = Vec::new();
    for _ in 0..STARTERS {
        processes.push(Process::spawn(&run.binaries, program, run.logs.file(program.name()), &settings)?);
    }
    let started = processes.iter_mut().map(|process| async move {
        let address = process.address().await?;
        anyhow::ensure!(Service::is_ready(address).await, "it serves and is not ready");
        Ok(begin.elapsed())
    });
    Ok(join_all(started).await)
}
