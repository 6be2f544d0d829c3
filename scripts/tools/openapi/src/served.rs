//! Compares the document that a running service serves.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::document::Contract;
use crate::text::difference;

/// The time limit for the document.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Fails unless the service at `base_url` serves `contract`'s checked-in document at `/openapi.json`, byte for byte.
pub async fn check_served(root: &Path, contract: &Contract, base_url: &str) -> Result<()> {
    let path = contract.document_path();
    let checked_in = std::fs::read(root.join(&path)).with_context(|| format!("cannot read {}", path.display()))?;
    let url = format!("{}/openapi.json", base_url.trim_end_matches('/'));
    let response = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?.get(&url).send().await;
    let response = response.and_then(reqwest::Response::error_for_status);
    let served = response.with_context(|| format!("{} does not serve {url}", contract.service))?.bytes().await?;
    if served == checked_in {
        return Ok(());
    }
    bail!(
        "the document that {} serves at {url} differs from {}:\n\n{}\nTo fix it, run `cargo openapi generate`, rebuild the \
         service and restart it.",
        contract.service,
        path.display(),
        difference(&String::from_utf8_lossy(&checked_in), &String::from_utf8_lossy(&served), "checked in", "served"),
    )
}
