//! Whether this very program was built from the sources at hand.
//!
//! In a target directory shared between checkouts cargo may take the build of one for that of another: a package is
//! known by its path relative to the workspace, and is fresh if its files are older than the build
//! (rust-lang/cargo#17312). Such a program would judge one checkout by the traits of another. So the crates that
//! decide carry their sources, and the program compares them before it does anything else.

use std::fs::{File, read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

/// The crates that decide what documents and clients are, and what each was compiled from.
pub const SOURCES: &[(&str, &[(&str, &str)])] = &[
    ("services/platform/contract", contract::SOURCES),
    ("services/user-service/api", user_service_api::SOURCES),
    ("services/order-service/api", order_service_api::SOURCES),
    (
        "scripts/tools/openapi",
        &[
            ("src/cli.rs", include_str!("cli.rs")),
            ("src/client.rs", include_str!("client.rs")),
            ("src/coverage.rs", include_str!("coverage.rs")),
            ("src/diff.rs", include_str!("diff.rs")),
            ("src/freshness.rs", include_str!("freshness.rs")),
            ("src/integers.rs", include_str!("integers.rs")),
            ("src/lib.rs", include_str!("lib.rs")),
            ("src/main.rs", include_str!("main.rs")),
            ("src/plain_hook.rs", include_str!("plain_hook.rs")),
            ("src/policy_hook.rs", include_str!("policy_hook.rs")),
            ("src/readable.rs", include_str!("readable.rs")),
            ("src/served.rs", include_str!("served.rs")),
        ],
    ),
];

/// Set for the program that was built anew, so that it does not try for ever.
const REBUILT: &str = "OPENAPI_MANAGER_REBUILT";

/// The files below `root` that differ from what this program was compiled from.
pub fn differing_sources(root: &Path) -> Vec<PathBuf> {
    let files = SOURCES.iter().flat_map(|(package, files)| {
        files.iter().map(move |(file, compiled)| (root.join(package).join(file), compiled))
    });
    files
        .filter(|(path, compiled)| !read(path).is_ok_and(|present| present == compiled.as_bytes()))
        .map(|(p, _)| p)
        .collect()
}

/// Builds the program anew from the sources below `root` and runs that one, if this one was built from others.
/// `None`: it was not.
pub fn run_from_current_sources(root: &Path) -> Result<Option<ExitStatus>> {
    let differing = differing_sources(root);
    if differing.is_empty() {
        return Ok(None);
    }
    let Some(cargo) = std::env::var_os("CARGO").filter(|_| std::env::var_os(REBUILT).is_none()) else {
        bail!("this program was built from other sources than {}: run it as `cargo openapi`", differing[0].display());
    };
    for path in &differing {
        let touched = File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
        touched.with_context(|| format!("cargo holds another build for current; cannot touch {}", path.display()))?;
    }
    let status = Command::new(cargo)
        .args(["run", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--"])
        .args(std::env::args_os().skip(1))
        .current_dir(root)
        .env(REBUILT, "yes")
        .status()
        .context("cargo cannot be run")?;
    Ok(Some(status))
}
