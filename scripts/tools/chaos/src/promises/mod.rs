//! The promises of the platform, each with how it is tried and judged.

mod bad_input;
mod black_hole;
mod database;
pub(crate) mod durability;
mod overload;
mod personal_data;
mod retries;
mod rolling_restarts;
mod slow_clients;
mod soak;
mod starters;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::run::Run;

/// What became of a promise: the figures that were reached, and why they do not do, if so.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) figures: String,
    /// None: the promise is kept.
    pub(crate) failures: Vec<String>,
}

impl Verdict {
    pub(crate) fn new(figures: impl Into<String>) -> Self {
        Self { figures: figures.into(), failures: Vec::new() }
    }

    /// The promise is broken unless `kept`.
    pub(crate) fn expect(&mut self, kept: bool, otherwise: impl FnOnce() -> String) {
        if !kept {
            self.failures.push(otherwise());
        }
    }
}

/// A promise.
#[derive(Clone, Copy)]
pub(crate) struct Promise {
    pub(crate) number: u8,
    pub(crate) text: &'static str,
    pub(crate) pass: &'static str,
    /// Whether it is of times, which others on the same machine lengthen.
    pub(crate) timed: bool,
    pub(crate) judge: for<'a> fn(&'a Run) -> LocalBoxFuture<'a, Result<Tried>>,
}

/// How a promise was tried, and the verdict.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) how: String,
    pub(crate) verdict: Verdict,
}

/// All of them, in the order in which they are tried. The last looks at the logs of all others.
pub(crate) const PROMISES: &[Promise] = &[
    Promise {
        number: 1,
        text: "no acknowledged order is lost",
        pass: "0 lost",
        timed: false,
        judge: |run| Box::pin(durability::nothing_is_lost(run)),
    },
    Promise {
        number: 2,
        text: "no duplicates",
        pass: "0; replays byte-identical",
        timed: false,
        judge: |run| Box::pin(durability::nothing_is_double(run)),
    },
    Promise {
        number: 3,
        text: "a black-holed user-service costs little",
        pass: "every answer 503, first within 2 s, then p99 ≤ 250 ms; at most 64 calls open; memory + ≤ 32 MB",
        timed: true,
        judge: |run| Box::pin(black_hole::judge(run)),
    },
    Promise {
        number: 4,
        text: "retries do not amplify",
        pass: "≤ 1.1 upstream calls per request in steady failure; well again within 2 s of recovery",
        timed: true,
        judge: |run| Box::pin(retries::judge(run)),
    },
    Promise {
        number: 5,
        text: "the database fails fast and heals",
        pass: "503 within 1 s, healed within 3 s",
        timed: true,
        judge: |run| Box::pin(database::judge(run)),
    },
    Promise {
        number: 6,
        text: "bad input never makes a 5xx",
        pass: "0, and the same status on both databases",
        timed: false,
        judge: |run| Box::pin(bad_input::judge(run)),
    },
    Promise {
        number: 7,
        text: "slow and greedy clients do not starve others",
        pass: "a well-behaved client's p99 within 2× of calm",
        timed: true,
        judge: |run| Box::pin(slow_clients::judge(run)),
    },
    Promise {
        number: 8,
        text: "overload sheds, it does not collapse",
        pass: "goodput ≥ 90% of peak; shed answers p99 ≤ 50 ms",
        timed: true,
        judge: |run| Box::pin(overload::judge(run)),
    },
    Promise {
        number: 9,
        text: "rolling restarts lose nothing",
        pass: "0 failed keyed orders",
        timed: false,
        judge: |run| Box::pin(rolling_restarts::judge(run)),
    },
    Promise {
        number: 10,
        text: "racing starters migrate once",
        pass: "all start",
        timed: false,
        judge: |run| Box::pin(starters::judge(run)),
    },
    Promise {
        number: 11,
        text: "a soak does not grow",
        pass: "descriptors flat, memory slope near 0",
        timed: true,
        judge: |run| Box::pin(soak::judge(run)),
    },
    Promise {
        number: 12,
        text: "no personal data in logs",
        pass: "0 occurrences",
        timed: false,
        judge: |run| Box::pin(personal_data::judge(run)),
    },
];
