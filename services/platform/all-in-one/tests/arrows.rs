//! What holds for each crate of the workspace, read from `cargo metadata`: the arrows of docs/architecture.md, the lints,
//! and what cargo wants of it where the images are built.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Every crate of the workspace with all it may depend on of the workspace, and does.
const ARROWS: &[(&str, &[&str])] = &[
    ("all-in-one", &["order-service", "service-runtime", "user-service"]),
    ("order-service", &["contract", "order-service-api", "service-runtime", "user-client"]),
    ("user-service", &["contract", "service-runtime", "user-service-api"]),
    ("bench", &["service-runtime", "service-testing"]),
    ("openapi-manager", &["contract", "order-service-api", "user-service-api"]),
    ("order-service-api", &["contract"]),
    ("user-service-api", &["contract"]),
    ("service-runtime", &["contract", "portal"]),
    ("service-testing", &["contract", "service-runtime"]),
    ("chaos", &["service-testing"]),
    ("contract", &[]),
    ("portal", &[]),
    ("orders-cli", &["client-policy", "order-client", "user-client"]),
    ("client-policy", &[]),
    ("order-client", &["client-policy"]),
    ("user-client", &["client-policy"]),
];

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let packages = packages();
    let members: BTreeSet<String> = packages.iter().map(|package| text(&package["name"])).collect();
    let actual: BTreeMap<String, BTreeSet<String>> = packages
        .iter()
        .map(|package| {
            let name = text(&package["name"]);
            // Tests may look anywhere, but for those of a client: whoever only has the document has everything.
            let client = name.ends_with("-client");
            let counted = package["dependencies"].as_array().unwrap().iter().filter(|d| client || d["kind"] != "dev");
            let names = counted.map(|dependency| text(&dependency["name"]));
            (name, names.filter(|name| members.contains(name)).collect())
        })
        .collect();
    let expected = ARROWS
        .iter()
        .map(|(from, to)| ((*from).to_owned(), to.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>()));
    assert_eq!(actual, expected.collect());
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    for package in packages() {
        let manifest = text(&package["manifest_path"]);
        let lines = std::fs::read_to_string(&manifest).unwrap();
        assert!(lines.contains("\n[lints]\nworkspace = true\n"), "{manifest} is without the lints");
    }
}

/// cargo builds no crate of a workspace of which another is missing.
#[test]
fn every_crate_gets_to_where_the_images_are_built() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap();
    let ignored = std::fs::read_to_string(root.join(".dockerignore")).unwrap();
    let sent: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for package in packages() {
        let manifest = std::path::PathBuf::from(text(&package["manifest_path"])).canonicalize().unwrap();
        let path = manifest.strip_prefix(&root).unwrap();
        assert!(sent.iter().any(|sent| path.starts_with(sent)), ".dockerignore keeps {} out", path.display());
    }
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
