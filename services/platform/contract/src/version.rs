//! Resources with a version, which responses tell as an entity tag: `ETag` (RFC 9110, section 8.8.3).

use dropshot::{ApiEndpointResponse, Body, HttpError, HttpResponse, HttpResponseHeaders, HttpResponseOk};
use http::header::{ETAG, LOCATION};
use http::{Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::answer::Created;
use crate::error_code::INTERNAL_ERROR;

crate::integer_type! {
    /// How often a resource was written: 1 when it was created, and one more with each change.
    pub struct Version in 1..=crate::constrained::MAX_SAFE_INTEGER, example 1;
}

/// A resource with a version.
pub trait Versioned {
    /// Its version.
    fn version(&self) -> Version;

    /// What else is in its representation, and changes without a new version: a part of the entity tag, of digits and
    /// dots. [`IfMatch`](crate::precondition::IfMatch) ignores it.
    fn unversioned(&self) -> String {
        String::new()
    }
}

/// The entity tag of `resource`.
pub(crate) fn entity_tag(resource: &impl Versioned) -> String {
    match resource.unversioned() {
        nothing if nothing.is_empty() => format!("\"{}\"", resource.version()),
        rest => format!("\"{}.{rest}\"", resource.version()),
    }
}

/// The header of all responses with a resource in the document.
#[derive(Serialize, JsonSchema)]
struct TaggedHeaders {
    /// The entity tag of the resource: its version and, after a dot, what changes without a new version. Send it as
    /// `If-Match` to change the resource only if nobody else has, or as `If-None-Match` to read it only if it is another.
    #[serde(rename = "ETag")]
    etag: String,
}

/// Adds an entity tag to `response`.
pub(crate) fn add_tag(response: &mut Response<Body>, tag: &str) -> Result<(), HttpError> {
    response.headers_mut().insert(ETAG, tag.parse().map_err(http::Error::from)?);
    Ok(())
}

/// The response with a resource: 200, and its entity tag.
#[derive(Debug)]
pub struct Tagged<T>(pub T);

impl<T: Versioned + Serialize + JsonSchema + Send + Sync + 'static> HttpResponse for Tagged<T> {
    fn to_result(self) -> Result<Response<Body>, HttpError> {
        let tag = entity_tag(&self.0);
        let mut response = HttpResponseOk(self.0).to_result()?;
        add_tag(&mut response, &tag)?;
        Ok(response)
    }

    fn response_metadata() -> ApiEndpointResponse {
        HttpResponseHeaders::<HttpResponseOk<T>, TaggedHeaders>::response_metadata()
    }

    fn status_code(&self) -> StatusCode {
        StatusCode::OK
    }
}

/// As [`Created`], with the entity tag of the resource.
#[derive(Debug)]
pub struct TaggedCreated<T>(pub Created<T>);

impl<T> HttpResponse for TaggedCreated<T>
where
    T: Versioned + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static,
{
    fn to_result(self) -> Result<Response<Body>, HttpError> {
        let created: T = self.0.read().map_err(|error| INTERNAL_ERROR.with_cause(error))?;
        let mut response = self.0.to_result()?;
        add_tag(&mut response, &entity_tag(&created))?;
        Ok(response)
    }

    fn response_metadata() -> ApiEndpointResponse {
        let mut metadata = Created::<T>::response_metadata();
        metadata.headers.extend(Tagged::<T>::response_metadata().headers);
        metadata
    }

    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }
}

/// The response to a request that changed a resource, and that can be stored and replayed as [`Created`] can: 200, with the
/// resource and its entity tag.
#[derive(Debug)]
pub struct TaggedChanged<T>(pub Created<T>);

impl<T> HttpResponse for TaggedChanged<T>
where
    T: Versioned + Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static,
{
    fn to_result(self) -> Result<Response<Body>, HttpError> {
        let mut response = TaggedCreated(self.0).to_result()?;
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().remove(LOCATION);
        Ok(response)
    }

    fn response_metadata() -> ApiEndpointResponse {
        let mut headers = TaggedCreated::<T>::response_metadata().headers;
        headers.retain(|header| header.name != LOCATION.as_str() && header.name != "Location");
        ApiEndpointResponse { headers, ..Tagged::<T>::response_metadata() }
    }

    fn status_code(&self) -> StatusCode {
        StatusCode::OK
    }
}
