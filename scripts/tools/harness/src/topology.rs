//! Stand-in for the crate `topology`: once that is merged, `pub use ::topology;` in lib.rs replaces this file.

use std::sync::LazyLock;

static PLATFORM: LazyLock<Platform> = LazyLock::new(|| {
    let service = |name: &str, database: &str, calls: &[&str]| Service {
        name: name.to_owned(),
        database: database.to_owned(),
        calls: calls.iter().map(|&name| name.to_owned()).collect(),
    };
    let users = service("user-service", "users", &[]);
    Platform { services: vec![users, service("order-service", "orders", &["user-service"])] }
});

/// The platform.
pub fn platform() -> &'static Platform {
    &PLATFORM
}

/// All services of the platform.
#[derive(Debug)]
pub struct Platform {
    /// Every service, each below the services that it calls.
    pub services: Vec<Service>,
}

/// One service of the platform.
#[derive(Debug)]
pub struct Service {
    /// The name of its program.
    pub name: String,
    /// Its PostgreSQL database.
    pub database: String,
    /// The names of the services that it calls.
    pub calls: Vec<String>,
}

impl Platform {
    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}

impl Service {
    /// The beginning of the environment variables that concern it, such as `USER_SERVICE`.
    pub fn variable(&self) -> String {
        self.name.replace('-', "_").to_uppercase()
    }
}
