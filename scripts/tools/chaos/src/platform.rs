//! The platform under test, behind proxies that can break what connects its parts, and requests to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::cpus::Split;
use harness::http::{Client, post};
use harness::platform::{self, Member, settings};
use harness::process::{Instance, Settings};
use harness::proxy::{Proxy, Target};
use harness::topology::{self, Service};
use rustix::thread::sched_getaffinity;
use service_testing::Kind;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::canary;
use crate::run::Run;

/// The services that the promises are about.
pub(crate) const ORDER_SERVICE: &str = "order-service";
pub(crate) const PRODUCT_SERVICE: &str = "product-service";
pub(crate) const USER_SERVICE: &str = "user-service";
pub(crate) const NOTIFICATION_SERVICE: &str = "notification-service";
pub(crate) const PAYMENT_PROVIDER: &str = "payment-provider";
pub(crate) const PAYMENT_SERVICE: &str = "payment-service";

/// The paths of their collections.
pub(crate) const ORDERS: &str = "/api/v1/orders";
pub(crate) const PRODUCTS: &str = "/api/v1/products";
pub(crate) const RESERVATIONS: &str = "/api/v1/reservations";
pub(crate) const USERS: &str = "/api/v1/users";
pub(crate) const PAYMENTS: &str = "/api/v1/payments";
pub(crate) const CHARGES: &str = "/api/v1/charges";
pub(crate) const NOTIFICATIONS: &str = "/api/v1/notifications";

/// The service that owns the collection at `path`.
pub(crate) fn service_of(path: &str) -> &'static str {
    if path == USERS { USER_SERVICE } else { ORDER_SERVICE }
}

/// The body of an order. Orders of a run differ in `product_id`, unless the same one is placed again.
pub(crate) fn order(user_id: i64, product_id: u64) -> String {
    format!(r#"{{"user_id":{user_id},"product_id":{product_id},"quantity":2}}"#)
}

/// The body of a user, different for each `number`.
pub(crate) fn user(number: impl std::fmt::Display) -> String {
    format!(r#"{{"email":"{}","name":"{}"}}"#, canary::email(number), canary::name())
}

/// A number that no other call of a run gets.
pub(crate) fn unique() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(1);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

/// The service `name` of the platform.
pub(crate) fn service(name: &str) -> Result<&'static Service> {
    topology::platform().service(name).with_context(|| format!("the platform has no {name}"))
}

/// An empty database for each service.
#[derive(Debug)]
pub(crate) struct Databases {
    urls: BTreeMap<&'static str, String>,
    /// In front of PostgreSQL.
    pub(crate) proxy: Option<Proxy>,
    _directory: Option<TempDir>,
}

impl Databases {
    /// Creates databases of `kind`.
    pub(crate) async fn new(run: &Run, kind: Kind) -> Result<Self> {
        let services = &topology::platform().services;
        let mut urls = BTreeMap::<&str, String>::new();
        if kind == Kind::Sqlite {
            let directory = tempfile::tempdir()?;
            for service in services {
                let file = directory.path().join(format!("{}.db", service.database));
                urls.insert(&service.name, format!("sqlite:{}", file.display()));
            }
            return Ok(Self { urls, proxy: None, _directory: Some(directory) });
        }
        let postgres = run.postgres().await?;
        let proxy = postgres.proxy().await?;
        for service in services {
            let name = postgres.create_database().await?;
            urls.insert(&service.name, format!("postgres://postgres@{}/{name}?sslmode=disable", proxy.address()));
        }
        Ok(Self { urls, proxy: Some(proxy), _directory: None })
    }

    /// The URL of the database of the service `name`.
    pub(crate) fn url(&self, name: &str) -> &str {
        &self.urls[name]
    }

    /// The settings of an instance of `service` that finds each service that it calls at its `address`.
    pub(crate) fn settings(&self, service: &Service, address: impl Fn(&str) -> Option<SocketAddr>) -> Settings {
        let mut settings = settings(service, self.url(&service.name), &address);
        // payment-service starts with another provider instead, but not without any.
        if let (PAYMENT_SERVICE, Some(provider)) = (service.name.as_str(), address(PAYMENT_PROVIDER)) {
            settings.push(("PAYMENT_PROVIDER_URL".to_owned(), format!("http://{provider}")));
        }
        settings
    }
}

/// How a platform is set up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Setup {
    /// The services reach each other without proxies, which would add latency.
    pub(crate) unproxied: bool,
    /// The services and PostgreSQL have processors of their own, and leave the others to the load.
    pub(crate) pinned: bool,
}

