//! Output on stderr for the person or program that started the process.

use std::fmt::Display;
use std::io::{Write, stderr};

/// Prints `text` and the end of the line. A failure is ignored, because it cannot be reported anywhere: `eprintln!` would
/// panic, and replace the exit code.
pub fn print(text: impl Display) {
    let _ = writeln!(stderr(), "{text}");
}
