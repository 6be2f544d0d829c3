//! Encrypted connections to RabbitMQ, through a proxy that ends the encryption.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use service_runtime::events::{RabbitMq, Transport};
use service_testing::{CapturedLog, TestCarrier};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::events::{event, next, publish, shared, subscribe};

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Encrypts with a certificate for 127.0.0.1 that an authority of its own has signed, `ca.pem` in `directory`.
fn acceptor(directory: &Path) -> TlsAcceptor {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(directory, &format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=authority"));
    openssl(
        directory,
        &format!(
            "req -x509 {key} -keyout key.pem -out certificate.pem -subj /CN=broker -CA ca.pem -CAkey ca.key \
             -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
        ),
    );
    let certificate = CertificateDer::from_pem_file(directory.join("certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn proxy(listener: TcpListener, acceptor: TlsAcceptor, broker: String) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (acceptor, broker) = (acceptor.clone(), broker.clone());
        tokio::spawn(async move {
            // It fails for a client that does not trust the certificate.
            let Ok(mut client) = acceptor.accept(client).await else { return };
            let mut server = TcpStream::connect(broker).await.unwrap();
            let _ = copy_bidirectional(&mut client, &mut server).await;
        });
    }
}

#[tokio::test]
async fn a_connection_to_rabbitmq_is_encrypted_if_the_certificate_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let TestCarrier::RabbitMq(url) = TestCarrier::rabbitmq().await else { unreachable!() };
    let url = url.to_string();
    let (address, vhost) = url.rsplit_once('/').unwrap();
    let (_, broker) = address.rsplit_once('@').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let encrypted = format!("amqps://guest:guest@{}/{vhost}", listener.local_addr().unwrap());
    tokio::spawn(proxy(listener, acceptor(directory.path()), broker.to_owned()));
    let connect = |url: &str| {
        Transport::RabbitMq(RabbitMq::new(url.parse().unwrap(), "test", &CapturedLog::default().logger(&[])))
    };

    let transport = connect(&format!("{encrypted}?cacertfile={}/ca.pem", directory.path().display()));
    let mut stock = subscribe(&transport, shared("stock.events", &["order.created"])).await;
    publish(&transport, vec![event("order.created", 1)]).await;
    next(&mut stock).await.ack();
    transport.close().await;

    let error = connect(&encrypted).publish(vec![event("order.created", 2)]).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}
