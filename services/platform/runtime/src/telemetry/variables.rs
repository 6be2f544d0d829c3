//! The variables of OpenTelemetry that are read beside `OTEL_EXPORTER_OTLP_ENDPOINT`, by its own crates.

use std::ops::RangeInclusive;
use std::time::Duration;

use opentelemetry_otlp::OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT;
use slog::{Logger, info, warn};

/// The numbers, with bounds: outside them the exporter exports without a pause, panics, or allocates all memory.
const NUMBERS: [(&str, RangeInclusive<u64>); 5] = [
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 1..=100_000),
    ("OTEL_BSP_MAX_QUEUE_SIZE", 1..=100_000),
    ("OTEL_BSP_SCHEDULE_DELAY", 1..=3_600_000),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", 1..=3_600_000),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", 1..=3_600_000),
];

const TEXTS: [&str; 4] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_RESOURCE_ATTRIBUTES",
];

/// The variables that name a proxy for requests over plain HTTP.
const PROXIES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// Checks the numbers among the variables.
///
/// # Errors
///
/// One line that names the variable and its bounds.
pub(crate) fn check() -> Result<(), String> {
    for (name, range) in NUMBERS {
        let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else { continue };
        let number = value.to_str().and_then(|value| value.parse().ok());
        if !number.is_some_and(|number| range.contains(&number)) {
            let (value, first, last) = (value.display(), range.start(), range.end());
            return Err(format!("{name} is \"{value}\": expected a number from {first} to {last}"));
        }
    }
    Ok(())
}

/// How long an export may take.
pub(super) fn timeout() -> Duration {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let set = names.iter().find_map(|name| std::env::var(name).ok()?.parse().ok());
    set.map_or(OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT, Duration::from_millis)
}

/// Logs which of the variables that are set are not read. Without a collector too: a variable that is not read may be
/// what should have named it.
pub(super) fn log_without_effect(log: &Logger) {
    let is_read = |name: &str| TEXTS.contains(&name) || NUMBERS.iter().any(|(number, _)| *number == name);
    let set = std::env::vars_os().filter(|(_, value)| !value.is_empty());
    for name in set.filter_map(|(name, _)| name.into_string().ok()) {
        if name.starts_with("OTEL_") && !is_read(&name) {
            warn!(log, "variable has no effect"; "variable" => name);
        }
    }
}

/// Logs which variable names a proxy for spans.
pub(super) fn log_proxy(log: &Logger) {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if let Some(name) = PROXIES.into_iter().find(is_set) {
        info!(log, "traces pass a proxy unless NO_PROXY excludes the collector"; "variable" => name);
    }
}
