//! Lists the changes of a contract and classifies them as breaking or not.
//!
//! drift, the library that Oxide uses for its own contracts, finds and classifies the changes. This module adds what drift
//! ignores or does not classify: new fields and failures, which is how a contract grows; operation ids, error codes,
//! headers, security, servers, and texts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use contract::paths::{Operation, error_codes, operations};
use drift::{Change, ChangeClass};
use serde_json::Value;

use crate::document::Contract;
use crate::events::as_answers;

/// From this `info.version` on, a contract only grows within `/api/v1`.
const FROZEN_FROM: semver::Version = semver::Version::new(1, 0, 0);

/// The changes of one contract, in Markdown.
#[derive(Debug, PartialEq)]
pub struct Difference {
    /// The text; empty without changes.
    pub markdown: String,
    /// Whether there is a breaking change of a frozen contract.
    pub forbidden: bool,
}

/// Compares each contract of the checkout at `root` with git's `revision`.
pub fn differences(root: &Path, contracts: &[Contract], revision: &str) -> Result<Vec<Difference>> {
    let commit = format!("{revision}^{{commit}}");
    if git(root, &["rev-parse", "--verify", "--quiet", &commit]).is_err() {
        bail!("git has no revision `{revision}` here");
    }
    // Relative to `root`, which need not be the root of the repository.
    let listed = git(root, &["ls-tree", "-r", "--name-only", revision, "openapi/"])?;
    let mut earlier: BTreeSet<&str> = listed.lines().collect();
    let mut differences = Vec::new();
    for Document { title, path, is_events } in contracts.iter().flat_map(Document::all) {
        let new = std::fs::read_to_string(root.join(&path)).with_context(|| format!("cannot read {path}"))?;
        differences.push(if earlier.remove(path.as_str()) {
            let old = git(root, &["show", &format!("{revision}:./{path}")])?;
            let compare = if is_events { compare_events } else { compare };
            compare(&title, &serde_json::from_str(&old)?, &serde_json::from_str(&new)?)?
        } else {
            Difference { markdown: format!("# {title}\n\nNew.\n"), forbidden: false }
        });
    }
    for path in earlier {
        let old: Value = serde_json::from_str(&git(root, &["show", &format!("{revision}:./{path}")])?)?;
        let markdown = format!("# {path}\n\n## Breaking\n\n- the whole contract is gone\n");
        differences.push(Difference { markdown, forbidden: is_frozen(&old) });
    }
    Ok(differences)
}

/// A document of a contract.
struct Document {
    /// The name of the service, and of what it describes if that is not its operations.
    title: String,
    /// Relative to the workspace.
    path: String,
    is_events: bool,
}

impl Document {
    /// Every document of `contract`.
    fn all(contract: &Contract) -> Vec<Self> {
        let path = contract.document_path().display().to_string();
        let mut all = vec![Self { title: contract.service.to_owned(), path, is_events: false }];
        if contract.events.is_some() {
            let path = contract.event_document_path().display().to_string();
            all.push(Self { title: format!("{} events", contract.service), path, is_events: true });
        }
        all
    }
}

