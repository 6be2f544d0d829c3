//! Two instances each of order-service and product-service, a broker between them, and what can be broken.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use harness::http::Client;
use harness::process::Instance;
use harness::proxy::{Mode, Proxy, Target};
use harness::topology::Service;
use service_runtime::events::{Queue, Subscription, Transport};
use service_testing::{Broker, Kind};
use tokio::task::{JoinSet, block_in_place};
use tokio::time::sleep;

use super::faults::{Fault, Side, Step};
use super::stage::Stage;
use crate::journal::Journal;
use crate::messages::{QUEUE, rabbit_mq};
use crate::platform::{Databases, ORDER_SERVICE, PRODUCT_SERVICE, USER_SERVICE, service};
use crate::program::ahead;
use crate::run::{RECOVERY, Run};
use crate::stub_user_service::StubUserService;

/// The separate programs. Everything that restarts has an address that stays.
pub(super) struct Shop<'a> {
    run: &'a Run,
    pub(super) broker: &'a mut Broker,
    vhost: String,
    /// Directly to the broker.
    pub(super) transport: Transport,
    /// Consumes what product-service does not, in place of a service that does not run: an event that any service of the
    /// platform consumes is published only once there is a queue for it.
    _others: JoinSet<()>,
    databases: Databases,
    users: StubUserService,
    orders: Replicas,
    products: Replicas,
    pub(super) stage: Stage,
}

/// The instances of a service. The clock of the second one is fast.
struct Replicas {
    service: &'static Service,
    instances: [Option<Instance>; 2],
    /// In front of both.
    front: Proxy,
    /// Between them and the broker.
    link: Proxy,
}

impl<'a> Shop<'a> {
    /// Starts all services, but keeps product-service from the broker: its queue does not exist yet.
    pub(super) async fn open(run: &'a Run, kind: Kind, broker: &'a mut Broker) -> Result<Self> {
        let databases = Databases::new(run, kind).await?;
        let url = broker.create_vhost().await?;
        let vhost = url.to_string().rsplit('/').next().context("a URL has a virtual host")?.to_owned();
        let orders = Replicas::none(ORDER_SERVICE, broker).await?;
        let products = Replicas::none(PRODUCT_SERVICE, broker).await?;
        products.link.set_mode(Mode::Reset);
        let journal = |name: &str| Journal::new(kind, databases.url(name));
        let stage = Stage {
            orders: orders.front.address(),
            products: products.front.address(),
            order_journal: journal(ORDER_SERVICE),
            product_journal: journal(PRODUCT_SERVICE),
            pays: false,
        };
        let transport = rabbit_mq(url);
        let mut deliveries = transport.subscribe(Subscription {
            queue: Queue::Shared("notification-service.events".to_owned()),
            types: vec!["order.completed".to_owned()],
        });
        let mut others = JoinSet::new();
        others.spawn(async move {
            while let Some(delivery) = deliveries.next().await {
                delivery.ack();
            }
        });
        let users = StubUserService::start().await?;
        let mut shop =
            Self { run, broker, vhost, transport, _others: others, databases, users, orders, products, stage };
        for side in [Side::Products, Side::Orders] {
            for replica in 0..2 {
                shop.start(side, replica).await?;
            }
        }
        Ok(shop)
    }

    /// Lets product-service reach the broker, and waits until its queue exists.
    pub(super) async fn connect_products(&mut self) -> Result<()> {
        self.products.link.set_mode(Mode::Forward);
        self.stage.handle_more(0, RECOVERY).await?;
        self.settle();
        Ok(())
    }

    /// Lets `step` happen, and end.
    pub(super) async fn suffer(&mut self, step: &Step) -> Result<()> {
        self.crash(step.before).await?;
        match step.fault {
            Fault::Kill => {
                block_in_place(|| self.broker.kill())?;
                sleep(step.duration).await;
                block_in_place(|| self.broker.restart())?;
                // While they publish and handle what has waited.
                sleep(step.duration / 10).await;
                if let Some(victim) = step.during {
                    self.crash(victim).await?;
                }
            }
            Fault::Freeze => {
                self.broker.freeze()?;
                self.meanwhile(step).await?;
                self.broker.thaw()?;
            }
            Fault::BlackHole(side) => {
                self.replicas(side).link.set_mode(Mode::BlackHole);
                self.meanwhile(step).await?;
                self.replicas(side).link.set_mode(Mode::Forward);
            }
            Fault::Disk => {
                self.control(&["set_disk_free_limit", "1000000GB"])?;
                self.meanwhile(step).await?;
                self.control(&["set_disk_free_limit", "1MB"])?;
            }
            Fault::Memory => {
                self.control(&["set_vm_memory_high_watermark", "absolute", "1MB"])?;
                self.meanwhile(step).await?;
                self.control(&["set_vm_memory_high_watermark", "0.4"])?;
            }
            Fault::DeleteQueue => self.delete_queue(step).await?,
        }
        Ok(())
    }

