//! The settings of one service alone.

use clap::{ArgMatches, Args, Command};

use super::read::without_variable;

/// What flags and environment say about the settings of one service alone; nothing if the service is not started by its
/// command line.
#[derive(Clone, Debug, Default)]
pub struct OwnSettings(Option<ArgMatches>);

impl OwnSettings {
    /// Those in `matches`, among others.
    pub fn of(matches: ArgMatches) -> Self {
        Self(Some(matches))
    }

    /// The settings, with defaults for those that are not given.
    pub(crate) fn read<S: Args>(&self) -> Result<S, clap::Error> {
        match &self.0 {
            Some(matches) => S::from_arg_matches(matches),
            None => {
                let command = S::augment_args(Command::new("settings")).mut_args(without_variable);
                S::from_arg_matches(&command.try_get_matches_from(["settings"])?)
            }
        }
    }
}
