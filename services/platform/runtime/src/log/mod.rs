//! The log: one JSON object a line on stdout, a readable line when stdout is a terminal.
//!
//! Every line has `timestamp`, `level`, `message` and `service_name`, and within a request its `request_id` and the
//! `trace_id` by which it is found in the logs of all services. dropshot logs each request with its method, its URI and
//! the text of its error, all of which can hold whatever the client sent, an e-mail address for instance. Here they are
//! reduced to what is known to be no personal data: of the path the words of the contract and the numbers, of a refusal
//! its `error_code`.

mod batch;
mod record;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::Utc;
use serde_json::{Map, Value};
use slog::{Drain, Level, Logger, Never, OwnedKVList, Record, o};

use crate::docs;
use crate::telemetry;
use crate::trace::TraceContext;

pub(crate) use batch::flush_stdout;
pub(crate) use record::LOGGED_TRACEPARENT;

use record::{Fields, Form};

/// The logger of a process, on stdout. `documents` are the OpenAPI documents of what it serves: paths are logged in
/// their words alone.
///
/// Lines are written together, a few milliseconds after they were logged; [`crate::process`] writes the last ones when
/// the process ends.
pub fn to_stdout(service_name: &'static str, level: Level, documents: &[&str]) -> Logger {
    let form = if io::stdout().is_terminal() { Form::Readable } else { Form::Json };
    logger(service_name, level, Lines::new(batch::Stdout, form, documents))
}

/// The logger of a process, as JSON lines into `writer`, each at once.
pub fn to_writer(
    service_name: &'static str,
    level: Level,
    documents: &[&str],
    writer: impl Write + Send + 'static,
) -> Logger {
    logger(service_name, level, Lines::new(writer, Form::Json, documents))
}

fn logger<W: Write + Send + 'static>(service_name: &'static str, level: Level, lines: Lines<W>) -> Logger {
    Logger::root(Arc::new(lines.filter_level(level).fuse()), o!("service_name" => service_name))
}

/// Writes each record as one whole line.
struct Lines<W> {
    writer: Mutex<W>,
    form: Form,
    known_words: BTreeSet<String>,
}

impl<W> Lines<W> {
    fn new(writer: W, form: Form, documents: &[&str]) -> Self {
        let unpublished = ["openapi.json", telemetry::WORD].iter().chain(docs::WORDS);
        let mut known_words: BTreeSet<_> = unpublished.map(|word| (*word).to_owned()).collect();
        for document in documents {
            let document: Value = serde_json::from_str(document).unwrap_or_default();
            let paths = document["paths"].as_object().into_iter().flat_map(Map::keys);
            let words = paths.flat_map(|path| path.split('/')).filter(|word| !word.starts_with('{'));
            known_words.extend(words.map(str::to_owned));
        }
        Self { writer: Mutex::new(writer), form, known_words }
    }

    /// Adds the path of `uri` to `line`, with every part replaced that is neither a word of the contract nor a number.
    fn add_safe_path(&self, uri: &str, line: &mut Vec<u8>) {
        for (index, part) in path_of(uri).split('/').take(16).enumerate() {
            if index > 0 {
                line.push(b'/');
            }
            let number = part.len() <= 19 && part.bytes().all(|byte| byte.is_ascii_digit());
            let safe = number || self.known_words.contains(part);
            line.extend_from_slice(if safe { part.as_bytes() } else { b"*" });
        }
    }
}

/// The path of the URI of a request. Over HTTP/2, and in the absolute form (RFC 9112, section 3.2.2), scheme and authority stand
/// before it.
pub(crate) fn path_of(uri: &str) -> &str {
    let target = match uri.split_once("://") {
        Some((_, rest)) if !uri.starts_with('/') => rest.find(['/', '?']).map_or("", |start| &rest[start..]),
        _ => uri,
    };
    target.split('?').next().unwrap_or_default()
}

/// A method of HTTP; any other is the client's own invention.
fn safe_method(method: &str) -> &str {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    if known.contains(&method) { method } else { "*" }
}

impl<W: Write + Send> Drain for Lines<W> {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        // dropshot's notes of what is logged better elsewhere: each request, each start.
        if record.msg().as_str().is_some_and(|message| ["accepted connection", "listening"].contains(&message)) {
            return Ok(());
        }
        Fields::with(|fields, line| {
            fields.collect(record, values);
            self.form.begin(line, Utc::now(), record, fields);
            for (name, value) in fields.in_order() {
                match name {
                    "path" => self.form.add(line, name, |line| self.add_safe_path(value.text(), line)),
                    "method" => {
                        self.form.add(line, name, |line| line.extend_from_slice(safe_method(value.text()).as_bytes()))
                    }
                    _ => self.form.add_value(line, name, value),
                }
                if name == "request_id" {
                    let trace = TraceContext::of(value.text(), fields.text(LOGGED_TRACEPARENT), false);
                    self.form.add(line, "trace_id", |line| trace.add_trace_id(line));
                }
            }
            self.form.end(line);
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody is left to be told when the log itself cannot be written.
            let _ = writer.write_all(line).and_then(|()| writer.flush());
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"paths": {"/api/v1/users/{user_id}": {}}}"#;

    fn lines(form: Form, log_some: impl FnOnce(&Logger)) -> String {
        #[derive(Clone, Default)]
        struct Shared(Arc<Mutex<Vec<u8>>>);
        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let out = Shared::default();
        log_some(&logger("some-service", Level::Info, Lines::new(out.clone(), form, &[DOCUMENT])));
        String::from_utf8(out.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_is_one_json_object_with_the_required_fields() {
        let text = lines(Form::Json, |log| {
            let log = log.new(o!("req_id" => "r-1"));
            slog::info!(log, "Created new order"; "order_id" => 1, "user_id" => 123);
        });
        let line: Value = serde_json::from_str(text.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["message"], "Created new order");
        assert_eq!(line["service_name"], "some-service");
        assert_eq!(line["request_id"], "r-1");
        assert_eq!((&line["order_id"], &line["user_id"]), (&1.into(), &123.into()));
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn what_a_client_wrote_into_path_query_or_error_does_not_reach_the_log() {
        for form in [Form::Json, Form::Readable] {
            let text = lines(form, |log| {
                slog::info!(log, "request completed";
                    "method" => "canary",
                    "uri" => "/api/v1/users/canary@example.com/7?email=canary@example.com",
                    "error_message_external" => "invalid type: string \"canary@example.com\"",
                    "error_message_internal" => "invalid_request");
            });
            assert!(!text.contains("canary"), "{text}");
            assert!(text.contains("/api/v1/users/*/7") && text.contains("invalid_request"), "{text}");
        }
    }

    #[test]
    fn the_path_of_a_uri_is_what_stands_between_authority_and_query() {
        for (uri, path) in [
            ("/api/v1/users?limit=5", "/api/v1/users"),
            ("/api/v1/users?from=http://example.com/7", "/api/v1/users"),
            ("http://example.com/api/v1/users?limit=5", "/api/v1/users"),
            ("https://canary@example.com:8001/", "/"),
            ("http://example.com?path=/api", ""),
            ("http://example.com", ""),
            ("example.com:443", "example.com:443"),
            ("*", "*"),
        ] {
            assert_eq!(path_of(uri), path, "{uri}");
        }
    }

    #[test]
    fn a_readable_line_is_one_line_whatever_a_value_holds() {
        let text = lines(Form::Readable, |log| slog::warn!(log, "careful"; "cause" => "two\nlines\u{1b}[31m"));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("WARN  some-service: careful"), "{text}");
    }
}
