//! The services of a platform, however they run, and what can be killed.

mod separate;

use std::net::SocketAddr;
use std::slice;
use std::time::Duration;

use anyhow::{Context, Result};
use service_runtime::events::Transport;
use service_testing::Kind;
use tokio::task::block_in_place;
use tokio::time::sleep;

pub(crate) use self::separate::Separate;
use crate::all_in_one::AllInOne;
use crate::journal::Journal;
use crate::messages::rabbit_mq;
use crate::program::Program;

/// The services.
#[derive(Debug)]
pub(crate) enum Site<'a> {
    AllInOne(AllInOne<'a>),
    Separate(Separate<'a>),
}

/// What is killed and started again. What others need to start comes before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    Postgres,
    Broker,
    /// The program with this number.
    Program(usize),
}

impl Victim {
    /// What it is, for a report.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Program(_) => "program",
            Self::Postgres => "PostgreSQL",
            Self::Broker => "broker",
        }
    }
}

impl<'a> Site<'a> {
    /// Where the first instance of the service `name` is.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        match self {
            Self::AllInOne(process) => process.address(name),
            Self::Separate(separate) => separate.addresses[name][0],
        }
    }

    /// Where all its instances are.
    pub(crate) fn addresses(&self, name: &str) -> Vec<SocketAddr> {
        match self {
            Self::AllInOne(process) => vec![process.address(name)],
            Self::Separate(separate) => separate.addresses[name].clone(),
        }
    }

    /// A look into the database of the service `name`.
    pub(crate) fn journal(&self, name: &str) -> Journal {
        match self {
            Self::AllInOne(process) => process.journal(name),
            Self::Separate(Separate { kind, databases, .. }) => Journal::new(*kind, databases.url(name)),
        }
    }

    /// The queues of events; the all-in-one program must not run.
    pub(crate) async fn events(&self) -> Result<Transport> {
        match self {
            Self::AllInOne(process) => process.events().await,
            Self::Separate(separate) => Ok(rabbit_mq(separate.events.clone())),
        }
    }

    /// Waits until queues that exist survive the broker's death.
    pub(crate) fn settle(&self) {
        if let Self::Separate(separate) = self {
            block_in_place(|| separate.broker.settle());
        }
    }

    /// What is killed in every round, but for the broker, which takes seconds to start.
    pub(crate) fn victims(&mut self) -> Vec<Victim> {
        let programs = (0..self.programs().len()).map(Victim::Program);
        let postgres = matches!(self, Self::Separate(separate) if separate.kind == Kind::Postgres);
        programs.chain(postgres.then_some(Victim::Postgres)).collect()
    }

    /// The broker, if there is one.
    pub(crate) fn broker(&self) -> Option<Victim> {
        matches!(self, Self::Separate(_)).then_some(Victim::Broker)
    }

    /// Kills `victim` as a crash does, and starts it again on the same data after `pause`.
    pub(crate) async fn crash(&mut self, victim: Victim, pause: Duration) -> Result<()> {
        self.kill(victim).await?;
        sleep(pause).await;
        self.revive(victim).await
    }

    /// Kills `victim` as a crash does.
    pub(crate) async fn kill(&mut self, victim: Victim) -> Result<()> {
        match (victim, self) {
            (Victim::Program(number), site) => site.programs()[number].kill(),
            (Victim::Broker, Self::Separate(Separate { broker, .. })) => block_in_place(|| broker.kill()),
            (Victim::Postgres, Self::Separate(Separate { run, .. })) => {
                let postgres = run.postgres().await?;
                block_in_place(|| postgres.kill())
            }
            (Victim::Broker | Victim::Postgres, Self::AllInOne(_)) => Ok(()),
        }
    }

    /// Starts it again on the same data.
    pub(crate) async fn revive(&mut self, victim: Victim) -> Result<()> {
        match (victim, self) {
            (Victim::Program(number), site) => site.programs()[number].start(&[]).await,
            (Victim::Broker, Self::Separate(Separate { broker, .. })) => block_in_place(|| broker.restart()),
            (Victim::Postgres, Self::Separate(Separate { run, .. })) => {
                let postgres = run.postgres().await?;
                block_in_place(|| postgres.restart())
            }
            (Victim::Broker | Victim::Postgres, Self::AllInOne(_)) => Ok(()),
        }
    }

    /// Kills every program of the service `name`.
    pub(crate) fn silence(&mut self, name: &str) -> Result<()> {
        self.programs_of(name).try_for_each(Program::kill)
    }

    /// Starts the first of them again, with `more` settings.
    pub(crate) async fn restart(&mut self, name: &str, more: &[(String, String)]) -> Result<()> {
        let program = self.programs_of(name).next();
        program.with_context(|| format!("{name} has no program"))?.start(more).await
    }

    fn programs_of(&mut self, name: &str) -> impl Iterator<Item = &mut Program<'a>> {
        let together = matches!(self, Self::AllInOne(_));
        self.programs().iter_mut().filter(move |program| together || program.name() == name)
    }

    fn programs(&mut self) -> &mut [Program<'a>] {
        match self {
            Self::AllInOne(process) => slice::from_mut(&mut process.program),
            Self::Separate(separate) => &mut separate.programs,
        }
    }
}
