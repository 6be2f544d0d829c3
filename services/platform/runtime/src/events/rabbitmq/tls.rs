//! Encryption of connections, as for PostgreSQL.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::tls::client_config;

/// Encrypts `stream` to `host`, whose certificate one of `authorities` must have signed; `None` for the public ones.
pub(super) async fn encrypt(
    stream: TcpStream,
    host: &str,
    authorities: Option<&Path>,
) -> io::Result<TlsStream<TcpStream>> {
    let config = client_config(authorities)?;
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
