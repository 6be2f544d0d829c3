//! The tool detects every drift between code and contract: each test introduces one and expects its report.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use openapi_manager::{artifacts, check, contracts, freshness, generate, workspace_root};
use tempfile::TempDir;

/// A directory with every derived file, up to date, and nothing else.
fn up_to_date() -> TempDir {
    let root = TempDir::new().unwrap();
    generate(root.path(), &contracts().unwrap()).unwrap();
    check(root.path(), &contracts().unwrap()).unwrap();
    root
}

fn edit(root: &TempDir, path: &str, from: &str, to: &str) {
    let path = root.path().join(path);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// Expects that the check fails with `path`, each of `lines`, and the command that fixes it.
fn is_found(root: &TempDir, path: &str, lines: &[&str]) {
    let message = check(root.path(), &contracts().unwrap()).unwrap_err().to_string();
    for part in [path, "cargo openapi generate"].iter().chain(lines) {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }
}

#[test]
fn checked_in_files_are_up_to_date() {
    let root = workspace_root().unwrap();
    assert_eq!(
        freshness::differing_sources(&root),
        Vec::<PathBuf>::new(),
        "cargo took another checkout's build: touch these"
    );
    check(&root, &contracts().unwrap()).unwrap();
}

#[test]
fn a_file_edited_by_hand_is_found() {
    let root = up_to_date();
    let order = "openapi/order-service.json";
    for (path, from, to, line) in [
        ("openapi/user-service.json", "\"User Service\"", "\"My Service\"", "+    \"title\": \"User Service\""),
        ("clients/order-client/Cargo.toml", "order", "ordre", order),
        ("clients/order-client/GUIDE.md", "order", "ordre", order),
        ("clients/order-client/src/lib.rs", "order", "ordre", order),
        ("clients/order-client/src/generated/client.rs", "order", "ordre", order),
        ("clients/order-client/src/generated/scenarios.rs", "order", "ordre", order),
        ("clients/cli/src/generated/order_service.rs", "Cancel an order", "Cancel an ordre", order),
    ] {
        edit(&root, path, from, to);
        is_found(&root, path, &[to, line]);
    }
}

#[test]
fn a_new_document_yields_a_complete_client_crate() {
    let document = contracts().unwrap().remove(0).document;
    let contract =
        openapi_manager::Contract { service: "product-service", document, events: None, consumes: Vec::new() };
    let paths: Vec<_> = artifacts(&[contract]).unwrap().into_iter().map(|artifact| artifact.path).collect();
    for file in ["Cargo.toml", "GUIDE.md", "src/lib.rs", "src/generated/client.rs", "src/generated/scenarios.rs"] {
        assert!(paths.contains(&Path::new("clients/product-client").join(file)), "{file} is not in {paths:?}");
    }
}

#[test]
fn a_missing_file_is_found() {
    // All at once: each check generates everything anew.
    let (root, artifacts) = (up_to_date(), artifacts(&contracts().unwrap()).unwrap());
    for artifact in &artifacts {
        fs::remove_file(root.path().join(&artifact.path)).unwrap();
    }
    let report = check(root.path(), &contracts().unwrap()).unwrap_err().to_string();
    for artifact in &artifacts {
        assert!(report.contains(&format!("{} is missing", artifact.path.display())), "{report}");
    }
}

#[test]
fn a_file_that_nothing_generates_is_found() {
    for path in [
        "openapi/old-service.json",
        "clients/user-client/src/generated/old.rs",
        "clients/cli/src/generated/old_service.rs",
    ] {
        let root = up_to_date();
        fs::write(root.path().join(path), "").unwrap();
        is_found(&root, path, &["delete it"]);
    }
}

#[test]
fn every_changed_source_is_detected() {
    let copy = copy_of_the_sources();
    assert_eq!(freshness::differing_sources(copy.path()), Vec::<PathBuf>::new());
    for (file, _) in freshness::SOURCES {
        edit(&copy, file, "e", "E");
    }
    assert_eq!(freshness::differing_sources(copy.path()).len(), freshness::SOURCES.len());
    for file in [
        "services/platform/contract/src/lib.rs",
        "services/user-service/api/examples.json",
        "scripts/tools/openapi/build.rs",
    ] {
        assert!(freshness::SOURCES.iter().any(|(known, _)| *known == file), "{file}");
    }
}

#[test]
fn generating_fixes_the_difference_and_nothing_else() {
    let root = up_to_date();
    edit(&root, "openapi/user-service.json", "\"title\": \"User Service\"", "\"title\": \"My Service\"");
    let written = generate(root.path(), &contracts().unwrap()).unwrap();
    assert_eq!(written, [PathBuf::from("openapi/user-service.json")]);
    check(root.path(), &contracts().unwrap()).unwrap();
}

/// The sources alone, as in a tarball: no `.git`, no build, and another path than that of the target directory.
fn copy_of_the_sources() -> TempDir {
    let root = workspace_root().unwrap();
    let copy = TempDir::new().unwrap();
    for name in
        ["Cargo.toml", "Cargo.lock", ".cargo", "openapi", "services", "clients", "scripts", "migrations", "docs"]
    {
        copy_tree(&root.join(name), &copy.path().join(name));
    }
    copy
}

fn copy_tree(from: &Path, to: &Path) {
    if from.is_file() {
        fs::copy(from, to).unwrap();
        return;
    }
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if !["target", "node_modules"].iter().any(|skipped| entry.file_name() == *skipped) {
            copy_tree(&entry.path(), &to.join(entry.file_name()));
        }
    }
}

/// `cargo openapi` in `root`, with the target directory that this test was built in.
fn cargo_openapi(root: &Path, subcommand: &str) -> Output {
    let target = Path::new(env!("CARGO_BIN_EXE_openapi")).parent().and_then(Path::parent).unwrap();
    Command::new(env!("CARGO"))
        .args(["openapi", subcommand])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_NET_OFFLINE", "true")
        .output()
        .unwrap()
}

#[test]
fn a_changed_trait_is_found_with_a_shared_target_directory() {
    let copy = copy_of_the_sources();
    let root = copy.path();
    let untouched = cargo_openapi(root, "check");
    assert!(untouched.status.success(), "{}", String::from_utf8_lossy(&untouched.stderr));

    edit(&copy, "services/user-service/api/src/lib.rs", "/// Read a user\n", "/// Fetch a user\n");
    let changed = cargo_openapi(root, "check");
    let message = String::from_utf8(changed.stderr).unwrap();
    assert!(!changed.status.success());
    for part in [
        "openapi/user-service.json differs from the API trait in services/user-service/api",
        "-        \"summary\": \"Read a user\"",
        "+        \"summary\": \"Fetch a user\"",
        "cargo openapi generate",
    ] {
        assert!(message.contains(part), "no {part:?} in: {message}");
    }

    let fixed = cargo_openapi(root, "generate");
    assert!(fixed.status.success(), "{}", String::from_utf8_lossy(&fixed.stderr));
    assert!(String::from_utf8(fixed.stdout).unwrap().contains("wrote openapi/user-service.json"));
    assert!(cargo_openapi(root, "check").status.success());

    // The tool of the original still checks the original.
    let original = cargo_openapi(&workspace_root().unwrap(), "check");
    assert!(original.status.success(), "{}", String::from_utf8_lossy(&original.stderr));
}
