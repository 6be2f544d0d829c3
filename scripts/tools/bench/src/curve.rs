//! The cost of an order and of a page of a list by the number of stored orders.

use anyhow::Result;
use harness::http;
use harness::measurements::short;
use serde::Serialize;

use crate::data::{BUYERS, Environment, create, fill_orders, migrate};
use crate::load::Requests;
use crate::measure::{Run, Schedule};
use crate::plan::{Kind, ORDER_SERVICE, Operation, Side};
use crate::platform::{create_filled, requests, start};
use crate::progress::Progress;

/// How many connections the load has.
const CONNECTIONS: usize = 32;

/// What is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    PostOrder,
    /// Twenty orders, the newest of all.
    Page,
    /// Twenty orders, the newest of one user.
    PageOfUser,
}

pub(crate) const REQUESTS: [Request; 3] = [Request::PostOrder, Request::Page, Request::PageOfUser];

impl Request {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PostOrder => "POST order",
            Self::Page => "a page of all",
            Self::PageOfUser => "a page of a user",
        }
    }

    fn requests(self) -> Requests {
        match self {
            Self::PostOrder => requests(Operation::PostOrder),
            Self::Page => Requests::new([http::get("/api/v1/orders?limit=20")], 200),
            Self::PageOfUser => {
                let page = |user| http::get(&format!("/api/v1/orders?user_id={user}&limit=20"));
                Requests::new((1..=BUYERS).map(page), 200)
            }
        }
    }
}

/// The cost of one kind of request with one number of stored orders in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) database: Kind,
    pub(crate) request: Request,
    pub(crate) orders: i64,
    pub(crate) round: usize,
    pub(crate) requests_per_s: f64,
    /// Of the services and PostgreSQL, per thousand requests.
    pub(crate) cpu_ms: f64,
    pub(crate) failed: u64,
}

/// A thousand, ten thousand, and so on up to `largest`.
pub(crate) fn sizes(largest: i64) -> Vec<i64> {
    let mut sizes: Vec<i64> =
        std::iter::successors(Some(1000), |size| Some(size * 10)).take_while(|size| *size < largest).collect();
    sizes.push(largest);
    sizes
}

/// Measures every size in each round; each size has its own database.
pub(crate) async fn measure(
    environment: &Environment,
    kind: Kind,
    largest: i64,
    schedule: Schedule,
    progress: &mut Progress,
) -> Result<Vec<Point>> {
    // The other databases are shared by all sizes.
    let shared = create_filled(environment, kind, "curve", 0).await?;
    let mut all = Vec::new();
    for orders in sizes(largest) {
        let url = create(environment, kind, &format!("curve-{orders}")).await?;
        migrate(environment, ORDER_SERVICE, &url)?;
        let print = |stored: i64| progress.print(&format!("{kind}, {stored} of {orders} orders stored"));
        fill_orders(&url, orders, print).await?;
        let mut databases = shared.clone();
        databases.insert(ORDER_SERVICE, url);
        all.push((orders, databases));
    }
    let mut points = Vec::new();
    for round in 0..schedule.rounds {
        for (orders, databases) in &all {
            let platform = start(environment, Side::Ours, databases, &[], |_| Vec::new()).await?;
            for request in REQUESTS {
                // The operation only selects the service that is loaded.
                let run = Run {
                    environment,
                    kind,
                    operation: Operation::PostOrder,
                    connections: CONNECTIONS,
                    side: Side::Ours,
                    round,
                    schedule,
                };
                let measured = run.services(&platform, &request.requests()).await?;
                let (requests_per_s, cpu_ms) = (measured.requests_per_s, measured.cpu_ms.with_database());
                progress.step(&format!(
                    "{kind}, {orders} orders, {}: {} CPU ms per 1,000",
                    request.name(),
                    short(cpu_ms)
                ));
                let (orders, failed) = (*orders, measured.failed);
                points.push(Point { database: kind, request, orders, round, requests_per_s, cpu_ms, failed });
            }
        }
    }
    Ok(points)
}
