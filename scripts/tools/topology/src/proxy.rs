//! The parts of HAProxy's configuration that name services.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use topology::{Platform, Service};

use crate::output::Output;
use crate::template::{each_apart, fill};

pub(crate) fn output(root: &Path, platform: &Platform) -> Result<Output> {
    let is_called = |service: &Service| platform.services.iter().any(|caller| caller.calls.contains(&service.name));
    let addresses = platform.services.iter().map(default_addresses).collect();
    let mut public = String::new();
    let mut internal = String::new();
    for service in &platform.services {
        let routes = routes(root, service)?;
        public.push_str(&routes);
        if is_called(service) {
            internal.push_str(&routes);
        }
    }
    let backends = each_apart(platform, include_str!("templates/haproxy-backend.cfg"));
    Ok(Output::Blocks("deploy/proxy/haproxy.cfg".into(), vec![addresses, public, internal, backends]))
}

/// Rules that choose a service by what the path begins with.
fn routes(root: &Path, service: &Service) -> Result<String> {
    let rule = |prefix| {
        let name = &service.name;
        let condition = format!("if {{ path {prefix} }} or {{ path_beg {prefix}/ }}");
        format!("    http-request set-var(txn.service) str({name}) {condition}\n")
    };
    Ok(path_prefixes(root, service)?.into_iter().map(rule).collect())
}

/// Where the two instances of a service are unless the environment says otherwise: 8011 and 8012 for the port 8001.
fn default_addresses(service: &Service) -> String {
    let port = |instance| 8000 + 10 * (service.port - 8000) + instance;
    let lines = "    presetenv <VARIABLE>_1 127.0.0.1:{1}\n    presetenv <VARIABLE>_2 127.0.0.1:{2}\n";
    fill(lines, service).replace("{1}", &port(1).to_string()).replace("{2}", &port(2).to_string())
}

/// What the paths of a service's API begin with, such as `/api/v1/users`, by its document. None while it has no document.
fn path_prefixes(root: &Path, service: &Service) -> Result<BTreeSet<String>> {
    let path = root.join(format!("openapi/{}.json", service.name));
    let Ok(text) = fs::read_to_string(&path) else { return Ok(BTreeSet::new()) };
    let document: serde_json::Value = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
    let paths = document["paths"].as_object().with_context(|| format!("{}: no `paths`", path.display()))?;
    let prefix = |path: &String| {
        let segments: Vec<_> = path.split('/').take(4).collect();
        segments.join("/")
    };
    Ok(paths.keys().filter(|path| path.starts_with("/api/")).map(prefix).collect())
}
