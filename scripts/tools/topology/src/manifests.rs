//! Lists in Cargo's manifests and in Rust.

use topology::{Platform, Service};

use crate::output::{GENERATED, Output};
use crate::template::each;

pub(crate) fn outputs(platform: &Platform) -> Vec<Output> {
    let paths = "<name> = { path = \"services/<name>\" }\n\
                 <name>-api = { path = \"services/<name>/api\" }\n\
                 <client> = { path = \"clients/<client>\" }\n";
    let events: String = platform
        .services
        .iter()
        .filter_map(Service::events_crate)
        .map(|name| format!("{name} = {{ path = \"clients/{name}\" }}\n"))
        .collect();
    let services = each(platform, "<name>.workspace = true\n");
    let apis = each(platform, "<name>-api.workspace = true\n");
    let clients = each(platform, "<client>.workspace = true\n");
    let services_list = include_str!("templates/services.rs")
        .replace("<generated>", GENERATED)
        .replace("<services>\n", &each(platform, "    <identifier>::SERVICE,\n"));
    let documents = include_str!("templates/contracts.rs")
        .replace("<generated>", GENERATED)
        .replace("<contracts>\n", &each(platform, "    (\"<name>\", <identifier>_api::service_contract),\n"));
    vec![
        Output::Blocks("Cargo.toml".into(), vec![each(platform, paths) + &events]),
        Output::Blocks("services/platform/all-in-one/Cargo.toml".into(), vec![services.clone()]),
        Output::File("services/platform/all-in-one/src/generated/services.rs".into(), services_list),
        Output::File("scripts/tools/openapi/src/generated/contracts.rs".into(), documents),
        Output::Blocks("scripts/tools/openapi/Cargo.toml".into(), vec![apis]),
        Output::Blocks("clients/cli/Cargo.toml".into(), vec![clients, services]),
    ]
}
