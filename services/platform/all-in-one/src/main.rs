//! Every service in one process, each with its own SQLite file: nothing to install, one command to stop.
//!
//! The services call each other over HTTP as they do when they run apart; only the process is shared.

mod config;
mod welcome;

use std::process::ExitCode;

use service_runtime::{config as configuration, log, process};

use crate::config::Config;

fn main() -> ExitCode {
    let config: Config = configuration::read();
    let log = log::to_stdout("all-in-one", config.log_level, &[user_service::DOCUMENT, order_service::DOCUMENT]);
    process::run("all-in-one", &log, async {
        let first_start = config.is_first_start();
        let user_config = config.user_service();
        let users = user_service::start(&user_config, &log).await?;
        let order_config = config.order_service(users.url());
        let orders = order_service::start(&order_config, &log).await?;
        welcome::print(&users, &user_config.database_url, &orders, &order_config.database_url, first_start);
        Ok(vec![users, orders])
    })
}
