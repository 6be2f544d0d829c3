//! What the templates of a client crate need to know about its contract.

use anyhow::{Context, Result};
use contract::paths::{operations, resolved};
use serde_json::Value;

use super::error_codes::{ErrorCode, error_codes};
use crate::document::Contract;
use crate::template::fill;

/// The values of the templates' placeholders.
pub(crate) struct Outline(Vec<(&'static str, String)>);

impl Outline {
    /// The outline of `contract`, which must have a `GET` operation with one path parameter of a named type and a 404 with
    /// an `error_code`: the examples read with it.
    pub(crate) fn new(contract: &Contract, document: &Value) -> Result<Self> {
        let read = Read::find(document).context(
            "the client's examples need a GET operation with one path parameter of a named type and a documented 404",
        )?;
        let mut outline = Self(vec![
            ("document", contract.document_path().display().to_string()),
            ("service", contract.service.to_owned()),
            ("client", contract.client()),
            ("module", contract.client().replace('-', "_")),
            ("base_url", Contract::local_url(document).to_owned()),
            ("read", read.id.to_owned()),
            ("read_builder", read.id.split('_').map(crate::text::capitalized).collect()),
            ("read_parameter", read.parameter.to_owned()),
            ("read_call", format!("{}().{}({})", read.id, read.parameter, read.value)),
            ("read_path", read.path.replace(&format!("{{{}}}", read.parameter), read.value.trim_matches('"'))),
            ("read_value", read.value.clone()),
            ("read_example", read.example.to_string()),
            ("read_missing", read.missing.to_uppercase()),
            ("read_scenario", scenario(read.missing)),
        ]);
        let list = operations(document).find(|operation| operation.value.get("x-dropshot-pagination").is_some());
        if let Some(list) = list {
            outline.0.push(("list", list.id().unwrap_or_default().to_owned()));
            outline.add_section("lists", include_str!("templates/lists.txt"))?;
            outline.add_section("list_section", include_str!("templates/list.md"))?;
        } else {
            outline.0.extend([("lists", String::new()), ("list_section", String::new())]);
        }
        if let Some((id, body)) = creation(document, &contract.client().replace('-', "_")) {
            outline.0.extend([("create", id.to_owned()), ("create_body", body)]);
            let section = outline.fill(include_str!("templates/create.md"))?;
            outline.0.retain(|(name, _)| *name != "create");
            outline.0.push(("create", section));
        } else {
            outline.0.push(("create", String::new()));
        }
        outline.add_scenarios(document)?;
        Ok(outline)
    }

    /// `template` with every placeholder replaced.
    pub(crate) fn fill(&self, template: &str) -> Result<String> {
        fill(template, &self.0)
    }

    /// Adds a value, for placeholders that come from generated code.
    pub(crate) fn with(mut self, name: &'static str, value: String) -> Self {
        self.0.push((name, value));
        self
    }

    fn add_section(&mut self, name: &'static str, template: &str) -> Result<()> {
        let section = self.fill(template)?;
        self.0.push((name, section));
        Ok(())
    }

    /// A scenario for each code of a 404, on the first operation that documents it.
    fn add_scenarios(&mut self, document: &Value) -> Result<()> {
        let (mut declarations, mut definitions) = (String::new(), String::new());
        for (code, ErrorCode { operation, when, .. }) in
            error_codes(document).into_iter().filter(|(_, code)| code.status == "404")
        {
            let values = [
                ("scenario", scenario(code)),
                ("operation", operation.to_owned()),
                ("code", code.to_owned()),
                ("when", when.to_owned()),
            ];
            declarations += &fill(include_str!("templates/missing_declaration.rs"), &values)?;
            definitions += &fill(include_str!("templates/missing_definition.rs"), &values)?;
        }
        self.0.extend([("missing_declarations", declarations), ("missing_definitions", definitions)]);
        Ok(())
    }
}

/// The operation that the examples read with.
struct Read<'a> {
    id: &'a str,
    path: &'a str,
    parameter: &'a str,
    /// A Rust literal of the parameter.
    value: String,
    example: &'a Value,
    /// The code of its 404.
    missing: &'a str,
}

impl<'a> Read<'a> {
    fn find(document: &'a Value) -> Option<Self> {
        operations(document).filter(|operation| operation.method == "get").find_map(|operation| {
            let value = operation.value;
            let mut parameters = value["parameters"].as_array()?.iter().filter(|p| p["in"] == "path");
            let (parameter, None) = (parameters.next()?, parameters.next()) else { return None };
            parameter["schema"].get("$ref")?;
            let codes = value["responses"]["404"]["content"]["application/json"]["examples"].as_object()?;
            Some(Self {
                id: operation.id()?,
                path: operation.path,
                parameter: parameter["name"].as_str()?,
                value: resolved(document, &parameter["schema"])["example"].to_string(),
                example: value["responses"]["200"]["content"]["application/json"].get("example")?,
                missing: codes.keys().next()?,
            })
        })
    }
}

/// The first creation with an idempotency key: its id, and the call that sets its body.
fn creation<'a>(document: &'a Value, module: &str) -> Option<(&'a str, String)> {
    operations(document).find_map(|operation| {
        let value = operation.value;
        let parameters = value["parameters"].as_array()?;
        parameters.iter().find(|parameter| parameter["name"] == "Idempotency-Key")?;
        value["responses"]["201"].as_object()?;
        let content = value.pointer("/requestBody/content/application~1json")?;
        let (schema, example) = (&content["schema"], content.get("example")?);
        Some((operation.id()?, body(document, module, schema, example)?))
    })
}

/// `.body_map(…)` with the fields of `example` as literals, or `.body(…)` with JSON where one is not a named scalar.
fn body(document: &Value, module: &str, schema: &Value, example: &Value) -> Option<String> {
    let kind = schema["$ref"].as_str()?.rsplit('/').next()?;
    let properties = &resolved(document, schema)["properties"];
    let mut setters = String::new();
    for (field, value) in example.as_object()? {
        let is_named = properties[field].get("$ref").is_some();
        let fits = value.is_string() || value.as_i64().is_some_and(|number| i32::try_from(number).is_ok());
        if !(is_named && fits) {
            return Some(format!(
                ".body(serde_json::from_str::<{module}::types::{kind}>(r##\"{example}\"##).unwrap())"
            ));
        }
        setters += &format!(".{field}({value})");
    }
    Some(format!(".body_map(|body| body{setters})"))
}

/// The scenario in which `code` is answered: `unknown_user` for `user_not_found`.
fn scenario(code: &str) -> String {
    code.strip_suffix("_not_found").map_or_else(|| code.to_owned(), |noun| format!("unknown_{noun}"))
}
