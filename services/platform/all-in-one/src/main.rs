//! Every service in one process, each with its own SQLite file: nothing to install, one command to stop.
//!
//! The services call each other over HTTP as they do when they run separately; only the process is shared.

mod config;
mod demo;
mod welcome;

#[path = "generated/services.rs"]
mod services;

use std::process::ExitCode;

use service_runtime::{log, process};

use crate::config::Config;
use crate::services::SERVICES;

fn main() -> ExitCode {
    let config = Config::read();
    let documents: Vec<&str> = SERVICES.iter().map(|service| service.document).collect();
    let log = log::to_stdout(config::NAME, config.log_level, &documents);
    process::run(config::NAME, &log, async {
        let first_start = config.is_first_start();
        let transport = config.transport(&log).await?;
        if config.dead_letters.is_given() {
            let queues: Vec<String> = SERVICES.iter().map(service_runtime::Service::queue).collect();
            config.dead_letters.run(&transport, &queues).await?;
            return Ok(Vec::new());
        }
        let mut servers = Vec::new();
        for service in SERVICES {
            servers.push(service.start(&config.of(service, &servers, &transport), &log).await?);
        }
        if config.wants_demo(first_start) {
            demo::create(&servers).await?;
        }
        welcome::print(&servers, &config, first_start);
        Ok(servers)
    })
}
