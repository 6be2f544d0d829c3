//! What the runs under kills showed, which promises 1 and 2 share.

use harness::measurements::Counts;

/// The comparison of acknowledged writes with the stored rows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Audit {
    /// Acknowledged, but not stored, or not as acknowledged.
    pub(crate) lost: usize,
    /// Rows of one request beyond the first, acknowledged or not.
    pub(crate) duplicates: usize,
}

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
