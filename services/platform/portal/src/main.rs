//! Builds the portal of all services as a static site.

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
/// The site is for reading. A browser lets it send requests to a service only where both have one origin: with
/// --console it has a console whose requests go to <service>/ beside the page, for a web server that passes those on
/// to the services.
#[derive(Parser)]
#[command(name = "scripts/portal", max_term_width = 120)]
struct Arguments {
    /// Where to write the site
    #[arg(default_value = "target/portal")]
    folder: PathBuf,
    /// Offer to try requests out: the web server passes <service>/ on to each service
    #[arg(long)]
    console: bool,
}

/// The checked-in documents, in the root of the repository, where scripts/portal goes.
const DOCUMENTS: &str = "openapi";

fn main() -> Result<()> {
    let Arguments { folder, console } = Arguments::parse();
    let mut documents = Vec::new();
    for path in document_paths()? {
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let document: Value =
            serde_json::from_slice(&bytes).with_context(|| format!("{} is no JSON", path.display()))?;
        let title = document["info"]["title"].as_str().with_context(|| format!("{} has no title", path.display()))?;
        let service = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let path = format!("{service}/openapi.json");
        write(&folder, &path, &bytes)?;
        documents.push(Document { title: title.to_owned(), path, server: console.then_some(service) });
    }
    let mut scalar = Vec::new();
    io::copy(&mut GzDecoder::new(SCALAR_GZIP), &mut scalar)?;
    write(&folder, SCALAR_PATH, &scalar)?;
    write(&folder, SETUP_PATH, SETUP_SCRIPT.as_bytes())?;
    write(&folder, "index.html", page("Orders & Notifications Platform", &documents).as_bytes())?;
    println!("The portal is in {}", folder.display());
    Ok(())
}

/// The documents, in the order of their names.
fn document_paths() -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(DOCUMENTS).with_context(|| format!("cannot read the folder {DOCUMENTS}"))?;
    let mut paths: Vec<_> = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    ensure!(!paths.is_empty(), "no document in the folder {DOCUMENTS}");
    paths.sort();
    Ok(paths)
}

fn write(folder: &Path, path: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(path);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, bytes));
    written.with_context(|| format!("cannot write {}", path.display()))
}
