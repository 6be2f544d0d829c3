//! Strict extractors for request bodies, paths and queries.
//!
//! dropshot's own extractors accept bytes after the JSON value, arrays for objects and any content type, read an
//! oversized body to its end, and return errors without an `error_code`. These extractors read the same types strictly
//! and return the platform's error codes; each message names the part of the request that is wrong.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use async_trait::async_trait;
use dropshot::{
    ApiEndpointBodyContentType, Body, ExclusiveExtractor, ExtensionMode, ExtractorMetadata, HttpError, Path, Query,
    RequestContext, ServerContext, SharedExtractor, TypedBody,
};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as TextError, MapDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor};
use serde_path_to_error::Segment;

use crate::error_code::{INVALID_REQUEST, PAYLOAD_TOO_LARGE, REQUEST_TIMEOUT, UNSUPPORTED_MEDIA_TYPE};
use crate::text::shorten;

/// The largest request body, in bytes.
pub const BODY_LIMIT_BYTES: usize = 64 * 1024;

/// The byte order marks of UTF-8 and UTF-16. JSON begins with none (RFC 8259, section 8.1).
const BYTE_ORDER_MARKS: [&[u8]; 3] = [b"\xEF\xBB\xBF", b"\xFE\xFF", b"\xFF\xFE"];

/// How long a request body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// The maximum jitter added to [`BODY_TIMEOUT`]: a thousand bodies that stall together must not all time out in one
/// tick and delay other requests.
const BODY_TIMEOUT_JITTER: Duration = Duration::from_secs(1);

/// A JSON request body: exactly one JSON object that `T` accepts.
///
/// The errors are `unsupported_media_type` for a media type other than plain `application/json`, `payload_too_large`
/// for a body over [`BODY_LIMIT_BYTES`] (the rest is not read), `request_timeout` for a body that takes longer than
/// five to six seconds to arrive, and `invalid_request` for everything else that `T` does not accept.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

#[async_trait]
impl<T: DeserializeOwned + JsonSchema + Send + Sync + 'static> ExclusiveExtractor for JsonBody<T> {
    async fn from_request<Context: ServerContext>(
        _: &RequestContext<Context>,
        request: hyper::Request<Body>,
    ) -> Result<Self, HttpError> {
        in_turn(read_json(request).await).await.map(Self)
    }

    fn metadata(content_type: ApiEndpointBodyContentType) -> ExtractorMetadata {
        <TypedBody<T> as ExclusiveExtractor>::metadata(content_type)
    }
}

/// A request body as it was sent, whatever it is: for what is signed. It is in no document.
///
/// The errors are `payload_too_large`, `request_timeout` and `invalid_request`, as of [`JsonBody`].
#[derive(Debug)]
pub struct RawBody(pub Vec<u8>);

#[async_trait]
impl ExclusiveExtractor for RawBody {
    async fn from_request<Context: ServerContext>(
        _: &RequestContext<Context>,
        request: hyper::Request<Body>,
    ) -> Result<Self, HttpError> {
        in_turn(read(request).await).await.map(Self)
    }

    fn metadata(_: ApiEndpointBodyContentType) -> ExtractorMetadata {
        ExtractorMetadata { extension_mode: ExtensionMode::None, parameters: Vec::new() }
    }
}

/// An optional field of a body: absent, or with a value. `null` is no value; the schema of the field says so too, with
/// `#[schemars(with = "…")]`.
pub fn optional<'de, T: serde::Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// `result`, but an error only after other connections had their turn. hyper reads the next request of a connection as
/// soon as it has the answer to the last: refusing without waiting for anything would let one connection that sends bad
/// requests without a pause keep everybody else waiting.
pub(crate) async fn in_turn<T>(result: Result<T, HttpError>) -> Result<T, HttpError> {
    if result.is_err() {
        tokio::task::yield_now().await;
    }
    result
}

async fn read_json<T: DeserializeOwned>(request: hyper::Request<Body>) -> Result<T, HttpError> {
    check_media_type(request.headers())?;
    parse(&read(request).await?)
}

fn check_media_type(headers: &http::HeaderMap) -> Result<(), HttpError> {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
    if essence.as_deref() != Some("application/json") {
        return Err(UNSUPPORTED_MEDIA_TYPE.to_error());
    }
    // `identity` means that nothing is encoded (RFC 9110, section 8.4.1).
    if !headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(UNSUPPORTED_MEDIA_TYPE.with_message("`Content-Encoding` is not supported"));
    }
    Ok(())
}

