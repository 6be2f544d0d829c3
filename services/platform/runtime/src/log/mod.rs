//! The log: one JSON object per line on stdout, or readable text when stdout is a terminal.
//!
//! Every line has `timestamp`, `level`, `message` and `service_name`, and within a request its `request_id` and the
//! `trace_id` that finds it in the logs of all services. dropshot logs the method, the URI and the error text of each
//! request, all of which can contain what a client sent, such as an e-mail address, and the client's address. The log writes
//! only the parts that cannot be personal data: known path segments and numbers of the URI, and the `error_code` of an
//! error.

mod batch;
mod record;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use contract::paths;
use serde_json::Value;
use slog::{Drain, Level, Logger, Never, OwnedKVList, Record, o};

use crate::dropshot_log::{REDUNDANT, TRACEPARENT};
use crate::request_path::path_of;
use crate::trace::TraceContext;
use crate::unpublished::ENDPOINTS;

pub(crate) use batch::flush_stdout;

use record::{Fields, Format};

/// The logger of a process, on stdout. `documents` are the OpenAPI documents that it serves: of request paths, only
/// segments of theirs and numbers are logged.
///
/// Lines are buffered for a few milliseconds; the buffer is flushed when the process ends.
pub fn to_stdout(service_name: &'static str, level: Level, documents: &[&str]) -> Logger {
    let format = if io::stdout().is_terminal() { Format::Readable } else { Format::Json };
    logger(service_name, level, Lines::new(batch::Stdout, format, documents))
}

/// The logger of a process, as JSON lines to `writer`, without a buffer. `documents` as for [`to_stdout`].
pub fn to_writer(
    service_name: &'static str,
    level: Level,
    documents: &[&str],
    writer: impl Write + Send + 'static,
) -> Logger {
    logger(service_name, level, Lines::new(writer, Format::Json, documents))
}

fn logger<W: Write + Send + 'static>(service_name: &'static str, level: Level, lines: Lines<W>) -> Logger {
    Logger::root(Arc::new(lines.filter_level(level).fuse()), o!("service_name" => service_name))
}

/// Writes each record as one whole line.
struct Lines<W> {
    writer: Mutex<W>,
    format: Format,
    known_segments: BTreeSet<String>,
}

impl<W> Lines<W> {
    fn new(writer: W, format: Format, documents: &[&str]) -> Self {
        let documents: Vec<Value> = documents.iter().flat_map(|document| serde_json::from_str(document)).collect();
        let published = documents.iter().flat_map(paths::operations).map(|operation| operation.path);
        let served = published.chain(ENDPOINTS.iter().map(|endpoint| endpoint.path));
        let segments = served.flat_map(|path| path.split('/')).filter(|segment| !segment.starts_with('{'));
        let known_segments = segments.map(str::to_owned).collect();
        Self { writer: Mutex::new(writer), format, known_segments }
    }

    /// Adds the path of `uri` to `line`, with `*` for each segment that is neither a known one nor a number.
    fn add_safe_path(&self, uri: &str, line: &mut Vec<u8>) {
        for (index, segment) in path_of(uri).split('/').take(16).enumerate() {
            if index > 0 {
                line.push(b'/');
            }
            let number = segment.len() <= 19 && segment.bytes().all(|byte| byte.is_ascii_digit());
            let safe = number || self.known_segments.contains(segment);
            line.extend_from_slice(if safe { segment.as_bytes() } else { b"*" });
        }
    }
}

/// `method` if it is one of HTTP; a client can send any other text as the method.
fn safe_method(method: &str) -> &str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    if known.contains(&method) { method } else { "*" }
}

impl<W: Write + Send> Drain for Lines<W> {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        if record.msg().as_str().is_some_and(|message| REDUNDANT.contains(&message)) {
            return Ok(());
        }
        let (mut fields, mut line) = (Fields::of(record, values), Vec::with_capacity(512));
        self.format.begin(&mut line, record, &mut fields);
        for (name, value) in fields.in_order() {
            match name {
                "path" => self.format.add(&mut line, name, |line| self.add_safe_path(value.text(), line)),
                "method" => self
                    .format
                    .add(&mut line, name, |line| line.extend_from_slice(safe_method(value.text()).as_bytes())),
                _ => self.format.add_value(&mut line, name, value),
            }
            if name == "request_id" {
                let trace = TraceContext::of(value.text(), fields.text(TRACEPARENT), false);
                self.format.add(&mut line, "trace_id", |line| trace.add_trace_id(line));
            }
        }
        self.format.end(&mut line);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // A failure to write the log cannot be logged.
        let _ = writer.write_all(&line).and_then(|()| writer.flush());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use service_testing::CapturedLog;

    use super::*;

    const DOCUMENT: &str = r#"{"paths": {"/api/v1/users/{user_id}": {"get": {}}}}"#;

    fn lines(format: Format, log_some: impl FnOnce(&Logger)) -> String {
        let out = CapturedLog::default();
        log_some(&logger("some-service", Level::Info, Lines::new(out.clone(), format, &[DOCUMENT])));
        out.text()
    }

    #[test]
    fn a_line_is_a_json_object_with_the_required_fields() {
        let text = lines(Format::Json, |log| {
            let log = log.new(o!("req_id" => "r-1"));
            slog::info!(log, "order created"; "order_id" => 1, "user_id" => 123);
        });
        let line: Value = serde_json::from_str(text.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "order created");
        assert_eq!(line["service_name"], "some-service");
        assert_eq!(line["request_id"], "r-1");
        assert_eq!((&line["order_id"], &line["user_id"]), (&1.into(), &123.into()));
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn text_that_a_client_sent_is_not_logged() {
        for format in [Format::Json, Format::Readable] {
            let text = lines(format, |log| {
                slog::info!(log, "request completed";
                    "method" => "canary",
                    "uri" => "/api/v1/users/canary@example.com/7?email=canary@example.com",
                    "remote_addr" => "canary:1234",
                    "error_message_external" => "invalid type: string \"canary@example.com\"",
                    "error_message_internal" => "invalid_request");
            });
            assert!(!text.contains("canary"), "{text}");
            assert!(text.contains("/api/v1/users/*/7") && text.contains("invalid_request"), "{text}");
        }
    }

    #[test]
    fn a_readable_entry_is_one_line_whatever_its_values() {
        let text = lines(Format::Readable, |log| slog::warn!(log, "careful"; "cause" => "two\nlines\u{1b}[31m"));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("WARN  some-service: careful"), "{text}");
    }
}