    /// Deletes the queue while it is empty: what is in it would be lost.
    async fn delete_queue(&mut self, step: &Step) -> Result<()> {
        self.orders.link.set_mode(Mode::Reset);
        let waited = self.stage.handle_published(RECOVERY).await;
        let handled = self.stage.product_journal.number_handled().await?;
        let request = format!(
            "DELETE /api/queues/{}/{QUEUE} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n",
            self.vhost
        );
        let deleted = Client::new(management(self.broker)?, RECOVERY).send(request.as_bytes()).await?;
        self.orders.link.set_mode(Mode::Forward);
        waited?;
        ensure!(deleted.status == 204, "deleting the queue was answered with {}", deleted.status);
        if let Some(victim) = step.during {
            self.crash(victim).await?;
        }
        self.stage.handle_more(handled, RECOVERY).await?;
        self.settle();
        Ok(())
    }

    /// The time of a fault, in which perhaps an instance is killed.
    async fn meanwhile(&mut self, step: &Step) -> Result<()> {
        sleep(step.duration / 2).await;
        if let Some(victim) = step.during {
            self.crash(victim).await?;
        }
        sleep(step.duration / 2).await;
        Ok(())
    }

    /// Kills an instance as a crash does, and starts it again.
    async fn crash(&mut self, (side, replica): (Side, usize)) -> Result<()> {
        let instance = self.replicas(side).instances[replica].take();
        instance.context("the instance runs")?.process.kill()?;
        self.replicas(side).aim();
        self.start(side, replica).await
    }

    async fn start(&mut self, side: Side, replica: usize) -> Result<()> {
        let (service, events) = (self.replicas(side).service, self.replicas(side).link.address());
        let users = self.users.address;
        let mut settings = self.databases.settings(service, |name| (name == USER_SERVICE).then_some(users));
        settings.push(("EVENTS_URL".to_owned(), format!("amqp://guest:guest@{events}/{}", self.vhost)));
        if side == Side::Orders {
            settings.push(("PRODUCT_SERVICE_URL".to_owned(), format!("http://{}", self.stage.products)));
        }
        if replica == 1 {
            settings.extend(ahead()?);
        }
        let instance = self.run.start(service, false, &settings).await?;
        self.replicas(side).instances[replica] = Some(instance);
        self.replicas(side).aim();
        Ok(())
    }

    /// Where the instances of product-service are.
    pub(super) fn products(&self) -> Vec<SocketAddr> {
        self.products.addresses().collect()
    }

    fn replicas(&mut self, side: Side) -> &mut Replicas {
        match side {
            Side::Orders => &mut self.orders,
            Side::Products => &mut self.products,
        }
    }

    fn control(&self, arguments: &[&str]) -> Result<()> {
        block_in_place(|| self.broker.control(arguments))
    }

    /// New queues do not survive that the broker is killed at once.
    fn settle(&self) {
        block_in_place(|| self.broker.settle());
    }
}

impl Replicas {
    async fn none(name: &str, broker: &Broker) -> Result<Self> {
        let url = broker.url();
        let broker = url.rsplit('@').next().context("a URL has an address")?.parse()?;
        Ok(Self {
            service: service(name)?,
            instances: [None, None],
            front: Proxy::start(Vec::new()).await?,
            link: Proxy::start(vec![Target::Tcp(broker)]).await?,
        })
    }

    fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.instances.iter().flatten().map(|instance| instance.address)
    }

    /// Lets new connections go to those that run.
    fn aim(&self) {
        self.front.set_targets(self.addresses().map(Target::Tcp).collect());
    }
}

fn management(broker: &Broker) -> Result<SocketAddr> {
    let url = broker.management_url();
    Ok(url.trim_start_matches("http://").parse()?)
}
