//! Measurements of throughput, latency and resource usage, in rounds.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use harness::platform::Platform;
use harness::topology;
use harness::usage::{cpu_ms, cpu_ms_with_children, memory_bytes, memory_bytes_with_children};
use serde::Serialize;

use crate::ceiling;
use crate::data::Environment;
use crate::load::{self, Requests};
use crate::plan::{Kind, Operation, Side};
use crate::platform::{DatabaseUrls, ORDERS, create_filled, requests, reserve, start};
use crate::progress::Progress;

/// One side under one workload in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) database: Kind,
    pub(crate) operation: Operation,
    pub(crate) connections: usize,
    pub(crate) side: Side,
    pub(crate) round: usize,
    /// Successful requests only.
    pub(crate) requests_per_s: f64,
    /// `None` for pgbench, which only prints the mean.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) failed: u64,
    /// The first failure.
    pub(crate) failure: Option<String>,
    /// Lines in the logs of all services.
    pub(crate) log_lines_per_request: f64,
    /// Milliseconds of processor time per thousand successful requests.
    pub(crate) cpu_ms: Usage,
    /// At the end, while the connections are still open.
    pub(crate) memory_mb: Usage,
}

/// What each process uses, by the name of the service (with underscores), `postgres` (all processes of the server) or
/// `load` (this program); a process that takes no part is missing.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Usage(pub(crate) BTreeMap<String, f64>);

impl Usage {
    /// Of one process.
    pub(crate) fn of(&self, name: &str) -> Option<f64> {
        self.0.get(&name.replace('-', "_")).copied()
    }

    /// Of all services.
    pub(crate) fn services(&self) -> f64 {
        topology::platform().services.iter().filter_map(|service| self.of(&service.name)).sum()
    }

    /// Of all services and the database.
    pub(crate) fn with_database(&self) -> f64 {
        self.services() + self.of("postgres").unwrap_or(0.0)
    }

    fn since(&self, before: &Self, per: f64) -> Self {
        let used = |(name, now): (&String, &f64)| Some((name.clone(), (now - before.of(name)?) / per));
        Self(self.0.iter().filter_map(used).collect())
    }
}

/// How many measurements are made, and how long each takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) rounds: usize,
    pub(crate) duration: Duration,
}

impl Schedule {
    fn warm_up(&self) -> Duration {
        (self.duration / 5).min(Duration::from_secs(1))
    }
}

/// Measures every operation on one kind of database, with every number of connections and every side, in rounds.
pub(crate) async fn rounds(
    environment: &Environment,
    kind: Kind,
    sides: &[Side],
    operations: &[Operation],
    connections: &[usize],
    schedule: Schedule,
    progress: &mut Progress,
) -> Result<Vec<Measurement>> {
    let mut platforms = Vec::new();
    let mut ceiling = None;
    for side in sides {
        let name = format!("{side}{}", if reserve(operations) { "-reserving" } else { "" });
        let databases = create_filled(environment, kind, &name, ORDERS).await?;
        match side {
            // The same tables, without a service.
            Side::Ceiling => ceiling = Some(databases),
            Side::Ours | Side::Peer => {
                platforms.push((*side, start(environment, *side, &databases, operations, |_| Vec::new()).await?));
            }
        }
    }
    let mut measurements = Vec::new();
    for round in 0..schedule.rounds {
        for operation in operations {
            for connections in connections {
                let mut order = sides.to_vec();
                // Alternating the order cancels out effects of being measured first.
                if round % 2 == 1 {
                    order.reverse();
                }
                for side in order {
                    let run = Run {
                        environment,
                        kind,
                        operation: *operation,
                        connections: *connections,
                        side,
                        round,
                        schedule,
                    };
                    let measurement = match (platforms.iter().find(|(of, _)| *of == side), &ceiling) {
                        (Some((_, platform)), _) => run.services(platform, &requests(*operation)).await?,
                        (None, Some(databases)) => match run.ceiling(databases)? {
                            Some(measurement) => measurement,
                            None => {
                                progress.step("pgbench completed no transaction");
                                continue;
                            }
                        },
                        (None, None) => continue,
                    };
                    progress.step(&format!(
                        "{kind}, {operation}, {connections} connections, {side}: {:.0} requests/s",
                        measurement.requests_per_s
                    ));
                    measurements.push(measurement);
                }
            }
        }
    }
    Ok(measurements)
}

