//! Separate programs on one kind of database, with RabbitMQ between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use harness::process::Settings;
use service_runtime::events::EventsUrl;
use service_testing::{Broker, Kind};

use crate::platform::{Databases, ORDER_SERVICE, PRODUCT_SERVICE, service};
use crate::program::{Program, free_addresses};
use crate::run::Run;

/// Programs of services, some of them twice.
#[derive(Debug)]
pub(crate) struct Separate<'a> {
    pub(super) run: &'a Run,
    pub(super) kind: Kind,
    pub(super) databases: Databases,
    pub(super) broker: &'a mut Broker,
    /// Of its virtual host.
    pub(super) events: EventsUrl,
    pub(super) programs: Vec<Program<'a>>,
    /// Of each instance of each service; they stay.
    pub(super) addresses: BTreeMap<&'static str, Vec<SocketAddr>>,
}

impl<'a> Separate<'a> {
    /// Starts an instance of each of the services `names`, callees before callers, with `more` settings than it needs.
    pub(crate) async fn start(
        run: &'a Run,
        kind: Kind,
        broker: &'a mut Broker,
        names: &[&str],
        more: impl Fn(&str) -> Settings,
    ) -> Result<Self> {
        let databases = Databases::new(run, kind).await?;
        let events = broker.create_vhost().await?;
        let text = events.to_string();
        let vhost = text.rsplit('/').next().context("a URL has a virtual host")?;
        let events_url = format!("{}/{vhost}", broker.url());
        let (mut programs, mut addresses) = (Vec::new(), BTreeMap::<&str, Vec<SocketAddr>>::new());
        for (name, address) in names.iter().zip(free_addresses(names.len())) {
            let service = service(name)?;
            let first = |name: &str| addresses.get(name).and_then(|all| all.first()).copied();
            let mut settings = databases.settings(service, first);
            settings.push(("EVENTS_URL".to_owned(), events_url.clone()));
            settings.push(("LISTEN_ADDRESS".to_owned(), address.to_string()));
            if let (ORDER_SERVICE, Some(products)) = (*name, first(PRODUCT_SERVICE)) {
                settings.push(("PRODUCT_SERVICE_URL".to_owned(), format!("http://{products}")));
            }
            settings.extend(more(name));
            let mut program = Program::new(run, &service.name, settings, vec![address]);
            program.start(&[]).await?;
            programs.push(program);
            addresses.entry(&service.name).or_default().push(address);
        }
        Ok(Self { run, kind, databases, broker, events, programs, addresses })
    }
}
