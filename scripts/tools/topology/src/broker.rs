//! Users and rights of the broker of events.

use serde_json::{Value, json};
use topology::{Platform, Service};

use crate::output::GENERATED;
use crate::template::each;

/// The virtual host of the platform.
const VIRTUAL_HOST: &str = "platform";
/// Where events are published.
const EVENTS: &str = "platform.events";

/// The script that starts the broker with a user for each service.
pub(crate) fn start(platform: &Platform) -> String {
    let user = "    user <identifier> <VARIABLE>_EVENTS_PASSWORD ''\n";
    include_str!("templates/start-rabbitmq.sh")
        .replace("<generated>", GENERATED)
        .replace("<users>\n", &each(platform, user))
}

/// The rights of the services, as RabbitMQ imports them. JSON has no comments, so the file does not say that it is generated.
pub(crate) fn rights(platform: &Platform) -> String {
    let of_services = |rights: fn(&Service) -> Value| platform.services.iter().map(rights).collect::<Vec<_>>();
    let definitions = json!({
        "vhosts": [{ "name": VIRTUAL_HOST }],
        "permissions": of_services(permission),
        "topic_permissions": of_services(topic_permission),
    });
    format!("{definitions:#}\n")
}

/// A service declares the exchanges and its queues, publishes, and reads its queues. The exchange without a name,
/// `amq.default`, takes a replayed dead letter back to its queue; `amq.gen` begins the names of queues of one process.
fn permission(service: &Service) -> Value {
    let own = format!("platform[.](events|dead)|{}[.]events([.]dead)?|amq[.]gen.*", service.name);
    json!({
        "user": service.identifier(),
        "vhost": VIRTUAL_HOST,
        "configure": format!("^({own})$"),
        "write": format!("^({own}|amq[.]default)$"),
        "read": format!("^({own})$"),
    })
}

/// A service publishes its own types, and gets those and the ones that it consumes.
fn topic_permission(service: &Service) -> Value {
    let types = |types: &[&String]| {
        let types: Vec<_> = types.iter().map(|name| name.replace('.', "[.]")).collect();
        format!("^({})$", types.join("|"))
    };
    let published: Vec<_> = service.publishes.iter().collect();
    let received: Vec<_> = service.publishes.iter().chain(&service.consumes).collect();
    json!({
        "user": service.identifier(),
        "vhost": VIRTUAL_HOST,
        "exchange": EVENTS,
        "write": types(&published),
        "read": types(&received),
    })
}
