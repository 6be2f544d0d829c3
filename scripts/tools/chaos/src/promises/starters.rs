//! Promise 10: several instances that start concurrently on an empty database all start.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::future::join_all;
use harness::measurements::{Latencies, ms};
use harness::process::Instance;
use harness::topology::{self, Service};
use service_testing::{KINDS, Kind};

use crate::platform::Databases;
use crate::run::{Run, START_TIME_LIMIT};
use crate::verdict::Verdict;

/// How many instances start concurrently.
const STARTERS: usize = 8;

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let services = &topology::platform().services;
    let rounds = run.choose(5, 100).max(services.len());
    let mut failures = Vec::new();
    let mut times = Vec::new();
    for kind in KINDS {
        for round in 0..rounds {
            let service = &services[(round + 1) % services.len()];
            for outcome in start_all(run, kind, service).await? {
                match outcome {
                    Ok((time, _)) => times.push(time),
                    Err(error) => failures.push(format!("{kind:?}, round {round}: {error:#}")),
                }
            }
        }
        run.progress(format_args!("{kind:?}: {rounds} rounds of {STARTERS} starters"));
    }
    let all = KINDS.len() * rounds * STARTERS;
    let times: Latencies = times.into_iter().collect();
    failures.dedup();
    let mut verdict = Verdict { failures, ..Verdict::default() };
    verdict.measured(run, format!("{} of {all} started, the slowest in {}", times.count(), ms(times.max())));
    Ok(verdict.with_method(format!("{STARTERS} concurrent starts on an empty database, {rounds} × on each kind")))
}

/// Starts all concurrently, and returns how long each took until it was ready.
async fn start_all(run: &Run, kind: Kind, service: &Service) -> Result<Vec<Result<(Duration, Instance)>>> {
    let databases = Databases::new(run, kind).await?;
    // The discard port: nothing listens there.
    let called = "127.0.0.1:9".parse()?;
    let settings = databases.settings(service, |_| Some(called));
    let begin = Instant::now();
    let mut processes = Vec::new();
    for _ in 0..STARTERS {
        processes.push(run.spawn(service, false, &settings)?);
    }
    let started = processes.into_iter().map(|process| async move {
        let instance = process.serving(START_TIME_LIMIT).await?;
        ensure!(Instance::is_ready(instance.address).await, "it serves and is not ready");
        Ok((begin.elapsed(), instance))
    });
    Ok(join_all(started).await)
}
