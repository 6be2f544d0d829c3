//! Starts a service under test together with every service that it calls.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use contract::examples::{self, DeclaredError, DependencyFault, ErrorExample, EventStep, Example, State, Step};
use contract::paths;
use httpmock::MockServer;
use serde_json::{Value, json};
use service_runtime::Service;
use service_runtime::events::Transport;
use service_runtime::server::Server;
use tempfile::TempDir;
use tokio::net::TcpSocket;

use crate::golden::{EVENTS_TIME_LIMIT, Replay};
use crate::{CapturedLog, Kind, TestCarrier, TestDatabase, call_patiently, publish};

/// The timeout of calls that get no response.
const SHORT: Duration = Duration::from_millis(50);

/// The services of the platform, each listed after those that it calls.
#[derive(Clone, Copy, Debug)]
pub struct World {
    services: &'static [Service],
}

/// A running service.
pub struct Running {
    /// The service's server.
    pub server: Server,
    /// Its log.
    pub log: CapturedLog,
    /// Makes requests to it.
    pub replay: Replay,
    called: Vec<(String, Called)>,
    transport: Transport,
    _carrier: TestCarrier,
    _data_directory: TempDir,
}

/// What listens at the address of a called service; it is dropped with the service that calls it.
#[allow(dead_code, reason = "held, not read")]
enum Called {
    Up(Box<Running>, TestDatabase),
    Down(TcpSocket),
    Silent(TcpListener),
    Nonsense(MockServer),
}

impl World {
    /// The world of these services.
    pub fn new(services: &'static [Service]) -> Self {
        assert!(!services.is_empty(), "no service would be tested");
        Self { services }
    }

    /// Every service.
    pub fn services(self) -> impl Iterator<Item = &'static Service> {
        self.services.iter()
    }

    /// Starts `service` on `database` in `state`; states of the database itself are not applied here.
    ///
    /// Every called service has a database that holds only what the first example with status 201 of its contract creates.
    pub async fn start(self, service: &Service, database: &TestDatabase, state: &State) -> Result<Running> {
        let mut config = service.config("127.0.0.1:0".parse()?, database.url.clone());
        match state {
            State::Overloaded => config.limits.max_requests_in_flight = 0,
            State::OutOfTime => config.limits.request_timeout_ms = 0,
            _ => {}
        }
        let mut called = Vec::new();
        for (name, dependency) in &mut config.dependencies {
            if *state == (State::Dependency { name: name.clone(), fault: DependencyFault::Absent }) {
                dependency.url = None;
                continue;
            }
            call_patiently(dependency);
            let fault = match state {
                State::Dependency { name: faulty, fault } if faulty == name => Some(*fault),
                _ => None,
            };
            if fault == Some(DependencyFault::Silent) {
                dependency.settings.timeout = SHORT;
            }
            let (url, held) = self.called(name, fault).await.with_context(|| format!("starting {name}"))?;
            dependency.url = Some(url);
            called.push((name.clone(), held));
        }
        let (carrier, data_directory) = (TestCarrier::embedded(), tempfile::tempdir()?);
        let transport = carrier.open().await;
        config.transport = Some(transport.clone());
        config.data_directory = data_directory.path().to_owned();
        let log = CapturedLog::default();
        let server = service.start(&config, &log.logger(&[service.document])).await?;
        let replay = Replay::new(service.document, server.url())?;
        Ok(Running { server, log, replay, called, transport, _carrier: carrier, _data_directory: data_directory })
    }

    /// Starts what listens at the address of the called service `name`.
    async fn called(self, name: &str, fault: Option<DependencyFault>) -> Result<(String, Called)> {
        let local = |address: std::net::SocketAddr| format!("http://{address}");
        Ok(match fault {
            None => {
                let service =
                    self.services().find(|service| service.name == name).context("the platform has no such service")?;
                let database = TestDatabase::new(Kind::Sqlite).await;
                // Boxed because the future is recursive: a called service may call others.
                let running = Box::pin(self.start(service, &database, &State::Well)).await?;
                running.replay.seed(&examples_of(service)?).await?;
                (running.server.url(), Called::Up(Box::new(running), database))
            }
            Some(DependencyFault::Down) => {
                // Bound without listening, so that no other process gets the address.
                let socket = TcpSocket::new_v4()?;
                socket.bind("127.0.0.1:0".parse()?)?;
                (local(socket.local_addr()?), Called::Down(socket))
            }
            Some(DependencyFault::Silent) => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                (local(listener.local_addr()?), Called::Silent(listener))
            }
            Some(DependencyFault::Absent) => bail!("an absent service listens nowhere"),
            Some(DependencyFault::Nonsense) => {
                let server = MockServer::start_async().await;
                server.mock(|_, then| {
                    then.status(200).header("content-type", "application/json").body(r#"{"nonsense": true}"#);
                });
                (server.base_url(), Called::Nonsense(server))
            }
        })
    }
}

impl Running {
    /// Brings about what `example` requires first: requests to this service or to those that it calls, and events.
    pub async fn prepare(&self, example: &Example) -> Result<()> {
        let mut follows_event = false;
        for step in &example.given {
            let step = match step {
                Step::Request(step) => step,
                Step::Event(step) => {
                    self.handle(step).await?;
                    follows_event = true;
                    continue;
                }
            };
            let replay = match &step.service {
                None => &self.replay,
                Some(name) => match self.called.iter().find(|(called, _)| called == name) {
                    Some((_, Called::Up(running, _))) => &running.replay,
                    _ => bail!("{name} is not called, or not up"),
                },
            };
            let began = Instant::now();
            while let Err(error) = replay.prepare(step).await {
                // What follows from an event may take a while.
                ensure!(follows_event && began.elapsed() < EVENTS_TIME_LIMIT, error);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        Ok(())
    }

    /// Publishes the event of `step` and waits until the service has handled it.
    async fn handle(&self, EventStep { event, id, data }: &EventStep) -> Result<()> {
        let envelope = json!({
            "specversion": "1.0", "id": id, "source": "/test", "type": event, "subject": "1", "time": "2026-01-01T00:00:00Z",
            "datacontenttype": "application/json", "data": data,
        });
        publish(&self.transport, &envelope).await;
        loop {
            let text = self.log.text();
            let ended = |message| text.lines().any(|line| line.contains(id) && line.contains(message));
            if ended("event handled") {
                return Ok(());
            }
            ensure!(!ended("dead letters"), "given {event}: {text}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The golden examples of `service`, from its API crate.
pub fn examples_of(service: &Service) -> Result<Vec<Example>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let path = root.join(format!("services/{}/api/examples.json", service.name));
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let examples = examples::read(&text, declared_errors(&serde_json::from_str(service.document)?))?;
    let own = |example: &Example| !["health", "ready"].contains(&example.operation.as_str());
    ensure!(examples.iter().any(own), "{} has no examples", service.name);
    Ok(examples)
}

/// The errors that the operations of `document` declare.
fn declared_errors(document: &Value) -> Vec<DeclaredError> {
    let mut errors = Vec::new();
    for operation in paths::operations(document) {
        for (status, response) in operation.value["responses"].as_object().into_iter().flatten() {
            let examples = response.pointer("/content/application~1json/examples").and_then(Value::as_object);
            for (code, example) in examples.into_iter().flatten() {
                errors.push(DeclaredError {
                    operation: operation.id().unwrap_or_default().to_owned(),
                    status: status.parse().unwrap_or_default(),
                    error: ErrorExample {
                        code: code.clone(),
                        message: example["value"]["message"].as_str().unwrap_or_default().to_owned(),
                    },
                });
            }
        }
    }
    errors
}
