//! What `cargo openapi diff` says of a change, and when it forbids one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::fs;
use std::path::Path;
use std::process::Command;

use openapi_manager::diff::{Difference, check_changelog, compare, differences};
use openapi_manager::{contracts, generate, workspace_root};
use serde_json::{Value, json};
use tempfile::TempDir;

fn document() -> Value {
    let contracts = contracts().unwrap();
    let orders = contracts.iter().find(|contract| contract.service == "order-service").unwrap();
    serde_json::from_str(&orders.document).unwrap()
}

/// The difference that `edit` makes to the order-service's contract at this version.
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
fn what_does_not_change_is_not_mentioned() {
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
fn what_takes_something_away_breaks_and_what_adds_does_not() {
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
    assert!(breaks(|d| {
        d["components"]["schemas"]["Order"]["properties"].as_object_mut().unwrap().shift_remove("quantity").unwrap();
    }));
    assert!(breaks(|d| d["components"]["schemas"]["Quantity"]["maximum"] = json!(10)));
    assert!(!breaks(|d| d["info"]["description"] = json!("Other words.")));
    assert!(!breaks(|d| {
        let more = d["paths"]["/api/v1/orders/{order_id}/cancel"].clone();
        d["paths"]["/api/v1/orders/{order_id}/archive"] = more;
        d["paths"]["/api/v1/orders/{order_id}/archive"]["post"]["operationId"] = json!("order_archive");
    }));
}

#[test]
fn a_new_error_code_is_mentioned_and_breaks_nothing() {
    let difference = of("1.0.0", |document| {
        let responses = &mut document["paths"]["/api/v1/orders/{order_id}/cancel"]["post"]["responses"];
        responses["409"]["content"]["application/json"]["examples"]["too_late"] = json!({"value": {}});
    });
    assert!(!difference.forbidden, "{}", difference.markdown);
    assert!(difference.markdown.contains("`order_cancel` 409 `too_late`: may happen now"), "{}", difference.markdown);
}

fn git(directory: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
    let status = Command::new("git").arg("-C").arg(directory).args(identity).args(arguments).status().unwrap();
    assert!(status.success(), "{arguments:?}");
}

#[test]
fn the_documents_of_a_revision_are_compared_with_those_at_hand() {
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
    assert!(all.starts_with("# order-service: 0.1.0 to 0.1.0\n\n## Breaking\n"), "{all}");

    let unknown = differences(root.path(), &contracts, "no-such-thing").unwrap_err().to_string();
    assert!(unknown.contains("no-such-thing"), "{unknown}");
}

#[test]
fn the_changelog_names_the_version_of_each_document() {
    let contracts = contracts().unwrap();
    check_changelog(&workspace_root().unwrap(), &contracts).unwrap();

    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("docs")).unwrap();
    let text = "## user-service\n\n### 9.9.9 - later\n\n### 0.1.0 - first\n\n## order-service\n\n### 0.1.0 - first\n";
    fs::write(root.path().join("docs/api-changelog.md"), text).unwrap();
    let message = check_changelog(root.path(), &contracts).unwrap_err().to_string();
    assert!(message.contains("user-service") && message.contains("9.9.9") && message.contains("0.1.0"), "{message}");
}
