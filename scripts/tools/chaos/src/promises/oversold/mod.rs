//! Promise 13: stock is never oversold, whatever is killed while many buyers compete for it.

mod books;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use harness::http::{Client, post};
use harness::measurements::Counts;
use harness::process::{Instance, POLL_INTERVAL, Settings};
use harness::proxy::{Proxy, Target};
use harness::topology::Service;
use service_testing::{KINDS, Kind};
use sqlx::{Connection, PgConnection, SqliteConnection};
use tokio::time::sleep;

use self::books::{Books, STOCK};
use crate::buyers::{Buyer, Buyers, Outcome, Shopper, new_reservation};
use crate::platform::{Databases, PRODUCT_SERVICE, service, unique};
use crate::run::{Run, START_TIME_LIMIT};
use crate::verdict::Verdict;

/// How many buyers there are, who want one piece each.
const BUYERS: usize = 2000;
/// In how many waves they come; in each a replica is killed.
const WAVES: usize = 8;

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let rounds = run.choose(1, 25);
    for kind in KINDS {
        let mut random = run.random(1300 + kind as u64);
        let mut shop = Shop::open(run, kind).await?;
        let (mut books, mut failures) = (Books::default(), Counts::default());
        for _ in 0..rounds {
            let product = shop.create_product().await?;
            let (buyers, failed) = shop.sell(product, &mut random).await?;
            failures.merge(failed);
            let mut shopper = Shopper::new(shop.addresses());
            books.audit(&mut shopper, product, &buyers).await?;
            books.release_all(&mut shopper, product, &buyers).await?;
        }
        let kills = rounds * WAVES;
        verdict.measured(run, format!("{kind:?}: {kills} kills; {books}; repeated after: {failures}"));
        verdict.failures.extend(books.wrong.iter().take(5).map(|wrong| format!("{kind:?}: {wrong}")));
        shop.expire(&mut verdict).await?;
    }
    Ok(verdict.with_method(format!(
        "{BUYERS} buyers of {STOCK} pieces through two replicas on one database, {rounds} × on each kind; one of the \
         replicas is killed by `kill -9` in each of {WAVES} waves; some reservations are released meanwhile; \
         then the books of the product, of every reservation and of every buyer are compared, all is \
         released, and one reservation expires while the service does not run"
    )))
}

/// Two replicas of product-service on one database, each behind a proxy, at an address that stays.
struct Shop<'a> {
    run: &'a Run,
    kind: Kind,
    service: &'static Service,
    databases: Databases,
    replicas: [Option<Instance>; 2],
    proxies: [Proxy; 2],
}

impl<'a> Shop<'a> {
    async fn open(run: &'a Run, kind: Kind) -> Result<Self> {
        let databases = Databases::new(run, kind).await?;
        let proxies = [Proxy::start(Vec::new()).await?, Proxy::start(Vec::new()).await?];
        let service = service(PRODUCT_SERVICE)?;
        let mut shop = Self { run, kind, service, databases, replicas: [None, None], proxies };
        for replica in 0..2 {
            shop.start(replica).await?;
        }
        Ok(shop)
    }

    async fn start(&mut self, replica: usize) -> Result<()> {
        let settings: Settings = self.databases.settings(self.service, |_| None);
        let instance = self.run.start(self.service, false, &settings).await?;
        self.proxies[replica].set_targets(vec![Target::Tcp(instance.address)]);
        self.replicas[replica] = Some(instance);
        Ok(())
    }

    /// As a crash does.
    fn kill(&mut self, replica: usize) -> Result<()> {
        self.replicas[replica].take().context("the replica runs")?.process.kill()
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [self.proxies[0].address(), self.proxies[1].address()]
    }

    async fn create_product(&self) -> Result<i64> {
        let sku = unique();
        let price = r#"{"amount":1998,"currency":"EUR"}"#;
        let body = format!(r#"{{"sku":"P{sku}","name":"Mug","category":"kitchen","price":{price},"stock":{STOCK}}}"#);
        let mut client = Client::new(self.addresses()[0], START_TIME_LIMIT);
        let reply = client.send(&post("/api/v1/products", None, &body)).await?;
        ensure!(reply.status == 201, "creating a product was answered with {}", reply.status);
        reply.json()["id"].as_i64().context("a product has an id")
    }

    /// Sells the product to all buyers, while the replicas are killed in turn.
    async fn sell(&mut self, product: i64, random: &mut fastrand::Rng) -> Result<(Vec<Buyer>, Counts)> {
        let buyers = Buyers::start(self.addresses(), product);
        let of_wave = BUYERS / WAVES;
        for wave in 0..WAVES {
            buyers.admit(of_wave);
            buyers.ended(wave * of_wave + random.usize(1..of_wave / 2)).await?;
            self.kill(wave % 2)?;
            sleep(Duration::from_millis(random.u64(0..150))).await;
            self.start(wave % 2).await?;
            buyers.ended((wave + 1) * of_wave).await?;
        }
        Ok(buyers.finish().await)
    }

    /// Lets a reservation expire while no replica runs: a fresh process must give its piece back, and only that one.
    async fn expire(&mut self, verdict: &mut Verdict) -> Result<()> {
        let product = self.create_product().await?;
        let mut shopper = Shopper::new(self.addresses());
        let [due, held] = [(); 2].map(|()| new_reservation());
        for reservation in [&due, &held] {
            let outcome = shopper.reserve(reservation, product).await?;
            ensure!(outcome == Outcome::Held, "a reservation was answered with {outcome:?}");
        }
        self.kill(0)?;
        self.kill(1)?;
        self.make_due(&due).await?;
        self.start(0).await?;
        let begin = Instant::now();
        while shopper.status(&due).await?.as_deref() == Some("held") && begin.elapsed() < START_TIME_LIMIT {
            sleep(POLL_INTERVAL).await;
        }
        let mut seen = Vec::new();
        for reservation in [&due, &held] {
            seen.push(shopper.status(reservation).await?.unwrap_or_default());
        }
        let stock = shopper.stock(product, 0).await?;
        let kind = self.kind;
        let statuses = seen.join(", ");
        verdict.measured(self.run, format!("{kind:?}: after a restart {statuses}, stock and reserved {stock:?}"));
        verdict.expect(seen == ["expired", "held"] && stock == (STOCK - 1, 1), || {
            format!("{kind:?}: a restart expires something else than the one reservation that is due")
        });
        Ok(())
    }

    /// Moves the end of a held reservation to the past.
    async fn make_due(&self, reservation: &str) -> Result<()> {
        let sql = "UPDATE reservations SET due_at = '2026-01-01T00:00:00+00:00' WHERE status = 'held' AND id = $1";
        let url = self.databases.url(PRODUCT_SERVICE);
        let updated = match self.kind {
            Kind::Sqlite => {
                let mut connection = SqliteConnection::connect(url).await?;
                let updated = sqlx::query(sql).bind(reservation).execute(&mut connection).await?.rows_affected();
                connection.close().await?;
                updated
            }
            Kind::Postgres => {
                let mut connection = PgConnection::connect(url).await?;
                sqlx::query(sql).bind(reservation).execute(&mut connection).await?.rows_affected()
            }
        };
        ensure!(updated == 1, "{updated} reservations were made due");
        Ok(())
    }
}