fn git(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("git").arg("-C").arg(root).args(arguments).output();
    let output = output.context("git cannot be run; it is needed to read another revision")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// The changes from `old` to `new`.
pub fn compare(service: &str, old: &Value, new: &Value) -> Result<Difference> {
    let (mut breaking, mut harmless) = (BTreeSet::new(), BTreeSet::new());
    let mut comparable = new.clone();
    harmless.extend(remove_new_fields(old, &mut comparable));
    harmless.extend(remove_new_failures(old, &mut comparable));
    harmless.extend(remove_new_promises(old, &mut comparable));
    harmless.extend(remove_new_options(old, &mut comparable));
    for change in drift::compare(old, &comparable)? {
        let location = location(&change);
        for info in &change.changes {
            let line = format!("- {location}: {}\n", info.message);
            match info.class {
                ChangeClass::ForwardIncompatible | ChangeClass::Trivial => harmless.insert(line),
                // A person must evaluate what drift cannot.
                ChangeClass::BackwardIncompatible | ChangeClass::Incompatible | ChangeClass::Unhandled => {
                    breaking.insert(line)
                }
            };
        }
    }
    if old["security"] != new["security"] {
        breaking.insert("- the authorization changed (`security`)\n".to_owned());
    }
    if old["servers"] != new["servers"] {
        harmless.insert("- the `servers` changed, from which some clients take their base URL\n".to_owned());
    }
    if old["info"]["description"] != new["info"]["description"] {
        harmless.insert("- the description was reworded\n".to_owned());
    }
    let new_operations: BTreeMap<_, _> = by_location(new).collect();
    for (location, before) in by_location(old) {
        let Some(after) = new_operations.get(&location) else { continue };
        let (broken, reworded) = compare_operation(&location, before, after);
        breaking.extend(broken);
        harmless.extend(reworded);
    }

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
    Ok(Difference { markdown, forbidden: is_frozen(old) && !breaking.is_empty() })
}

/// The changes from `old` to `new`, two documents of events: a consumer reads an event as a client reads an answer.
pub fn compare_events(title: &str, old: &Value, new: &Value) -> Result<Difference> {
    let mut difference = compare(title, &as_answers(old), &as_answers(new))?;
    let moved: String = old["channels"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(name, before)| {
            let after = &new["channels"][*name];
            !after.is_null() && ["address", "bindings"].iter().any(|part| before[*part] != after[*part])
        })
        .map(|(name, _)| format!("- `{name}`: the channel is another one, which no consumer is bound to\n"))
        .collect();
    if !moved.is_empty() {
        write!(difference.markdown, "\n## Breaking\n\n{moved}")?;
        difference.forbidden |= is_frozen(old);
    }
    Ok(difference)
}

fn is_frozen(document: &Value) -> bool {
    semver::Version::parse(version(document)).is_ok_and(|version| version >= FROZEN_FROM)
}

/// The operations of a document by method and path.
fn by_location(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    operations(document).map(|Operation { path, method, value }| (format!("`{} {path}`", method.to_uppercase()), value))
}

/// The changes of an operation that drift ignores: its id, authorization, error codes, headers and texts. Returns the
/// breaking and the other ones.
fn compare_operation(location: &str, old: &Value, new: &Value) -> (Vec<String>, Vec<String>) {
    let (mut breaking, mut harmless) = (Vec::new(), Vec::new());
    if old["operationId"] != new["operationId"] {
        breaking.push(format!(
            "- {location}: the operation id is now {}, which renames it in clients\n",
            new["operationId"]
        ));
    }
    if old["security"] != new["security"] {
        breaking.push(format!("- {location}: the authorization changed (`security`)\n"));
    }
    let mut reworded = ["summary", "description"].iter().any(|text| old[text] != new[text]);
    for (status, before) in old["responses"].as_object().into_iter().flatten() {
        let Some(after) = new["responses"].get(status) else { continue };
        for header in names(&before["headers"]).difference(&names(&after["headers"])) {
            breaking.push(format!("- {location}: {status} no longer has the header `{header}`\n"));
        }
        let codes = |response| error_codes(status, response).collect::<BTreeSet<_>>();
        for code in codes(before).difference(&codes(after)) {
            breaking.push(format!("- {location}: {status} `{code}` no longer happens\n"));
        }
        for code in codes(after).difference(&codes(before)) {
            harmless.push(format!("- {location}: {status} `{code}` may happen\n"));
        }
        reworded |= before["description"] != after["description"];
    }
    if reworded {
        harmless.push(format!("- {location}: the description was reworded\n"));
    }
    (breaking, harmless)
}

fn names(object: &Value) -> BTreeSet<String> {
    object.as_object().into_iter().flat_map(|fields| fields.keys().cloned()).collect()
}

/// Removes the failures from `new` that an operation did not have, and lists them: clients treat an unknown status by its
/// class, and the body is the same.
fn remove_new_failures(old: &Value, new: &mut Value) -> Vec<String> {
    let mut removed = Vec::new();
    for (path, item) in new["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let Some(known) = old["paths"][path][method]["responses"].as_object() else { continue };
            let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { continue };
            let is_error = |response: &Value| {
                response["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/Error"
            };
            let added: Vec<String> = responses
                .iter()
                .filter(|(status, response)| !known.contains_key(*status) && is_error(response))
                .map(|(status, _)| status.clone())
                .collect();
            for status in added {
                responses.shift_remove(&status);
                removed.push(format!("- `{} {path}`: {status} may happen\n", method.to_uppercase()));
            }
        }
    }
    removed
}

/// Removes the new fields from `new` that break no client, and lists them: any field of an answer, since clients ignore
/// unknown fields, and an optional field of a request.
fn remove_new_fields(old: &Value, new: &mut Value) -> Vec<String> {
    let sent = sent_schemas(new);
    let mut removed = Vec::new();
    for (name, schema) in new["components"]["schemas"].as_object_mut().into_iter().flatten() {
        let Some(old_fields) = old["components"]["schemas"][name]["properties"].as_object() else { continue };
        let required: Vec<Value> = schema["required"].as_array().cloned().unwrap_or_default();
        let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) else { continue };
        let harmless = |field: &String| !(sent.contains(name) && required.contains(&Value::from(field.as_str())));
        let added: Vec<String> =
            fields.keys().filter(|f| !old_fields.contains_key(*f) && harmless(f)).cloned().collect();
        for field in &added {
            fields.shift_remove(field);
            removed.push(format!("- `schemas/{name}`: the field `{field}` is new\n"));
        }
        if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|field| !added.iter().any(|name| field == name));
        }
    }
    removed
}

