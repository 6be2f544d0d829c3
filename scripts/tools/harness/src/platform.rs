//! Every service of the platform as a running program.

use std::net::SocketAddr;
use std::ops::Index;

use topology::{self, Service};

use crate::process::{Instance, Settings};

/// Running services; dropping it kills them.
#[derive(Debug, Default)]
pub struct Platform {
    /// Each service, after those that it calls.
    pub members: Vec<Member>,
}

/// A running service.
#[derive(Debug)]
pub struct Member {
    /// What is known of the service.
    pub service: &'static Service,
    /// Its process and address.
    pub instance: Instance,
}

impl Platform {
    /// The service `name`, if it runs.
    pub fn get(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.service.name == name)
    }
}

impl Index<&str> for Platform {
    type Output = Member;

    /// # Panics
    ///
    /// If the service does not run.
    fn index(&self, name: &str) -> &Member {
        self.get(name).unwrap_or_else(|| panic!("{name} does not run"))
    }
}

/// The settings of an instance of `service`: its database, and the URL of each called service that it needs and that has an
/// `address`. What it works without is left out, so that what is measured stays comparable.
pub fn settings(service: &Service, database_url: &str, address: impl Fn(&str) -> Option<SocketAddr>) -> Settings {
    let needed = service.calls.iter().filter(|name| !service.optional_calls.contains(name));
    let called = needed.filter_map(|name| topology::platform().service(name));
    let url =
        |called: &Service| Some((format!("{}_URL", called.variable()), format!("http://{}", address(&called.name)?)));
    [("DATABASE_URL".to_owned(), database_url.to_owned())].into_iter().chain(called.filter_map(url)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_gets_the_url_of_each_service_that_it_needs() {
        for service in &topology::platform().services {
            let settings = settings(service, "sqlite:x", |_| Some(([127, 0, 0, 1], 9).into()));
            assert_eq!(settings.len(), 1 + service.calls.len() - service.optional_calls.len());
            assert!(settings[1..].iter().all(|(name, url)| name.ends_with("_URL") && url == "http://127.0.0.1:9"));
        }
    }
}
