//! Every handler of the saga, killed at every point of its work: see [`faults`].

mod bench;
mod books;
mod faults;
mod scenes;
mod stage;

use std::fmt;

use anyhow::Result;
use futures::future::try_join_all;
use harness::measurements::Counts;
use service_testing::{Broker, Kind};

use self::bench::Bench;
use self::faults::{ALL, suffer};
use self::scenes::Scenes;
use self::stage::Stage;
use crate::run::Run;

/// How often a fault happens to the same events.
const TIMES: [usize; 2] = [1, 2];

/// What became of all services on one kind of database.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Handlers, by the faults that they had, once or twice.
    cells: usize,
    /// Events that were handled under faults.
    events: usize,
    faults: Counts,
    /// How many of the services' own events came more than once to their subscriber.
    repeated: usize,
    wrong: Vec<String>,
}

/// Lets every handler suffer every fault, once and twice, `rounds` times.
pub(super) async fn play(run: &Run, kind: Kind, broker: &Broker, rounds: usize) -> Result<Outcome> {
    let outcomes = Stage::ALL.map(|stage| play_one(run, kind, broker, stage, rounds));
    let mut all = Outcome::default();
    for outcome in try_join_all(outcomes).await? {
        all.cells += outcome.cells;
        all.events += outcome.events;
        all.faults.merge(outcome.faults);
        all.repeated += outcome.repeated;
        all.wrong.extend(outcome.wrong);
    }
    Ok(all)
}

/// What the handlers of one service suffer.
async fn play_one(run: &Run, kind: Kind, broker: &Broker, stage: Stage, rounds: usize) -> Result<Outcome> {
    let mut bench = Bench::start(run, kind, broker, stage).await?;
    let mut scenes = Scenes::new(stage, &bench).await?;
    let mut outcome = Outcome { cells: stage.handlers() * ALL.len() * TIMES.len(), ..Outcome::default() };
    for _ in 0..rounds {
        for (fault, times) in ALL.into_iter().flat_map(|fault| TIMES.map(|times| (fault, times))) {
            let act = scenes.prepare(&bench).await?;
            outcome.events += act.events.len();
            let late = act.late.clone();
            suffer(&mut bench, fault, times, act).await?;
            bench.publish(late).await?;
            (0..times).for_each(|_| outcome.faults.add(fault.text().to_owned()));
        }
    }
    let wrong = books::audit(&bench, &scenes).await?;
    outcome.wrong.extend(wrong.into_iter().map(|wrong| format!("{}: {wrong}", bench.name())));
    outcome.repeated = bench.repeated();
    bench.end().await;
    Ok(outcome)
}

impl Outcome {
    /// Why the promise is broken, if it is.
    pub(super) fn failures(&self) -> Vec<String> {
        const SHOWN: usize = 5;
        self.wrong.iter().take(SHOWN).cloned().collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cells, events, faults, repeated, wrong } = self;
        write!(f, "{cells} cells of the matrix, {events} events handled under faults: {faults}; ")?;
        write!(f, "{repeated} events came to their subscriber more than once; {} differences", wrong.len())
    }
}
