//! The services of the platform, as `services/platform.toml` lists them.

use std::collections::HashSet;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use toml::de::Error;

#[cfg(test)]
mod tests;

/// The ports that a service may have on the host. Defaults of other ports are derived from them.
const PORTS: RangeInclusive<u16> = 8001..=8099;

static PLATFORM: LazyLock<Platform> = LazyLock::new(|| match Platform::parse(include_str!("../../../platform.toml")) {
    Ok(platform) => platform,
    Err(error) => panic!("services/platform.toml: {error}"),
});

/// The platform that `services/platform.toml` describes.
///
/// # Panics
///
/// If the file breaks a rule of [`Platform::parse`]; every service and its tests fail then.
#[must_use]
pub fn platform() -> &'static Platform {
    &PLATFORM
}

/// All services of the platform.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// Every service, each below the services that it calls.
    #[serde(rename = "service")]
    pub services: Vec<Service>,
}

/// One service of the platform.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The name of its crate, program, image, host and metrics job, such as `user-service`.
    pub name: String,
    /// Its port on the host, for development.
    pub port: u16,
    /// Its PostgreSQL database.
    pub database: String,
    /// The names of the services that it calls.
    #[serde(default)]
    pub calls: Vec<String>,
    /// Those of `calls` that it works without, where no address of them is configured.
    #[serde(default)]
    pub optional_calls: Vec<String>,
    /// The types of the events that it publishes.
    #[serde(default)]
    pub publishes: Vec<String>,
    /// The types of the events that it consumes.
    #[serde(default)]
    pub consumes: Vec<String>,
    /// The variables of the settings that only this service has, perhaps with `=` and their value in Compose.
    #[serde(default)]
    pub settings: Vec<String>,
    /// Whether it writes files besides its database.
    #[serde(default)]
    pub files: bool,
}

impl Platform {
    /// Reads a platform from TOML.
    ///
    /// # Errors
    ///
    /// If the text has another shape, if a name, port, database or event type occurs twice, if a name contains more than
    /// lower-case letters, digits and separators, if a port is outside 8001 to 8099, if a service calls one that is not
    /// listed above it, if an optional call is not among the calls, or if nothing publishes an event that a service
    /// consumes.
    pub fn parse(toml: &str) -> Result<Self, Error> {
        let platform: Self = toml::from_str(toml)?;
        platform.validate().map_err(Error::custom)?;
        Ok(platform)
    }

    /// The service that publishes this type of event.
    #[must_use]
    pub fn publisher(&self, event: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.publishes.iter().any(|published| published == event))
    }

    /// The service of this name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }

    fn validate(&self) -> Result<(), String> {
        let mut names = HashSet::new();
        let mut ports = HashSet::new();
        let mut databases = HashSet::new();
        let mut published = HashSet::new();
        for service in &self.services {
            let Service { name, port, database, .. } = service;
            if !is_name(name, '-') || !is_name(database, '_') {
                return Err(format!("`{name}` or its database `{database}` is not a name in lower case"));
            }
            // Checked before the service itself is added: no service calls itself, and no circle of calls is possible.
            if let Some(callee) = service.calls.iter().find(|callee| !names.contains(*callee)) {
                return Err(format!("`{name}` calls `{callee}`, which is not listed above it"));
            }
            if let Some(callee) = service.optional_calls.iter().find(|callee| !service.calls.contains(callee)) {
                return Err(format!("`{name}` optionally calls `{callee}`, which is not in its `calls`"));
            }
            if !names.insert(name) {
                return Err(format!("`{name}` is listed twice"));
            }
            if !PORTS.contains(port) {
                return Err(format!("the port {port} of `{name}` is not one of {PORTS:?}"));
            }
            if !ports.insert(port) {
                return Err(format!("`{name}` has the port {port} of another service"));
            }
            if !databases.insert(database) {
                return Err(format!("`{name}` has the database `{database}` of another service"));
            }
            if let Some(event) = service.publishes.iter().find(|event| !published.insert(*event)) {
                return Err(format!("`{event}` is published twice"));
            }
        }
        for service in &self.services {
            if let Some(event) = service.consumes.iter().find(|event| !published.contains(event)) {
                return Err(format!("`{}` consumes `{event}`, which no service publishes", service.name));
            }
        }
        Ok(())
    }
}

impl Service {
    /// Its URL on the host, such as `http://127.0.0.1:8001`.
    #[must_use]
    pub fn local_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its name as an identifier, such as `user_service`: its crate in Rust and its role in PostgreSQL.
    #[must_use]
    pub fn identifier(&self) -> String {
        self.name.replace('-', "_")
    }

    /// The beginning of the environment variables that concern it, such as `USER_SERVICE`.
    #[must_use]
    pub fn variable(&self) -> String {
        self.identifier().to_uppercase()
    }

    /// Its client crate, such as `user-client`.
    #[must_use]
    pub fn client(&self) -> String {
        format!("{}-client", self.short_name())
    }

    /// The crate for consumers of its events, such as `user-events`; `None` if it publishes none.
    #[must_use]
    pub fn events_crate(&self) -> Option<String> {
        (!self.publishes.is_empty()).then(|| format!("{}-events", self.short_name()))
    }

    fn short_name(&self) -> &str {
        self.name.strip_suffix("-service").unwrap_or(&self.name)
    }
}

/// Whether this is words of lower-case letters and digits, a letter first: such names need no quotes in any of the files
/// that they are generated into.
fn is_name(text: &str, separator: char) -> bool {
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit());
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.split(separator).all(is_word)
}
