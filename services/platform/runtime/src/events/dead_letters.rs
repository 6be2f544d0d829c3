//! What an operator does with events that a service could not handle.

use std::io::{Write, stdout};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::message::DeadLetter;
use super::transport::Transport;

/// How many dead letters are listed.
const LIMIT: usize = 1000;

/// What to do with the dead letters of a service instead of serving.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(multiple = false)]
pub struct DeadLetterCommand {
    /// Print the events that could not be handled, one JSON object a line with the reason, then exit.
    #[arg(long)]
    pub list_dead_letters: bool,

    /// Handle the event with this id again, or `all`, then exit. Whoever handles events of the service does it.
    #[arg(long, value_name = "EVENT_ID")]
    pub replay_dead_letter: Option<String>,

    /// Remove the event with this id, or `all`, from those that could not be handled, then exit. It is lost.
    #[arg(long, value_name = "EVENT_ID")]
    pub drop_dead_letter: Option<String>,
}

impl DeadLetterCommand {
    /// Whether there is anything to do.
    pub fn is_given(&self) -> bool {
        self.list_dead_letters || self.replay_dead_letter.is_some() || self.drop_dead_letter.is_some()
    }

    /// Does it with the dead letters of `queue`, and prints what it did.
    ///
    /// # Errors
    ///
    /// The transport cannot be reached, or the event is not there.
    pub async fn run(&self, transport: &Transport, queue: &str) -> Result<()> {
        let listed =
            transport.dead_letters(queue, LIMIT).await.with_context(|| format!("the dead letters of {queue}"))?;
        if self.list_dead_letters {
            return listed.iter().try_for_each(|letter| print(&line(queue, letter)));
        }
        let (wanted, is_replay) = match (&self.replay_dead_letter, &self.drop_dead_letter) {
            (Some(id), _) => (id, true),
            (None, Some(id)) => (id, false),
            (None, None) => return Ok(()),
        };
        let ids: Vec<&str> = listed.iter().map(|letter| letter.event_id.as_str()).collect();
        let ids = ids.into_iter().filter(|id| wanted == "all" || wanted == id).collect::<Vec<_>>();
        ensure!(wanted == "all" || !ids.is_empty(), "{queue} has no dead letter with the id {wanted}");
        for id in ids {
            let done =
                if is_replay { transport.replay(queue, id).await } else { transport.drop_dead_letter(queue, id).await };
            // Somebody else may have been faster.
            if done.with_context(|| format!("the event {id}"))? {
                print(
                    &json!({ "queue": queue, "event_id": id, "done": if is_replay { "replayed" } else { "dropped" } }),
                )?;
            }
        }
        Ok(())
    }
}

fn line(queue: &str, letter: &DeadLetter) -> Value {
    // What is no JSON was refused because of that.
    let event: Value = serde_json::from_slice(&letter.envelope)
        .unwrap_or_else(|_| String::from_utf8_lossy(&letter.envelope).into_owned().into());
    json!({
        "queue": queue,
        "event_id": letter.event_id,
        "type": letter.event_type,
        "reason": letter.reason,
        "dead_since": letter.dead_since.to_rfc3339(),
        "event": event,
    })
}

fn print(value: &Value) -> Result<()> {
    writeln!(stdout(), "{value}").context("stdout cannot be written to")
}
