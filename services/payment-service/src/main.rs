//! The payment-service program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    payment_service::SERVICE.main()
}
