//! The commands of a contract for the command line `orders`, by progenitor from the document.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use progenitor::{GenerationSettings, Generator, InterfaceStyle};
use serde_json::{Value, json};

use crate::client::format;

/// Where an option begins that progenitor announces and that does nothing, and where it ends.
const UNFINISHED_OPTION: [&str; 2] = [
    r#"
            .arg(
                ::clap::Arg::new("json-body-template")"#,
    r#"
            )"#,
];

/// The commands that `document` makes of `service`, whose client is the crate `client`.
pub(crate) fn generate(service: &str, client: &str, document: &str) -> Result<String> {
    let mut document: Value = serde_json::from_str(document)?;
    let longest_page = limit_lists_not_pages(&mut document)?;
    let entries = entries(service, &document)?;
    let spec = serde_json::from_value(document).context("the document is not OpenAPI 3.0")?;
    let mut settings = GenerationSettings::default();
    settings.with_interface(InterfaceStyle::Builder);
    let commands = Generator::new(&settings).cli(&spec, &client.replace('-', "_"))?;
    let mut code = format(&format!("{commands} {entries}"))?;

    // Nothing reads the schemas of the types, and to have them would burden every user of the clients.
    replace(&mut code, "schemars::JsonSchema + ", "")?;
    if code.contains("json-body") {
        cut(&mut code, UNFINISHED_OPTION)?;
    }
    if let Some(longest) = longest_page {
        let page = format!("request.limit(u64::from(value.get()).min({longest}))");
        replace(&mut code, "request.limit(value.clone())", &page)?;
    }
    Ok(code)
}

/// Replaces every `from`, of which there must be one: a newer progenitor may have mended what it is replaced for.
fn replace(code: &mut String, from: &str, to: &str) -> Result<()> {
    ensure!(code.contains(from), "progenitor no longer makes what is to be replaced in its commands: {from}");
    *code = code.replace(from, to);
    Ok(())
}

/// Cuts out everything from a `begin` to the next `end`, of which there must be one.
fn cut(code: &mut String, [begin, end]: [&str; 2]) -> Result<()> {
    let mut parts = code.split(begin);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    ensure!(kept.len() < code.len(), "progenitor no longer makes what is to be cut out of its commands: {begin}");
    for part in parts {
        kept += part.split_once(end).with_context(|| format!("there is no end to what begins with {begin}"))?.1;
    }
    *code = kept;
    Ok(())
}

/// What the program needs of the document beside what progenitor takes from it: where each command stands, and which
/// options a file with the whole body stands for.
fn entries(service: &str, document: &Value) -> Result<String> {
    let mut arms = String::new();
    for operation in operations(document) {
        let id = operation["operationId"].as_str().context("an operation has no operationId")?;
        let (noun, verb) = id.split_once('_').unwrap_or((service, id));
        let tags = document["tags"].as_array().into_iter().flatten();
        let tag = tags.into_iter().find(|tag| tag["name"] == operation["tags"][0]);
        let group = tag.and_then(|tag| tag["description"].as_str()).with_context(|| format!("{id} has no tag"))?;
        arms += &format!(
            "Self::{} => crate::command::Entry {{ noun: {:?}, group: {group:?}, verb: {:?}, \
             body: &{:?} }},",
            id.split('_').map(capitalized).collect::<String>(),
            kebab(noun),
            kebab(verb),
            body_fields(document, operation),
        );
    }
    Ok(format!("impl CliCommand {{ pub fn entry(self) -> crate::command::Entry {{ match self {{ {arms} }} }} }}"))
}

/// Makes `limit` of lists what progenitor takes it for, the number of items in all, of the one type it takes for that.
/// Answers with the longest page of the contract.
fn limit_lists_not_pages(document: &mut Value) -> Result<Option<u64>> {
    let original = document.clone();
    let mut longest = BTreeSet::new();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for operation in paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut()) {
        if operation.get("x-dropshot-pagination").is_none() {
            continue;
        }
        let items = operation["tags"][0].as_str().unwrap_or("items").to_owned();
        let parameters = operation["parameters"].as_array_mut().into_iter().flatten();
        for limit in parameters.filter(|parameter| parameter["name"] == "limit") {
            let maximum = resolved(&original, &limit["schema"])["maximum"].as_u64();
            longest.insert(maximum.context("the limit of a list has no maximum")?);
            limit["schema"] = json!({"type": "integer", "format": "uint32", "minimum": 1});
            limit["description"] = format!("The most {items} to print; all if absent.").into();
        }
    }
    ensure!(longest.len() <= 1, "the lists of one document have pages of different lengths: {longest:?}");
    Ok(longest.pop_first())
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
    paths.filter_map(Value::as_object).flat_map(|path| path.values())
}

/// The fields of the operation's body, as options, each with whether it is required.
fn body_fields(document: &Value, operation: &Value) -> Vec<(String, bool)> {
    let schema = operation.pointer("/requestBody/content/application~1json/schema");
    let Some(schema) = schema.map(|schema| resolved(document, schema)) else { return Vec::new() };
    let fields = schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys());
    let is_required = |field: &String| schema["required"].as_array().is_some_and(|all| all.iter().any(|f| f == field));
    fields.map(|field| (kebab(field), is_required(field))).collect()
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|reference| document.pointer(reference.trim_start_matches('#')));
    target.unwrap_or(schema)
}

fn kebab(name: &str) -> String {
    name.replace('_', "-")
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_uppercase() + rest
}
