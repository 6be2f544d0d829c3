//! `cargo openapi diff`: how it describes a change, and when it forbids one.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::fs;
use std::path::Path;
use std::process::Command;

use openapi_manager::diff::{Difference, check_changelog, compare, compare_events, differences};
use openapi_manager::{contracts, generate, workspace_root};
use serde_json::{Value, json};
use tempfile::TempDir;

fn document() -> Value {
    document_of("order-service")
}

fn document_of(service: &str) -> Value {
    let contracts = contracts().unwrap();
    let contract = contracts.iter().find(|contract| contract.service == service).unwrap();
    serde_json::from_str(&contract.document).unwrap()
}

/// The version of order-service's document.
fn version() -> String {
    version_of("order-service")
}

fn version_of(service: &str) -> String {
    document_of(service)["info"]["version"].as_str().unwrap().to_owned()
}

/// The difference that `edit` makes to order-service's contract at this version.
fn of(version: &str, edit: impl FnOnce(&mut Value)) -> Difference {
    let mut old = document();
    old["info"]["version"] = version.into();
    let mut new = old.clone();
    edit(&mut new);
    compare("order-service", &old, &new).unwrap()
}

fn without_cancel(document: &mut Value) {
    document["paths"].as_object_mut().unwrap().shift_remove("/api/v1/orders/{order_id}/cancel").unwrap();
}

fn breaks(edit: impl Fn(&mut Value)) -> bool {
    of("0.1.0", edit).markdown.contains("## Breaking")
}

#[test]
fn an_unchanged_contract_has_no_differences() {
    assert_eq!(of("1.0.0", |_| ()), Difference { markdown: String::new(), forbidden: false });
}

#[test]
fn a_breaking_change_is_forbidden_from_version_1_on() {
    for (version, forbidden) in [("0.9.9", false), ("1.0.0", true), ("1.4.2", true)] {
        let difference = of(version, without_cancel);
        assert_eq!(difference.forbidden, forbidden, "{version}");
        assert!(difference.markdown.contains("## Breaking"), "{}", difference.markdown);
        assert!(difference.markdown.contains("cancel"), "{}", difference.markdown);
    }
}

#[test]
fn removals_break_and_additions_do_not() {
    let fields = |document: &'_ mut Value, schema: &str, field: &str, required: bool| {
        let schema = &mut document["components"]["schemas"][schema];
        schema["properties"][field] = json!({ "type": "string" });
        if required {
            schema["required"].as_array_mut().unwrap().push(field.into());
        }
    };
    assert!(breaks(|d| fields(d, "OrderCreate", "note", true)), "a required field of a request");
    assert!(!breaks(|d| fields(d, "OrderCreate", "note", false)), "an optional field of a request");
    assert!(!breaks(|d| fields(d, "Order", "note", true)), "a field of an answer");
    let without = |document: &'_ mut Value, schema: &str| {
        let required = document["components"]["schemas"][schema]["required"].as_array_mut().unwrap();
        required.retain(|field| field != "user_id");
    };
    assert!(!breaks(|d| without(d, "OrderCreate")), "a field of a request that may be left out");
    assert!(breaks(|d| without(d, "Order")), "a field of an answer that may be missing");
    assert!(breaks(|d| {
        d["components"]["schemas"]["Order"]["properties"].as_object_mut().unwrap().shift_remove("quantity").unwrap();
    }));
    assert!(breaks(|d| d["components"]["schemas"]["Quantity"]["maximum"] = json!(10)));
    assert!(!breaks(|d| {
        let more = d["paths"]["/api/v1/orders/{order_id}/cancel"].clone();
        d["paths"]["/api/v1/orders/{order_id}/archive"] = more;
        d["paths"]["/api/v1/orders/{order_id}/archive"]["post"]["operationId"] = json!("order_archive");
    }));
}

/// The difference that `edit` makes to the events of order-service at version 1.0.0.
fn of_events(edit: impl FnOnce(&mut Value)) -> Difference {
    let contracts = contracts().unwrap();
    let contract = contracts.iter().find(|contract| contract.service == "order-service").unwrap();
    let mut old: Value = serde_json::from_str(contract.events.as_ref().unwrap()).unwrap();
    old["info"]["version"] = "1.0.0".into();
    let mut new = old.clone();
    edit(&mut new);
    compare_events("order-service events", &old, &new).unwrap()
}

