//! Each mode of the proxy.

use super::*;
use tokio::time::timeout;

const TIME_LIMIT: Duration = Duration::from_secs(5);
const NOTHING_FOR: Duration = Duration::from_millis(100);

/// A TCP server that echoes what it receives.
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

async fn connect_to(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

async fn echoes(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut buffer = vec![0; text.len()];
    timeout(TIME_LIMIT, stream.read_exact(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(buffer, text.as_bytes());
}

async fn read(stream: &mut TcpStream) -> io::Result<usize> {
    timeout(TIME_LIMIT, stream.read(&mut [0; 64])).await.unwrap()
}

#[tokio::test]
async fn it_forwards_both_ways_and_counts_connections() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let (mut one, mut other) = (connect_to(&proxy).await, connect_to(&proxy).await);
    echoes(&mut one, "one").await;
    echoes(&mut other, "other").await;
    assert_eq!((proxy.accepted(), proxy.max_open()), (2, 2));
}

#[tokio::test]
async fn it_forwards_the_end_of_a_direction() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut stream = connect_to(&proxy).await;
    echoes(&mut stream, "all").await;
    stream.shutdown().await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap(), 0);
}

#[tokio::test]
async fn it_forwards_to_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await
    });
    let proxy = Proxy::start(vec![Target::Unix(path)]).await.unwrap();
    echoes(&mut connect_to(&proxy).await, "hello").await;
}

#[tokio::test]
async fn it_delays_each_direction() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut stream = connect_to(&proxy).await;
    echoes(&mut stream, "before").await;
    let delay = Duration::from_millis(50);
    proxy.set_mode(Mode::Delay(delay));
    let start = std::time::Instant::now();
    echoes(&mut stream, "after").await;
    assert!(start.elapsed() >= 2 * delay, "once in each direction");
}

#[tokio::test]
async fn it_resets_open_and_new_connections() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut stream = connect_to(&proxy).await;
    echoes(&mut stream, "before").await;
    proxy.set_mode(Mode::Reset);
    assert_eq!(read(&mut stream).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(read(&mut connect_to(&proxy).await).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    proxy.set_mode(Mode::Forward);
    echoes(&mut connect_to(&proxy).await, "again").await;
}

#[tokio::test]
async fn a_black_hole_forwards_nothing_until_it_ends() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut open = connect_to(&proxy).await;
    echoes(&mut open, "before").await;
    proxy.set_mode(Mode::BlackHole);
    let mut new = connect_to(&proxy).await;
    for stream in [&mut open, &mut new] {
        stream.write_all(b"held").await.unwrap();
        assert!(timeout(NOTHING_FOR, stream.read(&mut [0; 64])).await.is_err(), "nothing comes back");
    }
    proxy.set_mode(Mode::Forward);
    for stream in [&mut open, &mut new] {
        assert_eq!(read(stream).await.unwrap(), 4);
        echoes(stream, "again").await;
    }
}

#[tokio::test]
async fn a_black_hole_hides_that_the_server_has_ended() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = Proxy::start(vec![Target::Tcp(listener.local_addr().unwrap())]).await.unwrap();
    let mut client = connect_to(&proxy).await;
    let (server, _) = listener.accept().await.unwrap();
    proxy.set_mode(Mode::BlackHole);
    drop(server);
    assert!(timeout(NOTHING_FOR, client.read(&mut [0; 64])).await.is_err(), "not yet");
    proxy.set_mode(Mode::Forward);
    assert_eq!(read(&mut client).await.unwrap(), 0);
}

#[tokio::test]
async fn a_black_hole_notices_that_the_client_has_gone() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut open = connect_to(&proxy).await;
    echoes(&mut open, "before").await;
    proxy.set_mode(Mode::BlackHole);
    let new = connect_to(&proxy).await;
    drop((open, new));
    timeout(TIME_LIMIT, async {
        while proxy.shared.counters.open.load(Ordering::Relaxed) > 0 || proxy.accepted() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn after_a_half_close_the_client_can_still_send() {
    let proxy = Proxy::start(vec![echo().await]).await.unwrap();
    let mut stream = connect_to(&proxy).await;
    echoes(&mut stream, "before").await;
    proxy.set_mode(Mode::HalfClose);
    assert_eq!(read(&mut stream).await.unwrap(), 0);
    stream.write_all(b"more").await.unwrap();
    assert_eq!(read(&mut stream).await.unwrap(), 0, "nothing is answered");
}

#[tokio::test]
async fn it_resets_unless_a_target_can_be_reached() {
    let proxy = Proxy::start(Vec::new()).await.unwrap();
    assert!(read(&mut connect_to(&proxy).await).await.is_err());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    proxy.set_targets(vec![Target::Tcp(closed), echo().await]);
    for _ in 0..4 {
        echoes(&mut connect_to(&proxy).await, "there").await;
    }
}
