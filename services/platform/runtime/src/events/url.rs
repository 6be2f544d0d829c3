//! The address of the broker.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use lapin::uri::{AMQPScheme, AMQPUri};

const EXPECTED: &str = "expected amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps:// for TLS, with at most the parameter \
                        cacertfile; special characters of a name or password must be percent-encoded (`@` is %40, `:` \
                        %3A, `/` %2F, `?` %3F, `#` %23, `%` %25)";

/// The value of `EVENTS_URL`: where the broker is. `Display` and `Debug` leave out the password.
///
/// Without a port it is 5672, or 5671 with TLS; without a virtual host it is `/`; without a user it is `guest`, whom
/// RabbitMQ accepts from its own machine only. With `amqps`, the broker's certificate must be signed by a public
/// authority, or by one of those in the PEM file that the parameter `cacertfile` names.
#[derive(Clone)]
pub struct EventsUrl {
    uri: AMQPUri,
    authorities: Option<PathBuf>,
}

impl EventsUrl {
    pub(super) fn uri(&self) -> &AMQPUri {
        &self.uri
    }

    /// The host and port, without anything secret.
    pub(super) fn address(&self) -> String {
        let (host, port) = (&self.uri.authority.host, self.uri.authority.port);
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.uri.scheme == AMQPScheme::AMQPS
    }

    /// The PEM file with the authorities to trust instead of the public ones.
    pub(super) fn authorities(&self) -> Option<&Path> {
        self.authorities.as_deref()
    }
}

impl FromStr for EventsUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || EXPECTED.to_owned();
        let (address, query) = text.split_once('?').map_or((text, None), |(address, query)| (address, Some(query)));
        let (_, rest) = address.split_once("://").ok_or_else(expected)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if text.contains('#') || path.contains(['/', '@']) {
            return Err(expected());
        }
        // The parser's error may quote the password.
        let mut uri: AMQPUri = address.parse().map_err(|_| expected())?;
        // The parser takes no host, and an IPv6 address, for localhost.
        uri.authority.host = host(authority).ok_or_else(expected)?.to_owned();
        if uri.authority.port == 0 {
            return Err(expected());
        }
        // The parser takes `amqp://host/` for the virtual host without a name, which nobody means.
        if uri.vhost.is_empty() {
            uri.vhost = "/".to_owned();
        }
        let authorities = match query {
            None => None,
            Some(query) if uri.scheme == AMQPScheme::AMQPS => Some(
                query
                    .strip_prefix("cacertfile=")
                    .filter(|path| !path.is_empty() && !path.contains('&'))
                    .ok_or_else(expected)?
                    .into(),
            ),
            Some(_) => return Err(expected()),
        };
        Ok(Self { uri, authorities })
    }
}

/// The host in the part of a URL between its scheme and its path, without the brackets of an IPv6 address.
fn host(authority: &str) -> Option<&str> {
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let host = match address.strip_prefix('[') {
        Some(address) => address.split_once(']')?.0,
        None => address.split_once(':').map_or(address, |(host, _)| host),
    };
    (!host.is_empty()).then_some(host)
}

impl fmt::Display for EventsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { scheme, authority, vhost, .. } = &self.uri;
        let vhost = if vhost == "/" { String::new() } else { format!("/{vhost}") };
        write!(f, "{scheme}://{}@{}{vhost}", authority.userinfo.username, self.address())
    }
}

impl fmt::Debug for EventsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, shown) in [
            ("amqp://app:secret@host:5673/shop", "amqp://app@host:5673/shop"),
            ("amqps://app:sec%40ret@host", "amqps://app@host:5671"),
            ("amqps://app:secret@host?cacertfile=/ca.pem", "amqps://app@host:5671"),
            ("amqp://[::1]:1/", "amqp://guest@[::1]:1"),
        ] {
            let parsed: EventsUrl = url.parse().unwrap();
            assert_eq!((parsed.to_string(), format!("{parsed:?}")), (shown.to_owned(), shown.to_owned()), "{url}");
        }
    }

    #[test]
    fn a_url_that_means_something_else_is_refused_and_kept() {
        for url in [
            "",
            "host:5672",
            "http://host",
            "amqp://",
            "amqp://app:cret@:5672/shop",
            "amqp://app:se/cret@host/shop",
            "amqp://app:12/cret@host/shop",
            "amqp://app:12?cret@host/shop",
            "amqp://app:12#cret@host/shop",
            "amqp://app:pw@host/shop/cret",
            "amqp://app:cret@host:0/shop",
            "amqp://app:cret@host:x/shop",
            "amqp://host?heartbeat=10",
            "amqp://host?cacertfile=/ca.pem",
            "amqps://host?cacertfile=",
            "amqps://host?cacertfile=/ca.pem&verify=none",
        ] {
            let error = url.parse::<EventsUrl>().unwrap_err();
            assert!(error.starts_with("expected amqp://") && !error.contains("cret"), "{url}: {error}");
        }
    }
}