/// Removes from `new` that a known field of an answer is always there now, and lists it: no client minds.
fn remove_new_promises(old: &Value, new: &mut Value) -> Vec<String> {
    let sent = sent_schemas(new);
    let mut removed = Vec::new();
    for (name, schema) in new["components"]["schemas"].as_object_mut().into_iter().flatten() {
        let before = &old["components"]["schemas"][name];
        let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) else { continue };
        if sent.contains(name) || before["properties"].is_null() {
            continue;
        }
        let promised = before["required"].as_array().cloned().unwrap_or_default();
        required.retain(|required| {
            let field = required.as_str().unwrap_or_default();
            let is_new = !promised.contains(required) && !before["properties"][field].is_null();
            if is_new {
                removed.push(format!("- `schemas/{name}`: the field `{field}` is always there\n"));
            }
            !is_new
        });
    }
    removed
}

/// Removes from `new` that a known field of a request may be left out now, and lists it: who sends it still may.
fn remove_new_options(old: &Value, new: &mut Value) -> Vec<String> {
    let (sent, answered) = (sent_schemas(new), answered_schemas(new));
    let mut removed = Vec::new();
    for (name, schema) in new["components"]["schemas"].as_object_mut().into_iter().flatten() {
        let Some(before) = old["components"]["schemas"][name]["required"].as_array() else { continue };
        if !sent.contains(name) || answered.contains(name) {
            continue;
        }
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let is_optional = |field: &&Value| {
            !required.contains(field) && !schema["properties"][field.as_str().unwrap_or_default()].is_null()
        };
        let options: Vec<&Value> = before.iter().filter(is_optional).collect();
        removed.extend(options.iter().map(|field| {
            format!("- `schemas/{name}`: the field `{}` may be left out\n", field.as_str().unwrap_or_default())
        }));
        if !options.is_empty() {
            let kept = |field: &&Value| required.contains(field) || options.contains(field);
            let added = required.iter().filter(|field| !before.contains(field));
            schema["required"] = before.iter().filter(kept).chain(added).cloned().collect();
        }
    }
    removed
}

/// The names of the schemas in requests.
fn sent_schemas(document: &Value) -> BTreeSet<String> {
    let parts = operations(document)
        .flat_map(|operation| [&operation.value["requestBody"], &operation.value["parameters"]])
        .collect();
    schemas_in(document, parts)
}

/// The names of the schemas in answers.
fn answered_schemas(document: &Value) -> BTreeSet<String> {
    schemas_in(document, operations(document).map(|operation| &operation.value["responses"]).collect())
}

/// The names of the schemas that the values in `open` refer to, directly or not.
fn schemas_in<'a>(document: &'a Value, mut open: Vec<&'a Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    while let Some(value) = open.pop() {
        let reference = value.get("$ref").and_then(Value::as_str).and_then(|r| r.strip_prefix("#/components/schemas/"));
        if let Some(name) = reference
            && found.insert(name.to_owned())
        {
            open.push(&document["components"]["schemas"][name]);
        }
        open.extend(value.as_object().into_iter().flat_map(|fields| fields.values()));
        open.extend(value.as_array().into_iter().flatten());
    }
    found
}

fn version(document: &Value) -> &str {
    document["info"]["version"].as_str().unwrap_or_default()
}

/// The location of a change: an operation or a component.
fn location(change: &Change) -> String {
    let pointer = change.paths.first().map(|path| path.new.current_pointer().to_owned()).unwrap_or_default();
    format!("`{}`", pointer.replace("~1", "/").replace("~0", "~").replace("#/paths/", "").replace("#/components/", ""))
}

/// Fails unless the newest entry of each document in `docs/api-changelog.md` names its version.
pub fn check_changelog(root: &Path, contracts: &[Contract]) -> Result<()> {
    let path = "docs/api-changelog.md";
    let text = std::fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
    for contract in contracts {
        let texts = [Some(&contract.document), contract.events.as_ref()].into_iter().flatten();
        for (Document { title, .. }, document) in Document::all(contract).into_iter().zip(texts) {
            let document: Value = serde_json::from_str(document)?;
            let wanted = format!("### {} ", version(&document));
            let mut lines = text.lines().skip_while(|line| *line != format!("## {title}")).skip(1);
            let newest = lines.find(|line| line.starts_with("##")).unwrap_or_default();
            if !format!("{newest} ").starts_with(&wanted) {
                bail!(
                    "{path}: the newest entry of {title} is `{newest}`, but its document has the version {}.\nAdd an \
                     entry `{wanted}- DATE` below `## {title}` that tells readers of the API what changed.",
                    version(&document),
                );
            }
        }
    }
    Ok(())
}
