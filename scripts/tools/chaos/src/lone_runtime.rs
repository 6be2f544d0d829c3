//! Threads for load that is measured, on processors that the services of a [`crate::platform::Setup`] `apart` do not use.

use std::future::Future;

use anyhow::Result;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::process::halves;

/// A runtime of its own; what runs there ends when it is dropped.
#[derive(Debug)]
pub(crate) struct LoneRuntime(Option<Runtime>);

impl LoneRuntime {
    /// With one thread for each processor that is left to the load. `nice`: they step back for all others (0 to 19).
    pub(crate) fn new(nice: i32) -> Result<Self> {
        let processors = halves().map(|(_, load)| load);
        let threads = processors.as_ref().map_or(1, |processors| processors.count() as usize);
        let prepare = move || {
            // Without either it is only less exact.
            if let Some(processors) = &processors {
                let _ = rustix::thread::sched_setaffinity(None, processors);
            }
            // On Linux this is of the thread, not of the process.
            let _ = rustix::process::setpriority_process(None, nice);
        };
        let runtime =
            Builder::new_multi_thread().worker_threads(threads).enable_all().on_thread_start(prepare).build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs `future` there.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Option<JoinHandle<T>> {
        self.0.as_ref().map(|runtime| runtime.spawn(future))
    }
}

impl Drop for LoneRuntime {
    fn drop(&mut self) {
        // Waiting for its threads is not allowed in another runtime.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
