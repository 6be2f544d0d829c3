//! A catalogue to try the platform with, created through the published API as anybody else would create it.

use anyhow::{Context, Result, bail};
use product_client::{Client, Error, error_codes, types};
use service_runtime::server::Server;

const PRODUCTS: &str = include_str!("demo.json");

/// Creates the products that do not exist yet.
pub(crate) async fn create(servers: &[Server]) -> Result<()> {
    let products = servers.iter().find(|server| server.service_name() == "product-service");
    let client = Client::plain(&products.context("product-service does not run")?.url());
    for product in serde_json::from_str::<Vec<types::ProductCreate>>(PRODUCTS)? {
        match client.product_create().body(product).send().await {
            Ok(_) => {}
            Err(Error::ErrorResponse(error)) if error.error_code.as_deref() == Some(error_codes::SKU_TAKEN) => {}
            Err(error) => bail!("cannot create the demo products: {error}"),
        }
    }
    Ok(())
}