type Edit = fn(&mut Value);

#[test]
fn an_event_only_grows() {
    fn remove(object: &mut Value, name: &str) {
        object.as_object_mut().unwrap().shift_remove(name).unwrap();
    }
    fn require_no_longer(schema: &mut Value, field: &str) {
        schema["required"].as_array_mut().unwrap().retain(|one| one != field);
    }
    fn schemas(document: &mut Value) -> &mut Value {
        &mut document["components"]["schemas"]
    }
    let breaking: [(&str, Edit); 10] = [
        ("an event is gone", |d| remove(&mut d["components"]["messages"], "order.cancelled")),
        ("a field is gone", |d| remove(&mut schemas(d)["OrderCreated"]["properties"], "items")),
        ("a field may be missing", |d| require_no_longer(&mut schemas(d)["OrderCreated"], "user_id")),
        ("a field has another type", |d| {
            schemas(d)["OrderCreated"]["properties"]["user_id"] = json!({"type": "string"})
        }),
        ("an upper bound is another", |d| schemas(d)["Quantity"]["maximum"] = json!(2_000_000)),
        ("a lower bound is another", |d| schemas(d)["OrderId"]["minimum"] = json!(0)),
        ("a pattern is another", |d| schemas(d)["ReservationId"]["pattern"] = json!("^.*$")),
        ("the envelope lacks the id", |d| remove(&mut schemas(d)["OrderCreatedEvent"]["properties"], "id")),
        ("the routing key is another", |d| d["channels"]["order.created"]["address"] = json!("orders.created")),
        ("the exchange is another", |d| {
            d["channels"]["order.created"]["bindings"]["amqp"]["exchange"]["name"] = json!("events");
        }),
    ];
    for (what, edit) in breaking {
        let difference = of_events(edit);
        assert!(difference.forbidden && difference.markdown.contains("## Breaking"), "{what}: {}", difference.markdown);
    }
    let harmless: [(&str, Edit); 3] = [
        ("a field is new", |d| {
            schemas(d)["OrderCreated"]["properties"]["note"] = json!({ "type": "string" });
        }),
        ("an event is new", |d| {
            let more = d["components"]["messages"]["order.created"].clone();
            d["components"]["messages"]["order.archived"] = more;
        }),
        ("a text is reworded", |d| {
            d["components"]["messages"]["order.created"]["description"] = json!("It is placed.")
        }),
    ];
    for (what, edit) in harmless {
        let difference = of_events(edit);
        assert!(!difference.forbidden && !difference.markdown.is_empty(), "{what}: {}", difference.markdown);
    }
    assert_eq!(of_events(|_| ()), Difference { markdown: String::new(), forbidden: false });
}

const CANCEL: &str = "/api/v1/orders/{order_id}/cancel";

#[test]
fn an_error_code_can_be_added_but_not_removed() {
    let codes = |document: &'_ mut Value, edit: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let responses = &mut document["paths"][CANCEL]["post"]["responses"];
        edit(responses["409"]["content"]["application/json"]["examples"].as_object_mut().unwrap());
    };
    let added = of("1.0.0", |d| codes(d, &|codes| drop(codes.insert("too_late".to_owned(), json!({"value": {}})))));
    assert!(!added.forbidden && added.markdown.contains("409 `too_late` may happen"), "{}", added.markdown);
    let gone = of("1.0.0", |d| codes(d, &|codes| drop(codes.shift_remove("invalid_transition"))));
    assert!(gone.forbidden && gone.markdown.contains("`invalid_transition` no longer happens"), "{}", gone.markdown);
}

#[test]
fn a_field_may_become_certain_in_answers_but_not_in_requests() {
    let optional = |document: &'_ mut Value, schema: &str, field: &str| {
        let required = document["components"]["schemas"][schema]["required"].as_array_mut().unwrap();
        required.retain(|name| name != field);
    };
    let change = |schema: &str, field: &str| {
        let (new, mut old) = (document(), document());
        optional(&mut old, schema, field);
        compare("order-service", &old, &new).unwrap().markdown
    };
    let promised = change("Error", "error_code");
    assert!(promised.contains("the field `error_code` is always there"), "{promised}");
    assert!(!promised.contains("## Breaking"), "{promised}");
    assert!(change("OrderCreate", "user_id").contains("## Breaking"));
}

