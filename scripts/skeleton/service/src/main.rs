//! The widget-service program; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    widget_service::SERVICE.main()
}
