//! Which crate may depend on which, and other rules for every crate of the workspace, checked with `cargo metadata`.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use topology::{Platform, platform};
use topology_tool::workspace_root;

/// What a crate is, by its directory.
#[derive(Debug)]
enum Kind {
    /// `services/<service>`
    Service,
    /// `services/<service>/api`
    Api,
    /// `services/platform/all-in-one`, which starts every service
    AllInOne,
    /// `services/platform/client-policy`, which every client uses
    ClientPolicy,
    /// The other crates of `services/platform`
    Platform,
    /// `clients/<name>-client`
    Client,
    /// `clients/<name>-events`
    Events,
    /// `clients/cli`, which uses every client
    CommandLine,
    /// `scripts/tools/openapi`, which reads the contract of every service
    ContractTool,
    /// `scripts/tools/topology`, which must build before a new service does
    TopologyTool,
    /// The other crates of `scripts/tools`
    Tool,
}

impl Kind {
    fn of(directory: &str, platform: &Platform) -> Self {
        let is_service = |name| platform.service(name).is_some();
        match directory.split('/').collect::<Vec<_>>()[..] {
            ["services", "platform", "all-in-one"] => Self::AllInOne,
            ["services", "platform", "client-policy"] => Self::ClientPolicy,
            ["services", "platform", _] => Self::Platform,
            ["services", name] if is_service(name) => Self::Service,
            ["services", name, "api"] if is_service(name) => Self::Api,
            ["clients", "cli"] => Self::CommandLine,
            ["clients", name] if name.ends_with("-client") => Self::Client,
            ["clients", name] if name.ends_with("-events") => Self::Events,
            ["scripts", "tools", "openapi"] => Self::ContractTool,
            ["scripts", "tools", "topology"] => Self::TopologyTool,
            ["scripts", "tools", _] => Self::Tool,
            _ => panic!("{directory} has no kind; is its service listed in services/platform.toml?"),
        }
    }
}

#[derive(Debug)]
struct Crate {
    name: String,
    /// Relative to the root of the workspace.
    directory: String,
    /// The crates of the workspace that it is built from, and with which it is tested.
    dependencies: BTreeSet<String>,
    test_dependencies: BTreeSet<String>,
}

/// Whether `from` may be built from `to`.
fn is_arrow(from: &Crate, to: &Crate, platform: &Platform) -> bool {
    match (Kind::of(&from.directory, platform), Kind::of(&to.directory, platform)) {
        (Kind::Service, Kind::Api) => to.name == format!("{}-api", from.name),
        (Kind::Service, Kind::Client) => called_clients(&from.name, platform).contains(&to.name),
        (Kind::Service, Kind::Events) => consumed_events(&from.name, platform).contains(&to.name),
        (Kind::Service, Kind::Platform | Kind::ClientPolicy) => to.name != "service-testing",
        (Kind::Api, Kind::Platform) => to.name == "contract",
        // It creates its demo data through the published API.
        (Kind::AllInOne, Kind::Service | Kind::Platform | Kind::Client) => true,
        (Kind::Platform | Kind::ClientPolicy, Kind::Platform | Kind::ClientPolicy) => true,
        (Kind::Client, Kind::ClientPolicy) => true,
        (Kind::CommandLine, Kind::Client | Kind::ClientPolicy) => true,
        (Kind::CommandLine, Kind::Platform) => to.name == "topology",
        (Kind::ContractTool, Kind::Api) => true,
        (Kind::TopologyTool, _) => to.name == "topology",
        (Kind::ContractTool | Kind::Tool, Kind::Platform | Kind::ClientPolicy | Kind::Client | Kind::Tool) => true,
        _ => false,
    }
}

fn called_clients(name: &str, platform: &Platform) -> BTreeSet<String> {
    let service = |name: &str| platform.service(name).unwrap();
    service(name).calls.iter().map(|callee| service(callee).client()).collect()
}

/// The crates of the events that the service consumes.
fn consumed_events(name: &str, platform: &Platform) -> BTreeSet<String> {
    let crate_of = |event: &String| platform.publisher(event).unwrap().events_crate().unwrap();
    platform.service(name).unwrap().consumes.iter().map(crate_of).collect()
}

#[test]
fn crates_depend_on_each_other_only_along_the_arrows() {
    let crates = crates();
    let mut against = Vec::new();
    for from in &crates {
        for to in crates.iter().filter(|to| from.dependencies.contains(&to.name)) {
            if !is_arrow(from, to, platform()) {
                against.push(format!("{} → {}", from.name, to.name));
            }
        }
    }
    assert!(against.is_empty(), "not allowed by docs/architecture.md: {against:?}");
}

