//! What is measured, and how it is named.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// The services whose operations are measured.
pub(crate) const USER_SERVICE: &str = "user-service";
pub(crate) const PRODUCT_SERVICE: &str = "product-service";
pub(crate) const ORDER_SERVICE: &str = "order-service";

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// What a client requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Operation {
    GetUser,
    GetOrder,
    PostOrder,
    /// With the price of one item, which product-service reserves: user and reservation, then the insertion.
    PostOrderOneItem,
    /// The same with five items.
    PostOrderFiveItems,
    GetProduct,
    /// Twenty products, the newest of one category.
    ListProducts,
    /// The first page of the products with two words in their names, the last of which is a prefix.
    SearchProducts,
    /// One piece of the same product as everybody else's.
    PostReservation,
}

/// Whose implementation is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    /// The services of this repository.
    Ours,
    /// The same operations in the common style of axum, sqlx and reqwest.
    Peer,
    /// PostgreSQL alone, driven by pgbench.
    Ceiling,
}

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Throughput, latency, processor time and memory, compared with pgbench and the peer.
    Load,
    /// The time from the start of a service until it is healthy.
    Start,
    /// The cost of an order and of a page of a list by the number of stored orders.
    Curve,
    /// Instructions per request, counted by callgrind.
    Instructions,
}

impl Operation {
    /// The service that serves it.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::GetUser => USER_SERVICE,
            Self::GetOrder | Self::PostOrder | Self::PostOrderOneItem | Self::PostOrderFiveItems => ORDER_SERVICE,
            Self::GetProduct | Self::ListProducts | Self::SearchProducts | Self::PostReservation => PRODUCT_SERVICE,
        }
    }

    /// How many items an order has that product-service reserves. order-service must have its URL then, and must not have
    /// it for orders without prices.
    pub(crate) fn reserved_items(self) -> usize {
        match self {
            Self::PostOrderOneItem => 1,
            Self::PostOrderFiveItems => 5,
            _ => 0,
        }
    }
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
            Self::PostOrderOneItem => "POST order, 1 item",
            Self::PostOrderFiveItems => "POST order, 5 items",
            Self::GetProduct => "GET product",
            Self::ListProducts => "GET products",
            Self::SearchProducts => "GET products, search",
            Self::PostReservation => "POST reservation",
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
