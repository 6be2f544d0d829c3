//! Builds the docs portal of all services as a static site.

#![allow(clippy::print_stdout, reason = "a tool of developers, whose output they read")]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use flate2::read::GzDecoder;
use portal::{Document, SCALAR_GZIP, SCALAR_PATH, SETUP_PATH, SETUP_SCRIPT, page};
use serde_json::Value;

/// Builds the docs portal of all services as a static site, for any web server, under any path.
///
/// By default the site is read-only, because a browser lets it send requests only to its own origin. With --console, it
/// has a console that sends requests to <service>/, relative to the page: the web server must forward them to the
/// services.
#[derive(Parser)]
#[command(name = "scripts/portal", max_term_width = 120)]
struct Arguments {
    /// Directory to write the site to
    #[arg(default_value = "target/portal")]
    directory: PathBuf,
    /// Add a console for test requests; the web server forwards <service>/ to each service
    #[arg(long)]
    console: bool,
}

/// The directories of the checked-in documents. scripts/portal runs this program in the root of the repository.
const DOCUMENTS: &str = "openapi";
const EVENT_DOCUMENTS: &str = "openapi/events";

fn main() -> Result<()> {
    let Arguments { directory, console } = Arguments::parse();
    let mut documents = Vec::new();
    for path in document_paths(DOCUMENTS)? {
        documents.push(copy(&directory, &path, "openapi.json", console)?);
    }
    for path in document_paths(EVENT_DOCUMENTS)? {
        // A browser cannot publish an event.
        documents.push(copy(&directory, &path, "asyncapi.json", false)?);
    }
    let mut scalar = Vec::new();
    io::copy(&mut GzDecoder::new(SCALAR_GZIP), &mut scalar)?;
    write(&directory, SCALAR_PATH, &scalar)?;
    write(&directory, SETUP_PATH, SETUP_SCRIPT.as_bytes())?;
    write(&directory, "index.html", page("Orders & Notifications Platform", &documents).as_bytes())?;
    println!("The portal is in {}", directory.display());
    Ok(())
}

/// Copies the document at `path` into the folder of its service in `directory`.
fn copy(directory: &Path, path: &Path, name: &str, console: bool) -> Result<Document> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let document: Value = serde_json::from_slice(&bytes).with_context(|| format!("{} is not JSON", path.display()))?;
    let title = document["info"]["title"].as_str().with_context(|| format!("{} has no title", path.display()))?;
    let service = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let path = format!("{service}/{name}");
    write(directory, &path, &bytes)?;
    Ok(Document { title: title.to_owned(), path, server: console.then_some(service) })
}

/// The documents in a directory, sorted by name.
fn document_paths(directory: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read the directory {directory}"))?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    ensure!(!paths.is_empty(), "no document in the directory {directory}");
    paths.sort();
    Ok(paths)
}

fn write(directory: &Path, path: &str, bytes: &[u8]) -> Result<()> {
    let path = directory.join(path);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, bytes));
    written.with_context(|| format!("cannot write {}", path.display()))
}
