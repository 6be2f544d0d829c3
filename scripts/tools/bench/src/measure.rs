//! One measurement, and the rounds of all.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::ceiling;
use crate::data::Places;
use crate::load::{self, Requests};
use crate::plan::{Kind, Operation, Side};
use crate::platform::{ORDERS, Platform, Stores, requests};
use crate::processes;
use crate::progress::Progress;

/// What was seen of one side under one load in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) database: Kind,
    pub(crate) operation: Operation,
    pub(crate) connections: usize,
    pub(crate) side: Side,
    pub(crate) round: usize,
    /// Only those that succeeded.
    pub(crate) requests_per_s: f64,
    /// pgbench tells only the mean.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) failed: u64,
    /// What the first failure was.
    pub(crate) failure: Option<String>,
    /// Lines of both services' logs.
    pub(crate) log_lines_per_request: f64,
    /// Milliseconds of processor time for a thousand requests that succeeded.
    pub(crate) cpu_ms: Processes,
    /// At the end, while the connections are open.
    pub(crate) memory_mb: Processes,
}

/// A figure of each process; `None` where it has no part in it.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Processes {
    pub(crate) user_service: Option<f64>,
    pub(crate) order_service: Option<f64>,
    /// All processes of the server.
    pub(crate) postgres: Option<f64>,
    /// What sends the requests.
    pub(crate) load: Option<f64>,
}

impl Processes {
    /// Of both services.
    pub(crate) fn services(&self) -> f64 {
        self.user_service.unwrap_or(0.0) + self.order_service.unwrap_or(0.0)
    }

    /// Of both services and the database.
    pub(crate) fn with_database(&self) -> f64 {
        self.services() + self.postgres.unwrap_or(0.0)
    }

    fn since(&self, before: &Self, per: f64) -> Self {
        let of = |now: Option<f64>, then: Option<f64>| Some((now? - then?) / per);
        Self {
            user_service: of(self.user_service, before.user_service),
            order_service: of(self.order_service, before.order_service),
            postgres: of(self.postgres, before.postgres),
            load: of(self.load, before.load),
        }
    }
}

/// How often and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) rounds: usize,
    pub(crate) span: Duration,
}

impl Pace {
    fn warm_up(&self) -> Duration {
        (self.span / 5).min(Duration::from_secs(1))
    }
}

/// Every operation on one kind of database, for every number of connections and every side, in rounds.
pub(crate) async fn rounds(
    places: &Places<'_>,
    kind: Kind,
    sides: &[Side],
    operations: &[Operation],
    connections: &[usize],
    pace: Pace,
    progress: &mut Progress,
) -> Result<Vec<Measurement>> {
    let mut platforms = Vec::new();
    let mut idle = None;
    for side in sides {
        let stores = Stores::create(places, kind, &side.to_string(), ORDERS, |_| {}).await?;
        match side {
            // Its tables are like the others', but no service uses them.
            Side::Ceiling => idle = Some(stores),
            Side::Ours | Side::Peer => {
                platforms.push((*side, Platform::start(places, *side, &stores, &Default::default())?));
            }
        }
    }
    let mut seen = Vec::new();
    for round in 0..pace.rounds {
        for operation in operations {
            for connections in connections {
                let mut order = sides.to_vec();
                // Whoever goes first profits or suffers from it in every second round only.
                if round % 2 == 1 {
                    order.reverse();
                }
                for side in order {
                    let run = Run { places, kind, operation: *operation, connections: *connections, round, pace };
                    let measurement = match (platforms.iter().find(|(of, _)| *of == side), &idle) {
                        (Some((_, platform)), _) => run.services(side, platform, &requests(*operation)).await?,
                        (None, Some(stores)) => match run.ceiling(stores)? {
                            Some(measurement) => measurement,
                            None => {
                                progress.step("pgbench came to no transaction");
                                continue;
                            }
                        },
                        (None, None) => continue,
                    };
                    progress.step(&format!(
                        "{kind}, {operation}, {connections} connections, {side}: {:.0} requests/s",
                        measurement.requests_per_s
                    ));
                    seen.push(measurement);
                }
            }
        }
    }
    Ok(seen)
}

