//! Conventions of all documents: what is done to each alike, and what none may contain.

use serde_json::Value;

use crate::paths::{Operation, operations, resolved};

/// The parameters that every list has.
const PAGING: [&str; 2] = ["limit", "page_token"];

/// A convention that an operation breaks.
#[derive(Debug)]
pub(crate) struct Breach {
    /// The operation.
    pub(crate) operation: String,
    /// What is wrong, and what to do about it.
    pub(crate) problem: String,
}

/// Replaces `allOf` with a single reference by the reference itself: many tools lose the type behind an `allOf`. In
/// OpenAPI 3.0 a reference has no description, so that of the property moves to the object's.
pub(crate) fn refer_directly(document: &mut Value) {
    let original = document.clone();
    for schema in document["components"]["schemas"].as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
        let mut texts = Vec::new();
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (name, property) in properties.into_iter().flatten() {
            let Some(reference) = only_reference(property).cloned() else { continue };
            let text = &property["description"];
            if let Some(text) = text.as_str().filter(|_| *text != resolved(&original, &reference)["description"]) {
                texts.push(format!("- `{name}`: {text}"));
            }
            *property = reference;
        }
        if let (false, Some(description)) = (texts.is_empty(), schema["description"].as_str()) {
            schema["description"] = format!("{description}\n\n{}", texts.join("\n")).into();
        }
    }
}

/// The reference that `property` consists of, besides its description.
fn only_reference(property: &Value) -> Option<&Value> {
    let is_plain = property.as_object()?.keys().all(|key| ["allOf", "description"].contains(&key.as_str()));
    match property["allOf"].as_array()?.as_slice() {
        [reference] if is_plain && reference.get("$ref").is_some() => Some(reference),
        _ => None,
    }
}

/// Shows the examples of schemas at the parameters too, where tools that make requests of a document look for them.
pub(crate) fn show_parameter_examples(document: &mut Value) {
    let original = document.clone();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    let parameters = operations.filter_map(|operation| operation.get_mut("parameters")?.as_array_mut()).flatten();
    for parameter in parameters.filter_map(Value::as_object_mut) {
        let example = parameter.get("schema").map(|schema| &resolved(&original, schema)["example"]);
        if let Some(example) = example.filter(|example| !example.is_null()).cloned() {
            parameter.insert("example".to_owned(), example);
        }
    }
}

/// Checks what no document may contain.
pub(crate) fn check(document: &Value) -> Result<(), Breach> {
    for operation in operations(document) {
        let broken = broken_by_parameters(document, &operation).or_else(|| broken_by_body(document, &operation));
        if let Some(problem) = broken {
            return Err(Breach { operation: operation.id().unwrap_or_default().to_owned(), problem });
        }
    }
    Ok(())
}

/// Tools send what a parameter shows. An absent parameter means something of its own, so it must not show a default; and
/// where the value has an effect, as a page length has on the pages and a key on all who send it, no example either.
/// Among optional parameters only the filters of lists have one.
fn broken_by_parameters(document: &Value, operation: &Operation<'_>) -> Option<String> {
    for parameter in operation.value["parameters"].as_array()? {
        let (name, schema) = (&parameter["name"], resolved(document, &parameter["schema"]));
        if schema.get("default").is_some() {
            return Some(format!("its parameter {name} has a default, which clients send: describe it in words"));
        }
        let is_optional = parameter["required"] != true;
        let is_in_get_query = operation.method == "get" && parameter["in"] == "query";
        let is_filter = is_in_get_query && !PAGING.iter().any(|paging| name == paging);
        if is_optional && !is_filter && schema.get("example").is_some() {
            return Some(format!(
                "its parameter {name} has an example, which tools send with every request: remove it"
            ));
        }
    }
    None
}

/// A body that accepts unknown fields would silently ignore a misspelt one.
fn broken_by_body(document: &Value, operation: &Operation<'_>) -> Option<String> {
    let schema = operation.value.pointer("/requestBody/content/application~1json/schema")?;
    (resolved(document, schema)["additionalProperties"] != false)
        .then(|| format!("{} accepts unknown fields: add `#[serde(deny_unknown_fields)]`", schema["$ref"]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    /// A document with one operation, `thing_do`, with this method and parameter.
    fn document(method: &str, parameter: Value) -> Value {
        let operation = json!({ "operationId": "thing_do", "parameters": [parameter] });
        json!({
            "paths": { "/things": Map::from_iter([(method.to_owned(), operation)]) },
            "components": { "schemas": {
                "Key": { "type": "string", "example": "k" },
                "Size": { "type": "integer", "default": 100 },
                "Name": { "description": "A name.", "type": "string" },
                "Thing": { "description": "A thing.", "type": "object", "properties": {
                    "key": { "description": "Its key.", "allOf": [{ "$ref": "#/components/schemas/Key" }] },
                    "name": { "description": "A name.", "allOf": [{ "$ref": "#/components/schemas/Name" }] },
                } },
            } },
        })
    }

    fn optional(name: &str, schema: &str) -> Value {
        json!({ "in": "query", "name": name, "schema": { "$ref": format!("#/components/schemas/{schema}") } })
    }

    #[test]
    fn no_parameter_has_a_default() {
        let breach = check(&document("get", optional("size", "Size"))).unwrap_err();
        assert!(breach.operation == "thing_do" && breach.problem.contains("\"size\" has a default"), "{breach:?}");
    }

    #[test]
    fn an_optional_parameter_with_an_effect_has_no_example() {
        for (method, name) in [("post", "key"), ("delete", "key"), ("get", "limit")] {
            let breach = check(&document(method, optional(name, "Key"))).unwrap_err();
            assert!(breach.problem.contains("has an example"), "{method} {name}: {breach:?}");
        }
        assert!(check(&document("get", optional("filter", "Key"))).is_ok());
        let mut required = optional("id", "Key");
        required["required"] = true.into();
        assert!(check(&document("post", required)).is_ok());
    }

    #[test]
    fn a_property_refers_directly_and_keeps_its_text() {
        let mut document = document("get", optional("filter", "Key"));
        refer_directly(&mut document);
        let thing = &document["components"]["schemas"]["Thing"];
        assert_eq!(thing["description"], "A thing.\n\n- `key`: Its key.");
        assert_eq!(thing["properties"]["key"], json!({ "$ref": "#/components/schemas/Key" }));
        assert_eq!(thing["properties"]["name"], json!({ "$ref": "#/components/schemas/Name" }));
    }

    #[test]
    fn a_parameter_shows_the_example_of_its_type() {
        let mut document = document("get", optional("filter", "Key"));
        show_parameter_examples(&mut document);
        assert_eq!(document["paths"]["/things"]["get"]["parameters"][0]["example"], "k");
    }
}