#[test]
fn clients_and_contracts_do_not_reach_the_runtime() {
    let crates = crates();
    for from in &crates {
        let reached = reachable(from, &crates);
        match Kind::of(&from.directory, platform()) {
            Kind::Api => assert!(!reached.contains("service-runtime"), "{} reaches {reached:?}", from.name),
            // Its tests too: the documents are all that a client is built and tested from.
            Kind::Client => {
                let reached: Vec<_> = reached.iter().chain(&from.test_dependencies).collect();
                assert!(reached.iter().all(|name| *name == "client-policy"), "{} reaches {reached:?}", from.name);
            }
            Kind::Events => assert_eq!(reached, BTreeSet::new(), "{}", from.name),
            _ => {}
        }
    }
}

#[test]
fn a_service_uses_the_clients_of_exactly_what_it_calls() {
    let crates = crates();
    for service in &platform().services {
        let own = crates.iter().find(|own| own.name == service.name).unwrap();
        let used: BTreeSet<_> = own.dependencies.iter().filter(|name| name.ends_with("-client")).cloned().collect();
        let called = called_clients(&service.name, platform());
        assert_eq!(used, called, "{}: its clients, and `calls` of services/platform.toml", service.name);
    }
}

#[test]
fn the_rules_forbid_what_would_couple_services() {
    let two = "[[service]]\nname = 'user-service'\nport = 8001\ndatabase = 'users'\npublishes = ['user.deleted']\n\
               [[service]]\nname = 'order-service'\nport = 8003\ndatabase = 'orders'\ncalls = ['user-service']\n\
               consumes = ['user.deleted']\n";
    let platform = Platform::parse(two).unwrap();
    let made = |directory: &str| {
        let name = match directory.split('/').collect::<Vec<_>>()[..] {
            ["services", service, "api"] => format!("{service}-api"),
            ["services", "platform", "runtime"] => "service-runtime".to_owned(),
            _ => directory.rsplit('/').next().unwrap().to_owned(),
        };
        Crate { name, directory: directory.into(), dependencies: BTreeSet::new(), test_dependencies: BTreeSet::new() }
    };
    for (from, to, allowed) in [
        ("services/order-service", "services/order-service/api", true),
        ("services/order-service", "clients/user-client", true),
        ("services/order-service", "services/platform/runtime", true),
        ("services/order-service", "clients/user-events", true),
        ("clients/user-client", "services/platform/client-policy", true),
        ("services/user-service", "clients/user-events", false),
        ("clients/user-events", "services/user-service/api", false),
        ("clients/user-events", "services/platform/contract", false),
        ("services/order-service", "services/user-service", false),
        ("services/order-service", "services/user-service/api", false),
        ("services/user-service", "clients/order-client", false),
        ("services/user-service/api", "services/platform/runtime", false),
        ("services/platform/runtime", "services/user-service", false),
        ("services/platform/runtime", "clients/user-client", false),
        ("clients/user-client", "services/platform/contract", false),
        ("clients/user-client", "services/user-service/api", false),
        ("scripts/tools/topology", "services/user-service/api", false),
        ("scripts/tools/chaos", "services/user-service", false),
    ] {
        assert_eq!(is_arrow(&made(from), &made(to), &platform), allowed, "{from} → {to}");
    }
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    for member in crates() {
        let manifest = workspace_root().join(&member.directory).join("Cargo.toml");
        let text = std::fs::read_to_string(manifest).unwrap();
        assert!(text.contains("\n[lints]\nworkspace = true\n"), "{} does not inherit the lints", member.name);
    }
}

#[test]
fn every_crate_is_in_the_build_context_of_the_images() {
    // cargo builds no crate of a workspace if another is missing.
    let ignored = std::fs::read_to_string(workspace_root().join(".dockerignore")).unwrap();
    let sent: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for member in crates() {
        let is_sent = sent.iter().any(|sent| Path::new(&member.directory).starts_with(sent));
        assert!(is_sent, ".dockerignore excludes {}", member.directory);
    }
}

/// The crates of the workspace that `from` is built from, directly or not.
fn reachable(from: &Crate, crates: &[Crate]) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = from.dependencies.iter().cloned().collect();
    while let Some(name) = next.pop() {
        let dependencies = &crates.iter().find(|to| to.name == name).unwrap().dependencies;
        if reached.insert(name) {
            next.extend(dependencies.iter().cloned());
        }
    }
    reached
}

fn crates() -> Vec<Crate> {
    let root = workspace_root().canonicalize().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(&root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let members: BTreeSet<_> = packages.iter().map(|package| text(&package["name"])).collect();
    let package = |package: &Value| {
        let manifest = text(&package["manifest_path"]);
        let directory = Path::new(&manifest).parent().unwrap().strip_prefix(&root).unwrap();
        let names = |is_test: bool| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let wanted = dependencies.filter(|dependency| (dependency["kind"] == "dev") == is_test);
            wanted.map(|dependency| text(&dependency["name"])).filter(|name| members.contains(name)).collect()
        };
        Crate {
            name: text(&package["name"]),
            directory: directory.to_str().unwrap().to_owned(),
            dependencies: names(false),
            test_dependencies: names(true),
        }
    };
    packages.iter().map(package).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
