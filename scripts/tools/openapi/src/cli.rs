//! The commands of the contracts for the command line `orders`, by progenitor from the documents.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use contract::paths::{operations, resolved};
use progenitor::{GenerationSettings, Generator, InterfaceStyle};
use serde_json::{Value, json};

use crate::document::Contract;
use crate::text::{NOTICE, capitalized, format};

/// The start and the end of an option that progenitor generates and that has no effect.
const UNFINISHED_OPTION: [&str; 2] = [
    r#"
            .arg(
                ::clap::Arg::new("json-body-template")"#,
    r#"
            )"#,
];

/// The lints that progenitor's commands break.
const LINTS: &str = "#[allow(clippy::all, clippy::unwrap_used, dead_code, elided_lifetimes_in_paths, unreachable_pub, \
                     unused_imports, unused_variables)]";

/// The commands of `contract`.
pub(crate) fn generate(contract: &Contract) -> Result<String> {
    let mut document = contract.for_progenitor()?;
    let max_page = limit_lists_not_pages(&mut document)?;
    let entries = entries(contract.service, &document)?;
    let spec = serde_json::from_value(document).context("the document is not OpenAPI 3.0")?;
    let mut settings = GenerationSettings::default();
    settings.with_interface(InterfaceStyle::Builder);
    let commands = Generator::new(&settings).cli(&spec, &contract.client().replace('-', "_"))?;
    let mut code = format(&format!("{commands} {entries}"))?;

    // Nothing reads the types' schemas, and deriving them would cost every user of the clients a dependency.
    replace(&mut code, "schemars::JsonSchema + ", "")?;
    if code.contains("json-body") {
        cut(&mut code, UNFINISHED_OPTION)?;
    }
    if let Some(max) = max_page {
        let page = format!("request.limit(u64::from(value.get()).min({max}))");
        replace(&mut code, "request.limit(value.clone())", &page)?;
    }
    Ok(code)
}

/// The list of services of the command line.
pub(crate) fn services(contracts: &[Contract]) -> Result<String> {
    let mut out = NOTICE.to_owned();
    let mut entries = String::new();
    for contract in contracts {
        let document: Value = serde_json::from_str(&contract.document)?;
        let url = Contract::local_url(&document);
        let (service, module, client) = (contract.service, snake(contract.service), snake(&contract.client()));
        let (variable, variant) = (module.to_uppercase(), module.split('_').map(capitalized).collect::<String>());
        out += &format!("{LINTS}\npub(crate) mod {module};\n");
        entries +=
            &format!("    {variant} {module} {client} \"{service}\" \"{service}-url\" \"{variable}_URL\" \"{url}\",\n");
    }
    Ok(format!("{out}\ncrate::service::services! {{\n{entries}}}\n"))
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// Replaces every `from`. Fails if there is none: a newer progenitor may have fixed the reason for the replacement.
fn replace(code: &mut String, from: &str, to: &str) -> Result<()> {
    ensure!(code.contains(from), "progenitor no longer generates the code to replace in its commands: {from}");
    *code = code.replace(from, to);
    Ok(())
}

/// Cuts out everything from each `begin` to the next `end`. Fails if there is none.
fn cut(code: &mut String, [begin, end]: [&str; 2]) -> Result<()> {
    let mut parts = code.split(begin);
    let mut rest = parts.next().unwrap_or_default().to_owned();
    ensure!(rest.len() < code.len(), "progenitor no longer generates the code to cut out of its commands: {begin}");
    for part in parts {
        rest += part.split_once(end).with_context(|| format!("the code to cut out has no end: {begin}"))?.1;
    }
    *code = rest;
    Ok(())
}

/// What the program needs of the document beside progenitor's code: the position of each command in the tree, and the
/// options that a file with the whole body replaces.
fn entries(service: &str, document: &Value) -> Result<String> {
    let mut arms = String::new();
    for operation in operations(document) {
        let id = operation.id().context("an operation has no operationId")?;
        let (noun, verb) = id.split_once('_').unwrap_or((service, id));
        let tags = document["tags"].as_array().into_iter().flatten();
        let tag = tags.into_iter().find(|tag| tag["name"] == operation.value["tags"][0]);
        let group = tag.and_then(|tag| tag["description"].as_str()).with_context(|| format!("{id} has no tag"))?;
        arms += &format!(
            "Self::{} => crate::entry::Entry {{ noun: {:?}, group: {group:?}, verb: {:?}, \
             body: &{:?} }},",
            id.split('_').map(capitalized).collect::<String>(),
            kebab(noun),
            kebab(verb),
            body_fields(document, operation.value),
        );
    }
    Ok(format!("impl CliCommand {{ pub fn entry(self) -> crate::entry::Entry {{ match self {{ {arms} }} }} }}"))
}

/// Turns the `limit` of lists into what progenitor takes it for: the total number of items, with the type it expects.
/// Returns the maximum page length of the contract.
fn limit_lists_not_pages(document: &mut Value) -> Result<Option<u64>> {
    let original = document.clone();
    let mut maxima = BTreeSet::new();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for operation in paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut()) {
        if operation.get("x-dropshot-pagination").is_none() {
            continue;
        }
        let items = operation["tags"][0].as_str().unwrap_or("items").to_owned();
        let parameters = operation["parameters"].as_array_mut().into_iter().flatten();
        for limit in parameters.filter(|parameter| parameter["name"] == "limit") {
            let maximum = resolved(&original, &limit["schema"])["maximum"].as_u64();
            maxima.insert(maximum.context("the limit of a list has no maximum")?);
            limit["schema"] = json!({"type": "integer", "format": "uint32", "minimum": 1});
            limit["description"] = format!("The maximum number of {items} to print; all if absent.").into();
        }
    }
    ensure!(maxima.len() <= 1, "the lists of one document have pages of different lengths: {maxima:?}");
    Ok(maxima.pop_first())
}

/// The fields of the operation's body as options, and whether each is required. An object or array is no option: only a
/// file with the whole body has it.
fn body_fields(document: &Value, operation: &Value) -> Vec<(String, bool)> {
    let schema = operation.pointer("/requestBody/content/application~1json/schema");
    let Some(schema) = schema.map(|schema| resolved(document, schema)) else { return Vec::new() };
    let fields = schema["properties"].as_object().into_iter().flatten();
    // What is described has its reference behind an `allOf` for progenitor.
    let is_option = |field: &Value| {
        let reference = field.pointer("/allOf/0").unwrap_or(field);
        let kind = &resolved(document, reference)["type"];
        kind != "object" && kind != "array"
    };
    let fields = fields.filter(|(_, field)| is_option(field)).map(|(name, _)| name);
    let is_required = |field: &String| schema["required"].as_array().is_some_and(|all| all.iter().any(|f| f == field));
    fields.map(|field| (kebab(field), is_required(field))).collect()
}

fn kebab(name: &str) -> String {
    name.replace('_', "-")
}
