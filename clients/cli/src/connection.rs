//! The connection options: the services' addresses and the time limit.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use reqwest::{Url, redirect};

use crate::services::SERVICES;

const HEADING: &str = "Connection";
const TIMEOUT: &str = "timeout-ms";
/// The variables that name a proxy for requests over plain HTTP.
const PROXY_VARIABLES: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];

/// The address and the time limit for the calls of a command.
pub(crate) struct Connection {
    pub(crate) url: String,
    pub(crate) timeout_ms: NonZeroU32,
}

impl Connection {
    /// Adds the options to the command line; every command has them.
    pub(crate) fn add_options(command: Command) -> Command {
        let urls = SERVICES.iter().map(|service| {
            let option = Arg::new(service.option)
                .long(service.option)
                .value_name("URL")
                .default_value(service.default_url)
                .value_parser(service_url)
                .help(format!("The base URL of {}", service.name));
            // An empty variable counts as unset.
            if is_empty(service.variable) { option } else { option.env(service.variable) }
        });
        let timeout = Arg::new(TIMEOUT)
            .long(TIMEOUT)
            .value_name("MS")
            .default_value("5000")
            .value_parser(value_parser!(NonZeroU32))
            .help("The milliseconds to wait for an answer, including connecting; for a list, for each page");
        command.args(urls.chain([timeout]).map(|option| option.global(true).help_heading(HEADING)))
    }

    /// The connection to `service` that the options in `matches` describe.
    pub(crate) fn new(service: &str, matches: &ArgMatches) -> Self {
        let service = SERVICES.iter().find(|known| known.name == service);
        let url = service.and_then(|service| matches.get_one::<String>(service.option));
        // Both have defaults.
        let timeout_ms = matches.get_one::<NonZeroU32>(TIMEOUT).copied().unwrap_or(NonZeroU32::MIN);
        Self { url: url.cloned().unwrap_or_default(), timeout_ms }
    }

    /// An HTTP client that follows no redirects: the contract has none, and following one would turn a POST into a GET.
    /// This machine is never called through a proxy.
    pub(crate) fn client(&self) -> reqwest::Result<reqwest::Client> {
        let timeout = Duration::from_millis(self.timeout_ms.get().into());
        let builder = reqwest::Client::builder().timeout(timeout).redirect(redirect::Policy::none());
        if self.is_local() { builder.no_proxy().build() } else { builder.build() }
    }

    /// The variable that names a proxy for this connection, if one is set.
    pub(crate) fn proxy_variable(&self) -> Option<&'static str> {
        let is_set = |name: &&str| std::env::var_os(name).is_some() && !is_empty(name);
        PROXY_VARIABLES.into_iter().find(is_set).filter(|_| !self.is_local())
    }

    fn is_local(&self) -> bool {
        let url = Url::parse(&self.url).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

fn is_empty(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| value.is_empty())
}

/// Parses a base URL. Paths are allowed, for a gateway; credentials are not, because errors show the URL.
fn service_url(value: &str) -> Result<String, String> {
    let plain = |url: &Url| {
        url.scheme() == "http" && url.port() != Some(0) && url.query().is_none() && !value.contains(['@', '#'])
    };
    let url = Url::parse(value).ok().filter(plain);
    url.map(|url| url.as_str().trim_end_matches('/').to_owned()).ok_or_else(|| {
        "expected a URL like http://HOST:PORT, without user, password or query (TLS ends at a proxy)".into()
    })
}
