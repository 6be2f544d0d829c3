//! Whether a user exists: the port to the one service that order-service depends on.
//!
//! Whatever user-service does, the outcome is one of five. While it is asked, those who come meanwhile collect, and are asked for
//! batch_writer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use order_service_api::UserId;
use service_runtime::coalesce::{CoalesceError, Coalescer};
use service_runtime::telemetry::{Attempts, Dependency, Telemetry};
use service_runtime::trace::TraceContext;
use slog::{Logger, info, warn};
use user_client::Client;
use user_client::policy::{Circuit, Settings};

use crate::Config;
use crate::user_lookup::{MOST_IDS, Verdicts, look_up, view};

/// The name of the dependency, in log and metrics.
const USER_SERVICE: &str = "user-service";

/// A hundred users with the longest names and addresses.
const MAX_RESPONSE_BYTES: usize = 256 * 1024;

/// How long those who come meanwhile wait for a request that is under way: it may hang, and theirs not.
const PATIENCE: Duration = Duration::from_millis(25);

/// Why it is not certain that the user exists. Each holds, for the log, what was seen; never what user-service wrote.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum UserCheckError {
    #[error("user-service knows no such user")]
    NotFound,
    #[error("user-service cannot be reached or cannot answer: {0}")]
    Unavailable(String),
    #[error("user-service did not answer in time")]
    Timeout,
    #[error("user-service gave an invalid response: {0}")]
    InvalidResponse(String),
    #[error("user-service could not be asked: {0}")]
    Fault(String),
}

impl UserCheckError {
    /// In a word, for the metrics.
    fn word(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Unavailable(_) => "unavailable",
            Self::Timeout => "timeout",
            Self::InvalidResponse(_) => "invalid_response",
            Self::Fault(_) => "fault",
        }
    }
}

/// A user to be asked for.
struct Pending {
    id: UserId,
    deadline: Instant,
    trace: TraceContext,
}

/// What all who were asked for together wait for.
type Answer = Shared<BoxFuture<'static, Arc<Verdicts>>>;

/// Asks user-service.
pub(crate) struct UserCheck {
    client: Client,
    line: Coalescer<Pending, Answer>,
    timeout: Duration,
    dependency: Dependency,
}

impl UserCheck {
    pub(crate) fn new(config: &Config, telemetry: &mut Telemetry, log: &Logger) -> Result<Self> {
        let timeout = milliseconds(config.user_service_timeout_ms);
        let settings = Settings {
            connect_timeout: milliseconds(config.user_service_connect_timeout_ms),
            attempt_timeout: milliseconds(config.user_service_attempt_timeout_ms),
            timeout,
            concurrency: config.user_service_concurrency as usize,
            max_response_bytes: MAX_RESPONSE_BYTES,
        };
        let log = log.clone();
        let observer = move |circuit| match circuit {
            Circuit::Open => warn!(log, "calls are refused, but for one a second"; "dependency" => USER_SERVICE),
            Circuit::Closed => info!(log, "calls are made again"; "dependency" => USER_SERVICE),
        };
        let client = Client::connect_observed(&config.user_service_url, settings, observer)
            .context("cannot make the HTTP client for user-service")?;
        let (watched, limit) = (client.clone(), config.user_service_concurrency as usize);
        let dependency = telemetry.dependency(USER_SERVICE, move || attempts(&watched, limit));
        let calling = client.clone();
        let line = Coalescer::new(MOST_IDS, move |asks| ask_together(calling.clone(), asks));
        Ok(Self { client, line, timeout, dependency })
    }

    /// Succeeds if user-service says that the user exists. It takes no longer than the configuration allows, nor than
    /// until `deadline`. user-service is told the trace.
    pub(crate) async fn check(
        &self,
        id: UserId,
        deadline: Instant,
        trace: &TraceContext,
    ) -> Result<(), UserCheckError> {
        let call = self.dependency.begin("user_check", trace);
        let deadline = deadline.min(Instant::now() + self.timeout);
        let outcome = self.ask(id, deadline, &call.trace).await;
        match &outcome {
            Ok(()) => call.succeed("success"),
            Err(error @ UserCheckError::NotFound) => call.succeed(error.word()),
            Err(error) => call.fail(error.word()),
        }
        outcome
    }

    async fn ask(&self, id: UserId, deadline: Instant, trace: &TraceContext) -> Result<(), UserCheckError> {
        let ask = Pending { id, deadline, trace: trace.clone() };
        let verdicts = async { Ok::<_, CoalesceError>(self.line.run(ask).await?.await) };
        match tokio::time::timeout_at(deadline.into(), verdicts).await {
            Ok(Ok(verdicts)) => match verdicts.get(&id) {
                Some(verdict) => verdict.clone(),
                // On the heap, because it is large and rare.
                None => Box::pin(view(&self.client.until(deadline), id, trace)).await,
            },
            Ok(Err(error @ CoalesceError::Full)) => Err(UserCheckError::Unavailable(error.to_string())),
            Ok(Err(error @ CoalesceError::BrokeOff)) => Err(UserCheckError::Fault(error.to_string())),
            Err(_) => Err(UserCheckError::Timeout),
        }
    }
}

/// Asks for the users of all of `asks` at once, for as long as any of them has time. Each is given the same, perhaps before
/// it is there.
async fn ask_together(client: Client, asks: Vec<Pending>) -> Vec<Answer> {
    let number = asks.len();
    let deadline = asks.iter().map(|ask| ask.deadline).max();
    let client = deadline.map_or(client.clone(), |deadline| client.until(deadline));
    let mut asked: Vec<_> = asks.into_iter().map(|ask| (ask.id, ask.trace)).collect();
    asked.sort_by_key(|(id, _)| *id);
    asked.dedup_by_key(|(id, _)| *id);
    let answer = async move { Arc::new(look_up(&client, &asked).await) }.boxed().shared();
    if tokio::time::timeout(PATIENCE, answer.clone()).await.is_err() {
        // It goes on by itself: what it meets counts, whoever has left meanwhile.
        tokio::spawn(answer.clone());
    }
    vec![answer; number]
}

