//! What is measured, and in which words.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Operation {
    GetUser,
    GetOrder,
    PostOrder,
}

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// The services of this repository.
    Ours,
    /// The same operations as axum, sqlx and reqwest are commonly used.
    Peer,
    /// PostgreSQL alone, driven by pgbench.
    Ceiling,
}

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Throughput, latency, processor time and memory, beside the ceiling and the peer.
    Load,
    /// From the start of a service until it is healthy.
    Start,
    /// What an order and a page of a list cost as the stored orders become more.
    Curve,
    /// Instructions of a request, counted by callgrind.
    Instructions,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::GetUser => "GET user",
            Self::GetOrder => "GET order",
            Self::PostOrder => "POST order",
        })
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "ours",
            Self::Peer => "peer",
            Self::Ceiling => "pgbench",
        })
    }
}
