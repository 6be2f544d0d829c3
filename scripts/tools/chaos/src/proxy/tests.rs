//! Each mode does what it says.

use super::*;
use crate::http1::{Client, Reply, get};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);
const NOT_YET: Duration = Duration::from_millis(100);

/// Echoes what it is sent, over TCP.
async fn echo() -> Target {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    Target::Tcp(address)
}

async fn through(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn says(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut buffer = vec![0; text.len()];
    timeout(SOON, stream.read_exact(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(buffer, text.as_bytes());
}

async fn read(stream: &mut TcpStream) -> io::Result<usize> {
    timeout(SOON, stream.read(&mut [0; 64])).await.unwrap()
}

#[tokio::test]
async fn it_forwards_both_ways_and_counts_connections() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let (mut one, mut other) = (through(&proxy).await, through(&proxy).await);
    says(&mut one, "one").await;
    says(&mut other, "other").await;
    assert_eq!((proxy.accepted(), proxy.most_open()), (2, 2));
}

#[tokio::test]
async fn it_passes_on_that_one_side_has_ended() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut stream = through(&proxy).await;
    says(&mut stream, "all").await;
    stream.shutdown().await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap(), 0);
}

#[tokio::test]
async fn it_leads_to_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await
    });
    let proxy = Proxy::start(vec![Target::Unix(path)]).await.unwrap();
    says(&mut through(&proxy).await, "hello").await;
}

#[tokio::test]
async fn it_delays() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut stream = through(&proxy).await;
    says(&mut stream, "before").await;
    let delay = Duration::from_millis(50);
    proxy.set_mode(Mode::Delay(delay));
    let start = std::time::Instant::now();
    says(&mut stream, "after").await;
    assert!(start.elapsed() >= 2 * delay, "each way once");
}

#[tokio::test]
async fn it_resets_open_and_new_connections() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut stream = through(&proxy).await;
    says(&mut stream, "before").await;
    proxy.set_mode(Mode::Reset);
    assert_eq!(read(&mut stream).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(read(&mut through(&proxy).await).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    proxy.set_mode(Mode::Forward);
    says(&mut through(&proxy).await, "again").await;
}

#[tokio::test]
async fn a_black_hole_keeps_open_and_new_connections_and_passes_nothing_on_until_it_ends() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut open = through(&proxy).await;
    says(&mut open, "before").await;
    proxy.set_mode(Mode::BlackHole);
    let mut new = through(&proxy).await;
    for stream in [&mut open, &mut new] {
        stream.write_all(b"held").await.unwrap();
        assert!(timeout(NOT_YET, stream.read(&mut [0; 64])).await.is_err(), "nothing comes back");
    }
    proxy.set_mode(Mode::Forward);
    for stream in [&mut open, &mut new] {
        assert_eq!(read(stream).await.unwrap(), 4);
        says(stream, "again").await;
    }
}

#[tokio::test]
async fn behind_a_black_hole_nobody_sees_that_the_server_has_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(vec![Target::Tcp(listener.local_addr().unwrap())]).await.unwrap();
    let mut client = through(&proxy).await;
    let (server, _) = listener.accept().await.unwrap();
    proxy.set_mode(Mode::BlackHole);
    drop(server);
    assert!(timeout(NOT_YET, client.read(&mut [0; 64])).await.is_err(), "not yet");
    proxy.set_mode(Mode::Forward);
    assert_eq!(read(&mut client).await.unwrap(), 0);
}

#[tokio::test]
async fn a_black_hole_notices_that_the_client_is_gone() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut open = through(&proxy).await;
    says(&mut open, "before").await;
    proxy.set_mode(Mode::BlackHole);
    let new = through(&proxy).await;
    drop((open, new));
    timeout(SOON, async {
        while proxy.shared.counters.open.load(Ordering::Relaxed) > 0 || proxy.accepted() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_half_closed_connection_ends_for_the_client_which_can_still_send() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut stream = through(&proxy).await;
    says(&mut stream, "before").await;
    proxy.set_mode(Mode::HalfClose);
    assert_eq!(read(&mut stream).await.unwrap(), 0);
    stream.write_all(b"more").await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap(), 0, "and nothing is answered");
}

#[tokio::test]
async fn without_a_target_it_resets_and_of_two_it_takes_the_one_that_can_be_reached() {
    let proxy = Proxy::start(Vec::new()).await.unwrap();
    assert!(read(&mut through(&proxy).await).await.is_err());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    proxy.set_targets(vec![Target::Tcp(closed), echo().await]);
    for _ in 0..4 {
        says(&mut through(&proxy).await, "there").await;
    }
}

#[tokio::test]
async fn it_counts_requests_also_when_they_come_in_pieces() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut stream = through(&proxy).await;
    says(&mut stream, "GET / HTT").await;
    assert_eq!(proxy.requests(), 0);
    says(&mut stream, "P/1.1\r\nHost: x\r\n\r\nGET /  HTTP/1.1\r\n").await;
    assert_eq!(proxy.requests(), 2);
}

#[tokio::test]
async fn the_client_reads_an_answer_through_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(vec![Target::Tcp(listener.local_addr().unwrap())]).await.unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-It: yes\r\n\r\n{}").await
    });
    let reply: Reply = Client::new(proxy.address(), SOON).send(&get("/")).await.unwrap();
    assert_eq!((reply.status, reply.header("x-it"), &*reply.body), (200, Some("yes"), &b"{}"[..]));
}
