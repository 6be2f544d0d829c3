//! Messages as files, where no server is configured: a developer sees what would be sent.

use std::io;
use std::path::{Path, PathBuf};

use slog::{Logger, info};
use tokio::fs::{self, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use super::outgoing::{Outgoing, SendError};

/// Writes each message into a file of its own.
pub(crate) struct Files {
    directory: PathBuf,
    log: Logger,
}

impl Files {
    /// Files in `directory`, which is created when there is something to write.
    pub(crate) fn new(directory: PathBuf, log: Logger) -> Self {
        Self { directory, log }
    }

    pub(super) async fn write(&self, message: Outgoing, name: &str) -> Result<(), SendError> {
        let (extension, content) = match message {
            Outgoing::Mail(mail) => ("eml", mail.formatted()),
            Outgoing::Sms { to, text } => ("txt", format!("To: {to}\n\n{text}\n").into_bytes()),
        };
        let path = self.directory.join(format!("{name}.{extension}"));
        self.store(&path, &content)
            .await
            .map_err(|error| SendError::Unavailable(format!("cannot write a file: {error}")))?;
        info!(self.log, "message written to a file"; "file" => path.display().to_string());
        Ok(())
    }

    /// Only the owner may read it: it has an address and a name.
    async fn store(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).await?;
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).await?;
        file.write_all(content).await?;
        file.flush().await
    }
}
