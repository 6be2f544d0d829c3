//! Conditional requests: `If-Match` and `If-None-Match` (RFC 9110, section 13.1).
//!
//! With `If-Match` a change fails if the resource has changed since its `ETag` was read, so two people who edit it at the
//! same time do not overwrite each other. With `If-None-Match` a reader learns without a body that nothing has changed.

use async_trait::async_trait;
use dropshot::{
    ApiEndpointBodyContentType, ApiEndpointResponse, Body, ExtractorMetadata, Header, HttpError, HttpResponse,
    RequestContext, ServerContext, SharedExtractor,
};
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, Response, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error_code::INVALID_REQUEST;
use crate::extract::in_turn;
use crate::version::{Tagged, Version, Versioned, add_tag, entity_tag};

crate::string_type! {
    /// A list of entity tags (RFC 9110, section 8.8.3), or `*`.
    pub struct EntityTags {
        length: 1..=1000,
        pattern: "^([*]|(W/)?\"[!#-~]*\"( *, *(W/)?\"[!#-~]*\")*)$",
        expected: "the `ETag` of a response, or `*`",
    }
}

/// The header in the document.
#[derive(Deserialize, JsonSchema)]
struct Headers {
    /// The `ETag` that the resource must have. If it has another version, nothing is changed and the response is 412. If
    /// absent, or `*`, the resource is changed whatever its version. What follows a dot in an `ETag` is not compared.
    #[serde(rename = "If-Match")]
    #[allow(dead_code, reason = "only its schema is used")]
    if_match: Option<EntityTags>,
}

/// The request's `If-Match`: the versions of which a resource must have one to be changed; `None` if any will do. Refuses
/// what is not a list of entity tags with `invalid_request`.
#[derive(Debug, PartialEq)]
pub struct IfMatch(pub Option<Vec<Version>>);

impl IfMatch {
    fn of(tags: &Tags) -> Self {
        match tags {
            Tags::Absent | Tags::Any => Self(None),
            // A weak tag, and one that no response had, is the tag of nothing.
            Tags::These(tags) => Self(Some(tags.iter().filter_map(|tag| version_in(tag)).collect())),
        }
    }
}

/// The version in a strong entity tag: its digits up to the end, or to the first dot.
fn version_in(tag: &str) -> Option<Version> {
    let opaque = tag.strip_prefix('"')?.strip_suffix('"')?;
    let digits = opaque.split('.').next()?;
    let version = Version::try_from(digits.parse::<i64>().ok()?).ok()?;
    (version.to_string() == digits).then_some(version)
}

#[async_trait]
impl SharedExtractor for IfMatch {
    async fn from_request<Context: ServerContext>(rqctx: &RequestContext<Context>) -> Result<Self, HttpError> {
        in_turn(Tags::read(rqctx.request.headers(), &IF_MATCH).map(|tags| Self::of(&tags))).await
    }

    fn metadata(content_type: ApiEndpointBodyContentType) -> ExtractorMetadata {
        <Header<Headers> as SharedExtractor>::metadata(content_type)
    }
}

/// The other header in the document.
#[derive(Deserialize, JsonSchema)]
struct NoneMatchHeaders {
    /// The `ETag` that the client has already. If the resource still has it, the response is 304, without a body.
    #[serde(rename = "If-None-Match")]
    #[allow(dead_code, reason = "only its schema is used")]
    if_none_match: Option<EntityTags>,
}

/// The request's `If-None-Match`: the representations that the client has already. Refuses what is not a list of entity
/// tags with `invalid_request`.
#[derive(Debug)]
pub struct IfNoneMatch(Tags);

impl IfNoneMatch {
    /// Whether the client has the representation with this entity tag already.
    pub(crate) fn matches(&self, tag: &str) -> bool {
        match &self.0 {
            Tags::Absent => false,
            Tags::Any => true,
            // By the weak comparison: a cache may have weakened a tag.
            Tags::These(tags) => tags.iter().any(|sent| sent.strip_prefix("W/").unwrap_or(sent) == tag),
        }
    }
}

#[async_trait]
impl SharedExtractor for IfNoneMatch {
    async fn from_request<Context: ServerContext>(rqctx: &RequestContext<Context>) -> Result<Self, HttpError> {
        in_turn(Tags::read(rqctx.request.headers(), &IF_NONE_MATCH).map(Self)).await
    }

    fn metadata(content_type: ApiEndpointBodyContentType) -> ExtractorMetadata {
        <Header<NoneMatchHeaders> as SharedExtractor>::metadata(content_type)
    }
}

/// The response to a request for a resource that can be conditional: as [`Tagged`], or 304 if the client has it already.
#[derive(Debug)]
pub enum Conditional<T> {
    /// The resource.
    Tagged(Tagged<T>),
    /// The client has the resource with this entity tag.
    NotModified(String),
}

