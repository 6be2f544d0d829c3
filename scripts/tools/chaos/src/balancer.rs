//! What stands in front of several instances: it asks each whether it is ready, and sends new connections to those that are.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinHandle;

use crate::process::Service;
use crate::proxy::{Proxy, Target};

/// How often each instance is asked.
const INTERVAL: Duration = Duration::from_millis(200);

/// A proxy before the instances of one service. Connections that are open stay where they are.
#[derive(Debug)]
pub(crate) struct Balancer {
    proxy: Arc<Proxy>,
    instances: Arc<Mutex<Vec<SocketAddr>>>,
    asking: JoinHandle<()>,
}

impl Balancer {
    /// In front of `instances`, which are ready.
    pub(crate) async fn start(instances: Vec<SocketAddr>) -> Result<Self> {
        let proxy = Arc::new(Proxy::start(instances.iter().copied().map(Target::Tcp).collect()).await?);
        let instances = Arc::new(Mutex::new(instances));
        let asking = tokio::spawn(ask(Arc::clone(&proxy), Arc::clone(&instances)));
        Ok(Self { proxy, instances, asking })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.proxy.address()
    }

    /// An instance was replaced by another.
    pub(crate) fn replace(&self, old: SocketAddr, new: SocketAddr) {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        instances.iter_mut().filter(|instance| **instance == old).for_each(|instance| *instance = new);
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

async fn ask(proxy: Arc<Proxy>, instances: Arc<Mutex<Vec<SocketAddr>>>) {
    loop {
        let all = instances.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut ready = Vec::new();
        for address in all {
            if Service::is_ready(address).await {
                ready.push(Target::Tcp(address));
            }
        }
        proxy.set_targets(ready);
        tokio::time::sleep(INTERVAL).await;
    }
}