/// One measurement to be made.
pub(crate) struct Run<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) kind: Kind,
    pub(crate) operation: Operation,
    pub(crate) connections: usize,
    pub(crate) side: Side,
    pub(crate) round: usize,
    pub(crate) schedule: Schedule,
}

impl Run<'_> {
    /// Loads a platform with `requests`.
    pub(crate) async fn services(&self, platform: &Platform, requests: &Requests) -> Result<Measurement> {
        let postmaster = match self.kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(self.environment.postgres()?.postmaster()?),
        };
        let mb = |bytes: u64| bytes as f64 / 1024.0 / 1024.0;
        let probe = || {
            let (mut cpu, mut memory, mut log_lines) = (Usage::default(), Usage::default(), 0);
            for member in &platform.members {
                let (name, process) = (member.service.name.replace('-', "_"), &member.instance.process);
                cpu.0.insert(name.clone(), cpu_ms(process.id())?);
                memory.0.insert(name, mb(memory_bytes(process.id())?));
                log_lines += process.log_lines();
            }
            if let Some(postmaster) = postmaster {
                cpu.0.insert("postgres".to_owned(), cpu_ms_with_children(postmaster)?);
                memory
                    .0
                    .extend(memory_bytes_with_children(postmaster)?.map(|bytes| ("postgres".to_owned(), mb(bytes))));
            }
            cpu.0.insert("load".to_owned(), cpu_ms(std::process::id())?);
            Ok((cpu, memory, log_lines))
        };
        let address = platform[self.operation.service()].instance.address;
        let (duration, warm_up) = (self.schedule.duration, self.schedule.warm_up());
        let (outcome, before, after) =
            load::drive(address, self.connections, requests, warm_up, duration, probe).await?;
        let succeeded = outcome.succeeded as f64;
        Ok(Measurement {
            p50_ms: Some(outcome.latency_ms(50.0)),
            p99_ms: Some(outcome.latency_ms(99.0)),
            log_lines_per_request: (after.2 - before.2) as f64 / (succeeded + outcome.failed as f64),
            cpu_ms: after.0.since(&before.0, succeeded / 1000.0),
            memory_mb: after.1,
            ..self.measurement(outcome.requests_per_s(), outcome.failed, outcome.failure)
        })
    }

    fn ceiling(&self, databases: &DatabaseUrls) -> Result<Option<Measurement>> {
        let postgres = self.environment.postgres()?;
        let url = &databases[self.operation.service()];
        let probe = || cpu_ms_with_children(postgres.postmaster()?);
        let before = probe()?;
        let ceiling =
            ceiling::measure(&postgres.cluster, url, self.operation, self.connections, self.schedule.duration)?;
        let Some(ceiling) = ceiling else { return Ok(None) };
        let cpu_ms = (probe()? - before) / (ceiling.transactions / 1000.0);
        Ok(Some(Measurement {
            cpu_ms: Usage([("postgres".to_owned(), cpu_ms)].into()),
            ..self.measurement(ceiling.transactions_per_s, ceiling.failed, None)
        }))
    }

    /// Of pgbench, nothing more is known.
    fn measurement(&self, requests_per_s: f64, failed: u64, failure: Option<String>) -> Measurement {
        Measurement {
            database: self.kind,
            operation: self.operation,
            connections: self.connections,
            side: self.side,
            round: self.round,
            requests_per_s,
            p50_ms: None,
            p99_ms: None,
            failed,
            failure,
            log_lines_per_request: 0.0,
            cpu_ms: Usage::default(),
            memory_mb: Usage::default(),
        }
    }
}
