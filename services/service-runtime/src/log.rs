//! The log: one JSON object a line on stdout, a readable line when stdout is a terminal.
//!
//! Every line has `timestamp`, `level`, `message` and `service_name`, and within a request its `request_id` and the
//! `trace_id` by which it is found in the logs of all services. dropshot
//! logs each request with its URI and the text of its error, both of which can hold whatever the client sent, an
//! e-mail address for instance. Here they are reduced to what is known to be no personal data: of the path the
//! words of the contract and the numbers, of a refusal its `error_code`.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use slog::{Drain, Key, Level, Logger, Never, OwnedKVList, Record, Serializer, o};

use crate::docs;
use crate::trace::TraceContext;

/// The logger of a process, on stdout. `documents` are the OpenAPI documents of what it serves: paths are logged in
/// their words alone.
pub fn to_stdout(service_name: &'static str, level: Level, documents: &[&str]) -> Logger {
    let form = if io::stdout().is_terminal() { Form::Readable } else { Form::Json };
    logger(service_name, level, Lines::new(io::stdout(), form, documents))
}

/// The logger of a process, as JSON lines into `writer`.
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

#[derive(Clone, Copy)]
enum Form {
    Json,
    Readable,
}

/// Fields in the order in which one reads them, before all others: dropshot's name and ours. What has none of ours is
/// left out: it says nothing new, or what a client wrote.
const NAMES: &[(&str, &str)] = &[
    ("service_name", "service_name"),
    ("req_id", "request_id"),
    ("method", "method"),
    ("uri", "path"),
    ("response_code", "status"),
    ("error_message_internal", "error"),
    ("latency_us", "latency_us"),
    ("error_message_external", ""),
    ("local_addr", ""),
    (LOGGED_TRACEPARENT, ""),
];

/// dropshot's name for the header `traceparent`.
pub(crate) const LOGGED_TRACEPARENT: &str = "hdr_traceparent";

/// Writes each record as one line, whole, at once.
struct Lines<W> {
    writer: Mutex<W>,
    form: Form,
    known_words: BTreeSet<String>,
}

impl<W> Lines<W> {
    fn new(writer: W, form: Form, documents: &[&str]) -> Self {
        let unpublished = ["openapi.json"].iter().chain(docs::WORDS);
        let mut known_words: BTreeSet<_> = unpublished.map(|word| (*word).to_owned()).collect();
        for document in documents {
            let document: Value = serde_json::from_str(document).unwrap_or_default();
            let paths = document["paths"].as_object().into_iter().flat_map(Map::keys);
            let words = paths.flat_map(|path| path.split('/')).filter(|word| !word.starts_with('{'));
            known_words.extend(words.map(str::to_owned));
        }
        Self { writer: Mutex::new(writer), form, known_words }
    }

    /// The path of `uri` with every part replaced that is neither a word of the contract nor a number.
    fn safe_path(&self, uri: &str) -> String {
        let path = uri.split('?').next().unwrap_or_default();
        let part = |part: &str| {
            let number = part.len() <= 19 && part.bytes().all(|byte| byte.is_ascii_digit());
            if number || self.known_words.contains(part) { part.to_owned() } else { "*".to_owned() }
        };
        path.split('/').take(16).map(part).collect::<Vec<_>>().join("/")
    }
}

impl<W: Write + Send> Drain for Lines<W> {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let message = record.msg().to_string();
        // dropshot's notes of what is logged better elsewhere: each request, each start.
        if ["accepted connection", "listening"].contains(&message.as_str()) {
            return Ok(());
        }
        let mut collected = Fields::default();
        // Neither can fail: collecting writes nowhere.
        let _ = slog::KV::serialize(&record.kv(), record, &mut collected);
        let _ = slog::KV::serialize(values, record, &mut collected);
        let mut collected = collected.0;
        let text = |name| collected.get(name).and_then(Value::as_str);
        let trace = text("req_id").map(|id| TraceContext::of(id, text(LOGGED_TRACEPARENT), false));
        let mut fields = Map::new();
        for (name, ours) in NAMES {
            match (collected.shift_remove(*name), *ours) {
                (Some(uri), "path") => {
                    fields.insert("path".to_owned(), self.safe_path(uri.as_str().unwrap_or_default()).into())
                }
                (Some(value), ours) if !ours.is_empty() => fields.insert(ours.to_owned(), value),
                _ => None,
            };
            if let ("request_id", Some(trace)) = (*ours, &trace) {
                fields.insert("trace_id".to_owned(), trace.trace_id().into());
            }
        }
        fields.extend(collected);

