//! From the start of a service until it is healthy.

use anyhow::Result;
use serde::Serialize;

use crate::data::{Places, Store};
use crate::plan::{Kind, Side};
use crate::platform::{Platform, Stores};
use crate::progress::Progress;

/// How often each is started: it takes so little time that one figure says nothing.
pub(crate) const STARTS: usize = 10;

/// One start.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Start {
    pub(crate) database: Kind,
    pub(crate) side: Side,
    pub(crate) service: &'static str,
    /// On an empty database, which gets its schema first.
    pub(crate) first: bool,
    pub(crate) ms: f64,
}

/// Starts the services of each side in turn, on databases that have their schema and, ours, on empty ones.
pub(crate) async fn measure(
    places: &Places<'_>,
    database: Kind,
    sides: &[Side],
    progress: &mut Progress,
) -> Result<Vec<Start>> {
    let filled = Stores::create(places, database, "start", 1000, |_| {}).await?;
    let mut starts = Vec::new();
    for number in 0..STARTS {
        let empty = Stores {
            users: Store::create_empty(places, database, &format!("empty-{number}-users")).await?,
            orders: Store::create_empty(places, database, &format!("empty-{number}-orders")).await?,
        };
        let first = [(Side::Ours, &empty, true)];
        for (side, stores, first) in sides.iter().map(|side| (*side, &filled, false)).chain(first) {
            let platform = Platform::start(places, side, stores, &Default::default())?;
            for (service, program) in [("user-service", &platform.users), ("order-service", &platform.orders)] {
                let ms = program.start.as_secs_f64() * 1000.0;
                starts.push(Start { database, side, service, first, ms });
            }
        }
    }
    progress.step(&format!("{database}, starts"));
    Ok(starts)
}
