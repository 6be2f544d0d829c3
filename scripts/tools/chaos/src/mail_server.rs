//! A mail server that keeps what it gets, and fails on demand.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long the server examines a message before it answers, at most: so that kills fall into this time.
const MAX_EXAMINATION: Duration = Duration::from_millis(20);
/// After so many lines of a message a [`Cut::Content`] ends the connection.
const CUT_AFTER_LINES: usize = 10;

/// How a message fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The recipient is to be tried again later, in an answer that repeats the address.
    Recipient,
    /// The connection ends in the middle of the content.
    Content,
    /// The connection ends after the content, instead of an answer.
    Answer,
}

/// A message whose content is complete.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mail {
    pub(crate) message_id: String,
    pub(crate) subject: String,
    pub(crate) recipient: String,
    /// Whether the server was willing to say that it has it. Without an answer it has it nevertheless.
    pub(crate) accepted: bool,
}

#[derive(Debug, Default)]
struct Shared {
    /// Of the next messages.
    cuts: Mutex<Vec<Cut>>,
    mails: Mutex<Vec<Mail>>,
    /// Whether each connection is closed at once, those that are open included.
    down: watch::Sender<bool>,
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct MailServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _acceptor: JoinSet<()>,
}

impl MailServer {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _acceptor: acceptor })
    }

    /// The value of `SMTP_URL`.
    pub(crate) fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    /// Lets the next messages fail in these ways.
    pub(crate) fn cut(&self, cuts: &[Cut]) {
        lock(&self.shared.cuts).extend(cuts);
    }

    /// How many of these failures are still to happen.
    pub(crate) fn cuts_left(&self) -> usize {
        lock(&self.shared.cuts).len()
    }

    /// Closes every connection, in the middle of whatever it does, and every new one for `duration`.
    pub(crate) async fn down_for(&self, duration: Duration) {
        self.shared.down.send_replace(true);
        sleep(duration).await;
        self.shared.down.send_replace(false);
    }

    /// What it has got.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        lock(&self.shared.mails).clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let mut down = shared.down.subscribe();
            tokio::select! {
                // How a connection ends does not matter here.
                _ = serve(stream, &shared) => {}
                _ = down.wait_for(|down| *down) => {}
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufStream::new(stream);
    let (mut recipient, mut cut) = (String::new(), None);
    say(&mut stream, "220 mail.example ESMTP").await?;
    loop {
        let line = read_line(&mut stream).await?;
        let answer = match line.get(..4).unwrap_or_default().to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" => "250 mail.example",
            "MAIL" => {
                cut = lock(&shared.cuts).pop();
                "250 2.1.0 OK"
            }
            "RCPT" => {
                line.split(['<', '>']).nth(1).unwrap_or_default().clone_into(&mut recipient);
                if cut == Some(Cut::Recipient) {
                    &format!("450 4.2.1 <{recipient}>: mailbox busy, try again later")
                } else {
                    "250 2.1.5 OK"
                }
            }
            "DATA" => {
                say(&mut stream, "354 end with a dot").await?;
                let Some(mail) = receive(&mut stream, cut).await? else { return Ok(()) };
                let accepted = cut != Some(Cut::Answer);
                lock(&shared.mails).push(Mail { recipient: recipient.clone(), accepted, ..mail });
                sleep(MAX_EXAMINATION.mul_f64(fastrand::f64())).await;
                if !accepted {
                    return Ok(());
                }
                "250 2.0.0 queued"
            }
            "RSET" | "NOOP" => "250 2.0.0 OK",
            "QUIT" => return say(&mut stream, "221 2.0.0 bye").await,
            _ => "502 5.5.1 unknown command",
        };
        say(&mut stream, answer).await?;
    }
}

/// The content of a message; `None` if `cut` ends it half way.
async fn receive(stream: &mut BufStream<TcpStream>, cut: Option<Cut>) -> io::Result<Option<Mail>> {
    let (mut mail, mut lines, mut in_head) = (Mail::default(), 0, true);
    loop {
        let line = read_line(stream).await?;
        lines += 1;
        if cut == Some(Cut::Content) && lines > CUT_AFTER_LINES {
            return Ok(None);
        }
        match line.split_once(": ") {
            _ if line == "." => return Ok(Some(mail)),
            _ if line.is_empty() => in_head = false,
            Some(("Message-ID", id)) if in_head => id.clone_into(&mut mail.message_id),
            Some(("Subject", subject)) if in_head => subject.clone_into(&mut mail.subject),
            _ => {}
        }
    }
}

async fn say(stream: &mut BufStream<TcpStream>, answer: &str) -> io::Result<()> {
    stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    stream.flush().await
}

/// A line without its end.
async fn read_line(stream: &mut BufStream<TcpStream>) -> io::Result<String> {
    let mut line = Vec::new();
    if stream.read_until(b'\n', &mut line).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
