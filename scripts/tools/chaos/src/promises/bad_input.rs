//! Promise 6: no input causes an internal error, and both databases give the same answers.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::future::join_all;
use harness::http::{Client, post, read_answer};
use harness::measurements::Counts;
use service_testing::Kind;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fuzz::{FuzzRequest, Generator, ROWS};
use crate::platform::{ORDER_SERVICE, ORDERS, Platform, Setup, USER_SERVICE, USERS, order, unique, user};
use crate::run::Run;
use crate::verdict::Verdict;

/// How many requests are sent concurrently to each database.
const WORKERS: i64 = 8;
/// Longer than the body timeout of a service.
const TIME_LIMIT: Duration = Duration::from_secs(8);

#[derive(Debug, Default)]
struct Outcome {
    statuses: Counts,
    faults: Vec<String>,
}

pub(crate) async fn test(run: &Run) -> Result<Verdict> {
    let requests = run.choose(10_000, 1_000_000);
    let sqlite = Platform::start(run, Kind::Sqlite, Setup::default()).await?;
    let postgres = Platform::start(run, Kind::Postgres, Setup::default()).await?;
    for platform in [&sqlite, &postgres] {
        fill(platform).await?;
    }
    let workers = (0..WORKERS).map(|worker| {
        let generator = Generator::new(run.random(600 + worker as u64), worker);
        fuzz(run, generator, [&sqlite, &postgres], requests / WORKERS as usize, worker == 0)
    });
    let mut all = Outcome::default();
    for outcome in join_all(workers).await {
        all.statuses.merge(outcome.statuses);
        all.faults.extend(outcome.faults);
    }
    let mut verdict = Verdict::default();
    verdict.measured(run, format!("{requests} requests: {}", all.statuses));
    verdict.none("faults", all.faults.len());
    verdict.failures.extend(all.faults.into_iter().take(10));
    Ok(verdict.with_method(format!(
        "{requests} requests generated from the seed, each sent to both services' operations on both databases"
    )))
}

/// Creates the rows that the workers request, with the same ids on both databases.
async fn fill(platform: &Platform<'_>) -> Result<()> {
    let mut users = Client::new(platform.address(USER_SERVICE), TIME_LIMIT);
    let mut orders = Client::new(platform.address(ORDER_SERVICE), TIME_LIMIT);
    for id in 1..=WORKERS * ROWS {
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
    platforms: [&Platform<'_>; 2],
    requests: usize,
    shows_progress: bool,
) -> Outcome {
    let mut outcome = Outcome::default();
    for number in 1..=requests {
        let request = generator.generate();
        let [sqlite, postgres] = platforms.map(|platform| platform.address(request.to));
        let (on_sqlite, on_postgres) = tokio::join!(send(sqlite, &request), send(postgres, &request));
        // Whether a client that has closed its direction still gets an answer is a race, on either database.
        let hung_up = request.truncated && (on_sqlite.is_none() || on_postgres.is_none());
        let fault = [on_sqlite, on_postgres].into_iter().flatten().any(|status| status >= 500)
            || (on_sqlite != on_postgres && !hung_up)
            || (request.answerable && on_sqlite.is_none());
        if fault && outcome.faults.len() < 100 {
            let begin = &request.bytes[..request.bytes.len().min(300)];
            let text = String::from_utf8_lossy(begin).escape_debug().to_string();
            let to = request.to;
            outcome.faults.push(format!("{on_sqlite:?} on SQLite, {on_postgres:?} on PostgreSQL from {to} for {text}"));
        }
        outcome.statuses.add(match on_sqlite {
            Some(status) => status.to_string(),
            None => "not HTTP, and closed the connection".to_owned(),
        });
        if shows_progress && number % (requests / 4).max(1) == 0 {
            run.progress(format_args!("about {} requests", number * WORKERS as usize));
        }
    }
    outcome
}

/// Sends a request over a new connection, and returns the status of the answer.
async fn send(address: SocketAddr, request: &FuzzRequest) -> Option<u16> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let exchange = async {
        // The server may answer and close before everything is sent.
        let _ = stream.write_all(&request.bytes).await;
        if request.truncated {
            let _ = stream.shutdown().await;
        }
        let to_head = request.bytes.starts_with(b"HEAD ");
        read_answer(&mut stream, &mut Vec::new(), to_head).await.ok().map(|head| head.status)
    };
    let status = timeout(TIME_LIMIT, exchange).await.ok().flatten();
    // Avoids TIME_WAIT, which would use up the ports.
    let _ = stream.set_zero_linger();
    status
}