/// One measurement to be made.
pub(crate) struct Run<'a> {
    pub(crate) places: &'a Places<'a>,
    pub(crate) kind: Kind,
    pub(crate) operation: Operation,
    pub(crate) connections: usize,
    pub(crate) round: usize,
    pub(crate) pace: Pace,
}

impl Run<'_> {
    /// Drives a platform with `requests`.
    pub(crate) async fn services(&self, side: Side, platform: &Platform, requests: &Requests) -> Result<Measurement> {
        let postmaster = self.postmaster()?;
        let look = || {
            let cpu = Processes {
                user_service: Some(processes::cpu_ms(platform.users.id())?),
                order_service: Some(processes::cpu_ms(platform.orders.id())?),
                postgres: postmaster.map(processes::cpu_ms_with_children).transpose()?,
                load: Some(processes::cpu_ms(std::process::id())?),
            };
            let memory = Processes {
                user_service: Some(processes::memory_mb(platform.users.id())?),
                order_service: Some(processes::memory_mb(platform.orders.id())?),
                postgres: postmaster.map(processes::memory_mb_with_children).transpose()?.flatten(),
                load: None,
            };
            Ok((cpu, memory, platform.users.log_lines() + platform.orders.log_lines()))
        };
        let address = platform.answering(self.operation).address;
        let (span, warm_up) = (self.pace.span, self.pace.warm_up());
        let (outcome, before, after) = load::drive(address, self.connections, requests, warm_up, span, look).await?;
        let succeeded = outcome.succeeded as f64;
        Ok(Measurement {
            database: self.kind,
            operation: self.operation,
            connections: self.connections,
            side,
            round: self.round,
            requests_per_s: outcome.requests_per_s(),
            p50_ms: Some(outcome.latency_ms(50.0)),
            p99_ms: Some(outcome.latency_ms(99.0)),
            failed: outcome.failed,
            log_lines_per_request: (after.2 - before.2) as f64 / (succeeded + outcome.failed as f64),
            failure: outcome.failure,
            cpu_ms: after.0.since(&before.0, succeeded / 1000.0),
            memory_mb: after.1,
        })
    }

    fn ceiling(&self, stores: &Stores) -> Result<Option<Measurement>> {
        let cluster = self.places.cluster.context("there is no PostgreSQL in this run")?;
        let store = if self.operation == Operation::GetUser { &stores.users } else { &stores.orders };
        let look = || {
            let cpu = self.postmaster()?.map(processes::cpu_ms_with_children).transpose()?;
            Ok::<_, anyhow::Error>(Processes { postgres: cpu, ..Default::default() })
        };
        let before = look()?;
        let ceiling = ceiling::measure(cluster, store, self.operation, self.connections, self.pace.span)?;
        let Some(ceiling) = ceiling else { return Ok(None) };
        let cpu_ms = look()?.since(&before, ceiling.transactions / 1000.0);
        Ok(Some(Measurement {
            database: self.kind,
            operation: self.operation,
            connections: self.connections,
            side: Side::Ceiling,
            round: self.round,
            requests_per_s: ceiling.transactions_per_s,
            p50_ms: None,
            p99_ms: None,
            failed: ceiling.failed,
            failure: None,
            log_lines_per_request: 0.0,
            cpu_ms,
            memory_mb: Processes::default(),
        }))
    }

    fn postmaster(&self) -> Result<Option<u32>> {
        match self.kind {
            Kind::Sqlite => Ok(None),
            Kind::Postgres => postmaster(self.places).map(Some),
        }
    }
}

/// The first process of the PostgreSQL of this run.
pub(crate) fn postmaster(places: &Places<'_>) -> Result<u32> {
    let cluster = places.cluster.context("there is no PostgreSQL in this run")?;
    let text = std::fs::read_to_string(cluster.socket_directory().join("data/postmaster.pid"))?;
    Ok(text.lines().next().unwrap_or_default().trim().parse()?)
}
