//! The contract tool, `cargo openapi`: one source of truth, everything else derived and verified.
//!
//! The API trait crates are the source. From each comes one OpenAPI document in `openapi/`, and from the
//! document the Rust client in `clients/` and the commands in `clients/cli`. [`generate()`] writes all of them,
//! [`check()`] says which are not what they should be. Neither knows where it was built, nor asks git: the workspace is
//! found from the working directory, so shallow clones and tarballs work, and shared target directories by
//! [`freshness`]. Only [`diff`] looks at another revision.

mod cli;
mod client;
mod coverage;
pub mod diff;
pub mod freshness;
mod served;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use coverage::check_coverage;
pub use served::check_served;

/// A service's contract and what is derived from it.
#[derive(Debug)]
pub struct Contract {
    /// The service, as its directory in `services/` is called.
    pub service: &'static str,
    /// The directory in `clients/` of its Rust client.
    pub client: &'static str,
    /// Whether the Rust client's calls go through the module `policy` of its crate: where a service depends on another.
    pub policy: bool,
    /// The document as the trait says it.
    pub document: String,
}

impl Contract {
    /// Where the document is checked in, relative to the workspace.
    pub fn document_path(&self) -> PathBuf {
        Path::new("openapi").join(format!("{}.json", self.service))
    }
}

/// The contracts of all services. A new service is added here.
pub fn contracts() -> Result<Vec<Contract>> {
    Ok(vec![
        Contract {
            service: "user-service",
            client: "user-client",
            policy: true,
            document: user_service_api::document().context("services/user-service/api")?,
        },
        Contract {
            service: "order-service",
            client: "order-client",
            policy: false,
            document: order_service_api::document().context("services/order-service/api")?,
        },
    ])
}

/// A file that is wholly derived.
#[derive(Debug)]
pub struct Artifact {
    /// Relative to the workspace.
    pub path: PathBuf,
    /// What it must hold.
    pub content: String,
    /// What it is derived from, to say so when it differs.
    pub source: String,
}

/// Every derived file of `contracts`.
pub fn artifacts(contracts: &[Contract]) -> Result<Vec<Artifact>> {
    let mut artifacts = Vec::new();
    for contract in contracts {
        let path = contract.document_path();
        let generated = Path::new("clients").join(contract.client).join("src/generated");
        let files = client::generate(&contract.document, contract.policy)
            .with_context(|| format!("generating clients/{} from {}", contract.client, path.display()))?;
        artifacts.extend(files.into_iter().map(|(name, content)| Artifact {
            path: generated.join(name),
            content,
            source: path.display().to_string(),
        }));
        artifacts.push(Artifact {
            path: Path::new("clients/cli/src/generated").join(format!("{}.rs", contract.service.replace('-', "_"))),
            content: cli::generate(contract.service, contract.client, &contract.document)
                .with_context(|| format!("generating the commands from {}", path.display()))?,
            source: path.display().to_string(),
        });
        artifacts.push(Artifact {
            path,
            content: contract.document.clone(),
            source: format!("the API trait in services/{}/api", contract.service),
        });
    }
    artifacts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(artifacts)
}

/// The directory of the workspace that holds the working directory.
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

/// Writes every derived file below `root` that is missing or differs; answers with their paths.
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

/// Fails unless every derived file below `root` is what `contracts` make of it. The error names each file that
/// is not, shows the difference, and says how to mend it.
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
            writeln!(report, "{path} is not what {} makes of it:\n", artifact.source)?;
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
        "{report}To mend it, run\n\n    cargo openapi generate\n\nand commit the result. Files in openapi/ and \
         clients/*/src/generated are never edited by hand: change the API trait in services/<service>/api instead."
    )
}

/// Files where only derived ones belong, which none of `artifacts` is.
fn strays(root: &Path, artifacts: &[Artifact]) -> Result<Vec<PathBuf>> {
    let directories: BTreeSet<&Path> = artifacts.iter().filter_map(|artifact| artifact.path.parent()).collect();
    let mut strays = Vec::new();
    for directory in directories {
        for entry in std::fs::read_dir(root.join(directory)).into_iter().flatten() {
            let path = directory.join(entry?.file_name());
            if !artifacts.iter().any(|artifact| artifact.path == path) {
                strays.push(path);
            }
        }
    }
    Ok(strays)
}

/// The operations of a document: path, method, and what the document says of each.
fn operations(document: &serde_json::Value) -> impl Iterator<Item = (&str, &str, &serde_json::Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let operations = item.as_object().into_iter().flatten();
        operations.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// A unified diff of `old` and `new`.
fn difference(old: &str, new: &str, old_name: &str, new_name: &str) -> String {
    similar::TextDiff::from_lines(old, new).unified_diff().context_radius(3).header(old_name, new_name).to_string()
}
