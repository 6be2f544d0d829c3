//! What other teams' tools need of every document.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use contract::paths::{Operation, operations};
use openapi_manager::contracts;
use serde_json::Value;

/// Runs `check` with the name of each service and its document.
fn for_each_document(check: impl Fn(&str, &Value)) {
    for contract in contracts().unwrap() {
        check(contract.service, &serde_json::from_str(&contract.document).unwrap());
    }
}

/// As [`for_each_document`], with the documents of events too.
fn for_each_schema(check: impl Fn(&str, &Value)) {
    for_each_document(&check);
    for contract in contracts().unwrap() {
        if let Some(events) = contract.events {
            check(contract.service, &serde_json::from_str(&events).unwrap());
        }
    }
}

/// Every object in `value`, itself included.
fn objects(value: &Value) -> Vec<&Value> {
    let inner = value.as_object().into_iter().flat_map(|fields| fields.values());
    let inner = inner.chain(value.as_array().into_iter().flatten()).flat_map(objects);
    value.is_object().then_some(value).into_iter().chain(inner).collect()
}

#[test]
fn every_error_has_a_code_and_the_known_ones_are_listed() {
    for_each_document(|service, document| {
        let schemas = &document["components"]["schemas"];
        let required = schemas["Error"]["required"].as_array().unwrap();
        assert!(required.iter().any(|field| field == "error_code"), "{service}: {required:?}");
        assert_eq!(schemas["Error"]["properties"]["error_code"]["enum"], Value::Null, "{service} closes the set");
        let known = schemas["ErrorCode"]["enum"].as_array().unwrap();
        for code in ["not_found", "method_not_allowed", "invalid_path", "invalid_request", "internal_error"] {
            assert!(known.iter().any(|one| one == code), "{service}: {code} is not in {known:?}");
        }
    });
}

#[test]
fn every_integer_has_a_format() {
    for_each_schema(|service, document| {
        for schema in objects(document).into_iter().filter(|schema| schema["type"] == "integer") {
            assert!(schema["format"].is_string(), "{service}: {schema}");
        }
    });
}

#[test]
fn no_type_is_behind_an_all_of() {
    for_each_schema(|service, document| {
        // In OpenAPI 3.0 nothing else can say that a field with a type by reference is deprecated.
        for schema in objects(document).into_iter().filter(|schema| schema["deprecated"] != true) {
            assert!(schema.get("allOf").is_none(), "{service}: {schema}");
        }
    });
}

#[test]
fn a_parameter_has_an_example_if_it_has_no_effect() {
    let have_an_effect = ["limit", "page_token", "Idempotency-Key", "If-Match", "If-None-Match"];
    for_each_document(|service, document| {
        for Operation { path, value, .. } in operations(document) {
            for parameter in value["parameters"].as_array().into_iter().flatten() {
                let has_effect = have_an_effect.iter().any(|name| parameter["name"] == *name);
                assert_eq!(parameter.get("example").is_none(), has_effect, "{service} {path}: {parameter}");
                assert!(objects(parameter).iter().all(|schema| schema.get("default").is_none()), "{service} {path}");
            }
        }
    });
}

#[test]
fn every_list_shows_a_page_that_has_a_next_one() {
    for_each_document(|service, document| {
        let is_list = |operation: &Operation<'_>| operation.value.get("x-dropshot-pagination").is_some();
        let lists: Vec<_> = operations(document).filter(is_list).collect();
        assert!(!lists.is_empty(), "{service}");
        for Operation { path, value, .. } in lists {
            let examples = &value["responses"]["200"]["content"]["application/json"]["examples"];
            let pages = examples.as_object().unwrap().values();
            let has_next = |page: &&Value| page["value"]["next_page"].is_string();
            assert_eq!(pages.filter(has_next).count(), 1, "{service} {path}: {examples}");
        }
    });
}
