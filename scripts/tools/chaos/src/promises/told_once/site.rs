//! Everything between customers and the mail server, and what can be killed.

use std::net::SocketAddr;
use std::slice;
use std::time::Duration;

use anyhow::Result;
use service_runtime::events::Transport;
use service_testing::Kind;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::separate::Separate;
use crate::all_in_one::AllInOne;
use crate::journal::Journal;
use crate::messages::rabbit_mq;
use crate::platform::NOTIFICATION_SERVICE;
use crate::program::{Program, ahead};

/// The services, however they run.
pub(super) enum Site<'a> {
    AllInOne(AllInOne<'a>),
    Separate(Separate<'a>),
}

/// What is killed and started again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Victim {
    /// The program with this number.
    Program(usize),
    Postgres,
    Broker,
}

impl<'a> Site<'a> {
    /// Where the service `name` is.
    pub(super) fn address(&self, name: &str) -> SocketAddr {
        match self {
            Self::AllInOne(process) => process.address(name),
            Self::Separate(separate) => separate.addresses[name],
        }
    }

    /// A look into the database of the service `name`.
    pub(super) fn journal(&self, name: &str) -> Journal {
        match self {
            Self::AllInOne(process) => process.journal(name),
            Self::Separate(Separate { kind, databases, .. }) => Journal::new(*kind, databases.url(name)),
        }
    }

    /// The queues of events; the all-in-one program must not run.
    pub(super) async fn events(&self) -> Result<Transport> {
        match self {
            Self::AllInOne(process) => process.events().await,
            Self::Separate(separate) => Ok(rabbit_mq(separate.events.clone())),
        }
    }

    /// Waits until queues that exist survive the broker's death.
    pub(super) fn settle(&self) {
        if let Self::Separate(separate) = self {
            block_in_place(|| separate.broker.settle());
        }
    }

    /// What is killed in every round, but for the broker, which takes seconds to start.
    pub(super) fn victims(&mut self) -> Vec<Victim> {
        let programs = (0..self.programs().len()).map(Victim::Program);
        let postgres = matches!(self, Self::Separate(separate) if separate.kind == Kind::Postgres);
        programs.chain(postgres.then_some(Victim::Postgres)).collect()
    }

    /// The broker, if there is one.
    pub(super) fn broker(&self) -> Option<Victim> {
        matches!(self, Self::Separate(_)).then_some(Victim::Broker)
    }

    /// Kills `victim` as a crash does, and starts it again on the same data after `pause`.
    pub(super) async fn crash(&mut self, victim: Victim, pause: Duration) -> Result<()> {
        match (victim, self) {
            (Victim::Program(number), site) => {
                let program = &mut site.programs()[number];
                program.kill()?;
                sleep(pause).await;
                program.start(&[]).await?;
            }
            (Victim::Broker, Self::Separate(Separate { broker, .. })) => {
                block_in_place(|| broker.kill())?;
                sleep(pause).await;
                block_in_place(|| broker.restart())?;
            }
            (Victim::Postgres, Self::Separate(Separate { run, .. })) => {
                let postgres = run.postgres().await?;
                block_in_place(|| postgres.kill())?;
                sleep(pause).await;
                block_in_place(|| postgres.restart())?;
            }
            (Victim::Broker | Victim::Postgres, Self::AllInOne(_)) => {}
        }
        Ok(())
    }

    /// Kills all that tell users.
    pub(super) fn silence(&mut self) -> Result<()> {
        self.tellers().try_for_each(Program::kill)
    }

    /// Starts the first of them again, with a clock that is ten minutes fast: what was under way when another died is due
    /// after five.
    pub(super) async fn tell_the_rest(&mut self) -> Result<()> {
        let ahead = ahead()?;
        match self.tellers().next() {
            Some(teller) => teller.start(&ahead).await,
            None => Ok(()),
        }
    }

    fn tellers(&mut self) -> impl Iterator<Item = &mut Program<'a>> {
        let together = matches!(self, Self::AllInOne(_));
        self.programs().iter_mut().filter(move |program| together || program.name() == NOTIFICATION_SERVICE)
    }

    fn programs(&mut self) -> &mut [Program<'a>] {
        match self {
            Self::AllInOne(process) => slice::from_mut(&mut process.program),
            Self::Separate(separate) => &mut separate.programs,
        }
    }
}
