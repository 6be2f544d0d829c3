//! The product-service program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    product_service::SERVICE.main()
}
