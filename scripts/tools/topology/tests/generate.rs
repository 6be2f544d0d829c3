//! Generates for a platform with one more service, in a copy of the files that hold something generated.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use topology::Platform;
use topology_tool::{generate, outputs, stale, workspace_root};

const THREE: &str = "
[[service]]
name = 'user-service'
port = 8001
database = 'users'

[[service]]
name = 'product-service'
port = 8002
database = 'products'

[[service]]
name = 'order-service'
port = 8003
database = 'orders'
calls = ['user-service', 'product-service']
";

#[test]
fn one_row_adds_a_service_everywhere() {
    let platform = Platform::parse(THREE).unwrap();
    let copy = copy_of_what_is_generated(&platform);
    // It has no document yet, and therefore no routes.
    assert!(!copy.path().join("openapi/product-service.json").exists());
    generate(copy.path(), &platform).unwrap();
    assert!(stale(copy.path(), &platform).unwrap().is_empty());

    for (file, line) in [
        ("Cargo.toml", "product-client = { path = \"clients/product-client\" }"),
        ("clients/cli/Cargo.toml", "product-client.workspace = true"),
        ("deploy/docker/Dockerfile", "FROM service AS product-service"),
        (
            "deploy/docker/postgres/create-databases.sh",
            "create products product_service \"$PRODUCT_SERVICE_DATABASE_PASSWORD\"",
        ),
        (
            "deploy/docker/rabbitmq.yml",
            "      PRODUCT_SERVICE_EVENTS_PASSWORD: ${PRODUCT_SERVICE_EVENTS_PASSWORD:-development}",
        ),
        ("deploy/docker/rabbitmq/rights.json", "      \"user\": \"product_service\","),
        ("deploy/docker/rabbitmq/start.sh", "    user product_service PRODUCT_SERVICE_EVENTS_PASSWORD ''"),
        ("deploy/kubernetes/base/kustomization.yaml", "  - product-service.yaml"),
        ("deploy/kubernetes/base/network-policies.yaml", "  name: order-service-to-product-service"),
        ("deploy/kubernetes/base/product-service.yaml", "  name: product-service-migration"),
        ("deploy/observability/prometheus.yml", "  - job_name: product-service"),
        ("deploy/proxy/haproxy.cfg", "    presetenv PRODUCT_SERVICE_2 127.0.0.1:8022"),
        ("deploy/proxy/haproxy.cfg", "    server product-service-1 \"${PRODUCT_SERVICE_1}\""),
        ("docker-compose.sqlite.yml", "      product-service: {condition: service_healthy}"),
        ("docker-compose.yml", "      PRODUCT_SERVICE_URL: http://product-service:8000"),
        (
            "scripts/tools/openapi/src/generated/contracts.rs",
            "    (\"product-service\", product_service_api::service_contract),",
        ),
        ("services/platform/all-in-one/src/generated/services.rs", "    product_service::SERVICE,"),
    ] {
        let text = fs::read_to_string(copy.path().join(file)).unwrap();
        assert!(text.lines().any(|found| found == line), "{file} is without {line}");
    }

    fs::write(copy.path().join("openapi/product-service.json"), r#"{"paths": {"/api/v1/products/{id}": {}}}"#).unwrap();
    assert_eq!(stale(copy.path(), &platform).unwrap(), [Path::new("deploy/proxy/haproxy.cfg")]);
}

fn copy_of_what_is_generated(platform: &Platform) -> TempDir {
    let copy = TempDir::new().unwrap();
    let outputs = outputs(&workspace_root(), platform).unwrap();
    let documents = ["user-service", "order-service"].map(|name| format!("openapi/{name}.json").into());
    for path in outputs.iter().map(|output| output.path().to_owned()).chain(documents) {
        // The files of the new service do not exist.
        if let Ok(text) = fs::read_to_string(workspace_root().join(&path)) {
            fs::create_dir_all(copy.path().join(&path).parent().unwrap()).unwrap();
            fs::write(copy.path().join(&path), text).unwrap();
        }
    }
    copy
}
