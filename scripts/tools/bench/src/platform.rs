//! Both services of one side, on databases of their own.

use std::ffi::OsString;
use std::process::Command;

use anyhow::Result;

use crate::data::{Places, Store, USERS};
use crate::http;
use crate::load::Requests;
use crate::plan::{Kind, Operation, Side};
use crate::program::Program;

/// How many orders there are before anything is measured.
pub(crate) const ORDERS: i64 = 10_000;
/// How many different requests a measurement sends.
const VARIETY: i64 = 1000;

/// The databases of both services.
#[derive(Clone, Debug)]
pub(crate) struct Stores {
    pub(crate) users: Store,
    pub(crate) orders: Store,
}

impl Stores {
    /// New ones, with [`USERS`] users and so many orders.
    pub(crate) async fn create(
        places: &Places<'_>,
        kind: Kind,
        name: &str,
        orders: i64,
        progress: impl FnMut(i64),
    ) -> Result<Self> {
        let stores = Self {
            users: Store::create(places, kind, "user-service", &format!("{name}-users")).await?,
            orders: Store::create(places, kind, "order-service", &format!("{name}-orders")).await?,
        };
        stores.users.fill_users().await?;
        stores.orders.fill_orders(orders, progress).await?;
        Ok(stores)
    }
}

/// Two running services.
#[derive(Debug)]
pub(crate) struct Platform {
    pub(crate) users: Program,
    pub(crate) orders: Program,
}

impl Platform {
    /// Starts the services of `side`, each by `prefix`, a program and its arguments, if there is one.
    pub(crate) fn start(places: &Places<'_>, side: Side, stores: &Stores, prefix: &[Vec<OsString>; 2]) -> Result<Self> {
        let [users_prefix, orders_prefix] = prefix;
        let users = Program::start(
            &mut command(places, side, "user-service", "users", users_prefix),
            places.directory,
            &[("DATABASE_URL", &stores.users.setting)],
        )?;
        let url = format!("http://{}", users.address);
        let orders = Program::start(
            &mut command(places, side, "order-service", "orders", orders_prefix),
            places.directory,
            &[("DATABASE_URL", &stores.orders.setting), ("USER_SERVICE_URL", &url)],
        )?;
        Ok(Self { users, orders })
    }

    /// Who answers `operation`.
    pub(crate) fn answering(&self, operation: Operation) -> &Program {
        match operation {
            Operation::GetUser => &self.users,
            Operation::GetOrder | Operation::PostOrder => &self.orders,
        }
    }
}

fn command(places: &Places<'_>, side: Side, ours: &str, peer: &str, prefix: &[OsString]) -> Command {
    let (program, argument) = if side == Side::Peer { ("peer", Some(peer)) } else { (ours, None) };
    let program = places.programs.join(program);
    let mut words = prefix.iter().cloned().chain([program.into_os_string()]);
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words).args(argument);
    command
}

/// The requests of `operation`, all of which succeed.
pub(crate) fn requests(operation: Operation) -> Requests {
    // A stride that is prime to both, so that neighbours are not asked for one after the other.
    let spread = |number: i64, count: i64| 1 + number * 617 % count;
    let bytes = (0..VARIETY).map(|number| match operation {
        Operation::GetUser => http::get(&format!("/api/v1/users/{}", spread(number, USERS))),
        Operation::GetOrder => http::get(&format!("/api/v1/orders/{}", spread(number * 10, ORDERS))),
        Operation::PostOrder => {
            let user = spread(number, USERS);
            http::post("/api/v1/orders", &format!(r#"{{"user_id":{user},"product_id":456,"quantity":2}}"#))
        }
    });
    Requests { bytes: bytes.collect(), expected: if operation == Operation::PostOrder { 201 } else { 200 } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_requests_of_a_measurement_are_different_ones() {
        for operation in [Operation::GetUser, Operation::GetOrder, Operation::PostOrder] {
            let bytes = requests(operation).bytes;
            assert_eq!(bytes.iter().collect::<HashSet<_>>().len(), 1000, "{operation}");
        }
    }
}
