//! The promises of the platform.

mod abusive_clients;
mod bad_input;
mod black_hole;
mod database;
mod durability;
mod events;
mod overload;
mod oversold;
mod payments;
mod personal_data;
mod retries;
mod rolling_restarts;
mod soak;
mod starters;
mod told_once;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::run::Run;
use crate::verdict::Verdict;

type Test = for<'a> fn(&'a Run) -> LocalBoxFuture<'a, Result<Verdict>>;

/// A promise and its test.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Promise {
    pub(crate) number: u8,
    pub(crate) text: &'static str,
    pub(crate) pass: &'static str,
    /// Whether it is about times, which other users of the machine lengthen.
    pub(crate) timed: bool,
    pub(crate) test: Test,
}

/// All promises, in the order of their tests. The last one searches the logs of all others.
pub(crate) const PROMISES: &[Promise] = &[
    promise(1, "no acknowledged order is lost", "0 lost", |run| Box::pin(durability::nothing_is_lost(run))),
    promise(2, "no duplicates", "0; replays byte-identical", |run| Box::pin(durability::nothing_is_duplicated(run))),
    timed(
        3,
        "a black-holed user-service costs little",
        "every answer 503, first within 2 s, then p99 ≤ 250 ms; at most 64 calls open; memory + ≤ 32 MB",
        |run| Box::pin(black_hole::test(run)),
    ),
    timed(
        4,
        "retries do not amplify",
        "≤ 1.1 upstream calls per request in steady failure; successful again within 2 s of recovery",
        |run| Box::pin(retries::test(run)),
    ),
    timed(5, "the database fails fast and heals", "503 within 1 s, healed within 3 s", |run| {
        Box::pin(database::test(run))
    }),
    promise(6, "bad input never causes a 5xx", "0, and the same status on both databases", |run| {
        Box::pin(bad_input::test(run))
    }),
    timed(
        7,
        "slow and abusive clients do not starve others",
        "a well-behaved client's p99 within 2× of its p99 without them",
        |run| Box::pin(abusive_clients::test(run)),
    ),
    timed(
        8,
        "overload sheds, it does not collapse",
        "900 clients place ≥ 80% of the peak, 8000 ≥ 50%; shed answers p99 ≤ 100 ms",
        |run| Box::pin(overload::test(run)),
    ),
    promise(9, "rolling restarts lose nothing", "0 failed orders with idempotency keys", |run| {
        Box::pin(rolling_restarts::test(run))
    }),
    promise(10, "racing starters migrate once", "all start", |run| Box::pin(starters::test(run))),
    timed(11, "a soak does not grow", "descriptors flat, memory slope near 0", |run| Box::pin(soak::test(run))),
    promise(13, "stock is never oversold", "exactly what is there is granted; every other buyer has 409", |run| {
        Box::pin(oversold::test(run))
    }),
    promise(
        14,
        "every order ends paid and confirmed, or cancelled with money and stock back; nobody is charged twice",
        "the books of orders, payments, charges, reservations and stock agree",
        |run| Box::pin(payments::test(run)),
    ),
    promise(
        15,
        "every committed event has its effect exactly once",
        "the books of orders, events, reservations and stock agree; only poison is a dead letter",
        |run| Box::pin(events::test(run)),
    ),
    promise(
        16,
        "every confirmed order is told once",
        "one notification, sent, and at least one e-mail; those of one order, and no others, share a Message-ID",
        |run| Box::pin(told_once::test(run)),
    ),
    promise(12, "no personal data in logs", "0 occurrences", |run| Box::pin(personal_data::test(run))),
];

const fn promise(number: u8, text: &'static str, pass: &'static str, test: Test) -> Promise {
    Promise { number, text, pass, timed: false, test }
}

const fn timed(number: u8, text: &'static str, pass: &'static str, test: Test) -> Promise {
    Promise { timed: true, ..promise(number, text, pass, test) }
}
