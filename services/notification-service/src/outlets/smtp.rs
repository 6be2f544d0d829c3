//! E-mail by SMTP (RFC 5321), one transaction a message.
//!
//! The connections are lettre's; keeping them is done here, because its own pool takes back a connection whose message was
//! given up half way, and says of an error neither whether it was the server's or the recipient's.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lettre::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use tokio::time::timeout;
use url::Url;

use super::outgoing::SendError;

/// The maximum duration until a connection can take a message.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The maximum duration of a message's transaction: mail servers check a message before they accept it.
const SEND_TIMEOUT: Duration = Duration::from_secs(120);
/// How long an unused connection is kept. Servers wait for five minutes and more (RFC 5321, section 4.5.3.2).
const MAX_IDLE: Duration = Duration::from_secs(30);
/// The maximum number of unused connections.
const MAX_PARKED: usize = 8;

const EXPECTED: &str = "expected smtps://USER:PASSWORD@HOST, smtp://HOST?tls=required or smtp://HOST, special characters \
                        percent-encoded; with TLS, cacertfile=FILE names the authorities to trust";

/// The value of `SMTP_URL`: where the mail server is. `Display` and `Debug` leave out the password.
///
/// Without a port it is 465 for `smtps`, 587 with `tls=required`, and 25 for plain `smtp`. With TLS, the server's certificate
/// must be signed by a public authority, or by one of those in the PEM file that the parameter `cacertfile` names.
#[derive(Clone)]
pub(crate) struct SmtpUrl {
    host: String,
    port: u16,
    credentials: Option<(String, String)>,
    encryption: Encryption,
    authorities: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq)]
enum Encryption {
    None,
    StartTls,
    FromTheStart,
}

impl SmtpUrl {
    /// The host, without the brackets of an IPv6 address.
    fn name(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }

    /// Whether there is a password, and no encryption.
    pub(crate) fn exposes_password(&self) -> bool {
        self.credentials.is_some() && self.encryption == Encryption::None
    }
}

impl FromStr for SmtpUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || EXPECTED.to_owned();
        let url: Url = text.parse().map_err(|_| expected())?;
        if !["", "/"].contains(&url.path()) || url.fragment().is_some() {
            return Err(expected());
        }
        let (mut start_tls, mut authorities) = (false, None);
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), value.as_ref()) {
                ("tls", "required") if !start_tls => start_tls = true,
                ("cacertfile", path) if !path.is_empty() && authorities.is_none() => authorities = Some(path.into()),
                _ => return Err(expected()),
            }
        }
        let encryption = match (url.scheme(), start_tls) {
            ("smtps", false) => Encryption::FromTheStart,
            ("smtp", true) => Encryption::StartTls,
            ("smtp", false) if authorities.is_none() => Encryption::None,
            _ => return Err(expected()),
        };
        let standard_port = match encryption {
            Encryption::None => 25,
            Encryption::StartTls => 587,
            Encryption::FromTheStart => 465,
        };
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8().map(String::from);
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) if !user.is_empty() => {
                Some((decoded(user).map_err(|_| expected())?, decoded(password).map_err(|_| expected())?))
            }
            _ => return Err(expected()),
        };
        Ok(Self {
            host: url.host_str().filter(|host| !host.is_empty()).ok_or_else(expected)?.to_owned(),
            port: url.port().unwrap_or(standard_port),
            credentials,
            encryption,
            authorities,
        })
    }
}

impl fmt::Display for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.encryption == Encryption::FromTheStart { "smtps" } else { "smtp" };
        let user = self.credentials.as_ref().map(|(user, _)| format!("{user}@")).unwrap_or_default();
        let tls = if self.encryption == Encryption::StartTls { "?tls=required" } else { "" };
        write!(f, "{scheme}://{user}{}:{}{tls}", self.host, self.port)
    }
}

