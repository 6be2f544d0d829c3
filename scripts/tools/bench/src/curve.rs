//! What an order and a page of a list cost as the stored orders become more.

use anyhow::Result;
use serde::Serialize;

use crate::data::{BUYERS, Places, Store};
use crate::figures::short;
use crate::http;
use crate::load::Requests;
use crate::measure::{Pace, Run};
use crate::plan::{Kind, Operation, Side};
use crate::platform::{Platform, Stores, requests};
use crate::progress::Progress;

/// How many connections the load has.
const CONNECTIONS: usize = 32;

/// What is asked for.
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
            Self::Page => Requests { bytes: vec![http::get("/api/v1/orders?limit=20")], expected: 200 },
            Self::PageOfUser => {
                let page = |user| http::get(&format!("/api/v1/orders?user_id={user}&limit=20"));
                Requests { bytes: (1..=BUYERS).map(page).collect(), expected: 200 }
            }
        }
    }
}

/// The cost of one request at one size in one round.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) database: Kind,
    pub(crate) request: Request,
    pub(crate) orders: i64,
    pub(crate) round: usize,
    pub(crate) requests_per_s: f64,
    /// Of both services and PostgreSQL, for a thousand requests.
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

/// Measures at every size, one after the other, in rounds; each size has a database of its own.
pub(crate) async fn measure(
    places: &Places<'_>,
    kind: Kind,
    largest: i64,
    pace: Pace,
    progress: &mut Progress,
) -> Result<Vec<Point>> {
    let users = Store::create(places, kind, "user-service", "curve-users").await?;
    users.fill_users().await?;
    let mut all = Vec::new();
    for orders in sizes(largest) {
        let store = Store::create(places, kind, "order-service", &format!("curve-{orders}")).await?;
        store
            .fill_orders(orders, |stored| {
                if orders > 100_000 {
                    progress.say(&format!("{kind}, {stored} of {orders} orders stored"));
                }
            })
            .await?;
        all.push((orders, Stores { users: users.clone(), orders: store }));
    }
    let mut points = Vec::new();
    for round in 0..pace.rounds {
        for (orders, stores) in &all {
            let platform = Platform::start(places, Side::Ours, stores, &Default::default())?;
            for request in REQUESTS {
                // order-service answers a page as it answers an order.
                let run = Run { places, kind, operation: Operation::PostOrder, connections: CONNECTIONS, round, pace };
                let seen = run.services(Side::Ours, &platform, &request.requests()).await?;
                let (requests_per_s, cpu_ms) = (seen.requests_per_s, seen.cpu_ms.with_database());
                progress.step(&format!(
                    "{kind}, {orders} orders, {}: {} CPU ms for 1,000",
                    request.name(),
                    short(cpu_ms)
                ));
                let (orders, failed) = (*orders, seen.failed);
                points.push(Point { database: kind, request, orders, round, requests_per_s, cpu_ms, failed });
            }
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sizes_rise_tenfold_to_the_largest() {
        assert_eq!(sizes(1_000_000), [1000, 10_000, 100_000, 1_000_000]);
        assert_eq!(sizes(20_000), [1000, 10_000, 20_000]);
        assert_eq!(sizes(1000), [1000]);
    }
}
