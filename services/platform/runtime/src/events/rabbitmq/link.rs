//! What the log says about connections: one line when one is there, one when it is lost, none for each attempt.

use slog::{Logger, info, warn};

use crate::events::message::TransportError;

/// Whether a connection is there, as far as the log knows.
#[derive(Debug)]
pub(super) struct Link {
    log: Logger,
    broker: String,
    is_up: Option<bool>,
}

impl Link {
    /// A connection to the broker at the host and port `broker`.
    pub(super) fn new(log: Logger, broker: String) -> Self {
        Self { log, broker, is_up: None }
    }

    pub(super) fn up(&mut self) {
        if self.is_up.replace(true) != Some(true) {
            info!(self.log, "connected to the broker of events"; "broker" => &self.broker);
        }
    }

    pub(super) fn down(&mut self, error: &TransportError) {
        if self.is_up.replace(false) != Some(false) {
            let error = error.to_string();
            warn!(self.log, "no connection to the broker of events"; "broker" => &self.broker, "error" => error);
        }
    }
}
