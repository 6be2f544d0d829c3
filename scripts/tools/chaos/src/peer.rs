//! The operations of the two services in the common style of axum, with tower's concurrency limit and load shedding.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;
use harness::process::Instance;

use crate::platform::{ORDER_SERVICE, Platform, USER_SERVICE};
use crate::run::Run;

/// The concurrency limit of a service of the platform, unless it is configured.
const MAX_REQUESTS_IN_FLIGHT: &str = "1024";

/// The peer of user-service and order-service, on the databases of a platform.
#[derive(Debug)]
pub(crate) struct Peer {
    _users: Instance,
    orders: Instance,
}

impl Peer {
    /// Starts it on the processors of the services.
    pub(crate) async fn start(run: &Run, platform: &Platform<'_>) -> Result<Self> {
        let start = async |mode: &str, service: &str, settings: &[(&str, String)]| {
            let mut command = Command::new(run.program("peer"));
            command.arg(mode);
            let limit = ("MAX_REQUESTS_IN_FLIGHT", MAX_REQUESTS_IN_FLIGHT.to_owned());
            let url = ("DATABASE_URL", platform.databases.url(service).to_owned());
            let settings = [limit, url].into_iter().chain(settings.iter().cloned());
            let settings = settings.map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>();
            run.spawn_command(command, "peer", true, &settings)?.serving(crate::run::START_TIME_LIMIT).await
        };
        let users = start("users", USER_SERVICE, &[]).await?;
        let user_service = ("USER_SERVICE_URL", format!("http://{}", users.address));
        let orders = start("orders", ORDER_SERVICE, &[user_service]).await?;
        Ok(Self { _users: users, orders })
    }

    /// Where its orders are placed.
    pub(crate) fn address(&self) -> SocketAddr {
        self.orders.address
    }
}
