//! Both services with their databases, behind proxies that can break what is between them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use service_testing::Kind;
use tempfile::TempDir;

use crate::canary;
use crate::http1::{Client, post};
use crate::process::{Process, Program, Service, halves, on_processors, together};
use crate::proxy::{Proxy, Target};
use crate::run::Run;

/// The paths of the two collections.
pub(crate) const ORDERS: &str = "/api/v1/orders";
pub(crate) const USERS: &str = "/api/v1/users";

/// The body of an order. No two orders of a run have the same `product_id`, unless it is meant.
pub(crate) fn order(user_id: i64, product_id: u64) -> String {
    format!(r#"{{"user_id":{user_id},"product_id":{product_id},"quantity":2}}"#)
}

/// The body of a user, different for different `number`s.
pub(crate) fn user(number: impl std::fmt::Display) -> String {
    format!(r#"{{"email":"{}","name":"{}"}}"#, canary::email(number), canary::name())
}

/// A number that no other call of a run gets.
pub(crate) fn unique() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// Where a service keeps its data.
#[derive(Debug)]
pub(crate) struct Databases {
    users: String,
    orders: String,
    /// In front of PostgreSQL.
    pub(crate) proxy: Option<Proxy>,
    _directory: Option<TempDir>,
}

impl Databases {
    /// Two new databases of `kind`.
    pub(crate) async fn new(run: &Run, kind: Kind) -> Result<Self> {
        if kind == Kind::Sqlite {
            let directory = tempfile::tempdir()?;
            let url = |name: &str| format!("sqlite:{}", directory.path().join(name).display());
            let (users, orders) = (url("users.db"), url("orders.db"));
            return Ok(Self { users, orders, proxy: None, _directory: Some(directory) });
        }
        let postgres = run.postgres().await?;
        let proxy = postgres.proxy().await?;
        let address = proxy.address();
        let url = |name: String| format!("postgres://postgres@{address}/{name}?sslmode=disable");
        let users = url(postgres.create_database().await?);
        let orders = url(postgres.create_database().await?);
        Ok(Self { users, orders, proxy: Some(proxy), _directory: None })
    }

    /// The settings that lead `program` to its database.
    pub(crate) fn settings(&self, program: Program) -> Vec<(&'static str, String)> {
        let url = match program {
            Program::UserService => &self.users,
            Program::OrderService => &self.orders,
        };
        vec![("DATABASE_URL", url.clone())]
    }
}

/// How a platform is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup {
    /// order-service reaches user-service without a proxy between them, which would cost time.
    pub(crate) direct: bool,
    /// The services and PostgreSQL have processors of their own, and leave the others to the load.
    pub(crate) apart: bool,
}

/// Running services. The fronts keep their address when what is behind them starts anew.
#[derive(Debug)]
pub(crate) struct Platform<'a> {
    run: &'a Run,
    setup: Setup,
    pub(crate) databases: Databases,
    pub(crate) users: Service,
    pub(crate) orders: Service,
    pub(crate) users_front: Proxy,
    pub(crate) orders_front: Proxy,
}

impl<'a> Platform<'a> {
    /// Starts both services on new databases of `kind`.
    pub(crate) async fn start(run: &'a Run, kind: Kind, setup: Setup) -> Result<Self> {
        let databases = Databases::new(run, kind).await?;
        if let (Kind::Postgres, Some((services, load))) = (kind, halves()) {
            let all = if setup.apart { services } else { together(&services, &load) };
            run.postgres().await?.run_on(&all)?;
        }
        let users = start(run, Program::UserService, setup, &databases.settings(Program::UserService)).await?;
        let users_front = Proxy::start(vec![Target::Tcp(users.address)]).await?;
        let front = if setup.direct { users.address } else { users_front.address() };
        let settings = order_settings(&databases, front);
        let orders = start(run, Program::OrderService, setup, &settings).await?;
        let orders_front = Proxy::start(vec![Target::Tcp(orders.address)]).await?;
        Ok(Self { run, setup, databases, users, orders, users_front, orders_front })
    }

    /// Kills a service as a crash does, and starts it again on the same data after `pause`.
    pub(crate) async fn crash(&mut self, program: Program, pause: Duration) -> Result<()> {
        let settings = match program {
            Program::UserService => self.databases.settings(program),
            Program::OrderService => order_settings(&self.databases, self.users_front.address()),
        };
        let (service, front) = match program {
            Program::UserService => (&mut self.users, &self.users_front),
            Program::OrderService => (&mut self.orders, &self.orders_front),
        };
        service.process.kill()?;
        tokio::time::sleep(pause).await;
        *service = start(self.run, program, self.setup, &settings).await?;
        front.set_targets(vec![Target::Tcp(service.address)]);
        Ok(())
    }

    /// A new user; gives their id.
    pub(crate) async fn create_user(&self) -> Result<i64> {
        create_user(self.users.address).await
    }

    /// Some new users.
    pub(crate) async fn create_users(&self) -> Result<Users> {
        Users::create(self.users.address).await
    }
}

/// A new user at the user-service at `address`; gives their id.
pub(crate) async fn create_user(address: SocketAddr) -> Result<i64> {
    let request = post(USERS, None, &user(format!("user{}", unique())));
    let reply = Client::new(address, Duration::from_secs(5)).send(&request).await?;
    ensure!(reply.status == 201, "a user was answered with {}", reply.status);
    reply.json()["id"].as_i64().context("a user has an id")
}

/// More users than one question to user-service can be about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Users {
    first: i64,
}

impl Users {
    const NUMBER: i64 = 200;

    /// For a user-service that knows everybody.
    pub(crate) const ANY: Self = Self { first: 1 };

    /// New ones at the user-service at `address`, when nobody else creates any.
    pub(crate) async fn create(address: SocketAddr) -> Result<Self> {
        let first = create_user(address).await?;
        for id in first + 1..first + Self::NUMBER {
            ensure!(create_user(address).await? == id, "the ids of new users have a gap before {id}");
        }
        Ok(Self { first })
    }

    /// Each in turn.
    pub(crate) fn next(self) -> i64 {
        self.first + unique() as i64 % Self::NUMBER
    }

    pub(crate) fn all(self) -> Vec<i64> {
        (self.first..self.first + Self::NUMBER).collect()
    }
}

/// The settings of an order-service that finds user-service at `users`.
pub(crate) fn order_settings(databases: &Databases, users: SocketAddr) -> Vec<(&'static str, String)> {
    let mut settings = databases.settings(Program::OrderService);
    settings.push(("USER_SERVICE_URL", format!("http://{users}")));
    settings
}

/// Starts a program and waits until it serves.
pub(crate) async fn start(
    run: &Run,
    program: Program,
    setup: Setup,
    settings: &[(&'static str, String)],
) -> Result<Service> {
    let log = run.logs.file(program.name());
    let spawn = || Process::spawn(&run.binaries, program, log, settings);
    let mut process = match halves().filter(|_| setup.apart) {
        Some((services, _)) => on_processors(&services, spawn)?,
        None => spawn()?,
    };
    let address = process.address().await?;
    Ok(Service { process, address })
}
