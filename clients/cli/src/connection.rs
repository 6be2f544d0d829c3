//! Where the services are, and how long an answer may take.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use user_client::reqwest::{self, Url, redirect};

/// The options that every command has.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// Where user-service answers.
    #[arg(
        long,
        global = true,
        env = "USER_SERVICE_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8001",
        value_parser = service_url
    )]
    pub(crate) user_service_url: String,

    /// Where order-service answers.
    #[arg(
        long,
        global = true,
        env = "ORDER_SERVICE_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8003",
        value_parser = service_url
    )]
    pub(crate) order_service_url: String,

    /// The most milliseconds to wait for an answer, connecting included; for a list, for each page.
    #[arg(long, global = true, value_name = "MS", default_value = "5000")]
    pub(crate) timeout_ms: NonZeroU32,
}

impl Connection {
    /// A redirect is no answer of the contract, and following one would turn a POST into a GET.
    pub(crate) fn client(&self) -> reqwest::Result<reqwest::Client> {
        let timeout = Duration::from_millis(self.timeout_ms.get().into());
        reqwest::Client::builder().timeout(timeout).redirect(redirect::Policy::none()).build()
    }
}

/// Reads a base URL. Paths are allowed, for a gateway; credentials are not, as the URL is shown in errors.
fn service_url(value: &str) -> Result<String, String> {
    let plain = |url: &Url| url.scheme() == "http" && url.query().is_none() && !value.contains(['@', '#']);
    let url = Url::parse(value).ok().filter(plain);
    url.map(|url| url.as_str().trim_end_matches('/').to_owned()).ok_or_else(|| {
        "expected a URL like http://HOST:PORT, without user, password or query (TLS ends at a proxy)".into()
    })
}