#[test]
fn a_new_failure_breaks_nothing() {
    let more = of("1.0.0", |d| {
        let responses = &mut d["paths"][CANCEL]["post"]["responses"];
        responses["429"] = responses["503"].clone();
    });
    assert!(!more.forbidden && more.markdown.contains("429 may happen"), "{}", more.markdown);
}

#[test]
fn a_new_id_new_security_and_a_lost_header_break() {
    assert!(breaks(|d| d["paths"][CANCEL]["post"]["operationId"] = json!("order_give_up")));
    assert!(breaks(|d| d["security"] = json!([{ "bearer": [] }])));
    assert!(breaks(|d| d["paths"][CANCEL]["post"]["security"] = json!([{ "bearer": [] }])));
    assert!(breaks(|d| {
        let created = &mut d["paths"]["/api/v1/orders"]["post"]["responses"]["201"];
        created["headers"].as_object_mut().unwrap().shift_remove("Location").unwrap();
    }));
}

#[test]
fn new_texts_are_listed_and_break_nothing() {
    for difference in [
        of("1.0.0", |d| d["info"]["description"] = json!("Other words.")),
        of("1.0.0", |d| d["paths"][CANCEL]["post"]["description"] = json!("Other words.")),
        of("1.0.0", |d| d["paths"][CANCEL]["post"]["responses"]["503"]["description"] = json!("Other words.")),
    ] {
        assert!(!difference.forbidden && difference.markdown.contains("reworded"), "{}", difference.markdown);
    }
}

#[test]
fn new_servers_are_listed_and_break_nothing() {
    let difference = of("1.0.0", |d| d["servers"][0]["url"] = json!("https://api.example.com"));
    assert!(!difference.forbidden && difference.markdown.contains("`servers` changed"), "{}", difference.markdown);
}

fn git(directory: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
    let status = Command::new("git").arg("-C").arg(directory).args(identity).args(arguments).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

#[test]
fn the_documents_of_a_revision_are_compared() {
    let root = TempDir::new().unwrap();
    let contracts = contracts().unwrap();
    generate(root.path(), &contracts).unwrap();
    git(root.path(), &["init", "--quiet"]);
    git(root.path(), &["add", "."]);
    git(root.path(), &["commit", "--quiet", "--message=contracts"]);
    assert!(differences(root.path(), &contracts, "HEAD").unwrap().iter().all(|one| one.markdown.is_empty()));

    let path = root.path().join("openapi/order-service.json");
    let mut changed = document();
    without_cancel(&mut changed);
    fs::write(path, changed.to_string()).unwrap();
    let all: String =
        differences(root.path(), &contracts, "HEAD").unwrap().into_iter().map(|one| one.markdown).collect();
    let version = version();
    assert!(all.starts_with(&format!("# order-service: {version} to {version}\n\n## Breaking\n")), "{all}");

    let fewer = &contracts[..1];
    let gone: String = differences(root.path(), fewer, "HEAD").unwrap().into_iter().map(|one| one.markdown).collect();
    assert!(gone.contains("# openapi/order-service.json") && gone.contains("gone"), "{gone}");

    let unknown = differences(root.path(), &contracts, "no-such-thing").unwrap_err().to_string();
    assert!(unknown.contains("no-such-thing"), "{unknown}");
}

#[test]
fn the_changelog_names_the_version_of_each_document() {
    let contracts = contracts().unwrap();
    check_changelog(&workspace_root().unwrap(), &contracts).unwrap();

    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("docs")).unwrap();
    let (version, of_orders) = (version_of("user-service"), version());
    let text = format!(
        "## user-service\n\n### 9.9.9 - later\n\n### {version} - now\n\n## order-service\n\n### {of_orders} - now\n"
    );
    fs::write(root.path().join("docs/api-changelog.md"), text).unwrap();
    let message = check_changelog(root.path(), &contracts).unwrap_err().to_string();
    assert!(message.contains("user-service") && message.contains("9.9.9") && message.contains(&version), "{message}");
}
