//! What HTTP requires of every request and dropshot does not check, before a request reaches an operation.
//!
//! dropshot has no middleware, but it asks a version policy about each request before it looks for the operation. The
//! services have their version in the path, so [`StrictHttp`] has only one version to name, and refuses what dropshot
//! would accept:
//!
//! - a method in lower case, which dropshot takes for the one in upper case (RFC 9110, section 9.1);
//! - a path with empty segments, which dropshot leaves out: `/users/` with an empty id would be the list;
//! - no `Host`, or several (RFC 9112, section 3.2), and a `Transfer-Encoding` that nobody undoes (section 6.1);
//! - a change that a web page of another origin sends (cross-site request forgery). Browsers send some requests without
//!   asking the service first, for example a POST without a body.
//!
//! Unknown paths and methods are refused here too, so that these errors have an `error_code` like all others.
//!
//! What is refused here closes its connection: hyper reads the next request of a connection as soon as it has the answer
//! to the last, so one connection that sends such requests without a pause would keep everybody else waiting.

use std::collections::{BTreeMap, BTreeSet};

use contract::error_code::{INVALID_PATH, INVALID_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND, UNSUPPORTED_TRANSFER_CODING};
use contract::paths;
use dropshot::semver::Version as ApiVersion;
use dropshot::{Body, DynamicVersionPolicy, HttpError};
use http::header::{ALLOW, CONNECTION, HOST, ORIGIN, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Version};
use serde_json::Value;
use slog::Logger;

use crate::unpublished::{ENDPOINTS, METHODS};

/// The header in which a browser states whose page makes the request (W3C, Fetch Metadata Request Headers).
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The checks of a service.
#[derive(Debug)]
pub(crate) struct StrictHttp {
    routes: Vec<Route>,
}

/// A path template and its methods, as in the header `Allow`.
#[derive(Debug)]
struct Route {
    path: String,
    methods: BTreeSet<String>,
}

impl StrictHttp {
    /// The checks of a service that serves the operations of `document` and the [`ENDPOINTS`] of every service.
    pub(crate) fn new(document: &str) -> Self {
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        let mut methods = BTreeMap::<&str, BTreeSet<String>>::new();
        for operation in paths::operations(&document) {
            methods.entry(operation.path).or_default().insert(operation.method.to_uppercase());
        }
        for endpoint in ENDPOINTS {
            methods.entry(endpoint.path).or_default().extend(METHODS.map(str::to_owned));
        }
        let routes = methods.into_iter().map(|(path, methods)| Route { path: path.to_owned(), methods });
        Self { routes: routes.collect() }
    }

    fn check(&self, request: &Request<Body>) -> Result<(), HttpError> {
        check_host(request)?;
        check_transfer_encoding(request)?;
        self.check_target(request.method(), request.uri().path())?;
        check_origin(request)
    }

    fn check_target(&self, method: &Method, path: &str) -> Result<(), HttpError> {
        if !paths::is_decodable(path) {
            return Err(INVALID_PATH.to_error());
        }
        let route = self.routes.iter().find(|route| paths::matches(path, &route.path));
        let methods = &route.ok_or_else(|| NOT_FOUND.to_error())?.methods;
        if methods.contains(method.as_str()) {
            return Ok(());
        }
        let mut error = METHOD_NOT_ALLOWED.to_error();
        let allowed = methods.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        if let Ok(allowed) = HeaderValue::try_from(allowed) {
            error.headers_mut().insert(ALLOW, allowed);
        }
        Err(error)
    }
}

impl DynamicVersionPolicy for StrictHttp {
    /// Checks a request; the version is always the same.
    fn request_extract_version(&self, request: &Request<Body>, _: &Logger) -> Result<ApiVersion, HttpError> {
        self.check(request).map_err(|mut error| {
            error.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            error
        })?;
        Ok(ApiVersion::new(1, 0, 0))
    }
}

fn check_host(request: &Request<Body>) -> Result<(), HttpError> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let valid = match (hosts.next(), hosts.next()) {
        (Some(host), None) => is_host(host.as_bytes()),
        // HTTP/2 has the pseudo-header `:authority` instead, HTTP/1.0 has nothing.
        (None, _) => request.version() != Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    if valid { Ok(()) } else { Err(refused("Host", "expected exactly once, with a host and perhaps a port")) }
}

/// Whether `value` is a host with or without a port, or empty, as it is if the target has no authority.
fn is_host(value: &[u8]) -> bool {
    value.is_empty() || Authority::try_from(value).is_ok_and(|authority| !authority.as_str().contains('@'))
}

fn check_transfer_encoding(request: &Request<Body>) -> Result<(), HttpError> {
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(UNSUPPORTED_TRANSFER_CODING.to_error()),
    }
}

/// Refuses a change by a page of another origin. Only browsers send these headers, and pages cannot set them.
fn check_origin(request: &Request<Body>) -> Result<(), HttpError> {
    if request.method().is_safe() {
        return Ok(());
    }
    let headers = request.headers();
    match (headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes), headers.get(ORIGIN)) {
        (Some(b"same-origin" | b"none"), _) | (None, None) => Ok(()),
        (Some(_), _) => Err(refused("Sec-Fetch-Site", "a web page of another origin must not change anything")),
        // Browsers leave out `Sec-Fetch-Site` without TLS, except on the same machine.
        (None, Some(origin)) if is_own(origin, request) => Ok(()),
        (None, Some(_)) => Err(refused("Origin", "a web page of another origin must not change anything")),
    }
}

/// Whether `origin` has the host and port to which the request was sent.
fn is_own(origin: &HeaderValue, request: &Request<Body>) -> bool {
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let host = authority.or_else(|| request.headers().get(HOST).map(HeaderValue::as_bytes));
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.zip(host).is_some_and(|((_, origin), host)| origin.as_bytes().eq_ignore_ascii_case(host))
}

fn refused(header: &str, cause: &str) -> HttpError {
    INVALID_REQUEST.with_message(format!("request header `{header}`: {cause}"))
}