impl fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The mail server.
pub(crate) struct MailServer {
    url: SmtpUrl,
    /// `None` without encryption.
    tls: Option<TlsParameters>,
    hello: ClientId,
    parked: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl MailServer {
    /// The server at `url`, to which this program introduces itself as `domain`.
    ///
    /// # Errors
    ///
    /// The certificates of the authorities cannot be read.
    pub(crate) fn new(url: SmtpUrl, domain: &str) -> Result<Self> {
        let tls = (url.encryption != Encryption::None).then(|| tls_parameters(&url)).transpose()?;
        Ok(Self { url, tls, hello: ClientId::Domain(domain.to_owned()), parked: Mutex::default() })
    }

    pub(super) async fn send(&self, mail: &Message) -> Result<(), SendError> {
        let mut connection = match self.unpark().await {
            Some(connection) => connection,
            None => timeout(CONNECT_TIMEOUT, self.connect())
                .await
                .map_err(|_| SendError::Unavailable("no connection in time".to_owned()))?
                .map_err(|error| SendError::Unavailable(describe(&error)))?,
        };
        // After an error, or half way, the connection is dropped: what would be answered next is unknown.
        let sent = timeout(SEND_TIMEOUT, transfer(&mut connection, mail)).await;
        sent.map_err(|_| SendError::Unknown("no answer in time".to_owned()))??;
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        if parked.len() < MAX_PARKED {
            parked.push((connection, Instant::now()));
        }
        Ok(())
    }

    /// The connection that was used last, if it still works.
    async fn unpark(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let (mut connection, since) = self.parked.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            // A server may close it at any time, such as after a number of messages.
            if since.elapsed() < MAX_IDLE && timeout(CONNECT_TIMEOUT, connection.test_connected()).await == Ok(true) {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let SmtpUrl { port, credentials, encryption, .. } = &self.url;
        let from_the_start = self.tls.clone().filter(|_| *encryption == Encryption::FromTheStart);
        let address = (self.url.name(), *port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, None, &self.hello, from_the_start, None).await?;
        if let (Encryption::StartTls, Some(tls)) = (encryption, &self.tls) {
            connection.starttls(tls.clone(), &self.hello).await?;
        }
        if let Some((user, password)) = credentials {
            let credentials = Credentials::new(user.clone(), password.clone());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }
}

fn tls_parameters(url: &SmtpUrl) -> Result<TlsParameters> {
    let mut builder = TlsParameters::builder(url.name().to_owned()).certificate_store(CertificateStore::WebpkiRoots);
    if let Some(file) = &url.authorities {
        let cannot_read = || format!("cannot read the certificates in {}", file.display());
        let pem = std::fs::read_to_string(file).with_context(cannot_read)?;
        // Of anything else lettre makes an empty list, and no connection would work.
        ensure!(pem.contains("-----BEGIN CERTIFICATE-----"), "there is no certificate in {}", file.display());
        builder = builder
            .certificate_store(CertificateStore::None)
            .add_root_certificate(Certificate::from_pem(pem.as_bytes()).with_context(cannot_read)?);
    }
    builder.build_rustls().context("cannot set up TLS for the mail server")
}

/// Hands over one message. What the server says of the sender concerns every message; what it says of the recipient or the
/// content, this one.
async fn transfer(connection: &mut AsyncSmtpConnection, mail: &Message) -> Result<(), SendError> {
    let envelope = mail.envelope();
    let sender = Mail::new(envelope.from().cloned(), Vec::new());
    connection.command(sender).await.map_err(|error| SendError::Unavailable(describe(&error)))?;
    for recipient in envelope.to() {
        connection.command(Rcpt::new(recipient.clone(), Vec::new())).await.map_err(of_this_message)?;
    }
    connection.command(Data).await.map_err(of_this_message)?;
    connection.message(&mail.formatted()).await.map_err(of_this_message)?;
    Ok(())
}

fn of_this_message(error: Error) -> SendError {
    let text = describe(&error);
    match error.status().map(u16::from) {
        // The server closes; it asks for a login, or for another one.
        Some(421 | 530 | 534 | 535 | 538) => SendError::Unavailable(text),
        Some(_) if error.is_permanent() => SendError::Refused(text),
        Some(_) => SendError::Postponed(text),
        None => SendError::Unknown(text),
    }
}

/// The error without what the server wrote: it may name the recipient.
fn describe(error: &Error) -> String {
    match error.status() {
        Some(code) => format!("status {code}"),
        None if error.is_response() => "a response that is not SMTP, or its end is missing".to_owned(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_how_and_keeps_its_password() {
        for (text, shown, credentials) in [
            ("smtp://localhost", "smtp://localhost:25", None),
            ("smtp://localhost:1025/", "smtp://localhost:1025", None),
            ("smtp://[::1]?tls=required", "smtp://[::1]:587?tls=required", None),
            ("smtps://mail.example", "smtps://mail.example:465", None),
            ("smtps://me:s%40cret@mail.example:2465", "smtps://me@mail.example:2465", Some(("me", "s@cret"))),
            (
                "smtp://me%40a.example:secret@b.example?tls=required&cacertfile=/a",
                "smtp://me@a.example@b.example:587?tls=required",
                Some(("me@a.example", "secret")),
            ),
        ] {
            let url: SmtpUrl = text.parse().unwrap();
            assert_eq!((url.to_string(), format!("{url:?}")), (shown.to_owned(), shown.to_owned()));
            let found = url.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()));
            assert_eq!(found, credentials, "{text}");
        }
        assert_eq!("smtp://[::1]".parse::<SmtpUrl>().unwrap().name(), "::1");
    }

    #[test]
    fn another_url_is_refused_without_repeating_it() {
        for wrong in [
            "",
            "localhost",
            "http://localhost",
            "smtp://",
            "smtp://host/path",
            "smtp://host#part",
            "smtp://host?tls=optional",
            "smtp://host?tls=required&tls=required",
            "smtps://host?tls=required",
            "smtp://host?cacertfile=/a",
            "smtps://host?cacertfile=",
            "smtp://user@host",
            "smtp://:secret@host",
            "smtp://host:99999",
        ] {
            assert_eq!(wrong.parse::<SmtpUrl>().map(|_| ()), Err(EXPECTED.to_owned()), "{wrong}");
        }
    }
}
