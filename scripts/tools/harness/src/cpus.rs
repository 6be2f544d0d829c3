//! Processor affinity: the services on one half of the processors, the load on the other.

use anyhow::Result;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// The processors of this machine in two halves, so that neither takes time of the other.
#[derive(Debug)]
pub struct Split {
    /// Of the services and their database.
    pub services: CpuSet,
    /// Of the load.
    pub load: CpuSet,
}

impl Split {
    /// `None`: there is only one processor.
    pub fn new() -> Option<Self> {
        let all = sched_getaffinity(None).ok()?;
        let numbers: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|number| all.is_set(*number)).collect();
        let (services, load) = numbers.split_at(numbers.len() / 2);
        (!services.is_empty()).then(|| Self { services: set(services), load: set(load) })
    }
}

fn set(numbers: &[usize]) -> CpuSet {
    let mut set = CpuSet::new();
    numbers.iter().for_each(|number| set.set(*number));
    set
}

/// Runs `start` with this thread on `cpus`: a process inherits the affinity of the thread that starts it.
pub fn with_affinity<T>(cpus: &CpuSet, start: impl FnOnce() -> Result<T>) -> Result<T> {
    let before = sched_getaffinity(None)?;
    sched_setaffinity(None, cpus)?;
    let started = start();
    sched_setaffinity(None, &before)?;
    started
}

/// A tokio runtime on the processors of the load; its tasks end when it is dropped.
#[derive(Debug)]
pub struct LoadRuntime(Option<Runtime>);

impl LoadRuntime {
    /// A runtime with one thread for each processor of the load, at the priority `nice` (0 to 19, 19 yields most).
    pub fn new(nice: i32) -> Result<Self> {
        let cpus = Split::new().map(|split| split.load);
        let threads = cpus.as_ref().map_or(1, |cpus| cpus.count() as usize);
        let prepare = move || {
            // Without either, measurements are only less exact.
            if let Some(cpus) = &cpus {
                let _ = sched_setaffinity(None, cpus);
            }
            // On Linux the priority belongs to the thread, not to the process.
            let _ = rustix::process::setpriority_process(None, nice);
        };
        let runtime =
            Builder::new_multi_thread().worker_threads(threads).enable_all().on_thread_start(prepare).build()?;
        Ok(Self(Some(runtime)))
    }

    /// Spawns a task; `None` only while the runtime is dropped.
    pub fn spawn<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> Option<JoinHandle<T>> {
        self.0.as_ref().map(|runtime| runtime.spawn(task))
    }
}

impl Drop for LoadRuntime {
    fn drop(&mut self) {
        // Waiting for the threads would block the runtime that drops this one.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
