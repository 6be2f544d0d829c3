//! The contract tool, `cargo openapi`: one source of truth, everything else derived and verified.
//!
//! The API trait crates are the source. From each comes one OpenAPI document in `openapi/`, and from the document the Rust
//! client crate in `clients/` and the commands in `clients/cli`; and one AsyncAPI document in `openapi/events/` if the
//! service publishes events, and from it the crate for their consumers in `clients/`. [`generate()`] writes all of them, [`check()`] reports the
//! files that differ. Neither depends on where it was built, nor on git: the workspace is found from the working directory,
//! so shallow clones and tarballs work, and so do shared target directories ([`freshness`]). Only [`diff`] reads another
//! revision.

mod cli;
mod client;
mod coverage;
pub mod diff;
mod document;
mod events;
pub mod freshness;
#[path = "generated/contracts.rs"]
mod generated;
mod template;
mod text;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use coverage::check_coverage;
pub use document::Contract;

use text::difference;

/// The contracts of all services, in the order of `services/platform.toml`.
pub fn contracts() -> Result<Vec<Contract>> {
    let mut contracts = Vec::new();
    for (service, contract) in generated::CONTRACTS {
        let contract = contract();
        let (document, events) = (contract.document(), contract.event_document());
        let context = || format!("services/{service}/api");
        contracts.push(Contract {
            service,
            document: document.with_context(context)?,
            events: events.with_context(context)?,
            consumes: topology::platform().service(service).map(|listed| listed.consumes.clone()).unwrap_or_default(),
        });
    }
    Ok(contracts)
}

/// A file that is wholly derived.
#[derive(Debug)]
pub struct Artifact {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// The expected content.
    pub content: String,
    /// The source of the content, for messages.
    pub source: String,
}

/// Every derived file of `contracts`.
pub fn artifacts(contracts: &[Contract]) -> Result<Vec<Artifact>> {
    let commands = Path::new("clients/cli/src/generated");
    let mut artifacts = Vec::new();
    for contract in contracts {
        let document = contract.document_path();
        let crate_path = Path::new("clients").join(contract.client());
        let files = client::generate(contract)
            .with_context(|| format!("generating {} from {}", crate_path.display(), document.display()))?;
        let mut derived: Vec<_> = files.into_iter().map(|(path, content)| (crate_path.join(path), content)).collect();
        let file = format!("{}.rs", contract.service.replace('-', "_"));
        let content =
            cli::generate(contract).with_context(|| format!("generating the commands from {}", document.display()))?;
        derived.push((commands.join(file), content));
        let source = document.display().to_string();
        artifacts.extend(derived.into_iter().map(|(path, content)| Artifact { path, content, source: source.clone() }));
        artifacts.push(Artifact {
            path: document,
            content: contract.document.clone(),
            source: format!("the API trait in services/{}/api", contract.service),
        });
        if let Some(document) = &contract.events {
            artifacts.extend(event_artifacts(contract, document)?);
        }
    }
    artifacts.push(Artifact {
        path: commands.join("services.rs"),
        content: cli::services(contracts)?,
        source: "the documents in openapi/".to_owned(),
    });
    artifacts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(artifacts)
}

/// The derived files of the events of `contract`, which `document` describes.
fn event_artifacts(contract: &Contract, document: &str) -> Result<Vec<Artifact>> {
    let path = contract.event_document_path();
    let source = path.display().to_string();
    let crate_path = Path::new("clients").join(contract.events_crate());
    let files = events::generate(contract, document)
        .with_context(|| format!("generating {} from {source}", crate_path.display()))?;
    let file = |(path, content)| Artifact { path: crate_path.join(path), content, source: source.clone() };
    let mut artifacts: Vec<Artifact> = files.into_iter().map(file).collect();
    let source = format!("the events in services/{}/api", contract.service);
    artifacts.push(Artifact { path, content: document.to_owned(), source });
    Ok(artifacts)
}

/// The root of the workspace that contains the working directory.
pub fn workspace_root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("the working directory cannot be read")?;
    let is_root = |dir: &&Path| {
        std::fs::read_to_string(dir.join("Cargo.toml")).is_ok_and(|manifest| manifest.contains("[workspace]"))
    };
    let root = here.ancestors().find(is_root);
    root.map(Path::to_owned).with_context(|| {
        format!(
            "{} is not inside the workspace: no directory above it has a Cargo.toml with [workspace]",
            here.display()
        )
    })
}

/// Writes every derived file below `root` that is missing or differs; returns their paths.
pub fn generate(root: &Path, contracts: &[Contract]) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for artifact in artifacts(contracts)? {
        let path = root.join(&artifact.path);
        if std::fs::read(&path).is_ok_and(|present| present == artifact.content.as_bytes()) {
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        std::fs::write(&path, &artifact.content).with_context(|| format!("cannot write {}", path.display()))?;
        written.push(artifact.path);
    }
    Ok(written)
}

/// Fails unless every derived file below `root` is up to date with `contracts`. The error names each file that is not,
/// shows the difference, and says how to fix it.
pub fn check(root: &Path, contracts: &[Contract]) -> Result<()> {
    let mut report = String::new();
    let artifacts = artifacts(contracts)?;
    for artifact in &artifacts {
        let path = artifact.path.display();
        let present = match std::fs::read(root.join(&artifact.path)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                writeln!(report, "{path} is missing; it is generated from {}.\n", artifact.source)?;
                continue;
            }
            Err(error) => bail!("cannot read {path}: {error}"),
        };
        if present != artifact.content.as_bytes() {
            writeln!(report, "{path} differs from {}:\n", artifact.source)?;
            writeln!(
                report,
                "{}",
                difference(&String::from_utf8_lossy(&present), &artifact.content, "checked in", "expected")
            )?;
        }
    }
    for path in strays(root, &artifacts)? {
        writeln!(report, "{} is not generated from anything: delete it.\n", path.display())?;
    }
    if report.is_empty() {
        return Ok(());
    }
    bail!(
        "{report}To fix it, run\n\n    cargo openapi generate\n\nand commit the result. Files in openapi/, \
         clients/*-client, clients/*-events and clients/cli/src/generated are never edited by hand: change the API trait \
         or the events in services/<service>/api instead."
    )
}

/// Entries of the derived files' directories that are neither an artifact nor a directory of one.
fn strays(root: &Path, artifacts: &[Artifact]) -> Result<Vec<PathBuf>> {
    let directories: BTreeSet<&Path> = artifacts.iter().filter_map(|artifact| artifact.path.parent()).collect();
    let mut strays = Vec::new();
    for directory in directories {
        for entry in std::fs::read_dir(root.join(directory)).into_iter().flatten() {
            let path = directory.join(entry?.file_name());
            if !artifacts.iter().any(|artifact| artifact.path.starts_with(&path)) {
                strays.push(path);
            }
        }
    }
    Ok(strays)
}
