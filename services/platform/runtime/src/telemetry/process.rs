//! CPU, memory and file descriptors of the process, under the names that all Prometheus client libraries use.

use std::fmt;

use procfs::process::{LimitValue, Process};
use procfs::{boot_time_secs, page_size, ticks_per_second};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::encode::Encode;

/// Reads /proc on each scrape; a value that cannot be read is left out.
#[derive(Debug)]
pub(super) struct ProcessMetrics;

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(process) = Process::myself() else { return Ok(()) };
        let seconds = |ticks: u64| ticks as f64 / ticks_per_second() as f64;
        if let Ok(stat) = process.stat() {
            let cpu = seconds(stat.utime + stat.stime);
            encoder.counter("process_cpu_seconds", "CPU time used, in seconds.", cpu)?;
            let resident = stat.rss * page_size();
            encoder.gauge("process_resident_memory_bytes", "Resident memory.", resident)?;
            if let Ok(boot) = boot_time_secs() {
                let start = boot as f64 + seconds(stat.starttime);
                encoder.gauge("process_start_time_seconds", "Start time, in seconds since 1970.", start)?;
            }
        }
        if let Ok(open) = process.fd_count() {
            encoder.gauge("process_open_fds", "Open file descriptors.", open)?;
        }
        if let Ok(LimitValue::Value(max)) = process.limits().map(|limits| limits.max_open_files.soft_limit) {
            encoder.gauge("process_max_fds", "The maximum number of open file descriptors.", max)?;
        }
        Ok(())
    }
}
