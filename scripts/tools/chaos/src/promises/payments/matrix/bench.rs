//! One service alone, between the test, which plays all others, and a broker whose answers can be lost.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::process::Settings;
use serde_json::Value;
use service_runtime::events::{Outgoing, Queue, Subscription, Transport};
use service_testing::{Broker, Kind};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::stage::Stage;
use crate::amqp_proxy::AmqpProxy;
use crate::journal::{Journal, Look};
use crate::messages::{publish, rabbit_mq};
use crate::platform::{Databases, PAYMENT_PROVIDER, PRODUCT_SERVICE, USER_SERVICE, service};
use crate::program::{Program, free_addresses};
use crate::run::{RECOVERY, Run};
use crate::stub_user_service::StubUserService;

const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// How often each event came, by its id.
type Received = Arc<Mutex<HashMap<String, usize>>>;

/// The service and what it needs.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    program: Program<'a>,
    /// Where it is.
    pub(super) address: SocketAddr,
    /// Where the service is that it calls, if it calls any but user-service.
    pub(super) called: Option<SocketAddr>,
    pub(super) journal: Journal,
    /// Between it and the broker.
    pub(super) proxy: AmqpProxy,
    /// Directly to the broker.
    transport: Transport,
    received: Received,
    _subscriber: JoinSet<()>,
    _callee: Option<Program<'a>>,
    _users: StubUserService,
    _databases: Databases,
}

impl<'a> Bench<'a> {
    /// Starts the service of `stage` on a new database and a virtual host of its own.
    pub(super) async fn start(run: &'a Run, kind: Kind, broker: &Broker, stage: Stage) -> Result<Self> {
        let databases = Databases::new(run, kind).await?;
        let events = broker.create_vhost().await?;
        let vhost = events.to_string().rsplit('/').next().context("a URL has a virtual host")?.to_owned();
        let target = broker.url().rsplit('@').next().context("a URL has an address")?.parse()?;
        let proxy = AmqpProxy::start(target).await?;
        let transport = rabbit_mq(events);
        let tested = service(stage.service())?;
        let (subscriber, received) = subscribe(&transport, &tested.publishes);
        let users = StubUserService::start().await?;
        let at = free_addresses(2);
        let callee = match stage {
            Stage::Orders => Some(PRODUCT_SERVICE),
            Stage::Payments => Some(PAYMENT_PROVIDER),
            Stage::Products => None,
        };
        let (callee, called) = match callee {
            Some(name) => {
                let mut settings = databases.settings(service(name)?, |_| None);
                settings.push(("LISTEN_ADDRESS".to_owned(), at[1].to_string()));
                let mut program = Program::new(run, &service(name)?.name, settings, vec![at[1]]);
                program.start(&[]).await?;
                (Some(program), Some(at[1]))
            }
            None => (None, None),
        };
        let address = |name: &str| if name == USER_SERVICE { Some(users.address) } else { called };
        let mut settings: Settings = databases.settings(tested, address);
        settings.push(("EVENTS_URL".to_owned(), format!("amqp://guest:guest@{}/{vhost}", proxy.address())));
        settings.push(("LISTEN_ADDRESS".to_owned(), at[0].to_string()));
        if let (Stage::Orders, Some(products)) = (stage, called) {
            settings.push(("PRODUCT_SERVICE_URL".to_owned(), format!("http://{products}")));
        }
        let mut program = Program::new(run, &tested.name, settings, vec![at[0]]);
        program.start(&[]).await?;
        let journal = Journal::new(kind, databases.url(&tested.name));
        journal.begin().await?;
        Ok(Self {
            program,
            address: at[0],
            called,
            journal,
            proxy,
            transport,
            received,
            _subscriber: subscriber,
            _callee: callee,
            _users: users,
            _databases: databases,
        })
    }

    pub(super) fn name(&self) -> &str {
        self.program.name()
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        self.program.kill()
    }

    pub(super) async fn restart(&mut self) -> Result<()> {
        self.program.start(&[]).await
    }

    /// Publishes `events` for the service.
    pub(super) async fn publish(&self, events: Vec<Outgoing>) -> Result<()> {
        publish(&self.transport, events).await
    }

    /// How many of the events with these `ids` are handled.
    pub(super) async fn handled(&self, ids: &BTreeSet<String>) -> Result<usize> {
        let handled = self.journal.handled().await?;
        Ok(ids.iter().filter(|id| handled.contains(*id)).count())
    }

    /// Waits until `condition` holds; `what` it is, for an error.
    pub(super) async fn until(&self, what: &str, condition: impl AsyncFn(&Self) -> Result<bool>) -> Result<()> {
        let begin = Instant::now();
        while !condition(self).await? {
            ensure!(begin.elapsed() < RECOVERY, "{}: not until {RECOVERY:?}: {what}", self.name());
            sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// Keeps every transaction of a handler from being committed.
    pub(super) async fn lock(&self) -> Result<Lock> {
        let mut look = self.journal.look().await?;
        look.run("BEGIN IMMEDIATE", "BEGIN; LOCK TABLE inbox IN EXCLUSIVE MODE").await?;
        Ok(Lock(look))
    }

    /// The ids of the events that a subscriber of the service has got, and how often.
    pub(super) fn received(&self) -> HashMap<String, usize> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many of them came more than once.
    pub(super) fn repeated(&self) -> usize {
        self.received().values().filter(|times| **times > 1).count()
    }

    /// How many dead letters the service has.
    pub(super) async fn dead_letters(&self) -> Result<usize> {
        Ok(self.transport.dead_letters(&format!("{}.events", self.name()), 1000).await?.len())
    }

    pub(super) async fn end(&self) {
        self.transport.close().await;
    }
}

/// What handlers wait for.
#[derive(Debug)]
pub(super) struct Lock(Look);

impl Lock {
    pub(super) async fn release(mut self) -> Result<()> {
        self.0.run("ROLLBACK", "ROLLBACK").await?;
        Ok(self.0.end().await?)
    }
}

/// Receives events of these `types`, in place of the services that do.
fn subscribe(transport: &Transport, types: &[String]) -> (JoinSet<()>, Received) {
    let queue = Queue::Shared("chaos.events".to_owned());
    let mut deliveries = transport.subscribe(Subscription { queue, types: types.to_vec() });
    let (mut subscriber, received) = (JoinSet::new(), Received::default());
    let counts = Arc::clone(&received);
    subscriber.spawn(async move {
        while let Some(delivery) = deliveries.next().await {
            let event: Value = serde_json::from_slice(&delivery.envelope).unwrap_or_default();
            let id = event["id"].as_str().unwrap_or_default().to_owned();
            *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default() += 1;
            delivery.ack();
        }
    });
    (subscriber, received)
}
