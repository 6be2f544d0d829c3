//! What became of a run on one kind of platform.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use harness::measurements::Counts;

use super::books::Books;
use super::payers::Bills;
use super::reconcile::Reconciled;
use crate::run::Run;
use crate::site::Victim;
use crate::verdict::Verdict;

/// The figures.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    kills: Counts,
    /// How long it took until every order had ended, after the last kill.
    pub(super) recovery: Duration,
    /// What had not ended by then, if anything.
    pub(super) open: Option<String>,
    /// How many reservations of orders that were not placed had to expire.
    pub(super) expired: usize,
    /// How many events were published again, and how many were recognised.
    pub(super) repeated: (u64, u64),
    /// How many dead letters there are.
    pub(super) dead_letters: usize,
    pub(super) books: Books,
    /// `None`: the program `orders` has no such command.
    pub(super) reconciled: Option<Reconciled>,
    pub(super) bills: Bills,
}

impl Outcome {
    pub(super) fn killed(&mut self, victim: Victim) {
        self.kills.add(victim.kind().to_owned());
    }

    /// Why the promise is broken, if it is.
    pub(super) fn failures(&self) -> Vec<String> {
        const SHOWN: usize = 5;
        let mut failures: Vec<_> = self.open.iter().cloned().collect();
        failures.extend(self.books.wrong.iter().take(SHOWN).cloned());
        if self.books.orders() == 0 {
            failures.push("there is no order".to_owned());
        }
        if self.bills.given_up.total() > 0 {
            failures.push(format!("requests were given up: {}", self.bills.given_up));
        }
        let (repeated, recognised) = self.repeated;
        if recognised < repeated {
            failures.push(format!("{recognised} of {repeated} repeated events are recognised"));
        }
        if self.dead_letters > 0 {
            failures.push(format!("there are {} dead letters", self.dead_letters));
        }
        if let Some(Reconciled { found, text }) = &self.reconciled
            && *found
        {
            failures.push(format!("orders admin reconcile: {text}"));
        }
        failures
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, recovery, expired, dead_letters, books, bills, reconciled, .. } = self;
        let Bills { sold_out, too_late, failures, .. } = bills;
        write!(f, "kills: {kills}; {books}; {sold_out} orders refused as sold out, {too_late} requests as too late; ")?;
        let seconds = recovery.as_secs_f64();
        write!(
            f,
            "every order ended {seconds:.1} s after the last kill; {expired} reservations of no order expired; "
        )?;
        let (repeated, recognised) = self.repeated;
        write!(f, "{repeated} events published again, {recognised} recognised; {dead_letters} dead letters; ")?;
        match reconciled {
            Some(Reconciled { text, .. }) => write!(f, "orders admin reconcile: {text}; ")?,
            None => write!(f, "without orders admin reconcile, which does not exist; ")?,
        }
        write!(f, "attempts repeated after: {failures}")
    }
}

/// Adds what became of a run on `platform`, and its `failures`.
pub(super) fn judge<T: fmt::Display>(
    run: &Run,
    verdict: &mut Verdict,
    platform: &str,
    outcome: Result<T>,
    failures: impl Fn(&T) -> Vec<String>,
) {
    match outcome {
        Ok(outcome) => {
            verdict.measured(run, format!("{platform}: {outcome}"));
            verdict.failures.extend(failures(&outcome).into_iter().map(|failure| format!("{platform}: {failure}")));
        }
        Err(error) => verdict.failures.push(format!("{platform}: {error:#}")),
    }
}
