//! What the process takes of the machine, by the names that all client libraries of Prometheus use.

use std::fmt;

use procfs::process::{LimitValue, Process};
use procfs::{boot_time_secs, page_size, ticks_per_second};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::Encode;

/// Read from /proc each time; what cannot be read is left out.
#[derive(Debug)]
pub(super) struct Figures;

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(process) = Process::myself() else { return Ok(()) };
        let ticks = |number: u64| number as f64 / ticks_per_second() as f64;
        if let Ok(stat) = process.stat() {
            let cpu = ticks(stat.utime + stat.stime);
            encoder.counter("process_cpu_seconds", "Processor time used.", cpu)?;
            let resident = stat.rss * page_size();
            encoder.gauge("process_resident_memory_bytes", "Memory in RAM.", resident)?;
            if let Ok(boot) = boot_time_secs() {
                let start = boot as f64 + ticks(stat.starttime);
                encoder.gauge("process_start_time_seconds", "When it started, since 1970.", start)?;
            }
        }
        if let Ok(open) = process.fd_count() {
            encoder.gauge("process_open_fds", "Open file descriptors.", open)?;
        }
        if let Ok(LimitValue::Value(most)) = process.limits().map(|limits| limits.max_open_files.soft_limit) {
            encoder.gauge("process_max_fds", "The most open file descriptors.", most)?;
        }
        Ok(())
    }
}
