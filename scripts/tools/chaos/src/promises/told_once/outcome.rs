//! What became of a run on one kind of platform.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use harness::measurements::Counts;

use super::books::Books;
use crate::run::Run;
use crate::site::Victim;
use crate::verdict::Verdict;

/// The figures.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    kills: Counts,
    /// How many messages the mail server has broken off or refused for now.
    pub(super) cuts: usize,
    /// How many messages were under way, or waited for another attempt, after the last kill.
    pub(super) left: usize,
    /// How many events were published again, and how many were recognised.
    pub(super) repeated: (u64, u64),
    /// How long it took until everything was told, from when all events were handled.
    pub(super) recovery: Duration,
    pub(super) books: Books,
    /// How many rows of notification-service have personal data.
    pub(super) personal: usize,
    /// The failures of all attempts of customers.
    pub(super) failures: Counts,
    pub(super) given_up: Counts,
}

impl Outcome {
    pub(super) fn killed(&mut self, victim: Victim) {
        self.kills.add(victim.kind().to_owned());
    }

    /// Why the promise is broken, if it is.
    fn failures(&self) -> Vec<String> {
        const SHOWN: usize = 5;
        let mut failures: Vec<_> = self.books.wrong.iter().take(SHOWN).cloned().collect();
        if self.books.confirmed == 0 {
            failures.push("no order is confirmed".to_owned());
        }
        if self.given_up.total() > 0 {
            failures.push(format!("requests were given up: {}", self.given_up));
        }
        let (repeated, recognised) = self.repeated;
        if recognised < repeated {
            failures.push(format!("{recognised} of {repeated} repeated events are recognised"));
        }
        if self.personal > 0 {
            failures.push(format!("{} rows of notification-service have personal data", self.personal));
        }
        failures
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, cuts, left, recovery, books, personal, failures, .. } = self;
        let (repeated, recognised) = self.repeated;
        write!(f, "kills: {kills}; {cuts} messages broken off or refused for now; {books}; ")?;
        write!(
            f,
            "{left} messages under way at the last kill, sent {:.1} s after all events were handled; ",
            recovery.as_secs_f64()
        )?;
        write!(f, "{repeated} events published again, {recognised} recognised; {personal} rows with personal data; ")?;
        write!(f, "attempts repeated after: {failures}")
    }
}

/// Adds what became of a run on `platform`.
pub(super) fn judge(run: &Run, verdict: &mut Verdict, platform: &str, outcome: Result<Outcome>) {
    match outcome {
        Ok(outcome) => {
            verdict.measured(run, format!("{platform}: {outcome}"));
            verdict.failures.extend(outcome.failures().into_iter().map(|failure| format!("{platform}: {failure}")));
        }
        Err(error) => verdict.failures.push(format!("{platform}: {error:#}")),
    }
}
