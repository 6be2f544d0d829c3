//! The text formats of metrics: OpenMetrics, and the older one of Prometheus, which more tools read.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};

/// A text format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Prometheus,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The format with the higher quality in `Accept` (RFC 9110, section 12.5.1); OpenMetrics if the client has no
    /// preference.
    pub(super) fn preferred(headers: &HeaderMap) -> Self {
        let accepted: Vec<&str> =
            headers.get_all(ACCEPT).iter().flat_map(HeaderValue::to_str).flat_map(|list| list.split(',')).collect();
        let open_metrics = quality(&accepted, "1.0.0", ["application/openmetrics-text", "application/*", "*/*"]);
        let prometheus = quality(&accepted, "0.0.4", ["text/plain", "text/*", "*/*"]);
        if prometheus > open_metrics { Self::Prometheus } else { Self::OpenMetrics }
    }
}

/// The quality of a media type with `version`, which `ranges` match, the most specific first.
fn quality(accepted: &[&str], version: &str, ranges: [&str; 3]) -> f32 {
    let of_range = |range: &&str| accepted.iter().filter_map(|item| quality_of(item, range, version)).reduce(f32::max);
    ranges.iter().find_map(of_range).unwrap_or_default()
}

/// The quality in `item` of `Accept`, if it is about `range` and not about another version.
fn quality_of(item: &str, range: &str, version: &str) -> Option<f32> {
    let mut parts = item.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(range) {
        return None;
    }
    let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
    let value = |name: &str| Some(parameters.iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?.1);
    if value("version").is_some_and(|asked| asked.trim_matches('"') != version) {
        return None;
    }
    Some(value("q").map_or(1.0, |quality| quality.parse().unwrap_or_default()))
}

/// Converts metrics from OpenMetrics to Prometheus' text format 0.0.4, where a metric has the name of its samples and
/// nothing marks the end.
pub(super) fn to_prometheus(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(named) = line.strip_prefix("# HELP ") {
            help = named.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|named| named.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            text += &format!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            text += line;
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_accept_prefers() {
        for (accept, format) in [
            (&[][..], Format::OpenMetrics),
            (&["*/*"], Format::OpenMetrics),
            (&["text/plain;version=0.0.4"], Format::Prometheus),
            (&["text/plain"], Format::Prometheus),
            (&["text/html,*/*;q=0.8"], Format::OpenMetrics),
            (&["text/*;q=0.5, application/openmetrics-text;q=0.4"], Format::Prometheus),
            (
                &["text/plain; version=\"0.0.4\"; Q=.3", "application/openmetrics-text;version=1.0.0;q=0.2"],
                Format::Prometheus,
            ),
            // Prometheus 3, and Prometheus with `scrape_protocols: [PrometheusText0.0.4]`.
            (
                &["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                   application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,\
                   text/plain;version=0.0.4;q=0.3,*/*;q=0.2"],
                Format::OpenMetrics,
            ),
            (&["text/plain;version=0.0.4;q=0.3,*/*;q=0.2"], Format::Prometheus),
            (&["text/plain;version=1.0.0"], Format::OpenMetrics),
            (&["\u{fc}", "text/plain;q=x"], Format::OpenMetrics),
        ] {
            let headers = accept.iter().map(|value| (ACCEPT, HeaderValue::from_bytes(value.as_bytes()).unwrap()));
            let mut map = HeaderMap::new();
            map.extend(headers);
            assert_eq!(Format::preferred(&map), format, "{accept:?}");
        }
    }

    #[test]
    fn a_metric_of_prometheus_has_the_name_of_its_samples() {
        let open_metrics = "# HELP build Name and version.\n# TYPE build info\nbuild_info{version=\"1\"} 1\n\
            # HELP calls Calls.\n# TYPE calls counter\n# UNIT calls seconds\ncalls_total 2\n\
            # HELP open Open.\n# TYPE open gauge\nopen 3\n# EOF\n";
        let prometheus = "# HELP build_info Name and version.\n# TYPE build_info gauge\nbuild_info{version=\"1\"} 1\n\
            # HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total 2\n\
            # HELP open Open.\n# TYPE open gauge\nopen 3\n";
        assert_eq!(to_prometheus(open_metrics), prometheus);
    }
}