async fn read(request: hyper::Request<Body>) -> Result<Vec<u8>, HttpError> {
    let too_large = || PAYLOAD_TOO_LARGE.to_error();
    let declared_length = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared_length.is_some_and(|length| length > BODY_LIMIT_BYTES as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), BODY_LIMIT_BYTES).collect();
    let body_timeout = BODY_TIMEOUT + BODY_TIMEOUT_JITTER.mul_f64(fastrand::f64());
    match tokio::time::timeout(body_timeout, body).await {
        Err(_) => Err(REQUEST_TIMEOUT.to_error()),
        Ok(Ok(body)) => Ok(body.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(INVALID_REQUEST.with_message("request body: ended before it was complete")),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpError> {
    if BYTE_ORDER_MARKS.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(invalid("request body", "begins with a byte order mark; expected JSON in UTF-8 without one"));
    }
    // serde accepts an array for a struct, with the fields in order.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(invalid("request body", "expected a JSON object"));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| invalid(&location("request body", error.path()), describe(error.inner())))?;
    json.end().map_err(|error| invalid("request body", error))?;
    Ok(value)
}

/// The description of `error`. Line and column remain only in a syntax error, which has no field to name.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    if error.is_data() { text.trim_end_matches(&position).to_owned() } else { text }
}

/// The path parameters, read as `T`.
#[derive(Debug)]
pub struct PathParams<T>(pub T);

#[async_trait]
impl<T: DeserializeOwned + JsonSchema + Send + Sync + 'static> SharedExtractor for PathParams<T> {
    async fn from_request<Context: ServerContext>(rqctx: &RequestContext<Context>) -> Result<Self, HttpError> {
        let variables = <Path<BTreeMap<String, String>> as SharedExtractor>::from_request(rqctx).await?;
        in_turn(from_text("path parameter", variables.into_inner())).await.map(Self)
    }

    fn metadata(content_type: ApiEndpointBodyContentType) -> ExtractorMetadata {
        <Path<T> as SharedExtractor>::metadata(content_type)
    }
}

/// The query parameters, read as `T`. `T` needs `#[serde(deny_unknown_fields)]`, because a list with a misspelt filter
/// must not return everything.
#[derive(Debug)]
pub struct QueryParams<T>(pub T);

#[async_trait]
impl<T: DeserializeOwned + JsonSchema + Send + Sync + 'static> SharedExtractor for QueryParams<T> {
    async fn from_request<Context: ServerContext>(rqctx: &RequestContext<Context>) -> Result<Self, HttpError> {
        let pairs = <Query<Vec<(String, String)>> as SharedExtractor>::from_request(rqctx).await?;
        in_turn(from_text("query parameter", pairs.into_inner())).await.map(Self)
    }

    fn metadata(content_type: ApiEndpointBodyContentType) -> ExtractorMetadata {
        <Query<T> as SharedExtractor>::metadata(content_type)
    }
}

fn from_text<T: DeserializeOwned>(
    what: &str,
    pairs: impl IntoIterator<Item = (String, String)>,
) -> Result<T, HttpError> {
    let pairs: Vec<_> = pairs.into_iter().collect();
    let empty: Vec<String> = pairs.iter().filter(|(_, value)| value.is_empty()).map(|(name, _)| name.clone()).collect();
    let map = MapDeserializer::<_, TextError>::new(pairs.into_iter().map(|(name, value)| (name, Text(value))));
    serde_path_to_error::deserialize(map).map_err(|error| {
        let location = location(what, error.path());
        if empty.contains(&error.path().to_string()) {
            // Some tools send every parameter that they know.
            return invalid(&location, "it is empty; leave out what you do not use");
        }
        invalid(&location, error.inner())
    })
}

fn location(what: &str, path: &serde_path_to_error::Path) -> String {
    // A key that is not a string, which JSON cannot have, is an unknown segment.
    let has_no_name = path.iter().next().is_none() || path.iter().any(|segment| matches!(segment, Segment::Unknown));
    if has_no_name { what.to_owned() } else { format!("{what} `{path}`") }
}

fn invalid(location: &str, cause: impl Display) -> HttpError {
    INVALID_REQUEST.with_message(shorten(&format!("{location}: {cause}")))
}

/// A value of a path or query parameter: text that can represent an integer or a truth value.
struct Text(String);

impl<'de> IntoDeserializer<'de, TextError> for Text {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Text {
    type Error = TextError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_string(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        visitor.visit_some(self)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        // A number has one spelling; `i64::from_str` also accepts "+1" and "007".
        match self.0.parse::<i64>() {
            Ok(value) if value.to_string() == self.0 => visitor.visit_i64(value),
            _ => Err(TextError::invalid_value(Unexpected::Str(&self.0), &visitor)),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, TextError> {
        match self.0.as_str() {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            other => Err(TextError::invalid_value(Unexpected::Str(other), &"`true` or `false`")),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests;
