//! Detects that this program was built from other sources than those of the workspace.
//!
//! In a target directory shared between checkouts cargo can take the build of one checkout for that of another: it
//! identifies a package by its path relative to the workspace and considers it fresh if its files are older than the build
//! (rust-lang/cargo#17312). Such a program would check one checkout against the traits of another. So `build.rs` embeds the
//! sources that decide, and the program compares them before anything else.

use std::fs::{File, read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

/// The sources that this program was built from: path relative to the workspace, content.
pub const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// Set for the rebuilt program, so that it does not rebuild itself again.
const REBUILT: &str = "OPENAPI_MANAGER_REBUILT";

/// The files below `root` that differ from those that this program was built from.
pub fn differing_sources(root: &Path) -> Vec<PathBuf> {
    let files = SOURCES.iter().map(|(file, embedded)| (root.join(file), embedded));
    files.filter(|(path, embedded)| !read(path).is_ok_and(|p| p == embedded.as_bytes())).map(|(path, _)| path).collect()
}

/// Rebuilds the program from the sources below `root` and runs it, if this one was built from others. `None` if it was
/// not.
pub fn run_from_current_sources(root: &Path) -> Result<Option<ExitStatus>> {
    let differing = differing_sources(root);
    if differing.is_empty() {
        return Ok(None);
    }
    let Some(cargo) = std::env::var_os("CARGO").filter(|_| std::env::var_os(REBUILT).is_none()) else {
        bail!("this program was built from other sources than {}: run it as `cargo openapi`", differing[0].display());
    };
    let build_script = root.join("scripts/tools/openapi/build.rs");
    for path in &differing {
        let path = if path.exists() { path } else { &build_script };
        let touched = File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
        touched.with_context(|| format!("cargo takes another build for current; cannot touch {}", path.display()))?;
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
