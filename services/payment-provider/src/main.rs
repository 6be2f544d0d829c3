//! The payment-provider program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    payment_provider::SERVICE.main()
}
