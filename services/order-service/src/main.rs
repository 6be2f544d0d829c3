//! The order-service program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    order_service::SERVICE.main()
}
