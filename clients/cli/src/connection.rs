//! The connection options: the services' addresses and the time limit.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command, value_parser};
use reqwest::{Url, redirect};

use crate::services::SERVICES;

const HEADING: &str = "Connection";
const TIMEOUT: &str = "timeout-ms";

/// The address and the time limit for the calls of a command.
pub(crate) struct Connection {
    pub(crate) url: String,
    pub(crate) timeout_ms: NonZeroU32,
}

impl Connection {
    /// Adds the options to the command line; every command has them.
    pub(crate) fn add_options(command: Command) -> Command {
        let urls = SERVICES.iter().map(|service| {
            Arg::new(service.option)
                .long(service.option)
                .env(service.variable)
                .value_name("URL")
                .default_value(service.default_url)
                .value_parser(service_url)
                .help(format!("The base URL of {}", service.name))
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
    pub(crate) fn client(&self) -> reqwest::Result<reqwest::Client> {
        let timeout = Duration::from_millis(self.timeout_ms.get().into());
        reqwest::Client::builder().timeout(timeout).redirect(redirect::Policy::none()).build()
    }
}

/// Parses a base URL. Paths are allowed, for a gateway; credentials are not, because errors show the URL.
fn service_url(value: &str) -> Result<String, String> {
    let plain = |url: &Url| url.scheme() == "http" && url.query().is_none() && !value.contains(['@', '#']);
    let url = Url::parse(value).ok().filter(plain);
    url.map(|url| url.as_str().trim_end_matches('/').to_owned()).ok_or_else(|| {
        "expected a URL like http://HOST:PORT, without user, password or query (TLS ends at a proxy)".into()
    })
}
