//! Separate programs on one kind of database, with RabbitMQ between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use harness::process::Settings;
use harness::topology;
use service_runtime::events::EventsUrl;
use service_testing::{Broker, Kind};

use crate::platform::{Databases, NOTIFICATION_SERVICE, ORDER_SERVICE, PRODUCT_SERVICE, service};
use crate::program::{Program, free_addresses};
use crate::run::Run;

/// Each service, notification-service twice.
pub(super) struct Separate<'a> {
    pub(super) run: &'a Run,
    pub(super) kind: Kind,
    pub(super) databases: Databases,
    pub(super) broker: &'a mut Broker,
    /// Of its virtual host.
    pub(super) events: EventsUrl,
    pub(super) programs: Vec<Program<'a>>,
    /// Of each service; they stay.
    pub(super) addresses: BTreeMap<&'static str, SocketAddr>,
}

impl<'a> Separate<'a> {
    /// Starts all; notification-service has `more` settings.
    pub(super) async fn start(run: &'a Run, kind: Kind, broker: &'a mut Broker, more: &Settings) -> Result<Self> {
        let databases = Databases::new(run, kind).await?;
        let events = broker.create_vhost().await?;
        let text = events.to_string();
        let vhost = text.rsplit('/').next().context("a URL has a virtual host")?;
        let events_url = format!("{}/{vhost}", broker.url());
        // Callees before callers.
        let mut services: Vec<_> = topology::platform().services.iter().collect();
        services.push(service(NOTIFICATION_SERVICE)?);
        let (mut programs, mut addresses) = (Vec::new(), BTreeMap::<&str, SocketAddr>::new());
        for (service, address) in services.iter().zip(free_addresses(services.len())) {
            let mut settings = databases.settings(service, |name| addresses.get(name).copied());
            settings.push(("EVENTS_URL".to_owned(), events_url.clone()));
            settings.push(("LISTEN_ADDRESS".to_owned(), address.to_string()));
            match service.name.as_str() {
                ORDER_SERVICE => {
                    let url = format!("http://{}", addresses[PRODUCT_SERVICE]);
                    settings.push(("PRODUCT_SERVICE_URL".to_owned(), url));
                }
                NOTIFICATION_SERVICE => settings.extend(more.clone()),
                _ => {}
            }
            let mut program = Program::new(run, &service.name, settings, vec![address]);
            program.start(&[]).await?;
            programs.push(program);
            addresses.entry(&service.name).or_insert(address);
        }
        Ok(Self { run, kind, databases, broker, events, programs, addresses })
    }
}
