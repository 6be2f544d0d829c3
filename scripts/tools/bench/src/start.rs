//! The time from the start of a service until it is healthy.

use anyhow::Result;
use serde::Serialize;

use crate::data::Environment;
use crate::plan::{Kind, Side};
use crate::platform::{create_empty, create_filled, start};
use crate::progress::Progress;

/// How often each service is started: one start is too short to be measured exactly.
pub(crate) const STARTS: usize = 10;

/// One start.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Start {
    pub(crate) database: Kind,
    pub(crate) side: Side,
    pub(crate) service: &'static str,
    /// On an empty database, whose schema is created first.
    pub(crate) first: bool,
    pub(crate) ms: f64,
}

/// Starts the services of each side in turn, on databases with a schema and, for ours, on empty ones.
pub(crate) async fn measure(
    environment: &Environment,
    database: Kind,
    sides: &[Side],
    progress: &mut Progress,
) -> Result<Vec<Start>> {
    let filled = create_filled(environment, database, "start", 1000).await?;
    let mut starts = Vec::new();
    for number in 0..STARTS {
        let empty = create_empty(environment, database, &format!("empty-{number}")).await?;
        let first = [(Side::Ours, &empty, true)];
        for (side, databases, first) in sides.iter().map(|side| (*side, &filled, false)).chain(first) {
            for member in start(environment, side, databases, &[], |_| Vec::new()).await?.members {
                let ms = member.instance.start.as_secs_f64() * 1000.0;
                starts.push(Start { database, side, service: &member.service.name, first, ms });
            }
        }
    }
    progress.step(&format!("{database}, starts"));
    Ok(starts)
}
