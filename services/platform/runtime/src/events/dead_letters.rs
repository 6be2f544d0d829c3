//! What an operator does with events that a service could not handle.

use std::io::{Write, stdout};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::message::DeadLetter;
use super::transport::Transport;

/// Stands for every event in the place of an id.
const ALL: &str = "all";

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

    /// Does it with the dead letters of `queues`, and prints what it did.
    ///
    /// # Errors
    ///
    /// The transport cannot be reached, or no queue has the event.
    pub async fn run(&self, transport: &Transport, queues: &[String]) -> Result<()> {
        let mut found = false;
        for queue in queues {
            let Some(wanted) = self.wanted() else {
                let listed = transport.dead_letters(queue, LIMIT).await;
                for letter in listed.with_context(|| format!("the dead letters of {queue}"))? {
                    print(&line(queue, &letter))?;
                }
                continue;
            };
            let id = Some(wanted).filter(|id| *id != ALL);
            let settled = match &self.replay_dead_letter {
                Some(_) => transport.replay(queue, id).await.map(|events| (events, "replayed")),
                None => transport.drop_dead_letters(queue, id).await.map(|events| (events, "dropped")),
            };
            let (events, done) = settled.with_context(|| format!("the dead letters of {queue}"))?;
            found |= !events.is_empty();
            for event_id in events {
                print(&json!({ "queue": queue, "event_id": event_id, "done": done }))?;
            }
        }
        let missing = self.wanted().filter(|wanted| *wanted != ALL && !found);
        missing.map_or(Ok(()), |id| bail!("there is no dead letter with the id {id}"))
    }

    /// The id of the event to replay or to drop, or [`ALL`].
    fn wanted(&self) -> Option<&str> {
        self.replay_dead_letter.as_deref().or(self.drop_dead_letter.as_deref())
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