/// Every service of the platform, running.
#[derive(Debug)]
pub(crate) struct Platform<'a> {
    run: &'a Run,
    setup: Setup,
    pub(crate) services: platform::Platform,
    /// In front of each service, at an address that stays when the service restarts; none if they are unproxied.
    proxies: BTreeMap<&'static str, Proxy>,
    pub(crate) databases: Databases,
}

impl<'a> Platform<'a> {
    /// Starts every service on a new database of `kind`.
    pub(crate) async fn start(run: &'a Run, kind: Kind, setup: Setup) -> Result<Self> {
        let databases = Databases::new(run, kind).await?;
        if kind == Kind::Postgres {
            let own = Split::new().filter(|_| setup.pinned).map(|split| split.services);
            // An earlier promise may have pinned it.
            run.postgres().await?.pin(&own.map_or_else(|| sched_getaffinity(None), Ok)?)?;
        }
        let services = platform::Platform::default();
        let mut platform = Self { run, setup, services, proxies: BTreeMap::new(), databases };
        // Callees before callers.
        for service in &topology::platform().services {
            let instance = platform.start_another(&service.name).await?;
            if !setup.unproxied {
                let proxy = Proxy::start(vec![Target::Tcp(instance.address)]).await?;
                platform.proxies.insert(&service.name, proxy);
            }
            platform.services.members.push(Member { service, instance });
        }
        Ok(platform)
    }

    /// Kills a service as a crash does, and starts it again on the same data after `pause`.
    pub(crate) async fn crash(&mut self, name: &str, pause: Duration) -> Result<()> {
        let at = self.services.members.iter().position(|member| member.service.name == name);
        let at = at.with_context(|| format!("{name} does not run"))?;
        self.services.members[at].instance.process.kill()?;
        sleep(pause).await;
        let instance = self.start_another(name).await?;
        if let Some(proxy) = self.proxies.get(name) {
            proxy.set_targets(vec![Target::Tcp(instance.address)]);
        }
        self.services.members[at].instance = instance;
        Ok(())
    }

    /// Another instance of a service, on the same database.
    pub(crate) async fn start_another(&self, name: &str) -> Result<Instance> {
        let service = service(name)?;
        let address = |name: &str| {
            let direct = self.services.get(name)?.instance.address;
            Some(self.proxies.get(name).map_or(direct, Proxy::address))
        };
        self.run.start(service, self.setup.pinned, &self.databases.settings(service, address)).await
    }

    /// The proxy in front of a service; an error if the platform has none.
    pub(crate) fn proxy(&self, name: &str) -> Result<&Proxy> {
        self.proxies.get(name).with_context(|| format!("{name} has no proxy"))
    }

    /// Where the instance of a service listens.
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        self.services[name].instance.address
    }

    /// Creates a user and returns its id.
    pub(crate) async fn create_user(&self) -> Result<i64> {
        create_user(self.address(USER_SERVICE)).await
    }

    /// Creates some users.
    pub(crate) async fn create_users(&self) -> Result<Users> {
        Users::create(self.address(USER_SERVICE)).await
    }
}

/// Creates a user at the user-service at `address` and returns its id.
pub(crate) async fn create_user(address: SocketAddr) -> Result<i64> {
    let request = post(USERS, None, &user(format!("user{}", unique())));
    let reply = Client::new(address, Duration::from_secs(5)).send(&request).await?;
    ensure!(reply.status == 201, "creating a user was answered with {}", reply.status);
    reply.json()["id"].as_i64().context("a user has an id")
}

/// More users than order-service looks up in one call to user-service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Users {
    first: i64,
}

impl Users {
    const COUNT: i64 = 200;

    /// For a user-service that knows every id.
    pub(crate) const ANY: Self = Self { first: 1 };

    /// Creates them at the user-service at `address`, while no other client creates any.
    pub(crate) async fn create(address: SocketAddr) -> Result<Self> {
        let first = create_user(address).await?;
        for id in first + 1..first + Self::COUNT {
            ensure!(create_user(address).await? == id, "the ids of new users have a gap before {id}");
        }
        Ok(Self { first })
    }

    /// The ids in turn.
    pub(crate) fn next(self) -> i64 {
        self.first + unique() as i64 % Self::COUNT
    }

    pub(crate) fn all(self) -> Vec<i64> {
        (self.first..self.first + Self::COUNT).collect()
    }
}
