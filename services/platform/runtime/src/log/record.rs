//! The fields of a log record, and the formatting of a line.

use std::fmt;
use std::io::Write;
use std::ops::Range;

use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use slog::{Key, OwnedKVList, Record, Serializer};

use crate::dropshot_log::{
    EXTERNAL_ERROR, INTERNAL_ERROR, LATENCY_US, LOCAL_ADDRESS, METHOD, REMOTE_ADDRESS, REQUEST_ID, STATUS, TRACEPARENT,
    URI,
};

/// The fields that come before all others, in the order of a line: the name in the record and the name in the line. A
/// field without a name in the line is not written itself.
const NAMES: [(&str, &str); 8] = [
    ("service_name", "service_name"),
    (REQUEST_ID, "request_id"),
    (METHOD, "method"),
    (URI, "path"),
    (STATUS, "status"),
    (INTERNAL_ERROR, "error"),
    (LATENCY_US, "latency_us"),
    (TRACEPARENT, ""),
];

/// Fields that are never collected: one can repeat input, one is personal data, one is the same in every line.
const IGNORED: [&str; 3] = [EXTERNAL_ERROR, REMOTE_ADDRESS, LOCAL_ADDRESS];

/// The values of a record's fields as JSON. slog passes them from the innermost logger outwards, so of several values
/// with one key the first one is used.
#[derive(Default)]
pub(super) struct Fields {
    json: Vec<u8>,
    named: [Option<Range<usize>>; NAMES.len()],
    others: Vec<(Key, Range<usize>)>,
}

/// A value as JSON.
#[derive(Clone, Copy)]
pub(super) struct Json<'a>(&'a [u8]);

impl<'a> Json<'a> {
    /// The text between the quotes of a string: the string itself, if it contains nothing that JSON escapes.
    pub(super) fn text(self) -> &'a str {
        let inner = self.0.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(self.0);
        std::str::from_utf8(inner).unwrap_or_default()
    }
}

impl Fields {
    /// The fields of `record` and the `values` of its logger.
    pub(super) fn of(record: &Record<'_>, values: &OwnedKVList) -> Self {
        let mut fields = Self::default();
        // Serializing cannot fail: it only fills `fields`.
        let _ = slog::KV::serialize(&record.kv(), record, &mut fields);
        let _ = slog::KV::serialize(values, record, &mut fields);
        fields
    }

    /// The text of the field with `name` in the record.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let index = NAMES.iter().position(|(known, _)| *known == name)?;
        Some(self.json(self.named[index].as_ref()?).text())
    }

    /// The names in the line and the values, in the order of the line.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (&str, Json<'_>)> {
        let named = NAMES.iter().zip(&self.named).filter(|((_, line_name), _)| !line_name.is_empty());
        let named = named.filter_map(|((_, line_name), range)| Some((*line_name, self.json(range.as_ref()?))));
        named.chain(self.others.iter().map(|(key, range)| (AsRef::<str>::as_ref(key), self.json(range))))
    }

    fn json(&self, range: &Range<usize>) -> Json<'_> {
        Json(&self.json[range.clone()])
    }

    fn put(&mut self, key: Key, value: impl Serialize) -> slog::Result {
        let named = NAMES.iter().position(|(known, _)| key == *known);
        let skip = match named {
            Some(index) => self.named[index].is_some(),
            None => IGNORED.iter().any(|ignored| key == *ignored) || self.others.iter().any(|(other, _)| *other == key),
        };
        if skip {
            return Ok(());
        }
        let start = self.json.len();
        // Cannot fail: the value is no map, and memory can be written.
        let _ = serde_json::to_writer(&mut self.json, &value);
        let range = start..self.json.len();
        match named {
            Some(index) => self.named[index] = Some(range),
            None => self.others.push((key, range)),
        }
        Ok(())
    }
}

macro_rules! put_as_is {
    ($($method:ident($type:ty))*) => { $(
        fn $method(&mut self, key: Key, value: $type) -> slog::Result {
            self.put(key, value)
        }
    )* };
}

impl Serializer for Fields {
    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        self.put(key, value)
    }

    put_as_is! {
        emit_str(&str)
        emit_bool(bool) emit_i8(i8) emit_i16(i16) emit_i32(i32) emit_i64(i64) emit_isize(isize)
        emit_u8(u8) emit_u16(u16) emit_u32(u32) emit_u64(u64) emit_usize(usize) emit_f32(f32) emit_f64(f64)
        emit_u128(u128)
    }

    fn emit_none(&mut self, _: Key) -> slog::Result {
        Ok(())
    }
}

fn add_all<const N: usize>(line: &mut Vec<u8>, parts: [&str; N]) {
    parts.iter().for_each(|part| line.extend_from_slice(part.as_bytes()));
}

/// The format of a line.
#[derive(Clone, Copy)]
pub(super) enum Format {
    Json,
    Readable,
}

// Writing to memory cannot fail.
impl Format {
    /// Adds time, level and message. A readable line has the service name here instead of as a field.
    pub(super) fn begin(self, line: &mut Vec<u8>, record: &Record<'_>, fields: &mut Fields) {
        let (time, level) = (Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true), record.level());
        match self {
            Self::Json => {
                add_all(line, [r#"{"timestamp":""#, &time, r#"","level":""#, level.as_str(), r#"","message":"#]);
                let _ = serde_json::to_writer(&mut *line, record.msg());
            }
            Self::Readable => {
                let service = fields.text("service_name").unwrap_or("-");
                let _ = write!(line, "{time} {:<5} {service}: {}", level.as_short_str(), record.msg());
                fields.named[0] = None;
            }
        }
    }

    /// Adds a string field. `text` adds its text, which must contain nothing that JSON escapes.
    pub(super) fn add(self, line: &mut Vec<u8>, name: &str, text: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Json => {
                add_all(line, [r#",""#, name, r#"":""#]);
                text(line);
                line.push(b'"');
            }
            Self::Readable => {
                add_all(line, [" ", name, "="]);
                text(line);
            }
        }
    }

    /// Adds a field with the JSON of its value.
    pub(super) fn add_value(self, line: &mut Vec<u8>, name: &str, value: Json<'_>) {
        match self {
            Self::Json => {
                add_all(line, [r#",""#, name, r#"":"#]);
                line.extend_from_slice(value.0);
            }
            Self::Readable => {
                // JSON's quoting keeps control characters off the terminal.
                let text = value.text();
                let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
                add_all(line, [" ", name, "="]);
                line.extend_from_slice(if plain { text.as_bytes() } else { value.0 });
            }
        }
    }

    pub(super) fn end(self, line: &mut Vec<u8>) {
        if let Self::Json = self {
            line.push(b'}');
        }
        line.push(b'\n');
    }
}
