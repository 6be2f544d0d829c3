//! The notification-service program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    notification_service::SERVICE.main()
}
