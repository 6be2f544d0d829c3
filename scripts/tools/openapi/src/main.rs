//! `cargo openapi`; see the library.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool of developers, whose output they read")]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use openapi_manager::diff::{check_changelog, differences};
use openapi_manager::{check, check_coverage, contracts, freshness, generate, workspace_root};

/// Writes and verifies the OpenAPI documents and what is generated from them.
#[derive(Parser)]
#[command(name = "cargo openapi", bin_name = "cargo openapi")]
enum Command {
    /// Write every document and every generated client that is missing or stale.
    Generate,
    /// Fail if a document or a generated client is missing, stale or edited by hand.
    Check,
    /// Fail unless the services' JSON logs show every documented (operation, status, error code) and every event published
    /// and handled, and no other.
    Coverage {
        /// Directories whose `*.log` files are read.
        #[arg(required = true)]
        directories: Vec<PathBuf>,
    },
    /// Print the changes of the documents since a git revision in Markdown, breaking changes first. Fail on a breaking
    /// change of a contract with version 1.0.0 or later.
    Diff {
        /// A git revision.
        #[arg(default_value = "HEAD")]
        revision: String,
    },
}

fn main() -> ExitCode {
    run(Command::parse()).unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> Result<ExitCode> {
    let root = workspace_root()?;
    if let Some(status) = freshness::run_from_current_sources(&root)? {
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let contracts = contracts()?;
    match command {
        Command::Generate => {
            let written = generate(&root, &contracts)?;
            for path in &written {
                println!("wrote {}", path.display());
            }
            if written.is_empty() {
                println!("everything is up to date");
            }
        }
        Command::Check => {
            check(&root, &contracts)?;
            check_changelog(&root, &contracts)?;
            println!("everything is up to date");
        }
        Command::Coverage { directories } => {
            let seen = check_coverage(&contracts, &directories)?;
            println!("all {seen} documented outcomes were seen, and no other");
        }
        Command::Diff { revision } => {
            let differences = differences(&root, &contracts, &revision)?;
            for difference in &differences {
                print!("{}", difference.markdown);
            }
            if differences.iter().all(|difference| difference.markdown.is_empty()) {
                println!("the documents have not changed");
            }
            if differences.iter().any(|difference| difference.forbidden) {
                bail!(
                    "a contract of version 1.0.0 or later only grows within /api/v1; see docs/evolving-the-contract.md"
                );
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