impl<T: Versioned> Conditional<T> {
    /// The response with `resource` to a request with this condition.
    pub fn new(resource: T, condition: &IfNoneMatch) -> Self {
        let tag = entity_tag(&resource);
        if condition.matches(&tag) { Self::NotModified(tag) } else { Self::Tagged(Tagged(resource)) }
    }
}

impl<T: Versioned + Serialize + JsonSchema + Send + Sync + 'static> HttpResponse for Conditional<T> {
    fn to_result(self) -> Result<Response<Body>, HttpError> {
        match self {
            Self::Tagged(tagged) => tagged.to_result(),
            Self::NotModified(tag) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                add_tag(&mut response, &tag)?;
                Ok(response)
            }
        }
    }

    fn response_metadata() -> ApiEndpointResponse {
        Tagged::<T>::response_metadata()
    }

    fn status_code(&self) -> StatusCode {
        match self {
            Self::Tagged(tagged) => tagged.status_code(),
            Self::NotModified(_) => StatusCode::NOT_MODIFIED,
        }
    }
}

/// The value of a header with entity tags.
#[derive(Debug)]
enum Tags {
    Absent,
    Any,
    /// As they were sent, with quotes and perhaps `W/`.
    These(Vec<String>),
}

impl Tags {
    fn read(headers: &HeaderMap, name: &HeaderName) -> Result<Self, HttpError> {
        let title = if name == IF_MATCH { "If-Match" } else { "If-None-Match" };
        let refused = |cause| INVALID_REQUEST.with_message(format!("request header `{title}`: {cause}"));
        let mut tags = Vec::new();
        for value in headers.get_all(name) {
            let value = value.to_str().unwrap_or_default().trim();
            let list: EntityTags = value.parse().map_err(refused)?;
            if list.as_str() == "*" {
                return Ok(Self::Any);
            }
            // What is between quotes is a tag, and what is before it says whether the tag is weak.
            let mut parts = list.as_str().split('"');
            while let (Some(before), Some(opaque)) = (parts.next(), parts.next()) {
                let weak = if before.ends_with("W/") { "W/" } else { "" };
                tags.push(format!("{weak}\"{opaque}\""));
            }
        }
        Ok(if headers.contains_key(name) { Self::These(tags) } else { Self::Absent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(values: &[&str]) -> Result<Option<Vec<i64>>, String> {
        let values = values.iter().map(|value| (IF_MATCH, HeaderValue::from_str(value).unwrap()));
        let tags = Tags::read(&values.collect(), &IF_MATCH).map_err(|error| error.external_message)?;
        let IfMatch(versions) = IfMatch::of(&tags);
        Ok(versions.map(|versions| versions.into_iter().map(Version::get).collect()))
    }

    #[test]
    fn if_match_is_a_list_of_versions() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["*"]), Ok(None));
        assert_eq!(of(&["\"3\"", "*"]), Ok(None));
        assert_eq!(of(&["\"3\""]), Ok(Some(vec![3])));
        assert_eq!(of(&[" \"3\" ,\"12\"", "\"4\""]), Ok(Some(vec![3, 12, 4])));
        // What follows a dot has no version of its own.
        assert_eq!(of(&["\"3.250.0\""]), Ok(Some(vec![3])));
    }

    #[test]
    fn a_tag_that_is_no_version_matches_nothing() {
        for other in
            ["\"\"", "\"abc\"", "\"0\"", "\"-1\"", "\"03\"", "\"+3\"", "W/\"3\"", "\"9007199254740992\"", "\"3,4\""]
        {
            assert_eq!(of(&[other]), Ok(Some(vec![])), "{other}");
        }
    }

    #[test]
    fn what_is_no_list_of_tags_is_refused() {
        for wrong in [&["3"][..], &[""], &["\"3"], &["\"3\";"], &["*, \"3\""], &["\"3\"", "*,"]] {
            assert!(of(wrong).unwrap_err().starts_with("request header `If-Match`: "), "{wrong:?}");
        }
    }

    #[test]
    fn if_none_match_compares_whole_tags() {
        let matches = |sent: Option<&str>, tag: &str| {
            let value = sent.map(|sent| (IF_NONE_MATCH, HeaderValue::from_str(sent).unwrap()));
            IfNoneMatch(Tags::read(&value.into_iter().collect(), &IF_NONE_MATCH).unwrap()).matches(tag)
        };
        for sent in ["\"3.1\"", "W/\"3.1\"", "\"2\", \"3.1\"", "*"] {
            assert!(matches(Some(sent), "\"3.1\""), "{sent}");
        }
        assert!(!matches(None, "\"3.1\""));
        assert!(!matches(Some("\"3\""), "\"3.1\""));
    }
}
