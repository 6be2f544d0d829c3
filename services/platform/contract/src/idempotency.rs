//! The header `Idempotency-Key`, with which a client names one creation, so that a repeated request does not create
//! anything twice (draft-ietf-httpapi-idempotency-key-header).

use async_trait::async_trait;
use dropshot::{
    ApiEndpointBodyContentType, ExtractorMetadata, Header, HttpError, RequestContext, ServerContext, SharedExtractor,
};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::error_code::INVALID_REQUEST;
use crate::extract::in_turn;

/// The header's name.
pub const NAME: &str = "Idempotency-Key";

// Without an example: tools would send it, and whoever does gets the answer to somebody else's request.
crate::string_type! {
    /// A unique name for one request: visible ASCII, spaces only inside. Make a new one for each thing to create, for
    /// example a random UUID, and send it again only to repeat the same request.
    pub struct IdempotencyKey {
        length: 1..=255,
        pattern: "^[!-~]([ -~]*[!-~])?$",
        expected: "1 to 255 characters of visible ASCII, spaces only inside",
    }
}

/// The header in the document.
#[derive(Deserialize, JsonSchema)]
struct Headers {
    /// Makes the request safe to repeat. The first successful answer for a key is stored for at least 24 hours, or
    /// until what it created is deleted: the same request with the same key gets the same answer, byte for byte, with
    /// `Idempotency-Replayed: true`, and creates nothing. Errors are not stored. Bodies are compared by their content,
    /// not by their whitespace.
    #[serde(rename = "Idempotency-Key")]
    #[allow(dead_code, reason = "only its schema is used")]
    idempotency_key: Option<IdempotencyKey>,
}

/// The request's `Idempotency-Key`, if it has one. An invalid key, and more than one, are refused with
/// `invalid_request`.
#[derive(Debug)]
pub struct KeyHeader(pub Option<IdempotencyKey>);

#[async_trait]
impl SharedExtractor for KeyHeader {
    async fn from_request<Context: ServerContext>(rqctx: &RequestContext<Context>) -> Result<Self, HttpError> {
        in_turn(read(rqctx.request.headers())).await.map(Self)
    }

    fn metadata(content_type: ApiEndpointBodyContentType) -> ExtractorMetadata {
        <Header<Headers> as SharedExtractor>::metadata(content_type)
    }
}

fn read(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, HttpError> {
    let refuse = |cause: &str| INVALID_REQUEST.with_message(format!("request header `{NAME}`: {cause}"));
    let mut values = headers.get_all(NAME).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refuse("must be sent at most once"));
    }
    let key = value.to_str().ok().and_then(|text| text.parse().ok());
    key.map(Some).ok_or_else(|| refuse(&format!("expected {}", IdempotencyKey::RULES.expected)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(values: &[&[u8]]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAME, HeaderValue::from_bytes(value).unwrap());
        }
        let key = read(&headers).map_err(|error| error.external_message)?;
        Ok(key.map(|key| key.as_str().to_owned()))
    }

    #[test]
    fn a_key_is_read_unchanged_and_may_be_absent() {
        assert_eq!(of(&[]), Ok(None));
        for key in ["k", "two words", "\"quoted\"", &"k".repeat(255)] {
            assert_eq!(of(&[key.as_bytes()]), Ok(Some(key.to_owned())));
        }
    }

    #[test]
    fn an_invalid_or_repeated_key_is_refused() {
        for wrong in [&[&b""[..]][..], &["ключ".as_bytes()], &[&[b'k'; 256]], &[b"a\tb"], &[b"a", b"b"], &[b"a", b"a"]]
        {
            assert!(of(wrong).unwrap_err().starts_with("request header `Idempotency-Key`: "), "{wrong:?}");
        }
    }
}
