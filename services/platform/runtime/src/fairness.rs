//! Fairness between connections: one that pipelines takes turns with all others.

use std::cell::Cell;
use std::net::SocketAddr;

thread_local! {
    /// The client of the last request that this thread began.
    static LAST_CLIENT: Cell<Option<SocketAddr>> = const { Cell::new(None) };
}

/// Lets other connections go first, new ones included, if the last request came on the same connection.
///
/// Requests that wait in a connection's buffer are answered one after the other without a look at any other connection:
/// hyper polls the next one when the last is answered. For a connection that is alone this costs one poll for events.
pub(crate) async fn take_turns(client: SocketAddr) {
    if LAST_CLIENT.replace(Some(client)) == Some(client) {
        // tokio runs this task again after it has looked for I/O events.
        tokio::task::yield_now().await;
    }
}
