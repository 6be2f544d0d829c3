//! What changed in a contract, for a reader of the API, and whether it breaks them.
//!
//! drift, the library that Oxide compares its own contracts with, finds and classifies the changes. Two things it does
//! not judge are judged here: fields that are new, which is how a contract grows, and error codes, which are examples
//! to it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use drift::{Change, ChangeClass};
use serde_json::Value;

use crate::{Contract, client};

/// From this `info.version` on, the contract only grows within `/api/v1`.
const FROZEN_FROM: semver::Version = semver::Version::new(1, 0, 0);

/// The changes of one contract, in Markdown.
#[derive(Debug, PartialEq)]
pub struct Difference {
    /// The text; empty if nothing changed for a reader.
    pub markdown: String,
    /// Whether something that worked may stop working, although the contract is frozen.
    pub forbidden: bool,
}

/// Compares each contract of the checkout at `root` with what git has at `revision`.
pub fn differences(root: &Path, contracts: &[Contract], revision: &str) -> Result<Vec<Difference>> {
    let of = |contract: &Contract| {
        let path = contract.document_path();
        let old = at_revision(root, revision, &path)?;
        let new =
            std::fs::read_to_string(root.join(&path)).with_context(|| format!("cannot read {}", path.display()))?;
        match old {
            Some(old) => compare(contract.service, &serde_json::from_str(&old)?, &serde_json::from_str(&new)?),
            None => Ok(Difference { markdown: format!("# {}\n\nNew.\n", contract.service), forbidden: false }),
        }
    };
    contracts.iter().map(of).collect()
}

/// The file at `revision`, or `None` if there was none.
fn at_revision(root: &Path, revision: &str, path: &Path) -> Result<Option<String>> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(arguments).output();
        output.context("git is needed to look at another revision, and cannot be run")
    };
    if !git(&["rev-parse", "--verify", "--quiet", &format!("{revision}^{{commit}}")])?.status.success() {
        bail!("git knows no revision `{revision}` here");
    }
    let shown = git(&["show", &format!("{revision}:{}", path.display())])?;
    Ok(shown.status.success().then(|| String::from_utf8_lossy(&shown.stdout).into_owned()))
}

/// What changed from `old` to `new`.
pub fn compare(service: &str, old: &Value, new: &Value) -> Result<Difference> {
    let (mut breaking, mut harmless) = (BTreeSet::new(), BTreeSet::new());
    let mut grown_less = new.clone();
    harmless.extend(take_new_fields(old, &mut grown_less));
    for change in drift::compare(old, &grown_less)? {
        let place = place(&change);
        for info in &change.changes {
            let line = format!("- {place}: {}\n", info.message);
            match info.class {
                ChangeClass::ForwardIncompatible | ChangeClass::Trivial => harmless.insert(line),
                // What the tool cannot judge is for a person to judge.
                ChangeClass::BackwardIncompatible | ChangeClass::Incompatible | ChangeClass::Unhandled => {
                    breaking.insert(line)
                }
            };
        }
    }
    let (old_codes, new_codes) = (error_codes(old), error_codes(new));
    harmless.extend(new_codes.difference(&old_codes).map(|code| format!("- {code}: may happen now\n")));
    harmless.extend(old_codes.difference(&new_codes).map(|code| format!("- {code}: no longer happens\n")));

    let (old_version, new_version) = (version(old), version(new));
    let mut markdown = String::new();
    if !breaking.is_empty() || !harmless.is_empty() || old_version != new_version {
        writeln!(markdown, "# {service}: {old_version} to {new_version}")?;
    }
    for (title, lines) in [("Breaking", &breaking), ("Not breaking", &harmless)] {
        if !lines.is_empty() {
            write!(markdown, "\n## {title}\n\n{}", lines.iter().cloned().collect::<String>())?;
        }
    }
    let frozen = semver::Version::parse(old_version).is_ok_and(|version| version >= FROZEN_FROM);
    Ok(Difference { markdown, forbidden: frozen && !breaking.is_empty() })
}

/// Takes the fields out of `new` that break nobody, and names them: any that is new in an answer, since clients ignore
/// what they do not know, and one of a request that may be left out.
fn take_new_fields(old: &Value, new: &mut Value) -> Vec<String> {
    let sent = sent_schemas(new);
    let mut taken = Vec::new();
    for (name, schema) in new["components"]["schemas"].as_object_mut().into_iter().flatten() {
        let Some(old_fields) = old["components"]["schemas"][name]["properties"].as_object() else { continue };
        let required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
        let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        let harmless = |field: &String| !(sent.contains(name) && required.contains(&Value::from(field.as_str())));
        let added: Vec<String> =
            fields.keys().filter(|f| !old_fields.contains_key(*f) && harmless(f)).cloned().collect();
        for field in &added {
            fields.shift_remove(field);
            taken.push(format!("- `schemas/{name}`: the field `{field}` is new\n"));
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|field| !added.iter().any(|name| field == name));
        }
    }
    taken
}

/// The names of the schemas that requests are made of.
fn sent_schemas(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    let operations = paths.filter_map(Value::as_object).flat_map(|path| path.values());
    let mut open: Vec<&Value> = operations.flat_map(|o| [&o["requestBody"], &o["parameters"]]).collect();
    let mut sent = BTreeSet::new();
    while let Some(value) = open.pop() {
        let reference = value.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/components/schemas/"));
        if let Some(name) = reference
            && sent.insert(name.to_owned())
        {
            open.push(&document["components"]["schemas"][name]);
        }
        open.extend(value.as_object().into_iter().flat_map(|fields| fields.values()));
        open.extend(value.as_array().into_iter().flatten());
    }
    sent
}

fn version(document: &Value) -> &str {
    document["info"]["version"].as_str().unwrap_or_default()
}

/// Where a change is: an operation or a component, as the document points to it.
fn place(change: &Change) -> String {
    let pointer = change.paths.first().map(|path| path.new.current_pointer().to_owned()).unwrap_or_default();
    format!("`{}`", pointer.replace("~1", "/").replace("~0", "~").replace("#/paths/", "").replace("#/components/", ""))
}

fn error_codes(document: &Value) -> BTreeSet<String> {
    let responses = client::responses(document);
    let of_response = |(operation, status, response): (&str, &str, &Value)| {
        let examples = response.pointer("/content/application~1json/examples").and_then(Value::as_object);
        let codes = examples.into_iter().flat_map(|examples| examples.keys());
        codes.map(|code| format!("`{operation}` {status} `{code}`")).collect::<Vec<_>>()
    };
    responses.flat_map(of_response).collect()
}

/// Fails unless the newest entry of each service in `docs/api-changelog.md` names its document's version.
pub fn check_changelog(root: &Path, contracts: &[Contract]) -> Result<()> {
    let path = "docs/api-changelog.md";
    let text = std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
    for contract in contracts {
        let document: Value = serde_json::from_str(&contract.document)?;
        let wanted = format!("### {} ", version(&document));
        let mut lines = text.lines().skip_while(|line| *line != format!("## {}", contract.service)).skip(1);
        let newest = lines.find(|line| line.starts_with("##")).unwrap_or_default();
        if !format!("{newest} ").starts_with(&wanted) {
            bail!(
                "{path}: the newest entry of {} is `{newest}`, but its document has the version {}.\nAdd an entry \
                 `{wanted}- DATE` below `## {}` that tells readers of the API what changed.",
                contract.service,
                version(&document),
                contract.service,
            );
        }
    }
    Ok(())
}
