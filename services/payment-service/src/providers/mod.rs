//! The payment providers: one file for each, and the choice among them.

pub(crate) mod provider;
mod simulated;
mod stripe;

use std::sync::Arc;

use anyhow::Result;
use service_runtime::Parts;
use slog::{info, warn};

use crate::settings::Settings;
use provider::Provider;
use simulated::Simulated;
use stripe::Stripe;

/// The provider of `settings`: Stripe if there is a key for it, or else payment-provider.
///
/// # Errors
///
/// It is not configured as it should be.
pub(crate) fn configured(parts: &mut Parts<'_>, settings: &Settings) -> Result<Arc<dyn Provider>> {
    if let Some(key) = settings.secret_key()? {
        let url = settings.stripe_url.clone();
        info!(parts.log(), "payments go to Stripe"; "url" => url.to_string());
        if url.exposes_key() {
            warn!(parts.log(), "STRIPE_SECRET_KEY is sent without encryption");
        }
        return Ok(Arc::new(Stripe::new(url, &key, parts.outside_calls("stripe"))?));
    }
    info!(parts.log(), "payments go to payment-provider, which moves no money");
    let provider = parts.dependency("payment-provider", simulated::MAX_RESPONSE_BYTES)?;
    Ok(Arc::new(Simulated::new(provider)))
}
