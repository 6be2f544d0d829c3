//! SMS by an HTTP API of the shape of Twilio's.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use service_runtime::tls;
use tokio::time::timeout;
use url::Url;

use super::outgoing::SendError;

/// The maximum duration of a request.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The value of `SMS_URL`: where the provider is, and the account. `Display` and `Debug` leave out the token.
#[derive(Clone)]
pub(crate) struct SmsUrl {
    messages: Url,
    account: String,
    token: String,
}

impl SmsUrl {
    /// Whether the token is sent without encryption.
    pub(crate) fn exposes_token(&self) -> bool {
        self.messages.scheme() == "http"
    }
}

impl FromStr for SmsUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected https://ACCOUNT:TOKEN@HOST, special characters percent-encoded".to_owned();
        let url: Url = text.parse().map_err(|_| expected())?;
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8().map(String::from);
        let account = decoded(url.username()).ok().filter(|account| !account.is_empty()).ok_or_else(expected)?;
        let token = url.password().and_then(|token| decoded(token).ok()).ok_or_else(expected)?;
        let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        if !plain || !["http", "https"].contains(&url.scheme()) {
            return Err(expected());
        }
        let mut messages = url.clone();
        messages.set_username("").and_then(|()| messages.set_password(None)).map_err(|()| expected())?;
        messages.set_path("");
        messages.path_segments_mut().map_err(|()| expected())?.extend([
            "2010-04-01",
            "Accounts",
            &account,
            "Messages.json",
        ]);
        Ok(Self { messages, account, token })
    }
}

impl fmt::Display for SmsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.messages.host_str().unwrap_or_default();
        let port = self.messages.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{}://{}@{host}{port}", self.messages.scheme(), self.account)
    }
}

impl fmt::Debug for SmsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The SMS provider.
pub(crate) struct SmsProvider {
    // Not reqwest, whose TLS wants the system's authorities, which the images do not have, also for clients without TLS.
    http: Client<HttpsConnector<HttpConnector>, String>,
    url: SmsUrl,
    from: String,
}

impl SmsProvider {
    /// The provider at `url`, which sends as `from`.
    ///
    /// # Errors
    ///
    /// TLS cannot be set up.
    pub(crate) fn new(url: SmsUrl, from: String) -> Result<Self> {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(None)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        Ok(Self { http: Client::builder(TokioExecutor::new()).build(connector), url, from })
    }

    pub(super) async fn send(&self, to: &str, text: &str) -> Result<(), SendError> {
        let request = self.request(to, text).map_err(|error| SendError::Refused(error.to_string()))?;
        let response = timeout(TIMEOUT, self.http.request(request)).await;
        let response = response.map_err(|_| SendError::Unknown("no response in time".to_owned()))?;
        let status = response.map_err(unsent)?.status();
        let text = format!("status {}", status.as_u16());
        match status {
            _ if status.is_success() => Ok(()),
            // The account, the token or the address of the provider is wrong, or nobody may send now.
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::TOO_MANY_REQUESTS => Err(SendError::Unavailable(text)),
            _ if status.is_redirection() => Err(SendError::Unavailable(text)),
            StatusCode::REQUEST_TIMEOUT => Err(SendError::Postponed(text)),
            _ if status.is_client_error() => Err(SendError::Refused(text)),
            _ => Err(SendError::Unknown(text)),
        }
    }

    fn request(&self, to: &str, text: &str) -> http::Result<Request<String>> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("To", to).append_pair("From", &self.from).append_pair("Body", text);
        let credentials = STANDARD.encode(format!("{}:{}", self.url.account, self.url.token));
        Request::post(self.url.messages.as_str())
            .header(AUTHORIZATION, format!("Basic {credentials}"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.finish())
    }
}

fn unsent(error: Error) -> SendError {
    let cause = root_cause(&error);
    if error.is_connect() {
        SendError::Unavailable(format!("cannot connect: {cause}"))
    } else {
        SendError::Unknown(format!("no response: {cause}"))
    }
}

/// What an error of the HTTP client comes from.
fn root_cause(mut error: &dyn std::error::Error) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_account_and_keeps_its_token() {
        let url: SmsUrl = "https://AC1:s%2Fcret@sms.example:8443".parse().unwrap();
        assert_eq!(url.messages.as_str(), "https://sms.example:8443/2010-04-01/Accounts/AC1/Messages.json");
        assert_eq!((url.account.as_str(), url.token.as_str(), url.exposes_token()), ("AC1", "s/cret", false));
        assert_eq!((url.to_string(), format!("{url:?}")), ("https://AC1@sms.example:8443".to_owned(), url.to_string()));
        assert!("http://a:b@127.0.0.1:1".parse::<SmsUrl>().unwrap().exposes_token());
        for wrong in ["", "sms.example", "ftp://a:b@host", "https://host", "https://a@host", "https://a:b@host/path"] {
            assert!(wrong.parse::<SmsUrl>().unwrap_err().starts_with("expected https://"), "{wrong}");
        }
    }
}
