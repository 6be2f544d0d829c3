//! `cargo topology`: generates whatever must list the services statically from `services/platform.toml`.
//!
//! Some files are generated whole; they say so in their first line. Others are written by hand but for blocks between two
//! marker lines. Tools that can read the list when they run do that instead and are not known here.

mod broker;
mod deploy;
mod manifests;
mod output;
mod proxy;
mod template;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use topology::Platform;

pub use output::{BEGIN, END, GENERATED, Output};

/// Every file that holds something generated from `platform`.
///
/// # Errors
///
/// If a document in `openapi/` cannot be read.
pub fn outputs(root: &Path, platform: &Platform) -> Result<Vec<Output>> {
    let mut outputs = deploy::outputs(platform);
    outputs.extend(manifests::outputs(platform));
    outputs.push(proxy::output(root, platform)?);
    Ok(outputs)
}

/// Writes every file that is missing or stale below `root`; returns their paths.
///
/// # Errors
///
/// If a file cannot be read or written, or has not the blocks that are generated into it.
pub fn generate(root: &Path, platform: &Platform) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (path, content) in differing(root, platform)? {
        let file = root.join(&path);
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        }
        fs::write(&file, content).with_context(|| file.display().to_string())?;
        written.push(path);
    }
    Ok(written)
}

/// The files below `root` that are missing or stale.
///
/// # Errors
///
/// If a file cannot be read, or has not the blocks that are generated into it.
pub fn stale(root: &Path, platform: &Platform) -> Result<Vec<PathBuf>> {
    Ok(differing(root, platform)?.into_iter().map(|(path, _)| path).collect())
}

/// The root of the workspace that this program was built from.
#[must_use]
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn differing(root: &Path, platform: &Platform) -> Result<Vec<(PathBuf, String)>> {
    let mut differing = Vec::new();
    for output in outputs(root, platform)? {
        let current = fs::read_to_string(root.join(output.path())).unwrap_or_default();
        let expected = output.apply(&current)?;
        if current != expected {
            differing.push((output.path().to_owned(), expected));
        }
    }
    Ok(differing)
}
