//! Images, Compose, databases, Kubernetes and Prometheus.

use topology::{Platform, Service};

use crate::broker;
use crate::output::{GENERATED, Output};
use crate::template::{each, each_apart, fill};

pub(crate) fn outputs(platform: &Platform) -> Vec<Output> {
    let mut outputs = vec![
        blocks("deploy/docker/Dockerfile", [each_apart(platform, include_str!("templates/Dockerfile"))]),
        file("deploy/docker/postgres/create-databases.sh", create_databases(platform)),
        blocks(
            "deploy/docker/rabbitmq.yml",
            [each(platform, "      <VARIABLE>_EVENTS_PASSWORD: ${<VARIABLE>_EVENTS_PASSWORD:-development}\n")],
        ),
        file("deploy/docker/rabbitmq/rights.json", broker::rights(platform)),
        file("deploy/docker/rabbitmq/start.sh", broker::start(platform)),
        blocks(
            "docker-compose.yml",
            [
                each(platform, "      <VARIABLE>_DATABASE_PASSWORD: ${<VARIABLE>_DATABASE_PASSWORD:-development}\n"),
                each_apart(platform, include_str!("templates/compose.yml")),
            ],
        ),
        file("docker-compose.sqlite.yml", compose_on_sqlite(platform)),
        file("deploy/observability/prometheus.yml", prometheus(platform)),
        file("deploy/kubernetes/base/kustomization.yaml", kustomization(platform)),
        blocks("deploy/kubernetes/base/network-policies.yaml", [network_policies(platform)]),
        file("deploy/kubernetes/example/kustomization.yaml", example(platform)),
        file("deploy/kubernetes/example/secrets.yaml", secrets(platform)),
    ];
    outputs.extend(platform.services.iter().map(|service| {
        let objects = fill(include_str!("templates/kubernetes-service.yaml"), service);
        file(&format!("deploy/kubernetes/base/{}.yaml", service.name), format!("# {GENERATED}\n{objects}"))
    }));
    outputs
}

fn file(path: &str, content: String) -> Output {
    Output::File(path.into(), content)
}

fn blocks<const N: usize>(path: &str, blocks: [String; N]) -> Output {
    Output::Blocks(path.into(), blocks.into())
}

fn create_databases(platform: &Platform) -> String {
    include_str!("templates/create-databases.sh")
        .replace("<generated>", GENERATED)
        .replace("<create>\n", &each(platform, "create <database> <identifier> \"$<VARIABLE>_DATABASE_PASSWORD\"\n"))
}

fn compose_on_sqlite(platform: &Platform) -> String {
    let service = |service: &Service| {
        let depends_on = if service.calls.is_empty() { "" } else { "    depends_on:\n" };
        let callees = "      <callee>: {condition: service_healthy}\n";
        fill(&format!("{}{depends_on}{callees}", include_str!("templates/compose-sqlite-service.yml")), service)
    };
    let services: Vec<_> = platform.services.iter().map(service).collect();
    include_str!("templates/compose-sqlite.yml")
        .replace("<generated>", GENERATED)
        .replace("<services>\n", &services.join("\n"))
        .replace("<volumes>\n", &each(platform, "  <name>-data:\n"))
}

fn prometheus(platform: &Platform) -> String {
    let jobs = "  - job_name: <name>\n    static_configs: [{targets: [\"<name>:8000\"]}]\n";
    include_str!("templates/prometheus.yml")
        .replace("<generated>", GENERATED)
        .replace("<jobs>\n", &each(platform, jobs))
}

fn kustomization(platform: &Platform) -> String {
    let settings = |service: &Service| {
        let urls = service.calls.iter().map(|callee| {
            let variable = callee.replace('-', "_").to_uppercase();
            format!(", \"{variable}_URL=http://{callee}:8000\"")
        });
        let urls: String = urls.collect();
        fill(include_str!("templates/kustomization-settings.yaml"), service).replace("<urls>", &urls)
    };
    include_str!("templates/kustomization.yaml")
        .replace("<generated>", GENERATED)
        .replace("<resources>\n", &each(platform, "  - <name>.yaml\n"))
        .replace("<settings>\n", &platform.services.iter().map(settings).collect::<String>())
}

/// Lets each service reach those that it calls: what one may send and what the other may receive.
fn network_policies(platform: &Platform) -> String {
    let policy = |service: &Service| -> String {
        let policy =
            |callee| fill(&include_str!("templates/kubernetes-call.yaml").replace("<callee>", callee), service);
        service.calls.iter().map(|callee| policy(callee)).collect()
    };
    platform.services.iter().map(policy).collect()
}

fn example(platform: &Platform) -> String {
    let images =
        "  - {name: orders-platform/<name>, newName: registry.example.com/orders-platform/<name>, newTag: 0.1.0}\n";
    let databases = "  - name: <name>\n    behavior: merge\n    \
        literals: [\"DATABASE_URL=postgres://<identifier>@postgres.example.com/<database>?sslmode=verify-full\"]\n";
    include_str!("templates/kustomization-example.yaml")
        .replace("<generated>", GENERATED)
        .replace("<images>\n", &each(platform, images))
        .replace("<databases>\n", &each(platform, databases))
}

fn secrets(platform: &Platform) -> String {
    include_str!("templates/secrets.yaml")
        .replace("<generated>", GENERATED)
        .replace("<secrets>\n", &each(platform, include_str!("templates/secret.yaml")))
}
