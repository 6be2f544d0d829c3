//! The settings of this service alone.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, bail, ensure};
use url::{Host, Url};

/// What a secret key of Stripe begins with: `rk_` that of a restricted one.
const KEY_PREFIXES: [&str; 2] = ["sk_", "rk_"];
const WEBHOOK_PREFIX: &str = "whsec_";

/// Who moves the money.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Settings {
    /// The secret key of the account at Stripe that is paid: sk_..., or rk_.... Without one payment-provider is asked, which
    /// moves no money.
    #[arg(long, env = "STRIPE_SECRET_KEY", value_name = "KEY", hide_env_values = true)]
    stripe_secret_key: Option<Secret>,

    /// A file with the secret key, instead of STRIPE_SECRET_KEY.
    #[arg(long, env = "STRIPE_SECRET_KEY_FILE", value_name = "FILE")]
    stripe_secret_key_file: Option<PathBuf>,

    /// Where Stripe's API is.
    #[arg(long, env = "STRIPE_URL", value_name = "URL", default_value = "https://api.stripe.com")]
    pub(crate) stripe_url: StripeUrl,

    /// The secret with which Stripe signs what it reports: whsec_.... Without one every report is refused, and outcomes that
    /// take long are noticed up to half a minute later.
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET", value_name = "SECRET", hide_env_values = true)]
    stripe_webhook_secret: Option<Secret>,

    /// A file with that secret, instead of STRIPE_WEBHOOK_SECRET.
    #[arg(long, env = "STRIPE_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    stripe_webhook_secret_file: Option<PathBuf>,
}

impl Settings {
    /// The secret key of Stripe, if there is one.
    ///
    /// # Errors
    ///
    /// It is set twice, cannot be read, or is something else. The text does not repeat it.
    pub(crate) fn secret_key(&self) -> Result<Option<Secret>> {
        let (key, file) = (self.stripe_secret_key.as_ref(), self.stripe_secret_key_file.as_deref());
        one_of("STRIPE_SECRET_KEY", key, file, &KEY_PREFIXES)
    }

    /// The secret with which Stripe signs what it reports, if there is one.
    ///
    /// # Errors
    ///
    /// As of [`secret_key`](Self::secret_key).
    pub(crate) fn webhook_secret(&self) -> Result<Option<Secret>> {
        let (secret, file) = (self.stripe_webhook_secret.as_ref(), self.stripe_webhook_secret_file.as_deref());
        one_of("STRIPE_WEBHOOK_SECRET", secret, file, &[WEBHOOK_PREFIX])
    }
}

/// The secret that the variable `name` has, or else the `file` that `name` with `_FILE` names.
fn one_of(name: &str, value: Option<&Secret>, file: Option<&Path>, prefixes: &[&str]) -> Result<Option<Secret>> {
    let secret = match (value, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => bail!("{name} and {name}_FILE are both set: one of them is enough"),
        (Some(value), None) => value.0.clone(),
        (None, Some(file)) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read {name}_FILE {}", file.display()))?
            // Editors end a file with a line break.
            .trim()
            .to_owned(),
    };
    let is_visible = secret.bytes().all(|byte| byte.is_ascii_graphic());
    let is_known = prefixes.iter().any(|prefix| secret.len() > prefix.len() && secret.starts_with(prefix));
    ensure!(is_visible && is_known, "{name} is not what it should be: expected {}...", prefixes.join("... or "));
    Ok(Some(Secret(secret)))
}

/// A text that appears in no log and no error. Every text is one: what refuses a value repeats it.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text, for the one that has to know it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The base URL of Stripe's API, without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StripeUrl(Url);

impl StripeUrl {
    /// Whether the key is sent over a network without encryption.
    pub(crate) fn exposes_key(&self) -> bool {
        let is_loopback = match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
            Some(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
            None => false,
        };
        self.0.scheme() == "http" && !is_loopback
    }
}

impl FromStr for StripeUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = text.parse::<Url>().ok().filter(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.username().is_empty()
                && url.password().is_none()
                && (url.path(), url.query(), url.fragment()) == ("/", None, None)
        });
        url.map(Self).ok_or_else(|| "expected https://HOST".to_owned())
    }
}

impl fmt::Display for StripeUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: Option<&str>, file: Option<&Path>) -> Result<Option<String>, String> {
        let value = value.map(|value| Secret(value.to_owned()));
        let key = one_of("STRIPE_SECRET_KEY", value.as_ref(), file, &KEY_PREFIXES);
        key.map(|key| key.map(|key| key.0)).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_key_comes_from_a_variable_or_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        std::fs::write(&file, "rk_live_1\n").unwrap();
        assert_eq!(key(None, None), Ok(None));
        assert_eq!(key(Some("sk_test_1"), None), Ok(Some("sk_test_1".to_owned())));
        assert_eq!(key(None, Some(&file)), Ok(Some("rk_live_1".to_owned())));
        assert!(key(Some("sk_test_1"), Some(&file)).unwrap_err().contains("both set"));
        let missing = key(None, Some(&directory.path().join("none"))).unwrap_err();
        assert!(missing.starts_with("cannot read STRIPE_SECRET_KEY_FILE"), "{missing}");
    }

    #[test]
    fn neither_an_error_nor_debug_repeats_a_secret() {
        for wrong in ["pk_live_SECRET", "SECRET", "sk_SEC RET", "sk_SECRÉT", "sk_"] {
            let error = key(Some(wrong), None).unwrap_err();
            assert_eq!(error, "STRIPE_SECRET_KEY is not what it should be: expected sk_... or rk_...");
        }
        assert_eq!(format!("{:?}", Some(Secret("sk_SECRET".to_owned()))), "Some(***)");
    }

    #[test]
    fn a_url_has_no_more_than_a_host() {
        for (text, exposes_key) in [
            ("https://api.stripe.com", false),
            ("http://127.0.0.1:8420", false),
            ("http://localhost:8420/", false),
            ("http://[::1]:8420", false),
            ("http://stripe.internal:8420", true),
        ] {
            let url: StripeUrl = text.parse().unwrap();
            assert_eq!((url.to_string(), url.exposes_key()), (text.trim_end_matches('/').to_owned(), exposes_key));
        }
        for wrong in ["", "api.stripe.com", "ftp://host", "https://a:b@host", "https://host/v1", "https://host?a=b"] {
            assert!(wrong.parse::<StripeUrl>().is_err(), "{wrong}");
        }
    }
}