/// What the client has done so far.
fn attempts(client: &Client, in_flight_limit: usize) -> Attempts {
    client.snapshot().map_or_else(Attempts::default, |seen| Attempts {
        calls: seen.calls,
        attempts: seen.attempts,
        retries: seen.retries,
        refused_circuit_open: seen.short_circuited,
        refused_too_many: seen.shed,
        in_flight: seen.in_flight,
        in_flight_limit,
        circuit_open: seen.circuit == Circuit::Open,
    })
}

fn milliseconds(number: u32) -> Duration {
    Duration::from_millis(number.into())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::pin::pin;

    use futures::future::{Either, join_all, select};
    use httpmock::MockServer;
    use serde::Serialize;
    use user_client::mock::MockServerExt;
    use user_client::reqwest::header::HeaderMap;
    use user_client::{samples, types};

    use super::*;

    fn user_check(url: String) -> UserCheck {
        let mut config = Config::new("127.0.0.1:0".parse().unwrap(), "sqlite:unused.db".parse().unwrap(), url);
        // A loaded machine is no case of these tests.
        config.user_service_attempt_timeout_ms = 60_000;
        config.user_service_timeout_ms = 60_000;
        let log = Logger::root(slog::Discard, slog::o!());
        let mut telemetry = Telemetry::new("test", &config.traces, &log).unwrap();
        UserCheck::new(&config, &mut telemetry, &log).unwrap()
    }

    async fn check(user_check: &UserCheck, id: i64, time: Duration) -> Result<(), UserCheckError> {
        let trace = TraceContext::of_request("b0b8715f-c303-4ce1-af4a-b98c3dce05ae", &HeaderMap::new(), false);
        user_check.check(id.try_into().unwrap(), Instant::now() + time, &trace).await
    }

    const LONG: Duration = Duration::from_secs(60);

    fn user(id: i64) -> types::User {
        types::User::builder().id(id).email("user@example.com").name("John Doe").try_into().unwrap()
    }

    #[tokio::test]
    async fn a_caller_whose_time_is_over_is_told_so_without_asking() {
        let user_check = user_check("http://127.0.0.1:0".to_owned());
        assert_eq!(check(&user_check, 1, Duration::ZERO).await, Err(UserCheckError::Timeout));
        assert!(matches!(check(&user_check, 1, LONG).await, Err(UserCheckError::Unavailable(_))));
    }

    #[tokio::test]
    async fn those_who_come_at_once_are_asked_for_together_each_user_once_and_who_is_not_listed_alone() {
        let users = MockServer::start_async().await;
        let list = users.user_list(|when, then| {
            when.ids(&"1,2,3".parse::<types::UserIds>().unwrap());
            then.ok(&types::UserPage { items: vec![user(1), user(3)], next_page: None });
        });
        let alone = users.user_view(|when, then| {
            when.user_id(&2.try_into().unwrap());
            then.not_found(&samples::errors::user_not_found());
        });
        let user_check = user_check(users.base_url());
        let outcomes = join_all([3, 1, 3, 2, 1].map(|id| check(&user_check, id, LONG))).await;
        assert_eq!(outcomes, [Ok(()), Ok(()), Ok(()), Err(UserCheckError::NotFound), Ok(())]);
        assert_eq!((list.calls(), alone.calls()), (1, 1));
    }

    /// The connection on which the next request was made.
    fn request(listener: &TcpListener) -> TcpStream {
        let (mut connection, _) = listener.accept().unwrap();
        let _ = connection.read(&mut [0; 4096]).unwrap();
        connection
    }

    fn answer(connection: &mut TcpStream, body: &impl Serialize) {
        let body = serde_json::to_string(body).unwrap();
        write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).unwrap();
    }

    #[tokio::test]
    async fn a_request_that_hangs_delays_others_but_for_a_moment() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let user_check = user_check(format!("http://{}", listener.local_addr().unwrap()));
        let (asked, was_asked) = tokio::sync::oneshot::channel();
        let service = std::thread::spawn(move || {
            let mut first = request(&listener);
            asked.send(()).unwrap();
            let mut second = request(&listener);
            answer(&mut second, &user(2));
            // Only now.
            answer(&mut first, &user(1));
        });
        let second = async {
            was_asked.await.unwrap();
            check(&user_check, 2, LONG).await
        };
        assert_eq!(futures::join!(check(&user_check, 1, LONG), second), (Ok(()), Ok(())));
        service.join().unwrap();
    }

    #[tokio::test]
    async fn of_those_asked_for_together_each_waits_as_long_as_it_has_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let user_check = user_check(format!("http://{}", listener.local_addr().unwrap()));
        let (gave_up, may_answer) = std::sync::mpsc::channel();
        let service = std::thread::spawn(move || {
            let mut connection = request(&listener);
            may_answer.recv().unwrap();
            answer(&mut connection, &types::UserPage { items: vec![user(1), user(2)], next_page: None });
        });
        let patient = pin!(check(&user_check, 1, LONG));
        let hurried = pin!(check(&user_check, 2, Duration::from_millis(50)));
        let Either::Right((outcome, patient)) = select(patient, hurried).await else { panic!("nobody answered") };
        assert_eq!(outcome, Err(UserCheckError::Timeout));
        gave_up.send(()).unwrap();
        assert_eq!(patient.await, Ok(()));
        service.join().unwrap();
    }
}
