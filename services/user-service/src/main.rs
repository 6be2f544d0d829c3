//! The user-service process; see the library.

use std::process::ExitCode;

use service_runtime::{config, log, process};
use user_service::{Config, DOCUMENT, NAME};

fn main() -> ExitCode {
    let config: Config = config::read();
    if config.check_ready {
        return process::check_ready(NAME, config.listen_address);
    }
    let log = log::to_stdout(NAME, config.log_level, &[DOCUMENT]);
    process::run(NAME, &log, async {
        if config.migrate_only {
            user_service::migrate(&config, &log).await?;
            return Ok(Vec::new());
        }
        Ok(vec![user_service::start(&config, &log).await?])
    })
}
