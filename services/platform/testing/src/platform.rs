//! Starts several services that call each other.

use service_runtime::Service;
use service_runtime::config::Config;
use service_runtime::server::Server;

use crate::{CapturedLog, Kind, TestDatabase, call_patiently, config_of};

/// A running service on a SQLite file of its own.
pub struct Started {
    /// Its server.
    pub server: Server,
    /// Its log.
    pub log: CapturedLog,
    _database: TestDatabase,
}

/// Starts `services`, each listed after those that it calls. `configure` may change the configuration of each.
pub async fn start_all<const N: usize>(services: [&Service; N], configure: impl Fn(&mut Config)) -> [Started; N] {
    let mut started = Vec::<Started>::with_capacity(N);
    for service in services {
        let (database, log) = (TestDatabase::new(Kind::Sqlite).await, CapturedLog::default());
        let mut config = config_of(service, &database.url, &[]);
        for called in &started {
            if let Some(dependency) = config.dependencies.get_mut(called.server.service_name()) {
                dependency.url = Some(called.server.url());
                call_patiently(dependency);
            }
        }
        configure(&mut config);
        let server = service.start(&config, &log.logger(&[service.document])).await.expect("the service starts");
        started.push(Started { server, log, _database: database });
    }
    started.try_into().ok().expect("one for each service")
}
