//! `cargo topology`; see the library.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool of developers, whose output they read")]

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use topology::platform;
use topology_tool::{generate, stale, workspace_root};

/// Generates whatever lists the services from services/platform.toml, and checks it.
#[derive(Parser)]
#[command(name = "cargo topology", bin_name = "cargo topology")]
enum Command {
    /// Write every file and block that is missing or stale.
    Generate,
    /// Fail if a file or block is missing, stale or edited by hand.
    Check,
    /// Print services/platform.toml as JSON.
    List,
}

fn main() -> ExitCode {
    run(&Command::parse()).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Generate => {
            for path in generate(&workspace_root(), platform())? {
                println!("wrote {}", path.display());
            }
        }
        Command::Check => {
            let stale = stale(&workspace_root(), platform())?;
            for path in &stale {
                eprintln!("{} differs from services/platform.toml", path.display());
            }
            if !stale.is_empty() {
                eprintln!("Run `cargo topology generate`.");
                return Ok(ExitCode::FAILURE);
            }
            println!("every list of the services matches services/platform.toml");
        }
        Command::List => println!("{}", serde_json::to_string_pretty(platform())?),
    }
    Ok(ExitCode::SUCCESS)
}
