//! Promise 6: whatever a client sends, it is never a fault of the service, and both databases judge alike.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::join_all;
use service_testing::Kind;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Tried, Verdict};
use crate::fuzz::{Generator, Odd, ROWS};
use crate::http1::{Client, post, read_reply};
use crate::platform::{ORDERS, Platform, Setup, USERS, order, unique, user};
use crate::process::Program;
use crate::run::Run;

/// How many requests are under way at a time on each database.
const LANES: i64 = 8;
/// Longer than a service waits for a body that does not come.
const PATIENCE: Duration = Duration::from_secs(8);

#[derive(Debug, Default)]
struct Seen {
    statuses: BTreeMap<u16, usize>,
    unanswered: usize,
    faults: Vec<String>,
}

pub(crate) async fn judge(run: &Run) -> Result<Tried> {
    let requests = run.choose(10_000, 1_000_000);
    let sqlite = Platform::start(run, Kind::Sqlite, Setup::default()).await?;
    let postgres = Platform::start(run, Kind::Postgres, Setup::default()).await?;
    for platform in [&sqlite, &postgres] {
        fill(platform).await?;
    }
    let lanes = (0..LANES).map(|lane| {
        let generator = Generator::new(run.random(600 + lane as u64), lane);
        let platforms = [&sqlite, &postgres].map(|platform| (platform.users.address, platform.orders.address));
        fuzz(run, generator, platforms, requests / LANES as usize, lane == 0)
    });
    let mut all = Seen::default();
    for seen in join_all(lanes).await {
        seen.statuses.into_iter().for_each(|(status, count)| *all.statuses.entry(status).or_default() += count);
        all.unanswered += seen.unanswered;
        all.faults.extend(seen.faults);
    }
    all.faults.iter().take(10).for_each(|fault| run.say(fault));
    let statuses: Vec<_> = all.statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect();
    let mut verdict = Verdict::new(format!(
        "{} faults of {requests} requests; {}, {} that were no HTTP ended the connection",
        all.faults.len(),
        statuses.join(", "),
        all.unanswered
    ));
    verdict.expect(all.faults.is_empty(), || format!("{} faults, such as {}", all.faults.len(), all.faults[0]));
    let how = format!("{requests} requests drawn from the seed, each to both services' operations on both databases");
    Ok(Tried { how, verdict })
}

/// The rows that the lanes ask for, with the same ids on both databases.
async fn fill(platform: &Platform<'_>) -> Result<()> {
    let mut users = Client::new(platform.users.address, PATIENCE);
    let mut orders = Client::new(platform.orders.address, PATIENCE);
    for id in 1..=LANES * ROWS {
        let reply = users.send(&post(USERS, None, &user(unique()))).await?;
        ensure!(reply.json()["id"] == id, "the id {id} was expected");
        let reply = orders.send(&post(ORDERS, None, &order(id, unique()))).await?;
        ensure!(reply.json()["order_id"] == id, "the id {id} was expected");
    }
    Ok(())
}

async fn fuzz(
    run: &Run,
    mut generator: Generator,
    platforms: [(SocketAddr, SocketAddr); 2],
    requests: usize,
    tells: bool,
) -> Seen {
    let mut seen = Seen::default();
    for number in 1..=requests {
        let odd = generator.draw();
        let [sqlite, postgres] =
            platforms.map(|(users, orders)| if odd.to == Program::UserService { users } else { orders });
        let (on_sqlite, on_postgres) = tokio::join!(shoot(sqlite, &odd), shoot(postgres, &odd));
        // Whether a client that says that there is no more is still answered is a race, on either database.
        let hung_up = odd.truncated && (on_sqlite.is_none() || on_postgres.is_none());
        let fault = [on_sqlite, on_postgres].into_iter().flatten().any(|status| status >= 500)
            || (on_sqlite != on_postgres && !hung_up)
            || (odd.answerable && on_sqlite.is_none());
        if fault && seen.faults.len() < 100 {
            let text = String::from_utf8_lossy(&odd.bytes[..odd.bytes.len().min(300)]).escape_debug().to_string();
            seen.faults.push(format!(
                "{on_sqlite:?} on SQLite, {on_postgres:?} on PostgreSQL to {} for {text}",
                odd.to.name()
            ));
        }
        match on_sqlite {
            Some(status) => *seen.statuses.entry(status).or_default() += 1,
            None => seen.unanswered += 1,
        }
        if tells && number % (requests / 4).max(1) == 0 {
            run.say(format_args!("about {} requests", number * LANES as usize));
        }
    }
    seen
}

/// Sends it over a connection of its own; gives the status of the answer.
async fn shoot(address: SocketAddr, odd: &Odd) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let exchange = async {
        // An answer can be there before everything was sent.
        let _ = stream.write_all(&odd.bytes).await;
        if odd.truncated {
            let _ = stream.shutdown().await;
        }
        read_reply(&mut stream, &mut Vec::new(), odd.bytes.starts_with(b"HEAD ")).await.ok().map(|reply| reply.status)
    };
    let status = timeout(PATIENCE, exchange).await.ok().flatten();
    // No port is to be kept waiting for what might still come.
    let _ = stream.set_zero_linger();
    status
}
