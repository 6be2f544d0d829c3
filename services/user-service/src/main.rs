//! The user-service program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    user_service::SERVICE.main()
}
