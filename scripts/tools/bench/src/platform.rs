//! The services of one side, each on a database of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use harness::http;
use harness::platform::{Member, Platform, settings};
use harness::process::{Output, Process};
use harness::topology::{self, Service};

use crate::data::{self, CATEGORIES, Environment, HOT_PRODUCT, PRODUCTS, USERS};
use crate::load::Requests;
use crate::plan::{Kind, ORDER_SERVICE, Operation, PRODUCT_SERVICE, Side, USER_SERVICE};

/// How many orders are stored before anything is measured.
pub(crate) const ORDERS: i64 = 10_000;
/// How many different requests a measurement sends.
const DISTINCT_REQUESTS: i64 = 1000;
/// How long a service may take until it serves, under valgrind too.
const START_TIME_LIMIT: Duration = Duration::from_secs(60);
/// The services that the peer implements.
const PEER_SERVICES: [&str; 3] = [USER_SERVICE, PRODUCT_SERVICE, ORDER_SERVICE];

/// The `DATABASE_URL` of each service, by its name.
pub(crate) type DatabaseUrls = BTreeMap<&'static str, String>;

/// Creates databases without a schema.
pub(crate) async fn create_empty(environment: &Environment, kind: Kind, name: &str) -> Result<DatabaseUrls> {
    let mut databases = DatabaseUrls::new();
    for service in &topology::platform().services {
        let url = data::create(environment, kind, &format!("{name}-{}", service.database)).await?;
        databases.insert(&service.name, url);
    }
    Ok(databases)
}

/// Creates databases with [`USERS`] users, [`PRODUCTS`] products and so many orders.
pub(crate) async fn create_filled(
    environment: &Environment,
    kind: Kind,
    name: &str,
    orders: i64,
) -> Result<DatabaseUrls> {
    let databases = create_empty(environment, kind, name).await?;
    for (service, url) in &databases {
        data::migrate(environment, service, url)?;
    }
    data::fill_users(&databases[USER_SERVICE]).await?;
    data::fill_products(&databases[PRODUCT_SERVICE]).await?;
    data::fill_orders(&databases[ORDER_SERVICE], orders, |_| {}).await?;
    Ok(databases)
}

/// Starts the services of `side`, order-service with the URL of product-service if `operations` need it; `prefix` is a
/// program, with arguments, that runs a service, or empty.
pub(crate) async fn start(
    environment: &Environment,
    side: Side,
    databases: &DatabaseUrls,
    operations: &[Operation],
    prefix: impl Fn(&Service) -> Vec<OsString>,
) -> Result<Platform> {
    let is_implemented = |name: &str| side != Side::Peer || PEER_SERVICES.contains(&name);
    let reserves = reserve(operations);
    let mut platform = Platform::default();
    // Callees before callers.
    for service in topology::platform().services.iter().filter(|service| is_implemented(&service.name)) {
        let address = |name: &str| Some(platform.get(name)?.instance.address);
        let mut settings = settings(service, &databases[service.name.as_str()], address);
        if reserves && service.name == ORDER_SERVICE {
            let url = format!("http://{}", platform[PRODUCT_SERVICE].instance.address);
            settings.push(("PRODUCT_SERVICE_URL".to_owned(), url));
        }
        let command = command(environment, side, service, prefix(service));
        let process = Process::spawn(command, environment.directory.path(), &settings, Output::Counted)?;
        let instance = process.serving(START_TIME_LIMIT).await?;
        platform.members.push(Member { service, instance });
    }
    Ok(platform)
}

/// Whether product-service reserves items for one of `operations`.
pub(crate) fn reserve(operations: &[Operation]) -> bool {
    operations.iter().any(|operation| operation.reserved_items() > 0)
}

fn command(environment: &Environment, side: Side, service: &Service, prefix: Vec<OsString>) -> Command {
    let (program, argument) = match side {
        Side::Peer => ("peer", Some(&service.database)),
        _ => (service.name.as_str(), None),
    };
    let mut line = prefix.into_iter().chain([environment.programs.join(program).into_os_string()]);
    let mut command = Command::new(line.next().unwrap_or_default());
    command.args(line).args(argument);
    command
}

/// The requests of `operation`, all of which succeed.
pub(crate) fn requests(operation: Operation) -> Requests {
    // The stride is coprime to all counts, so that consecutive requests are for distant rows.
    let spread = |number: i64, count: i64| 1 + number * 617 % count;
    let get = |path: &dyn Fn(i64) -> String| {
        Requests::new((0..DISTINCT_REQUESTS).map(|number| http::get(&format!("/api/v1/{}", path(number)))), 200)
    };
    match operation {
        Operation::GetUser => get(&|number| format!("users/{}", spread(number, USERS))),
        Operation::GetOrder => get(&|number| format!("orders/{}", spread(number * 10, ORDERS))),
        Operation::PostOrder => {
            let body = |number| format!(r#"{{"user_id":{},"product_id":456,"quantity":2}}"#, spread(number, USERS));
            Requests::new((0..DISTINCT_REQUESTS).map(|number| http::post("/api/v1/orders", None, &body(number))), 201)
        }
        Operation::PostOrderOneItem | Operation::PostOrderFiveItems => {
            let items = |number: i64| {
                let items = (0..operation.reserved_items() as i64).map(|item| {
                    let product = spread(number * 10 + item, PRODUCTS);
                    format!(r#"{{"product_id":{product},"quantity":2}}"#)
                });
                items.collect::<Vec<_>>().join(",")
            };
            let body = |number| format!(r#"{{"user_id":{},"items":[{}]}}"#, spread(number, USERS), items(number));
            Requests::new((0..DISTINCT_REQUESTS).map(|number| http::post("/api/v1/orders", None, &body(number))), 201)
        }
        Operation::GetProduct => get(&|number| format!("products/{}", spread(number * 10, PRODUCTS))),
        Operation::ListProducts => {
            get(&|number| format!("products?category=category-{}&limit=20", spread(number, CATEGORIES)))
        }
        Operation::SearchProducts => {
            get(&|number| format!("products?search=product+{}&limit=20", spread(number * 10, PRODUCTS)))
        }
        Operation::PostReservation => Requests::made(post_reservation, 201),
    }
}

/// A reservation of [`HOT_PRODUCT`] with an id that no other request of this run has, random as those of a caller are.
fn post_reservation() -> Vec<u8> {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    // An odd factor maps no two numbers to one.
    let id = NUMBER.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let id = format!("{:08x}-{:04x}-4000-8000-{:012x}", id >> 32, id >> 16 & 0xffff, id & 0xffff);
    let items = format!(r#"[{{"product_id":{HOT_PRODUCT},"quantity":1}}]"#);
    http::post("/api/v1/reservations", None, &format!(r#"{{"reservation_id":"{id}","items":{items}}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_requests_of_a_measurement_are_distinct() {
        use Operation::{
            GetOrder, GetProduct, GetUser, PostOrder, PostOrderFiveItems, PostReservation, SearchProducts,
        };
        for operation in [GetUser, GetOrder, PostOrder, PostOrderFiveItems, GetProduct, SearchProducts, PostReservation]
        {
            let requests = requests(operation);
            let distinct: HashSet<_> = (0..DISTINCT_REQUESTS).map(|_| requests.next()).collect();
            assert_eq!(distinct.len() as i64, DISTINCT_REQUESTS, "{operation}");
        }
    }
}
