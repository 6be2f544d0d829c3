//! Every service of the platform as a running program, each on a database of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Index;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::sleep;

use crate::process::{Instance, Settings};
use crate::proxy::{Proxy, Target};
use topology::{self, Service};

/// The `DATABASE_URL` of each service, by its name.
pub type DatabaseUrls = BTreeMap<&'static str, String>;

/// Running services; dropping it kills them.
#[derive(Debug)]
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
    database_url: String,
    proxy: Option<Proxy>,
}

impl Member {
    /// The proxy in front of it; an error if the platform has none.
    pub fn proxy(&self) -> Result<&Proxy> {
        self.proxy.as_ref().with_context(|| format!("{} has no proxy", self.service.name))
    }
}

impl Platform {
    /// Starts every service that has a database in `databases` with `launch`, callees first. `proxied`: a proxy is in
    /// front of each, which keeps its address when the service restarts.
    pub async fn start(
        databases: &DatabaseUrls,
        proxied: bool,
        launch: impl AsyncFn(&'static Service, &Settings) -> Result<Instance>,
    ) -> Result<Self> {
        let mut platform = Self { members: Vec::new() };
        for service in &topology::platform().services {
            let Some(database_url) = databases.get(service.name.as_str()).cloned() else { continue };
            let settings = settings(service, &database_url, |name| platform.front(name));
            let instance = launch(service, &settings).await?;
            let proxy = match proxied {
                true => Some(Proxy::start(vec![Target::Tcp(instance.address)]).await?),
                false => None,
            };
            platform.members.push(Member { service, instance, database_url, proxy });
        }
        Ok(platform)
    }

    /// The settings of another instance of the service `name`.
    pub fn settings(&self, name: &str) -> Settings {
        let member = &self[name];
        settings(member.service, &member.database_url, |name| self.front(name))
    }

    /// Kills a service as a crash does, and starts it again on the same data after `pause`.
    pub async fn crash(
        &mut self,
        name: &str,
        pause: Duration,
        launch: impl AsyncFn(&'static Service, &Settings) -> Result<Instance>,
    ) -> Result<()> {
        let settings = self.settings(name);
        let member = self.members.iter_mut().find(|member| member.service.name == name);
        let member = member.with_context(|| format!("{name} does not run"))?;
        member.instance.process.kill()?;
        sleep(pause).await;
        member.instance = launch(member.service, &settings).await?;
        if let Some(proxy) = &member.proxy {
            proxy.set_targets(vec![Target::Tcp(member.instance.address)]);
        }
        Ok(())
    }

    /// Where the service `name` is reached: its proxy, or itself where there is none.
    pub fn front(&self, name: &str) -> Option<SocketAddr> {
        let member = self.members.iter().find(|member| member.service.name == name)?;
        Some(member.proxy.as_ref().map_or(member.instance.address, Proxy::address))
    }
}

impl Index<&str> for Platform {
    type Output = Member;

    /// # Panics
    ///
    /// If the service does not run.
    fn index(&self, name: &str) -> &Member {
        let member = self.members.iter().find(|member| member.service.name == name);
        member.unwrap_or_else(|| panic!("{name} does not run"))
    }
}

/// The settings of an instance of `service`: its database, and the URL of each called service that has an `address`.
pub fn settings(service: &Service, database_url: &str, address: impl Fn(&str) -> Option<SocketAddr>) -> Settings {
    let called = service.calls.iter().filter_map(|name| topology::platform().service(name));
    let url =
        |called: &Service| Some((format!("{}_URL", called.variable()), format!("http://{}", address(&called.name)?)));
    [("DATABASE_URL".to_owned(), database_url.to_owned())].into_iter().chain(called.filter_map(url)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_gets_the_url_of_each_service_that_it_calls() {
        for service in &topology::platform().services {
            let settings = settings(service, "sqlite:x", |_| Some(([127, 0, 0, 1], 9).into()));
            assert_eq!(settings.len(), 1 + service.calls.len());
            assert!(settings[1..].iter().all(|(name, url)| name.ends_with("_URL") && url == "http://127.0.0.1:9"));
        }
    }
}
