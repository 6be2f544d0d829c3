//! A load balancer in front of the instances of one service, with health checks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;

use crate::process::Instance;
use crate::proxy::{Proxy, Target};

/// The interval between health checks of an instance.
const INTERVAL: Duration = Duration::from_millis(200);

/// Sends new connections to the instances that are ready. Open connections stay where they are.
#[derive(Debug)]
pub struct Balancer {
    proxy: Arc<Proxy>,
    instances: Arc<Mutex<Vec<SocketAddr>>>,
    health_checks: JoinHandle<()>,
}

impl Balancer {
    /// A balancer in front of `instances`, which are ready.
    pub async fn start(instances: Vec<SocketAddr>) -> Result<Self> {
        let proxy = Arc::new(Proxy::start(instances.iter().copied().map(Target::Tcp).collect()).await?);
        let instances = Arc::new(Mutex::new(instances));
        let health_checks = tokio::spawn(check(Arc::clone(&proxy), Arc::clone(&instances)));
        Ok(Self { proxy, instances, health_checks })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// Puts the instance `new` in the place of `old`.
    pub fn replace(&self, old: SocketAddr, new: SocketAddr) {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        instances.iter_mut().filter(|instance| **instance == old).for_each(|instance| *instance = new);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.health_checks.abort();
    }
}

async fn check(proxy: Arc<Proxy>, instances: Arc<Mutex<Vec<SocketAddr>>>) {
    loop {
        let all = instances.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut ready = Vec::new();
        for address in all {
            if Instance::is_ready(address).await {
                ready.push(Target::Tcp(address));
            }
        }
        proxy.set_targets(ready);
        tokio::time::sleep(INTERVAL).await;
    }
}