        let timestamp = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
        let line = match self.form {
            Form::Json => json_line(&timestamp, record.level(), &message, fields),
            Form::Readable => readable_line(&timestamp, record.level(), &message, fields),
        };
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody is left to be told when the log itself cannot be written.
        let _ = writer.write_all(line.as_bytes()).and_then(|()| writer.flush());
        Ok(())
    }
}

fn json_line(timestamp: &str, level: Level, message: &str, fields: Map<String, Value>) -> String {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), timestamp.into());
    line.insert("level".to_owned(), level.as_str().into());
    line.insert("message".to_owned(), message.into());
    line.extend(fields);
    format!("{}\n", Value::Object(line))
}

fn readable_line(timestamp: &str, level: Level, message: &str, mut fields: Map<String, Value>) -> String {
    let service_name = fields.shift_remove("service_name").unwrap_or_default();
    let mut line =
        format!("{timestamp} {:<5} {}: {message}", level.as_short_str(), service_name.as_str().unwrap_or("-"));
    for (name, value) in fields {
        // Writing to a String cannot fail. JSON's quoting keeps control characters off the terminal.
        let _ = match value.as_str() {
            Some(plain) if !plain.is_empty() && plain.bytes().all(|b| b.is_ascii_graphic() && b != b'"') => {
                write!(line, " {name}={plain}")
            }
            _ => write!(line, " {name}={value}"),
        };
    }
    line.push('\n');
    line
}

/// The key-value pairs of a record. slog gives them from the innermost outwards: where a key stands twice, the first
/// counts.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, key: Key, value: impl Into<Value>) -> slog::Result {
        self.0.entry(key).or_insert(value.into());
        Ok(())
    }
}

macro_rules! plain {
    ($($method:ident($type:ty))*) => { $(
        fn $method(&mut self, key: Key, value: $type) -> slog::Result {
            self.put(key, value)
        }
    )* };
}

impl Serializer for Fields {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.put(key, value.to_string())
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        self.put(key, value)
    }

    plain! {
        emit_bool(bool) emit_i8(i8) emit_i16(i16) emit_i32(i32) emit_i64(i64) emit_isize(isize)
        emit_u8(u8) emit_u16(u16) emit_u32(u32) emit_u64(u64) emit_usize(usize) emit_f32(f32) emit_f64(f64)
    }

    fn emit_u128(&mut self, key: Key, value: u128) -> slog::Result {
        match u64::try_from(value) {
            Ok(value) => self.put(key, value),
            Err(_) => self.put(key, value.to_string()),
        }
    }

    fn emit_none(&mut self, _: Key) -> slog::Result {
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
                    "uri" => "/api/v1/users/canary@example.com/7?email=canary@example.com",
                    "error_message_external" => "invalid type: string \"canary@example.com\"",
                    "error_message_internal" => "invalid_request");
            });
            assert!(!text.contains("canary"), "{text}");
            assert!(text.contains("/api/v1/users/*/7") && text.contains("invalid_request"), "{text}");
        }
    }

    #[test]
    fn a_readable_line_is_one_line_whatever_a_value_holds() {
        let text = lines(Form::Readable, |log| slog::warn!(log, "careful"; "cause" => "two\nlines\u{1b}[31m"));
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("WARN  some-service: careful"), "{text}");
    }
}
