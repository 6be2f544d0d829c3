//! Successful responses: the headers that every response has, and responses to a creation that can be replayed.

use std::fmt;
use std::marker::PhantomData;

use dropshot::{
    ApiEndpointResponse, Body, HttpCodedResponse, HttpError, HttpResponse, HttpResponseCreated, HttpResponseHeaders,
};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The header that marks a replayed response.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Adds the headers that keep a response from being cached, sniffed for another media type, or run in a browser
/// (OWASP REST security cheat sheet).
pub(crate) fn harden(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
}

/// A successful response of an operation. Only the request guard makes one, so that no operation can bypass it.
#[derive(Debug)]
pub struct Answer<R>(R);

impl<R> Answer<R> {
    /// For the request guard: `answer` has passed it.
    pub fn passed(answer: R) -> Self {
        Self(answer)
    }
}

impl<R: HttpResponse> HttpResponse for Answer<R> {
    fn to_result(self) -> Result<Response<Body>, HttpError> {
        let mut response = self.0.to_result()?;
        harden(response.headers_mut());
        Ok(response)
    }

    fn response_metadata() -> ApiEndpointResponse {
        R::response_metadata()
    }

    fn status_code(&self) -> StatusCode {
        self.0.status_code()
    }
}

/// The response to a request that created a resource: 201, with a `T` and where the resource can be read. It can be
/// stored and replayed.
pub struct Created<T> {
    /// The body: the `T` as JSON.
    pub body: String,
    /// The path of the resource.
    pub location: String,
    /// Whether it is the stored response to an earlier request.
    pub replayed: bool,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize> Created<T> {
    /// The response about `created`, for a resource at the path `location`.
    pub fn new(created: &T, location: String) -> serde_json::Result<Self> {
        Ok(Self { body: serde_json::to_string(created)?, location, replayed: false, of: PhantomData })
    }
}

impl<T: DeserializeOwned> Created<T> {
    /// What was created.
    pub(crate) fn read(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.body)
    }
}

impl<T> Created<T> {
    /// A stored response.
    pub fn replay(body: String, location: String) -> Self {
        Self { body, location, replayed: true, of: PhantomData }
    }
}

impl<T> fmt::Debug for Created<T> {
    /// Without the body, which can contain personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Created").field("location", &self.location).field("replayed", &self.replayed).finish()
    }
}

/// The headers of a [`Created`] in the document.
#[derive(Serialize, JsonSchema)]
struct CreatedHeaders {
    /// The path of the created resource, on this service.
    #[serde(rename = "Location")]
    location: String,
    /// `true` on the replayed response to an earlier request with the same `Idempotency-Key`; otherwise absent.
    #[serde(rename = "Idempotency-Replayed", default)]
    #[schemars(with = "bool")]
    idempotency_replayed: Option<bool>,
}

impl<T: Serialize + JsonSchema + Send + Sync + 'static> HttpResponse for Created<T> {
    fn to_result(self) -> Result<Response<Body>, HttpError> {
        let mut response = Response::builder()
            .status(StatusCode::CREATED)
            .header(CONTENT_TYPE, "application/json")
            .header(LOCATION, self.location);
        if self.replayed {
            response = response.header(REPLAYED, "true");
        }
        Ok(response.body(self.body.into())?)
    }

    fn response_metadata() -> ApiEndpointResponse {
        HttpResponseHeaders::<HttpResponseCreated<T>, CreatedHeaders>::response_metadata()
    }

    fn status_code(&self) -> StatusCode {
        <HttpResponseCreated<T> as HttpCodedResponse>::STATUS_CODE
    }
}
