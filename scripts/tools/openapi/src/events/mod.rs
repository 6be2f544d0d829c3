//! The crate for consumers of a service's events: the types by typify, the rest from templates.

mod outline;

use anyhow::{Context, Result};
use schemars::schema::Schema;
use serde_json::{Map, Value, json};
use typify::{TypeSpace, TypeSpacePatch, TypeSpaceSettings};

use crate::client::{INTEGER_DERIVES, conversions, integers};
use crate::document::Contract;
use crate::text::format_with;
use outline::Outline;

/// Crates that a generated crate depends on only if its code names them: the name in code, the line in its manifest.
const DEPENDENCIES: &[(&str, &str)] = &[("regress::", "regress.workspace = true\n")];

/// The files of the crate for consumers of the events in `document`: path in the crate, content.
pub(crate) fn generate(contract: &Contract, document: &str) -> Result<Vec<(&'static str, String)>> {
    let document: Value = serde_json::from_str(document)?;
    let outline = Outline::new(contract, &document)?;
    let types = types(&document)?;
    let code = format_with(&outline.notice(), &types.to_string())?;
    let code = [code, conversions(&integers(&document)?)].join("\n");
    let dependencies = DEPENDENCIES.iter().filter(|(name, _)| code.contains(name)).map(|(_, line)| *line);
    let outline = outline.with("dependencies", dependencies.collect());
    Ok(vec![
        ("Cargo.toml", outline.fill(include_str!("templates/Cargo.toml"))?),
        ("src/lib.rs", outline.fill(include_str!("templates/lib.rs"))?),
        ("src/generated/event.rs", outline.fill(include_str!("templates/event.rs"))?),
        ("src/generated/handler.rs", outline.fill(include_str!("templates/handler.rs"))?),
        ("src/generated/samples.rs", outline.fill(include_str!("templates/samples.rs"))?),
        ("src/generated/types.rs", code),
    ])
}

/// The types of what is in `data`, as the module `types`.
fn types(document: &Value) -> Result<proc_macro2::TokenStream> {
    let sent = sent(document);
    let schemas = document["components"]["schemas"].as_object().cloned().unwrap_or_default();
    let own: Map<String, Value> = schemas.into_iter().filter(|(name, _)| !sent.contains(name)).collect();
    let own = serde_json::to_string(&own)?.replace("#/components/schemas/", "#/definitions/");
    let own: Vec<(String, Schema)> = serde_json::from_str::<Map<String, Value>>(&own)?
        .into_iter()
        .map(|(name, schema)| Ok((name, serde_json::from_value(schema)?)))
        .collect::<Result<_>>()?;
    let mut settings = TypeSpaceSettings::default();
    settings.with_derive("PartialEq".to_owned());
    for name in integers(document)?.keys() {
        let mut patch = TypeSpacePatch::default();
        for derive in INTEGER_DERIVES {
            patch.with_derive(derive);
        }
        settings.with_patch(name, &patch);
    }
    let mut space = TypeSpace::new(&settings);
    space.add_ref_types(own).context("the schemas of the events")?;
    let types = space.to_stream();
    Ok(quote::quote! {
        /// What is in the events.
        pub mod types {
            #types
        }
    })
}

/// The names of the schemas of whole events.
fn sent(document: &Value) -> Vec<String> {
    let messages = document["components"]["messages"].as_object().into_iter().flat_map(|messages| messages.values());
    let names = messages.filter_map(|message| message["payload"]["$ref"].as_str()?.rsplit('/').next());
    names.map(str::to_owned).collect()
}

/// An OpenAPI document in which each event of `document` is what a `GET` answers: an event is read as an answer is, so its
/// changes break a consumer where those of an answer break a client.
pub(crate) fn as_answers(document: &Value) -> Value {
    let messages = document["components"]["messages"].as_object().into_iter().flatten();
    let path = |(name, message): (&String, &Value)| {
        let answer = json!({
            "description": "The event.",
            "content": { "application/json": { "schema": message["payload"] } },
        });
        let operation = json!({
            "operationId": name,
            "summary": message["summary"],
            "description": message["description"],
            "responses": { "200": answer },
        });
        (format!("/{name}"), json!({ "get": operation }))
    };
    json!({
        "openapi": "3.0.3",
        "info": document["info"],
        "paths": messages.map(path).collect::<Map<String, Value>>(),
        "components": { "schemas": document["components"]["schemas"] },
    })
}
