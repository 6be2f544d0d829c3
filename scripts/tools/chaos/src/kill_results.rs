//! What the runs under kills showed, which promises 1 and 2 share.

use harness::measurements::Counts;

use crate::acknowledged::Audit;

/// The results of all runs in which services and PostgreSQL were killed.
#[derive(Debug, Default)]
pub(crate) struct KillResults {
    pub(crate) kills: usize,
    pub(crate) acknowledged: usize,
    pub(crate) audit: Audit,
    /// The last error of each request that was given up.
    pub(crate) failed: Counts,
    pub(crate) replays: usize,
    pub(crate) different_replays: usize,
}
